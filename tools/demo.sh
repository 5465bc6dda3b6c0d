#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo.sh PROGRAM FOLDER: make sample models in FOLDER (a sharded safetensors model, a GGUF file, a
# torch file) and show what the program says about them.
set -eu
program=$1
folder=$2

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
show tree demo
show tree demo-gguf/*.gguf
show tree demo-torch/*.pt
show tree demo model.layers.0.self_attn --json
