#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lint-layers.sh [ROOT]: a file may include only its own layer and those before it in src/LAYERS,
# and every folder of src is a layer. Prints each offender; exit 1 if there is one.
set -eu
cd "${1:-$(dirname "$0")/..}"

seen=" "
bad=0
while read -r layer; do
    [ -n "$layer" ] || continue
    seen="$seen$layer "
    [ -d "src/$layer" ] || continue
    # file:line:#include "other/..." of this layer, one a line
    uses=$(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[A-Za-z0-9_]+/' \
        "src/$layer" || true)
    while IFS=: read -r file line text; do
        [ -n "$file" ] || continue
        other=${text#*\"}
        other=${other%%/*}
        case "$seen" in
        *" $other "*) ;;
        *)
            echo "$file:$line: includes $other/, which is not to the left of $layer in src/LAYERS"
            bad=1
            ;;
        esac
    done <<USES
$uses
USES
done <src/LAYERS

for folder in src/*/; do
    layer=$(basename "$folder")
    case "$seen" in
    *" $layer "*) ;;
    *)
        echo "src/$layer: is not listed in src/LAYERS"
        bad=1
        ;;
    esac
done
exit $bad
