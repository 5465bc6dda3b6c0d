# SPDX-License-Identifier: Apache-2.0
"""Perplexities against an independent pass in double precision, protocol by protocol; texts are read as `tokenize`
reads them."""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_reference as ref  # noqa: E402

SCRUPLE = os.environ["SCRUPLE"]
IDS = [int(v) for v in np.random.default_rng(9).integers(0, 150, 61)]
# bytes as byte-level tokenizers spell them
SPELL = {b: chr(c) for b, c in zip(
    [*range(33, 127), *range(161, 173), *range(174, 256), *(b for b in range(256) if not (33 <= b < 127 or 161 <= b < 173
                                                                                          or 174 <= b))],
    [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)])}


def nll_of(logits, targets):
    z = logits - logits.max(1, keepdims=True)
    p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -p[np.arange(len(targets)), targets]


class Eval(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp()
        cls.c = {**ref.CONFIGS["llama3"], "vocab_size": 150}
        cls.tensors = ref.make(cls.c, 12)
        cls.folder = ref.write_folder(os.path.join(cls.dir, "m"), cls.c, cls.tensors)
        # 128 bytes, a begin, and some merges
        vocab = {SPELL[b]: b for b in range(128)}
        merges = ["t h", "th e", "i n", "Ġ the"]
        for m in merges:
            vocab["".join(m.split())] = len(vocab)
        vocab["<s>"] = 149
        with open(os.path.join(cls.folder, "tokenizer.json"), "w") as f:
            json.dump({"version": "1.0", "added_tokens": [
                {"id": 149, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True}],
                "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                                                      "use_regex": True},
                "post_processor": {"type": "TemplateProcessing", "single": [
                    {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                    "special_tokens": {"<s>": {"id": "<s>", "ids": [149], "tokens": ["<s>"]}}},
                "decoder": {"type": "ByteLevel"},
                "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                          "end_of_word_suffix": None, "fuse_unk": False, "vocab": vocab, "merges": merges}}, f)
        with open(os.path.join(cls.folder, "tokenizer_config.json"), "w") as f:
            json.dump({"bos_token": "<s>"}, f)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def said(self, *words, ids=None, status=0):
        source = ["--ids", ",".join(map(str, ids))] if ids else []
        r = subprocess.run([SCRUPLE, "eval", self.folder, *source, *words, "--json", "-q"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, status, r.stderr)
        return json.loads(r.stdout) if status == 0 else r.stderr.decode()

    def test_the_terminal_tells_how_products_were_made(self):
        ids = ["--ids", ",".join(map(str, range(3, 40)))]
        text = [subprocess.run([SCRUPLE, "eval", self.folder, *ids, *more, "-q"], stdout=subprocess.PIPE, check=True,
                               text=True).stdout for more in ([], ["--precision", "f32"], ["--precision", "bf16"])]
        self.assertEqual(text[0], text[1])
        self.assertNotIn("bfloat16", text[0])
        self.assertIn("products of bfloat16)\n", text[2])

    def window(self, ids, first=1):
        logits = ref.Reference(self.c, self.tensors).run(np.array(ids))
        return nll_of(logits[first - 1:-1], ids[first:])

    def check(self, d, nll):
        nll = np.concatenate(nll)
        self.assertEqual(d["scored"], len(nll))
        self.assertAlmostEqual(d["nll"], nll.mean(), delta=2e-5)
        self.assertAlmostEqual(d["perplexity"], math.exp(nll.mean()), delta=1e-4 * math.exp(nll.mean()))
        self.assertAlmostEqual(d["nll_error"], nll.std() / math.sqrt(len(nll)), delta=1e-5)

    def test_windows(self):
        d = self.said("--window", "16", ids=IDS)
        self.check(d, [self.window(IDS[i:i + 16]) for i in (0, 16, 32)])
        self.assertEqual(d["stride"], None)
        self.check(self.said(ids=IDS), [self.window(IDS)])
        self.check(self.said("--window", "16", "--limit", "2", ids=IDS), [self.window(IDS[:16]), self.window(IDS[16:32])])
        self.check(self.said("--window", "61", ids=IDS), [self.window(IDS)])

    def test_llama_cpp(self):
        parts = [[149, *IDS[i + 1:i + 16]] for i in (0, 16, 32)]
        self.check(self.said("--protocol", "llama.cpp", "--window", "16", ids=IDS), [self.window(p, 9) for p in parts])

    def test_rolling(self):
        d = self.said("--protocol", "rolling", "--window", "20", "--stride", "8", ids=IDS)
        want, reached = [self.window(IDS[:20])], 20
        for start in range(8, 61, 8):
            part = IDS[start:start + 20]
            if start + len(part) > reached:
                want.append(self.window(part, reached - start))
                reached = start + len(part)
        self.check(d, want)
        self.assertEqual(d["scored"], 60)

    def test_little_memory_gives_the_same(self):
        """More readings of the model, the same numbers."""
        many = self.said("--window", "8", ids=IDS * 30)
        one = self.said("--window", "8", "--memory", "140M", "-j", "1", ids=IDS * 30)
        for d in (many, one):
            d.pop("passes"), d.pop("io")
        self.assertEqual(many, one)

    def test_text(self):
        text = "the thin thing is in the inn"
        ids = subprocess.run([SCRUPLE, "tokenize", self.folder, text, "--ids"], stdout=subprocess.PIPE, check=True).stdout
        ids = [int(v) for v in ids.split()]
        self.assertEqual(ids[0], 149)
        d = self.said("--text", text)
        nll = self.window(ids)
        self.check(d, [nll])
        self.assertAlmostEqual(d["bits_per_byte"], nll.mean() * len(ids) / math.log(2) / len(text), delta=1e-4)
        self.assertAlmostEqual(d["word_perplexity"] / math.exp(nll.mean() * len(ids) / 7), 1, delta=1e-3)
        path = os.path.join(self.dir, "text")
        with open(path, "w") as f:
            f.write(text)
        self.assertEqual(self.said("--file", path)["nll"], d["nll"])
        r = subprocess.run([SCRUPLE, "eval", self.folder, "--file", "-", "--json", "-q"], input=text.encode(),
                           stdout=subprocess.PIPE, check=True)
        self.assertEqual(json.loads(r.stdout)["nll"], d["nll"])
        self.check(self.said("--text", text, "--no-special"), [self.window(ids[1:])])
        doc = json.loads(subprocess.run([SCRUPLE, "activations", self.folder, "--text", "in the", "--json"],
                                        stdout=subprocess.PIPE, check=True).stdout)
        self.assertEqual(doc["pieces"], ["<s>", "in", "Ġthe"])

    def test_wrong_words(self):
        for words in ([], ["--ids", "1", "--text", "x"], ["--ids", "1,2", "--window", "1"], ["--ids", "7"], ["--text", ""],
                      ["--ids", "1,2", "--protocol", "best"]):
            r = subprocess.run([SCRUPLE, "eval", self.folder, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               universal_newlines=True)
            self.assertEqual(r.returncode, 2, (words, r.stderr))
            self.assertEqual(r.stderr.count("\n"), 1)

    def test_windows_in_which_nothing_counts(self):
        for more, word in ((["--protocol", "rolling", "--window", "4", "--stride", "4"], "leave tokens out"),
                           (["--protocol", "rolling", "--window", "4", "--stride", "9"], "leave tokens out"),
                           (["--protocol", "llama.cpp", "--window", "2"], "no token counts")):
            r = subprocess.run([SCRUPLE, "eval", self.folder, "--ids", "1,2,3,4,5,6,7", *more],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
            self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
            self.assertIn(word, r.stderr)
        r = subprocess.run([SCRUPLE, "eval", self.folder, "--ids", "1,2,3,4,5,6,7", "--protocol", "rolling", "--window",
                            "4", "--stride", "3", "--json"], stdout=subprocess.PIPE)
        self.assertEqual(json.loads(r.stdout)["scored"], 6)

    def test_a_model_that_gives_no_numbers(self):
        tensors = dict(self.tensors)
        tensors["model.norm.weight"] = tensors["model.norm.weight"] * np.float32("nan")
        folder = ref.write_folder(os.path.join(self.dir, "broken"), self.c, tensors)
        r = subprocess.run([SCRUPLE, "eval", folder, "--ids", "1,2,3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           universal_newlines=True)
        self.assertIn("no perplexity", r.stderr)
        r = subprocess.run([SCRUPLE, "eval", folder, "--ids", "1,2,3", "--quantize", "rtn4", "--json"],
                           stdout=subprocess.PIPE, check=True)
        d = json.loads(r.stdout)
        self.assertIsNone(d["nll_error"])
        for row in d["quantized"]:
            for key in ("nll", "perplexity_ratio", "nll_low", "nll_high", "kl", "agree", "change"):
                self.assertIsNone(row[key], (row["format"], key))

    def test_more_than_the_context(self):
        context = self.c["max_position_embeddings"]
        ids = ",".join(str(i % 5) for i in range(context + 1))
        for words, told in ((["super"], True), (["activations", "--hook", "residual"], True), (["eval"], False),
                            (["eval", "--window", str(context + 1)], True)):
            r = subprocess.run([SCRUPLE, words[0], self.folder, "--ids", ids, *words[1:]], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, universal_newlines=True, check=True)
            self.assertEqual(f"was made for {context}" in r.stderr, told, (words, r.stderr))

    def test_options_that_would_do_nothing(self):
        for more, word in ((["--stride", "2"], "--stride"), (["--hold", "x[0]"], "--hold")):
            r = subprocess.run([SCRUPLE, "eval", self.folder, "--ids", "1,2,3", *more], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, universal_newlines=True)
            self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
            self.assertIn(word, r.stderr)


if __name__ == "__main__":
    unittest.main()
