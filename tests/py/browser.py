# SPDX-License-Identifier: Apache-2.0
"""A Chromium that tests can talk to, over its debugging pipe: no port, no driver, no package.

    with Browser() as page:
        page.open("file:///tmp/x.html")
        page.run("document.title")
"""
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


# What draws where no graphics card is.
PLAIN = ["--disable-gpu"]
WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


class Browser:
    def __init__(self, width=1200, height=1600, webgl=False):
        self.size = (width, height)
        self.graphics = WEBGL if webgl else PLAIN
        self.number = 0
        self.rest = b""
        self.session = None
        self.complaints = []  # errors of scripts, and what the policy refused
        self.requests = []    # addresses that were asked for, once Network is enabled

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory()
        down, self.write_end = os.pipe()
        self.read_end, up = os.pipe()
        # The pipe's ends are 3 and 4 in Chromium. A shell can only redirect single digits.
        command = f'exec 3</proc/self/fd/{down} 4>/proc/self/fd/{up}; exec "$@"'
        self.process = subprocess.Popen(
            ["sh", "-c", command, "sh", CHROMIUM, "--headless", "--no-sandbox", *self.graphics,
             "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}",
             "--window-size=%d,%d" % self.size, "about:blank"],
            pass_fds=(down, up), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(down)
        os.close(up)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")
        return self

    def __exit__(self, *_):
        try:
            self.session = None
            self.call("Browser.close")
        except (OSError, TimeoutError):
            self.process.kill()
        self.process.wait(30)
        os.close(self.write_end)
        os.close(self.read_end)
        self.profile.cleanup()

    def message(self, deadline):
        while b"\0" not in self.rest:
            if not select.select([self.read_end], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self.read_end, 1 << 20)
            if not piece:
                raise OSError("Chromium has gone")
            self.rest += piece
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def note(self, message):
        if message.get("method") == "Runtime.exceptionThrown":
            what = message["params"]["exceptionDetails"]
            self.complaints.append(what.get("exception", {}).get("description") or what["text"])
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.complaints.append(message["params"]["entry"]["text"])

    def call(self, method, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.write_end, json.dumps(request).encode() + b"\0")
        deadline = time.monotonic() + 120
        while True:
            message = self.message(deadline)
            self.note(message)
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message["result"]

    def open(self, url):
        self.call("Page.navigate", url="about:blank")  # else a new fragment loads nothing
        if url == "about:blank":
            return
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 120
        while True:
            message = self.message(deadline)
            self.note(message)
            if message.get("method") == "Page.loadEventFired" and self.run("location.href") != "about:blank":
                return

    def run(self, code):
        """The value of an expression, once any promise in it has settled."""
        answer = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def resize(self, width, height, dpr=1):
        """The window in CSS pixels, and how many of the device one of them has."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=dpr, mobile=False)

    def settle(self):
        """Two pictures later: what an event asked for has been drawn."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def shoot(self, path):
        import base64
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
