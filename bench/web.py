# SPDX-License-Identifier: Apache-2.0
"""The group `web`: the server of `scruple view`, from its start to the first picture, and tiles a second."""
import http.client
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "mockhub"))


class Server:
    def __init__(self, program, *words, env=None):
        self.began = time.monotonic()
        self.process = subprocess.Popen([program, "view", *words, "--no-open"], stdout=subprocess.PIPE, env=env,
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.url = self.process.stdout.readline().decode().strip()
        self.port, self.base = re.fullmatch(r"http://127.0.0.1:(\d+)(/.*)", self.url).groups()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=60)

    def ask(self, path, connection=None):
        c = connection or self.connection()
        c.request("GET", self.base + path)
        answer = c.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body)
        return body

    def wait(self):
        c = self.connection()
        c.request("GET", self.base + "0/events")
        answer = c.getresponse()
        while b'"done": 1}' not in answer.readline():
            pass
        c.close()

    def cpu(self):
        """Seconds of processor time that it has taken."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forget(folder):
    """As after a start of the machine: its pages are not in memory."""
    for name in os.listdir(folder):
        fd = os.open(os.path.join(folder, name), os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def fitting(scene, width, height):
    """The zoom at which all of it is seen on a screen."""
    z = -scene["deepest"]
    while scene["width"] * 2.0**-z > width or scene["height"] * 2.0**-z > height:
        z += 1
    return z


def tiles_of(scene, z):
    size = 256 * 2.0**z
    return [(z, x, y) for y in range(int(scene["height"] / size) + 1) for x in range(int(scene["width"] / size) + 1)]


def first_picture(program, folder):
    """Milliseconds from the start of the program until plan, scales and every tile of the overview are here."""
    with Server(program, folder, "--no-cache") as s:
        c = s.connection()
        for path in ("", "view.json", "colours.json", "0/scales.json"):
            s.ask(path, c)
        plan = s.ask("0/scene.json", c)
        # What a browser needs a fraction of the time for: of 90,000 tensors json.loads() takes 90 ms.
        scene = {key: int(re.search(rb'"%s": (-?\d+)' % key.encode(), plan)[1]) for key in ("width", "height", "deepest", "top")}
        wanted = tiles_of(scene, fitting(scene, 1600, 1000))
        sampled = [0] * 6

        def work(k):
            mine = s.connection()
            for z, x, y in wanted[k::6]:
                sampled[k] += s.ask(f"0/t/{z}/{x}/{y}.mean", mine)[4] & 2 > 0
        threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return (time.monotonic() - s.began) * 1e3, len(wanted)


def get(build, port, connections, seconds, once, paths, host=None):
    said = subprocess.run([os.path.join(build, "bench", "get"), port, host or f"127.0.0.1:{port}", str(connections),
                           str(seconds), str(int(once))], input="\n".join(paths) + "\n", text=True, check=True,
                          stdout=subprocess.PIPE).stdout.split()
    rate, megabytes, p50, p99, n, bad = map(float, said)
    assert bad == 0, "answers that are not 200"
    return rate, megabytes, p50, p99, n


NGINX = """daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache max=1000;
client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4;
scgi_temp_path {folder}/5;
server {{ listen 127.0.0.1:{port}; root {folder}/files; }} }}
"""


class Nginx:
    def __init__(self, bodies):
        self.folder = tempfile.mkdtemp(prefix="scruple-nginx-")
        os.chmod(self.folder, 0o755)
        os.mkdir(os.path.join(self.folder, "files"))
        for name, body in bodies.items():
            with open(os.path.join(self.folder, "files", name), "wb") as f:
                f.write(body)
        self.port = str(random.randrange(20000, 30000))
        config = os.path.join(self.folder, "conf")
        with open(config, "w", encoding="ascii") as f:
            f.write(NGINX.format(folder=self.folder, port=self.port))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([program, "-p", self.folder, "-c", config], stderr=subprocess.DEVNULL)
        time.sleep(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def bf16_model(folder, tensors, rows, cols):
    """Random bits of bfloat16 between 2^-10 and 1, the same every time."""
    path = os.path.join(folder, "model.safetensors")
    if os.path.exists(path):
        return
    os.makedirs(folder, exist_ok=True)
    header, at = {}, 0
    for i in range(tensors):
        n = rows * cols * 2
        header[f"model.layers.{i}.mlp.up_proj.weight"] = {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    r = random.Random(7)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _ in range(tensors):
            line = bytearray(r.randbytes(1 << 21))
            line[1::2] = bytes((b & 0x83) | 0x3C for b in line[1::2])
            for k in range(rows * cols * 2 >> 21):
                f.write(line[k * 2:] + line[:k * 2])
    os.rename(path + ".part", path)


def measure_cached(bench, server, build):
    scene = json.loads(server.ask("0/scene.json"))
    z = -scene["deepest"]
    some = random.Random(1).sample(tiles_of(scene, z), 400)
    bodies = {f"{z}.{x}.{y}": server.ask(f"0/t/{z}/{x}/{y}.mean") for z, x, y in some}
    bodies = dict(list({k: v for k, v in bodies.items() if len(v) > 100000}.items())[:64])
    ours = [server.base + "0/t/{}/{}/{}.mean".format(*name.split(".")) for name in bodies]
    best = {"ours": 0, "nginx": 0}
    with Nginx(bodies) as nginx:
        for _ in range(5):
            best["ours"] = max(best["ours"], get(build, server.port, 8, 2, False, ours)[0])
            best["nginx"] = max(best["nginx"], get(build, nginx.port, 8, 2, False, ["/" + n for n in bodies])[0])
    bench.row("cached tiles of 128 KiB, 8 connections", "/s", best["ours"], best["nginx"], "nginx, files, same run", ">= 0.4")


def measure_uncached(bench, server, build):
    scene = json.loads(server.ask("0/scene.json"))
    z = -scene["deepest"]
    wanted = [f"{server.base}0/t/{z}/{x}/{y}.rms" for z, x, y in tiles_of(scene, z)]
    random.Random(2).shuffle(wanted)
    wanted = wanted[:6000]
    before = server.cpu()
    rate, _, p50, p99, n = get(build, server.port, 1, 60, True, wanted)
    cpu = server.cpu() - before
    bench.row("1:1 tiles, each for the first time: a second of one core", "/s", n / cpu, 4000, "limit", ">= 1")
    bench.row("1:1 tiles, one after the other", "/s", rate, 4000, "limit", "-")
    bench.row("1:1 tile, from request to last byte, median", "ms", p50, 0.3, "limit", "<= 1")
    for plane in ("mean", "abs"):
        paths = [f"{server.base}0/t/{z}/{x}/{y}.{plane}" for z in range(-scene["deepest"] + 1, scene["top"] + 1)
                 for z, x, y in random.Random(z).sample(tiles_of(scene, z), min(60, len(tiles_of(scene, z))))]
        p99 = max(p99, get(build, server.port, 1, 60, True, paths)[3])
    bench.row("a tile of any zoom, 99 %", "ms", p99, 30, "limit", "<= 1")


def tiles_far(server, z, wanted, others):
    """Milliseconds until each of `wanted` is complete, and of the longest answer, while others ask for tiles, too."""
    stop = threading.Event()

    def ask_on(k):
        c, some = server.connection(), random.Random(k)
        while not stop.is_set():
            server.ask("0/t/%d/%d/%d.mean" % some.choice(others), c)

    busy = [threading.Thread(target=ask_on, args=(k,)) for k in range(4)] if others else []
    for t in busy:
        t.start()
    longest, whole, c = 0, [], server.connection()
    for z, x, y in wanted:
        start = time.monotonic()
        while True:
            asked = time.monotonic()
            body = server.ask(f"0/t/{z}/{x}/{y}.mean", c)
            longest = max(longest, (time.monotonic() - asked) * 1e3)
            if not body[4] & 16:
                break
        whole.append((time.monotonic() - start) * 1e3)
    stop.set()
    for t in busy:
        t.join()
    return sorted(whole), longest


def measure_far(bench, program, folder):
    """Every answer of the Hub 20 ms late: what a tile takes until it is exact, and the longest answer; by itself, and
    while four others ask for tiles and pyramids are being built of all that comes."""
    import hub
    model = os.path.join(folder, "org", "m")
    bf16_model(model, 16, 4096, 1024)
    with open(os.path.join(model, "config.json"), "w", encoding="utf-8") as f:
        f.write('{"model_type": "llama"}')
    for fetch, crowd, what in (("0", False, ""), ("1GiB", True, " among many, while pyramids are built")):
        home = tempfile.mkdtemp(prefix="scruple-far-")
        with hub.Hub(folder, latency=20) as mock, \
                Server(program, "org/m", "--no-cache", "--fetch", fetch, env=mock.env(home)) as s:
            scene = json.loads(s.ask("0/scene.json"))
            tiles = random.Random(3).sample(tiles_of(scene, -scene["deepest"]), 200)
            whole, longest = tiles_far(s, -scene["deepest"], tiles[:60], tiles[60:] if crowd else [])
        shutil.rmtree(home)
        bench.row(f"a tile of a model that is 20 ms away{what}, median", "ms", whole[len(whole) // 2], 100, "limit", "<= 1")
        bench.row("the same, worst of 60", "ms", whole[-1], 100, "limit", "-")
        bench.row("longest answer meanwhile", "ms", longest, 100, "limit", "<= 1")


def measure(bench, program, build):
    for kind, what in (("dense-300", "16 GB"), ("deepseek-v3", "689 GB")):
        folder = bench.headers(kind)
        took = []
        for _ in range(5):
            forget(folder)
            ms, n = first_picture(program, folder)
            took.append(ms)
        bench.row(f"first picture of {what}, {n} tiles, cold", "ms", min(took), 150, "limit", "<= 1",
                  median=sorted(took)[2])
    folder = os.path.join(bench.DATA, "web")
    bf16_model(folder, 16, 8192, 4096)
    with Server(program, folder, "--no-cache") as server:
        server.wait()
        measure_cached(bench, server, build)
        measure_uncached(bench, server, build)
    measure_far(bench, program, os.path.join(bench.DATA, "far"))
