#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A mock of the Hugging Face Hub and its CDN on two ports of this machine; see README.md.

Owns: what the Hub and the CDN answer, signatures, tokens, quotas, the access log, the Python class
and the program. Does not own: the wire (mock_wire.py), repositories (mock_repos.py), faults
(mock_faults.py).
"""
import argparse
import asyncio
import base64
import concurrent.futures
import copy
import email.utils
import gc
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mock_faults  # noqa: E402
import mock_repos  # noqa: E402
from mock_wire import Bytes, NOTHING, Plan, Server  # noqa: E402

ACTIONS = {"resolve", "revision", "tree", "refs", "paths-info", "auth-check", "raw", "blob", "xet-read-token"}
MODIFIED = email.utils.formatdate(1700000000, usegmt=True)
CREATED = "2023-11-14T22:13:20.000Z"
quote, unquote = urllib.parse.quote, urllib.parse.unquote


class Refused(Exception):
    """An answer that is an error of the Hub."""

    def __init__(self, status, code, message, headers=()):
        super().__init__(message)
        self.plan = answer_json(status, {"error": message}, list(headers))
        if code:
            self.plan.headers.append(("X-Error-Code", code))
        self.plan.headers.append(("X-Error-Message", message))


def answer_json(status, value, headers=()):
    return Plan(status, [("Content-Type", "application/json; charset=utf-8"), *headers],
                Bytes(json.dumps(value).encode()))


def parse_range(value, size):
    """(first, last), "all" when the header does not count, or "none" when nothing is there."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", value.replace(" ", ""))
    if not match or match.groups() == ("", ""):
        return "all"  # several ranges, too, are answered with everything
    first, last = match.groups()
    if first == "":
        return (max(0, size - int(last)), size - 1) if int(last) and size else "none"
    if last and int(last) < int(first):
        return "all"
    if int(first) >= size:
        return "none"
    return int(first), min(int(last) if last else size - 1, size - 1)


def answer_file(request, file, etag, headers):
    """200, 206 or 416 with bytes of a file."""
    plan = Plan(200, headers, length=0)
    plan.headers += [("ETag", f'"{etag}"'), ("Accept-Ranges", "bytes"), ("Last-Modified", MODIFIED)]
    asked = request.headers.get("range")
    condition = request.headers.get("if-range")
    if condition is not None and condition not in (f'"{etag}"', MODIFIED):
        asked = None
    part = "all" if asked is None else parse_range(asked, file.size)
    if part == "none":
        plan.status, plan.claimed = 416, 0
        plan.set("Content-Range", f"bytes */{file.size}")
        return plan
    plan.body = NOTHING if request.method == "HEAD" else file.open()
    plan.length = file.size
    if part != "all":
        plan.status, plan.start, plan.length = 206, part[0], part[1] - part[0] + 1
        plan.set("Content-Range", f"bytes {part[0]}-{part[1]}/{file.size}")
    plan.claimed = plan.length
    return plan


