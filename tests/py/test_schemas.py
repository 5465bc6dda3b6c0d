# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of tree, info, check, scan, curves, activations, super, edit, eval and moe against tests/schema/*.json, for every generated model,
for files that other programs wrote, and for every way to ask.

Also holds the validator: a subset of JSON Schema in which nothing is ignored. A schema keyword that
is not known here, or an object that would let unknown keys pass, is a mistake of the schema.
"""
import glob
import json
import os
import re
import subprocess
import tempfile
import unittest

SCRUPLE = os.environ["SCRUPLE"]
FIXTURES = os.environ["FIXTURES"]
TESTDATA = os.environ["TESTDATA"]
SCHEMAS = os.path.join(os.environ["SOURCE"], "tests", "schema")


# ---------------------------------------------------------------------------------- validator
TYPES = {
    "null": lambda x: x is None,
    "boolean": lambda x: isinstance(x, bool),
    "integer": lambda x: isinstance(x, int) and not isinstance(x, bool),
    "number": lambda x: isinstance(x, (int, float)) and not isinstance(x, bool),
    "string": lambda x: isinstance(x, str),
    "array": lambda x: isinstance(x, list),
    "object": lambda x: isinstance(x, dict),
}
ABOUT = {"$schema", "$id", "$defs", "title", "description"}
CHECKS = {"$ref", "type", "properties", "required", "additionalProperties", "items", "enum", "const", "minimum",
          "maximum", "minLength", "pattern", "minItems", "maxItems", "anyOf"}


class Mistake(Exception):
    """The schema itself is wrong."""


class Schemas:
    """All files of a folder; "$ref" is "#/$defs/x" or "file.json#/$defs/x"."""

    def __init__(self, folder):
        self.files = {}
        for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
            with open(path, encoding="utf-8") as f:
                self.files[os.path.basename(path)] = json.load(f)
        for name, schema in self.files.items():
            if schema.get("$id") != name:
                raise Mistake(f"{name}: its $id is {schema.get('$id')!r}")
            self.lint(name, schema, name)

    def lint(self, file, schema, where):
        """Every keyword is known, every object is closed, every reference leads somewhere."""
        if not isinstance(schema, dict):
            raise Mistake(f"{where}: is no object")
        unknown = set(schema) - ABOUT - CHECKS
        if unknown:
            raise Mistake(f"{where}: unknown keywords {sorted(unknown)}")
        types = schema.get("type", [])
        for name in [types] if isinstance(types, str) else types:
            if name not in TYPES:
                raise Mistake(f"{where}: unknown type {name!r}")
        if "object" in types and schema.get("additionalProperties") is not False:
            raise Mistake(f"{where}: an object that lets unknown keys pass")
        if "object" in types and not set(schema["required"]) <= set(schema["properties"]):
            raise Mistake(f"{where}: requires what it does not describe")
        if "array" in types and "items" not in schema:
            raise Mistake(f"{where}: an array of anything")
        if not set(schema) - ABOUT:
            if "$defs" not in schema:
                raise Mistake(f"{where}: allows everything")
        if "$ref" in schema:
            self.resolve(file, schema["$ref"])
        for key in ("$defs", "properties"):
            for name, inner in schema.get(key, {}).items():
                self.lint(file, inner, f"{where}/{name}")
        if "items" in schema:
            self.lint(file, schema["items"], f"{where}[]")
        for i, inner in enumerate(schema.get("anyOf", [])):
            self.lint(file, inner, f"{where}|{i}")

    def resolve(self, file, reference):
        other, _, name = reference.partition("#/$defs/")
        try:
            return other or file, self.files[other or file]["$defs"][name]
        except KeyError:
            raise Mistake(f"{file}: {reference} leads nowhere") from None

    def problems(self, file, value, schema=None, where="$"):
        """Sentences about what is wrong with a value."""
        schema = self.files[file] if schema is None else schema
        if "$ref" in schema:
            other, target = self.resolve(file, schema["$ref"])
            yield from self.problems(other, value, target, where)
        types = schema.get("type")
        if types and not any(TYPES[t](value) for t in ([types] if isinstance(types, str) else types)):
            yield f"{where}: is {value!r:.60}, not of type {types}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {value!r:.60} is none of {schema['enum']}"
        if "const" in schema and value != schema["const"]:
            yield f"{where}: is {value!r:.60}, not {schema['const']!r}"
        if "anyOf" in schema:
            tried = [list(self.problems(file, value, inner, where)) for inner in schema["anyOf"]]
            if all(tried):
                yield from min(tried, key=len)
        if isinstance(value, str):
            if len(value) < schema.get("minLength", 0):
                yield f"{where}: is too short"
            if "pattern" in schema and not re.search(schema["pattern"], value):
                yield f"{where}: {value!r:.60} does not match {schema['pattern']}"
        elif TYPES["number"](value):
            if value < schema.get("minimum", value) or value > schema.get("maximum", value):
                yield f"{where}: {value} is out of range"
        elif isinstance(value, list):
            if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
                yield f"{where}: has {len(value)} items"
            for i, item in enumerate(value if "items" in schema else []):
                yield from self.problems(file, item, schema["items"], f"{where}[{i}]")
        elif isinstance(value, dict) and "properties" in schema:
            for key in schema["required"]:
                if key not in value:
                    yield f"{where}: has no {key!r}"
            for key, inner in value.items():
                if key in schema["properties"]:
                    yield from self.problems(file, inner, schema["properties"][key], f"{where}.{key}")
                else:
                    yield f"{where}: nobody described {key!r}"


def strict(text):
    """json.loads() that refuses what Python alone takes: NaN, and a key that stands twice."""
    def once(pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise ValueError(f"a key stands twice among {keys}")
        return dict(pairs)

    def never(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, object_pairs_hook=once, parse_constant=never)


# -------------------------------------------------------------------------------------- tests
def run(*words):
    return subprocess.run([SCRUPLE, *words], capture_output=True, timeout=60, check=False)


def folders():
    """Every fixture, by its expect file."""
    return sorted(path[: -len(".expect.json")] for path in glob.glob(os.path.join(FIXTURES, "*.expect.json")))


class Documents(unittest.TestCase):
    schemas = Schemas(SCHEMAS)

    def document(self, command, *words, exits=(0,), schema=None):
        """The document of a command, valid; stdout holds it and nothing else."""
        done = run(command, "--json", *words)
        self.assertIn(done.returncode, exits, done.stderr.decode())
        text = done.stdout.decode("utf-8")  # strict: valid UTF-8
        self.assertIsNone(re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", text))
        self.assertTrue(text.endswith("}\n"))
        document = strict(text)
        name = schema or (command + "-similarity" if "--similarity" in words else command)
        problems = list(self.schemas.problems(name + ".json", document))
        self.assertEqual([], problems[:8])
        return document

    def check_sums(self, tree):
        """What stands in one document twice says the same twice."""
        totals, tensors = tree["totals"], tree["tensors"]
        matched = tree.get("matched", totals)
        self.assertEqual(matched["logical_tensors"], len(tensors))
        self.assertEqual(matched["bytes"], sum(t["bytes"] for t in tensors))
        parameters = sum(t["parameters"] for t in tensors)
        if tree["model"]["format"] == "torch":  # what several tensors share is counted once
            self.assertLessEqual(matched["parameters"], parameters)
        else:
            self.assertEqual(matched["parameters"], parameters)
        self.assertEqual(totals["bytes"], sum(d["bytes"] for d in tree["dtypes"]))
        self.assertEqual(totals["logical_tensors"], sum(d["tensors"] for d in tree["dtypes"]))
        self.assertEqual(totals["file_bytes"], sum(f["bytes"] for f in tree["model"]["files"]))
        self.assertLessEqual(totals["file_bytes"], tree["io"]["bytes_total"])
        if "matched" not in tree:
            stored = sum(max(1, len(t["stored"])) for t in tensors)
            self.assertEqual(totals["tensors"], stored)
        files = {f["path"] for f in tree["model"]["files"]}
        self.assertLessEqual({t["file"] for t in tensors}, files)

    def check_verdict(self, check, code):
        severities = [f["severity"] for f in check["findings"]]
        summary = check["summary"]
        if not summary["not_listed"]:
            self.assertEqual(severities.count("error"), summary["errors"])
            self.assertEqual(severities.count("warning"), summary["warnings"])
            self.assertEqual(severities.count("info"), summary["infos"])
        self.assertEqual("errors" if summary["errors"] else "warnings" if summary["warnings"] else "sound",
                         check["verdict"])
        self.assertEqual(1 if check["verdict"] != "sound" else 0, code)

    def all_of(self, path):
        """tree, info and check of one path that can be opened leniently."""
        self.check_sums(self.document("tree", path, "--lenient"))
        info = self.document("info", path, "--lenient")
        self.assertLessEqual({f["path"] for f in info["model"]["files"]}, {f["path"] for f in info["files"]})
        for name in ("layouts", "towers"):
            self.assertEqual(info["totals"]["bytes"], sum(row["bytes"] for row in info[name]))
        done = run("check", path)
        self.check_verdict(self.document("check", path, exits=(done.returncode,)), done.returncode)
        self.check_scan(path)
        self.check_quant(path)
        self.check_tree_quality(path)

    def check_tree_quality(self, path):
        """Every tensor has a state and is in one row, which tells of no other; modules add up what is below them."""
        tree = self.document("tree", path, "--lenient", "--no-cache", "-c", "bfp8,q4_0", exits=(0, 3))
        states = [t["quality"]["state"] for t in tree["tensors"]]
        seen = sum(s in ("measured", "tied") for s in states)
        for tensor in tree["tensors"]:
            quality = tensor["quality"]
            self.assertEqual(quality["state"] in ("measured", "tied"), quality["why"] is None)
            self.assertEqual([f["format"] for f in quality["formats"]], [] if quality["why"] else ["bfp8", "q4_0"])
        leaves = [r for r in tree["rows"] if r["dtype"] is not None]
        for row in leaves:
            self.assertEqual(row["count"], row["quality"]["measured"] + row["quality"]["missing"], row["label"])
        self.assertEqual(seen, sum(r["quality"]["measured"] for r in leaves))
        for depth in ("1", "2"):
            rows = self.document("tree", path, "--lenient", "--no-cache", "-c", "bfp8,q4_0", "--depth", depth, exits=(0, 3))["rows"]
            shown = [r for i, r in enumerate(rows)
                     if r["dtype"] is not None or i + 1 == len(rows) or rows[i + 1]["depth"] <= r["depth"]]
            self.assertEqual(len(states), sum(r["quality"]["measured"] + r["quality"]["missing"] for r in shown))

    def check_quant(self, path):
        """Every tensor has a state and, when it was measured, a result for every format; means are over them."""
        quant = self.document("quant", path, "--lenient", "--no-cache", "--all-tensors", "-c", "bfp8,bfp4", "--threshold", "0.99",
                              exits=(0, 1, 3))
        counts = quant["counts"]
        states = [t["state"] for t in quant["tensors"]]
        self.assertEqual(quant["totals"]["logical_tensors"], len(states) + counts["not_floats"])
        for state in ("measured", "tied", "unsupported", "unreadable"):
            self.assertEqual(counts[state], states.count(state))
        for tensor in quant["tensors"]:
            self.assertEqual(tensor["state"] in ("unsupported", "unreadable"), tensor["why"] is not None)
            if tensor["state"] == "measured":
                self.assertEqual(["bfp8", "bfp4", "mix"], [r["format"] for r in tensor["results"]])
        for row in quant["summary"]:
            self.assertEqual(counts["measured"], row["tensors"])

    def test_recipes_of_quant(self):
        path = os.path.join(FIXTURES, "llama-tiny")
        self.document("quant", path, "mlp", "--no-cache", "-c", "rtn4:hold=share:0.01,rtn3:nf,bfp4", "--threshold", "0.99")

    def test_ways_to_ask_for_quant(self):
        path = os.path.join(FIXTURES, "llama-tiny")
        for words in (["--algorithm", "transpose"], ["--algorithm", "mixed-tile", "--seed", "3"], ["--budget", "6bpw", "--model-wide"],
                      ["--algorithm", "mixed-tile-random"], ["--algorithm", "mixed-tile-threshold", "--metric", "mae", "--threshold", "1e-3"],
                      ["--curve", "--granularity", "row"], ["--sample", "1k"], ["--legacy-sizes"], ["--limit", "2", "norm"],
                      ["--mix", "mxfp4,bf16", "--granularity", "group:32"]):
            with self.subTest(words=words):
                self.document("quant", path, "mlp", "--no-cache", *words)
        empty = self.document("quant", path, "no-such-name", "--no-cache", exits=(1,))
        self.assertEqual([], empty["tensors"])

    def check_scan(self, path):
        """Every tensor has a state; the counts are those of the issues."""
        scan = self.document("scan", path, "--lenient", "--no-cache", "--methods", "all", "--full", exits=(0, 3))
        summary = scan["summary"]
        states = [t["state"] for t in scan["tensors"]]
        self.assertEqual(scan["totals"]["logical_tensors"], len(states))
        for state in ("measured", "tied", "unsupported", "unreadable"):
            self.assertEqual(summary[state], states.count(state))
        for tensor in scan["tensors"]:
            self.assertEqual(tensor["state"] in ("unsupported", "unreadable"), tensor["why"] is not None)
        for severity in ("error", "warning", "info"):
            of_all = [i for i in scan["issues"] if i["severity"] == severity]
            of_each = [i for t in scan["tensors"] for i in t["issues"] if i["severity"] == severity]
            self.assertEqual(summary[severity + "s"], len(of_all))
            self.assertEqual(len(of_all), len(of_each))
            self.assertEqual(len(of_all), sum(r[severity + "s"] for r in scan["rules"]))

    def test_every_fixture(self):
        found = [path for path in folders() if os.path.basename(path) != "strangers"]
        for path in found:
            with self.subTest(os.path.basename(path)):
                self.all_of(path)
        self.assertGreater(len(found), 100)

    def test_files_of_other_programs(self):
        paths = [p for p in glob.glob(os.path.join(TESTDATA, "torch", "*")) if not p.endswith(".json")]
        for path in sorted(paths):
            with self.subTest(os.path.basename(path)):
                self.all_of(path)
        self.assertGreater(len(paths), 10)

    def test_strangers(self):
        """Not models: check has a document for each, tree and info an error and no document."""
        paths = sorted(p for p in glob.glob(os.path.join(FIXTURES, "strangers", "*", "*")) if os.path.isfile(p))
        for path in paths:
            with self.subTest(os.path.relpath(path, FIXTURES)):
                done = run("check", path)
                check = self.document("check", path, exits=(done.returncode,))
                self.check_verdict(check, done.returncode)
                for command in ("tree", "info"):
                    done = run(command, "--json", path)
                    if done.returncode == 0:
                        self.document(command, path)
                    else:
                        self.assertIn(done.returncode, (3, 4))
                        self.assertEqual(b"", done.stdout)
                        self.assertTrue(done.stderr.startswith(b"scruple: "))
        self.assertGreater(len(paths), 20)

    def test_ways_to_ask_for_a_tree(self):
        for kind in ("llama-sharded", "moe-tiny", "gptq", "gguf-llama", "torch-shared", "odd-names", "diffusers"):
            path = os.path.join(FIXTURES, kind)
            whole = self.document("tree", path)
            for words in (["--flat"], ["--depth", "1"], ["--depth", "3"], ["--sort", "size"], ["--no-totals"],
                          ["norm"], ["*.weight"], ["layers.0-1"], ["re:[0-9]"], ["norm", "re:q_proj|k_proj"],
                          ["--flat", "--sort", "size", "weight"], ["--depth", "2", "weight"]):
                with self.subTest(kind, words=words):
                    tree = self.document("tree", path, *words, exits=(0, 1))
                    self.check_sums(tree)
                    self.assertEqual(whole["totals"], tree["totals"])
                    self.assertEqual(any(not w.startswith("-") and w not in "123size" for w in words), "matched" in tree)
                    if "--flat" in words:
                        self.assertEqual(len(tree["tensors"]), len(tree["rows"]))
                        self.assertEqual({t["name"] for t in tree["tensors"]}, {r["label"] for r in tree["rows"]})
                    if "--depth" in words:
                        limit = int(words[words.index("--depth") + 1])
                        self.assertTrue(all(r["depth"] < limit for r in tree["rows"]))

    def test_curves(self):
        """Without a model, of every type that a fixture has, and of tensors without values."""
        self.document("curves", "--points", "9", "--rand-samples", "3")
        self.document("curves", "--points", "2", "--legacy", "-c", "bfp4,int8,nf4")
        for kind in ("llama-tiny", "gptq", "gguf-llama", "moe-tiny", "odd-names"):
            with self.subTest(kind):
                d = self.document("curves", os.path.join(FIXTURES, kind), "-c", "bf16,bfp4", "--points", "5", "-q")
                for tensor in d["tensors"]:
                    self.assertEqual(len(tensor["x"]), 5)
                    self.assertEqual({len(c[k]) for c in tensor["curves"] for k in ("mean", "low", "high")}, {5})

    def test_activations(self):
        for hooks in ("all", "residual", "attention"):
            with self.subTest(hooks):
                d = self.document("activations", os.path.join(FIXTURES, "llama-tiny"), "--ids", "1,2,3", "--hook", hooks)
                self.assertEqual(d["tokens"], [1, 2, 3])
        d = self.document("activations", os.path.join(FIXTURES, "llama-tiny"), "--ids", "1,2,3", "--attention", "0,0.1")
        self.assertEqual([(m["layer"], m["head"], len(m["rows"])) for m in d["attention"]], [(0, None, 3), (0, 1, 3)])

    def test_super(self):
        path = os.path.join(FIXTURES, "moe-tiny")
        self.assertNotIn("effects", self.document("super", path, "--ids", "1,2,3"))
        with tempfile.TemporaryDirectory() as folder:
            found = self.document("super", path, "--ids", "1,2,3", "--verify", "--ratio", "1.5", "--share", "0.05",
                                  "--rounds", "1", "--plots", folder)
        self.assertTrue(found["weights"] and found["matrices"] and found["shift"])
        self.assertEqual(found["effects"][0]["kind"], "base")

    def test_super_by_magnitude(self):
        for kind in ("moe-tiny", "gpt-oss", "gguf-moe", "gptq", "fp8-stacked", "llama-tiny"):
            with self.subTest(kind):
                path = os.path.join(FIXTURES, kind)
                for words in ((), ("--percent", ".01", "--per", "matrix", "--kind", "down_proj")):
                    d = self.document("super", path, "--by", "magnitude", "-q", *words,
                                      schema="super-magnitude")
                    self.assertEqual(len(d["weights"]), d["totals"]["weights"])
        d = self.document("super", os.path.join(FIXTURES, "moe-tiny"), "--by", "magnitude", "-q", "--verify", "--ids",
                          "1,2,3", schema="super-magnitude")
        self.assertTrue(d["effects"] and d["shift"])

    def test_edit(self):
        path = os.path.join(FIXTURES, "moe-tiny")
        d = self.document("edit", path, "--zero", "embed_tokens[0,0]", "--scale", "embed_tokens[1,*]=2", "--dry-run")
        self.assertEqual([e["operation"] for e in d["edits"]], ["zero", "scale"])
        self.assertIsNone(d["output"])

    def test_moe(self):
        for kind in ("moe-tiny", "gpt-oss", "gguf-moe", "deepseek-tiny", "fp8-stacked", "deepseek-v4"):
            with self.subTest(kind):
                d = self.document("moe", os.path.join(FIXTURES, kind), "--png", os.devnull)
                shape = (d["experts"]["layers"], d["experts"]["experts"])
                self.assertEqual(len(d["layers"]), shape[0])
                for m in d["maps"]:
                    self.assertEqual((len(m["values"]), {len(r) for r in m["values"]}), (shape[0], {shape[1]}))

    def test_moe_probe(self):
        path = os.path.join(FIXTURES, "moe-tiny")
        for words in (["--pairs", "--trace"], ["--no-maps", "--drop", "top,1.2"], []):
            d = self.document("moe", path, "--ids", "1,2,3", *words)
            self.assertEqual(("maps" in d, "trace" in d["routing"]), ("--no-maps" not in words, "--trace" in words))
        self.assertIsNone(self.document("moe", os.path.join(FIXTURES, "gpt-oss"), "--ids", "1,2,3")["routing"])

    def test_moe_similarity(self):
        for kind in ("moe-tiny", "gpt-oss", "gguf-moe", "deepseek-tiny", "fp8-stacked", "deepseek-v4"):
            for words in ([], ["--sketch", "16"], ["--definition", "original"], ["--threshold", "0", "--no-match"]):
                with self.subTest(kind, words=words):
                    d = self.document("moe", os.path.join(FIXTURES, kind), "--similarity", *words)
                    n = d["similarity"]["experts"] + d["similarity"]["shared"]
                    for m in d["matrices"]:
                        self.assertEqual((len(m["raw"]), {len(r) for r in m["corrected"]}), (n, {n}))

    def test_eval(self):
        for protocol in ("windows", "llama.cpp", "rolling"):
            d = self.document("eval", os.path.join(FIXTURES, "llama-tiny"), "--ids", "1,2,3,4,5,6,7,8,9", "--window", "4",
                              "--protocol", protocol)
            self.assertEqual(d["protocol"], protocol)
        d = self.document("eval", os.path.join(FIXTURES, "llama-tiny"), "--ids", "1,2,3,4,5,6,7,8,9", "--quantize",
                          "rtn4:block=8x8,clip=mse,bfp8")
        self.assertEqual([r["format"] for r in d["quantized"]], ["as stored", "rtn4:block=8x8,clip=mse", "bfp8"])

    def test_filter_that_matches_nothing(self):
        path = os.path.join(FIXTURES, "llama-tiny")
        tree = self.document("tree", path, "no-such-name", exits=(1,))
        self.assertEqual({"logical_tensors": 0, "parameters": 0, "bytes": 0}, tree["matched"])
        self.assertEqual([], tree["tensors"])
        self.assertEqual([], tree["rows"])

    def test_several_models(self):
        paths = [os.path.join(FIXTURES, kind) for kind in ("llama-tiny", "gguf-llama", "npz")]
        tree = self.document("tree", *paths)
        self.assertEqual(paths, [m["model"]["source"] for m in tree["models"]])
        for model in tree["models"]:
            self.check_sums(model)
        filtered = self.document("tree", "-m", paths[0], "-m", paths[1], "attn")
        self.assertTrue(all("matched" in m for m in filtered["models"]))
        stranger = os.path.join(FIXTURES, "strangers", "html", "model.safetensors")
        check = self.document("check", *paths, stranger, exits=(1,))
        self.assertEqual("errors", check["models"][3]["verdict"])
        self.assertEqual("model.unreadable" if check["models"][3]["io"] is None else "file.stranger",
                         check["models"][3]["findings"][0]["id"])

    def test_into_a_file(self):
        path = os.path.join(FIXTURES, "llama-tiny")
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "model.json")
            done = run("tree", "--json", path, "-o", target)
            self.assertEqual((0, b""), (done.returncode, done.stdout))
            with open(target, encoding="utf-8") as f:
                self.assertEqual([], list(self.schemas.problems("tree.json", strict(f.read()))))

    def test_errors_are_no_documents(self):
        for words, code in ((["tree", "--json"], 2), (["info", "--json"], 2), (["check", "--json"], 2),
                            (["tree", "--json", "--csv", "."], 2), (["tree", "--json", "/no/such/model"], 4),
                            (["info", "--json", "/no/such/model"], 4), (["check", "--json", "/no/such/model"], 4)):
            with self.subTest(words=words):
                done = run(*words)
                self.assertEqual(code, done.returncode, done.stderr.decode())
                self.assertEqual(b"", done.stdout)
                self.assertTrue(done.stderr.startswith(b"scruple: "))

    def test_enumerations_are_those_of_the_program(self):
        """Roles, towers and layouts are written once in C and once in the schema."""
        source = os.environ["SOURCE"]
        for name, file, start in (("role", "names.c", "sc_role_names["), ("tower", "names.c", "sc_tower_names["),
                                  ("layout", "layouts.c", "sc_layouts[")):
            with open(os.path.join(source, "src", "model", file), encoding="utf-8") as f:
                table = f.read().split(start, 1)[1].split("};", 1)[0]
            words = re.findall(r"=\s*\{?\s*\"([^\"]*)\"", table)
            self.assertEqual(sorted(words), sorted(self.schemas.files["common.json"]["$defs"][name]["enum"]))


class Validator(unittest.TestCase):
    """That the validator itself notices."""

    def setUp(self):
        self.schemas = Documents.schemas
        done = run("tree", "--json", os.path.join(FIXTURES, "npy-f32"))
        self.tree = json.loads(done.stdout)

    def bad(self, change):
        change(self.tree)
        self.assertNotEqual([], list(self.schemas.problems("tree.json", self.tree)))

    def test_missing_key(self):
        self.bad(lambda t: t["totals"].pop("bytes"))

    def test_surplus_key(self):
        self.bad(lambda t: t["tensors"][0].update(colour="red"))

    def test_wrong_type(self):
        self.bad(lambda t: t["tensors"][0].update(bytes="12"))
        self.bad(lambda t: t["tensors"][0].update(bytes=True))

    def test_negative_number(self):
        self.bad(lambda t: t["tensors"][0]["shape"].append(-1))

    def test_other_schema(self):
        self.bad(lambda t: t.update(schema="scruple.tree/2"))

    def test_unknown_word(self):
        self.bad(lambda t: t["tensors"][0].update(role="wizard"))

    def test_mistakes_of_schemas(self):
        for schema in ({"typ": "string"}, {"type": "text"}, {"type": "array"}, {}, {"type": "object", "properties": {}},
                       {"$ref": "#/$defs/none"}, {"type": "array", "items": {"maxLenght": 3}}):
            with self.assertRaises(Mistake):
                self.schemas.lint("tree.json", schema, "test")

    def test_strict_reading(self):
        for text in ('{"a": 1, "a": 2}', '{"a": NaN}', '[Infinity]'):
            with self.assertRaises(ValueError):
                strict(text)


if __name__ == "__main__":
    unittest.main()
