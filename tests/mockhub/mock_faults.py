# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the mock Hub's answers, each as a rule that is switched on and off.

Owns: rules (where, which requests, how often) and what each kind does to a plan.

A rule counts only answers it can apply to: "ignore-range" those to a range, "short-body" those with a
body, "expired-signature" those of the CDN, and so on.
"""
import gzip
import re

from mock_wire import Bytes, Flipped, Padded, Plan

KINDS = {}


def kind(name, applies=lambda hub, request, plan: True):
    def register(function):
        KINDS[name] = (applies, function)
        return function
    return register


def has_body(hub, request, plan):
    return plan.status in (200, 206) and plan.length > 0 and request.method != "HEAD"


def is_partial(hub, request, plan):
    return plan.status == 206 and plan.length > 0


def is_file(hub, request, plan):
    return plan.entry is not None and plan.entry["file"] is not None and plan.status in (200, 206, 302, 307)


def is_cdn(hub, request, plan):
    return plan.entry is not None and plan.entry["server"] == "cdn" and plan.status in (200, 206)


class Rule:
    def __init__(self, id, kind, match="", where="both", times=-1, after=0, method=None, **args):
        if kind not in KINDS:
            raise ValueError(f"no fault is called {kind!r}; there are {', '.join(sorted(KINDS))}")
        if where not in ("hub", "cdn", "both"):
            raise ValueError(f"where is hub, cdn or both, not {where!r}")
        self.id, self.kind, self.where, self.times, self.after, self.method = id, kind, where, times, after, method
        self.match = re.compile(match)
        self.applies, self.function = KINDS[kind]
        self.args = args
        self.seen = self.used = 0

    def takes(self, hub, server, request, plan):
        """Is this answer its victim? Counts."""
        if self.where not in ("both", server) or (self.method and self.method != request.method):
            return False
        if self.times >= 0 and self.used >= self.times:
            return False
        if not self.match.search(request.target) or not self.applies(hub, request, plan):
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.used += 1
        return True


def replaced(plan, new):
    """Another answer in place of the planned one."""
    plan.body.close()
    new.entry, new.delay = plan.entry, plan.delay
    return new


def whole(plan):
    """All of the body instead of a part."""
    part = content_range(plan)
    plan.status = 200
    plan.set("Content-Range", None)
    plan.start, plan.length = 0, part[2] if part else plan.body.size
    plan.claimed = plan.length
    return plan


def content_range(plan):
    """(first, last, total) that the plan tells."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", plan.header("Content-Range") or "")
    return tuple(int(x) for x in match.groups()) if match else None


# ---------------------------------------------------------------------- other answers altogether
@kind("status")
def _status(hub, request, plan, status=500, headers=None, body=""):
    data = body.encode() if isinstance(body, str) else body
    given = list(headers.items() if isinstance(headers, dict) else headers or [])
    new = Plan(status, [("X-Request-Id", plan.header("X-Request-Id") or "mock")] + given, Bytes(data))
    if data and not new.header("Content-Type"):
        new.set("Content-Type", "text/plain; charset=utf-8")
    return replaced(plan, new)


@kind("html")
def _html(hub, request, plan, body="<!doctype html><title>Login</title><p>Please accept the terms of this network."):
    return replaced(plan, Plan(200, [("Content-Type", "text/html")], Bytes(body.encode())))


@kind("garbage")
def _garbage(hub, request, plan, data="\x16\x03\x01\x02SSH-2.0-nothing to see here\r\n\r\n"):
    new = Plan(0, [])
    new.raw = data.encode("latin-1") if isinstance(data, str) else data
    new.ending = "close"
    return replaced(plan, new)


@kind("silent")
def _silent(hub, request, plan):
    new = Plan(0, [])
    new.raw, new.ending = b"", "stall"
    return replaced(plan, new)


@kind("redirect-to")
def _redirect_to(hub, request, plan, url="http://127.0.0.1:9/", status=302):
    return replaced(plan, Plan(status, [("Location", url)]))


@kind("redirect-loop")
def _redirect_loop(hub, request, plan, absolute=False, status=302):
    url = request.target
    if absolute:
        url = (hub.cdn if plan.entry["server"] == "cdn" else hub.origin) + url
    return replaced(plan, Plan(status, [("Location", url)]))


@kind("expired-signature", is_cdn)
def _expired(hub, request, plan):
    hub.revoke(request.query)
    return replaced(plan, hub.denied("Request has expired"))


# ----------------------------------------------------------------------------------------- time
@kind("delay")
def _delay(hub, request, plan, ms=100):
    plan.delay += ms / 1000
    return plan


@kind("slow", has_body)
def _slow(hub, request, plan, rate=1000):
    plan.rate = rate
    return plan


@kind("stall")
def _stall(hub, request, plan, bytes=0):
    plan.stop, plan.ending = bytes, "stall"
    return plan


