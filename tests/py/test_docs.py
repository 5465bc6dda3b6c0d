# SPDX-License-Identifier: Apache-2.0
"""The documents against the sources and the program: whatever they name must exist.

Links, commands and options, the code map, the list of layers, finding ids in both directions, JSON
keys, the version.  What a sentence claims beyond that, a reader has to check.
"""
import glob
import json
import os
import re
import shlex
import subprocess
import unittest

SOURCE = os.environ.get("SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SCRUPLE = os.environ.get("SCRUPLE", "scruple")
FIXTURES = os.environ.get("FIXTURES", "")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
WORD = r"[a-z][a-z0-9_-]*"
ID = rf"{WORD}(?:\.{WORD})+"
# Where a finding gets its id: behind a severity, in a macro that implies one, in an initialiser.
GIVEN = re.compile(rf'(?:SC_ERROR|SC_WARNING|SC_INFO|severity|BAD\([\w>-]+|WARN\([\w>-]+|\.id =)\s*,?\s*"({ID})"')


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def documents():
    """Every Markdown file of ours, relative to the root."""
    found = []
    for folder, folders, files in os.walk(SOURCE):
        folders[:] = [f for f in folders if not f.startswith(".") and f not in ("build", "shared")]
        found += [os.path.relpath(os.path.join(folder, f), SOURCE) for f in files
                  if f.endswith(".md")]
    return sorted(found)


def prose(text):
    """Without fenced blocks, whose brackets are no links."""
    return FENCE.sub("", text)


def anchors(text):
    """What a heading is called in a link."""
    found = set()
    for line in prose(text).splitlines():
        if line.startswith("#"):
            title = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            found.add(title.replace(" ", "-"))
    return found


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def ids_in_sources():
    found = set()
    for path in glob.glob(os.path.join(SOURCE, "src", "*", "*.c")):
        found |= set(GIVEN.findall(without_comments(read(path))))
    return found


def said(*arguments):
    return subprocess.run([SCRUPLE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False, text=True)


class Links(unittest.TestCase):
    def test_relative_links_resolve(self):
        for document in documents():
            text = read(document)
            for target in LINK.findall(prose(text)):
                if re.match(r"[a-z]+:", target):
                    continue
                with self.subTest(document=document, link=target):
                    path, _, anchor = target.partition("#")
                    where = os.path.normpath(os.path.join(os.path.dirname(document), path))
                    if path:
                        self.assertTrue(os.path.exists(os.path.join(SOURCE, where)), "no such file")
                    if anchor and (not path or path.endswith(".md")):
                        self.assertIn(anchor, anchors(read(where) if path else text))

    def test_paths_in_tables_of_how_tos_exist(self):
        for document in documents():
            for path in re.findall(r"`((?:src|tools|tests|bench|fuzz|docs)/[\w./-]+\.\w+)`",
                                   prose(read(document))):
                if "x." in path or "<" in path or "_x" in path:
                    continue  # a placeholder
                with self.subTest(document=document, path=path):
                    self.assertTrue(os.path.exists(os.path.join(SOURCE, path)))


class Commands(unittest.TestCase):
    """Command lines in blocks marked `sh`."""

    @classmethod
    def setUpClass(cls):
        overview = said("help").stdout
        part = overview.split("Commands:")[1].split("\n\n")[0]
        cls.commands = re.findall(rf"^  ({WORD}) ", part, re.M)
        cls.options = {}
        for name in cls.commands:
            text = said("help", name).stdout.split("Options:")[-1].split("Examples:")[0]
            cls.options[name] = set(re.findall(rf"(?<![\w-])(--{WORD}|-\w)(?=[,\s])", text))
        cls.verbs = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.M))

    def check_scruple(self, words):
        command = "tree"
        if words and words[0] in self.commands:
            command = words.pop(0)
        for word in words:
            if word == "--":
                break
            if word.startswith("-") and word != "-":
                self.assertIn(word.split("=")[0], self.options[command], f"scruple {command}")

    def check_make(self, words):
        for before, word in zip([""] + words, words):
            if "=" not in word and not word.startswith("-") and before != "-C":
                self.assertIn(word, self.verbs)

    def test_commands_exist(self):
        self.assertIn("tree", self.commands)
        seen = 0
        for document in documents():
            for language, block in FENCE.findall(read(document)):
                if language != "sh":
                    continue
                for line in block.splitlines():
                    for part in re.split(r"&&|\|(?![^']*'(?:[^']*'[^']*')*[^']*$)", line):
                        words = shlex.split(part, comments=True)
                        words = [w for w in words if not re.fullmatch(r"[A-Z_]+=.*", w)]
                        if not words:
                            continue
                        with self.subTest(document=document, line=line):
                            if words[0] == "scruple":
                                self.check_scruple(words[1:])
                                seen += 1
                            elif words[0] == "make":
                                self.check_make(words[1:])
                                seen += 1
        self.assertGreater(seen, 10)

    def test_readme_names_every_make_verb_of_a_newcomer(self):
        for verb in ("make demo", "make check", "make install"):
            self.assertIn(verb, read("README.md"))


