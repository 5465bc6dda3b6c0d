# SPDX-License-Identifier: Apache-2.0
"""What the program does on a terminal: colours, the pager, interruption."""
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import fcntl
import termios

SCRUPLE = os.environ["SCRUPLE"]
MODEL = os.path.join(os.environ["FIXTURES"], "we-golden")


def on_terminal(args, rows=24, columns=80, seconds=60, **variables):
    """Run the program on a pseudo-terminal; (exit code, everything it wrote)."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PAGER", "SCRUPLE_PAGER", "LESS")}
    env.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}, **variables)
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen([SCRUPLE, *args], stdin=side, stdout=side, stderr=side, env=env,
                               close_fds=True)
    os.close(side)
    text, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([main], [], [], 0.1)[0]:
            try:
                piece = os.read(main, 65536)
            except OSError:  # Linux: the other side is closed
                piece = b""
            if not piece:
                break
            text += piece
    code = process.wait(timeout=seconds)
    os.close(main)
    return code, text.decode().replace("\r\n", "\n")


class Terminal(unittest.TestCase):
    def test_colours_on_a_terminal(self):
        code, text = on_terminal([MODEL, "embed"])
        self.assertEqual(code, 0)
        self.assertIn("\033[38;5;153m1000\033[0m\033[38;5;67mx\033[0m", text)

    def test_no_colours_where_they_are_not_wanted(self):
        for variables in ({"TERM": "dumb"}, {"TERM": ""}, {"NO_COLOR": ""}):
            code, text = on_terminal([MODEL, "embed"], **variables)
            self.assertEqual(code, 0)
            self.assertNotIn("\033", text, variables)

    def test_short_output_needs_no_pager(self):
        _, text = on_terminal([MODEL, "embed"], PAGER="sed s/^/paged:/")
        self.assertNotIn("paged:", text)

    def test_long_output_goes_to_the_pager(self):
        code, text = on_terminal([MODEL], rows=10, PAGER="sed s/^/paged:/")
        self.assertEqual(code, 0)
        self.assertTrue(all(line.startswith("paged:") for line in text.splitlines()), text)
        _, text = on_terminal([MODEL], rows=10, PAGER="false", SCRUPLE_PAGER="sed s/^/mine:/")
        self.assertIn("mine:", text)

    def test_a_pager_that_ends_early_is_no_error(self):
        code, text = on_terminal([MODEL, "--flat"], rows=10, PAGER="head -n 2")
        self.assertEqual(code, 0)
        self.assertEqual(len(text.splitlines()), 2)

    def test_no_pager(self):
        for args, variables in ((["--no-pager"], {}), ([], {"PAGER": "cat"}), ([], {"PAGER": ""}),
                                ([], {"PAGER": "no-such-program-anywhere"})):
            code, text = on_terminal([MODEL, *args], rows=10, **{"PAGER": "true", **variables})
            self.assertEqual(code, 0)
            self.assertIn("embed_tokens", text, variables)

    def test_json_is_not_paged(self):
        _, text = on_terminal([MODEL, "--json"], rows=10, PAGER="true")
        self.assertIn("scruple.tree/1", text)

    def test_names_are_ascii_where_the_locale_is(self):
        model = os.path.join(os.environ["FIXTURES"], "utf8-names")
        _, text = on_terminal([model, "--no-pager"], LC_ALL="C")
        self.assertTrue(text.isascii())
        self.assertIn("\\u{", text)

    def test_odd_screens(self):
        for rows, columns in ((0, 0), (1, 1), (65535, 65535)):
            code, text = on_terminal(["info", MODEL, "--no-pager"], rows, columns)
            self.assertEqual(code, 0)
            self.assertIn("we-golden", text)
        for columns in ("0", "-1", "100000000000", "x"):
            code, _ = on_terminal(["info", MODEL, "--no-pager"], 0, 0, COLUMNS=columns)
            self.assertEqual(code, 0)


class Widths(unittest.TestCase):
    MOE = os.path.join(os.environ["FIXTURES"], "moe-tiny")
    IDS = ("--ids", "1,2,3,4,5,6,7", "--no-pager", "-q")
    COMMANDS = ((("moe", MOE, "--probe", "--no-maps", "--drop", "1.3,top", *IDS), ("MAX/MEAN", "SUPER", "x PPL"),
                 ("SURE", "CV", "MASSIVE FORM", "CHANGE")),
                (("edit", MOE, "--scale", "model.layers.3.mlp.shared_expert.down_proj.weight[29,*]=2.5", "--zero",
                  "model.layers.3.mlp.shared_expert.down_proj.weight[28,4]", "--dry-run"), ("HELD", "CHANGED"),
                 ("TYPE", "ELEMENTS", "OFF BY")),
                (("super", MOE, "--by", "magnitude", "--verify", *IDS), ("WEIGHT", "VERDICT", "x PPL"),
                 ("x NORMAL", "IN COLUMN", "CHANGE")),
                (("super", MOE, "--by", "magnitude", "--kind", "gate_proj,up_proj", "--top", "90", "--no-pager"),
                 ("EXPERT", "WEIGHT"), ("IN COLUMN",)),
                (("super", MOE, "--verify", "--ratio", "1.5", "--share", "0.05", "--rounds", "1", *IDS),
                 ("EXPERT", "KL ALONE", "VERDICT", "x PPL"), ("x MEDIAN", "CHANGE")))

    def test_tables_fit_and_keep_what_matters(self):
        for words, kept, spare in self.COMMANDS:
            for columns in (80, 400):
                code, text = on_terminal(words, rows=200, columns=columns)
                text = re.sub(r"\033\[[\d;]*m", "", text)
                self.assertEqual(code, 0, text)
                rows = [line for line in text.split("\n") if re.search(r"\S  +\S", line)]
                self.assertGreater(len(rows), 2)
                self.assertLessEqual(max(map(len, rows)), columns, (words, rows))
                for word in kept + (spare if columns == 400 else ()):
                    self.assertIn(word, text, words)


class Interruption(unittest.TestCase):
    def interrupted(self, number, args=()):
        read, write = os.pipe()
        # Whoever runs the tests in the background may have had SIGINT ignored.
        process = subprocess.Popen([SCRUPLE, "-", *args], stdin=read, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        os.close(read)
        time.sleep(0.3)
        start = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        os.close(write)
        self.assertEqual((out, err), (b"", b""))
        self.assertLess(time.monotonic() - start, 5)
        return process.returncode

    def test_exit_codes(self):
        self.assertEqual(self.interrupted(signal.SIGINT), 130)
        self.assertEqual(self.interrupted(signal.SIGTERM), 143)

    def test_nothing_is_left_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.txt")
            self.assertEqual(self.interrupted(signal.SIGINT, ["-o", path]), 130)
            self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
