# SPDX-License-Identifier: Apache-2.0
"""Models on the Hub, measured against the mock Hub of the tests: the group `hub` of bench.py.

Owns: the repositories that are served, what a cold run, a second run and a run after the hour cost
in requests, bytes and time, and the peers: curl with the same requests, and the access pattern of
`we`.  Nothing leaves this machine.
"""
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zlib

SERVER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "mockhub",
                      "mockhub.py")
MODEL = "deepseek-ai/DeepSeek-V3"
MB = 1e6


class Hub:
    """The mock Hub as a process of its own, so that it shares no lock with what is measured."""

    def __init__(self, root, latency=0, config=None):
        self.scratch = tempfile.mkdtemp(prefix="bench-hub-")
        settings = os.path.join(self.scratch, "config.json")
        with open(settings, "w", encoding="utf-8") as file:
            json.dump(config or {}, file)
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-B", SERVER, root, "--config", settings, "--latency", str(latency)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hub = self.process.stdout.readline().split()[1]
        self.cdn = self.process.stdout.readline().split()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.hub + "/__mock__/" + path, data)) as answer:
            return json.loads(answer.read() or b"null")

    def clear(self):
        self.ask("clear", {})

    def env(self, cache):
        env = {key: value for key, value in os.environ.items()
               if not key.startswith(("HF_", "HUGGING", "SCRUPLE_"))}
        env.update(HF_ENDPOINT=self.hub, HF_HOME=os.path.join(cache, "hf"), SCRUPLE_CACHE=os.path.join(cache, "own"),
                   no_proxy="127.0.0.1", HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
        return env

    def cost(self):
        """Requests and body bytes since clear()."""
        log = self.ask("log")
        return len(log), sum(entry["sent"] for entry in log), log


def served(root, folder):
    """ROOT/deepseek-ai/DeepSeek-V3 -> the folder of headers; hashes of holes are invented."""
    place = os.path.join(root, *MODEL.split("/"))
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if not os.path.islink(place):
        os.symlink(folder, place)
    return {"repos": {MODEL: {"fake_oids": True}}}


def fresh(command, scratch):
    """The command with caches that are new in every run, below a folder that the caller removes: to
    remove hundreds of small files takes longer than to make them, and is not what is measured."""
    return ["sh", "-c", 'd=$(mktemp -d "$0/XXXXXX"); SCRUPLE_CACHE=$d/own HF_HOME=$d/hf exec "$@"', scratch, *command]


def header_bytes(folder):
    total = 0
    for name in os.listdir(folder):
        if name.endswith(".safetensors"):
            with open(os.path.join(folder, name), "rb") as file:
                total += 8 + int.from_bytes(file.read(8), "little")
    return total


def curl_config(path, urls):
    """One transfer each, ("url", "first-last" or None), all to nowhere."""
    with open(path, "w", encoding="ascii") as file:
        for i, (url, part) in enumerate(urls):
            file.write("next\n" if i else "")
            file.write(f'url = "{url}"\noutput = "/dev/null"\nlocation\n')
            if part:
                file.write(f"range = {part}\n")


def asked_of(log, hub):
    """The data requests of a run, as curl would ask for them: from the Hub and straight from the CDN."""
    through, direct = [], []
    for entry in log:
        part = (entry.get("range") or "").replace("bytes=", "") or None
        query = "?" + entry["query"] if entry.get("query") else ""
        if entry["server"] == "cdn":
            direct.append((hub.cdn + entry["path"] + query, part))
        elif "/resolve/" in entry["path"]:
            through.append((hub.hub + entry["path"], part))
    return through, direct


def pattern_of_we(hub, shards, commit="main"):
    """Shard after shard: the Hub, then 5 MiB from the CDN. Requests, bytes, seconds."""
    began, requests, got = time.perf_counter(), 0, 0
    at_hub = http.client.HTTPConnection(urllib.parse.urlsplit(hub.hub).netloc)
    at_cdn = http.client.HTTPConnection(urllib.parse.urlsplit(hub.cdn).netloc)
    for shard in shards:
        at_hub.request("HEAD", f"/{MODEL}/resolve/{commit}/{shard}")
        answer = at_hub.getresponse()
        answer.read()
        place = urllib.parse.urlsplit(answer.getheader("Location"))
        at_cdn.request("GET", f"{place.path}?{place.query}", headers={"Range": f"bytes=0-{(5 << 20) - 1}"})
        got += len(at_cdn.getresponse().read())
        requests += 2
    return requests, got, time.perf_counter() - began


def age_listings(cache):
    """As if the last question had been two hours ago."""
    folder = os.path.join(cache, "own", "listings")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as file:
            listing = json.load(file)
        listing["checked"] -= 7200
        del listing["crc32"]  # of all that follows it
        text = json.dumps(listing)[1:]
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'{{"crc32":"{zlib.crc32(text.encode()):08x}",{text}')


