#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
r"""Writes src/text/unicode_tables.h to standard output, from the Unicode Character Database.

    tools/gen-unicode-tables.py UCD-16.0.0 UCD-9.0.0 UCD-8.0.0 | clang-format --assume-filename=src/text/x.h \
        > src/text/unicode_tables.h

The arguments are folders with the files of https://www.unicode.org/Public/VERSION/ucd/ (of 16.0.0:
UnicodeData.txt, PropList.txt, Scripts.txt, CaseFolding.txt, auxiliary/GraphemeBreakProperty.txt and
emoji/emoji-data.txt, in one folder; of the others UnicodeData.txt). Three versions, because that is what
the Rust tokenizers stand on: their regular expressions use Unicode 16, their normal forms 9, and their
BERT pieces 8. tests/py/test_tokenize.py compares the result with the library where it is installed.
"""
import sys

LAST = 0x110000
CATEGORIES = ("Cn Cc Cf Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs").split()
SCRIPTS = ("Other Han Hiragana Katakana Hangul Latin Cyrillic Greek Arabic Hebrew Devanagari Thai").split()
BREAKS = ("Other CR LF Control Extend ZWJ Regional_Indicator Prepend SpacingMark L V T LV LVT").split()


class Data:
    """UnicodeData.txt of one version."""

    def __init__(self, folder):
        self.category, self.ccc, self.canonical, self.compat, self.lower = {}, {}, {}, {}, {}
        first = None
        for line in open(f"{folder}/UnicodeData.txt", encoding="ascii"):
            f = line.rstrip("\n").split(";")
            c = int(f[0], 16)
            if f[1].endswith("First>"):
                first = c
                continue
            for x in range(first, c + 1) if f[1].endswith("Last>") else (c,):
                self.category[x] = f[2]
            if f[3] != "0":
                self.ccc[c] = int(f[3])
            if f[5].startswith("<"):
                self.compat[c] = [int(x, 16) for x in f[5].split("> ")[1].split()]
            elif f[5]:
                self.canonical[c] = [int(x, 16) for x in f[5].split()]
            if f[13]:
                self.lower[c] = int(f[13], 16)

    def decompose(self, c, compat):
        to = self.canonical.get(c) or (self.compat.get(c) if compat else None)
        return [y for x in to for y in self.decompose(x, compat)] if to else [c]


def listed(path, version=None):
    """name -> set of code points, of a file of lines "A..B ; name # comment"."""
    out = {}
    for number, line in enumerate(open(path, encoding="utf-8")):
        if number == 0 and version and version not in line:
            sys.exit(f"{path}: not of Unicode {version}")
        fields = [x.strip() for x in line.split("#")[0].split(";")]
        if len(fields) >= 2:
            ends = fields[0].split("..")
            out.setdefault(fields[1], set()).update(range(int(ends[0], 16), int(ends[-1], 16) + 1))
    return out


def two_level(values, bits):
    """(block numbers, blocks laid one behind the other) of a list of LAST values."""
    size, seen, first, second = 1 << bits, {}, [], []
    for at in range(0, LAST, size):
        block = tuple(values[at:at + size])
        if block not in seen:
            seen[block] = len(seen)
            second.extend(block)
        first.append(seen[block])
    return first, second


def array(kind, name, numbers, form="{}"):
    print(f"static const {kind} {name}[{len(numbers)}] = {{")
    line = "   "
    for x in numbers:
        word = " " + (form.format(*x) if isinstance(x, tuple) else form.format(x)) + ","
        if len(line) + len(word) > 100:
            print(line)
            line = "   "
        line += word
    print(line + "\n};\n")


def properties(ucd, new, old9, old8):
    prop = listed(f"{ucd}/PropList.txt", "16.0.0")
    script = listed(f"{ucd}/Scripts.txt", "16.0.0")
    grapheme = listed(f"{ucd}/GraphemeBreakProperty.txt", "16.0.0")
    emoji = listed(f"{ucd}/emoji-data.txt")
    values = [0] * LAST
    for c, category in new.category.items():
        values[c] |= CATEGORIES.index(category)
        letter = category[0] == "L" or category == "Nl" or c in prop["Other_Alphabetic"]
        values[c] |= letter << 6
        values[c] |= (letter or category[0] == "M" or category in ("Nd", "Pc")) << 7
    for c in prop["White_Space"]:
        values[c] |= 1 << 5
    for number, name in enumerate(SCRIPTS[1:], 1):
        for c in script[name]:
            values[c] |= number << 8
    for number, name in enumerate(BREAKS[1:], 1):
        for c in grapheme[name]:
            values[c] |= number << 12
    for c in emoji["Extended_Pictographic"]:
        values[c] |= 1 << 16
    for c, category in old8.category.items():
        values[c] |= (category[0] == "P") << 17 | (category[0] == "C") << 18 | (category == "Mn") << 19
    for c, category in old9.category.items():
        values[c] |= (category[0] == "M") << 20
    palette = sorted(set(values))
    if len(palette) > 256:
        sys.exit("more than 256 sets of properties")
    number_of = {v: i for i, v in enumerate(palette)}
    first, second = two_level([number_of[v] for v in values], 7)
    array("uint32_t", "props_palette", palette, "0x{:x}")
    array("uint8_t" if max(first) < 256 else "uint16_t", "props_block", first)
    array("uint8_t", "props_cell", second)


