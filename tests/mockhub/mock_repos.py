# SPDX-License-Identifier: Apache-2.0
"""The repositories of the mock Hub: folders, their revisions, files and identities.

Owns: which files a revision holds, their bytes, sizes and hashes, commits. Knows nothing of HTTP.
"""
import base64
import hashlib
import json
import os
import re

from mock_wire import Bytes, OpenFile

TYPES = ("models", "datasets", "spaces")
LFS_SUFFIXES = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".npy", ".onnx", ".h5", ".msgpack",
                ".tflite", ".zip", ".tar", ".gz", ".parquet", ".model", ".pkl", ".distcp")
LFS_SIZE = 10 << 20
HASH_LIMIT = 2 << 30  # larger files get an invented SHA-256
PERIOD = 1048573      # of the pattern: a prime, so that misplaced blocks are noticed
_filling = {}


def filling(kind):
    """Bytes to cut any piece of a pattern from: at least PERIOD + 1 MiB long."""
    if kind not in _filling:
        _filling[kind] = bytes(2 << 20) if kind == "zero" else \
            hashlib.shake_128(b"mock hub").digest(PERIOD) * 3
    return _filling[kind]


def sha256_of(body):
    return _digest(hashlib.sha256(), body)


def git_of(body):
    return _digest(hashlib.sha1(b"blob %d\0" % body.size), body)


def _digest(h, body):
    try:
        at = 0
        while at < body.size:
            piece = body.piece(at, 1 << 20)
            if not piece:
                break
            h.update(piece)
            at += len(piece)
        return h.hexdigest()
    finally:
        body.close()


class Virtual:
    """A body of any size without a disk: a head, then zeros or a pattern."""

    def __init__(self, head, size, fill):
        self.head, self.size, self.zero = head, size, fill == "zero"
        self.fill = memoryview(filling(fill))

    def piece(self, offset, n):
        n = min(n, self.size - offset, 1 << 20)
        if offset < len(self.head):
            return self.head[offset:offset + n]
        at = 0 if self.zero else offset % PERIOD
        return self.fill[at:at + n]

    def fileno(self):
        return None

    def close(self):
        pass


