#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draw coloured terminal output as a picture.

    scruple demo --color always | term2svg.py '$ scruple demo' > docs/tree.svg

Reads text with 256-colour escapes (ESC [38;5;N m, ESC [0m) from standard input and writes an SVG
that needs no font but the viewer's monospaced one: every run of one colour stands at its own
column and is stretched to its width.  The same input always gives the same bytes.
"""
import html
import re
import sys
import unicodedata

WIDTH, HEIGHT, SIZE, MARGIN, TOP = 8.0, 18.0, 13.5, 18.0, 40.0
GROUND, TEXT, PROMPT = "#16181d", "#c5c8cf", "#8ab4f8"
ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
BASIC = ("000000 cd0000 00cd00 cdcd00 4f7fee cd00cd 00cdcd e5e5e5 "
         "7f7f7f ff0000 00ff00 ffff00 5c8cff ff00ff 00ffff ffffff").split()


def colour(n):
    """xterm's 256 colours: 16 named ones, a 6 x 6 x 6 cube, 24 greys."""
    if n < 16:
        return "#" + BASIC[n]
    if n >= 232:
        return "#" + f"{8 + 10 * (n - 232):02x}" * 3
    steps = (0, 95, 135, 175, 215, 255)
    n -= 16
    return "#" + "".join(f"{steps[k]:02x}" for k in (n // 36, n // 6 % 6, n % 6))


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else
               0 if unicodedata.combining(c) else 1 for c in text)


def runs(line):
    """(column, text, colour) of every piece of a line."""
    at, now, column = 0, TEXT, 0
    for match in list(ESCAPE.finditer(line)) + [None]:
        text = line[at:match.start() if match else len(line)]
        if text:
            yield column, text, now
            column += columns(text)
        if match:
            at = match.end()
            codes = match.group(1).split(";")
            now = colour(int(codes[2])) if codes[:2] == ["38", "5"] else TEXT


def draw(lines, title):
    width = MARGIN * 2 + WIDTH * max([columns(ESCAPE.sub("", line)) for line in lines + [title]])
    height = TOP + HEIGHT * (len(lines) + 1) + MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
           f'viewBox="0 0 {width:g} {height:g}">')
    yield f'<title>{html.escape(title)}</title>'
    yield (f'<style>text{{font:{SIZE}px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;'
           f'white-space:pre}}</style>')
    yield f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{GROUND}"/>'
    for i, dot in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        yield f'<circle cx="{MARGIN + 4 + 18 * i:g}" cy="16" r="5" fill="{dot}"/>'
    for row, line in enumerate([title] + lines):
        y = TOP + HEIGHT * row + SIZE
        for column, text, fill in runs(line):
            if not text.strip():
                continue
            lead = len(text) - len(text.lstrip(" "))
            text, column = text.strip(" "), column + lead
            if row == 0:
                fill = PROMPT
            yield (f'<text x="{MARGIN + WIDTH * column:g}" y="{y:g}" fill="{fill}" '
                   f'textLength="{WIDTH * columns(text):g}" lengthAdjust="spacingAndGlyphs">'
                   f'{html.escape(text)}</text>')
    yield "</svg>"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: PROGRAM --color always | term2svg.py TITLE > FILE.svg")
    lines = [line.rstrip() for line in sys.stdin.read().splitlines()]
    print("\n".join(draw(lines, sys.argv[1])))


if __name__ == "__main__":
    main()