@kind("reset")
def _reset(hub, request, plan, bytes=None):
    if bytes is None:  # before any answer
        new = Plan(0, [])
        new.raw, new.ending = b"", "reset"
        return replaced(plan, new)
    plan.stop, plan.ending = bytes, "reset"
    return plan


@kind("close")
def _close(hub, request, plan):
    new = Plan(0, [])
    new.raw, new.ending = b"", "close"
    return replaced(plan, new)


# --------------------------------------------------------------------------------------- bodies
@kind("short-body", has_body)
def _short(hub, request, plan, bytes=None):
    plan.stop, plan.ending = plan.length // 2 if bytes is None else min(bytes, plan.length - 1), "close"
    return plan


@kind("corrupt", has_body)
def _corrupt(hub, request, plan, offset=None, mask=1):
    """`offset` counts in the file; None: the first byte that is sent."""
    plan.body = Flipped(plan.body, plan.start if offset is None else offset, mask)
    return plan


@kind("gzip", has_body)
def _gzip(hub, request, plan):
    data = b"".join(bytes_of(plan))
    plan.body.close()
    plan.body = Bytes(gzip.compress(data, 1))
    plan.start, plan.length = 0, plan.body.size
    plan.claimed = plan.length
    plan.set("Content-Encoding", "gzip")
    return plan


def bytes_of(plan):
    at, end = plan.start, min(plan.start + plan.length, plan.start + (64 << 20))
    while at < end:
        piece = bytes(plan.body.piece(at, min(end - at, 1 << 20)))
        at += len(piece)
        yield piece


@kind("chunked", has_body)
def _chunked(hub, request, plan):
    plan.chunked, plan.claimed = True, None
    return plan


@kind("no-length", has_body)
def _no_length(hub, request, plan):
    plan.claimed, plan.ending = None, "close"
    return plan


# --------------------------------------------------------------------------------------- ranges
@kind("ignore-range", is_partial)
def _ignore_range(hub, request, plan):
    return whole(plan)


@kind("truncated-range", is_partial)
def _truncated(hub, request, plan, bytes=None):
    first, last, total = content_range(plan)
    n = max(1, plan.length // 2 if bytes is None else min(bytes, plan.length))
    plan.length = plan.claimed = n
    plan.set("Content-Range", f"bytes {first}-{first + n - 1}/{total}")
    return plan


@kind("wrong-content-range", is_partial)
def _wrong(hub, request, plan, shift=1, value=None):
    first, last, total = content_range(plan)
    plan.set("Content-Range", value or f"bytes {first + shift}-{last + shift}/{total}")
    return plan


@kind("no-content-range", is_partial)
def _no_content_range(hub, request, plan):
    plan.set("Content-Range", None)
    return plan


@kind("200-with-content-range", is_partial)
def _ok_with_range(hub, request, plan):
    plan.status = 200
    return plan


# -------------------------------------------------------------------------------------- headers
@kind("etag-changes", is_file)
def _etag(hub, request, plan, etag=None, linked=None):
    """`etag` for ETag, `linked` for X-Linked-Etag where there is one; default: other hex digits."""
    for name, given in (("ETag", etag), ("X-Linked-Etag", linked if linked is not None else etag)):
        old = plan.header(name)
        if old is not None:
            plan.set(name, f'"{given}"' if given is not None else
                     re.sub("[0-9a-f]", lambda m: "0123456789abcdef"[15 - int(m.group(), 16)], old))
    return plan


@kind("size-changes", is_file)
def _size(hub, request, plan, by=1):
    if plan.header("X-Linked-Size"):
        plan.set("X-Linked-Size", str(int(plan.header("X-Linked-Size")) + by))
    if plan.status == 206 and content_range(plan):
        first, last, total = content_range(plan)
        plan.set("Content-Range", f"bytes {first}-{last}/{total + by}")
    elif plan.status == 200:
        plan.body = Padded(plan.body, max(0, plan.body.size + by))
        whole(plan)
    return plan


@kind("commit-changes", is_file)
def _commit(hub, request, plan, commit="c0ffee" + "0" * 34):
    if plan.header("X-Repo-Commit"):
        plan.set("X-Repo-Commit", commit)
    return plan


@kind("no-commit-header", is_file)
def _no_commit(hub, request, plan):
    plan.set("X-Repo-Commit", None)
    return plan


@kind("header")
def _header(hub, request, plan, name="X-HF-Warning", value="mock; this is a warning"):
    plan.set(name, value)
    return plan


@kind("long-header")
def _long_header(hub, request, plan, name="X-Long", bytes=64 << 10):
    plan.set(name, "a" * bytes)
    return plan


@kind("latency")
def _latency(hub, request, plan, ms=20):
    plan.delay += ms / 1000
    return plan


def apply(hub, rules, server, request, plan):
    """All rules that fit, in the order they were given."""
    for rule in rules:
        if rule.takes(hub, server, request, plan):
            plan = rule.function(hub, request, plan, **rule.args)
            plan.fault = f"{plan.fault},{rule.kind}" if plan.fault else rule.kind
            if plan.raw is not None:
                break
    return plan
