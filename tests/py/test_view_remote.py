#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Differences of models that are on the Hub, and bytes of files there: the same as of local ones.

The mock of the Hub serves the folders that are also read as they are.
"""
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import numpy as np

SOURCE = os.environ["SOURCE"]
SCRUPLE = os.environ["SCRUPLE"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "mockhub"))
from mockhub import MockHub  # noqa: E402
from test_scan import save  # noqa: E402
from test_view import read_png  # noqa: E402
from test_view_export import Export  # noqa: E402

BASE, TUNED, ADAPTER = "org/base", "org/tuned", "org/adapter"


class Remote(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.tmp, rng = tmp.name, np.random.default_rng(5)
        self.root = os.path.join(self.tmp, "root")
        a = {"model.embed_tokens.weight": rng.normal(0, .02, (256, 128)).astype("f4")}
        for i in range(3):
            for name, shape in (("self_attn.q_proj", (128, 128)), ("mlp.up_proj", (384, 128)), ("mlp.down_proj", (128, 384))):
                a[f"model.layers.{i}.{name}.weight"] = rng.normal(0, .02, shape).astype("f4")
        b = {k: v.copy() for k, v in a.items()}
        b["model.layers.1.mlp.up_proj.weight"][100:108] *= 2
        b["model.layers.2.self_attn.q_proj.weight"][3, 4] = np.inf
        del b["model.layers.0.mlp.down_proj.weight"]
        update = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": rng.normal(0, .1, (4, 128)).astype("f4"),
                  "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": rng.normal(0, .1, (128, 4)).astype("f4")}
        self.write(BASE, a, "model.safetensors", {"config.json": '{"model_type": "llama", "eps": 1e-6}', "notes.txt": "abc" * 400})
        self.write(TUNED, b, "model.safetensors", {"config.json": '{"model_type": "llama", "eps": 1e-5}', "notes.txt": "abc" * 399 + "xyz",
                                                   "README.md": f"---\nbase_model: {BASE}\n---\n"})
        self.write(ADAPTER, update, "adapter_model.safetensors",
                   {"adapter_config.json": json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 4, "base_model_name_or_path": BASE})})
        self.hub = MockHub(self.root)
        self.hub.start()
        self.addCleanup(self.leave)

    def write(self, name, tensors, weights, files):
        folder = os.path.join(self.root, name)
        os.makedirs(folder)
        save(os.path.join(folder, weights), tensors)
        for path, text in files.items():
            with open(os.path.join(folder, path), "w", encoding="utf-8") as f:
                f.write(text)

    def leave(self):
        leaks = self.hub.leaks()
        self.hub.stop()
        self.assertEqual([], leaks)
        self.assertEqual([], self.hub.errors)

    def at(self, name):
        return os.path.join(self.tmp, name)

    def env(self):
        """Nothing that was fetched before is here."""
        fresh = tempfile.mkdtemp(dir=self.tmp)
        return self.hub.env(fresh)

    def run_(self, *words, status=0, env=None):
        done = subprocess.run([SCRUPLE, *words], env=env or self.env(), stdin=subprocess.DEVNULL, cwd=self.tmp,
                              capture_output=True, check=False, timeout=120)
        self.assertEqual(status, done.returncode, (words, done.stderr.decode()))
        return done

    def local(self, name):
        return os.path.join(self.root, name)


class Differences(Remote):
    def diff(self, *words, status=1):
        d = json.loads(self.run_("diff", *words, "--json", "--no-cache", status=status).stdout)
        return {key: d[key] for key in ("pairs", "sentence", "summary", "files", "most_changed", "roles", "layers")}

    def test_numbers(self):
        want = self.diff(self.local(BASE), self.local(TUNED))
        self.assertEqual(want, self.diff(BASE, TUNED))
        self.assertEqual(want, self.diff(BASE, self.local(TUNED)))
        self.assertEqual(want, self.diff(f"hf://{BASE}", f"{self.hub.endpoint}/{TUNED}/tree/main"))
        self.assertEqual(want, self.diff(TUNED))  # against the base that its card names
        self.assertEqual("model.layers.2.self_attn.q_proj.weight", want["most_changed"][0]["name"])
        files = {f["path"]: f for f in want["files"]}
        self.assertEqual([("$.eps", "1e-06", "1e-05")],
                         [(c["path"], c["a"], c["b"]) for c in files["config.json"]["structure"]["changes"]])
        self.assertEqual(self.diff(self.local(BASE), self.local(ADAPTER)), self.diff(ADAPTER))

    def test_only_what_matches_is_fetched(self):
        env = self.env()
        self.run_("tree", BASE, env=env)
        self.run_("tree", TUNED, env=env)
        before = self.hub.sent("cdn")
        self.run_("diff", BASE, TUNED, "layers.1.mlp.up_proj", "--no-files", status=1, env=env)
        self.assertLess(self.hub.sent("cdn") - before, 2 * 384 * 128 * 4 + (300 << 10))

    def png(self, *words):
        self.run_("view", "--diff", *words, "--png", self.at("p.png"), "-q", "--no-cache", "--mode", "rms")
        return read_png(self.at("p.png"))

    def test_pictures(self):
        want = self.png(self.local(BASE), self.local(TUNED))
        self.assertGreater(len(set(want.ravel().tolist())), 4)
        for words in ((BASE, TUNED), (TUNED,), (BASE, self.local(TUNED))):
            np.testing.assert_array_equal(want, self.png(*words), str(words))
        want = self.png(self.local(BASE), self.local(ADAPTER))
        for words in ((BASE, ADAPTER), (ADAPTER,)):
            np.testing.assert_array_equal(want, self.png(*words), str(words))

    def test_exports(self):
        sites = {}
        for word, (a, b) in {"here": (self.local(BASE), self.local(TUNED)), "there": (BASE, TUNED)}.items():
            self.run_("diff", a, b, "--out", self.at(word), "-q", "--no-cache", status=1)
            sites[word] = Export(self.at(word))
        here, there = sites["here"], sites["there"]
        for z, _ in here.levels:
            np.testing.assert_array_equal(here.level(z, "abs"), there.level(z, "abs"))
        both = []
        for word in sites:
            with open(self.at(word + "/0/scales.json"), encoding="utf-8") as f:
                both.append(json.load(f))
        self.assertEqual(both[0]["changes"], both[1]["changes"])

    def test_both_sides(self):
        self.run_("view", "--diff", BASE, TUNED, "--out", self.at("three"), "-q", "--sides", "--no-cache")
        with open(self.at("three/view.json"), encoding="utf-8") as f:
            doc = json.load(f)
        self.assertEqual((f"{BASE} \u2192 {TUNED}", 3), (doc["title"], len(doc["views"])))
        for i, shows in enumerate(("weights", "weights", "differences")):
            with open(self.at(f"three/{i}/scene.json"), encoding="utf-8") as f:
                self.assertEqual(shows, json.load(f)["shows"])
        for words in (["view", BASE, "--sides", "--out", self.at("x")], ["view", "--diff", BASE, TUNED, "--sides", "--png", "x.png"],
                      ["view", "--diff", BASE, ADAPTER, "--sides", "--out", self.at("x")]):
            self.assertIn(b"--sides", self.run_(*words, status=2).stderr)

    def test_live(self):
        for more, told in ((), True), (("--fetch", "64K"), False):
            process = subprocess.Popen([SCRUPLE, "view", "--diff", BASE, TUNED, "--no-open", "--no-cache", *more], env=self.env(),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                url, deadline = process.stdout.readline().decode().strip(), time.monotonic() + 120
                self.assertTrue(url.startswith("http://127.0.0.1:"))
                scales = {"final": False}
                while not scales["final"] and time.monotonic() < deadline:
                    with urllib.request.urlopen(url + "2/scales.json", timeout=60) as answer:
                        scales = json.load(answer)
                    time.sleep(0.05)
                self.assertTrue(scales["final"])
                if told:
                    self.assertIsNone(scales["problem"])
                    self.assertEqual(self.diff(self.local(BASE), self.local(TUNED))["sentence"], scales["changes"]["groups"]["sentence"])
                else:
                    self.assertIn("more than --fetch allows", scales["problem"])
            finally:
                process.terminate()
                process.communicate(timeout=60)

    def test_what_goes_wrong_is_one_sentence(self):
        fault = self.hub.fault("status", match="tuned", status=404, times=99)
        for command in (["diff", BASE, TUNED], ["view", "--diff", BASE, TUNED, "--png", "x.png"]):
            text = self.run_(*command, status=4).stderr.decode()
            self.assertEqual(1, text.count("\n"), text)
            self.assertIn(TUNED, text)
        self.hub.clear_faults(fault)
        text = self.run_("diff", BASE, "org/nothing", status=4).stderr.decode()
        self.assertEqual((1, True), (text.count("\n"), "org/nothing" in text), text)


class Bytes(Remote):
    def png(self, *words):
        self.run_("view", "--layout", "hilbert", *words, "--png", self.at("b.png"), "-q", "--no-cache", "--plane", "mean")
        return read_png(self.at("b.png"))

    def test_pictures(self):
        for path in ("model.safetensors", "notes.txt"):
            want = self.png(os.path.join(self.local(BASE), path))
            for name in (f"hf://{BASE}/{path}", f"{self.hub.endpoint}/{BASE}/resolve/main/{path}"):
                np.testing.assert_array_equal(want, self.png(name), name)
        np.testing.assert_array_equal(self.png(self.local(ADAPTER)), self.png(ADAPTER))

    def test_an_address_of_another_server(self):
        """It knows no repositories: the file is what the address names."""
        shutil.copy(os.path.join(self.local(BASE), "notes.txt"), self.at("root/notes.txt"))
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=self.root))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/notes.txt"
            np.testing.assert_array_equal(self.png(self.at("root/notes.txt")), self.png(url))
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def test_an_export(self):
        name = f"{self.hub.endpoint}/{TUNED}/resolve/main/model.safetensors"
        self.run_("view", "--layout", "hilbert", name, "--out", self.at("bytes"), "-q", "--no-cache", "--planes", "mean")
        self.run_("view", "--layout", "hilbert", os.path.join(self.local(TUNED), "model.safetensors"), "--out", self.at("mine"), "-q", "--no-cache",
                  "--planes", "mean")
        mine, there = Export(self.at("mine")), Export(self.at("bytes"))
        for z, _ in mine.levels:
            np.testing.assert_array_equal(mine.level(z, "mean"), there.level(z, "mean"))
        self.assertIn("model.layers.1.mlp.up_proj.weight", json.dumps(there.scene))

    def test_an_export_that_was_killed_goes_on(self):
        """By the name of the model or the address of a file, small as git keeps it or large as LFS does."""
        rng = np.random.default_rng(8)
        for path in ("notes.bin", "large.safetensors"):
            with open(os.path.join(self.local(BASE), path), "wb") as f:
                f.write(rng.integers(0, 256, 6 << 20, np.uint8).tobytes())
        for i, name in enumerate((f"hf://{BASE}/notes.bin", f"{self.hub.endpoint}/{BASE}/resolve/main/large.safetensors")):
            words = ["view", "--layout", "hilbert", name, "--no-cache", "--planes", "mean", "--pack-bytes", "1M", "-j", "1"]
            whole, out = self.at(f"whole{i}"), self.at(f"out{i}")
            self.run_(*words, "-q", "--out", whole)
            pack = os.path.join(out, "0", "tiles", "pack-001.bin")
            process = subprocess.Popen([SCRUPLE, *words, "-q", "--out", out], env=self.env(), stdin=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            while process.poll() is None and not (os.path.exists(pack) and os.path.getsize(pack)):
                pass
            process.kill()
            process.wait()
            self.assertNotEqual(0, process.returncode, "it was killed before its end")
            said = self.run_(*words, "--out", out).stderr.decode()
            self.assertIn("earlier run", said, name)
            self.assertEqual(Export(whole).files(), Export(out).files())


if __name__ == "__main__":
    unittest.main()
