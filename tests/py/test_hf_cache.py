# SPDX-License-Identifier: Apache-2.0
"""The shared cache as the Hugging Face tools would walk it, after each command that writes to it; what
others wrote there, read; and scruple cache over all of it.

The walker knows the documented layout and nothing of ours: refs name commits, snapshots hold relative
links, links lead to blobs, blobs carry their hash as name. Whatever else stands there is a mistake.
"""
import hashlib
import json
import os
import pty
import re
import stat
import subprocess
import sys
import tempfile
import time
import unittest

SCRUPLE = os.environ["SCRUPLE"]
SOURCE = os.environ["SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "mockhub"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "py"))
from mockhub import MockHub  # noqa: E402

# The validator wants generated models beside it; by hand this test runs without them.
SCHEMAS = None
if "FIXTURES" in os.environ and "TESTDATA" in os.environ:
    from test_schemas import Schemas
    SCHEMAS = Schemas(os.path.join(SOURCE, "tests", "schema"))

WEIGHTS = hashlib.shake_128(b"weights").digest(3000000)
HEADER = json.dumps({"a": {"dtype": "F32", "shape": [750000], "data_offsets": [0, 3000000]}}).encode()
HEADER += b" " * (-len(HEADER) % 8)
MODEL = len(HEADER).to_bytes(8, "little") + HEADER + WEIGHTS
FILES = {
    "README.md": {"text": "# A model\n"},
    "config.json": {"json": {"model_type": "llama"}},
    "model.safetensors": {"data": MODEL},
    "sub/deep/notes.txt": {"text": "deep\n"},
}
TAG = b"Signature: 8a477f597d28d172789f06886806bc55"
HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)


class Walker:
    """{repository: {"refs": {name: commit}, "snapshots": {commit: {path: content}}, "absent": {...}}}"""

    def __init__(self, root):
        self.mistakes = []
        self.repos = {}
        umask = os.umask(0)
        os.umask(umask)
        self.mode = 0o666 & ~umask
        if not os.path.isdir(root):
            return
        for name in sorted(os.listdir(root)):
            path = os.path.join(root, name)
            if name == "CACHEDIR.TAG":
                if not read(path).startswith(TAG):
                    self.mistake(path, "is no tag")
            elif name == ".locks":
                self.locks(path)
            elif re.fullmatch(r"(models|datasets|spaces)--[\w.-]+", name):
                self.repos[name] = self.repo(path)
            else:
                self.mistake(path, "has no business here")

    def mistake(self, path, what):
        self.mistakes.append(f"{path}: {what}")

    def locks(self, root):
        for folder, _, files in os.walk(root):
            for name in files:
                if not re.fullmatch(rf"({HEX.pattern})\.lock", name):
                    self.mistake(os.path.join(folder, name), "is no lock")

    def repo(self, root):
        for name in os.listdir(root):
            if name not in ("blobs", "refs", "snapshots", ".no_exist"):
                self.mistake(os.path.join(root, name), "has no business here")
        blobs = os.path.join(root, "blobs")
        for name in os.listdir(blobs) if os.path.isdir(blobs) else []:
            self.blob(os.path.join(blobs, name), name)
        commits = os.path.join(root, "snapshots")
        return {"refs": self.refs(os.path.join(root, "refs")), "absent": self.absent(os.path.join(root, ".no_exist")),
                "snapshots": {name: self.snapshot(root, name)
                              for name in (os.listdir(commits) if os.path.isdir(commits) else [])}}

    def blob(self, path, name):
        about = os.lstat(path)
        if not HEX.fullmatch(name) or not stat.S_ISREG(about.st_mode):
            self.mistake(path, "is no blob")
            return
        if stat.S_IMODE(about.st_mode) != self.mode:
            self.mistake(path, f"has mode {stat.S_IMODE(about.st_mode):o}, not {self.mode:o}")
        content = read(path)
        digest = hashlib.sha256(content).hexdigest() if len(name) == 64 else git_hash(content)
        if digest != name:
            self.mistake(path, "is not what its name says")

    def refs(self, root):
        found = {}
        for folder, _, files in os.walk(root):
            for name in files:
                path = os.path.join(folder, name)
                text = read(path).decode()
                if not re.fullmatch(r"[0-9a-f]{40}", text):
                    self.mistake(path, f"holds {text!r}")
                found[os.path.relpath(path, root)] = text
        return found

    def absent(self, root):
        found = set()
        for folder, _, files in os.walk(root):
            for name in files:
                path = os.path.join(folder, name)
                if os.path.getsize(path):
                    self.mistake(path, "is not empty")
                found.add(os.path.relpath(path, root))
        return found

    def snapshot(self, root, commit):
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            self.mistake(commit, "is no commit")
        top = os.path.join(root, "snapshots", commit)
        found = {}
        for folder, folders, files in os.walk(top):
            for name in files + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
                path = os.path.join(folder, name)
                rel = os.path.relpath(path, top)
                target = os.readlink(path) if os.path.islink(path) else None
                blob = os.path.basename(target or "")
                if target != os.path.relpath(os.path.join(root, "blobs", blob), folder):
                    self.mistake(path, f"leads to {target}")
                elif not os.path.isfile(path):
                    self.mistake(path, "leads to nothing")
                else:
                    found[rel] = read(path)
        return found