class File:
    """One file of one revision. `about` is what the configuration says of it."""

    def __init__(self, repo, path, real, about):
        self.repo, self.path, self.real, self.about = repo, path, real, about
        self.data = None
        if "json" in about:
            self.data = json.dumps(about["json"]).encode()
        elif "text" in about:
            self.data = about["text"].encode()
        elif "base64" in about:
            self.data = base64.b64decode(about["base64"])
        elif "data" in about:
            self.data = bytes(about["data"])
        self.head = None
        if self.data is None and ("head_file" in about or "head" in about or real is None):
            self.head = bytes(about.get("head", b"")) or base64.b64decode(about.get("head_base64", ""))
            if "head_file" in about:
                with open(os.path.join(repo.root, about["head_file"]), "rb") as f:
                    self.head = f.read()
        if self.data is not None:
            self.size = len(self.data)
        elif self.head is not None:
            self.size = int(about.get("size", len(self.head)))
        else:
            self.size = os.stat(real).st_size
        self.lfs = about.get("lfs", repo.is_lfs(path, self.size))
        self._oid = self._blob = None

    def open(self):
        if self.data is not None:
            return Bytes(self.data)
        if self.head is not None:
            return Virtual(self.head, self.size, self.about.get("fill", "pattern"))
        return OpenFile(self.real)

    @property
    def oid(self):
        """SHA-256: given, computed, or invented for what is too large or said to be "fake"."""
        if self._oid is None:
            given = self.about.get("oid", "fake" if self.repo.get("fake_oids") else None)
            if given is None and self.size > HASH_LIMIT:
                given = "fake"
            if given == "fake":
                self._oid = hashlib.sha256(f"{self.repo.id} {self.path} {self.size}".encode()).hexdigest()
            else:
                self._oid = given or self.repo.hashed(self.real, sha256_of, self.open)
        return self._oid

    @property
    def blob(self):
        """git's SHA-1: of the content, or of the pointer that stands for it."""
        if self._blob is None:
            if self.lfs:
                self._blob = git_of(Bytes(self.pointer()))
            else:
                self._blob = self.about.get("blob") or self.repo.hashed(self.real, git_of, self.open)
        return self._blob

    @property
    def etag(self):
        return self.oid if self.lfs else self.blob

    def pointer(self):
        return (f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n").encode()

    def summary(self):
        """Enough to see that it changed, without reading all of it."""
        body = self.open()
        try:
            first = bytes(body.piece(0, min(self.size, 65536)))
        finally:
            body.close()
        return f"{self.path}\0{self.size}\0{hashlib.sha1(first).hexdigest()}\0{self.about.get('oid')}\n"

    def row(self):
        """As the tree and paths-info of the API tell it."""
        row = {"type": "file", "oid": self.blob, "size": self.size, "path": self.path}
        if self.lfs:
            row["lfs"] = {"oid": self.oid, "size": self.size, "pointerSize": len(self.pointer())}
        if "xet" in self.about:
            row["xetHash"] = self.about["xet"]
        return row

    def sibling(self, blobs):
        row = {"rfilename": self.path}
        if blobs:
            row.update(size=self.size, blobId=self.blob)
            if self.lfs:
                row["lfs"] = {"sha256": self.oid, "size": self.size, "pointerSize": len(self.pointer())}
        return row


class Snapshot:
    """A revision at one commit."""

    def __init__(self, repo, name, kind, folder, files, commit, salt):
        self.repo, self.name, self.kind = repo, name, kind
        self.files = {}
        found = {}
        if folder is not None:
            for base, folders, names in os.walk(folder, followlinks=True):
                folders[:] = sorted(f for f in folders if f != ".git")
                for file in names:
                    real = os.path.join(base, file)
                    if file != ".mock.json":
                        found[os.path.relpath(real, folder).replace(os.sep, "/")] = real
        for path in sorted(set(found) | set(files)):
            about = files.get(path, {})
            if about is not None:  # None: taken away
                self.files[path] = File(repo, path, found.get(path), about)
        if commit is None:
            h = hashlib.sha1(f"{repo.type}/{repo.id}\0{name}\0{salt}\n".encode())
            for file in self.files.values():
                h.update(file.summary().encode("utf-8", "surrogateescape"))
            commit = h.hexdigest()
        self.commit = commit
        self.cache = {}  # answers that were made once

    def folders(self):
        found = set()
        for path in self.files:
            while "/" in path:
                path = path.rpartition("/")[0]
                found.add(path)
        return found

    def rows(self, below, recursive):
        """Files and folders below a folder; None: there is no such folder."""
        folders = self.folders()
        if below and below not in folders:
            return None
        rows = [f.row() for f in self.files.values()]
        rows += [{"type": "directory", "oid": hashlib.sha1(f.encode()).hexdigest(), "size": 0, "path": f}
                 for f in folders]
        start = below + "/" if below else ""
        rows = [r for r in rows if r["path"].startswith(start)]
        if not recursive:
            rows = [r for r in rows if "/" not in r["path"][len(start):]]
        return sorted(rows, key=lambda r: r["path"])


class Repo:
    """A repository. `about` is its part of the configuration."""

    def __init__(self, kind, id, root, folder, about, settings):
        self.type, self.id, self.root, self.folder = kind, id, root or "", folder
        self.about = dict(about)
        self.settings = settings
        self.bumps = 0
        self._revisions = None
        self.commits = {}
        self.hashes = {}

    @property
    def key(self):
        return self.id if self.type == "models" else f"{self.type}/{self.id}"

    def get(self, name, default=None):
        return self.about.get(name, self.settings.get(name, default))

    def is_lfs(self, path, size):
        if path.endswith(tuple(self.get("lfs_suffixes", LFS_SUFFIXES))):
            return True
        return size >= self.get("lfs_size", LFS_SIZE)

    def hashed(self, real, how, opened):
        """A hash of a real file is computed once, unless the file changes."""
        if real is None:
            return how(opened())
        status = os.stat(real)
        key = (real, how, status.st_mtime_ns, status.st_size)
        if key not in self.hashes:
            self.hashes[key] = how(opened())
        return self.hashes[key]

    def place(self, folder):
        return self.folder if folder is None else os.path.join(self.root, folder)

    @property
    def revisions(self):
        """Name -> Snapshot; old commits stay reachable by their hash."""
        if self._revisions is None:
            files = self.about.get("files", {})
            self._revisions = {}
            if self.about.get("main", True):
                self._revisions["main"] = Snapshot(self, "main", "branch", self.place(self.about.get("folder")), files,
                                                   self.about.get("commit"), self.bumps)
            for name, rev in self.about.get("revisions", {}).items():
                kind = rev.get("kind") or ("pr" if name.startswith("refs/pr/") else
                                           "convert" if name.startswith("refs/convert/") else "branch")
                own = rev.get("files", files if "folder" not in rev else {})
                folder = self.place(rev.get("folder", self.about.get("folder")))
                self._revisions[name] = Snapshot(self, name, kind, folder, own, rev.get("commit"), self.bumps)
            for snapshot in self._revisions.values():
                self.commits[snapshot.commit] = snapshot
        return self._revisions

    def find(self, revision):
        found = self.revisions.get(revision)
        if found is None and re.fullmatch("[0-9a-f]{40}", revision):
            found = self.commits.get(revision)
        return found

    def change(self, about):
        """New settings; bump=True: the same files under a new commit."""
        if self._revisions is None:
            self.revisions  # what was there stays reachable
        about = dict(about)
        if about.pop("bump", False):
            self.bumps += 1
            self.about.pop("commit", None)
        if "files" in about:
            about["files"] = {**self.about.get("files", {}), **about["files"]}
        if ("files" in about or "folder" in about) and "commit" not in about:
            self.about.pop("commit", None)
        self.about.update(about)
        self._revisions = None

    def card(self):
        """cardData: given, or the simple lines of the README's front matter."""
        if "card" in self.about:
            return self.about["card"]
        readme = self.revisions["main"].files.get("README.md") if "main" in self.revisions else None
        if readme is None:
            return None
        body = readme.open()
        try:
            text = bytes(body.piece(0, min(readme.size, 65536))).decode("utf-8", "replace")
        finally:
            body.close()
        match = re.match(r"---\r?\n(.*?)\r?\n---", text, re.S)
        if not match:
            return None
        card, last = {}, None
        for line in match.group(1).splitlines():
            item, pair = re.match(r"\s*-\s+(.*)", line), re.match(r"([A-Za-z_]\w*):\s*(.*)", line)
            if item and last is not None:
                card[last] = (card[last] if isinstance(card[last], list) else []) + [item.group(1).strip("'\" ")]
            elif pair:
                last = pair.group(1)
                card[last] = pair.group(2).strip("'\" ")
        return card


def scan(root, config):
    """All repositories: (type, id) -> Repo."""
    repos, about = {}, config.get("repos", {})

    def add(kind, id, folder):
        key = id if kind == "models" else f"{kind}/{id}"
        given = about.get(key, about.get(f"{kind}/{id}", {}))
        repos[(kind, id)] = Repo(kind, id, root, folder, given, config)

    def folders(path):
        return sorted(f for f in os.listdir(path) if not f.startswith(".") and os.path.isdir(os.path.join(path, f)))

    if root and os.path.isdir(root):
        for first in folders(root):
            kind, base, owners = "models", root, [first]
            if first in TYPES:
                kind, base, owners = first, os.path.join(root, first), folders(os.path.join(root, first))
            for owner in owners:
                for name in folders(os.path.join(base, owner)):
                    add(kind, f"{owner}/{name}", os.path.join(base, owner, name))
    for key in about:
        kind, id = split_key(key)
        if (kind, id) not in repos:
            add(kind, id, None)
    return repos


def split_key(key):
    """"org/name" or "datasets/org/name" -> (type, id)."""
    first, _, rest = key.partition("/")
    return (first, rest) if first in TYPES and "/" in rest else ("models", key)
