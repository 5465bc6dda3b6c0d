#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of `scruple tree`: list every tensor of a safetensors folder with struct and json.

This is what a person would write: read each header, let the C scanner of Python's json module
parse it, print name, dtype and shape.  It checks nothing and sorts nothing.
"""
import glob
import json
import os
import struct
import sys

lines = []
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.safetensors"))):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for name, entry in header.items():
        lines.append(f"{name} {entry['dtype']} {entry['shape']}\n")
sys.stdout.writelines(lines)
