#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [--update] CASE...: golden cases of the command line. A case is a folder with
#
#   cmd                          a shell script; runs in an empty temporary folder with nothing on
#                                standard input, and finds $SCRUPLE (the program), $FIXTURES (the
#                                generated models) and $TESTDATA (tests/data)
#   stdout.exact | stdout.glob   what it prints; neither: nothing
#   stderr.exact | stderr.glob   the same for standard error
#   exit                         the exit code; no such file: 0
#
# In a .glob file `*` stands for any text within a line and a line `...` for any number of lines;
# all else stands for itself. The three folders above read $SCRUPLE, $FIXTURES and $TESTDATA in the
# output that is compared, so that expected output holds no path of this machine.
#
# --update writes what came out into exit and the .exact files. A .glob file that does not match is
# left alone and reported: it was written by a person.
set -u -o pipefail

update=no
if [ "${1-}" = --update ]; then
    update=yes
    shift
fi
if [ $# -eq 0 ] || [ -z "${SCRUPLE-}" ] || [ -z "${FIXTURES-}" ] || [ -z "${TESTDATA-}" ]; then
    echo "usage: SCRUPLE=... FIXTURES=... TESTDATA=... run.sh [--update] CASE..." >&2
    exit 2
fi
SCRUPLE=$(realpath -m "$SCRUPLE")
FIXTURES=$(realpath -m "$FIXTURES")
TESTDATA=$(realpath -m "$TESTDATA")
export SCRUPLE FIXTURES TESTDATA
# What the user of this machine likes must not change what the program prints.
export LC_ALL=C.UTF-8 TERM=dumb TZ=UTC
unset COLUMNS LINES NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE XDG_CACHE_HOME XDG_CONFIG_HOME
unset SCRUPLE_CACHE HF_HOME HF_TOKEN HF_ENDPOINT HF_HUB_CACHE HF_HUB_OFFLINE

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
# No case may leave this machine; what is on the Hub is tested in tests/py.
export HF_HUB_OFFLINE=1 HF_HOME="$top/hf-home" SCRUPLE_CACHE="$top/cache"

# Standard input to standard output, machine paths replaced by the names of their variables.
without_paths()
{
    awk '
        function replace(text, path, name,    out, at) {
            if (path == "")
                return text
            out = ""
            while ((at = index(text, path)) > 0) {
                out = out substr(text, 1, at - 1) name
                text = substr(text, at + length(path))
            }
            return out text
        }
        {
            $0 = replace($0, ENVIRON["FIXTURES"], "$FIXTURES")
            $0 = replace($0, ENVIRON["TESTDATA"], "$TESTDATA")
            $0 = replace($0, ENVIRON["SCRUPLE"], "$SCRUPLE")
            print
        }'
}

# glob_match PATTERN-FILE FILE: every line finds its pattern, in order. Like a glob over lines: after
# a mismatch only the last "..." may take one line more.
glob_match()
{
    local -a patterns lines
    local p=0 i=0 dots=-1 dots_i=0 pattern
    mapfile -t patterns <"$1"
    mapfile -t lines <"$2"
    while [ "$i" -lt ${#lines[@]} ]; do
        if [ "$p" -lt ${#patterns[@]} ] && [ "${patterns[p]}" = ... ]; then
            p=$((p + 1))
            dots=$p
            dots_i=$i
            continue
        fi
        if [ "$p" -lt ${#patterns[@]} ]; then
            pattern=${patterns[p]//\\/\\\\}
            pattern=${pattern//\[/\\[}
            pattern=${pattern//\?/\\?}
            # shellcheck disable=SC2053 # a pattern it is
            if [[ ${lines[i]} == $pattern ]]; then
                p=$((p + 1))
                i=$((i + 1))
                continue
            fi
        fi
        [ "$dots" -ge 0 ] || return 1
        p=$dots
        dots_i=$((dots_i + 1))
        i=$dots_i
    done
    while [ "$p" -lt ${#patterns[@]} ] && [ "${patterns[p]}" = ... ]; do
        p=$((p + 1))
    done
    [ "$p" -eq ${#patterns[@]} ]
}

# compare CASE STREAM ACTUAL
compare()
{
    local exact=$1/$2.exact glob=$1/$2.glob expected
    if [ -f "$glob" ]; then
        glob_match "$glob" "$3" && return 0
        echo "$1: $2 does not match $2.glob:"
        diff -u --label "$2.glob" --label "$2" "$glob" "$3"
        return 1
    fi
    expected=$exact
    [ -f "$exact" ] || expected=/dev/null
    cmp -s "$expected" "$3" && return 0
    if [ $update = yes ]; then
        if [ -s "$3" ]; then
            cp "$3" "$exact"
        else
            rm -f "$exact"
        fi
        echo "$1: updated $2.exact"
        return 0
    fi
    echo "$1: $2 differs:"
    diff -u --label "$2.exact" --label "$2" "$expected" "$3"
    return 1
}

bad=0
for case in "$@"; do
    case=$(realpath "$case")
    if ! [ -f "$case/cmd" ]; then
        echo "$case: has no cmd"
        bad=1
        continue
    fi
    rm -rf "${top:?}"/*
    mkdir "$top/work" "$top/home"
    (cd "$top/work" && HOME=$top/home sh "$case/cmd" </dev/null >"$top/raw_out" 2>"$top/raw_err")
    code=$?
    without_paths <"$top/raw_out" >"$top/out"
    without_paths <"$top/raw_err" >"$top/err"

    expected=0
    [ -f "$case/exit" ] && read -r expected <"$case/exit"
    if [ "$code" != "$expected" ]; then
        if [ $update = yes ] && [ "$code" -lt 64 ]; then
            if [ "$code" = 0 ]; then rm -f "$case/exit"; else echo "$code" >"$case/exit"; fi
            echo "$case: updated exit"
        else
            echo "$case: exit code $code, expected $expected"
            bad=1
        fi
    fi
    compare "$case" stdout "$top/out" || bad=1
    compare "$case" stderr "$top/err" || bad=1
done
exit $bad