def scruple_on(hub, program, cache, *arguments):
    """Requests, bytes, seconds, log of one run."""
    hub.clear()
    began = time.perf_counter()
    done = subprocess.run([program, *arguments], env=hub.env(cache), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    took = time.perf_counter() - began
    if done.returncode:
        print(f"bench: scruple {' '.join(arguments)}: {done.stderr.strip()}", file=sys.stderr)
    requests, got, log = hub.cost()
    return requests, got, took, log


def listing(bench, program, root, folder):
    shards = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
    headers, what = header_bytes(folder), "91,991 tensors in 163 files on the Hub: "
    config = served(root, folder)
    cache = tempfile.mkdtemp(prefix="bench-cache-")
    with Hub(root, config=config) as hub:
        requests, got, took, _ = scruple_on(hub, program, cache, "tree", MODEL)
        bench.row(what + "tree, requests", "", requests, 2 * len(shards) + 3, "two a shard and three", "<= 1")
        bench.row(what + "tree, bytes", "MB", got / MB, max(headers, len(shards) * 131072) / MB,
                  "headers, or 128 KiB a shard", "<= 1.2")
        requests, got, took, _ = scruple_on(hub, program, cache, "info", MODEL)
        bench.row(what + "info after it, requests", "", requests, 1, "", "-")
        requests, _, took, _ = scruple_on(hub, program, cache, "tree", MODEL)
        bench.row(what + "tree again, requests", "", requests, 1, "", "0")
        bench.row(what + "tree again", "ms", took * 1e3, 1000, "a second", "-")
        age_listings(cache)
        requests, _, took, _ = scruple_on(hub, program, cache, "tree", MODEL)
        bench.row(what + "tree after the hour, requests", "", requests, 1, "", "<= 1")
        count, got, took = pattern_of_we(hub, shards)
        bench.row("the same, as `we` reads: requests", "", count, 2 * len(shards) + 3, "two a shard and three", "-")
        bench.row("the same, as `we` reads: bytes", "MB", got / MB, headers / MB, "headers", "-")
    shutil.rmtree(cache)


def with_latency(bench, program, root, folder):
    """Against curl --parallel with the same requests, every answer 20 ms late."""
    what = "the same, every answer 20 ms late: "
    shards = [name for name in os.listdir(folder) if name.endswith(".safetensors")]
    with Hub(root, latency=20, config=served(root, folder)) as hub:
        cache = tempfile.mkdtemp(prefix="bench-cache-")
        *_, log = scruple_on(hub, program, cache, "tree", MODEL)
        through, direct = asked_of(log, hub)
        all_of_it, data_only = os.path.join(cache, "all"), os.path.join(cache, "data")
        curl_config(all_of_it, through)
        curl_config(data_only, direct)
        for name, value in hub.env(cache).items():
            os.environ[name] = value
        curl = ["curl", "-s", "--parallel", "--parallel-immediate", "-K"]
        ours, everything, data = bench.run(fresh([program, "tree", MODEL], cache), curl + [all_of_it],
                                           curl + [data_only], n=7, warmups=1)
        bench.row(what + "tree", "ms", ours.best * 1e3, everything.best * 1e3,
                  "curl --parallel, the same resolves and ranges", "<= 1.5", None, ours.median * 1e3)
        bench.row(what + "tree", "ms", ours.best * 1e3, data.best * 1e3, "curl --parallel, ranges of signed URLs",
                  "-", None, ours.median * 1e3)
        _, _, took = pattern_of_we(hub, sorted(shards))
        bench.row(what + "tree", "ms", ours.best * 1e3, took * 1e3, "as `we` reads", "-")
        shutil.rmtree(cache)


def one_tensor(bench, program, root, folder):
    """fetch of one tensor of 689 GB; and a server that knows no ranges."""
    name = "model.layers.3.mlp.experts.0.up_proj"
    with Hub(root, config=served(root, folder)) as hub:
        cache = tempfile.mkdtemp(prefix="bench-cache-")
        scruple_on(hub, program, cache, "tree", MODEL)
        _, got, _, _ = scruple_on(hub, program, cache, "fetch", MODEL, name)
        tensor = 2048 * 7168 + 4 * (2048 // 128) * (7168 // 128)
        bench.row("one tensor of 689 GB, headers known: bytes", "MB", got / MB, tensor / MB, "the tensor", "<= 1.01")
        shutil.rmtree(cache)
        cache = tempfile.mkdtemp(prefix="bench-cache-")
        hub.ask("fault", {"kind": "ignore-range", "where": "cdn"})
        first = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))[0]
        _, got, _, _ = scruple_on(hub, program, cache, "tree", f"hf://{MODEL}/{first}")
        bench.row("a 4.3 GB file of a server without ranges: bytes sent", "MB", got / MB, 8,
                  "limit, with what sockets hold", "<= 1")
        shutil.rmtree(cache)


