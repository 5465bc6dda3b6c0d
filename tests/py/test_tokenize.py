#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`scruple tokenize`, and tokenizers against the Rust library where npm's @anush008/tokenizers is installed (found by
NODE_PATH): random texts for every tokenizer of tests/data/tokenize, SCRUPLE_TOKENIZE_COUNT of them each."""
import json
import os
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


class Library(unittest.TestCase):
    def test_random_texts_against_the_rust_tokenizers(self):
        node = shutil.which("node")
        oracle = os.path.join(SOURCE, "tests", "oracle", "tokenize.js")
        if not node or subprocess.run([node, "-e", "require('@anush008/tokenizers')"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("npm's @anush008/tokenizers is not installed")
        folder = os.environ.get("SCRUPLE_TOKENIZE_FOLDER", DATA)
        count = os.environ.get("SCRUPLE_TOKENIZE_COUNT", "500")
        with tempfile.NamedTemporaryFile() as cases:
            subprocess.run([node, oracle, folder, count, "7"], stdout=cases, check=True)
            env = {**os.environ, "SCRUPLE_TOKENIZE_FOLDER": folder, "SCRUPLE_TOKENIZE_CASES": cases.name}
            done = subprocess.run([os.path.join(os.path.dirname(SCRUPLE), "test_tokenize"), "more_cases_when_they_are_given"],
                                  env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, 0, done.stdout.decode()[-4000:])


if __name__ == "__main__":
    unittest.main()
