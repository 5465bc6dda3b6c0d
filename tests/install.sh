#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh BUILD STAGE CC LIBRARY...: `cmake --install` with DESTDIR puts every part in its place,
# and a stranger's program builds against what was installed, by pkg-config, shared and static.
set -eu
build=$1
stage=$2
cc=$3
shift 3

rm -rf "$stage"
DESTDIR=$stage cmake --install "$build" >/dev/null

pc=$(find "$stage" -name scruple.pc)
for part in 'bin/scruple' 'include/scruple.h' 'libscruple.a' 'libscruple.so' 'libscruple.so.0' \
    'man/man1/scruple.1' 'bash-completion/completions/scruple' 'zsh/site-functions/_scruple' \
    'fish/vendor_completions.d/scruple.fish' 'pkgconfig/scruple.pc'; do
    found=$(find "$stage" -path "*/$part")
    if [ -z "$found" ] || ! [ -s "$found" ]; then
        echo "$part was not installed, or is empty"
        exit 1
    fi
done

cat >"$stage/use.c" <<'PROGRAM'
#include <scruple.h>
#include <stdio.h>
int main(void)
{
    puts(scruple_version());
    return 0;
}
PROGRAM
libdir=$(dirname "$(dirname "$pc")")
staged_pkg_config()
{
    PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage pkg-config "$@" scruple
}
version=$(staged_pkg_config --modversion)

# shellcheck disable=SC2046 # lists of words, meant to be split
"$cc" -std=c11 "$stage/use.c" -o "$stage/use_shared" $(staged_pkg_config --cflags --libs)
# shellcheck disable=SC2046
"$cc" -std=c11 "$stage/use.c" -o "$stage/use_static" $(staged_pkg_config --cflags) \
    "$libdir/libscruple.a" $(pkg-config --libs "$@") -lm -lpthread

for program in use_shared use_static; do
    said=$(LD_LIBRARY_PATH=$libdir "$stage/$program")
    if [ "$said" != "$version" ]; then
        echo "$program says version '$said', scruple.pc says '$version'"
        exit 1
    fi
done
said=$("$(find "$stage" -path '*/bin/scruple')" --version)
case "$said" in
*"$version"*) ;;
*)
    echo "scruple --version says '$said', scruple.pc says '$version'"
    exit 1
    ;;
esac
