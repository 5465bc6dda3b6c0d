# SPDX-License-Identifier: Apache-2.0
"""The wire of the mock Hub: HTTP/1.1 over raw sockets on an asyncio loop.

Owns: listening, parsing requests, sending answers at full speed or as broken as a plan says.
Does not own: what is answered (mockhub.py) and which faults there are (mock_faults.py).

No asyncio transports: with the socket in hand a fault can cut, reset or stall after an exact number
of bytes, sendfile(2) can be counted, and a small answer is one recv() and one send().
"""
import fcntl
import os
import socket
import ssl
import struct
import termios
import time
import traceback

REASONS = {
    100: "Continue", 200: "OK", 206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other",
    304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 410: "Gone", 411: "Length Required", 413: "Payload Too Large",
    416: "Range Not Satisfiable", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}
SMALL = 64 << 10      # a body up to this size goes out together with its headers
PIECE = 1 << 20       # and larger ones in steps of this size
TURN = 8 << 20        # bytes for one connection before the others have their turn
TICK = 0.02           # seconds between the steps of a slow body
HEADERS_MAX = 64 << 10
BODY_MAX = 16 << 20


# ------------------------------------------------------------------------------------- bodies
# piece(offset, n): at most n bytes from there on, at least one; fileno(): for sendfile, or None.
class Bytes:
    """A body in memory."""

    def __init__(self, data):
        self.data = memoryview(data)
        self.size = len(data)

    def piece(self, offset, n):
        return self.data[offset:offset + n]

    def fileno(self):
        return None

    def close(self):
        pass


