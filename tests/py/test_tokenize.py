#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`scruple tokenize`, and tokenizers against the Rust library where npm's @anush008/tokenizers is installed (found by
NODE_PATH): random texts for every tokenizer of tests/data/tokenize, SCRUPLE_TOKENIZE_COUNT of them each. Of the folder
SCRUPLE_TOKENIZE_FOLDER instead, and also with the list of texts in SCRUPLE_TOKENIZE_TEXTS (JSON), where these are set."""
import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

SCRUPLE = os.environ["SCRUPLE"]
DATA = os.path.join(os.environ["TESTDATA"], "tokenize")
SOURCE = os.environ["SOURCE"]


def run(*words, stdin=b"", status=0):
    done = subprocess.run([SCRUPLE, "tokenize", *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != status:
        raise AssertionError(f"{words}: exit {done.returncode}: {done.stderr.decode()}")
    return done.stdout if status == 0 else done.stderr


def goldens(name):
    with open(os.path.join(DATA, "golden.jsonl"), encoding="utf-8") as file:
        return [case for case in map(json.loads, file) if case["tokenizer"] == name]


def gguf(keys):
    """A GGUF file without tensors."""
    def text(s):
        s = s.encode()
        return struct.pack("<Q", len(s)) + s

    def value(v):
        if isinstance(v, bool):
            return 7, struct.pack("<?", v)
        if isinstance(v, int):
            return 4, struct.pack("<I", v)
        if isinstance(v, float):
            return 6, struct.pack("<f", v)
        if isinstance(v, str):
            return 8, text(v)
        kind = value(v[0])[0]
        return 9, struct.pack("<IQ", kind, len(v)) + b"".join(value(x)[1] for x in v)

    out = b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys))
    for key, v in keys.items():
        kind, data = value(v)
        out += text(key) + struct.pack("<I", kind) + data
    return out + bytes(-len(out) % 32)


class Command(unittest.TestCase):
    MODEL = os.path.join(DATA, "llama3.json")

    def test_text_comes_from_the_command_line_a_file_or_standard_input(self):
        for case in goldens("llama3.json"):
            ids = run(self.MODEL, "--ids", stdin=case["text"].encode()).split()
            self.assertEqual(list(map(int, ids)), case["ids"], case["text"])
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"the weights")
            file.flush()
            want = run(self.MODEL, "the weights")
            self.assertEqual(run(self.MODEL, "--file", file.name), want)
            self.assertEqual(run(self.MODEL, "--file", "-", stdin=b"the weights"), want)

    def test_json_has_what_the_table_has(self):
        case = goldens("llama3.json")[3]
        document = json.loads(run(self.MODEL, "--json", case["text"]))
        self.assertEqual(document["schema"], "scruple.tokenize/1")
        self.assertEqual([t["id"] for t in document["tokens"]], case["ids"])
        self.assertEqual([t["from"] for t in document["tokens"]], case["from"])
        self.assertEqual(document["summary"]["tokens"], len(case["ids"]))
        self.assertEqual(document["summary"]["special"], 1)
        self.assertEqual(document["tokenizer"]["kind"], "BPE")
        for t in document["tokens"][1:]:
            self.assertEqual(t["text"].encode(), case["text"].encode()[t["from"]:t["to"]])

    def test_no_special_and_back(self):
        case = goldens("llama3.json")[3]
        ids = run(self.MODEL, "--ids", "--no-special", case["text"]).decode().split()
        self.assertEqual(list(map(int, ids)), case["ids"][1:])
        self.assertEqual(run(self.MODEL, "--decode", ",".join(ids)).decode(), case["text"] + "\n")
        self.assertEqual(json.loads(run(self.MODEL, "--json", "--decode", " ".join(ids)))["text"], case["text"])

    def test_mistakes_are_told(self):
        self.assertIn(b"no token has the id 99999", run(self.MODEL, "--decode", "99999", status=2))
        self.assertIn(b"is no id", run(self.MODEL, "--decode", "1 x", status=2))
        self.assertIn(b"one of TEXT", run(self.MODEL, "a", "--file", "b", status=2))
        self.assertIn(b"MODEL is missing", run(status=2))

    def test_a_folder_with_a_tokenizer_needs_no_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(self.MODEL, os.path.join(folder, "tokenizer.json"))
            with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
                json.dump({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True, "add_eos_token": True,
                           "bos_token": {"content": "<|user|>"}, "eos_token": "<|endoftext|>"}, file)
            ids = run(folder, "--ids", "the").split()
            plain = run(self.MODEL, "--ids", "--no-special", "the").split()
            last = int(run(self.MODEL, "--ids", "").split()[0])
            self.assertEqual([int(x) for x in ids], [last + 1] + [int(x) for x in plain] + [last])

    def gguf_of(self, name):
        with open(os.path.join(DATA, name + ".json"), encoding="utf-8") as file:
            model = json.load(file)["model"]
        if isinstance(model["vocab"], list):
            return model, [t for t, _ in model["vocab"]]
        return model, sorted(model["vocab"], key=model["vocab"].get)

    def compare(self, keys, name, cases):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(gguf(keys))
            file.flush()
            for case in cases:
                ids = run(file.name, "--ids", "-q", stdin=case["text"].encode()).split()
                self.assertEqual(list(map(int, ids)), case["ids"], (name, case["text"]))

    def test_gguf_of_byte_level_tokens_gives_the_same(self):
        model, tokens = self.gguf_of("llama3")
        base = len(tokens)
        tokens += ["<|endoftext|>"]
        keys = {"general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe",
                "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": model["merges"],
                "tokenizer.ggml.token_type": [1] * base + [3], "tokenizer.ggml.bos_token_id": base}
        cases = [c for c in goldens("llama3.json") if "user" not in c["text"] and "naïve word" not in c["text"]]
        self.compare(keys, "llama3", cases)
        keys["tokenizer.ggml.pre"] = "of-nobody"
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(gguf(keys))
            file.flush()
            self.assertIn(b"of-nobody", run(file.name, "a", status=3))

    def test_gguf_of_sentencepiece_tokens_gives_the_same(self):
        model, tokens = self.gguf_of("llama2")
        # The rank of a merge as a score; what no merge makes has the least.
        scores = {a + b: -float(i + 1) for i, (a, b) in reversed(list(enumerate(model["merges"])))}
        kinds = [2, 3, 3] + [6] * 256 + [1] * (len(tokens) - 259)
        keys = {"general.architecture": "llama", "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.scores": [scores.get(t, -1e6) for t in tokens], "tokenizer.ggml.token_type": kinds,
                "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0}
        self.compare(keys, "llama2", goldens("llama2.json"))

    def test_gguf_of_gemma_4_gives_the_same(self):
        model, tokens = self.gguf_of("gemma")
        kinds = [3 if t in ("<s>", "</s>") else 2 if t == "<unk>" else 6 if t.startswith("<0x") else 1 for t in tokens]
        keys = {"general.architecture": "gemma4", "tokenizer.ggml.model": "gemma4", "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.merges": [m if isinstance(m, str) else " ".join(m) for m in model["merges"]],
                "tokenizer.ggml.token_type": kinds, "tokenizer.ggml.bos_token_id": tokens.index("<s>"),
                "tokenizer.ggml.unknown_token_id": tokens.index("<unk>")}
        self.compare(keys, "gemma", goldens("gemma.json"))

    def test_gguf_of_wordpieces_gives_the_same(self):
        _, tokens = self.gguf_of("bert")
        spelled = [t if i < 5 else t[2:] if t.startswith("##") else "▁" + t for i, t in enumerate(tokens)]
        keys = {"general.architecture": "bert", "tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": spelled,
                "tokenizer.ggml.token_type": [3] * 5 + [1] * (len(tokens) - 5), "tokenizer.ggml.unknown_token_id": 1,
                "tokenizer.ggml.cls_token_id": 2, "tokenizer.ggml.seperator_token_id": 3}
        self.compare(keys, "bert", goldens("bert.json"))

    def test_gguf_of_unigrams_gives_the_same(self):
        model, tokens = self.gguf_of("xlmr")
        plain = [c for c in goldens("xlmr.json") if c["text"].isascii() and " " not in c["text"] and c["text"].isprintable()
                 and c["text"] == c["text"].strip() and "<" not in c["text"]]
        keys = {"general.architecture": "t5", "tokenizer.ggml.model": "t5", "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.scores": [float(s) for _, s in model["vocab"]],
                "tokenizer.ggml.token_type": [2] + [1] * (len(tokens) - 257) + [6] * 256,
                "tokenizer.ggml.add_eos_token": False, "tokenizer.ggml.remove_extra_whitespaces": True}
        known = [c for c in plain if 0 not in c["ids"] and not any(i >= len(tokens) - 256 for i in c["ids"])]
        self.assertTrue(known)
        self.compare(keys, "xlmr", known)


class Schema(unittest.TestCase):
    def test_documents_are_as_the_schema_says(self):
        from test_schemas import SCHEMAS, Schemas
        schemas = Schemas(SCHEMAS)
        model = os.path.join(DATA, "bert.json")
        for words in (("a b",), ("",), ("[MASK]", "--no-special"), ("--decode", "1 2 3")):
            self.assertEqual(list(schemas.problems("tokenize.json", json.loads(run(model, "--json", *words)))), [], words)


def merged(text, vocab, merges, bytes_of_all, unk, fuse):
    """Byte-pair encoding by its definition: the pair of the lowest rank, the leftmost of several, until none is left."""
    parts, pending = [], 0

    def flush():
        nonlocal pending
        parts.extend([unk] * (pending if not fuse else min(pending, 1)))
        pending = 0

    for c in text:
        if c in vocab:
            flush()
            parts.append(c)
        elif bytes_of_all and all(f"<0x{b:02X}>" in vocab for b in c.encode()):
            parts.extend(f"<0x{b:02X}>" for b in c.encode())
        elif unk:
            if not fuse:
                flush()
            pending += 1
    flush()
    while True:
        found = [(merges[pair], i) for i, pair in enumerate(zip(parts, parts[1:])) if pair in merges]
        if not found:
            return [vocab[p] for p in parts]
        _, i = min(found)
        parts[i:i + 2] = [parts[i] + parts[i + 1]]


class Definition(unittest.TestCase):
    """Long texts are encoded in parts where no merge reaches over; words come from a cache. Neither may be seen."""
    CHARS = "abc. \n,▁é’"

    def tokenizer(self, dice):
        """A small vocabulary: some characters are not in it, merges are of any two tokens, also bytes and the unknown."""
        unk, fuse, with_bytes = dice.choice([None, "<unk>", "<unk>"]), dice.random() < 0.5, dice.random() < 0.6
        tokens = [c for c in self.CHARS if dice.random() < 0.85] or ["a"]
        if unk:
            tokens.append(unk)
        missing = dice.choice([0, 0, 0.005])
        if with_bytes:
            tokens += [f"<0x{b:02X}>" for b in range(256) if b in b"abc" or dice.random() >= missing]
        merges = {}
        for _ in range(dice.randrange(14)):
            spelled = [t for t in tokens if not t.startswith("<")] or tokens
            others = [t for t in tokens if t == unk or t in [f"<0x{b:02X}>" for b in self.CHARS.encode()]] or tokens
            pair = tuple(dice.choice(spelled if dice.random() < 0.97 else others) for _ in range(2))
            if pair not in merges and len("".join(pair)) < 8:
                merges[pair] = len(merges)
                if "".join(pair) not in tokens:
                    tokens.append("".join(pair))
        vocab = {t: i for i, t in enumerate(tokens)}
        space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        both = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": dice.choice("▁ ")}, space]}
        document = {"version": "1.0", "added_tokens": [], "normalizer": dice.choice([None, space, both]), "pre_tokenizer": None,
                    "post_processor": None, "decoder": None,
                    "model": {"type": "BPE", "dropout": None, "unk_token": unk, "continuing_subword_prefix": None,
                              "end_of_word_suffix": None, "fuse_unk": fuse, "byte_fallback": with_bytes,
                              "ignore_merges": False, "vocab": vocab, "merges": [list(p) for p in merges]}}

        def normal(text):
            text = "▁" + text if document["normalizer"] == both else text
            return text.replace(" ", "▁") if document["normalizer"] else text

        return document, lambda text: merged(normal(text), vocab, merges, with_bytes, unk, fuse)

    def test_parts_and_the_cache_change_nothing(self):
        dice = random.Random(4)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokenizer.json")
            for number in range(300):
                document, want = self.tokenizer(dice)
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(document, file)
                text = "".join(dice.choice(self.CHARS) for _ in range(300))
                ids = list(map(int, run(path, "--ids", stdin=text.encode()).split()))
                self.assertEqual(ids, want(text), (number, document["model"], text))


class Library(unittest.TestCase):
    def test_random_texts_against_the_rust_tokenizers(self):
        node = shutil.which("node")
        oracle = os.path.join(SOURCE, "tests", "oracle", "tokenize.js")
        if not node or subprocess.run([node, "-e", "require('@anush008/tokenizers')"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("npm's @anush008/tokenizers is not installed")
        folder = os.environ.get("SCRUPLE_TOKENIZE_FOLDER", DATA)
        count = os.environ.get("SCRUPLE_TOKENIZE_COUNT", "500")
        with tempfile.NamedTemporaryFile() as cases:
            texts = [os.environ["SCRUPLE_TOKENIZE_TEXTS"]] if "SCRUPLE_TOKENIZE_TEXTS" in os.environ else []
            subprocess.run([node, oracle, folder, count, "7", *texts], stdout=cases, check=True)
            env = {**os.environ, "SCRUPLE_TOKENIZE_FOLDER": folder, "SCRUPLE_TOKENIZE_CASES": cases.name}
            done = subprocess.run([os.path.join(os.path.dirname(SCRUPLE), "test_tokenize"), "more_cases_when_they_are_given"],
                                  env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, 0, done.stdout.decode()[-4000:])


if __name__ == "__main__":
    unittest.main()
