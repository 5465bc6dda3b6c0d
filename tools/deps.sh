#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh: is there what the build needs? Nothing to do: silent and instant. Else it says what it
# installs and does so with apt-get, as root or through sudo; where that is not possible it says
# what to install and exits with 1. What only some tests want is installed where that is easy.
set -eu

missing=
need_tool()
{
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need_module()
{
    python3 -c "import $1" 2>/dev/null || /usr/bin/python3 -c "import $1" 2>/dev/null || missing="$missing $2"
}
need_library()
{
    pkg-config --exists "$1" 2>/dev/null || missing="$missing $2"
}
# A library that is loaded at run time and has no use for a pkg-config file.
need_loaded()
{
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q "$1" || missing="$missing $2"
}

need_font()
{
    for path in /usr/share/fonts/truetype/dejavu /usr/share/fonts/DejaVuSans.ttf \
        /usr/share/fonts/*/DejaVuSans.ttf; do
        [ ! -e "$path" ] || return 0
    done
    missing="$missing fonts-dejavu-core"
}

look()
{
    missing=
    need_tool cmake cmake
    command -v ninja >/dev/null 2>&1 || need_tool make ninja-build
    command -v "${CC:-cc}" >/dev/null 2>&1 || need_tool gcc gcc
    need_tool pkg-config pkg-config
    need_tool python3 python3
    need_tool openssl openssl # certificates of the tests
    need_module numpy python3-numpy # the oracle of the tests
    need_library jansson libjansson-dev
    need_library libdeflate libdeflate-dev
    need_library yaml-0.1 libyaml-dev
    need_library zlib zlib1g-dev
    need_library libcurl libcurl4-openssl-dev
    need_library libcrypto libssl-dev
    need_library libmicrohttpd libmicrohttpd-dev
    need_library sqlite3 libsqlite3-dev
    need_loaded libopenblas.so.0 libopenblas0-pthread
    # Plots as PNG; the tests draw some.
    need_loaded librsvg-2.so.2 librsvg2-2
    need_font
    echo '#include <stdio.h>' | "${CC:-cc}" -E -x c - >/dev/null 2>&1 || missing="$missing libc6-dev"
}

# Pictures as AVIF are an extra: built where the header is, tested where avifdec is.
want_avif()
{
    pkg-config --exists libavif 2>/dev/null && command -v avifdec >/dev/null 2>&1 && return
    [ "$(id -u)" -eq 0 ] && apt-cache show libavif-dev >/dev/null 2>&1 || return 0
    echo "deps: installing libavif (apt-get), for pictures as AVIF" >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends libavif-dev libavif-bin >&2 ||
        echo "deps: no libavif: exports write no AVIF" >&2
}

# The tests of pages run them in a browser, and are skipped where there is none.
want_browser()
{
    command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 && return
    [ "$(id -u)" -eq 0 ] && apt-cache show chromium >/dev/null 2>&1 || return 0
    echo "deps: installing chromium (apt-get), for the tests of pages" >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >&2 ||
        echo "deps: no chromium: tests of pages in a browser are skipped" >&2
}

look
if [ -z "$missing" ]; then
    want_browser
    want_avif
    exit 0
fi

fail()
{
    echo "deps: $1; please install:$missing" >&2
    exit 1
}

root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "not root, and there is no sudo"
    root=sudo
fi
command -v apt-get >/dev/null 2>&1 || fail "this is no Debian system (no apt-get)"

echo "deps: installing$missing (apt-get)" >&2
# An outdated list of packages is no reason to stop if the packages themselves can be had.
$root apt-get -qq update >&2 || echo "deps: apt-get update failed, trying to install anyway" >&2
# shellcheck disable=SC2086 # a list of words
$root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends $missing >&2 || fail "apt-get install failed"

look
[ -z "$missing" ] || fail "still missing after apt-get install"
want_browser
want_avif
