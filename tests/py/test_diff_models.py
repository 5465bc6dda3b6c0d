# SPDX-License-Identifier: Apache-2.0
"""scruple diff of whole folders: fine-tunes and their cards, files without tensors, what rounding
explains, ranks, checkpoints in order."""
import json
import os
import unittest

from test_diff import SCHEMAS, DiffCase, np, validate
from test_diff_gguf import q4_0
from test_scan import bf16, healthy, save, value


class Folders(DiffCase):
    def model(self, name, tensors, **files):
        os.makedirs(self.at(name))
        save(os.path.join(self.at(name), "model.safetensors"), tensors)
        for path, text in files.items():
            path = os.path.join(self.at(name), path.replace("_md", ".md").replace("_jsonl", ".jsonl").replace("_json", ".json"))
            with open(path, "w", encoding="utf-8", newline="") as f:
                f.write(text)
        return self.at(name)

    def setUp(self):
        super().setUp()
        self.base = healthy(self.rng, 2, 32)
        self.tuned = {k: bf16(value(v) + .001) if "layers.1" in k else v for k, v in self.base.items()}


CARD = "---\nbase_model: Org/Base\n---\n# A model\n"


class Finetunes(Folders):
    def test_card_names_the_base(self):
        a, b = self.model("Base", self.base), self.model("tuned", self.tuned, README_md=CARD)
        document = self.diff(a, b)
        self.assertEqual({"base": "Org/Base", "violations": 0, "findings": [], "unchanged": False, "unrelated": False},
                         document["finetune"])
        self.assertIsNone(self.diff(a, b, "--no-finetune")["finetune"])
        self.assertIsNone(self.diff(b, a)["finetune"])
        self.assertIsNone(self.diff(b, a, "--finetune")["finetune"]["base"])
        # with one argument, the base that lies beside it
        document = self.diff(b)
        self.assertEqual(0, document["finetune"]["violations"])
        self.assertEqual(len(self.base), len(document["pairs"]))

    def test_other_relations(self):
        a = self.model("base", self.base)
        b = self.model("quantized", self.tuned, README_md=CARD.replace("\n---\n#", "\nbase_model_relation: quantized\n---\n#"))
        self.assertIsNone(self.diff(a, b)["finetune"])

    def test_violations(self):
        broken = dict(self.tuned, extra=bf16(np.ones(8)))
        del broken["model.layers.0.mlp.up_proj.weight"]
        broken["model.embed_tokens.weight"] = bf16(np.ones((7, 32)))
        a, b = self.model("base", self.base), self.model("broken", broken, README_md=CARD)
        document = self.diff(a, b, "--strict", exits=(3,))
        f = document["finetune"]
        self.assertEqual((3, ["only_a", "only_b", "shape"]), (f["violations"], [x["status"] for x in f["findings"]]))
        self.assertIn("3 tensors not as a fine-tune keeps them", document["sentence"])
        self.diff(a, b, exits=(1,))
        self.diff(a, b, "--strict", "--no-finetune", exits=(1,))
        same = self.model("same", self.base, README_md=CARD)
        self.assertTrue(self.diff(a, same, exits=(0,))["finetune"]["unchanged"])

    def test_no_base_to_be_found(self):
        b = self.model("tuned", self.tuned, README_md=CARD)
        done = self.run_it(b, exits=(2, 3, 4, 5), HF_HUB_OFFLINE="1")
        self.assertIn("the base model Org/Base, which README.md names", done.stderr.decode())
        done = self.run_it(self.model("nocard", self.tuned), exits=(2,))
        self.assertIn("neither a card nor a configuration", done.stderr.decode())


