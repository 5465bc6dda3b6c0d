# SPDX-License-Identifier: Apache-2.0
"""Small random models in which single weights were made large, so that they are super weights, with a vocabulary of words.

    python3 tests/py/planted_model.py DIR      # the model of the pictures in docs/
"""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import forward_reference as ref  # noqa: E402

WORDS = ("the of and to in is that it was for on are as with his they at be this have from or had by hot but some what "
         "there we can out other were all your when up use word how said each she which do their time if will way about "
         "many then them would write like so these her long make thing see him two has look more day could go come did "
         "my sound no most number who over know water than call first people may down side been now find summer winter "
         "is cold warm Paris Rome city country lies far near north south river sea , . ; : ? !").split()


def words(n):
    """n different words, some of which would break a page that did not escape them."""
    out = ["<unk>", "<b>&\"'", "漢字", "e\u0301", "a" * 60] + list(dict.fromkeys(WORDS))
    return (out + ["word%d" % i for i in range(n)])[:n]


def edit(tensors, name, change):
    out = dict(tensors)
    out[name] = out[name].copy()
    change(out[name])
    return out


def config(layers):
    return dict(ref.CONFIGS["llama"], num_hidden_layers=layers)


def tensors(layers=4, rows=((21, 24.0), (7, -19.0)), neuron=40, layer=1, seed=3):
    """rows: (row, weight) of the down projection of `layer` in column `neuron`, which speaks louder than the others."""
    out = ref.make(config(layers), seed)
    for part in ("gate_proj", "up_proj") if rows else ():
        out = edit(out, f"model.layers.{layer}.mlp.{part}.weight",
                   lambda w: w.__setitem__(neuron, ref.to_bf16(w[neuron] * 6)))
    for row, value in rows:
        out = edit(out, f"model.layers.{layer}.mlp.down_proj.weight",
                   lambda w, r=row, v=value: w.__setitem__((r, neuron), v))
    return out


def write(folder, layers=4, change=None, tokenizer=True, **planted):
    c = config(layers)
    values = tensors(layers, **planted)
    shutil.rmtree(folder, ignore_errors=True)
    ref.write_folder(folder, c, change(values) if change else values)
    if tokenizer:
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump({"version": "1.0", "added_tokens": [], "normalizer": None,
                       "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
                       "model": {"type": "WordLevel", "unk_token": "<unk>",
                                 "vocab": {w: i for i, w in enumerate(words(c["vocab_size"]))}}}, file)
    return folder


if __name__ == "__main__":
    write(sys.argv[1], layers=12, layer=2)
