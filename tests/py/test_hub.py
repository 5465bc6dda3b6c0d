# SPDX-License-Identifier: Apache-2.0
"""Models on the Hub, end to end against the mock Hub: names, revisions, tokens, requests, caches, words.

What is asserted of requests is exact: which, how many, and which ranges.  Downloads have a file of
their own (test_fetch.py), and so has what goes wrong on the wire.
"""
import glob
import hashlib
import http.server
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import zlib
import urllib.error
import urllib.request

SCRUPLE = os.environ.get("SCRUPLE", "scruple")
SOURCE = os.environ.get("SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "mockhub"))
from mockhub import MockHub  # noqa: E402

MEGA = 1 << 20
ALICE, BOB = "hf_alice_0123456789", "hf_bob_0123456789"


def head(names, rows, columns=1024):
    """The header of a safetensors file with F16 tensors, and the size of the whole file."""
    header, at = {}, 0
    for name in names:
        header[name] = {"dtype": "F16", "shape": [rows, columns], "data_offsets": [at, at + rows * columns * 2]}
        at += rows * columns * 2
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, 8 + len(text) + at


def shard(names, rows=512):
    bytes_, size = head(names, rows)
    return {"size": size, "head": bytes_, "fill": "zero"}


def gguf(name):
    """The smallest GGUF that is a model: one key, one tensor."""
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()
    out = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
    out += text(name) + struct.pack("<IQIQ", 1, 32, 0, 0)
    return out + b"\0" * (-len(out) % 32) + b"\0" * 128


CONFIG = {"json": {"model_type": "llama", "hidden_size": 1024}}
SHARDS = {f"model-{i:05}-of-00004.safetensors": [f"model.layers.{i - 1}.mlp.up_proj.weight",
                                               f"model.layers.{i - 1}.mlp.down_proj.weight"] for i in range(1, 5)}
INDEX = {"json": {"metadata": {}, "weight_map": {n: f for f, names in SHARDS.items() for n in names}}}
SHARDED = {"config.json": CONFIG, "model.safetensors.index.json": INDEX,
           **{f: shard(names) for f, names in SHARDS.items()}}
ONE = {"config.json": CONFIG, "model.safetensors": shard(["lm_head.weight"])}
REPOS = {
    "tokens": {ALICE: {"name": "alice"}, BOB: {"name": "bob"}},
    "redirects": {"gpt2": "org/one"},
    "repos": {
        "org/sharded": {"files": SHARDED},
        "org/one": {"files": ONE, "revisions": {
            "v1": {"kind": "tag", "files": {"config.json": CONFIG, "model.safetensors": shard(["tagged.weight"])}},
            "feature/x": {"files": {"config.json": CONFIG, "model.safetensors": shard(["branch.weight"])}},
            "refs/pr/7": {"files": {"config.json": CONFIG, "model.safetensors": shard(["pull.weight"])}}}},
        "org/old": {"renamed_to": "org/one"},
        "org/parts": {"files": {
            "unet/config.json": CONFIG, "unet/model.safetensors": shard(["unet.weight"]),
            "a b%/ä.safetensors": shard(["odd.weight"]), "config.json": CONFIG}},
        "org/quants": {"files": {
            "m-Q4_K_M.gguf": {"data": gguf("small.weight")}, "m-Q8_0.gguf": {"data": gguf("large.weight")},
            "mmproj-Q8_0.gguf": {"data": gguf("v.weight")}, "big/m-BF16-00001-of-00002.gguf": {"data": gguf("x")}}},
        "org/gated": {"gated": "manual", "tokens": [ALICE], "requested": [BOB], "files": ONE},
        "org/private": {"private": True, "tokens": [ALICE], "files": ONE},
        "org/disabled": {"disabled": True, "files": ONE},
        "org/mirror": {"blobs": False, "files": SHARDED, "page": 2},
        "org/cached": {"resolve_cache": True, "files": ONE},
        "datasets/org/data": {"files": ONE},
        "spaces/org/space": {"files": ONE},
    },
}


class Case(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.hub = MockHub(config={**REPOS, **self.settings})
        self.hub.start()
        self.addCleanup(self.leave)

    def leave(self):
        leaks = self.hub.leaks()
        self.hub.stop()
        self.assertEqual(leaks, [])
        self.assertEqual(self.hub.errors, [])

    def env(self, **more):
        return self.hub.env(self.tmp.name, **more)

    def run_(self, *args, status=0, cwd=None, **env):
        done = subprocess.run([SCRUPLE, *args], env=self.env(**env), stdin=subprocess.DEVNULL, cwd=cwd or self.tmp.name,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, status, f"{args}: {done.stdout[-300:]} {done.stderr}")
        for secret in (ALICE, BOB, "Signature=", "hf_invalid"):
            self.assertNotIn(secret, done.stdout + done.stderr)
        return done

    def tensors(self, *args, **env):
        """Names of all tensors of a model."""
        document = json.loads(self.run_("tree", "--json", "--flat", *args, **env).stdout)
        return [t["name"] for t in document["tensors"]]

    def refused(self, *args, status=4, **env):
        """The one sentence."""
        done = self.run_("tree", *args, status=status, **env)
        self.assertEqual(done.stdout, "")
        lines = [line for line in done.stderr.splitlines() if not line.startswith("scruple: note:")]
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]

    def asked(self):
        """What the Hub and its CDN were asked since the last time: (server, path without commit)."""
        out = []
        for entry in self.hub.log():
            path = entry["path"]
            for repo in ("org/one", "org/sharded"):
                path = path.replace(self.hub.commit(repo), "COMMIT")
            out.append((entry["server"], path))
        self.hub.clear_log()
        return out

    def listings(self):
        return glob.glob(os.path.join(self.tmp.name, "scruple", "listings", "*.json"))

    def age(self, seconds=3601):
        """Make what the Hub said older."""
        self.assertTrue(self.listings())
        for path in self.listings():
            with open(path, encoding="utf-8") as f:
                document = json.load(f)
            document["checked"] -= seconds
            del document["crc32"]
            text = json.dumps(document)[1:]
            with open(path, "w", encoding="utf-8") as f:
                f.write(f'{{"crc32":"{zlib.crc32(text.encode()):08x}",{text}')


class Names(Case):
    def test_every_form_leads_to_the_model(self):
        at = self.hub.endpoint
        for name in ("org/one", "org/one/", "hf://org/one", "hf://models/org/one", "org/one@main", "gpt2",
                     "hf://gpt2", "org/old", at + "/org/one", at + "/org/one/tree/main", at + "/models/org/one",
                     at + "/org/one/blob/main/model.safetensors", "hf://org/one/model.safetensors",
                     at + "/org/one/resolve/main/model.safetensors?download=true", at.split("//")[1] + "/org/one"):
            with self.subTest(name):
                self.assertEqual(self.tensors(name), ["lm_head.weight"])

    def test_datasets_and_spaces(self):
        self.assertEqual(self.tensors("hf://datasets/org/data"), ["lm_head.weight"])
        self.assertEqual(self.tensors(self.hub.endpoint + "/spaces/org/space/tree/main"), ["lm_head.weight"])

    def test_revisions(self):
        at = self.hub.endpoint
        for name, want in (("org/one@v1", "tagged"), ("hf://org/one@feature%2Fx", "branch"),
                           ("hf://org/one@refs/pr/7", "pull"), (at + "/org/one/tree/refs%2Fpr%2F7", "pull"),
                           (at + "/org/one/tree/refs/pr/7", "pull"), (at + "/org/one/tree/feature%2Fx", "branch"),
                           (at + "/org/one/blob/v1/model.safetensors", "tagged"),
                           ("org/one@" + self.hub.commit("org/one", "v1"), "tagged")):
            with self.subTest(name):
                self.assertEqual(self.tensors(name), [want + ".weight"])
        for revision, want in (("v1", "tagged"), ("feature/x", "branch"), ("refs/pr/7", "pull")):
            with self.subTest(revision):
                self.assertEqual(self.tensors("org/one@main", "--revision", revision), [want + ".weight"])

    def test_parts_of_a_repository(self):
        self.assertEqual(self.tensors("hf://org/parts/unet"), ["unet.weight"])
        self.assertEqual(self.tensors("hf://org/parts/unet/model.safetensors"), ["unet.weight"])
        self.assertEqual(self.tensors("hf://org/parts/a b%/ä.safetensors"), ["odd.weight"])
        self.assertEqual(self.tensors(self.hub.endpoint + "/org/parts/blob/main/a%20b%25/%C3%A4.safetensors"),
                         ["odd.weight"])
        self.assertEqual(self.tensors("hf://org/sharded/model-00002-of-00004.safetensors"),
                         ["model.layers.1.mlp.down_proj.weight", "model.layers.1.mlp.up_proj.weight"])
        self.assertEqual(len(self.tensors("hf://org/sharded/model.safetensors.index.json")), 8)

    def test_a_quantisation(self):
        self.assertEqual(self.tensors("org/quants:Q4_K_M"), ["small.weight"])
        self.assertEqual(self.tensors("org/quants:q8_0"), ["large.weight"])
        message = self.refused("org/quants:Q4_K")
        self.assertIn("m-Q4_K_M.gguf, m-Q8_0.gguf", message)
        self.assertNotIn("mmproj", message)
        self.assertIn("no GGUF files", self.refused("org/one:Q4_0"))

    def test_what_is_here_comes_first(self):
        os.makedirs(os.path.join(self.tmp.name, "org", "one"))
        with open(os.path.join(self.tmp.name, "org", "one", "model.safetensors"), "wb") as f:
            bytes_, size = head(["local.weight"], 1)
            f.write(bytes_.ljust(size, b"\0"))
        self.assertEqual(self.tensors("org/one"), ["local.weight"])
        self.assertEqual(self.asked(), [])
        self.assertIn("--revision does not count", self.run_("tree", "org/one", "--revision", "v1").stderr)
        self.assertIn("hf://", self.refused("org/one/other.gguf"))
        self.assertEqual(self.tensors("file://" + os.path.join(self.tmp.name, "org", "one")), ["local.weight"])
        self.assertEqual(self.tensors("hf://org/one"), ["lm_head.weight"])

    def test_info_tells_of_the_hub(self):
        document = json.loads(self.run_("info", "--json", "org/one@v1").stdout)
        self.assertEqual(document["model"]["source"], "org/one")
        self.assertEqual(document["model"]["commit"], self.hub.commit("org/one", "v1"))
        self.assertEqual(document["hub"]["page"], self.hub.endpoint + "/org/one")
        self.assertEqual(document["hub"]["revision"], "v1")


class Requests(Case):
    def test_one_question_one_resolve_and_one_read_a_shard(self):
        self.assertEqual(len(self.tensors("org/sharded")), 8)
        asked = self.asked()
        hub = [path for server, path in asked if server == "hub"]
        self.assertEqual(sorted(hub), sorted(
            ["/api/models/org/sharded"] + [f"/org/sharded/resolve/COMMIT/{f}" for f in SHARDED]))
        self.assertEqual(len([1 for server, _ in asked if server == "cdn"]), len(SHARDS))

    def test_ranges(self):
        self.run_("tree", "org/sharded")
        for name in SHARDS:
            (first, last), = self.hub.ranges(name)
            self.assertEqual(first, 0)
            self.assertLess(last, 128 << 10)

    def test_a_scan_tells_what_it_brought(self):
        for _ in range(2):  # the second takes the figures from the store
            first = self.hub.sent("cdn")
            io = json.loads(self.run_("scan", "org/sharded", "--json", "-q").stdout)["io"]
            brought = self.hub.sent("cdn") - first
            self.assertTrue(brought <= io["bytes_read"] <= brought + (1 << 16), (brought, io))
        self.assertLess(io["bytes_read"], 1 << 20)

    def test_a_scan_that_the_network_cuts_short(self):
        self.hub.set("org/large", files={
            f"model-{i:05}-of-00002.safetensors": shard([f"model.layers.{i}.mlp.up_proj.weight"], rows=4096)
            for i in (1, 2)})
        self.run_("tree", "org/large")  # headers are kept
        fault = self.hub.fault("status", match="model-00002", status=400)
        done = self.run_("scan", "org/large", "--json", status=4)
        got = json.loads(done.stdout)
        self.assertEqual(["measured", "unreadable"], [t["state"] for t in got["tensors"]])
        self.assertEqual(1, got["summary"]["unreadable"])
        self.run_("scan", "org/large", "--fail-on", "error", "-o", "report.json", status=4)
        with open(os.path.join(self.tmp.name, "report.json"), encoding="utf-8") as f:
            self.assertEqual("errors", json.load(f)["verdict"])
        self.hub.clear_faults(fault)
        self.run_("scan", "org/large", status=0)  # goes on

    def test_a_header_that_makes_no_sense_is_not_kept(self):
        self.hub.fault("corrupt", where="cdn", times=1, offset=8)
        self.refused("org/one", status=3)
        self.assertEqual(self.tensors("org/one"), ["lm_head.weight"])

    def test_what_is_read_first_comes_first(self):
        """All resolves are answered at about the same time; their order must survive that."""
        count = 150
        files = {f"model-{i:05}-of-{count:05}.safetensors": shard([f"model.layers.{i}.weight"])
                 for i in range(1, count + 1)}
        self.hub.set("org/many", files=files)
        self.hub.fault("latency", ms=20)
        self.assertEqual(len(self.tensors("org/many")), count)
        order = [entry["file"] for entry in self.hub.log("cdn")]
        self.assertEqual(len(order), count)
        for name in list(files)[:10]:
            self.assertLess(order.index(name), 30, name)

    def test_the_second_run_asks_nothing(self):
        for command in ("tree", "info"):
            first = self.run_(command, "org/sharded").stdout
            self.hub.clear_log()
            self.assertEqual(self.run_(command, "org/sharded").stdout, first)
            self.assertEqual(self.asked(), [])

    def test_after_an_hour_it_asks_once(self):
        first = self.run_("tree", "org/sharded").stdout
        self.age()
        self.hub.clear_log()
        self.assertEqual(self.run_("tree", "org/sharded").stdout, first)
        self.assertEqual(self.asked(), [("hub", "/api/models/org/sharded")])
        self.run_("tree", "org/sharded")
        self.assertEqual(self.asked(), [])

    def test_a_new_commit_is_seen_after_an_hour(self):
        self.assertEqual(self.tensors("org/one"), ["lm_head.weight"])
        self.hub.set("org/one", files={"model.safetensors": shard(["fresh.weight"])}, bump=True)
        self.assertEqual(self.tensors("org/one"), ["lm_head.weight"])
        self.age()
        self.assertEqual(self.tensors("org/one"), ["fresh.weight"])

    def test_a_commit_never_gets_old(self):
        commit = self.hub.commit("org/one")
        self.tensors("org/one", "--revision", commit)
        self.age(10**7)
        self.hub.clear_log()
        self.tensors("org/one", "--revision", commit)
        self.assertEqual(self.asked(), [])

    def test_what_the_shared_cache_holds_is_not_fetched(self):
        bytes_, size = head(["lm_head.weight"], 512)
        content = bytes_.ljust(size, b"\0")
        folder = os.path.join(self.tmp.name, "hf", "hub", "models--org--one")
        blob = os.path.join(folder, "blobs", hashlib.sha256(content).hexdigest())
        snapshot = os.path.join(folder, "snapshots", self.hub.commit("org/one"))
        os.makedirs(os.path.dirname(blob))
        os.makedirs(snapshot)
        with open(blob, "wb") as f:
            f.write(content)
        os.symlink(os.path.join("..", "..", "blobs", os.path.basename(blob)),
                   os.path.join(snapshot, "model.safetensors"))
        self.assertEqual(self.tensors("org/one"), ["lm_head.weight"])
        self.assertEqual(self.asked(), [("hub", "/api/models/org/one"), ("hub", "/org/one/resolve/COMMIT/config.json")])

    def test_small_files_reach_the_shared_cache(self):
        self.run_("tree", "org/one")
        folder = os.path.join(self.tmp.name, "hf", "hub", "models--org--one")
        with open(os.path.join(folder, "snapshots", self.hub.commit("org/one"), "config.json"), "rb") as f:
            self.assertEqual(f.read(), self.hub.content("org/one", "config.json"))
        with open(os.path.join(folder, "refs", "main"), encoding="ascii") as f:
            self.assertEqual(f.read().strip(), self.hub.commit("org/one"))
        self.assertFalse(os.path.exists(os.path.join(folder, "snapshots", self.hub.commit("org/one"),
                                                     "model.safetensors")))

    def test_mirrors_without_sizes(self):
        self.assertEqual(len(self.tensors("org/mirror")), 8)
        trees = [entry for entry in self.hub.log() if "/tree/" in entry["path"]]
        self.assertEqual(len(trees), 3)  # 6 files in pages of 2
        self.hub.clear_log()
        self.tensors("org/mirror")
        self.assertEqual(self.hub.log(), [])

    def test_links_that_lead_to_the_hub_itself_are_asked_of_the_mirror(self):
        self.hub.set(link_origin="https://huggingface.co")
        self.assertEqual(len(self.tensors("org/mirror")), 8)

    def test_links_to_elsewhere_are_not_followed(self):
        self.hub.set(link_origin="http://127.0.0.1:9")
        self.assertEqual(len(self.tensors("org/mirror")), 8)

    def test_small_files_that_lie_elsewhere(self):
        self.assertEqual(self.tensors("org/cached"), ["lm_head.weight"])

    def test_processes_that_start_together_fetch_once(self):
        alone = self.run_("tree", "org/sharded").stdout
        requests, sent = len(self.hub.log()), self.hub.sent()
        self.hub.clear_log()
        with tempfile.TemporaryDirectory() as cold:
            results = []

            def one():
                results.append(subprocess.run([SCRUPLE, "tree", "org/sharded"], env=self.hub.env(cold),
                                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False))
            threads = [threading.Thread(target=one) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for done in results:
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, alone, ""))
        self.assertEqual(len(self.hub.log()), requests)
        self.assertLessEqual(self.hub.sent(), 1.2 * sent)

    def test_without_any_cache(self):
        env = self.env()
        for name in ("HOME", "HF_HOME", "SCRUPLE_CACHE", "XDG_CACHE_HOME"):
            env.pop(name, None)
        done = subprocess.run([SCRUPLE, "tree", "org/sharded"], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(len(self.hub.log()), 1 + len(SHARDED) + len(SHARDS))

    def test_a_damaged_cache_is_as_good_as_none(self):
        first = self.run_("tree", "org/sharded").stdout
        for folder, _, files in os.walk(self.tmp.name):
            for name in files:
                path = os.path.join(folder, name)
                if "/locks/" not in path and "/blobs/" not in path and not os.path.islink(path):
                    with open(path, "r+b") as f:
                        f.write(b"\xff" * 8)
        self.assertEqual(self.run_("tree", "org/sharded").stdout, first)

    def test_a_list_without_sizes_is_not_kept(self):
        self.hub.fault("status", match="/tree/", status=404)
        self.run_("tree", "org/mirror")
        self.assertIn("sound", self.run_("cache", "verify").stdout)
        self.hub.clear_faults()
        self.hub.clear_log()
        self.run_("tree", "org/mirror")
        self.assertTrue(self.hub.log(path="/api/models/org/mirror"))
        self.assertIn("sound", self.run_("cache", "verify").stdout)


class Offline(Case):
    WAYS = ({"HF_HUB_OFFLINE": "1"}, {"TRANSFORMERS_OFFLINE": "yes"})

    def test_what_is_kept_serves(self):
        first = self.run_("tree", "org/sharded").stdout
        self.hub.clear_log()
        for way in self.WAYS:
            self.assertEqual(self.run_("tree", "org/sharded", **way).stdout, first)
        self.age()
        done = self.run_("tree", "org/sharded", "--offline")
        self.assertEqual(done.stdout, first)
        self.assertIn("offline because of --offline", done.stderr)
        self.assertRegex(done.stderr, r"as it was on \d{4}-\d\d-\d\d \d\d:\d\d UTC")
        self.assertEqual(self.asked(), [])

    def test_nothing_is_kept(self):
        for way in self.WAYS:
            message = self.refused("org/one", **way)
            self.assertIn("offline because of " + list(way)[0], message)
            self.assertIn("scruple fetch", message)
        self.assertEqual(self.asked(), [])

    def test_bytes_that_are_not_kept(self):
        self.run_("tree", "org/one")
        for path in glob.glob(os.path.join(self.tmp.name, "scruple", "ranges", "*")):
            os.unlink(path)
        message = self.refused("org/one", "--offline")
        self.assertIn("model.safetensors", message)
        self.assertIn("--offline", message)
        self.assertIn("scruple fetch org/one", message)

    def test_the_shared_cache_alone(self):
        folder = os.path.join(self.tmp.name, "hf", "hub", "models--org--other")
        snapshot = os.path.join(folder, "snapshots", "ab" * 20)
        os.makedirs(snapshot)
        os.makedirs(os.path.join(folder, "refs"))
        with open(os.path.join(folder, "refs", "main"), "w", encoding="ascii") as f:
            f.write("ab" * 20)
        bytes_, size = head(["kept.weight"], 4)
        with open(os.path.join(snapshot, "model.safetensors"), "wb") as f:
            f.write(bytes_.ljust(size, b"\0"))
        self.assertEqual(self.tensors("org/other", "--offline"), ["kept.weight"])
        self.assertEqual(self.tensors("org/other", "--offline", "--revision", "ab" * 20), ["kept.weight"])
        self.assertEqual(self.asked(), [])
        self.assertIn("org/other", self.refused("org/other", "--offline", "--revision", "v2"))

    def test_the_network_fails(self):
        first = self.run_("tree", "org/one").stdout
        self.age()
        self.hub.fault("status", status=500)
        done = self.run_("tree", "org/one")
        self.assertEqual(done.stdout, first)
        self.assertRegex(done.stderr, "note: .*as it was on")

    def test_a_rate_limit_does_not_take_away_what_is_here(self):
        first = self.run_("tree", "org/one").stdout
        self.age()
        self.hub.fault("status", status=429, headers={"RateLimit": '"api";r=0;t=280'})
        done = self.run_("tree", "org/one")
        self.assertEqual(done.stdout, first)
        self.assertIn("as it was on", done.stderr)

    def test_a_refusal_counts_whatever_is_here(self):
        self.run_("tree", "org/one")
        self.age()
        self.hub.set("org/one", private=True)
        message = self.refused("org/one")
        self.assertIn("private", message)
        self.assertIn("--offline shows it", message)
        self.run_("tree", "org/one", "--offline")


class Words(Case):
    def test_not_found(self):
        message = self.refused("org/nothing")
        for word in ("org/nothing", "does not exist", "private", "gated", "no token was sent", "HF_TOKEN",
                     "no", "file or folder of that name here"):
            self.assertIn(word, message)
        message = self.refused("hf://org/nothing", token=ALICE)
        self.assertIn("the token from HF_TOKEN was sent", message)
        self.assertNotIn("file or folder", message)

    def test_gated(self):
        message = self.refused("org/gated")
        self.assertIn(f"ask for access at {self.hub.endpoint}/org/gated", message)
        self.assertIn("no token was sent", message)
        message = self.refused("org/gated", token=BOB)
        self.assertIn("the token from HF_TOKEN was sent", message)
        self.assertEqual(self.tensors("org/gated", token=ALICE), ["lm_head.weight"])

    def test_private(self):
        self.assertIn("is private", self.refused("org/private"))
        self.assertIn("token from --token", self.refused("org/private", "--token", BOB))
        self.assertEqual(self.tensors("org/private", "--token", ALICE), ["lm_head.weight"])

    def test_disabled(self):
        self.assertIn("disabled", self.refused("org/disabled"))

    def test_an_invalid_token(self):
        path = os.path.join(self.tmp.name, "my token")
        with open(path, "w", encoding="ascii") as f:
            f.write("hf_invalid\n")
        message = self.refused("org/one", HF_TOKEN_PATH=path)
        self.assertIn("refuses the token from " + path, message)
        self.assertIn("HF_TOKEN", self.refused("org/one", status=2, HF_TOKEN="hf_a b"))

    def test_revision(self):
        message = self.refused("org/one@v2")
        self.assertIn('has no revision "v2"', message)
        self.assertIn('"v1"', message)
        self.assertIn('"feature/x"', self.refused("org/one@featur%2Fx"))
        self.assertEqual([e["path"] for e in self.hub.log()][-1], "/api/models/org/one/refs")
        self.refused("org/one", "--revision", "a b", status=2)

    def test_pages_without_files(self):
        self.assertIn("write org/one", self.refused("hf.co/org/one/commits/main", status=2))
        self.assertIn("write hf://datasets/org/data", self.refused("hf.co/datasets/org/data/viewer", status=2))

    def test_file(self):
        message = self.refused("hf://org/one/model.safetensor")
        self.assertIn('"model.safetensors"', message)
        self.assertIn("revision main", message)

    def test_rate_limit(self):
        self.hub.fault("status", status=429, headers={"RateLimit": '"api";r=0;t=280'})
        message = self.refused("org/one")
        self.assertIn("281 s", message)
        self.assertIn("HF_TOKEN", message)

    def test_trouble(self):
        self.hub.fault("status", status=404, body="<html>")
        self.assertIn("not found", self.refused("org/one"))

    def test_not_a_hub(self):
        self.hub.fault("html", where="hub")
        message = self.refused("org/one")
        self.assertIn("does not answer like a Hub", message)
        self.assertIn("HF_ENDPOINT", message)

    def test_garbage_instead_of_json(self):
        for body in ("{}", "[]", "null", '{"sha": "main"}', '{"sha": "' + "ab" * 20 + '"', "{" * 100000, ""):
            self.hub.clear_faults()
            self.hub.fault("status", status=200, match="^/api", body=body)
            with self.subTest(body[:20]):
                self.assertIn("does not answer like a Hub", self.refused("org/one"))

    def test_a_file_is_gone(self):
        self.hub.fault("status", match="resolve.*model.safetensors", status=404, headers={"X-Error-Code": "EntryNotFound"})
        self.assertIn('has no file "model.safetensors"', self.refused("org/one"))
        marker = os.path.join(self.tmp.name, "hf", "hub", "models--org--one", ".no_exist", self.hub.commit("org/one"),
                              "model.safetensors")
        self.assertTrue(os.path.exists(marker))

    def test_names_that_would_leave(self):
        files = {**ONE, "../../escape.json": {"text": "x"}}
        rows = [{"rfilename": name, "size": 10, "blobId": "ab" * 20} for name in files]
        answer = {"id": "org/one", "sha": self.hub.commit("org/one"), "siblings": rows}
        self.hub.fault("status", status=200, match="^/api", body=json.dumps(answer))
        done = subprocess.run([SCRUPLE, "tree", "org/one"], env=self.env(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        self.assertIn("1 file is left out", done.stderr)
        self.assertEqual(glob.glob(os.path.join(self.tmp.name, "**", "escape.json"), recursive=True), [])


class Trouble(Case):
    """Answers that are not what was asked for: one sentence or the right result, now and the next time."""

    def test_a_piece_of_another_answer_is_not_the_beginning_of_a_file(self):
        for match, where in (("safetensors", "cdn"), ("resolve.*safetensors", "hub"), ("resolve.*config", "hub")):
            with self.subTest(match):
                self.hub.fault("garbage", match=match, where=where, times=1,
                               data="HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
                self.assertEqual(self.tensors("org/one"), ["lm_head.weight"])
                self.assertEqual(self.tensors("org/one"), ["lm_head.weight"])
                self.tmp.cleanup()
                os.makedirs(self.tmp.name)

    def test_a_page_instead_of_a_file(self):
        page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>"
        for match, where in (("safetensors", "cdn"), ("resolve", "hub")):
            for kind, args in (("html", {}), ("garbage", {"data": page})):
                with self.subTest(match=match, kind=kind):
                    self.hub.fault(kind, match=match, where=where, **args)
                    self.assertIn("login in the browser", self.refused("org/one"))
                    self.hub.clear_faults()
                    self.assertEqual(self.tensors("org/one"), ["lm_head.weight"])
                    self.tmp.cleanup()
                    os.makedirs(self.tmp.name)

    def test_an_address_that_is_refused_at_once_is_asked_for_again(self):
        self.hub.fault("expired-signature", where="cdn", times=1)
        self.assertEqual(self.tensors("org/sharded")[0], "model.layers.0.mlp.down_proj.weight")
        self.hub.fault("expired-signature", where="cdn")
        message = self.refused("org/one", token=ALICE)
        self.assertIn("the storage behind the Hub answers 403", message)
        self.assertNotIn("token", message)

    def test_a_few_bytes_are_no_progress(self):
        self.hub.fault("reset", match="safetensors", where="cdn", bytes=10)
        self.assertIn("tried 6 times", self.refused("org/one"))

    def test_an_endless_header(self):
        self.hub.fault("long-header", match="safetensors", where="cdn", name="X-Long", bytes=2000000)
        self.assertIn("header of the answer is too long", self.refused("org/one"))

    def test_a_config_that_does_not_come(self):
        """What is shown without it would be another model."""
        for kind, args in (("status", {"status": 400}), ("commit-changes", {"commit": "f" * 40})):
            self.hub.clear_faults()
            self.hub.fault(kind, match="resolve.*config.json", **args)
            for command in ("tree", "info", "check"):
                done = self.run_(command, "org/one", status=4 if kind == "status" else 3)
                self.assertEqual(done.stdout, "")
                self.assertIn("config.json", done.stderr)
        self.hub.clear_faults()
        self.run_("tree", "org/one")
        for path in glob.glob(os.path.join(self.tmp.name, "hf", "hub", "*", "*", "*", "config.json")):
            os.unlink(path)
        self.run_("tree", "org/one", "--offline")


class Tokens(Case):
    def test_the_token_goes_to_the_hub_only(self):
        self.run_("tree", "org/sharded", token=ALICE)
        for entry in self.hub.log():
            self.assertEqual(entry["authorization"], entry["server"] == "hub", entry)

    def test_the_token_of_the_login(self):
        os.makedirs(os.path.join(self.tmp.name, "hf"), exist_ok=True)
        with open(os.path.join(self.tmp.name, "hf", "token"), "w", encoding="ascii") as f:
            f.write(ALICE + "\n")
        self.refused("org/private", HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
        self.run_("tree", "org/private")

    def test_debugging_shows_no_secret(self):
        done = self.run_("tree", "org/private", token=ALICE, HF_DEBUG="1")
        self.assertIn("curl", done.stderr)
        self.assertIn("/api/models/org/private", done.stderr)

    def test_no_secret_of_an_address_in_messages(self):
        for name in ("https://hf.co/org/one/commits/main?token=SECRET", "http://127.0.0.1:1/a b.gguf?Signature=SECRET",
                     "https://hf.co/api/x?token=SECRET", "http://127.0.0.1:1/a.gguf?x=SECRET\x01"):
            self.assertNotIn("SECRET", self.refused(name, status=2))

    def test_the_environment_shows_no_password(self):
        endpoint = "https://user:SECRET@example.org"
        self.assertNotIn("SECRET", self.run_("env", HF_ENDPOINT=endpoint, HTTPS_PROXY=endpoint).stdout)

    def test_no_secret_on_disk(self):
        self.run_("tree", "org/private", token=ALICE)
        for folder, _, files in os.walk(self.tmp.name):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    content = f.read()
                self.assertNotIn(ALICE.encode(), content)
                self.assertNotIn(b"Signature=", content)


class Addresses(Case):
    """Files behind other addresses: the CDN of the mock with its own signatures is one."""

    def signed(self, repo, path):
        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None
        try:
            urllib.request.build_opener(Stay).open(f"{self.hub.endpoint}/{repo}/resolve/main/{path}")
        except urllib.error.HTTPError as e:
            return e.headers["Location"]
        raise AssertionError("no redirect")

    def test_one_file(self):
        url = self.signed("org/one", "model.safetensors")
        self.hub.clear_log()
        done = self.run_("tree", "--json", "--flat", url, token=ALICE)
        document = json.loads(done.stdout)
        self.assertEqual([t["name"] for t in document["tensors"]], ["lm_head.weight"])
        self.assertEqual({e["server"] for e in self.hub.log()}, {"cdn"})
        self.assertFalse(any(e["authorization"] for e in self.hub.log()))

    def test_an_index_and_its_shards(self):
        """On a plain server that does not even know ranges."""
        root = os.path.join(self.tmp.name, "www")
        os.makedirs(root)
        for name, about in SHARDED.items():
            with open(os.path.join(root, name), "wb") as f:
                if "json" in about:
                    f.write(json.dumps(about["json"]).encode())
                else:
                    bytes_, size = head(SHARDS[name], 8)
                    f.write(bytes_.ljust(size, b"\0"))
        asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=root)

            def log_message(self, *args):
                asked.append((self.path, self.headers["Authorization"]))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            at = f"http://127.0.0.1:{server.server_address[1]}/"
            try:
                self.assertEqual(len(self.tensors(at + "model.safetensors.index.json", token=ALICE)), 8)
                first = list(asked)
                self.assertEqual(len(self.tensors(at + "model-00001-of-00004.safetensors#x")), 2)
            finally:
                server.shutdown()
                thread.join()
        self.assertEqual({path for path, _ in first}, {"/" + name for name in SHARDED})
        self.assertEqual({token for _, token in asked}, {None})

    def test_not_there(self):
        message = self.refused(self.hub.cdn + "/nothing/model.safetensors?Signature=x")
        self.assertIn("/nothing/model.safetensors", message)

    def test_offline(self):
        self.assertIn("offline because of --offline", self.refused(self.hub.cdn + "/x.gguf", "--offline"))


if __name__ == "__main__":
    unittest.main()