class Case(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.addCleanup(self.tmp.cleanup)
        self.hub = MockHub(config={"repos": {"org/model": {"files": FILES}, "org/other": {"files": FILES}}})
        self.hub.__enter__()
        self.addCleanup(self.hub.stop)
        self.root = os.path.join(self.tmp.name, "shared")
        self.own = os.path.join(self.tmp.name, "own")

    def env(self, **more):
        return self.hub.env(self.tmp.name, HF_HUB_CACHE=self.root, SCRUPLE_CACHE=self.own, **more)

    def run_it(self, *args, status=0, **env):
        done = subprocess.run([SCRUPLE, *args], env=self.env(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def json(self, *args, status=0, **env):
        return json.loads(self.run_it(*args, "--json", status=status, **env).stdout)

    def cache(self, *args, status=0, **env):
        """The document of scruple cache, which fits its schema."""
        found = self.json("cache", *args, status=status, **env)
        if SCHEMAS:
            self.assertEqual(list(SCHEMAS.problems("cache.json", found)), [])
        return found

    def walk(self, root=None):
        walker = Walker(root or self.root)
        self.assertEqual(walker.mistakes, [])
        return walker.repos


def contents():
    """What FILES are, as bytes."""
    return {"README.md": b"# A model\n", "sub/deep/notes.txt": b"deep\n", "model.safetensors": MODEL}


class Written(Case):
    def check_whole(self, repo):
        (commit, files), = repo["snapshots"].items()
        self.assertEqual(repo["refs"], {"main": commit})
        for path, content in contents().items():
            self.assertEqual(files[path], content)
        self.assertEqual(json.loads(files["config.json"]), {"model_type": "llama"})

    def test_fetch(self):
        self.run_it("fetch", "org/model")
        self.check_whole(self.walk()["models--org--model"])

    def test_fetch_with_other_umasks(self):
        for umask in (0o077, 0o007, 0o022):
            with self.subTest(umask=oct(umask)):
                old = os.umask(umask)
                self.addCleanup(os.umask, old)
                self.root = os.path.join(self.tmp.name, f"shared-{umask}")
                self.run_it("fetch", "org/model")
                self.check_whole(self.walk()["models--org--model"])
                os.umask(old)

    def test_looking_leaves_small_files_only(self):
        self.run_it("tree", "org/model")
        self.run_it("info", "org/model")
        for repo in self.walk().values():
            for files in repo["snapshots"].values():
                self.assertNotIn("model.safetensors", files)
                for path, content in files.items():
                    if path in contents():
                        self.assertEqual(content, contents()[path])

    def test_parts_stay_apart(self):
        self.run_it("fetch", "org/model", "a")
        repo = self.walk().get("models--org--model", {"snapshots": {}})
        for files in repo["snapshots"].values():
            self.assertNotIn("model.safetensors", files)

    def test_a_commit_is_no_ref(self):
        commit = self.json("fetch", "org/model", "--dry-run")["model"]["commit"]
        self.run_it("fetch", f"org/model@{commit}")
        repo = self.walk()["models--org--model"]
        self.assertEqual(repo["refs"], {})
        self.assertEqual(list(repo["snapshots"]), [commit])

    def test_a_second_repository_and_again(self):
        for _ in range(2):
            self.run_it("fetch", "org/model")
            self.run_it("fetch", "org/other")
        repos = self.walk()
        self.check_whole(repos["models--org--model"])
        self.check_whole(repos["models--org--other"])

    def test_killed_fetches_leave_it_right(self):
        for i in range(12):
            child = subprocess.Popen([SCRUPLE, "fetch", "-q", "org/model"], env=self.env(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.004 * (i + 1))
            child.kill()
            child.wait()
            walker = Walker(self.root)
            wrong = [m for m in walker.mistakes if not re.search(r"\.[0-9a-f]{8}\.(tmp|incomplete):", m)]
            self.assertEqual(wrong, [])
        self.run_it("fetch", "org/model")
        self.assertEqual(self.cache("verify")["problems"], [])

    def test_without_symlinks(self):
        self.run_it("fetch", "org/model", HF_HUB_DISABLE_SYMLINKS="1")
        walker = Walker(self.root)
        self.assertTrue(all(m.endswith("leads to None") for m in walker.mistakes), walker.mistakes)
        commit, = os.listdir(os.path.join(self.root, "models--org--model", "snapshots"))
        for path, content in contents().items():
            self.assertEqual(read(os.path.join(self.root, "models--org--model", "snapshots", commit, path)), content)


class Read(Case):
    """What the official client wrote is taken, without any network."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    def plant(self, root):
        repo = os.path.join(root, "models--org--planted")
        write(os.path.join(repo, "refs", "main"), self.COMMIT.encode())
        for path, content in {"model.safetensors": MODEL, "config.json": b'{"model_type": "llama"}'}.items():
            name = hashlib.sha256(content).hexdigest() if path.startswith("model") else git_hash(content)
            write(os.path.join(repo, "blobs", name), content)
            link = os.path.join(repo, "snapshots", self.COMMIT, path)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(os.path.join("..", "..", "blobs", name), link)

    def check(self, **env):
        found = self.json("tree", "org/planted", HF_HUB_OFFLINE="1", **env)
        self.assertEqual([t["name"] for t in found["tensors"]], ["a"])
        self.assertEqual(found["model"]["commit"], self.COMMIT)

    def test_the_cache(self):
        self.plant(self.root)
        self.check()

    def test_a_tier(self):
        tier = os.path.join(self.tmp.name, "tier")
        self.plant(tier)
        self.check(SCRUPLE_CACHE_PATH=f"/no/such:{tier}")
        entries = self.cache(SCRUPLE_CACHE_PATH=f"/no/such:{tier}")["entries"]
        self.assertEqual([(e["id"], e["cache"]) for e in entries if e["kind"] == "repository"],
                         [("org/planted", "read only")])
        done = self.run_it("cache", "rm", "org/planted", "--yes", SCRUPLE_CACHE_PATH=tier)
        self.assertIn("only read", done.stderr)
        self.walk(tier)
        self.check(SCRUPLE_CACHE_PATH=tier)


class Housekeeping(Case):
    def entries(self, *args):
        return [(e["kind"], e["id"]) for e in self.cache("ls", *args)["entries"]]

    def blob(self, content):
        return os.path.join(self.root, "models--org--model", "blobs", hashlib.sha256(content).hexdigest())

    def damage(self, path):
        content = bytearray(read(path))
        content[len(content) // 2] ^= 1
        with open(path, "r+b") as f:
            f.write(content)

    def test_nothing(self):
        self.assertEqual(self.run_it("cache").stdout, "nothing\n")
        self.assertEqual(self.run_it("cache", "verify").stdout, "sound: 0 B\n")
        self.assertEqual(self.run_it("cache", "rm", "--all").stdout, "removed nothing\n")
        self.assertIn("no/such", self.run_it("cache", "ls", "no/such", status=4).stderr)
        self.assertIn("no/such", self.run_it("cache", "verify", "no/such", status=4).stderr)
        self.assertIn("no/such", self.run_it("cache", "rm", "no/such", status=4).stderr)
        self.assertFalse(os.path.exists(self.root))

    def test_ls(self):
        self.run_it("fetch", "org/model")
        self.run_it("fetch", "org/other", "a")
        self.assertEqual(sorted(self.entries()), [("listing", "org/model"), ("listing", "org/other"),
                                                  ("parts", "org/other"), ("repository", "org/model"),
                                                  ("repository", "org/other")])
        sizes = [e["bytes"] for e in self.cache()["entries"]]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertEqual({i for _, i in self.entries("org/other")}, {"org/other"})
        parts, = [e for e in self.cache("ls", "org/other")["entries"] if e["kind"] == "parts"]
        self.assertEqual(parts["total"], len(MODEL))
        self.assertEqual(self.entries(parts["key"][:10]), [("parts", "org/other")])
        folders = self.cache("dir")["folders"]
        self.assertEqual(folders, {"shared": self.root, "read_only": [], "own": self.own})

    def test_damage_is_found_and_repaired(self):
        self.run_it("fetch", "org/model")
        self.run_it("fetch", "org/other", "a")
        self.assertEqual(self.cache("verify")["problems"], [])
        self.damage(self.blob(MODEL))
        repo = os.path.join(self.root, "models--org--model")
        write(os.path.join(repo, "refs", "broken"), b"main")
        old = os.path.join(repo, "blobs", "0" * 40 + ".01234567.incomplete")
        write(old, b"")
        os.utime(old, (1, 1))
        listing, = [f for f in os.listdir(os.path.join(self.own, "listings"))
                    if b"org/model" in read(os.path.join(self.own, "listings", f))]
        write(os.path.join(self.own, "listings", listing), b"{")
        for folder, _, files in os.walk(os.path.join(self.own, "ranges")):
            for name in files:
                self.damage(os.path.join(folder, name))
        want = ["cache.broken-ref", "cache.corrupt-blob", "cache.corrupt-listing", "cache.corrupt-range",
                "cache.leftover"]
        found = self.cache("verify", status=1)["problems"]
        self.assertEqual(sorted(p["id"] for p in found), want)
        self.assertTrue(all(p["state"] == "found" for p in found))
        self.assertEqual(self.cache("verify", "org/other", status=1)["problems"][0]["id"],
                         "cache.corrupt-range")
        found = self.cache("verify", "--repair", status=1)["problems"]
        self.assertEqual(sorted(p["id"] for p in found), sorted([*want, "cache.broken-link"]))
        self.assertTrue(all(p["state"] == "removed" for p in found))
        self.assertEqual(self.cache("verify")["problems"], [])
        self.run_it("fetch", "org/model")
        self.run_it("fetch", "org/other", "a")
        self.assertEqual(self.cache("verify")["problems"], [])
        self.walk()

    def test_rm(self):
        self.run_it("fetch", "org/model")
        self.run_it("fetch", "org/other", "a")
        before = self.entries()
        self.assertIn("--yes", self.run_it("cache", "rm", "org/model", status=2).stderr)
        self.run_it("cache", "rm", "org/model", "--dry-run")
        self.run_it("cache", "rm", "org/model", "no/such", "--yes", status=4)
        self.assertEqual(self.entries(), before)
        self.run_it("cache", "rm", "org/model", "--yes")
        self.assertEqual({i for _, i in self.entries()}, {"org/other"})
        self.run_it("cache", "rm", "--ranges")
        self.assertEqual(sorted(k for k, _ in self.entries()), ["listing", "repository"])
        self.run_it("cache", "rm", "--listings")
        self.assertEqual([k for k, _ in self.entries()], ["repository"])
        self.run_it("cache", "rm", "--all", "--yes")
        self.assertEqual(self.entries(), [])
        self.run_it("fetch", "org/model")
        self.walk()

    def test_rm_follows_no_link(self):
        outside = os.path.join(self.tmp.name, "outside")
        write(os.path.join(outside, "file"), b"mine")
        self.run_it("fetch", "org/model")
        commit, = os.listdir(os.path.join(self.root, "models--org--model", "snapshots"))
        os.symlink(outside, os.path.join(self.root, "models--org--model", "snapshots", commit, "folder"))
        os.symlink(outside, os.path.join(self.root, "models--org--link"))
        self.run_it("cache", "rm", "--all", "--yes")
        self.assertEqual(read(os.path.join(outside, "file")), b"mine")
        self.assertEqual(self.entries(), [])

    def test_nothing_is_removed_behind_a_link(self):
        outside = os.path.join(self.tmp.name, "outside")
        names = ["file", "0" * 40, "models--org--model/lock", "old.tmp", "40/" + "40" * 20 + "/data"]
        for name in names:
            write(os.path.join(outside, name), b"mine")
            os.utime(os.path.join(outside, name), (1, 1))
        os.symlink("nowhere", os.path.join(outside, "link"))
        self.run_it("fetch", "org/model")
        for name in ("blobs", "snapshots", "refs"):
            os.makedirs(os.path.join(self.root, "models--org--" + name))
            os.symlink(outside, os.path.join(self.root, "models--org--" + name, name))
        os.symlink(outside, os.path.join(self.root, "models--org--all"))
        os.rename(os.path.join(self.root, ".locks"), os.path.join(self.tmp.name, "locks"))
        os.symlink(outside, os.path.join(self.root, ".locks"))
        os.makedirs(os.path.join(self.own, "ranges"), exist_ok=True)
        os.symlink(os.path.join(outside, "40"), os.path.join(self.own, "ranges", "40"))
        self.run_it("cache", "verify", "--repair", status=1)
        self.run_it("cache", "rm", "--all", "--yes")
        for name in names:
            self.assertEqual(read(os.path.join(outside, name)), b"mine", name)
        self.assertTrue(os.path.islink(os.path.join(outside, "link")))
        self.assertEqual(self.entries(), [])

    def test_a_repository_without_bytes_is_one(self):
        write(os.path.join(self.root, "models--org--empty", "refs", "main"), b"a" * 40)
        self.assertEqual(self.cache("verify", "org/empty")["problems"], [])

    def test_removed_by_several_at_once(self):
        for _ in range(5):
            self.run_it("fetch", "org/model")
            self.run_it("fetch", "org/other", "a")
            children = [subprocess.Popen([SCRUPLE, "cache", *args], env=self.env(), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                        for args in (["rm", "--all", "--yes"], ["verify"]) * 3]
            for child in children:
                out, err = child.communicate(timeout=60)
                self.assertEqual(err, b"")
                self.assertNotIn(b"listing is damaged", out)
        self.assertEqual(self.entries(), [])

    def ask(self, answer):
        """On a terminal; the exit code."""
        main, side = pty.openpty()
        child = subprocess.Popen([SCRUPLE, "cache", "rm", "org/model"], env=self.env(), stdin=side,
                                 stdout=subprocess.DEVNULL, stderr=side)
        os.close(side)
        seen = b""
        while b"[y/N]" not in seen:
            seen += os.read(main, 1000)
        os.write(main, answer)
        status = child.wait(timeout=60)
        os.close(main)
        return status

    def test_rm_asks(self):
        self.run_it("fetch", "org/model")
        before = self.entries()
        self.assertEqual(self.ask(b"\n"), 1)
        self.assertEqual(self.ask(b"no\n"), 1)
        self.assertEqual(self.entries(), before)
        self.assertEqual(self.ask(b"y\n"), 0)
        self.assertEqual(self.entries(), [])

    def test_wrong_words(self):
        for args in (["nothing"], ["ls", "--repair"], ["verify", "--all"], ["rm"], ["dir", "x"], ["verify", "a", "b"],
                     ["--yes"]):
            self.assertIn("scruple help cache", self.run_it("cache", *args, status=2).stderr)


if __name__ == "__main__":
    unittest.main()
