# SPDX-License-Identifier: Apache-2.0
"""A Firefox that tests can talk to, in its own language (Marionette): no driver, no package.

Without a screen it needs Xvfb, for WebGL is not there when headless.
"""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
SCREEN = os.environ.get("DISPLAY") or shutil.which("Xvfb")

PREFERENCES = """
user_pref("marionette.port", %d);
user_pref("app.update.auto", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("gfx.blocklist.all", -1);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("webgl.force-enabled", true);
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Firefox:
    """With what viewer_page.Viewer needs of browser.Browser."""

    def __init__(self, width=1000, height=800):
        self.size = (width, height)
        self.number = 0
        self.rest = b""
        self.socket = None

    def screen(self, environment):
        if os.environ.get("DISPLAY"):
            return None
        down, up = os.pipe()
        server = subprocess.Popen(["Xvfb", "-displayfd", str(up), "-screen", "0", "1400x1000x24"],
                                  pass_fds=(up,), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        os.close(up)
        with os.fdopen(down) as answer:
            environment["DISPLAY"] = ":" + answer.readline().strip()
        return server

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        port = free_port()
        with open(os.path.join(self.profile.name, "user.js"), "w", encoding="utf-8") as f:
            f.write(PREFERENCES % port)
        environment = {**os.environ, "HOME": self.profile.name, "LIBGL_ALWAYS_SOFTWARE": "1",
                       "MOZ_X11_EGL": "1"}
        self.display = self.screen(environment)
        self.process = subprocess.Popen(
            [FIREFOX, "--marionette", "--no-remote", "--profile", self.profile.name,
             "--width=%d" % self.size[0], "--height=%d" % self.size[1]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment)
        deadline = time.monotonic() + 120
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
                break
            except OSError:
                if time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.1)
        self.receive()
        self.call("WebDriver:NewSession")
        self.call("WebDriver:SetTimeouts", script=120000)
        return self

    def __exit__(self, *_):
        if self.socket:
            self.socket.close()
        for process in (self.process, self.display):
            if process:
                process.terminate()
                process.wait(30)
        self.profile.cleanup()

    def receive(self):
        while True:
            length, colon, body = self.rest.partition(b":")
            if colon and len(body) >= int(length):
                self.rest = body[int(length):]
                return json.loads(body[:int(length)])
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise OSError("Firefox has gone")
            self.rest += piece

    def call(self, method, **params):
        self.number += 1
        text = json.dumps([0, self.number, method, params]).encode()
        self.socket.sendall(b"%d:%s" % (len(text), text))
        _, _, error, answer = self.receive()
        if error:
            raise RuntimeError(error)
        return answer

    def open(self, url):
        self.call("WebDriver:Navigate", url=url)

    def run(self, code):
        """The value of an expression, once any promise in it has settled."""
        answer = self.call("WebDriver:ExecuteAsyncScript", args=[], script="""
            const done = arguments[0];
            Promise.resolve().then(() => %s).then((value) => done([value]),
                (error) => done([null, String(error)]));""" % code)["value"]
        if len(answer) > 1:
            raise RuntimeError(answer[1])
        return answer[0]

    def settle(self):
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def resize(self, width, height, dpr=1):
        self.call("WebDriver:SetWindowRect", width=width, height=height)

    def point(self, x, y):
        self.call("WebDriver:PerformActions", actions=[{
            "type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
            "actions": [{"type": "pointerMove", "duration": 0, "x": int(x), "y": int(y)}]}])
