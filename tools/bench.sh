#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench.sh BUILD [GROUP...]: measure the release build in BUILD against its peers and limits and
# print one table; see bench/README.md. Nothing is judged here.
set -eu
python=/usr/bin/python3
[ -x "$python" ] || python=python3
exec "$python" -B bench/bench.py "$@"
