#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lint-exports.sh LIBRARY HEADER: the shared library exports exactly the functions that the public
# header declares with SCRUPLE_API. Prints the difference; exit 1 if there is one.
set -eu
library=$1
header=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Declarations run over lines; the name is the first scruple_...( behind the mark.
tr '\n' ' ' <"$header" | grep -oE 'SCRUPLE_API [^;(]*\bscruple_[a-z0-9_]+\(' |
    sed -E 's/.*(scruple_[a-z0-9_]+)\($/\1/' | sort >"$work/declared"
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    sort >"$work/exported"

if ! [ -s "$work/declared" ]; then
    echo "$header: declares nothing with SCRUPLE_API"
    exit 1
fi
if ! diff "$work/declared" "$work/exported" >"$work/diff"; then
    sed -n -e "s|^< \(.*\)|$header: \1 is declared but not exported|p" \
        -e "s|^> \(.*\)|$library: \1 is exported but not declared|p" "$work/diff"
    exit 1
fi
