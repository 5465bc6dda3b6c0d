#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh BUILD SECONDS: run every fuzz target of BUILD for SECONDS. What it finds that is new stays
# in BUILD/corpus/<x>; what breaks it is written to BUILD/crash/<x>-*. Exit 1 if something broke.
set -eu
build=$1
seconds=$2
mkdir -p "$build/crash"

bad=0
for source in fuzz/fuzz_*.c; do
    [ -e "$source" ] || { echo "fuzz: there is no fuzz/fuzz_*.c" >&2 && exit 1; }
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    mkdir -p "$build/corpus/$name"
    set -- "$build/corpus/$name"
    [ -d "fuzz/corpus/$name" ] && set -- "$@" "fuzz/corpus/$name"
    dict=
    [ -f "fuzz/dict/$name.dict" ] && dict=-dict=fuzz/dict/$name.dict
    echo "== fuzz_$name, $seconds s"
    "$build/fuzz_$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 \
        -malloc_limit_mb=256 -artifact_prefix="$build/crash/$name-" -print_final_stats=1 \
        -verbosity=0 ${dict:+"$dict"} "$@" || bad=1
done
exit $bad
