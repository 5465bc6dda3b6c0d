# SPDX-License-Identifier: Apache-2.0
"""The mock Hub against plain Python clients: what other tests rely on must be true."""
import gzip
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

SOURCE = os.environ.get("SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOCK = os.path.join(SOURCE, "tests", "mockhub")
sys.path.insert(0, MOCK)

from mock_proxy import MockProxy  # noqa: E402
from mockhub import MockHub  # noqa: E402

WEIGHTS = bytes(range(256)) * 1000
BIG = os.urandom(3 << 20)
CONFIG = {
    "tokens": {"hf_alice": {"name": "alice"}, "hf_bob": {"name": "bob"}, "hf_carol": {"name": "carol"}},
    "redirects": {"gpt2": "org/model"},
    "page": 3,
    "repos": {
        "org/model": {
            "files": {"config.json": {"json": {"model_type": "llama", "architectures": ["L"], "hidden": 1}},
                      "README.md": {"text": "---\nlicense: mit\nbase_model:\n- a/b\n- c/d\n---\n# x\n"},
                      "sub/a b%.txt": {"text": "blank"}, "sub/deep/x.txt": {"text": "x"},
                      "model.safetensors": {"data": WEIGHTS}},
            "revisions": {"v1": {"kind": "tag"}, "refs/pr/1": {"files": {"only.txt": {"text": "pr"}}},
                          "feature/x": {"commit": "ab" * 20}}},
        "org/huge": {"files": {"m.safetensors": {"size": 700e9, "head": b"HEAD", "fill": "pattern"},
                               "z.gguf": {"size": 1 << 40, "head": b"GGUF", "fill": "zero", "oid": "12" * 32}}},
        "org/gated": {"gated": "auto", "tokens": ["hf_alice"], "requested": ["hf_carol"],
                      "files": {"a.txt": {"text": "a"}}},
        "org/private": {"private": True, "files": {"a.txt": {"text": "a"}}},
        "org/disabled": {"disabled": True},
        "org/old": {"renamed_to": "org/model"},
        "org/mirror": {"blobs": False, "files": {"a.txt": {"text": "a"}}},
        "org/cached": {"resolve_cache": True, "files": {"a.txt": {"text": "a"}}},
        "datasets/org/data": {"files": {"d.npz": {"data": b"data"}}},
    },
}

needs_openssl = unittest.skipUnless(shutil.which("openssl"), "makes its certificates with openssl")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def ask(url, method="GET", token=None, body=None, context=None, **headers):
    """One request, no redirects followed. Header names: if_range -> If-Range."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if token:
            headers["Authorization"] = "Bearer " + token
        connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body, headers)
        reply = connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())
    finally:
        connection.close()


def raw(url, path):
    """All that comes for one GET; the exception that ended it, if any."""
    parts = urllib.parse.urlsplit(url)
    got = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        try:
            while data := s.recv(65536):
                got += data
        except OSError as e:
            return got, e
    return got, None


class Base(unittest.TestCase):
    root = None

    def setUp(self):
        self.hub = MockHub(self.root, CONFIG)
        self.hub.start()

    def tearDown(self):
        self.hub.stop()
        self.assertEqual(self.hub.errors, [])

    def get(self, path, *args, **kwargs):
        return ask(self.hub.endpoint + path, *args, **kwargs)

    def signed(self, path="/org/model/resolve/main/model.safetensors"):
        return self.get(path).headers["Location"]


class Api(Base):
    def test_model(self):
        plain = self.get("/api/models/org/model").json()
        self.assertEqual(plain["id"], "org/model")
        self.assertEqual(plain["sha"], self.hub.commit("org/model"))
        self.assertEqual(plain["cardData"], {"license": "mit", "base_model": ["a/b", "c/d"]})
        self.assertEqual(plain["config"], {"model_type": "llama", "architectures": ["L"]})
        self.assertNotIn("size", plain["siblings"][0])
        reply = self.get("/api/models/org/model/revision/main?blobs=true")
        self.assertTrue(reply.headers["X-Request-Id"])
        rows = {s["rfilename"]: s for s in reply.json()["siblings"]}
        weights = rows["model.safetensors"]
        self.assertEqual(weights["size"], len(WEIGHTS))
        self.assertEqual(weights["lfs"]["sha256"], hashlib.sha256(WEIGHTS).hexdigest())
        self.assertEqual(weights["lfs"]["sha256"], self.hub.sha256("org/model", "model.safetensors"))
        self.assertEqual(rows["sub/deep/x.txt"]["blobId"], hashlib.sha1(b"blob 1\0x").hexdigest())
        self.assertEqual(set(self.get("/api/models/org/model?expand=sha").json()), {"_id", "id", "sha"})
        self.assertNotIn("size", self.get("/api/models/org/mirror?blobs=true").json()["siblings"][0])
        self.assertEqual(self.get("/api/datasets/org/data").json()["id"], "org/data")

    def test_tree_in_pages(self):
        url, rows = self.hub.endpoint + "/api/models/org/model/tree/main?recursive=true", []
        for pages in range(1, 10):
            reply = ask(url)
            self.assertLessEqual(len(reply.json()), 3)
            rows += reply.json()
            link = reply.headers["Link"]
            if link is None:
                break
            url = re.fullmatch('<(.*)>; rel="next"', link).group(1)
        self.assertEqual(pages, 3)
        self.assertEqual([r["path"] for r in rows if r["type"] == "directory"], ["sub", "sub/deep"])
        self.assertEqual(len(rows), 7)
        files = {r["path"]: r for r in rows}
        self.assertEqual(files["model.safetensors"]["lfs"]["oid"], hashlib.sha256(WEIGHTS).hexdigest())
        below = self.get("/api/models/org/model/tree/main/sub").json()
        self.assertEqual([r["path"] for r in below], ["sub/a b%.txt", "sub/deep"])
        self.assertEqual(self.get("/api/models/org/model/tree/main/none").headers["X-Error-Code"], "EntryNotFound")

    def test_refs_paths_info_whoami(self):
        refs = self.get("/api/models/org/model/refs?include_prs=1").json()
        self.assertEqual([b["name"] for b in refs["branches"]], ["main", "feature/x"])
        self.assertEqual(refs["tags"][0]["ref"], "refs/tags/v1")
        self.assertEqual(refs["pullRequests"][0]["ref"], "refs/pr/1")
        rows = self.get("/api/models/org/model/paths-info/main", "POST",
                        body=urllib.parse.urlencode({"paths": ["config.json", "none"]}, doseq=True),
                        Content_Type="application/x-www-form-urlencoded").json()
        self.assertEqual([r["path"] for r in rows], ["config.json"])
        rows = self.get("/api/models/org/model/paths-info/main", "POST", body=json.dumps({"paths": ["config.json"]}),
                        Content_Type="application/json").json()
        self.assertEqual([r["path"] for r in rows], ["config.json"])
        self.assertEqual(self.get("/api/whoami-v2").status, 401)
        self.assertEqual(self.get("/api/whoami-v2", token="hf_bob").json()["name"], "bob")

    def test_revisions(self):
        self.assertNotEqual(self.hub.commit("org/model"), self.hub.commit("org/model", "v1"))
        self.assertEqual(self.get("/api/models/org/model/revision/feature%2Fx").json()["sha"], "ab" * 20)
        reply = self.get("/org/model/resolve/refs%2Fpr%2F1/only.txt")
        self.assertEqual((reply.status, reply.body), (200, b"pr"))
        old = self.hub.commit("org/model")
        self.assertEqual(self.get(f"/org/model/resolve/{old}/config.json").headers["X-Repo-Commit"], old)
        new = self.hub.set("org/model", bump=True)
        self.assertNotEqual(old, new)
        self.assertEqual(self.get("/org/model/resolve/main/config.json").headers["X-Repo-Commit"], new)
        self.assertEqual(self.get(f"/org/model/resolve/{old}/config.json").headers["X-Repo-Commit"], old)
        self.hub.set("org/model", files={"config.json": {"text": "{}"}, "README.md": None})
        self.assertEqual(self.get("/org/model/resolve/main/config.json").body, b"{}")
        self.assertEqual(self.get("/org/model/resolve/main/README.md").status, 404)
        self.assertEqual(self.get(f"/org/model/resolve/{old}/README.md").status, 200)
        missing = self.get("/api/models/org/model/revision/none")
        self.assertEqual((missing.status, missing.headers["X-Error-Code"]), (404, "RevisionNotFound"))

    def test_who_may(self):
        def code(path, token=None):
            reply = self.get(path, token=token)
            return reply.status, reply.headers["X-Error-Code"]
        for path in ("/api/models/org/none", "/none/resolve/main/a", "/api/models/org/private",
                     "/org/private/resolve/main/a.txt", "/org/none/resolve/main/a.txt"):
            self.assertEqual(code(path), (401, "RepoNotFound"))
        self.assertEqual(code("/api/models/org/none", "hf_bob"), (404, "RepoNotFound"))
        self.assertEqual(code("/api/models/org/private", "hf_bob"), (200, None))
        self.assertEqual(code("/api/models/org/gated"), (200, None))
        self.assertEqual(code("/org/gated/resolve/main/a.txt"), (401, "GatedRepo"))
        self.assertEqual(code("/org/gated/resolve/main/a.txt", "hf_bob"), (403, "GatedRepo"))
        self.assertEqual(code("/org/gated/resolve/main/a.txt", "hf_alice"), (200, None))
        self.assertIn("awaiting a review",
                      self.get("/org/gated/resolve/main/a.txt", token="hf_carol").headers["X-Error-Message"])
        reply = self.get("/org/disabled/resolve/main/a.txt")
        self.assertEqual((reply.status, reply.headers["X-Error-Message"]),
                         (403, "Access to this resource is disabled."))
        reply = self.get("/api/models/org/model", token="hf_wrong")
        self.assertEqual((reply.status, reply.headers["X-Error-Message"]),
                         (401, "Invalid credentials in Authorization header"))
        self.assertEqual([e["token_ok"] for e in self.hub.log()][-1], False)
        self.assertNotIn("hf_wrong", json.dumps(self.hub.log()))

    def test_renamed(self):
        for path, to in (("/api/models/gpt2?blobs=true", "/api/models/org/model?blobs=true"),
                         ("/api/models/gpt2/revision/main", "/api/models/org/model/revision/main"),
                         ("/gpt2/resolve/main/config.json", "/org/model/resolve/main/config.json"),
                         ("/org/old/resolve/refs%2Fpr%2F1/a%20b", "/org/model/resolve/refs%2Fpr%2F1/a%20b")):
            reply = self.get(path)
            self.assertEqual((reply.status, reply.headers["Location"]), (307, to))

    def test_quota(self):
        self.hub.set(quota={"api": [2, 300]})
        left = [self.get("/api/models/org/model").headers["RateLimit"] for _ in range(2)]
        self.assertEqual([re.match(r'"api";r=(\d)', x).group(1) for x in left], ["1", "0"])
        reply = self.get("/api/models/org/model")
        self.assertEqual(reply.status, 429)
        self.assertRegex(reply.headers["RateLimit"], r'^"api";r=0;t=\d+$')
        self.assertIn("q=2;w=300", reply.headers["RateLimit-Policy"])
        self.assertEqual(self.get("/org/model/resolve/main/config.json").status, 200)


class Files(Base):
    def test_small_file(self):
        reply = self.get("/org/model/resolve/main/sub/a%20b%25.txt")
        self.assertEqual((reply.status, reply.body), (200, b"blank"))
        self.assertEqual(reply.headers["ETag"], '"%s"' % hashlib.sha1(b"blob 5\0blank").hexdigest())
        part = self.get("/org/model/resolve/main/sub/a%20b%25.txt", Range="bytes=1-2")
        self.assertEqual((part.status, part.body, part.headers["Content-Range"]), (206, b"la", "bytes 1-2/5"))
        head = self.get("/org/model/resolve/main/sub/a%20b%25.txt", "HEAD")
        self.assertEqual((head.body, head.headers["Content-Length"]), (b"", "5"))
        missing = self.get("/org/model/resolve/main/none")
        self.assertEqual((missing.status, missing.headers["X-Error-Code"]), (404, "EntryNotFound"))
        self.assertEqual(missing.headers["X-Repo-Commit"], self.hub.commit("org/model"))

    def test_led_to_the_cache(self):
        reply = self.get("/org/cached/resolve/main/a.txt", "HEAD")
        self.assertEqual((reply.status, reply.headers["X-Linked-Size"]), (307, "1"))
        reply = self.get(reply.headers["Location"])
        self.assertEqual((reply.body, reply.headers["X-Repo-Commit"]), (b"a", self.hub.commit("org/cached")))

    def test_large_file(self):
        for method in ("GET", "HEAD"):
            reply = self.get("/org/model/resolve/main/model.safetensors", method, Range="bytes=0-9")
            self.assertEqual(reply.status, 302)
            self.assertEqual(reply.headers["X-Linked-Etag"], f'"{hashlib.sha256(WEIGHTS).hexdigest()}"')
            self.assertEqual(reply.headers["X-Linked-Size"], str(len(WEIGHTS)))
            self.assertEqual(reply.headers["X-Repo-Commit"], self.hub.commit("org/model"))
        url = reply.headers["Location"]
        self.assertTrue(url.startswith(self.hub.cdn + "/"))
        whole = ask(url)
        self.assertEqual((whole.status, whole.body), (200, WEIGHTS))
        for header, first, last in (("bytes=10-19", 10, 19), ("bytes=-7", len(WEIGHTS) - 7, len(WEIGHTS) - 1),
                                    ("bytes=255990-999999", 255990, 255999), ("bytes=255000-", 255000, 255999)):
            part = ask(url, Range=header)
            self.assertEqual((part.status, part.body), (206, WEIGHTS[first:last + 1]))
            self.assertEqual(part.headers["Content-Range"], f"bytes {first}-{last}/{len(WEIGHTS)}")
        beyond = ask(url, Range="bytes=256000-")
        self.assertEqual((beyond.status, beyond.headers["Content-Range"]), (416, "bytes */256000"))
        etag = whole.headers["ETag"]
        self.assertEqual(ask(url, Range="bytes=1-2", If_Range=etag).status, 206)
        self.assertEqual(ask(url, Range="bytes=1-2", If_Range='"other"').status, 200)
        self.assertEqual(self.hub.ranges("model.safetensors")[:3], [(0, 255999), (10, 19), (255993, 255999)])
        self.assertEqual(self.hub.leaks(), [])

    def test_signature(self):
        url = self.signed()
        self.assertEqual(ask(url.replace("Expires=", "Expires=9")).status, 403)
        self.assertEqual(ask(url.partition("?")[0]).status, 403)
        self.assertEqual(ask(url, "HEAD").status, 200)
        self.hub.expire_urls()
        self.assertEqual(ask(url).status, 403)
        self.assertEqual(ask(self.signed()).status, 200)
        self.hub.set(sign_seconds=-1)
        self.assertEqual(ask(self.signed()).status, 403)

    def test_leaks(self):
        url = self.signed()
        self.assertEqual(ask(url, token="hf_bob").status, 400)
        self.assertEqual(ask(url, X_Other="hf_bob").status, 400)
        self.assertEqual(len(self.hub.leaks()), 2)

    def test_huge_file(self):
        url = self.signed("/org/huge/resolve/main/m.safetensors")
        end = ask(url, Range="bytes=699999999990-")
        self.assertEqual((end.status, len(end.body)), (206, 10))
        start = ask(url, Range="bytes=0-3000000").body
        self.assertEqual(start[:4], b"HEAD")
        self.assertEqual(start, self.hub.content("org/huge", "m.safetensors", 0, 3000000))
        self.assertEqual(ask(url, Range="bytes=1048576-1048600").body, start[1048576:1048601])
        zero = self.get("/org/huge/resolve/main/z.gguf")
        self.assertEqual(zero.headers["X-Linked-Etag"], f'"{"12" * 32}"')
        self.assertEqual(ask(zero.headers["Location"], Range="bytes=2-5").body, b"UF\0\0")

    def test_log_and_connections(self):
        connection = http.client.HTTPConnection(self.hub.endpoint[len("http://"):])
        for _ in range(3):
            connection.request("GET", "/org/model/resolve/main/config.json")
            connection.getresponse().read()
        connection.close()
        log = self.hub.log("hub", status=200)
        self.assertEqual([e["connection"] for e in log], [1, 1, 1])
        self.assertEqual([e["file"] for e in log], ["config.json"] * 3)
        self.assertEqual(self.hub.sent(), 3 * self.hub.file("org/model", "config.json").size)
        stats = self.hub.stats()
        self.assertEqual((stats["hub"]["connections"], stats["requests"]), (1, 3))
        self.hub.clear_log()
        self.assertEqual((self.hub.log(), self.hub.sent()), ([], 0))

    def test_many_at_once(self):
        url, wrong = self.signed(), []

        def work():
            for i in range(20):
                if ask(url, Range=f"bytes={i}-{i + 99999}").body != WEIGHTS[i:i + 100000]:
                    wrong.append(i)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(self.hub.sent("cdn"), 8 * 20 * 100000)


class Folder(Base):
    @classmethod
    def setUpClass(cls):
        cls.keeper = tempfile.TemporaryDirectory()
        cls.root = cls.keeper.name
        for path, data in (("me/first/w.safetensors", BIG), ("datasets/me/d/x.txt", b"x"), ("me/first/s/y.txt", b"y"),
                           (".v1/w.safetensors", b"old")):
            path = os.path.join(cls.root, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
        with open(os.path.join(cls.root, ".mock.json"), "w", encoding="utf-8") as f:
            json.dump({"repos": {"me/first": {"revisions": {"v1": {"kind": "tag", "folder": ".v1"}}}}}, f)
        # The constructor's repos are added to those of the file.

    @classmethod
    def tearDownClass(cls):
        cls.keeper.cleanup()

    def test_folder(self):
        names = [s["rfilename"] for s in self.get("/api/models/me/first").json()["siblings"]]
        self.assertEqual(names, ["s/y.txt", "w.safetensors"])
        self.assertEqual(ask(self.signed("/me/first/resolve/main/w.safetensors")).body, BIG)
        self.assertEqual(ask(self.signed("/me/first/resolve/v1/w.safetensors")).body, b"old")
        self.assertEqual(self.get("/datasets/me/d/resolve/main/x.txt").body, b"x")
        self.assertEqual(self.hub.sent("cdn"), len(BIG) + 3)
        self.assertEqual(self.hub.sha256("me/first", "w.safetensors"), hashlib.sha256(BIG).hexdigest())

    def test_cut_in_a_large_file(self):
        url = self.signed("/me/first/resolve/main/w.safetensors")
        self.hub.fault("short-body", where="cdn", bytes=1234567)
        with self.assertRaises(http.client.IncompleteRead) as caught:
            ask(url)
        self.assertEqual(caught.exception.partial, BIG[:1234567])
        self.assertEqual(self.hub.sent("cdn"), 1234567)

    def test_client_that_leaves(self):
        url = urllib.parse.urlsplit(self.signed("/me/first/resolve/main/w.safetensors"))
        self.hub.fault("slow", where="cdn", rate=100000)
        with socket.create_connection((url.hostname, url.port)) as s:
            s.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            s.recv(100)
        self.assertEqual(self.get("/datasets/me/d/resolve/main/x.txt").body, b"x")
        self.assertLess(self.hub.sent("cdn"), len(BIG))


class Faults(Base):
    PATH = "/org/model/resolve/main/config.json"

    def setUp(self):
        super().setUp()
        self.url = self.signed()
        self.hub.clear_log()

    def part(self):
        return ask(self.url, Range="bytes=100-199")

    def test_counting(self):
        self.hub.fault("status", match="config", after=1, times=2, status=503, headers={"Retry-After": "1"}, body="no")
        replies = [self.get(self.PATH) for _ in range(4)]
        self.assertEqual([r.status for r in replies], [200, 503, 503, 200])
        self.assertEqual((replies[1].headers["Retry-After"], replies[1].body), ("1", b"no"))
        self.assertEqual([e["fault"] for e in self.hub.log()], [None, "status", "status", None])
        one = self.hub.fault("status")
        self.hub.clear_faults(one)
        self.assertEqual(self.get(self.PATH).status, 200)
        with self.assertRaises(ValueError):
            self.hub.fault("no-such-kind")

    def test_ranges(self):
        right = WEIGHTS[100:200]
        for kind, args, status, body, header in (
                ("ignore-range", {}, 200, WEIGHTS, None),
                ("truncated-range", {"bytes": 30}, 206, right[:30], "bytes 100-129/256000"),
                ("wrong-content-range", {"shift": 5}, 206, right, "bytes 105-204/256000"),
                ("wrong-content-range", {"value": "bytes x"}, 206, right, "bytes x"),
                ("no-content-range", {}, 206, right, None),
                ("200-with-content-range", {}, 200, right, "bytes 100-199/256000"),
                ("size-changes", {"by": 3}, 206, right, "bytes 100-199/256003"),
                ("corrupt", {"offset": 101, "mask": 255}, 206, bytes([100, 154]) + right[2:], "bytes 100-199/256000"),
                ("chunked", {}, 206, right, "bytes 100-199/256000"),
                ("no-length", {}, 206, right, "bytes 100-199/256000"),
                ("slow", {"rate": 2000}, 206, right, "bytes 100-199/256000"),
                ("delay", {"ms": 30}, 206, right, "bytes 100-199/256000")):
            with self.subTest(kind=kind):
                self.hub.clear_faults()
                self.hub.fault(kind, match="model.safetensors", where="cdn", times=1, **args)
                self.assertEqual(ask(self.url, "HEAD").body, b"")
                reply = self.part()
                self.hub.clear_faults()
                if kind in ("size-changes", "delay"):  # these count a HEAD, too
                    self.hub.fault(kind, where="cdn", **args)
                    reply = self.part()
                self.assertEqual((reply.status, reply.body), (status, body))
                self.assertEqual(reply.headers["Content-Range"], header)
                if kind in ("chunked", "no-length"):
                    self.assertIsNone(reply.headers["Content-Length"])

    def test_headers(self):
        commit = self.hub.commit("org/model")
        self.hub.fault("commit-changes", times=1)
        self.assertNotEqual(self.get(self.PATH).headers["X-Repo-Commit"], commit)
        self.hub.fault("no-commit-header", times=1)
        self.assertIsNone(self.get(self.PATH).headers["X-Repo-Commit"])
        etag = self.part().headers["ETag"]
        self.hub.fault("etag-changes", times=1)
        other = self.part().headers["ETag"]
        self.assertNotEqual(other, etag)
        self.assertEqual(len(other), len(etag))
        self.hub.fault("etag-changes", times=1, linked="00")
        path = "/org/model/resolve/main/model.safetensors"
        self.assertEqual(self.get(path).headers["X-Linked-Etag"], '"00"')
        self.hub.fault("size-changes", times=1, by=-1)
        self.assertEqual(self.get(path).headers["X-Linked-Size"], "255999")
        self.hub.fault("size-changes", times=1, by=2)
        self.assertEqual(ask(self.url).body, WEIGHTS + b"\0\0")
        self.hub.fault("header", times=1, name="X-HF-Warning", value="a; b")
        self.assertEqual(self.get(self.PATH).headers["X-HF-Warning"], "a; b")
        self.hub.fault("long-header", times=1, bytes=30000)
        self.assertEqual(len(self.get(self.PATH).headers["X-Long"]), 30000)

    def test_bodies(self):
        self.hub.fault("gzip", times=1)
        reply = ask(self.url)
        self.assertEqual(reply.headers["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(reply.body), WEIGHTS)
        self.hub.fault("short-body", times=1)
        with self.assertRaises(http.client.IncompleteRead):
            ask(self.url)
        self.hub.fault("chunked", times=1)
        self.assertEqual(ask(self.url).body, WEIGHTS)
        self.assertEqual(self.hub.log()[-1]["sent"], len(WEIGHTS))
        self.hub.fault("html", times=1)
        self.assertEqual(self.get("/api/models/org/model").headers["Content-Type"], "text/html")

    def test_connections(self):
        self.hub.fault("garbage", times=1)
        with self.assertRaises(http.client.BadStatusLine):
            self.part()
        self.hub.fault("reset", times=1)
        with self.assertRaises(ConnectionResetError):
            self.part()
        self.hub.fault("close", times=1)
        with self.assertRaises(http.client.RemoteDisconnected):
            self.part()
        self.hub.fault("reset", times=1, bytes=10)
        got, error = raw(self.hub.cdn, self.url[len(self.hub.cdn):])
        self.assertIsInstance(error, ConnectionResetError)
        self.assertTrue(got.endswith(WEIGHTS[:10]))
        for kind in ("stall", "silent"):
            self.hub.fault(kind, times=1)
            parts = urllib.parse.urlsplit(self.url)
            with socket.create_connection((parts.hostname, parts.port), timeout=10) as s:
                s.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                got = b""
                while kind == "stall" and not got.endswith(b"\r\n\r\n"):
                    got += s.recv(1)
                s.settimeout(0.1)
                with self.assertRaises(TimeoutError):
                    s.recv(1)
        self.assertEqual(self.part().status, 206)
        self.assertTrue(self.hub.wait(lambda: self.hub.stats()["cdn"]["open_requests"] == 0))

    def test_redirects(self):
        self.hub.fault("redirect-to", times=1, url="file:///etc/passwd")
        self.assertEqual(self.get(self.PATH).headers["Location"], "file:///etc/passwd")
        self.hub.fault("redirect-loop", times=1)
        self.assertEqual(self.get(self.PATH).headers["Location"], self.PATH)
        self.hub.fault("redirect-loop", times=1, absolute=True)
        self.assertEqual(ask(self.url).headers["Location"], self.url)

    def test_expired_signature(self):
        self.hub.fault("expired-signature", times=1)
        self.assertEqual(self.get(self.PATH).status, 200)
        self.assertEqual([self.part().status for _ in range(2)], [403, 403])
        self.url = self.signed()
        self.assertEqual(self.part().status, 206)

    def test_latency_is_for_each(self):
        self.hub.fault("latency", ms=150)
        threads = [threading.Thread(target=self.part) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertGreater(self.hub.stats()["cdn"]["peak_requests"], 1)
        self.hub.fault("latency", ms=0)
        self.assertEqual(self.part().status, 206)


class Around(unittest.TestCase):
    @needs_openssl
    def test_tls(self):
        with MockHub(config=CONFIG, tls=True) as hub:
            context = ssl.create_default_context(cafile=hub.ca)
            url = ask(hub.endpoint + "/org/model/resolve/main/model.safetensors", context=context).headers["Location"]
            self.assertTrue(url.startswith("https://"))
            self.assertEqual(ask(url, context=context).body, WEIGHTS)
            with self.assertRaises(ssl.SSLCertVerificationError):
                ask(url, context=ssl.create_default_context())
            url = ask(hub.endpoint + "/org/huge/resolve/main/m.safetensors", context=context).headers["Location"]
            body = ask(url, context=context, Range="bytes=0-9999999").body
            self.assertEqual(body, hub.content("org/huge", "m.safetensors", 0, 9999999))

    @needs_openssl
    def test_bad_certificates(self):
        for kind, words in (("expired", "expired"), ("wrong-host", "IP address mismatch")):
            with MockHub(config=CONFIG, tls=kind) as hub:
                with self.assertRaisesRegex(ssl.SSLCertVerificationError, words):
                    ask(hub.endpoint, context=ssl.create_default_context(cafile=hub.ca))

    def test_env(self):
        os.environ["HF_TOKEN"] = "of the user"
        try:
            with MockHub(config=CONFIG) as hub, tempfile.TemporaryDirectory() as tmp:
                env = hub.env(tmp, HF_HUB_OFFLINE="1")
                self.assertNotIn("HF_TOKEN", env)
                self.assertEqual(hub.env(tmp, token="t")["HF_TOKEN"], "t")
                self.assertEqual((env["HF_ENDPOINT"], env["HF_HUB_OFFLINE"]), (hub.endpoint, "1"))
                for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "SCRUPLE_CACHE"):
                    self.assertTrue(env[name].startswith(tmp))
        finally:
            del os.environ["HF_TOKEN"]

    def test_prefix_and_link_origin(self):
        config = {**CONFIG, "prefix": "/hub", "link_origin": "https://huggingface.co"}
        with MockHub(config=config) as hub:
            reply = ask(hub.endpoint + "/api/models/org/model/tree/main?recursive=true")
            self.assertTrue(reply.headers["Link"].startswith("<https://huggingface.co/hub/api/models/org/model/tree"))
            self.assertEqual(ask(hub.endpoint + "/api/models/gpt2").headers["Location"], "/hub/api/models/org/model")
            self.assertEqual(ask(hub.origin + "/api/models/org/model").status, 404)

    def test_program(self):
        with tempfile.TemporaryDirectory() as tmp:
            os.makedirs(os.path.join(tmp, "o", "m"))
            with open(os.path.join(tmp, "o", "m", "a.txt"), "w", encoding="ascii") as f:
                f.write("a")
            command = [sys.executable, "-B", os.path.join(MOCK, "mockhub.py"), tmp, "--log", os.path.join(tmp, ".log"),
                       "--ports-file", os.path.join(tmp, ".ports"), "--warm"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
                url = process.stdout.readline().split()[1]
                self.assertTrue(process.stdout.readline().startswith("CDN "))
                ask(url + "/__mock__/fault", "POST", body=json.dumps({"kind": "status", "times": 1, "status": 418}))
                path = url + "/o/m/resolve/main/a.txt"
                self.assertEqual([ask(path).status, ask(path).status], [418, 200])
                self.assertEqual(ask(url + "/__mock__/stats").json()["bytes"], 1)
                self.assertEqual(len(ask(url + "/__mock__/log").json()), 2)
                ask(url + "/__mock__/clear", "POST", body="{}")
                self.assertEqual(ask(url + "/__mock__/stats").json()["requests"], 0)
                commit = ask(path).headers["X-Repo-Commit"]
                new = ask(url + "/__mock__/set", "POST", body=json.dumps({"repo": "o/m", "bump": True})).json()
                self.assertNotEqual(new["commit"], commit)
                process.stdin.close()
                self.assertEqual(process.wait(10), 0)
            with open(os.path.join(tmp, ".log"), encoding="utf-8") as f:
                self.assertEqual([json.loads(line)["status"] for line in f], [418, 200, 200])
            with subprocess.Popen([*command, "--stay"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  text=True) as process:
                process.stdout.readline()
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(10), 0)

    @needs_openssl
    def test_proxy(self):
        with MockHub(config=CONFIG, tls=True) as hub, MockHub(config=CONFIG) as plain, \
                MockProxy(user="u", password="p/w") as proxy:
            context = ssl.create_default_context(cafile=hub.ca)

            def through(url, proxy_url, token=None):
                opener = urllib.request.build_opener(
                    urllib.request.ProxyHandler({"http": proxy_url, "https": proxy_url}),
                    urllib.request.HTTPSHandler(context=context))
                request = urllib.request.Request(url)
                if token:
                    request.add_unredirected_header("Authorization", "Bearer " + token)
                with opener.open(request, timeout=10) as reply:
                    return reply.read()
            path = "/org/model/resolve/main/sub/deep/x.txt"
            self.assertEqual(through(hub.endpoint + path, proxy.url, "hf_bob"), b"x")
            self.assertEqual(through(plain.endpoint + path, proxy.url, "hf_bob"), b"x")
            with self.assertRaises(urllib.error.HTTPError) as caught:
                through(plain.endpoint + path, proxy.plain_url)
            self.assertEqual(caught.exception.code, 407)
            caught.exception.close()
            self.assertEqual([(e["method"], e["status"], e["leak"]) for e in proxy.log()],
                             [("CONNECT", 200, False), ("GET", 200, True), ("GET", 407, False)])


if __name__ == "__main__":
    unittest.main()
