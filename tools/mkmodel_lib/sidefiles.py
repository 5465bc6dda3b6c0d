# SPDX-License-Identifier: Apache-2.0
"""Config, tokenizer and card files that lie beside the weights."""


def llama_config(hidden, inter, layers, heads, kv, vocab, **more):
    """A Hugging Face config.json for a llama-like model."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": hidden, "intermediate_size": inter, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": hidden // heads,
        "vocab_size": vocab, "max_position_embeddings": 2048, "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0, "rope_scaling": None, "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
        "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2,
        "torch_dtype": "bfloat16", "transformers_version": "4.46.0"}
    config.update(more)
    return config


def byte_characters():
    """The printable character of each byte in byte-level BPE."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for byte in range(256):
        if byte in keep:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def tokenizer():
    """A small valid byte-level BPE tokenizer.json: 3 specials, 256 bytes, 5 merges."""
    special = ["<unk>", "<s>", "</s>"]
    vocab = {t: i for i, t in enumerate(special)}
    for char in byte_characters().values():
        vocab[char] = len(vocab)
    merges = [["t", "h"], ["th", "e"], ["i", "n"], ["a", "n"], ["an", "d"]]
    for a, b in merges:
        vocab[a + b] = len(vocab)
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for i, t in enumerate(special)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
                          "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True,
                    "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": merges}}


def card(title, license="apache-2.0", base="example-org/Example-1B"):
    """A model card with YAML front matter."""
    return f"""---
license: {license}
base_model: {base}
language:
- en
pipeline_tag: text-generation
library_name: transformers
tags:
- test-fixture
---

# {title}

Random weights. Made by `tools/mkmodel` for tests; it has learned nothing.
"""


def write_sidefiles(out, config, title, folder=""):
    """Everything a small text model repository has beside its weights."""
    out.json(folder + "config.json", config)
    out.json(folder + "generation_config.json", {
        "bos_token_id": 1, "eos_token_id": [2], "do_sample": True, "temperature": 0.6,
        "top_p": 0.9, "transformers_version": "4.46.0"})
    out.json(folder + "tokenizer.json", tokenizer())
    out.json(folder + "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "model_max_length": 2048,
        "chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n"
                         "{% endfor %}"})
    out.text(folder + "README.md", card(title))
