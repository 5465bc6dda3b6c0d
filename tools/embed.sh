#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# embed.sh FILE...: C text that holds the files as arrays, on standard output. src/x/assets/report.css
# becomes sc_asset_report_css and sc_asset_report_css_size. Those of src/web/assets are listed in
# sc_web_assets (src/web/assets.h), too.
set -eu

echo '/* Made by tools/embed.sh. */'
echo '#include "web/assets.h"'
web=
for file in "$@"; do
    name=sc_asset_$(basename "$file" | tr -c 'A-Za-z0-9\n' _)
    printf '\nextern const unsigned char %s[];\nextern const size_t %s_size;\n' "$name" "$name"
    printf 'const unsigned char %s[] = {\n' "$name"
    od -An -v -tx1 "$file" | sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'
    printf '0};\nconst size_t %s_size = sizeof %s - 1;\n' "$name" "$name"
    case $file in
    */web/assets/*) web="$web    {\"$(basename "$file")\", $name, sizeof $name - 1},
" ;;
    esac
done
printf '\nconst struct sc_web_asset sc_web_assets[] = {\n%s    {NULL, NULL, 0}};\n' "$web"
