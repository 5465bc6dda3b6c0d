#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo.sh PROGRAM FOLDER: make sample models in FOLDER (a sharded safetensors model, a GGUF file, a
# torch file) and show what the program says about them; then the same over HTTP, from a Hub that
# runs on this machine for as long as it takes; at last the page of view, and a picture of it
# (view.png) where Chromium is.
set -eu
program=$1
folder=$2
top=$PWD

python=/usr/bin/python3
[ -x "$python" ] || python=python3
mkdir -p "$folder"
"$python" -B tools/mkmodel demo demo-gguf demo-torch "$folder"
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")

show()
{
    printf '\n$ scruple'
    printf ' %s' "$@"
    printf '\n'
    "$program" "$@"
}

cd "$folder"
rm -rf caches
show tree demo
show tree demo-gguf/*.gguf
show tree demo-torch/*.pt
show tree demo model.layers.0.self_attn --json
SCRUPLE_CACHE="$PWD/caches/scruple" show scan demo --top-issues 5
SCRUPLE_CACHE="$PWD/caches/scruple" show quant demo model.layers.0.mlp -c bfp8,bfp4,mxfp4,int4:group=32
SCRUPLE_CACHE="$PWD/caches/scruple" show tree demo model.layers.0 -c bfp4
SCRUPLE_CACHE="$PWD/caches/scruple" show view demo --png demo.png

rm -rf hub
mkdir -p hub/demo-org caches/home
ln -s "$PWD/demo" hub/demo-org/demo
mkfifo caches/hold
"$python" -B "$top/tests/mockhub/mockhub.py" hub --ports-file caches/ports <caches/hold >/dev/null &
exec 9>caches/hold # the Hub ends when this is closed
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -s caches/ports ] && break
    sleep 0.3
done
HF_ENDPOINT=$(sed -n 's/^HUB //p' caches/ports)
export HF_ENDPOINT HF_HOME="$PWD/caches/hf" SCRUPLE_CACHE="$PWD/caches/scruple" HOME="$PWD/caches/home"
export no_proxy=127.0.0.1
unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_TOKEN
printf '\nThe same model on a Hub (a mock of it, at %s):\n' "$HF_ENDPOINT"
show demo-org/demo layers.2-11.mlp -v
show fetch demo-org/demo model.layers.3.mlp.experts.0 --progress never
show fetch demo-org/demo --progress never
show cache ls
exec 9>&-
wait

# The page: served for as long as a picture of it takes.
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    printf '\nscruple view demo\n    opens the demo model in a browser (no Chromium here to take a picture of it)\n'
    exit 0
fi
printf '\n$ scruple view demo --no-open\n'
rm -f caches/address view.png
"$program" view demo --no-open >caches/address &
server=$!
trap 'kill "$server" 2>/dev/null || :' EXIT
trap 'exit 1' HUP INT TERM
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s caches/address ] && break
    sleep 0.3
done
address=$(sed -n '1s/.*\(http[^ ]*\).*/\1/p' caches/address)
[ -n "$address" ] || { echo "demo: the server does not say where it is" >&2; exit 1; }
printf '%s\n' "$address"
timeout -k 5 90 "$python" -B "$top/tests/py/picture_of_page.py" "$address" view.png || :
kill "$server"
wait "$server"
trap - EXIT
if [ -s view.png ]; then
    printf 'The page looks like this: %s\n' "$PWD/view.png"
else
    printf 'No picture of the page: Chromium did not take one.\n'
fi