class OtherFiles(Folders):
    def files(self, a, b, **more):
        document = self.diff(self.model("a", self.base, **a), self.model("b", self.base, **b), exits=(0,), **more)
        return {f["path"]: f for f in document["files"]}

    def test_bytes(self):
        got = self.files({"notes": "hello world", "same": "x", "gone": "1", "longer": "abc"},
                         {"notes": "hello World", "same": "x", "new": "2", "longer": "abcdef"})
        self.assertEqual({"notes": ("changed", 6), "same": ("same", None), "gone": ("only_a", None),
                          "new": ("only_b", None), "longer": ("changed", 3)},
                         {k: (f["status"], f["first_difference"]) for k, f in got.items()})
        self.assertEqual((11, 11, None), (got["notes"]["bytes_a"], got["notes"]["bytes_b"], got["gone"]["bytes_b"]))
        self.assertTrue(all(f["structure"] is None for f in got.values()))

    def test_json(self):
        a = {"architectures": ["X"], "eos": [1, 2, 3], "rope": {"factor": 8.0, "type": "llama3"}, "old": None, "a.b": 1}
        b = {"eos": [1, 9, 3], "rope": {"type": "llama3", "factor": 4.0}, "architectures": ["X"], "new": {"deep": [True]}, "a.b": 2}
        got = self.files({"config_json": json.dumps(a)}, {"config_json": json.dumps(b, indent=2)})["config.json"]["structure"]
        self.assertEqual(("json", 1, 1, 3), tuple(got[k] for k in ("format", "added", "removed", "changed")))
        self.assertEqual({("$.old", "removed", "null", None), ("$.new", "added", None, '{"deep":[true]}'),
                          ("$.eos[1]", "changed", "2", "9"), ("$.rope.factor", "changed", "8.0", "4.0"),
                          ('$["a.b"]', "changed", "1", "2")},
                         {tuple(c[k] for k in ("path", "kind", "a", "b")) for c in got["changes"]})

    def test_json_of_the_same_content(self):
        a = {"b": [1, {"c": 2}], "a": "é"}
        got = self.files({"config_json": json.dumps(a)}, {"config_json": json.dumps(a, indent=1, sort_keys=True, ensure_ascii=False)})
        s = got["config.json"]["structure"]
        self.assertEqual(("changed", 0, 0, 0, []), (got["config.json"]["status"], *(s[k] for k in ("added", "removed", "changed", "changes"))))

    def test_json_lines(self):
        line = [json.dumps({"i": i, "text": f"line {i}"}) for i in range(20)]
        b = line[:5] + [json.dumps({"i": 5, "text": "other"})] + line[6:] + [json.dumps({"i": 20})]
        got = self.files({"data_jsonl": "\n".join(line) + "\n"}, {"data_jsonl": "\n".join(b) + "\n"})["data.jsonl"]["structure"]
        self.assertEqual([("[6].text", "changed"), ("[21]", "added")], [(c["path"], c["kind"]) for c in got["changes"]])

    def test_elements_that_moved(self):
        """What both begin and end with is not reported."""
        words = [f"w{i}" for i in range(50)]
        got = self.files({"v_json": json.dumps(words)}, {"v_json": json.dumps(words[:10] + ["new"] + words[10:])})["v.json"]["structure"]
        self.assertEqual([("$[10]", "added", '"new"')], [(c["path"], c["kind"], c["b"]) for c in got["changes"]])

    def test_lines_and_elements_that_stay(self):
        """Of a sequence that lost and won elements the others are matched; indices are those of the side that has it."""
        line = [json.dumps({"i": i, "text": f"line {i}"}) for i in range(40)]
        other = json.dumps({"i": 30, "text": "other"})
        b = line[:7] + line[8:20] + ["[1]"] + line[20:30] + [other] + line[31:] + ["[2]"]
        words = [{"a": i, "b": [i]} for i in range(30)]
        turned = [{"b": [i], "a": i} for i in range(30)]
        got = self.files({"d_jsonl": "\n".join(line), "v_json": json.dumps({"x": words})},
                         {"d_jsonl": "\n".join(b), "v_json": json.dumps({"x": ["new", *turned[:9], *turned[10:29]]})})
        self.assertEqual([("[8]", "removed"), ("[20]", "added"), ("[31].text", "changed"), ("[41]", "added")],
                         [(c["path"], c["kind"]) for c in got["d.jsonl"]["structure"]["changes"]])
        self.assertEqual([("$.x[0]", "added"), ("$.x[9]", "removed"), ("$.x[29]", "removed")],
                         [(c["path"], c["kind"]) for c in got["v.json"]["structure"]["changes"]])

    def test_random_sequences_have_the_fewest_changes(self):
        """Added and removed elements, a changed one being both: the length of the way that dynamic programming finds."""
        lists, want = [], []
        for _ in range(60):
            a, b = ([int(x) for x in self.rng.integers(0, 4, self.rng.integers(0, 14))] for _ in range(2))
            common = np.zeros((len(a) + 1, len(b) + 1), int)
            for i, j in np.ndindex(len(a), len(b)):
                common[i + 1, j + 1] = common[i, j] + 1 if a[i] == b[j] else max(common[i, j + 1], common[i + 1, j])
            lists.append((a, b))
            want.append(len(a) + len(b) - 2 * common[-1, -1])
        a, b = ({f"k{i}_json": json.dumps(pair[side]) for i, pair in enumerate(lists)} for side in (0, 1))
        got = self.files(a, b)
        for i, n in enumerate(want):
            s = got[f"k{i}.json"]["structure"]
            self.assertEqual(n, s["added"] + s["removed"] + 2 * s["changed"] if s else 0, lists[i])

    def test_numbers_are_as_short_as_they_can_be(self):
        values = (1e-05, 0.1, 1 / 3, 2.0, 1e300, 123456789012345678, -0.02, 1e22)
        got = self.files({"n_json": json.dumps({f"k{i}": [None, v] for i, v in enumerate(values)})},
                         {"n_json": json.dumps({f"k{i}": 0 for i in range(len(values))})})["n.json"]["structure"]["changes"]
        shown = {c["path"]: c["a"] for c in got}
        for i, v in enumerate(values):
            text = shown[f"$.k{i}"]
            self.assertEqual([None, v], json.loads(text))
            self.assertLessEqual(len(text), len(json.dumps([None, v], separators=(",", ":"))) + 1, text)
        long = self.files_again({"n_json": json.dumps(["x" * 500, 1])}, {"n_json": json.dumps([["y"] * 500, 1])})
        for side in "ab":
            self.assertEqual((163, "..."), (len(long[side]), long[side][-3:]))

    def files_again(self, a, b):
        self.folder.cleanup()
        os.makedirs(self.folder.name)
        return self.files(a, b)["n.json"]["structure"]["changes"][0]

    def test_a_strip_counts_bytes(self):
        a = self.rng.integers(97, 100, 1000).astype("u1")
        b = self.rng.integers(97, 100, 1337).astype("u1")
        got = self.files({"x": a.tobytes().decode(), "y": "same", "z": "1"}, {"x": b.tobytes().decode(), "y": "same", "w": "2"})
        want = np.zeros(128, int)
        for i in range(1337):
            want[i * 128 // 1337] += i >= 1000 or a[i] != b[i]
        self.assertEqual((want.tolist(), want.sum()), (got["x"]["strip"], got["x"]["differing_bytes"]))
        for name in "yzw":
            self.assertEqual((None, None), (got[name]["strip"], got[name]["differing_bytes"]))

    def test_hostile(self):
        deep = "[" * 60000 + "]" * 60000
        got = self.files({"deep_json": deep, "bad_json": "{", "bin_json": "\0\1"},
                         {"deep_json": deep[:-1] + " ]", "bad_json": "{}", "bin_json": "[1]"})
        for name in ("deep.json", "bad.json", "bin.json"):
            self.assertEqual(("changed", None), (got[name]["status"], got[name]["structure"]), name)
            self.assertIsNotNone(got[name]["why"])
        nested = json.loads("[" * 100 + "]" * 100)
        many = {f"k{i}": i for i in range(1000)}
        self.folder.cleanup()
        os.makedirs(self.folder.name)
        got = self.files({"deep_json": json.dumps([nested, 1]), "many_json": json.dumps(many)},
                         {"deep_json": json.dumps([nested, 2]), "many_json": "{}"})
        self.assertIn("nested too deeply", got["deep.json"]["why"])
        s = got["many.json"]["structure"]
        self.assertEqual((1000, 100), (s["removed"], len(s["changes"])))

    def test_on_a_terminal(self):
        a, b = self.model("a", self.base, config_json='{"x": 1}'), self.model("b", self.base, config_json='{"x": 2}')
        text = self.run_it(a, b).stdout.decode()
        self.assertIn("Other files\n  config.json  differs from byte 6 on (8 and 8 bytes)\n    ~ $.x  1 -> 2\n", text)
        self.assertNotIn("Other files", self.run_it(a, b, "--no-files").stdout.decode())
        self.assertIsNone(self.diff(a, b, "--no-files")["files"])


class Casts(Folders):
    def test_by_way_of_another_format(self):
        """A BF16 file whose values went through Q4_0."""
        x = self.rng.normal(0, 1, (16, 64)).astype("f4")
        through = np.frombuffer(q4_0(x), "u1").reshape(-1, 18)
        scale = through[:, :2].copy().view("f2").astype("f4")
        codes = np.concatenate([through[:, 2:] & 15, through[:, 2:] >> 4], axis=1).astype("f4") - 8
        y = bf16((codes * scale).reshape(x.shape))
        a, b = self.save("a.safetensors", {"w": x}), self.save("b.safetensors", {"w": y})
        p = self.diff(a, b)["pairs"][0]
        self.assertEqual(("changed", "BF16"), (p["verdict"], p["cast"]["type"]))
        p = self.diff(a, b, "--cast", "fp8,q4_0")["pairs"][0]
        self.assertEqual(("cast", "q4_0", "a", 0), (p["verdict"], p["cast"]["type"], p["cast"]["of"], p["cast"]["unexplained"]))
        self.assertIsNone(self.diff(a, b, "--cast", "none")["pairs"][0]["cast"])
        for bad in ("q9", "int8", "bf16,,", "nvfp4"):
            self.assertIn(b"--cast", self.run_it(a, b, "--cast", bad, exits=(2,)).stderr)

    def test_about(self):
        """Types that we fit in our own way: not exact, but no more than a rounding."""
        x = self.rng.normal(0, 1, (8, 256)).astype("f4")
        done = self.diff(self.save("a.safetensors", {"w": x}), self.save("b.safetensors", {"w": bf16(x)}))
        self.assertEqual({"bits": 0, "values": 0, "cast": 1, "about": 0, "changed": 0}, done["summary"]["verdicts"])
        self.assertIn("all of it is rounding", done["sentence"])


class Ulps(DiffCase):
    def test_histogram(self):
        for wrap, view, inf in ((bf16, "u2", 0x7f80), (lambda x: x.astype("f2"), "u2", 0x7c00), (lambda x: x.astype("f4"), "u4", 0x7f800000)):
            a = wrap(self.rng.normal(0, 1, 4000))
            codes = a.view(view).copy()
            codes[::2] += self.rng.choice([0, 1, 3, 100, 2000], 2000).astype(view)
            codes[1::7] ^= np.array(1 << (8 * codes.itemsize - 1), view)
            codes[5] = inf
            b = codes.view(a.dtype)
            p = self.diff(self.save("a.safetensors", {"w": a}), self.save("b.safetensors", {"w": b}), "--methods", "ulp")["pairs"][0]
            top = 1 << (8 * codes.itemsize - 1)
            place = [np.where(x & top, -(x & (top - 1)), x & (top - 1)) for x in (a.view(view).astype("i8"), codes.astype("i8"))]
            ok = np.abs(place[1]) < inf
            d = np.abs(place[0] - place[1])[ok]
            want = [int((d == 0).sum())] + [int(((d >= 1 << k) & (d < 1 << k + 1)).sum()) for k in range(18)]
            self.assertEqual(want + [int(ok.sum()) - sum(want)], p["ulp"]["histogram"])
            self.assertEqual(int(d.max()), p["ulp"]["max"])
        self.assertIsNone(self.diff(self.at("a.safetensors"), self.at("b.safetensors"))["pairs"][0]["ulp"])


class Ranks(Folders):
    def test_what_broke_comes_first(self):
        broken = dict(self.tuned)
        name = "model.layers.0.mlp.up_proj.weight"
        w = value(broken[name]).copy()
        w[1, 2] = np.nan
        broken[name] = bf16(w)
        a, b = self.model("a", self.base), self.model("b", broken)
        self.assertEqual(name, self.diff(a, b)["most_changed"][0]["name"])
        self.assertNotEqual(name, self.diff(b, a)["most_changed"][0]["name"])  # it was repaired
        text = self.run_it(a, b).stdout.decode()
        self.assertIn("not finite", text)
        self.assertIn("0 -> 1", text)
        self.assertNotIn("not finite", self.run_it(a, self.model("c", self.tuned)).stdout.decode())

    def test_by(self):
        a, b = self.model("a", self.base), self.model("b", self.tuned)
        text = self.run_it(a, b, "--by", "layer,role", "--no-files").stdout.decode()
        self.assertIn("Layers that changed most", text)
        self.assertIn("Kinds of weights that changed most", text)
        self.assertNotIn("Changed most\n", text)
        self.assertEqual(2, self.run_it(a, b, "--by", "colour", exits=(2,)).returncode)


if __name__ == "__main__":
    unittest.main()