# ----------------------------------------------------------------------------------------- hub
class MockHub:
    """`with MockHub(root) as hub:` serves the folder's repositories until the block ends.

    config: as ROOT/.mock.json (README.md); wins over it. tls: False, True, "expired" or
    "wrong-host". log_file: every request as a JSON line. keep_log=False: only counts.
    """

    def __init__(self, root=None, config=None, tls=False, log_file=None, keep_log=True):
        self.root = os.path.abspath(root) if root else None
        self.config = {}
        side = os.path.join(self.root, ".mock.json") if self.root else None
        if side and os.path.exists(side):
            with open(side, encoding="utf-8") as f:
                self.config = json.load(f)
        for key, value in (config or {}).items():
            both = isinstance(value, dict) and isinstance(self.config.get(key), dict)
            self.config[key] = {**self.config[key], **value} if both else value
        self.tls = tls
        self.latency = self.config.get("latency_ms", 0) / 1000
        self.keep_log, self.log_file = keep_log, log_file
        self.entries, self.rules, self.leaked, self.errors = [], [], [], []
        self.count = self.rule_count = self.serial = self.epoch = 0
        self.revoked = set()
        self.windows = {}
        self.secret = b"mock signature"
        self.objects, self.routes = {}, {}
        self.temporary = None
        self.thread = None
        self.repos = mock_repos.scan(self.root, self.config)
        self.redirects = self.config.get("redirects", {})
        self.tokens = self.config.get("tokens", {"hf_mock": {"name": "mock"}})
        self.prefix = self.config.get("prefix", "").rstrip("/")

    # ------------------------------------------------------------------------------ start, stop
    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        if self.errors and kind is None:
            raise RuntimeError("the mock Hub failed:\n" + "\n".join(self.errors))

    def start(self):
        context = self._certificates() if self.tls else None
        self.loop = asyncio.new_event_loop()
        self.log_stream = open(self.log_file, "a", encoding="utf-8") if self.log_file else None
        self.hub_server = Server("hub", self.loop, self._hub, self._done, self.errors, context)
        self.cdn_server = Server("cdn", self.loop, self._cdn, self._done, self.errors, context)
        self.origin = self.hub_server.url
        self.endpoint = self.origin + self.prefix
        self.cdn = self.cdn_server.url
        for server in (self.hub_server, self.cdn_server):
            self.loop.call_soon(server.open)
        self.thread = threading.Thread(target=self.loop.run_forever, name="mockhub", daemon=True)
        self.thread.start()

    def stop(self):
        if self.thread is None:
            return
        self._on_loop(lambda: [s.close() for s in (self.hub_server, self.cdn_server)])
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.thread = None
        self.loop.close()
        if self.log_stream:
            self.log_stream.close()
        if self.temporary:
            shutil.rmtree(self.temporary, ignore_errors=True)

    def _on_loop(self, function):
        """Run it between two requests, so that what it sees is whole."""
        if self.thread is None or threading.current_thread() is self.thread:
            return function()
        future = concurrent.futures.Future()

        def run():
            try:
                future.set_result(function())
            except BaseException as e:  # goes to the caller
                future.set_exception(e)
        self.loop.call_soon_threadsafe(run)
        return future.result(60)

    def _certificates(self):
        """A CA of our own and a certificate for 127.0.0.1 and localhost; the context of both servers."""
        import ssl
        self.temporary = tempfile.mkdtemp(prefix="mockhub-")

        def at(name):
            return os.path.join(self.temporary, name)

        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           cwd=self.temporary)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=mock CA",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=mock hub")
        names = "DNS:elsewhere.invalid" if self.tls == "wrong-host" else "IP:127.0.0.1,DNS:localhost"
        with open(at("ext"), "w", encoding="ascii") as f:
            f.write(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "2", "-out",
                "server.pem", "-days", "-1" if self.tls == "expired" else "2", "-extfile", "ext")
        self.ca = at("ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(at("server.pem"), at("server.key"))
        context.set_alpn_protocols(["http/1.1"])
        return context

    # --------------------------------------------------------------------------------- requests
    def _begin(self, server, connection, request):
        server.stats["requests"] += 1
        self.count += 1
        token_ok = None if request.authorization is None else request.token in self.tokens
        entry = {"n": self.count, "time": time.time(), "server": server.name, "method": request.method,
                 "path": request.path, "query": request.query, "range": request.headers.get("range"), "status": 0,
                 "sent": 0, "authorization": request.authorization is not None, "token_ok": token_ok,
                 "headers": request.headers, "fault": None, "repo": None, "file": None,
                 "connection": connection.number}
        if self.keep_log:
            self.entries.append(entry)
        return entry

    def _finish(self, server, request, plan, entry):
        """What all answers have in common: faults, latency, the request's id."""
        plan.entry = entry
        plan.headers.append(("X-Request-Id", f"Root=1-mock-{entry['n']:08x}"))
        if self.rules:
            plan = mock_faults.apply(self, self.rules, server.name, request, plan)
        entry["status"], entry["fault"] = plan.status, plan.fault
        plan.delay += self.latency
        return plan

    def _done(self, plan):
        if self.log_stream and plan.entry is not None:
            self.log_stream.write(json.dumps(plan.entry) + "\n")
            self.log_stream.flush()

    def _hub(self, connection, request):
        if request.path.startswith("/__mock__/"):
            return self._control(request)
        entry = self._begin(self.hub_server, connection, request)
        headers = []
        try:
            plan = self._quota(request, headers)
            if plan is None:
                plan = self._hub_answer(request, entry)
        except Refused as e:
            plan = e.plan
        plan.headers += headers
        return self._finish(self.hub_server, request, plan, entry)

    def _quota(self, request, headers):
        """Fixed windows, counted for each bucket; an answer when it is used up."""
        bucket = "api" if request.path.startswith(self.prefix + "/api/") else \
            "resolvers" if "/resolve/" in request.path else "pages"
        quota = self.config.get("quota", {}).get(bucket)
        if quota is None:
            return None
        limit, seconds = quota
        now = time.monotonic()
        began, used = self.windows.get(bucket, (now, 0))
        if now - began >= seconds:
            began, used = now, 0
        used += 1
        self.windows[bucket] = (began, used)
        wait = max(1, math.ceil(began + seconds - now))
        headers.append(("RateLimit", f'"{bucket}";r={max(0, limit - used)};t={wait}'))
        headers.append(("RateLimit-Policy", f'"fixed window";"{bucket}";q={limit};w={seconds}'))
        if used <= limit:
            return None
        raise Refused(429, None, "We had to rate limit your IP. To continue using our service, please log in.")

    def _hub_answer(self, request, entry):
        if request.token is not None and request.token not in self.tokens:
            raise Refused(401, None, "Invalid credentials in Authorization header")
        if not request.path.startswith(self.prefix + "/"):
            raise Refused(404, None, "Sorry, we can't find the page you are looking for.")
        path = request.path[len(self.prefix):]
        segments = path[1:].split("/")
        if segments[0] == "api":
            if request.method not in ("GET", "HEAD") and "paths-info" not in segments:
                raise Refused(405, None, "Method not allowed")
            if segments[1:] == ["whoami-v2"]:
                return self._whoami(request)
            if len(segments) > 2 and segments[1] in mock_repos.TYPES:
                return self._api(request, entry, segments[1], segments[2:])
            raise Refused(404, None, "Sorry, we can't find the page you are looking for.")
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, None, "Method not allowed")
        if segments[0] == "resolve-cache":
            return self._resolve(request, entry, segments[1], segments[2:], True)
        kind = segments.pop(0) if segments[0] in ("datasets", "spaces") else "models"
        return self._resolve(request, entry, kind, segments, False)

    def _whoami(self, request):
        if request.token is None:
            raise Refused(401, None, "Invalid username or password.")
        about = self.tokens[request.token]
        return answer_json(200, {"type": "user", "name": about.get("name", "mock"), "orgs": [],
                                 "auth": {"type": "access_token"}})

    # ------------------------------------------------------------------------- repositories
    def _split(self, segments):
        """Segments of a path -> (id, the rest)."""
        n = 1 if len(segments) == 1 or segments[1] in ACTIONS else 2
        return unquote("/".join(segments[:n])), segments[n:]

    def _repo(self, request, entry, kind, id, before, rest):
        """The repository, or the answer that says why not. `before`, `rest`: of its path, to lead on."""
        key = id if kind == "models" else f"{kind}/{id}"
        repo = self.repos.get((kind, id))
        entry["repo"] = key
        to = self.redirects.get(key) or (repo.get("renamed_to") if repo else None)
        if to:
            url = self.prefix + before + quote(to) + "".join("/" + s for s in rest)
            return Plan(307, [("Location", url + ("?" + request.query if request.query else "")),
                              ("Content-Type", "text/plain; charset=utf-8")], Bytes(b"Temporary Redirect"))
        if repo is None or (repo.get("private") and not self._may_read(request, repo)):
            if request.token is None:
                raise Refused(401, "RepoNotFound", "Invalid username or password.",
                              [("WWW-Authenticate", 'Bearer realm="Authentication required", charset="UTF-8"')])
            raise Refused(404, "RepoNotFound", "Repository not found")
        if repo.get("disabled"):
            raise Refused(403, None, "Access to this resource is disabled.")
        return repo

    def _may_read(self, request, repo):
        readers = repo.about.get("tokens")
        return request.token is not None and (readers is None or request.token in readers)

    def _gate(self, request, repo):
        if not repo.get("gated") or self._may_read(request, repo):
            return
        kind = repo.type[:-1]
        if request.token is None:
            raise Refused(401, "GatedRepo", f"Access to {kind} {repo.id} is restricted. You must have access to it and "
                          "be authenticated to access it. Please log in.")
        if request.token in repo.get("requested", []):
            raise Refused(403, "GatedRepo", f"Your request to access {kind} {repo.id} is awaiting a review from the "
                          "repo authors.")
        raise Refused(403, "GatedRepo", f"Access to {kind} {repo.id} is restricted and you are not in the authorized "
                      f"list. Visit {self.endpoint}/{quote(repo.key)} to ask for access.")

    def _snapshot(self, repo, revision):
        snapshot = repo.find(unquote(revision))
        if snapshot is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {unquote(revision)}")
        return snapshot

    # ------------------------------------------------------------------------------------ api
    def _api(self, request, entry, kind, segments):
        id, rest = self._split(segments)
        repo = self._repo(request, entry, kind, id, f"/api/{kind}/", rest)
        if isinstance(repo, Plan):
            return repo
        query = urllib.parse.parse_qs(request.query, keep_blank_values=True)
        action = rest[0] if rest else "revision"
        if action == "revision" and len(rest) in (0, 2):
            return self._info(repo, self._snapshot(repo, rest[1] if rest else "main"), query)
        if action == "tree" and len(rest) >= 2:
            return self._tree(request, repo, self._snapshot(repo, rest[1]), unquote("/".join(rest[2:])), query)
        if action == "paths-info" and len(rest) == 2 and request.method == "POST":
            return self._paths_info(request, self._snapshot(repo, rest[1]))
        if action == "refs" and len(rest) == 1:
            return self._refs(repo, query)
        if action == "auth-check" and len(rest) == 1:
            self._gate(request, repo)
            return answer_json(200, {})
        raise Refused(404, None, "Sorry, we can't find the page you are looking for.")

    def _info(self, repo, snapshot, query):
        blobs = query.get("blobs", ["false"])[0] in ("true", "1", "True") and repo.get("blobs", True)
        expand = tuple(query.get("expand", []) + query.get("expand[]", []))
        if expand and "blobs" in query:
            raise Refused(400, None, "expand cannot be used together with blobs")
        key = ("info", blobs, expand)
        if key not in snapshot.cache:
            value = self._describe(repo, snapshot, blobs)
            if expand:
                value = {k: v for k, v in value.items() if k in expand or k in ("_id", "id")}
            snapshot.cache[key] = json.dumps(value).encode()
        return Plan(200, [("Content-Type", "application/json; charset=utf-8")], Bytes(snapshot.cache[key]))

    def _describe(self, repo, snapshot, blobs):
        files = snapshot.files
        value = {"_id": hashlib.sha1(repo.key.encode()).hexdigest()[:24], "id": repo.id,
                 "private": bool(repo.get("private")), "gated": repo.get("gated", False),
                 "disabled": bool(repo.get("disabled")), "sha": snapshot.commit, "author": repo.id.split("/")[0],
                 "lastModified": CREATED, "createdAt": CREATED, "downloads": 7, "likes": 1,
                 "tags": repo.get("tags", []), "usedStorage": sum(f.size for f in files.values()),
                 "siblings": [f.sibling(blobs) for f in files.values()]}
        if repo.type == "models":
            value["modelId"] = repo.id
        for name in ("pipeline_tag", "library_name", "safetensors", "gguf", "baseModels", "extra"):
            if name in repo.about:
                value[name] = repo.about[name]
        card = repo.card()
        if card is not None:
            value["cardData"] = card
        config = files.get("config.json")
        if config is not None and config.size < 1 << 20:
            body = config.open()
            try:
                whole = json.loads(bytes(body.piece(0, config.size)))
                value["config"] = {k: whole[k] for k in ("architectures", "model_type", "quantization_config")
                                   if k in whole}
            except (ValueError, TypeError):
                pass  # the Hub, too, leaves it out
            finally:
                body.close()
        value.update(value.pop("extra", {}))
        return value

    def _tree(self, request, repo, snapshot, below, query):
        recursive = query.get("recursive", ["false"])[0] in ("true", "1", "True")
        rows = snapshot.rows(below, recursive)
        if rows is None:
            raise Refused(404, "EntryNotFound", f"{below} does not exist on \"{snapshot.name}\"")
        page = int(query.get("limit", [repo.get("page", 1000)])[0])
        try:
            start = int(base64.urlsafe_b64decode(query["cursor"][0])) if "cursor" in query else 0
        except ValueError:
            raise Refused(400, None, "Invalid cursor") from None
        headers = []
        if start + page < len(rows):
            again = [(k, v) for k, vs in query.items() if k != "cursor" for v in vs]
            again.append(("cursor", base64.urlsafe_b64encode(b"%d" % (start + page)).decode()))
            base = self.config.get("link_origin", self.origin)
            headers.append(("Link", f'<{base}{request.path}?{urllib.parse.urlencode(again)}>; rel="next"'))
        return answer_json(200, rows[start:start + page], headers)

    def _paths_info(self, request, snapshot):
        text = request.body.decode("utf-8", "replace")
        if "json" in request.headers.get("content-type", ""):
            paths = json.loads(text)["paths"]
        else:
            paths = urllib.parse.parse_qs(text).get("paths", [])
        paths = [paths] if isinstance(paths, str) else paths
        rows = {r["path"]: r for r in snapshot.rows("", True)}
        return answer_json(200, [rows[p] for p in paths if p in rows])

    def _refs(self, repo, query):
        value = {"branches": [], "converts": [], "tags": []}
        pulls = query.get("include_prs", ["0"])[0] in ("1", "true", "True")
        if pulls:
            value["pullRequests"] = []
        place = {"branch": ("branches", "refs/heads/"), "tag": ("tags", "refs/tags/"),
                 "convert": ("converts", ""), "pr": ("pullRequests", "")}
        for name, snapshot in repo.revisions.items():
            group, before = place[snapshot.kind]
            if group in value:
                short = name[len("refs/convert/"):] if snapshot.kind == "convert" else \
                    name[len("refs/pr/"):] if snapshot.kind == "pr" else name
                value[group].append({"name": short, "ref": before + name, "targetCommit": snapshot.commit})
        return answer_json(200, value)

    # -------------------------------------------------------------------------------- resolve
    def _resolve(self, request, entry, kind, segments, cached):
        id, rest = self._split(segments)
        if cached:
            rest = ["resolve", *rest]
        if len(rest) < 3 or rest[0] != "resolve":
            raise Refused(404, None, "Sorry, we can't find the page you are looking for.")
        before = f"/resolve-cache/{kind}/" if cached else "/" if kind == "models" else f"/{kind}/"
        repo = self._repo(request, entry, kind, id, before, rest[cached:])
        if isinstance(repo, Plan):
            return repo
        self._gate(request, repo)
        snapshot = self._snapshot(repo, rest[1])
        path = unquote("/".join(rest[2:]), errors="surrogateescape")
        entry["file"] = path
        file = snapshot.files.get(path)
        if file is None:
            raise Refused(404, "EntryNotFound", "Entry not found", [("X-Repo-Commit", snapshot.commit)])
        headers = [("X-Repo-Commit", snapshot.commit)]
        if not file.lfs:
            if repo.get("resolve_cache") and not cached:
                url = f"{self.prefix}/resolve-cache/{kind}/{repo.id}/{snapshot.commit}/{quote(path)}"
                headers += [("Location", url), ("X-Linked-Size", str(file.size)),
                            ("X-Linked-Etag", f'"{file.blob}"'), ("ETag", f'"{file.blob}"')]
                return Plan(307, headers, Bytes(f"Temporary Redirect. Redirecting to {url}".encode()))
            headers.append(("Content-Type", "text/plain; charset=utf-8"))
            return answer_file(request, file, file.blob, headers)
        url = self._sign(file)
        headers += [("X-Linked-Size", str(file.size)), ("X-Linked-Etag", f'"{file.oid}"'), ("Location", url),
                    ("Vary", "Origin, Accept"), ("Content-Type", "text/plain; charset=utf-8")]
        if "xet" in file.about:
            headers.append(("X-Xet-Hash", file.about["xet"]))
        return Plan(302, headers, Bytes(b"Found. Redirecting"))

    # ------------------------------------------------------------------------------------ cdn
    def _sign(self, file):
        path = f"/repos/{hashlib.sha1(file.repo.key.encode()).hexdigest()[:24]}/{file.oid}"
        self.objects[path] = file
        self.serial += 1
        expires = int(time.time() + self.config.get("sign_seconds", 3600))
        name = quote(file.path.rpartition("/")[2])
        query = (f"response-content-disposition=inline%3B+filename%3D%22{name}%22%3B&Policy={self.epoch}.{self.serial}"
                 f"&Expires={expires}")
        return f"{self.cdn}{path}?{query}&Signature={self._signature(path, query)}&Key-Pair-Id=KMOCK"

    def _signature(self, path, query):
        return hashlib.blake2b(f"{path}?{query}".encode(), key=self.secret, digest_size=24).hexdigest()

    def denied(self, message):
        return Plan(403, [("Content-Type", "application/xml")],
                    Bytes(f"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
                          .encode()))

    def revoke(self, query):
        self.revoked.add(query)

    def _cdn(self, connection, request):
        entry = self._begin(self.cdn_server, connection, request)
        file = self.objects.get(request.path)
        if file is not None:
            entry["repo"], entry["file"] = file.repo.key, file.path
        if self._has_secret(request):
            self.leaked.append(entry)
            plan = Plan(400, [("Content-Type", "text/plain")], Bytes(b"A token came to the CDN."))
        else:
            plan = self._cdn_answer(request, file)
        plan.headers += [("X-Cache", "Miss from cloudfront"), ("X-Amz-Cf-Id", f"mock{entry['n']}==")]
        return self._finish(self.cdn_server, request, plan, entry)

    def _has_secret(self, request):
        if request.authorization is not None or "cookie" in request.headers:
            return True
        text = request.target + "".join([str(v) for v in request.headers.values()])
        return any(token in text for token in self.tokens)

    def _cdn_answer(self, request, file):
        if request.method not in ("GET", "HEAD"):
            return Plan(405, [])
        signed, _, rest = request.query.partition("&Signature=")
        if not rest or rest.partition("&")[0] != self._signature(request.path, signed):
            return self.denied("Access Denied")
        expires = int(re.search(r"Expires=(\d+)", signed).group(1))
        epoch = int(re.search(r"Policy=(\d+)", signed).group(1))
        if time.time() > expires or epoch < self.epoch or request.query in self.revoked:
            return self.denied("Request has expired")
        if file is None:
            return Plan(404, [("Content-Type", "application/xml")], Bytes(b"<Error><Code>NoSuchKey</Code></Error>"))
        etag = hashlib.md5(file.oid.encode()).hexdigest()
        return answer_file(request, file, etag, [("Content-Type", "binary/octet-stream")])

    # -------------------------------------------------------------------------------- control
    def _control(self, request):
        name = request.path[len("/__mock__/"):]
        args = json.loads(request.body or b"{}")
        if name == "log":
            value = self.entries
        elif name == "stats":
            value = self._stats()
        elif name == "leaks":
            value = self.leaked
        elif name == "fault":
            value = {"id": self._add_fault(**args)}
        elif name == "clear":
            value = self._clear(**args)
        elif name == "set":
            value = self._set(**args)
        elif name == "expire":
            value = self._expire()
        else:
            return answer_json(404, {"error": "log, stats, leaks, fault, clear, set, expire"})
        return answer_json(200, value)

    def _stats(self):
        value = {s.name: dict(s.stats) for s in (self.hub_server, self.cdn_server)}
        value["leaks"] = len(self.leaked)
        value["requests"] = sum(value[s]["requests"] for s in ("hub", "cdn"))
        value["bytes"] = sum(value[s]["bytes"] for s in ("hub", "cdn"))
        return value

    def _add_fault(self, kind, match="", where="both", times=-1, after=0, method=None, **args):
        if kind == "latency" and not match and where == "both" and times < 0:
            self.latency = args.get("ms", 20) / 1000
            return 0
        self.rule_count += 1
        self.rules.append(mock_faults.Rule(self.rule_count, kind, match, where, times, after, method, **args))
        return self.rule_count

    def _clear(self, faults=True, log=True, id=None):
        if id is not None:
            self.rules = [r for r in self.rules if r.id != id]
            return {}
        if faults:
            self.rules, self.latency, self.revoked = [], self.config.get("latency_ms", 0) / 1000, set()
        if log:
            self.entries, self.leaked = [], []
            self.windows = {}
            for server in (self.hub_server, self.cdn_server):
                server.clear()
        return {}

    def _set(self, repo=None, **about):
        if repo is None:
            self.config.update(about)
            self.redirects = self.config.get("redirects", {})
            self.tokens = self.config.get("tokens", self.tokens)
            self.latency = self.config.get("latency_ms", 0) / 1000 if "latency_ms" in about else self.latency
            return {}
        kind, id = mock_repos.split_key(repo)
        if (kind, id) not in self.repos:
            self.repos[(kind, id)] = mock_repos.Repo(kind, id, self.root, None, {}, self.config)
        self.repos[(kind, id)].change(about)
        found = self.repos[(kind, id)].find("main")
        return {"commit": found.commit if found else None}

    def _expire(self):
        self.epoch += 1
        return {}

    # ------------------------------------------------------------------------ for the tests
    def fault(self, kind, match="", where="both", times=-1, after=0, method=None, **args):
        """Switch a fault on; its number. match: a regular expression on path and query."""
        return self._on_loop(lambda: self._add_fault(kind, match, where, times, after, method, **args))

    def clear_faults(self, id=None):
        """All faults, or one."""
        self._on_loop(lambda: self._clear(True, False, id))

    def clear_log(self):
        self._on_loop(lambda: self._clear(False, True))

    def log(self, server=None, **like):
        """A copy of the access log; like: only entries with these values, log("cdn", status=206)."""
        entries = self._on_loop(lambda: copy.deepcopy(self.entries))
        return [e for e in entries if server in (None, e["server"]) and all(e[k] == v for k, v in like.items())]

    def stats(self):
        return self._on_loop(self._stats)

    def leaks(self):
        """Requests that brought a token to the CDN."""
        return self._on_loop(lambda: copy.deepcopy(self.leaked))

    def sent(self, server=None):
        """Bytes of bodies handed to sockets."""
        stats = self.stats()
        return stats[server]["bytes"] if server else stats["bytes"]

    def ranges(self, path, repo=None, server="cdn"):
        """[(first, last)] asked for with GET, in order; a request without Range counts as all."""
        result = []
        for e in self.log(server, method="GET", file=path):
            if repo in (None, e["repo"]):
                size = self.file(e["repo"], path).size
                part = parse_range(e["range"], size) if e["range"] else "all"
                result.append((0, size - 1) if part == "all" else part)
        return result

    def repo(self, repo):
        return self.repos[mock_repos.split_key(repo)]

    def file(self, repo, path, rev="main"):
        return self.repo(repo).find(rev).files[path]

    def sha256(self, repo, path, rev="main"):
        """As X-Linked-Etag tells it (for a file that is not LFS: of its bytes)."""
        return self.file(repo, path, rev).oid

    def etag(self, repo, path, rev="main"):
        return self.file(repo, path, rev).etag

    def commit(self, repo, rev="main"):
        return self.repo(repo).find(rev).commit

    def content(self, repo, path, first=0, last=None, rev="main"):
        """Bytes first..last of a file as the mock serves it."""
        file = self.file(repo, path, rev)
        body, parts = file.open(), []
        end = file.size if last is None else last + 1
        while first < end:
            parts.append(bytes(body.piece(first, min(end - first, 1 << 20))))
            first += len(parts[-1])
        body.close()
        return b"".join(parts)

    def set(self, repo=None, **about):
        """Change a repository ("gated", "files", "folder", bump=True for a new commit ...) or, without one, the
        settings (quota, redirects, tokens, sign_seconds ...). The new commit of main."""
        return self._on_loop(lambda: self._set(repo, **about)).get("commit")

    def wait(self, condition, seconds=20):
        """Until condition() is true (to act in the middle of a transfer); False: time is up."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def expire_urls(self):
        """All signed URLs so far end now."""
        self._on_loop(self._expire)

    def drop_connections(self):
        """Close what is open, as servers do with idle connections."""
        self._on_loop(lambda: [c.close() for s in (self.hub_server, self.cdn_server) for c in list(s.connections)])

    def warm(self):
        """Compute all hashes now, not while somebody measures."""
        for repo in self.repos.values():
            for snapshot in repo.revisions.values():
                for file in snapshot.files.values():
                    file.etag, file.blob

    def env(self, tmp, token=None, **more):
        """A whole environment for a program: this Hub, caches and home below tmp, no settings of the user."""
        clean = re.compile(r"(HF_|HUGGING|SCRUPLE_|TRANSFORMERS_OFFLINE|XDG_CACHE_HOME|.*_proxy$|.*_PROXY$|SSL_CERT_|"
                           r"CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE)")
        env = {k: v for k, v in os.environ.items() if not clean.match(k)}
        env.update(HF_ENDPOINT=self.endpoint, HOME=os.path.join(tmp, "home"), HF_HOME=os.path.join(tmp, "hf"),
                   XDG_CACHE_HOME=os.path.join(tmp, "xdg"), SCRUPLE_CACHE=os.path.join(tmp, "scruple"),
                   no_proxy="127.0.0.1,localhost", NO_PROXY="127.0.0.1,localhost")
        os.makedirs(env["HOME"], exist_ok=True)
        if self.tls is True:
            env["SSL_CERT_FILE"] = self.ca
        if token:
            env["HF_TOKEN"] = token
        env.update({k: v for k, v in more.items() if v is not None})
        return env


# ------------------------------------------------------------------------------------- program
def main():
    parser = argparse.ArgumentParser(description="A mock of the Hugging Face Hub and its CDN.")
    parser.add_argument("root", help="folder of repositories: [models|datasets|spaces/]ORG/NAME/")
    parser.add_argument("--config", help="JSON, as ROOT/.mock.json")
    parser.add_argument("--latency", type=float, metavar="MS", help="delay every answer")
    parser.add_argument("--ports-file", metavar="F", help="write both URLs there, too")
    parser.add_argument("--log", metavar="F", help="append every request as a JSON line")
    parser.add_argument("--no-log", action="store_true", help="keep no log in memory, only counts")
    parser.add_argument("--tls", action="store_true", help="https; prints the CA file")
    parser.add_argument("--warm", action="store_true", help="compute all hashes first")
    parser.add_argument("--stay", action="store_true", help="do not end when stdin is closed")
    args = parser.parse_args()
    config = {}
    if args.config:
        with open(args.config, encoding="utf-8") as f:
            config = json.load(f)
    if args.latency is not None:
        config["latency_ms"] = args.latency
    hub = MockHub(args.root, config, tls=args.tls, log_file=args.log, keep_log=not args.no_log)
    if args.warm:
        hub.warm()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50000, 20, 100)  # the log grows and has no cycles
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    with hub:
        lines = f"HUB {hub.endpoint}\nCDN {hub.cdn}\n" + (f"CA {hub.ca}\n" if args.tls else "")
        sys.stdout.write(lines)
        sys.stdout.flush()
        if args.ports_file:
            with open(args.ports_file + ".tmp", "w", encoding="ascii") as f:
                f.write(lines)
            os.rename(args.ports_file + ".tmp", args.ports_file)
        if not args.stay:
            def watch():
                while os.read(0, 4096):
                    pass
                end.set()
            threading.Thread(target=watch, daemon=True).start()
        end.wait()


if __name__ == "__main__":
    main()
