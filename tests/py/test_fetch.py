# SPDX-License-Identifier: Apache-2.0
"""scruple fetch against the mock Hub: whole files and parts of them, interrupted, damaged, shared.

What is in the shared cache is looked at as the Hugging Face tools would: refs, snapshots, links,
blobs that are named by the hash of what they hold.
"""
import glob
import hashlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SCRUPLE = os.environ["SCRUPLE"]
SOURCE = os.environ["SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "mockhub"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "py"))
from mockhub import MockHub  # noqa: E402

REPO = "org/model"
MEGA = 1 << 20
NAMES = ["model.embed.weight", "model.layers.0.q.weight", "model.layers.0.k.weight", "model.layers.1.q.weight",
         "lm_head.weight"]


def safetensors(names, each):
    """A file with F32 tensors of `each` bytes, and where their bytes are."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        header[name] = {"dtype": "F32", "shape": [each // 4], "data_offsets": [at, at + each]}
        at += each
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = hashlib.shake_128(repr(names).encode()).digest(at)
    first = 8 + len(text)
    places = {name: (first + header[name]["data_offsets"][0], first + header[name]["data_offsets"][1] - 1)
              for name in names}
    return struct.pack("<Q", len(text)) + text + data, places


WEIGHTS, PLACES = safetensors(NAMES, 3 * MEGA // 2)
FILES = {
    "README.md": {"text": "# A model\n"},
    "config.json": {"json": {"model_type": "llama"}},
    "empty.txt": {"text": ""},
    "model.safetensors": {"data": WEIGHTS},
    "sub/deep/notes.txt": {"text": "deep\n"},
    "sub/tokenizer.model": {"data": b"token" * 2000},
}


class Case(unittest.TestCase):
    config = {}

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        about = {"files": FILES, "card": {"license": "mit"}}
        self.hub = MockHub(config={"repos": {REPO: about}, **self.config})
        self.hub.__enter__()
        self.addCleanup(self.leave)

    def leave(self):
        leaks = self.hub.leaks()
        self.hub.stop()
        self.assertEqual(leaks, [])
        self.assertEqual(self.hub.errors, [])

    def env(self, **more):
        return self.hub.env(self.tmp.name, **more)

    def fetch(self, *args, status=0, limit=None, **env):
        done = subprocess.run([SCRUPLE, "fetch", *args], env=self.env(**env), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
                              preexec_fn=limit)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def start(self, *args):
        return subprocess.Popen([SCRUPLE, "fetch", *args], env=self.env(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def cache(self, *parts):
        return os.path.join(self.tmp.name, "hf", "hub", *parts)

    def model(self, *parts):
        return self.cache("models--org--model", *parts)

    def ranges(self):
        """Large parts in the cache of ranges; small ones are in the logs beside them."""
        return glob.glob(os.path.join(self.tmp.name, "scruple", "ranges", "*.data"))

    def assert_snapshot(self, paths, repo=REPO, killed=False):
        """As the official layout says; nothing else in it, but what somebody who was killed left."""
        commit = self.hub.commit(repo)
        top = self.cache("models--" + repo.replace("/", "--"))
        with open(os.path.join(top, "refs", "main"), encoding="ascii") as f:
            self.assertEqual(f.read(), commit)
        found = []
        for folder, _, files in os.walk(os.path.join(top, "snapshots", commit)):
            found += [os.path.relpath(os.path.join(folder, f), os.path.join(top, "snapshots", commit)) for f in files]
        self.assertEqual(sorted(found), sorted(paths))
        for path in paths:
            link = os.path.join(top, "snapshots", commit, path)
            up = "../" * (2 + path.count("/"))
            self.assertEqual(os.readlink(link), f"{up}blobs/{self.hub.etag(repo, path)}")
            with open(link, "rb") as f:
                self.assertEqual(f.read(), self.hub.content(repo, path), path)
            self.assertEqual(os.stat(link).st_mode & 0o777, 0o666 & ~self.umask())
        blobs = {name for name in os.listdir(os.path.join(top, "blobs"))
                 if not (killed and name.endswith(".incomplete"))}
        self.assertEqual(blobs, {self.hub.etag(repo, path) for path in paths})

    @staticmethod
    def umask():
        mask = os.umask(0o022)
        os.umask(mask)
        return mask


class Whole(Case):
    def test_all_files_take_their_places(self):
        done = self.fetch(REPO)
        folder = self.model("snapshots", self.hub.commit(REPO))
        self.assertEqual(done.stdout, folder + "\n")
        self.assert_snapshot(FILES)
        self.assertIn("checksums verified", done.stderr)
        self.assertEqual(self.ranges(), [])
        self.assertTrue(os.path.exists(self.cache("CACHEDIR.TAG")))

    def test_each_byte_is_asked_for_once(self):
        self.fetch(REPO)
        size = sum(self.hub.file(REPO, path).size for path in FILES)
        listed = sum(e["sent"] for e in self.hub.log("hub") if "/api/" in e["path"])
        redirects = sum(e["sent"] for e in self.hub.log("hub", status=302))
        self.assertEqual(self.hub.sent() - listed - redirects, size)
        self.assertEqual(len(self.hub.ranges("model.safetensors")), 1)

    def test_the_second_time_nothing_is_asked(self):
        self.fetch(REPO)
        self.hub.clear_log()
        done = self.fetch(REPO)
        self.assertEqual(self.hub.log(), [])
        self.assertIn("everything is here", done.stderr)
        self.assertEqual(done.stdout, self.model("snapshots", self.hub.commit(REPO)) + "\n")

    def test_offline_afterwards(self):
        self.fetch(REPO)
        self.hub.clear_log()
        folder = self.fetch(REPO, HF_HUB_OFFLINE="1").stdout.strip()
        for model in (REPO, folder):
            tree = subprocess.run([SCRUPLE, "tree", model], env=self.env(HF_HUB_OFFLINE="1"), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(tree.returncode, 0, tree.stderr)
            self.assertIn("lm_head", tree.stdout)
        self.assertEqual(self.hub.log(), [])

    def test_offline_before_is_refused(self):
        done = self.fetch(REPO, status=4, HF_HUB_OFFLINE="1")
        self.assertIn("HF_HUB_OFFLINE", done.stderr)
        self.assertEqual(self.hub.log(), [])

    def test_include_and_exclude(self):
        self.fetch(REPO, "--include", "*.json", "--include", "sub/", "--exclude", "*.model")
        self.assert_snapshot(["config.json", "sub/deep/notes.txt"])
        self.assertEqual(self.hub.log("cdn"), [])
        done = self.fetch(REPO, "--include", "nothing*", status=4)
        self.assertIn("no file matches", done.stderr)

    def test_files_of_another_revision_share_blobs(self):
        self.fetch(REPO)
        self.hub.set(REPO, files={"config.json": {"json": {"model_type": "gpt2"}}})
        self.hub.clear_log()
        self.fetch(REPO, "--revision", self.hub.commit(REPO))
        self.assertEqual([e["file"] for e in self.hub.log() if e["file"]], ["config.json"])

    def test_a_blob_that_is_too_short_is_replaced(self):
        self.fetch(REPO, "--include", "config.json")
        blob = os.path.realpath(self.model("snapshots", self.hub.commit(REPO), "config.json"))
        os.truncate(blob, 3)
        self.fetch(REPO, "--include", "config.json")
        self.assert_snapshot(["config.json"])

    def test_many_small_files(self):
        files = {f"f/{i:04}.txt": {"text": f"{i}\n"} for i in range(400)}
        self.hub.set("org/many", files=files)
        self.fetch("org/many")
        self.assert_snapshot(files, "org/many")
        self.assertLessEqual(self.hub.stats()["hub"]["connections"], 64)

    def test_the_same_content_twice(self):
        self.hub.set("org/twins", files={"a.bin": {"data": WEIGHTS}, "b.bin": {"data": WEIGHTS},
                                         "c.txt": {"text": ""}, "d.txt": {"text": ""}})
        self.fetch("org/twins")
        self.assert_snapshot(["a.bin", "b.bin", "c.txt", "d.txt"], "org/twins")
        self.assertEqual(self.hub.sent("cdn"), len(WEIGHTS))

    def test_one_file_by_its_name(self):
        done = self.fetch(f"hf://{REPO}/sub/tokenizer.model")
        self.assertEqual(done.stdout, self.model("snapshots", self.hub.commit(REPO), "sub/tokenizer.model") + "\n")
        self.assert_snapshot(["sub/tokenizer.model"])

    def test_a_quantisation_with_all_its_parts(self):
        names = [f"q/m-{quant}-0000{i}-of-00002.gguf" for quant in ("Q4_K_M", "Q8_0") for i in (1, 2)]
        self.hub.set("org/gguf", files={name: {"text": name, "lfs": True} for name in names})
        done = self.fetch("org/gguf:q8_0")
        self.assert_snapshot(names[2:], "org/gguf")
        self.assertTrue(done.stdout.endswith("/" + names[2] + "\n"))

    def test_a_folder_inside(self):
        done = self.fetch(f"hf://{REPO}/sub")
        self.assertTrue(done.stdout.endswith(f"/snapshots/{self.hub.commit(REPO)}/sub\n"))
        self.assert_snapshot(["sub/deep/notes.txt", "sub/tokenizer.model"])

    def test_few_descriptors_and_no_home(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        self.hub.set("org/many", files={f"{i}.bin": {"size": 2 * MEGA, "head": b"%d" % i} for i in range(6)}
                     | {f"{i}.txt": {"text": str(i)} for i in range(60)})
        self.fetch("org/many", limit=limit, HOME="/nonexistent")
        self.assertEqual(len(os.listdir(self.cache("models--org--many", "blobs"))), 66)


class ReadOnlyCaches(Case):
    """SCRUPLE_CACHE_PATH: files that are there are used, and the folder that is printed has them all."""

    def setUp(self):
        super().setUp()
        self.tier = os.path.join(self.tmp.name, "tier")
        self.fetch(REPO, HF_HUB_CACHE=self.tier)
        self.hub.clear_log()

    def assert_whole(self, folder, paths=FILES):
        for path in paths:
            with open(os.path.join(folder.strip(), path), "rb") as f:
                self.assertEqual(f.read(), self.hub.content(REPO, path), path)

    def test_the_folder_is_the_one_that_has_all(self):
        for args in ([], ["--offline"]):
            done = self.fetch(REPO, *args, SCRUPLE_CACHE_PATH=self.tier)
            self.assertTrue(done.stdout.startswith(self.tier))
            self.assert_whole(done.stdout)
        self.assertFalse(os.path.exists(self.model("blobs")))
        self.assertEqual(self.hub.log(), [])

    def test_what_is_scattered_is_brought_together(self):
        self.fetch(REPO, "--include", "config.json")
        os.unlink(f"{self.tier}/models--org--model/snapshots/{self.hub.commit(REPO)}/config.json")
        dry = json.loads(self.fetch(REPO, "--dry-run", "--json", SCRUPLE_CACHE_PATH=self.tier).stdout)
        self.assertEqual(dry["totals"]["missing"], 0)
        done = self.fetch(REPO, SCRUPLE_CACHE_PATH=self.tier)
        self.assertTrue(done.stdout.startswith(self.cache()))
        self.assert_whole(done.stdout)
        self.assert_snapshot(FILES)
        self.assertEqual(self.hub.sent("cdn"), 0)

    def test_blobs_of_an_older_commit(self):
        self.hub.set(REPO, bump=True)
        shutil.rmtree(os.path.join(self.tmp.name, "scruple"))
        done = self.fetch(REPO, SCRUPLE_CACHE_PATH=self.tier)
        self.assert_snapshot(FILES)
        self.assert_whole(done.stdout)
        self.assertEqual(self.hub.sent("cdn"), 0)

    def test_what_is_damaged_there_is_fetched(self):
        self.hub.set(REPO, bump=True)
        shutil.rmtree(os.path.join(self.tmp.name, "scruple"))
        with open(f"{self.tier}/models--org--model/blobs/{self.hub.etag(REPO, 'model.safetensors')}", "r+b") as f:
            f.seek(5000)
            f.write(b"\0\1")
        self.fetch(REPO, SCRUPLE_CACHE_PATH=self.tier)
        self.assert_snapshot(FILES)
        self.assertEqual(self.hub.sent("cdn"), len(WEIGHTS))


class Words(Case):
    def test_dry_run(self):
        done = self.fetch(REPO, "--dry-run")
        self.assertIn("missing", done.stdout)
        self.assertRegex(done.stdout, r"model\.safetensors +7\.9 MB +missing +7\.9 MB")
        self.assertIn("to fetch", done.stdout)
        self.assertEqual([e for e in self.hub.log() if e["file"]], [])
        self.assertFalse(os.path.exists(self.model("blobs")))

    def test_json(self):
        from test_schemas import Schemas, strict
        schemas = Schemas(os.path.join(SOURCE, "tests", "schema"))
        self.fetch(REPO, "--include", "config.json")
        for args in (["--dry-run"], [], ["--dry-run", "lm_head"], ["lm_head"], ["--local-dir", self.tmp.name + "/x"]):
            value = strict(self.fetch(REPO, "--json", *args).stdout)
            self.assertEqual(list(schemas.problems("fetch.json", value)), [])
            self.assertEqual(value["model"]["commit"], self.hub.commit(REPO))
            self.assertEqual(value["dry_run"], "--dry-run" in args)
        value = strict(self.fetch(REPO, "--json").stdout)
        self.assertEqual({f["state"] for f in value["files"]}, {"have"})
        self.assertEqual(value["totals"]["missing"], 0)

    def test_dry_run_tells_what_is_here(self):
        self.fetch(REPO, "--include", "config.json")
        value = json.loads(self.fetch(REPO, "--dry-run", "--json").stdout)
        states = {f["path"]: f["state"] for f in value["files"]}
        self.assertEqual(states["config.json"], "have")
        self.assertEqual(states["README.md"], "missing")

    def test_progress_for_programs(self):
        done = self.fetch(REPO, "--progress=json")
        lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        self.assertTrue(lines)
        self.assertEqual(lines[-1]["done"], lines[-1]["total"])
        self.assertEqual(lines[-1]["files_done"], len(FILES))

    def test_quiet(self):
        self.assertEqual(self.fetch(REPO, "-q").stderr, "")

    def test_wrong_use(self):
        self.assertIn("MODEL is missing", self.fetch(status=2).stderr)
        self.assertIn("is here already", self.fetch(self.tmp.name, status=2).stderr)
        self.assertIn("whole files", self.fetch(REPO, "lm_head", "--local-dir", "x", status=2).stderr)
        self.fetch(REPO, "re:(", status=2)

    def test_no_cache_to_write_to(self):
        place = os.path.join(self.tmp.name, "file")
        with open(place, "w", encoding="ascii"):
            pass
        done = self.fetch(REPO, status=5, HF_HUB_CACHE=place + "/hub")
        self.assertIn("HF_HUB_CACHE", done.stderr)
        self.assertIn(place, done.stderr)
        done = self.fetch(REPO, status=5, SCRUPLE_CACHE=place + "/scruple")
        self.assertIn("SCRUPLE_CACHE", done.stderr)
        self.assertEqual([e for e in self.hub.log() if e["file"]], [])

    def test_the_token_goes_to_the_hub_only(self):
        self.hub.set(REPO, private=True)
        self.fetch(REPO, token="hf_mock")
        self.assertTrue(all(e["authorization"] for e in self.hub.log("hub")))
        self.assertFalse(any(e["authorization"] for e in self.hub.log("cdn")))
        for folder, _, files in os.walk(self.tmp.name):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    text = f.read()
                self.assertNotIn(b"hf_mock", text, name)
                self.assertNotIn(b"Signature=", text, name)


class Parts(Case):
    def test_exactly_the_bytes_of_the_tensors(self):
        self.fetch(REPO, "model.layers.0", "lm_head.weight")
        first, last = PLACES["model.layers.0.q.weight"][0], PLACES["model.layers.0.k.weight"][1]
        asked = self.hub.ranges("model.safetensors")
        data = sorted(r for r in asked if r[0] > 0)
        covered = sum(b - a + 1 for a, b in data)
        self.assertEqual(covered, last - first + 1 + 3 * MEGA // 2)
        self.assertEqual(min(a for a, _ in data), first)
        self.assertEqual(max(b for _, b in data), PLACES["lm_head.weight"][1])
        heads = [r for r in asked if r[0] == 0]
        self.assertTrue(all(b < 128 << 10 for _, b in heads))
        self.assertFalse(os.path.exists(self.model("blobs", self.hub.etag(REPO, "model.safetensors"))))

    def test_the_second_time_nothing_is_asked(self):
        self.fetch(REPO, "lm_head")
        self.hub.clear_log()
        done = self.fetch(REPO, "lm_head")
        self.assertEqual(self.hub.log(), [])
        self.assertIn("everything is here", done.stderr)
        self.fetch(REPO, "lm_head", "model.layers.1")
        covered = sum(b - a + 1 for a, b in self.hub.ranges("model.safetensors"))
        self.assertEqual(covered, 3 * MEGA // 2)

    def test_nothing_matches(self):
        done = self.fetch(REPO, "lm_heat", status=1)
        self.assertIn("did you mean \"lm_head\"", done.stderr)

    def test_parts_become_a_whole(self):
        self.fetch(REPO, "model.layers.0.q.weight")
        self.hub.clear_log()
        self.fetch(REPO)
        self.assert_snapshot(FILES)
        self.assertLess(self.hub.sent("cdn"), len(WEIGHTS) - MEGA + 20000)
        self.assertEqual(self.ranges(), [])

    def test_a_whole_file_has_all_parts(self):
        self.fetch(REPO)
        self.hub.clear_log()
        self.fetch(REPO, "lm_head")
        self.assertEqual(self.hub.log(), [])


class Interrupted(Case):
    def slowly(self, number):
        """A fetch that is ended when two thirds are here; bytes that were sent until then."""
        self.hub.fault("slow", match="model.safetensors", where="cdn", rate=6000000)
        process = self.start(REPO)
        self.assertTrue(self.hub.wait(lambda: self.hub.sent("cdn") > 5000000))
        sent = self.hub.sent("cdn")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.hub.clear_faults()
        self.hub.clear_log()
        return process, sent, out, err

    def test_killed(self):
        process, sent, _, _ = self.slowly(signal.SIGKILL)
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.fetch(REPO)
        self.assert_snapshot(FILES, killed=True)
        self.assertLess(self.hub.sent("cdn"), len(WEIGHTS) - sent + 1000000 + 20000)
        self.assertEqual(self.ranges(), [])

    def test_ctrl_c(self):
        process, sent, out, err = self.slowly(signal.SIGINT)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(out, "")
        self.assertIn(f"scruple fetch {REPO}", err)
        self.fetch(REPO)
        self.assert_snapshot(FILES)
        self.assertLess(self.hub.sent("cdn"), len(WEIGHTS) - sent + 1000000 + 20000)

    def test_terminated_while_nothing_comes(self):
        self.hub.fault("silent", match="model.safetensors", where="cdn")
        process = self.start(REPO)
        self.assertTrue(self.hub.wait(lambda: self.hub.log("cdn", file="model.safetensors")))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 143)

    def test_full_disk(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MEGA, 2 * MEGA))
        done = self.fetch(REPO, status=5, limit=limit)
        self.assertIn("cannot be written", done.stderr)
        self.assertIn("more are needed", done.stderr)
        self.assertIn(self.tmp.name, done.stderr)
        self.hub.clear_log()
        self.fetch(REPO)
        self.assert_snapshot(FILES)
        self.assertLess(self.hub.sent("cdn"), len(WEIGHTS) - MEGA)

    def test_what_is_left_goes_by_the_name_of_the_repository(self):
        self.hub.set("datasets/org/model", files=FILES)
        self.hub.fault("slow", match="model.safetensors", where="cdn", rate=6000000)
        process = self.start("hf://datasets/org/model", "--include", "*.safetensors")
        self.assertTrue(self.hub.wait(lambda: self.hub.sent("cdn") > 3000000))
        process.kill()
        process.communicate(timeout=60)

        def left(name):
            done = subprocess.run([SCRUPLE, "cache", "rm", name, "--dry-run", "--json"], env=self.env(),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            return [entry["kind"] for entry in json.loads(done.stdout)["entries"]] if done.returncode == 0 else []
        self.assertIn("parts", left("datasets/org/model"))
        self.assertEqual(left("org/model"), [])


class Damaged(Case):
    def test_one_flipped_bit_is_fetched_again(self):
        self.hub.fault("corrupt", match="model.safetensors", where="cdn", times=1, offset=4000000)
        self.fetch(REPO)
        self.assert_snapshot(FILES)
        self.assertEqual(len(self.hub.ranges("model.safetensors")), 2)

    def test_a_flipped_bit_of_a_small_file(self):
        self.hub.fault("corrupt", match="config.json", times=1)
        self.fetch(REPO, "--include", "config.json")
        self.assert_snapshot(["config.json"])

    def test_always_damaged(self):
        for path in ("model.safetensors", "config.json"):
            self.hub.fault("corrupt", match=path)
            done = self.fetch(REPO, "--include", path, status=3)
            self.assertIn("checksum mismatch", done.stderr)
            self.assertIn(self.hub.etag(REPO, path), done.stderr)
            self.assertFalse(os.path.exists(self.model("blobs", self.hub.etag(REPO, path))))
            self.assertEqual(self.ranges(), [])

    def test_a_damaged_part_is_fetched_again(self):
        self.fetch(REPO, "model.layers.1.q.weight")
        data = max(self.ranges(), key=os.path.getsize)
        with open(data, "r+b") as f:
            f.seek(PLACES["model.layers.1.q.weight"][0] + 5)
            byte = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([byte[0] ^ 1]))
        self.fetch(REPO)
        self.assert_snapshot(FILES)

    def test_another_process_writes_over_what_was_hashed(self):
        self.hub.fault("slow", match="model.safetensors", where="cdn", times=1, rate=4000000)
        process = self.start(REPO)
        self.assertTrue(self.hub.wait(lambda: any(os.path.getsize(path) > 2 * MEGA for path in self.ranges())))
        data, = self.ranges()
        with open(data, "r+b") as f:
            f.seek(300000)
            f.write(b"not what it was")
        record = struct.pack("<QQI", 300000, 15, zlib.crc32(b"not what it was"))
        with open(data.removesuffix("data") + "map", "r+b") as f:
            salt, = struct.unpack("<I", f.read(28)[24:])
            f.seek(0, os.SEEK_END)
            f.write(record + struct.pack("<I", zlib.crc32(record, salt)))
        err = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 0, err)
        self.assert_snapshot(FILES)

    def test_cut_and_reset(self):
        self.hub.fault("short-body", match="model.safetensors", where="cdn", times=1, bytes=2000000)
        self.hub.fault("reset", match="model.safetensors", where="cdn", times=1, after=1, bytes=1000000)
        self.fetch(REPO)
        self.assert_snapshot(FILES)
        self.assertLess(self.hub.sent("cdn"), len(WEIGHTS) + 2 * MEGA)

    def test_the_signature_ends_in_the_middle(self):
        self.hub.fault("short-body", match="model.safetensors", where="cdn", times=1, bytes=3000000)
        self.hub.fault("expired-signature", match="model.safetensors", where="cdn", times=1, after=1)
        self.fetch(REPO)
        self.assert_snapshot(FILES)
        resolved = [e for e in self.hub.log("hub", file="model.safetensors") if e["status"] == 302]
        self.assertEqual(len(resolved), 2)
        self.assertLess(self.hub.sent("cdn"), len(WEIGHTS) + MEGA)

    def test_another_file_behind_the_name(self):
        self.hub.fault("etag-changes", match="model.safetensors", where="hub")
        done = self.fetch(REPO, "--include", "*.safetensors", status=3)
        self.assertIn("changed", done.stderr)
        self.assertFalse(os.path.exists(self.model("snapshots")))

    def test_longer_than_the_hub_says(self):
        for path, how in (("model.safetensors", "chunked"), ("config.json", "no-length")):
            self.hub.fault("size-changes", match=path, by=700000)
            self.hub.fault(how, match=path)
            done = self.fetch(REPO, "--include", path, status=3)
            self.assertIn("was changed while being read", done.stderr)
            self.assertNotIn("cannot be written", done.stderr)
            self.hub.clear_faults()
        self.fetch(REPO)
        self.assert_snapshot(FILES)

    def test_not_found_and_gone(self):
        self.hub.fault("status", match="resolve.*config.json", status=404)
        done = self.fetch(REPO, "--include", "config.json", status=4)
        self.assertIn("config.json", done.stderr)


class Together(Case):
    def test_four_at_once(self):
        self.hub.set("org/big", files={f"{i}.bin": {"size": 4 * MEGA, "head": b"%d" % i} for i in range(6)})
        self.hub.warm()
        running = [self.start("org/big") for _ in range(4)]
        for process in running:
            out, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
            self.assertTrue(out)
        self.assert_snapshot([f"{i}.bin" for i in range(6)], "org/big")
        self.assertLess(self.hub.sent("cdn"), 6 * 4 * MEGA * 1.2)
        self.assertEqual(self.ranges(), [])


    def test_the_same_content_in_two_repositories(self):
        same = {f"{i}.bin": {"size": 4 * MEGA, "head": b"%d" % i} for i in range(2)}
        self.hub.set("org/a", files=same)
        self.hub.set("org/b", files=same)
        self.hub.warm()
        self.hub.fault("slow", where="cdn", rate=8000000)
        running = [self.start("org/a"), self.start("org/b")]
        for process in running:
            err = process.communicate(timeout=120)[1]
            self.assertEqual(process.returncode, 0, err)
        for repo in ("org/a", "org/b"):
            self.assert_snapshot(list(same), repo)
        self.assertEqual(self.ranges(), [])

    def test_parts_are_removed_meanwhile(self):
        for args in ([REPO], [REPO, "lm_head", "model"]):
            self.hub.clear_log()
            self.hub.fault("slow", match="model.safetensors", where="cdn", rate=4000000)
            process = self.start(*args)
            self.assertTrue(self.hub.wait(lambda: self.hub.sent("cdn") > 3000000))
            done = subprocess.run([SCRUPLE, "cache", "rm", "--ranges"], env=self.env(), stdin=subprocess.DEVNULL,
                                  capture_output=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.hub.clear_faults()
            err = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 0, err)
            self.fetch(REPO)
            self.assert_snapshot(FILES)
            shutil.rmtree(self.model())

    def test_part_of_another_type_of_repository_has_its_type_in_its_name(self):
        self.hub.set("datasets/org/data", files={"a.bin": {"size": 8 * MEGA, "head": b"a"}})
        self.hub.fault("stall", where="cdn", bytes=3 * MEGA)
        process = self.start("hf://datasets/org/data")
        self.assertTrue(self.hub.wait(lambda: any(os.path.getsize(path) > MEGA for path in self.ranges())))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        done = subprocess.run([SCRUPLE, "cache", "ls", "datasets/org/data"], env=self.env(), check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertRegex(done.stdout, "parts +datasets/org/data")


class LocalFolder(Case):
    def setUp(self):
        super().setUp()
        self.dir = os.path.join(self.tmp.name, "there")

    def assert_folder(self, paths):
        for path in paths:
            with open(os.path.join(self.dir, path), "rb") as f:
                self.assertEqual(f.read(), self.hub.content(REPO, path), path)
            self.assertFalse(os.path.islink(os.path.join(self.dir, path)))
            with open(f"{self.dir}/.cache/huggingface/download/{path}.metadata", encoding="ascii") as f:
                commit, etag, when = f.read().splitlines()
            self.assertEqual((commit, etag), (self.hub.commit(REPO), self.hub.etag(REPO, path)))
            self.assertGreater(float(when), 1.7e9)

    def test_files_under_their_paths(self):
        done = self.fetch(REPO, "--local-dir", self.dir)
        self.assertEqual(done.stdout, self.dir + "\n")
        self.assert_folder(FILES)
        self.assertFalse(os.path.exists(self.model("blobs")))
        self.assertEqual(self.ranges(), [])
        self.hub.clear_log()
        self.fetch(REPO, "--local-dir", self.dir)
        self.assertEqual(self.hub.log(), [])

    def test_what_the_shared_cache_has_is_copied(self):
        self.fetch(REPO)
        self.hub.clear_log()
        self.fetch(REPO, "--local-dir", self.dir)
        self.assertEqual(self.hub.log(), [])
        self.assert_folder(FILES)

    def test_names_as_long_as_a_disk_takes(self):
        long = ["x" * 255, "d/" * 300 + "y" * 240 + ".txt"]
        self.hub.set("org/long", files={name: {"text": "long"} for name in long})
        for _ in range(2):
            self.fetch("org/long", "--local-dir", self.dir)
            for name in long:
                with open(os.path.join(self.dir, name), "rb") as f:
                    self.assertEqual(f.read(), b"long")
        self.fetch("org/long")
        self.fetch("org/long", "--local-dir", self.dir + "2")
        self.assert_snapshot(long, "org/long")
        self.hub.set("org/long", files={"z" * 256: {"text": "too long"}})
        for args in ([], ["--local-dir", self.dir + "3"]):
            err = self.fetch("org/long", *args, "--revision", self.hub.commit("org/long"), status=5).stderr
            self.assertIn("zzz", err)
            self.assertNotIn("HF_HUB_CACHE", err)

    def test_nothing_is_left_beside_the_files(self):
        self.hub.fault("slow", where="hub", match="resolve", rate=3000)
        process = self.start(REPO, "--local-dir", self.dir)
        self.assertTrue(self.hub.wait(lambda: os.path.exists(self.dir + "/config.json")))
        process.kill()
        process.communicate()
        for folder, _, files in os.walk(self.dir):
            if ".cache" not in folder:
                self.assertEqual([name for name in files if name.endswith((".tmp", ".incomplete"))], [])

    def test_files_for_git_are_left_out(self):
        self.hub.set("org/git", files={name: {"text": "x"} for name in
                                       ("a.txt", ".git/config", "b/.GIT/hooks/pre-commit", ".gitattributes")})
        done = self.fetch("org/git", "--local-dir", self.dir)
        self.assertIn("2 files are left out", done.stderr)
        self.assertEqual(sorted(os.listdir(self.dir)), [".cache", ".gitattributes", "a.txt"])

    def test_what_is_right_stays_and_what_is_not_is_replaced(self):
        os.makedirs(self.dir)
        with open(os.path.join(self.dir, "config.json"), "wb") as f:
            f.write(self.hub.content(REPO, "config.json"))
        with open(os.path.join(self.dir, "README.md"), "wb") as f:
            f.write(b"x" * len(self.hub.content(REPO, "README.md")))
        with open(os.path.join(self.dir, "mine.txt"), "wb") as f:
            f.write(b"mine")
        self.fetch(REPO, "--local-dir", self.dir)
        self.assert_folder(FILES)
        self.assertEqual(self.hub.log("hub", file="config.json"), [])
        self.assertTrue(os.path.exists(os.path.join(self.dir, "mine.txt")))


if __name__ == "__main__":
    unittest.main()
