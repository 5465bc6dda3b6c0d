# SPDX-License-Identifier: Apache-2.0
"""A small forward proxy for tests: CONNECT and absolute-form requests, optional Basic authentication.

    with MockProxy(user="u", password="p") as proxy:
        env["https_proxy"] = proxy.url            # with user and password; proxy.plain_url without
        ...
        proxy.log()   # [{"method", "target", "status", "authorization", "leak"}]

`leak`: an Authorization header that was readable by the proxy. Not fast; not for benchmarks.
"""
import asyncio
import base64
import threading
import urllib.parse


class MockProxy:
    """refuse: a status for everything (502 ...), or 0. user: asks for Basic authentication."""

    def __init__(self, user=None, password="", refuse=0):
        self.expected = None
        self.user, self.password, self.refuse = user, password, refuse
        if user is not None:
            self.expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.entries = []
        self.tasks = set()

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        port = self.server.sockets[0].getsockname()[1]
        self.plain_url = f"http://127.0.0.1:{port}"
        self.url = self.plain_url
        if self.user is not None:
            self.url = (f"http://{urllib.parse.quote(self.user)}:{urllib.parse.quote(self.password)}"
                        f"@127.0.0.1:{port}")
        self.thread = threading.Thread(target=self.loop.run_forever, name="mockproxy", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _end(self):
        self.server.close()
        tasks = [t for t in self.tasks if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def log(self):
        return [dict(e) for e in self.entries]

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _one(self, reader, writer):
        """One request; false: the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        allowed = self.expected is None or headers.get("proxy-authorization") == self.expected
        status = 407 if not allowed else self.refuse or 200
        self.entries.append({"method": method, "target": target, "status": status,
                             "authorization": "proxy-authorization" in headers, "leak": "authorization" in headers})
        if status != 200:
            ask = 'Proxy-Authenticate: Basic realm="mock"\r\n' if status == 407 else ""
            writer.write(f"HTTP/1.1 {status} Refused\r\n{ask}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return True
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            other, out = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self._both(reader, writer, other, out)
            return False
        url = urllib.parse.urlsplit(target)
        other, out = await asyncio.open_connection(url.hostname, url.port or 80)
        path = (url.path or "/") + ("?" + url.query if url.query else "")
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{k}: {v}" for k, v in headers.items() if not k.startswith("proxy-") and k != "connection"]
        out.write(("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode("latin-1") + body)
        await self._copy(other, writer)
        out.close()
        return False

    async def _both(self, reader, writer, other, out):
        await asyncio.gather(self._copy(reader, out), self._copy(other, writer))

    async def _copy(self, source, sink):
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()