def normal_forms(data, ucd_exclusions):
    pool, where, records, record_of = [], {}, [(0, 0, 0, 0, 0)], {(0, 0, 0, 0, 0): 0}

    def place(sequence):
        key = tuple(sequence)
        if key not in where:
            where[key] = len(pool)
            pool.extend(key)
        return where[key]

    pairs = []
    for c, to in sorted(data.canonical.items()):
        if len(to) == 2 and c not in ucd_exclusions and not data.ccc.get(c) and not data.ccc.get(to[0]):
            pairs.append((to[0], to[1], c))
    seconds = {p[1] for p in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    values = [0] * LAST
    for c in sorted(set(data.ccc) | set(data.canonical) | set(data.compat) | seconds):
        one, two = data.decompose(c, False), data.decompose(c, True)
        n_one, n_two = (0 if x == [c] else len(x) for x in (one, two))
        record = (data.ccc.get(c, 0) | (c in seconds) << 8, n_one, n_two,
                  place(one) if n_one else 0, place(two) if n_two else 0)
        if record not in record_of:
            record_of[record] = len(records)
            records.append(record)
        values[c] = record_of[record]
    first, second = two_level(values, 6)
    array("uint32_t", "norm_pool", pool, "0x{:x}")
    array("struct norm_record", "norm_records", records, "{{{}, {}, {}, {}, {}}}")
    array("uint16_t", "norm_block", first)
    array("uint16_t", "norm_cell", second)
    array("struct norm_pair", "norm_pairs", sorted(pairs), "{{0x{:x}, 0x{:x}, 0x{:x}}}")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    new, old9, old8 = (Data(x) for x in sys.argv[1:])
    fold = []
    for line in open(f"{sys.argv[1]}/CaseFolding.txt", encoding="utf-8"):
        f = [x.strip() for x in line.split("#")[0].split(";")]
        if len(f) >= 3 and f[1] in "CS":
            fold.append((int(f[0], 16), int(f[2], 16)))
    print("/* SPDX-License-Identifier: Apache-2.0 */\n/* Written by tools/gen-unicode-tables.py; do not edit.\n"
          " * From the Unicode Character Database 16.0.0, normal forms from 9.0.0, BERT's classes from 8.0.0. */\n"
          "#ifndef SC_TEXT_UNICODE_TABLES_H\n#define SC_TEXT_UNICODE_TABLES_H\n\n#include <stdint.h>\n")
    print("struct norm_record {\n    uint16_t ccc; /* | 256: may be the second of a composition */\n"
          "    uint8_t n_canonical, n_compat; /* 0: itself */\n    uint16_t canonical, compat; /* into norm_pool */\n};\n"
          "struct norm_pair {\n    uint32_t first, second, composed;\n};\n"
          "struct case_pair {\n    uint32_t from, to;\n};\n")
    properties(sys.argv[1], new, old9, old8)
    # Full_Composition_Exclusion without singletons and non-starters, which normal_forms() leaves out
    # itself: what CompositionExclusions.txt lists, unchanged since Unicode 3.2.
    excluded = set(range(0x958, 0x960)) | {0x9DC, 0x9DD, 0x9DF, 0xA33, 0xA36, 0xA59, 0xA5A, 0xA5B, 0xA5E,
                                           0xB5C, 0xB5D, 0xF43, 0xF4D, 0xF52, 0xF57, 0xF5C, 0xF69, 0xF76, 0xF78,
                                           0xF93, 0xF9D, 0xFA2, 0xFA7, 0xFAC, 0xFB9, 0xFB1D, 0xFB1F, 0x2ADC}
    excluded |= set(range(0xFB2A, 0xFB4F)) | set(range(0x1D15E, 0x1D165)) | set(range(0x1D1BB, 0x1D1C1))
    normal_forms(old9, excluded)
    array("struct case_pair", "lower_pairs", sorted(new.lower.items()), "{{0x{:x}, 0x{:x}}}")
    array("struct case_pair", "fold_pairs", sorted(fold), "{{0x{:x}, 0x{:x}}}")
    print("#endif")


main()