class Architecture(unittest.TestCase):
    def test_code_map_names_every_file(self):
        code_map = read("ARCHITECTURE.md").split("## Code map")[1].split("\n## ")[0]
        names = set(re.findall(r"`([\w./]+)`", code_map))
        for path in glob.glob(os.path.join(SOURCE, "src", "*", "*.[ch]")):
            layer, name = path.split(os.sep)[-2:]
            with self.subTest(file=f"src/{layer}/{name}"):
                self.assertTrue(name in names or f"{layer}/{name}" in names, "not in the code map")
        for name in names:
            if not re.search(r"\.[ch]$", name):
                continue
            with self.subTest(map=name):
                self.assertTrue(glob.glob(os.path.join(SOURCE, "src", name)) or
                                glob.glob(os.path.join(SOURCE, "src", "*", name)) or
                                os.path.exists(os.path.join(SOURCE, name)), "no such file")

    def test_layers_are_those_of_the_list(self):
        layers = read("src/LAYERS").split()
        table = read("ARCHITECTURE.md").split("<!-- layers")[1].split("\n\n")[0]
        self.assertEqual(re.findall(rf"^\| `({WORD})` \|", table, re.M), layers)

    def test_layers_with_files_are_marked(self):
        table = read("ARCHITECTURE.md").split("<!-- layers")[1].split("\n\n")[0]
        for layer, there in re.findall(rf"^\| `({WORD})` \|.*\| ([\w ]+) \|$", table, re.M):
            with self.subTest(layer=layer):
                files = glob.glob(os.path.join(SOURCE, "src", layer, "*.c"))
                self.assertEqual(there, "yes" if files else "not yet")


class Findings(unittest.TestCase):
    def test_every_id_is_documented(self):
        ids = ids_in_sources()
        self.assertGreater(len(ids), 90, "the search has gone blind")
        text = "".join(read(d) for d in documents() if d.startswith("docs"))
        for name in sorted(ids):
            with self.subTest(id=name):
                self.assertTrue(f"`{name}`" in text, "in no table of docs/")

    def test_every_documented_id_exists(self):
        ids = ids_in_sources()
        for document in documents():
            text = read(document) if document.startswith("docs") else ""
            for table in re.findall(r"^\| finding \|.*?(?:\n\n|\Z)", text, re.M | re.S):
                for cell in re.findall(r"^\|([^|]*)\|", table, re.M):
                    for name in re.findall(rf"`({ID})`", cell):
                        with self.subTest(document=document, id=name):
                            self.assertTrue(name in ids, "no such finding")


class Encodings(unittest.TestCase):
    def test_every_format_has_its_heading_and_its_settings(self):
        text = read("docs/formats.md")
        headings = re.findall(r"^### (.*)$", text, re.M)
        named = [name for heading in headings for name in re.findall(r"`([^`]+)`", heading)]
        rows = json.loads(said("formats", "--json").stdout)["encodings"]
        self.assertGreater(len(rows), 40)
        self.assertEqual(sorted(named), sorted(row["name"] for row in rows))
        for row in rows:
            for setting in (row["settings"] or "").split():
                with self.subTest(format=row["name"], setting=setting):
                    self.assertTrue(f"`{setting}`" in text, "not in docs/formats.md")


class Json(unittest.TestCase):
    def keys(self, value, found):
        if isinstance(value, dict):
            for key, inner in value.items():
                found.add(key)
                self.keys(inner, found)
        elif isinstance(value, list):
            for inner in value:
                self.keys(inner, found)

    @unittest.skipUnless(FIXTURES, "needs fixtures")
    def test_every_key_is_documented(self):
        text = read("docs/json.md")
        known = set(re.findall(r"`([\w.]+)`", text))
        for name in ("llama-tiny", "gptq", "gguf-arrays", "torch-zip", "index-broken"):
            model = os.path.join(FIXTURES, name)
            for command in (("tree",), ("tree", "weight"), ("tree", "-c", "bfp8", "--no-cache"), ("info",), ("check",)):
                lenient = [] if command[0] == "check" else ["--lenient"]
                run = said(command[0], "--json", *lenient, model, *command[1:])
                self.assertIn(run.returncode, (0, 1), run.stderr)
                found = set()
                self.keys(json.loads(run.stdout), found)
                for key in sorted(found):
                    with self.subTest(command=command[0], model=name, key=key):
                        self.assertTrue(key in known, "not in docs/json.md")


class Version(unittest.TestCase):
    def test_changelog_has_the_version_of_the_header(self):
        header = read("include/scruple.h")
        parts = [re.search(rf"SCRUPLE_VERSION_{p} (\d+)", header).group(1)
                 for p in ("MAJOR", "MINOR", "PATCH")]
        self.assertIn("## " + ".".join(parts) + "\n", read("CHANGELOG.md"))
        self.assertIn("## Unreleased\n", read("CHANGELOG.md"))

    def test_licence_is_whole(self):
        text = read("LICENSE")
        self.assertIn("Version 2.0, January 2004", text)
        self.assertIn("END OF TERMS AND CONDITIONS", text)


if __name__ == "__main__":
    unittest.main()
