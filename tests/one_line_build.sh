#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# one_line_build.sh SOURCE OUTPUT CC LIBRARY...: the third door. One line of cc, without CMake, must build a
# program that runs. The assets of pages are made C text first.
set -eu
source=$1
output=$2
cc=$3
shift 3

cd "$source"
sh tools/embed.sh src/*/assets/* >"$output.assets.c"
# shellcheck disable=SC2046 # lists of words, meant to be split
"$cc" -std=c11 -O2 -D_POSIX_C_SOURCE=200809L -Iinclude -Isrc $(find src -name '*.c') "$output.assets.c" \
    $(pkg-config --cflags --libs "$@") -lm -lpthread -o "$output"
"$output" --version