class OpenFile:
    """A file; closed after it was sent."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size

    def piece(self, offset, n):
        return os.pread(self.fd, n, offset)

    def fileno(self):
        return self.fd

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Padded:
    """Another body made longer with zeros, or cut to a smaller size."""

    def __init__(self, body, size):
        self.body, self.size = body, size

    def piece(self, offset, n):
        n = min(n, self.size - offset)
        if offset < self.body.size:
            return self.body.piece(offset, min(n, self.body.size - offset))
        return bytes(n)

    def fileno(self):
        return None

    def close(self):
        self.body.close()


class Flipped:
    """Another body with one byte changed."""

    def __init__(self, body, at, mask):
        self.body, self.at, self.mask, self.size = body, at, mask, body.size

    def piece(self, offset, n):
        piece = self.body.piece(offset, n)
        if offset <= self.at < offset + len(piece):
            piece = bytearray(piece)
            piece[self.at - offset] ^= self.mask
        return piece

    def fileno(self):
        return None

    def close(self):
        self.body.close()


NOTHING = Bytes(b"")


# ------------------------------------------------------------------------------ question, answer
class Request:
    __slots__ = ("method", "target", "path", "query", "headers", "body", "keep", "authorization", "token")

    def __init__(self, method, target, headers, keep):
        self.method, self.target, self.headers, self.keep = method, target, headers, keep
        self.path, _, self.query = target.partition("?")
        self.body = b""
        self.authorization = headers.get("authorization")
        self.token = None
        if self.authorization is not None:
            headers["authorization"] = True  # the log holds no secrets
            kind, _, token = self.authorization.partition(" ")
            self.token = token.strip() if kind.lower() == "bearer" else ""


class Plan:
    """An answer as it will be sent: `length` bytes of `body` from `start`, announced as `claimed`."""
    __slots__ = ("status", "headers", "body", "start", "length", "claimed", "stop", "ending", "rate", "delay", "raw",
                 "chunked", "entry", "fault")

    def __init__(self, status, headers, body=NOTHING, start=0, length=None):
        self.status, self.headers, self.body, self.start = status, headers, body, start
        self.length = body.size - start if length is None else length
        self.claimed = self.length  # None: no Content-Length
        self.stop = None            # after this many bytes of the body ...
        self.ending = "next"        # ... or at its end: "next" request, "close", "reset", "stall"
        self.rate = 0               # bytes a second; 0: as fast as it goes
        self.delay = 0.0            # seconds before the first byte
        self.raw = None             # sent instead of status line and headers; nothing: b""
        self.chunked = False
        self.entry = None
        self.fault = None

    def header(self, name):
        name = name.lower()
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None

    def set(self, name, value):
        """Replace, add or (None) remove a header."""
        lower = name.lower()
        self.headers = [h for h in self.headers if h[0].lower() != lower]
        if value is not None:
            self.headers.append((name, value))

    def head(self, keep):
        if self.raw is not None:
            return self.raw
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}"]
        lines.extend([f"{name}: {value}" for name, value in self.headers])
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif self.claimed is not None:
            lines.append(f"Content-Length: {self.claimed}")
        if not keep:
            lines.append("Connection: close")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")


# ---------------------------------------------------------------------------------- connection
class Connection:
    __slots__ = ("server", "loop", "sock", "fd", "number", "buffer", "request", "need", "plan", "out", "out_head",
                 "offset", "left", "sent", "began", "writing", "closed", "handshaking", "tls", "last_chunk")

    def __init__(self, server, sock, number):
        self.server, self.loop, self.sock, self.number = server, server.loop, sock, number
        self.fd = sock.fileno()
        self.buffer = bytearray()
        self.request = self.plan = None
        self.need = 0
        self.writing = self.closed = False
        self.tls = isinstance(sock, ssl.SSLSocket)
        self.handshaking = self.tls
        self.loop.add_reader(self.fd, self.readable)

    # -------------------------------------------------------------------------------- reading
    def readable(self):
        if self.handshaking and not self.handshake():
            return
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    self.close()
                    return
                self.buffer += data
                if not self.tls:  # of TLS, what is already decrypted wakes nobody
                    break
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.close()
            return
        if self.plan is None:
            self.parse()
        elif self.tls and self.writing:
            self.pump()

    def handshake(self):
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self.want_write(True)
            return False
        except (OSError, ValueError) as e:
            self.server.handshake_failures.append(str(e))
            self.close()
            return False
        self.handshaking = False
        self.want_write(False)
        return True

    def parse(self):
        while not self.closed and self.plan is None:
            if self.request is None:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self.buffer) > HEADERS_MAX:
                        self.close()
                    return
                head = self.buffer[:end].decode("latin-1")
                del self.buffer[:end + 4]
                if not self.begin(head):
                    self.close()
                    return
            if len(self.buffer) < self.need:
                return
            self.request.body = bytes(self.buffer[:self.need])
            del self.buffer[:self.need]
            self.answer()

    def begin(self, head):
        """Status line and headers of a request; false: nonsense."""
        lines = head.split("\r\n")
        first = lines[0].split(" ")
        if len(first) != 3 or not first[2].startswith("HTTP/1."):
            return False
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                return False
            headers[name.lower()] = value.strip()
        connection = headers.get("connection", "").lower()
        keep = connection != "close" and (first[2] != "HTTP/1.0" or connection == "keep-alive")
        self.request = Request(first[0], first[1], headers, keep)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_MAX:
            return False
        self.need = int(length)
        if headers.get("expect", "").lower() == "100-continue":
            self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    # ------------------------------------------------------------------------------ answering
    def answer(self):
        request, self.request, self.need = self.request, None, 0
        try:
            plan = self.server.handle(self, request)
        except Exception:  # a mistake of the mock must be seen, not only felt
            self.server.errors.append(traceback.format_exc())
            plan = Plan(500, [], Bytes(b"the mock Hub failed: " + traceback.format_exc().encode()))
        self.plan = plan
        keep = request.keep and plan.ending == "next"
        if not keep and plan.ending == "next":
            plan.ending = "close"
        self.left = 0 if request.method == "HEAD" or plan.raw is not None else plan.length
        if request.method == "HEAD":
            plan.chunked = False
            plan.rate = 0
        if plan.stop is not None:
            self.left = min(self.left, plan.stop)
        self.server.stats["open_requests"] += 1
        self.server.stats["peak_requests"] = max(self.server.stats["peak_requests"],
                                                 self.server.stats["open_requests"])
        if plan.delay > 0:
            self.loop.call_later(plan.delay, self.start, plan, keep)
        else:
            self.start(plan, keep)

    def start(self, plan, keep):
        if self.closed:
            return
        head = plan.head(keep)
        self.out_head = len(head)
        self.offset = plan.start
        self.sent = 0
        self.began = time.monotonic()
        self.last_chunk = not plan.chunked
        if 0 < self.left <= SMALL and not plan.rate and not plan.chunked:
            piece = bytes(plan.body.piece(self.offset, self.left))
            head += piece
            self.offset += len(piece)
            self.left -= len(piece)
        self.out = memoryview(head)
        self.pump()

    def pump(self):
        """Send as much as goes; come back when more does."""
        if self.closed or self.plan is None:
            return
        if self.handshaking and not self.handshake():
            return
        try:
            done = self.push()
        except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError):
            done = False
        except ssl.SSLWantReadError:
            return
        except OSError:
            self.close()
            return
        if done is None:  # slow: a timer calls again
            self.want_write(False)
            self.loop.call_later(TICK, self.pump)
            return
        self.want_write(not done)
        if done:
            self.end()

    def push(self):
        """True: all is sent; False: not yet; None: not now, because the body is slow."""
        plan, turn = self.plan, TURN
        while turn > 0:
            if self.out:
                n = self.sock.send(self.out) if self.tls or not self.left else \
                    self.sock.send(self.out, socket.MSG_MORE)
                self.out = self.out[n:]
                of_body = max(0, n - self.out_head)
                self.out_head = max(0, self.out_head - n)
                self.count(of_body)
                continue
            if not self.left:
                if self.last_chunk or plan.ending in ("reset", "stall") or plan.stop is not None:
                    return True
                self.last_chunk = True
                self.out = memoryview(b"0\r\n\r\n")
                self.out_head = 5
                continue
            step = min(self.left, PIECE)
            if plan.rate:
                step = min(step, int((time.monotonic() - self.began) * plan.rate) - self.sent)
                if step <= 0:
                    return None
            n = self.step(plan, step)
            self.offset += n
            self.left -= n
            turn -= n
        return False

    def step(self, plan, step):
        """The next bytes of the body, at most `step`; how many went."""
        if plan.chunked:
            piece = bytes(plan.body.piece(self.offset, min(step, 16384)))
            frame = b"%x\r\n" % len(piece)
            self.out = memoryview(frame + piece + b"\r\n")
            self.out_head = len(frame) + 2  # not bytes of the body
            return len(piece)
        fd = None if self.tls else plan.body.fileno()
        if fd is not None:
            n = os.sendfile(self.fd, fd, self.offset, min(self.left, TURN) if not plan.rate else step)
            if n == 0:
                raise OSError("the file became shorter")
        else:
            n = self.sock.send(plan.body.piece(self.offset, step))
        self.count(n)
        return n

    def count(self, n):
        self.sent += n
        if self.plan.entry is not None:  # the control of the mock itself counts nowhere
            self.server.stats["bytes"] += n
            self.plan.entry["sent"] += n

    def end(self):
        plan = self.finish()
        if plan.ending == "next":
            if self.buffer:
                self.parse()
        elif plan.ending == "reset":
            self.reset(400)
        elif plan.ending == "close":
            self.close()
        # "stall": nothing, until the client goes

    def reset(self, patience):
        """RST, once what was sent has arrived: it throws away what is still on the way."""
        if self.closed:
            return
        waiting = struct.unpack("i", fcntl.ioctl(self.fd, termios.TIOCOUTQ, bytes(4)))[0]
        if waiting and patience:
            self.loop.call_later(0.005, self.reset, patience - 1)
        else:
            self.close(True)

    def finish(self):
        plan, self.plan = self.plan, None
        if plan is not None:
            plan.body.close()
            self.server.stats["open_requests"] -= 1
            if plan.ending == "stall" and not self.closed:
                self.plan = Plan(0, [])  # no further request is read
                self.server.stats["open_requests"] += 1
            self.server.done(plan)
        return plan

    def want_write(self, wanted):
        if wanted != self.writing and not self.closed:
            self.writing = wanted
            if wanted:
                self.loop.add_writer(self.fd, self.pump)
            else:
                self.loop.remove_writer(self.fd)

    def close(self, reset=False):
        if self.closed:
            return
        self.loop.remove_reader(self.fd)
        self.want_write(False)
        self.closed = True
        self.finish()
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.tls and not self.handshaking:
            try:
                self.sock.unwrap()  # non-blocking: sends close_notify
            except (OSError, ValueError):
                pass
        self.sock.close()
        self.server.connections.discard(self)


class Server:
    """One listening port. handle(connection, request) -> Plan; done(plan) after it was sent."""

    def __init__(self, name, loop, handle, done, errors, tls=None):
        self.name, self.loop, self.handle, self.done, self.errors = name, loop, handle, done, errors
        self.tls = tls
        self.connections = set()
        self.numbers = 0
        self.handshake_failures = []
        self.stats = {"connections": 0, "peak_connections": 0, "requests": 0, "bytes": 0, "open_requests": 0,
                      "peak_requests": 0}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setblocking(False)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(1024)
        self.port = self.sock.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def open(self):
        self.loop.add_reader(self.sock.fileno(), self.accept)

    def accept(self):
        for _ in range(64):
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self.numbers += 1
            self.stats["connections"] += 1
            self.connections.add(Connection(self, sock, self.numbers))
            self.stats["peak_connections"] = max(self.stats["peak_connections"], len(self.connections))

    def clear(self):
        for key in self.stats:
            if key != "open_requests":
                self.stats[key] = 0

    def close(self):
        if self.sock.fileno() >= 0:
            self.loop.remove_reader(self.sock.fileno())
            self.sock.close()
        for connection in list(self.connections):
            connection.close()
