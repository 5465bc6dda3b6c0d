# SPDX-License-Identifier: Apache-2.0
"""The pictures of activations, super and eval: what they show is what the JSON says, by the words of their marks and by
where these stand; nothing is cut off or on top of something else, whatever the model is; pages are whole and work."""
import glob
import json
import math
import os
import re
import resource
import signal
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ET

import numpy as np

import planted_model
from browser import CHROMIUM, Browser
from test_report_pages import Reader, digest, read

SCRUPLE = os.environ["SCRUPLE"]
SVG = "{http://www.w3.org/2000/svg}"
IDS = ",".join(str(i) for i in range(3, 143, 4))
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:·10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?[KMBT]?|10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|∞)|–")
RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def value(text):
    """A number as pictures write it."""
    if text in ("–", "∞", "-∞"):
        return {"–": math.nan, "∞": math.inf, "-∞": -math.inf}[text]
    unit = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1)
    text = text.rstrip("KMBT")
    if "10" in text and re.search("10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]", text):
        m, _, e = text.partition("10")
        m = m.rstrip("·")
        return (float(m + "1") if m in ("", "-") else float(m)) * 10 ** int(e.translate(RAISED))
    return float(text) * unit


def run(command, folder, *more, fails=False):
    r = subprocess.run([SCRUPLE, command, folder, "-q", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if fails:
        return r
    if r.returncode:
        raise AssertionError(r.stderr)
    return r.stdout


class Picture:
    """An SVG file with the texts of its marks."""

    def __init__(self, path):
        self.root = ET.fromstring(read(path))
        self.tips = {}
        self.order = []
        for g in self.root.iter(SVG + "g"):
            title = g.find(SVG + "title")
            if title is not None:
                self.tips[title.text] = g
                self.order.append(title.text)
        self.words = " ".join(t.text or "" for t in self.root.iter(SVG + "text"))

    def tip(self, start):
        found = [t for t in self.order if t.startswith(start)]
        if len(found) != 1:
            raise AssertionError((start, found))
        return found[0]


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.holder.cleanup)
        cls.dir = cls.holder.name

    @classmethod
    def place(cls, *names):
        return os.path.join(cls.dir, *names)

    def near(self, text, wanted, what=""):
        """A number of a picture against the one of the JSON: it has four digits at most."""
        got = value(text)
        if wanted is None or (isinstance(wanted, float) and math.isnan(wanted)):
            self.assertTrue(math.isnan(got), (what, text))
        else:
            self.assertLessEqual(abs(got - wanted), max(abs(wanted) * 0.006, 6e-5), (what, text, wanted))

    def check_files(self, folder):
        files = sorted(glob.glob(os.path.join(folder, "*.svg")))
        self.assertTrue(files)
        for path in files:
            with self.subTest(picture=os.path.basename(path)):
                self.check_file(path)
        return files

    def check_file(self, path):
        text = read(path)
        root = ET.fromstring(text)
        self.assertTrue(root.find(SVG + "title").text)
        self.assertTrue(root.find(SVG + "desc").text)
        self.assertNotRegex(text.replace("http://www.w3.org/2000/svg", ""), r"https?:|url\(|<script")
        self.assertNotRegex(re.sub(r"<(title|text|desc)[^>]*>[^<]*", "", text), r"(?i)nan|inf")
        width, height = (float(v) for v in root.get("viewBox").split()[2:])
        self.check_texts(root, width, height)

    def check_texts(self, root, width, height):
        """No text leaves the picture, and no two of one line are on top of each other: a rather narrow font."""
        size = {int(k): float(v) for k, v in re.findall(r"\.t(\d)\{font-size:(\d+)px", root.find(SVG + "style").text)}
        boxes = []

        def walk(node, dx, dy):
            for child in node:
                m = re.match(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", child.get("transform", ""))
                x, y = (dx + float(m[1]), dy + float(m[2])) if m else (dx, dy)
                if child.tag == SVG + "text":
                    w = 0.5 * size[int(child.get("class")[1:])] * sum(2 if ord(c) > 0x2e80 else 1 for c in child.text)
                    left = x + float(child.get("x")) - w * {"middle": .5, "end": 1}.get(child.get("text-anchor"), 0)
                    boxes.append((left, y + float(child.get("y")), left + w, child.text))
                walk(child, x, y)
        walk(root, 0, 0)
        for left, y, right, text in boxes:
            self.assertGreater(left, -1, text)
            self.assertLess(right, width + 1, text)
            self.assertTrue(0 < y < height, (text, y, height))
        for i, a in enumerate(boxes):
            for b in boxes[i + 1:]:
                self.assertTrue(abs(a[1] - b[1]) >= 9 or a[2] <= b[0] + 1 or b[2] <= a[0] + 1, (a, b))


def bar(item):
    """Left, top, width, height of the first rectangle that is seen."""
    r = next(r for r in item.iter(SVG + "rect") if r.get("fill-opacity") != "0")
    return tuple(float(r.get(k)) for k in ("x", "y", "width", "height"))


class SuperPictures(Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = planted_model.write(cls.place("model"), layers=6)
        cls.d = json.loads(run("super", cls.model, "--ids", IDS, "--verify", "--json", "--plots", cls.place("super")))

    def picture(self, name):
        return Picture(self.place("super", name + ".svg"))

    def test_every_picture_is_there_and_sound(self):
        names = [os.path.basename(p)[:-4] for p in self.check_files(self.place("super"))]
        self.assertEqual(names, ["divergence", "histogram-layer-1", "maxima", "perplexity", "scale", "shift", "stream",
                                 "weights-layer-1"])

    def test_maxima_are_those_of_the_json(self):
        p = self.picture("maxima")
        tips = [t for t in p.order if t.startswith("layer ")]
        self.assertEqual(len(tips), 12)
        last = max(m["round"] for m in self.d["maxima"])
        self.assertGreater(last, 0)
        for k, hook in enumerate(("down_in", "down_out")):
            rows = {(m["round"], m["layer"]): m for m in self.d["maxima"] if m["hook"] == hook}
            self.assertEqual(len(rows), 12)
            heights = []
            for layer in range(6):
                before, after = (re.match(r"(?:layer \d+: )?(\S+), token (\d+) \(.*\), channel (\d+)$", part)
                                 for part in tips[6 * k + layer].split("; zeroed: "))
                for got, row in ((before, rows[0, layer]), (after, rows[last, layer])):
                    self.near(got[1], row["most"])
                    self.assertEqual((int(got[2]), int(got[3])), (row["token"], row["channel"]))
                heights.append((abs(rows[0, layer]["most"]), bar(p.tips[tips[6 * k + layer]])[3]))
            scale = max(h / v for v, h in heights)
            for v, h in heights:
                self.assertLess(abs(h - v * scale), 1.2)

    def test_what_is_before_the_first_zeroed_weight_is_as_in_the_model(self):
        for m in self.d["maxima"]:
            if m["layer"] == 0:
                other = next(x for x in self.d["maxima"] if x["layer"] == 0 and x["hook"] == m["hook"])
                self.assertEqual({**m, "round": 0}, other)

    def test_perplexities_and_intervals(self):
        p = self.picture("perplexity")
        base = self.d["effects"][0]["nll"]
        shown = [e for e in self.d["effects"] if e["kind"] != "scaled"]
        tips = [t for t in p.order if ": perplexity " in t]
        self.assertEqual(len(tips), len(shown))
        ends = []
        for tip, e in zip(tips, shown):
            self.near(re.search(r"perplexity (\S+),", tip)[1], math.exp(e["nll"]))
            if e["kind"] == "base":
                continue
            m = re.search(r"difference (\S+) to (\S+) \(95 %\), KL (\S+), same likeliest token (\S+)", tip)
            for got, wanted in zip(m.groups(), (e["nll_low"], e["nll_high"], e["kl"], e["agree"])):
                self.near(got, wanted, tip)
            x, _, w, _ = bar(p.tips[tip])
            whisker = p.tips[tip].find(SVG + "line")
            for at, v in ((x + w, e["nll"]), (float(whisker.get("x1")), base + e["nll_low"]),
                          (float(whisker.get("x2")), base + e["nll_high"])):
                ends.append((v, at))
        # a logarithmic axis of perplexity is a linear one of nll
        v, at = np.array(ends).T
        slope, start = np.polyfit(v, at, 1)
        self.assertLess(np.abs(start + slope * v - at).max(), 0.1)
        self.assertGreater(slope, 0)

    def test_scales(self):
        p = self.picture("scale")
        got = {}
        for tip in p.order:
            m = re.match(r"times (\S+): perplexity (\S+), 95 %: (\S+) to (\S+)$", tip)
            got[value(m[1])] = m.groups()[1:]
        base = self.d["effects"][0]["nll"]
        wanted = {e["factor"]: e for e in self.d["effects"] if e["kind"] == "scaled"}
        wanted[0] = next(e for e in self.d["effects"] if e["kind"] == "all")
        wanted[1] = self.d["effects"][0]
        self.assertEqual(sorted(got), sorted(wanted))
        for factor, e in wanted.items():
            for text, v in zip(got[factor], (e["nll"], base + e["nll_low"], base + e["nll_high"])):
                self.near(text, math.exp(v))

    def test_tokens(self):
        p = self.picture("shift")
        words = planted_model.words(150)
        by_id = {t["id"]: t for t in self.d["shift"]}
        half = len(p.order) // 2
        self.assertEqual(half, 12)
        for k, tips in enumerate((p.order[:half], p.order[half:])):
            keys = ("base", "all", "restored") if k == 0 else ("last_base", "last_all", "last_restored")
            ids = []
            for tip in tips:
                m = re.match(r"(.*) \((\d+)\): (\S+), zeroed (\S+), put back (\S+)$", tip)
                t = by_id[int(m[2])]
                ids.append(int(m[2]))
                self.assertEqual(m[1], words[t["id"]])
                for text, key in zip(m.groups()[2:], keys):
                    self.near(text, t[key], tip)
            # the likeliest six of both sides are among them
            for key in keys[:2]:
                top = sorted(by_id.values(), key=lambda t, k=key: -t[k])[:6]
                self.assertLessEqual({t["id"] for t in top}, set(ids))

    def test_shift_is_what_the_models_say(self):
        """Against an independent pass in double precision, with and without the planted weights."""
        ids = np.array([int(i) for i in IDS.split(",")])
        tensors = planted_model.tensors(layers=6)
        found = [(w["row"], w["column"]) for w in self.d["weights"]]

        def zero(w):
            for at in found:
                w[at] = 0
        without = planted_model.edit(tensors, "model.layers.1.mlp.down_proj.weight", zero)
        for t, name in ((tensors, "base"), (without, "all")):
            z = planted_model.ref.Reference(planted_model.config(6), t).run(ids)
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            for token in self.d["shift"]:
                self.assertAlmostEqual(token[name], p[:, token["id"]].mean(), delta=1e-4)
                self.assertAlmostEqual(token["last_" + name], p[-1, token["id"]], delta=1e-3)

    def test_matrices(self):
        m, = self.d["matrices"]
        down = planted_model.tensors(layers=6)["model.layers.1.mlp.down_proj.weight"].astype(np.float64)
        self.assertEqual((m["rows"], m["columns"], m["square"]), (*down.shape, 2))
        squares = np.array(m["squares"])
        self.assertEqual(squares.shape, (32, 48))
        blocks = down.reshape(32, 2, 48, 2).transpose(0, 2, 1, 3).reshape(32, 48, 4)
        np.testing.assert_array_equal(np.abs(squares), np.abs(blocks).max(2))
        self.assertTrue((np.abs(blocks - squares[..., None]).min(2) == 0).all())
        n = m["near"]
        np.testing.assert_array_equal(np.array(n["weights"]),
                                      down[n["row"]:n["row"] + 25, n["column"]:n["column"] + 25])
        self.assertEqual((n["row"], n["column"]), (9, 28))
        self.assertEqual((m["min"], m["max"], sum(m["histogram"])), (down.min(), down.max(), down.size))
        np.testing.assert_array_equal(m["histogram"], np.histogram(down, 64, (down.min(), down.max()))[0])
        p = self.picture("weights-layer-1")
        for (r, c), v in np.ndenumerate(squares):
            tip = p.tip(f"rows {2 * r} to {2 * r + 1}, columns {2 * c} to {2 * c + 1}: ")
            self.near(tip.split(": ")[1], v)
        for (r, c), v in np.ndenumerate(np.array(n["weights"])):
            self.near(p.tip(f"[{n['row'] + r}, {n['column'] + c}]: ").split(": ")[1], v)
        marks = [t for t in p.order if re.match(r"\[\d+, \d+\] ", t)]
        self.assertEqual(len(set(marks)), len(self.d["weights"]))
        for w in self.d["weights"]:
            text, = {t for t in marks if t.startswith(f"[{w['row']}, {w['column']}] ")}
            self.near(text.split("] ")[1], w["weight"])
        h = self.picture("histogram-layer-1")
        counts = [int(t.split(": ")[1]) for t in h.order if " to " in t]
        self.assertEqual(counts, [n for n in m["histogram"] if n])

    def test_two_in_one_tensor_are_not_each_others_null(self):
        null = max(e["kl"] for e in self.d["effects"] if e["kind"] == "null")
        everything = next(e["kl"] for e in self.d["effects"] if e["kind"] == "all")
        self.assertLess(10 * null, everything)
        self.assertNotIn("inert", self.d["label"])

    def test_nothing_found(self):
        model = planted_model.write(self.place("plain"), layers=2, rows=(), tokenizer=False)
        d = json.loads(run("super", model, "--ids", IDS, "--verify", "--json", "--plots", self.place("plain-out")))
        self.assertEqual((d["weights"], d["matrices"]), ([], []))
        names = [os.path.basename(p)[:-4] for p in self.check_files(self.place("plain-out"))]
        self.assertEqual(names, ["maxima", "stream"])
        self.assertIn("No super weight was found", Picture(self.place("plain-out", "maxima.svg")).words)
        page = self.place("plain.html")
        run("super", model, "--ids", IDS, "--verify", "-o", page)
        self.assertIn("no super weight: no output", read(page))
        self.assertEqual(read(page).count("No super weight was found on these tokens"), 4)
        r = run("super", model, "--ids", IDS, "--plot", "scale", "-o", self.place("x.svg"), fails=True)
        self.assertEqual(r.returncode, 2)
        self.assertIn("Nothing was verified", r.stderr)
        self.assertFalse(os.path.exists(self.place("x.svg")))

    def test_one_token(self):
        run("super", self.model, "--ids", "75", "--ratio", "1.5", "--share", "0.05", "--rounds", "1", "--verify",
            "--plots", self.place("one"))
        self.check_files(self.place("one"))

    def test_one_picture_and_wrong_words(self):
        run("super", self.model, "--ids", IDS, "-o", self.place("first.svg"))
        self.assertEqual(Picture(self.place("first.svg")).root.find(SVG + "title").text,
                         "Largest activations at the down projections")
        run("super", self.model, "--ids", IDS, "--plot", "stream", "-o", self.place("stream.png"))
        with open(self.place("stream.png"), "rb") as file:
            self.assertEqual(file.read(4), b"\x89PNG")
        for words, said in ((("--plot", "nonsense", "-o", "x.svg"), "there are maxima, stream,"),
                            (("--plot", "stream"), "--plot does nothing without"),
                            (("--png",), "--png does nothing without --plots")):
            r = run("super", self.model, "--ids", IDS, *words, fails=True)
            self.assertEqual(r.returncode, 2)
            self.assertIn(said, r.stderr)

    def test_the_same_bytes_for_any_number_of_threads(self):
        pages = []
        for threads in ("1", "3"):
            path = self.place(f"threads{threads}.html")
            run("super", self.model, "--ids", IDS, "--verify", "-j", threads, "-o", path)
            pages.append(read(path))
        self.assertEqual(*pages)


class ActivationPictures(Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = planted_model.write(cls.place("model"), layers=6)
        cls.d = json.loads(run("activations", cls.model, "--ids", IDS, "--json", "--plots", cls.place("out"),
                               "--npy", cls.place("npy"), "--attention", "2,4.1"))

    def picture(self, name):
        return Picture(self.place("out", name + ".svg"))

    def rows(self, hook):
        return [a for a in self.d["activations"] if a["hook"] == hook]

    def test_every_picture_is_there_and_sound(self):
        names = [os.path.basename(p)[:-4] for p in self.check_files(self.place("out"))]
        self.assertEqual(names, ["attention-layer-2", "attention-layer-4-head-1", "box-down_in", "box-down_out",
                                 "box-residual", "maxima", "next", "norms", "sinks", "violin-down_in", "violin-down_out",
                                 "violin-residual"])

    def test_histograms_and_norms_are_those_of_the_values(self):
        for a in self.d["activations"]:
            name = a["hook"] + ("." + a["layer"] if a["layer"] is not None else "")
            v = np.load(self.place("npy", name + ".npy")).astype(np.float64)
            h = a["histogram"]
            self.assertEqual(h["unit"], a["median_abs"])
            bent = np.arcsinh(v.ravel() / h["unit"])
            counts = np.histogram(bent, 64, (np.arcsinh(a["min"] / h["unit"]), np.arcsinh(a["max"] / h["unit"])))[0]
            self.assertLessEqual(np.abs(counts - h["counts"]).sum(), 4)  # two values on an edge
            self.assertEqual(sum(h["counts"]), v.size)
            if a["hook"] in ("embedding", "residual"):
                norms = np.linalg.norm(v, axis=1)
                n = a["norms"]
                for got, wanted in ((n["first"], norms[0]), (n["median"], np.sort(norms)[len(norms) // 2]),
                                    (n["most"], norms.max())):
                    self.assertAlmostEqual(got / wanted, 1, places=9)
                self.assertEqual(n["token"], norms.argmax())
            else:
                self.assertIsNone(a["norms"])

    def test_attention_is_what_was_seen(self):
        heads = np.array([np.load(self.place("npy", f"attention.2.{h}.npy")) for h in range(4)], np.float64)
        one = np.load(self.place("npy", "attention.4.1.npy")).astype(np.float64)
        for m, wanted in zip(self.d["attention"], (heads.mean(0), one)):
            self.assertEqual([len(r) for r in m["rows"]], list(range(1, 36)))
            for q, row in enumerate(m["rows"]):
                np.testing.assert_allclose(row, wanted[q, :q + 1], rtol=1e-12, atol=1e-15)
        p = self.picture("attention-layer-2")
        words = planted_model.words(150)
        ids = self.d["tokens"]
        self.assertEqual(len(p.order), 35)
        for q in range(35):
            tip = p.tip(f"token {q} ({words[ids[q]]})")
            top = sorted(range(q + 1), key=lambda k, q=q: (-self.d["attention"][0]["rows"][q][k], k))[:3]
            said = tip.split(": ", 1)[1].split("; ")
            self.assertEqual(len(said), len(top))
            for text, k in zip(said, top):
                self.assertTrue(text.startswith(f"{k} ({words[ids[k]]}) "), text)
                self.near(text.rsplit(" ", 1)[1], self.d["attention"][0]["rows"][q][k])

    def test_boxes_and_violins(self):
        for hook in ("down_in", "down_out", "residual"):
            rows = (self.rows("embedding") if hook == "residual" else []) + self.rows(hook)
            for kind in ("box", "violin"):
                p = self.picture(f"{kind}-{hook}")
                self.assertEqual(len(p.order), len(rows))
                at = []
                for tip, a in zip(p.order, rows):
                    self.assertTrue(tip.startswith(f"layer {a['layer'] or 'in'}: min "), tip)
                    numbers = re.findall(r"(?:min|%|median|max) (\S+?)(?:,|$)", tip)
                    wanted = [a["min"], *a["quantiles"], a["max"]]
                    self.assertEqual(len(numbers), len(wanted))
                    for text, v in zip(numbers, wanted):
                        self.near(text, v, tip)
                    low, high = (float(c.get("cy")) for c in p.tips[tip].findall(SVG + "circle"))
                    at += [(a["min"], low), (a["max"], high)]
                # one axis for all: more is higher, and nothing jumps
                at.sort()
                self.assertEqual([y for _, y in at], sorted((y for _, y in at), reverse=True))

    def test_maxima(self):
        p = self.picture("maxima")
        rows = self.rows("down_in") + self.rows("down_out") + self.rows("embedding") + self.rows("residual")
        self.assertEqual(len(p.order), len(rows))
        for tip, a in zip(p.order, rows):
            m = re.match(r"layer (\S+): (\S+), token (\d+) \(.*\), channel (\d+)$", tip)
            self.assertEqual((m[1], int(m[3]), int(m[4])), (a["layer"] or "in", a["token"], a["channel"]))
            self.near(m[2], a["most"])

    def test_sinks_and_next(self):
        p = self.picture("sinks")
        for s in self.d["sinks"]:
            for key, name in (("mass", "mean of the heads"), ("most", "the head with most"), ("entropy", "entropy")):
                self.near(p.tip(f"layer {s['layer']}, {name}: ").split(": ")[1], s[key])
        n = self.picture("next")
        self.assertEqual(len(n.order), 10)
        for tip, t in zip(n.order, self.d["next"]):
            m = re.search(r"\((\d+)\): probability (\S+), logit (\S+)$", tip)
            self.assertEqual(int(m[1]), t["id"])
            self.near(m[2], t["probability"])
            self.near(m[3], t["logit"])

    def test_strange_models(self):
        def spoil(what):
            def change(tensors):
                name = "model.layers.1.mlp.down_proj.weight"
                tensors = planted_model.edit(tensors, name, lambda w: w.__setitem__((5, 7), what))
                return planted_model.edit(tensors, name, lambda w: w.__setitem__((6, 8), -what))
            return change

        def nothing(tensors):
            return {k: v * 0 for k, v in tensors.items()}

        for name, layers, ids, change in (
                ("one-layer", 1, IDS, None), ("two-layers", 2, "1,2", None), ("many", 126, "3,7,75", None),
                ("one-token", 4, "75", None), ("nan", 4, IDS, spoil(math.nan)), ("inf", 4, IDS, spoil(math.inf)),
                ("zero", 3, IDS, nothing), ("hostile", 2, "1,2,3,4,5", None)):
            model = planted_model.write(self.place(name), layers=layers, layer=0, change=change)
            low = ("--ratio", "5", "--share", "0.3", "--rounds", "2", "--verify")  # there is something to draw
            for command, more in (("activations", ()), ("super", () if name == "many" else low)):
                with self.subTest(model=name, command=command):
                    out = self.place(f"{name}-{command}")
                    run(command, model, "--ids", ids, "--plots", out, *more)
                    self.check_files(out)
        words = Picture(self.place("nan-activations", "maxima.svg")).words
        self.assertIn("NaN or infinite values in 3 of 4 layers (1, 2, 3)", words)
        self.assertIn("all values are 0", Picture(self.place("zero-activations", "maxima.svg")).words)

    def test_wrong_maps(self):
        for words, said in ((("--attention", "9"), "the model has 6 layers of 4 heads"), (("--attention", "x"), "LAYER.HEAD, not x"),
                            (("--attention", "1.7"), "there is no layer 1 with head 7")):
            r = run("activations", self.model, "--ids", "1,2", *words, fails=True)
            self.assertEqual(r.returncode, 2)
            self.assertIn(said, r.stderr)


class Failures(Base):
    def fails(self, *words, most):
        """Files larger than `most` bytes cannot be written, as on a disk that is full."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        r = subprocess.run([SCRUPLE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           preexec_fn=limit)
        self.assertEqual(r.returncode, 5, r.stderr)
        self.assertIn("cannot be written", r.stderr)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)

    def test_all_pictures_or_none(self):
        model = planted_model.write(self.place("model"), layers=3)
        asked = ("super", model, "--ids", IDS, "-q", "--plots")
        new = self.place("new")
        run(*asked[:2], *asked[2:], self.place("sizes"))
        sizes = {f: os.path.getsize(self.place("sizes", f)) for f in os.listdir(self.place("sizes"))}
        most = max(sizes.values()) - 1
        self.assertGreater(sum(v <= most for v in sizes.values()), 1)
        self.fails(*asked, new, most=most)
        self.assertFalse(os.path.exists(new))
        old = self.place("old")
        os.mkdir(old)
        for name in (*sizes, "mine.txt"):
            with open(os.path.join(old, name), "w") as file:
                file.write("old " + name)
        self.fails(*asked, old, most=most)
        self.assertEqual({f: read(os.path.join(old, f)) for f in os.listdir(old)},
                         {f: "old " + f for f in (*sizes, "mine.txt")})
        run(*asked[:2], *asked[2:], old)
        self.assertEqual({f: os.path.getsize(os.path.join(old, f)) for f in os.listdir(old)},
                         {**sizes, "mine.txt": 12})

    def test_a_folder_in_the_way(self):
        model = planted_model.write(self.place("model"), layers=3)
        out = self.place("out")
        os.makedirs(os.path.join(out, "histogram-layer-1.svg"))
        r = run("super", model, "--ids", IDS, "--plots", out, fails=True)
        self.assertEqual(r.returncode, 5)
        self.assertIn("histogram-layer-1.svg", r.stderr)
        self.assertEqual(os.listdir(out), ["histogram-layer-1.svg"])

    def test_plots_of_a_scan(self):
        model = planted_model.write(self.place("model"), layers=2)
        out = self.place("scan")
        run("scan", model, "--no-cache", "--plots", self.place("whole"))
        sizes = sorted(os.path.getsize(os.path.join(self.place("whole"), f)) for f in os.listdir(self.place("whole")))
        self.fails("scan", model, "-q", "--no-cache", "--plots", out, most=sizes[-1] - 1)
        self.assertFalse(os.path.exists(out))


class EvalPictures(Base):
    def test_windows(self):
        model = planted_model.write(self.place("model"), layers=2)
        ids = ",".join(str(i * 37 % 150) for i in range(700))
        d = json.loads(run("eval", model, "--ids", ids, "--window", "50", "--json", "--plots", self.place("out")))
        self.check_files(self.place("out"))
        p = Picture(self.place("out", "windows.svg"))
        self.assertEqual(len(p.order), 14)
        nll = scored = 0
        heights = []
        for i, (tip, w) in enumerate(zip(p.order, d["windows"])):
            m = re.match(r"window (\d+), tokens (\d+) to (\d+): perplexity (\S+), up to here (\S+)$", tip)
            self.assertEqual((int(m[1]), int(m[2]), int(m[3])), (i, w["from"], w["from"] + w["tokens"] - 1))
            nll += w["nll"] * w["scored"]
            scored += w["scored"]
            self.near(m[4], math.exp(w["nll"]))
            self.near(m[5], math.exp(nll / scored))
            heights.append((math.exp(w["nll"]), bar(p.tips[tip])[3]))
        self.assertAlmostEqual(nll / scored, d["nll"], places=9)
        scale = max(h / v for v, h in heights)
        for v, h in heights:
            self.assertLess(abs(h - v * scale), 0.1)

    def test_many_windows_and_one(self):
        model = planted_model.write(self.place("model"), layers=1, layer=0)
        for name, n, window, columns in (("many", 3300, 5, 220), ("one", 2, 2, 1)):
            ids = ",".join(str(i * 37 % 150) for i in range(n))
            run("eval", model, "--ids", ids, "--window", str(window), "--plots", self.place(name))
            self.check_files(self.place(name))
            self.assertEqual(len(Picture(self.place(name, "windows.svg")).order), columns)


    FORMATS = ("rtn4:block=16x16,bare", "rtn4:block=64x64,bare", "rtn4:block=tensor,bare", "rtn4:block=16x16",
               "rtn4:block=flat:256", "rtn4:block=64x64", "rtn4", "rtn8", "mxfp4")

    def test_quantised(self):
        model = planted_model.write(self.place("model"), layers=2)
        held = ("--hold", "model.layers.1.mlp.down_proj.weight[21,40]")
        words = [x for f in self.FORMATS for x in ("--quantize", f)]
        d = json.loads(run("eval", model, "--ids", IDS, "--json", *words, *held, "--plots", self.place("quantised")))
        self.check_files(self.place("quantised"))
        rows = {r["format"]: r for r in d["quantized"]}
        base = rows["as stored"]["nll"]
        self.assertEqual(set(rows), {"as stored", *self.FORMATS})

        def check(p, tip, name):
            e = rows[name]
            m = re.match(r"(\S+): perplexity (\S+), NLL difference (\S+) to (\S+) \(95 %\), KL (\S+), same likeliest "
                         r"token (\S+)$", tip)
            self.assertEqual(m[1], name)
            for got, wanted in zip(m.groups()[1:], (math.exp(e["nll"]), e["nll_low"], e["nll_high"], e["kl"],
                                                    e["agree"])):
                self.near(got, wanted, tip)
            return p.tips[tip]

        p = Picture(self.place("quantised", "formats.svg"))
        self.assertEqual(len(p.order), 10)
        self.near(p.tip("as stored: ").split()[-1], math.exp(base))
        lengths = [(rows[f]["nll"], bar(check(p, p.tip(f + ": "), f))[2]) for f in self.FORMATS]
        v, at = np.array(lengths).T
        slope, start = np.polyfit(v, at, 1)
        self.assertLess(np.abs(start + slope * v - at).max(), 0.1)
        p = Picture(self.place("quantised", "blocks.svg"))
        self.assertEqual(len(p.order), 8)  # mxfp4 is no recipe
        for word in ("rtn4:bare", "rtn4", "rtn8", "16x16", "256", "64x64", "row", "matrix", "the model"):
            self.assertIn(word, p.words.split() if " " not in word else p.words)
        x = {}
        for name in self.FORMATS[:-1]:
            mark = check(p, p.tip(name + ": "), name).find(SVG + "circle")
            x[name] = float(mark.get("cx"))
        self.assertLess(max(abs(x[a] - x[b]) for a, b in ((self.FORMATS[0], self.FORMATS[3]),
                                                          (self.FORMATS[1], self.FORMATS[5]))), 40)
        order = [self.FORMATS[i] for i in (3, 4, 5, 6)]
        self.assertEqual(sorted(order, key=x.get), order)
        self.assertLess(x["rtn4"], x["rtn4:block=tensor,bare"])

    def test_pictures_that_need_more(self):
        model = planted_model.write(self.place("model"), layers=1, layer=0)
        for words, said in ((("--plot", "formats"), "take --quantize"),
                            (("--plot", "blocks", "--quantize", "rtn4,mxfp4"), "blocks of several sizes")):
            r = run("eval", model, "--ids", IDS, "-o", self.place("no.svg"), *words, fails=True)
            self.assertEqual(r.returncode, 2)
            self.assertIn(said, r.stderr)


class Pages(Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = planted_model.write(cls.place("model"), layers=3)
        ids = "1,2,3,4," + IDS
        cls.pages = {"super": ("--verify",), "activations": (), "eval": ("--window", "10")}
        for command, more in cls.pages.items():
            run(command, cls.model, "--ids", ids, "-o", cls.place(command + ".html"), *more)

    def test_pages_are_whole(self):
        for command in self.pages:
            reader = Reader()
            reader.feed(read(self.place(command + ".html")))
            reader.close()
            with self.subTest(page=command):
                self.assertEqual((reader.open, reader.wrong), ([], []))
                ids = [a["id"] for _, a in reader.elements if "id" in a]
                self.assertEqual(len(ids), len(set(ids)))
                for tag, attributes in reader.elements:
                    self.assertNotIn(tag, ("link", "iframe", "object", "embed", "base", "img", "form"))
                    self.assertFalse({"src", "style"} & set(attributes))
                    self.assertFalse([a for a in attributes if a.startswith("on")])
                    self.assertTrue(attributes.get("href", "#").startswith("#"))
                    if tag == "a":
                        self.assertIn(attributes["href"][1:], ids)
                policy = next(a["content"] for t, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
                rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
                self.assertEqual([digest(text) for tag, _, text in reader.texts if tag == "script"], rules["script-src"].split())
                self.assertEqual([digest(text) for tag, _, text in reader.texts if tag == "style"], rules["style-src"].split())
                self.assertEqual(rules["default-src"], "'none'")

    @unittest.skipUnless(CHROMIUM, "no Chromium")
    def test_a_mark_says_its_numbers_and_nothing_is_wider_than_a_telephone(self):
        mark = "[...document.querySelectorAll('svg.plot g[aria-label]')].find((g) => g.getBoundingClientRect().width > 0)"
        for width in (390, 1200):
            with Browser(width, 900) as page:
                for command in self.pages:
                    with self.subTest(page=command, width=width):
                        page.open("file://" + self.place(command + ".html"))
                        self.assertLessEqual(page.run("document.documentElement.scrollWidth"), page.run("innerWidth"))
                        page.run(mark + ".scrollIntoView({block: 'center', behavior: 'instant'})")
                        page.settle()
                        page.run(f"(() => {{ const g = {mark}, b = g.getBoundingClientRect();"
                                 " g.firstElementChild.dispatchEvent(new PointerEvent('pointermove',"
                                 " {bubbles: true, clientX: b.x + 1, clientY: b.y + 1})); })()")
                        tip = page.run("(({hidden, textContent}) => hidden ? '' : textContent)(document.getElementById('tip'))")
                        self.assertRegex(tip, r"\d")
                        self.assertEqual(page.run("document.querySelectorAll('svg.plot g > title').length"), 0)
                        box = page.run("(({left, right}) => [left, right])"
                                       "(document.getElementById('tip').getBoundingClientRect())")
                        self.assertGreaterEqual(box[0], 0)
                        self.assertLessEqual(box[1], page.run("innerWidth"))
                        self.assertEqual(page.complaints, [])


if __name__ == "__main__":
    unittest.main()
