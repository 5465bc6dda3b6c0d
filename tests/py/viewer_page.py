# SPDX-License-Identifier: Apache-2.0
"""The viewer in a browser: a server with a model, and a page that looks at it.

    with Served("model.safetensors") as url, Browser(webgl=True) as browser:
        page = Viewer(browser, url)
        page.run("scruple.camera.jump({z: 0})")
        page.pixels()
"""
import base64
import os
import re
import select
import subprocess
import time

import numpy as np

SCRUPLE = os.environ.get("SCRUPLE", "scruple")


class Served:
    """scruple view of models, as long as it is entered; gives the address of the page."""

    def __init__(self, *words, command=("view", "--no-cache")):
        self.words = (*command, "--no-open", *words)

    def __enter__(self):
        self.process = subprocess.Popen(
            [SCRUPLE, *self.words], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if not select.select([self.process.stdout], [], [], 60)[0]:
            raise TimeoutError("the server does not say where it is")
        line = self.process.stdout.readline().decode()
        found = re.search(r"http://\S+/", line)
        if not found:
            raise RuntimeError(line + self.process.stderr.read().decode())
        return found.group(0)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=60)


class Viewer:
    """A page of the viewer. Sizes are CSS pixels of the window."""

    def __init__(self, browser, url, width=900, height=700, dpr=1, wait=True):
        self.browser = browser
        self.url = url
        browser.resize(width, height, dpr)
        browser.open(url)
        if wait:
            self.wait_for("window.scruple && scruple.store.get('progress').every((p) => p.done >= 1)")
            self.wait_for("scruple.views.every((view) => view.scales.final)")
            self.settle()

    def run(self, code):
        return self.browser.run(code)

    def do(self, code):
        """Statements; then waits until nothing moves."""
        self.run("(() => { %s })()" % code)
        self.settle()

    def wait_for(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def settle(self):
        self.run("scruple.settled()")

    def pixels(self):
        """What the canvas of values shows: (height, width) of 0xRRGGBB."""
        width, height, data = self.run("""(() => {
            const stage = scruple.stage, {gl} = stage.renderer;
            stage.draw();
            const {width, height} = stage.canvas;
            const data = new Uint8Array(width * height * 4);
            gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
            let text = "";
            for (let i = 0; i < data.length; i += 32768)
                text += String.fromCharCode(...data.subarray(i, i + 32768));
            return [width, height, btoa(text)];
        })()""")
        p = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[::-1]
        p = p.astype(np.uint32)
        return p[:, :, 0] << 16 | p[:, :, 1] << 8 | p[:, :, 2]

    def origin(self):
        """Where unit 0, 0 stands, in device pixels; and the zoom."""
        x, y, z, width, height = self.run(
            "(({x, y, z}, {width, height}) => [x, y, z, width, height])"
            "(scruple.store.get('camera'), scruple.store.get('size'))")
        return width / 2 - x / 2 ** z, height / 2 - y / 2 ** z, z

    def picture(self):
        """The pixels of the whole scene, which must fit, as --png has them."""
        left, top, z = self.origin()
        width, height = self.run("[scruple.front().scene.width, scruple.front().scene.height]")
        assert left == int(left) and top == int(top) and z == int(z), (left, top, z)
        w, h = int(np.ceil(width / 2 ** z)), int(np.ceil(height / 2 ** z))
        return self.pixels()[int(top):int(top) + h, int(left):int(left) + w]

    def mouse(self, kind, x, y, **more):
        self.browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y, count=1):
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=count)

    def drag(self, x0, y0, x1, y1, steps=5):
        self.mouse("mousePressed", x0, y0, button="left", clickCount=1)
        for k in range(1, steps + 1):
            self.mouse("mouseMoved", x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps,
                       button="left", buttons=1)
        self.mouse("mouseReleased", x1, y1, button="left", clickCount=1)
        self.settle()

    def key(self, key, code=None, shift=False):
        for kind in ("keyDown", "keyUp"):
            self.browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                              modifiers=8 if shift else 0,
                              **({"text": key} if len(key) == 1 and kind == "keyDown" else {}))
        self.settle()

    def element_at(self, tensor, row, col):
        """CSS pixels of the middle of an element of a tensor that is seen."""
        return self.run("""((name, row, col) => {
            const {scene} = scruple.front(), {camera: c, size} = scruple.store.get();
            const at = scene.pointOf(scene.placeOf(scene.names.indexOf(name)), row, col);
            const px = (at.x + at.w / 2 - c.x) / 2 ** c.z + size.width / 2;
            const py = (at.y + at.h / 2 - c.y) / 2 ** c.z + size.height / 2;
            const box = scruple.elements.stage.getBoundingClientRect();
            return [px / size.dpr + box.left, py / size.dpr + box.top];
        })(%r, %d, %d)""" % (tensor, row, col))