def download(bench, program, data):
    """P17: one file and four, hashing included, against curl."""
    root = os.path.join(data, "hub-files")
    place = os.path.join(root, "org", "big")
    os.makedirs(place, exist_ok=True)
    block = os.urandom(1 << 20)
    for i in range(4):
        path = os.path.join(place, f"{i}.bin")
        if not os.path.exists(path):
            with open(path + ".part", "wb") as file:
                for k in range(512):
                    file.write(block[i * 8 + k:] + block[:i * 8 + k])
            os.rename(path + ".part", path)
    size = 512 * (1 << 20)
    target = tempfile.mkdtemp(prefix="bench-fetch-", dir=data)
    with Hub(root) as hub:
        for name, value in hub.env(target).items():
            os.environ[name] = value
        os.environ["TMPDIR"] = target
        url = f"{hub.hub}/org/big/resolve/main/0.bin"
        subprocess.run(["curl", "-s", "-L", "-o", "/dev/null", url], check=True)
        into = os.path.join(target, "curl")
        ours, filed, nowhere, hashed = bench.run(
            fresh([program, "fetch", "-q", "org/big", "--include", "0.bin"], target),
            ["curl", "-s", "-L", "-o", into, url],
            ["curl", "-s", "-L", "-o", "/dev/null", url],
            ["sh", "-c", f"curl -s -L -o '{into}' '{url}' && sha256sum '{into}'"], n=3, warmups=1)
        what = "fetch of 0.5 GB, SHA-256 included"
        bench.row(what, "GB/s", size / ours.best / 1e9, size / filed.best / 1e9, "curl -o FILE", ">= 0.8")
        bench.row(what, "GB/s", size / ours.best / 1e9, size / nowhere.best / 1e9, "curl -o /dev/null", "-")
        bench.row(what, "GB/s", size / ours.best / 1e9, size / hashed.best / 1e9, "curl and sha256sum after it", "-")
        four, = bench.run(fresh([program, "fetch", "-q", "org/big"], target), n=2, warmups=0)
        bench.row("fetch of four such files", "GB/s", 4 * size / four.best / 1e9, size / filed.best / 1e9,
                  "curl -o FILE, one", "-")
    del os.environ["TMPDIR"]
    shutil.rmtree(target)


def measure(bench, program, folder, data):
    root = os.path.join(data, "hub-root")
    before = dict(os.environ)
    for part in (lambda: listing(bench, program, root, folder), lambda: with_latency(bench, program, root, folder),
                 lambda: one_tensor(bench, program, root, folder), lambda: download(bench, program, data)):
        part()
        os.environ.clear()
        os.environ.update(before)
