#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the small tokenizers of tests/data/tokenize, made by hand and from a few sentences below.

    tests/oracle/make_tokenizers.py tests/data/tokenize
    node tests/oracle/tokenize.js tests/data/tokenize 12 1 > tests/data/tokenize/golden.jsonl

Each stands for a family: how GPT-2, Llama-3, Qwen2, Falcon, Llama-2, Gemma, CLIP, BERT and T5 cut a text. Their
vocabularies are too small for anything but tests."""
import base64
import collections
import json
import os
import struct
import sys

TEXT = """The weights of a model are numbers, and most of them are small. Where one of them is large, look twice!
She said: "don't touch that", but he'd already done it; they'll see what we've got. It's 1234567 bytes, or 1.2 MB.
def look(weights, top=10):\n    return sorted(weights, key=abs)[-top:]\n\n\n    # that is all there is
Die Gewichte eines Modells sind Zahlen, und die meisten sind klein. Größe ist nicht alles, sagte der Bär.
Les poids d'un modèle sont des nombres; la plupart sont petits. Ça dépend, dit-elle, où l'on regarde.
Веса модели это числа, и большинство из них малы. Τα βάρη ενός μοντέλου είναι αριθμοί. 模型的权重是数字，大多数都很小。
モデルの重みは数字です。 모델의 가중치는 숫자입니다. أوزان النموذج أرقام. משקלי המודל הם מספרים. मॉडल के वज़न संख्याएँ हैं।
The the the of of and and in in to to a a is is that that it it was was for for on on with with as as at at by by"""

GPT2 = None  # ByteLevel's own
ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + TAIL
QWEN2 = ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + TAIL
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + ENGLISH + "?|" +
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + ENGLISH +
         r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n/]*+|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_alphabet():
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in shown]
    return {**{b: chr(b) for b in shown}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


BYTES = byte_alphabet()


def words_of(text, mark):
    """Words with what is in front of them, as byte-level or SentencePiece-like spellings."""
    out = collections.Counter()
    for line in text.split("\n"):
        for i, word in enumerate(line.split(" ")):
            out[("" if i == 0 and mark == " " else mark) + word] += 1
    return out


def train(words, n):
    """Byte-pair encoding: the most frequent pair n times, the smallest of equals."""
    parts = {word: list(word) for word in words}
    merges = []
    for _ in range(n):
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(parts[word], parts[word][1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word, p in parts.items():
            i = 0
            while i + 1 < len(p):
                if (p[i], p[i + 1]) == best:
                    p[i:i + 2] = [best[0] + best[1]]
                i += 1
    return merges


def numbered(tokens):
    return {t: i for i, t in enumerate(dict.fromkeys(tokens))}


def bpe(vocab, merges, **more):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab,
            "merges": merges, **more}


def added(content, token, **more):
    return {"id": token, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True, **more}


def template(first, token):
    return {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": first, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {first: {"id": first, "ids": [token], "tokens": [first]}}}


def byte_level(prefix=False, trim=True, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def split(expression, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def charsmap(pairs):
    """A double array of the keys and the texts they map to, as SentencePiece keeps them."""
    texts, where = b"", {}
    for key, to in sorted(pairs.items()):
        where[key.encode()] = len(texts)
        texts += to.encode() + b"\0"
    units, used = [0] * 4096, {0}

    def place(node, prefix):
        labels = sorted({k[len(prefix)] for k in where if k.startswith(prefix) and len(k) > len(prefix)})
        leaf = prefix in where
        wanted = ([0] if leaf else []) + labels
        base = next(b for b in range(1, 4000) if all((b ^ x) not in used and (b ^ x) < 4096 for x in wanted))
        used.update(base ^ x for x in wanted)
        units[node] |= (node ^ base) << 10 | leaf << 8
        if leaf:
            units[base] = where[prefix] | 1 << 31
        for x in labels:
            units[base ^ x] |= x
            place(base ^ x, prefix + bytes([x]))

    place(0, b"")
    trie = struct.pack("<4096I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + texts).decode()


def main(folder):
    byte_words = collections.Counter()
    for word, count in words_of(TEXT, " ").items():
        byte_words["".join(BYTES[b] for b in word.encode())] += count
    merges = train(byte_words, 350)
    end = "<|endoftext|>"
    vocab = numbered([BYTES[b] for b in range(256)] + [a + b for a, b in merges])
    spelled = [" ".join(m) for m in merges]
    last = len(vocab)
    special = [added(end, last), added("<|user|>", last + 1, rstrip=True), added("naïve word", last + 2, special=False,
               normalized=True, single_word=True)]
    spm_words = words_of(TEXT, "▁")
    spm_merges = train(spm_words, 350)
    spm = numbered(["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] +
                   sorted({c for w in spm_words for c in w}) + [a + b for a, b in spm_merges])
    spm_spelled = [list(m) for m in spm_merges]
    llama = dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    around = [added("<unk>", 0), added("<s>", 1), added("</s>", 2)]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    spm_decoder = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    pieces = sorted({w[1:].lower() for w in spm_words if w[1:].isalpha()})
    wordpiece = numbered(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + pieces[::2] +
                         sorted({c for w in spm_words for c in w.lower()} | set("!?.,:;'\"()[]")) +
                         sorted({"##" + m[0] + m[1] for m in spm_merges if "▁" not in m[0]}) +
                         sorted({"##" + c for w in spm_words for c in w.lower() if c.isalpha()}))
    bert_special = [added(t, wordpiece[t], lstrip=t == "[MASK]") for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    scored = [["<unk>", 0.0]] + [[t, -2.0 - 0.37 * i ** 0.5 - 0.01 / (i + 1)] for i, t in enumerate(
        ["▁"] + [a + b for a, b in spm_merges] + sorted({c for w in spm_words for c in w} - {"▁"}))]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    mapping = charsmap({"ﬁ": "fi", "Ａ": "A", "½": "1/2", "\u00a0": " ", "e\u0301": "é", "\u200b": "", "ﷺ": "صلى الله"})
    clip = numbered([c for c in "abcdefghijklmnopqrstuvwxyz!'.,0123456789"] +
                    [c + "</w>" for c in "abcdefghijklmnopqrstuvwxyz!'.,0123456789"] +
                    ["th", "the</w>", "an", "and</w>", "in", "ing</w>", "<unk>"])
    made = {
        "gpt2": (bpe(vocab, spelled), None, byte_level(), byte_level(), byte_level(), special[:1]),
        "llama3": (bpe(vocab, spelled, ignore_merges=True), None, sequence(split(LLAMA3), byte_level(regex=False)),
                   {"type": "Sequence", "processors": [byte_level(), template(end, last)]}, byte_level(), special),
        "qwen2": (bpe(vocab, spelled), {"type": "NFC"}, sequence(split(QWEN2), byte_level(regex=False)),
                  byte_level(trim=False), byte_level(), special),
        "o200k": (bpe(vocab, spelled), {"type": "NFKC"},
                  sequence(split(O200K, "Removed", True), byte_level(prefix=True, regex=False)), None, byte_level(), special[:1]),
        "falcon": (bpe(vocab, spelled), None,
                   sequence({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(),
                            {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")),
                   byte_level(), byte_level(), special[:1]),
        "llama2": (bpe(spm, spm_spelled, **llama),
                   {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, space]}, None,
                   template("<s>", 1), spm_decoder, around),
        "gemma": (bpe(spm, spm_spelled, **llama), space,
                  {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                  template("<s>", 1), spm_decoder, around),
        "clip": (bpe(clip, ["t h", "th e</w>", "a n", "an d</w>", "i n"], unk_token="<unk>", end_of_word_suffix="</w>"),
                 {"type": "Sequence", "normalizers": [
                     {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"}]},
                 split(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "Removed", True), None,
                 {"type": "BPEDecoder", "suffix": "</w>"}, []),
        "bert": ({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": wordpiece},
                 {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                  "lowercase": True}, {"type": "BertPreTokenizer"},
                 {"type": "BertProcessing", "sep": ["[SEP]", wordpiece["[SEP]"]], "cls": ["[CLS]", wordpiece["[CLS]"]]},
                 {"type": "WordPiece", "prefix": "##", "cleanup": True}, bert_special),
        "words": ({"type": "WordLevel", "vocab": numbered(["[UNK]"] + pieces), "unk_token": "[UNK]"},
                  {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
                                                       {"type": "Strip", "strip_left": True, "strip_right": True}]},
                  sequence({"type": "Whitespace"}, {"type": "Digits", "individual_digits": True},
                           {"type": "CharDelimiterSplit", "delimiter": "x"},
                           {"type": "Punctuation", "behavior": "MergedWithNext"}), None, None, []),
        "t5": ({"type": "Unigram", "unk_id": 0, "vocab": scored, "byte_fallback": False},
               {"type": "Sequence", "normalizers": [
                   {"type": "Precompiled", "precompiled_charsmap": mapping},
                   {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]},
               metaspace, None, metaspace, [added("</s>", len(scored))]),
        "xlmr": ({"type": "Unigram", "unk_id": 0, "vocab": scored + [["<0x%02X>" % b, -30.0] for b in range(256)],
                  "byte_fallback": True}, {"type": "Nmt"},
                 sequence({"type": "WhitespaceSplit"}, {**metaspace, "prepend_scheme": "first"}),
                 None, {**metaspace, "prepend_scheme": "first"}, []),
    }
    for name, (model, normalizer, pre, post, decoder, tokens) in made.items():
        document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer,
                    "pre_tokenizer": pre, "post_processor": post, "decoder": decoder, "model": model}
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False, separators=(",", ":"))
            file.write("\n")


main(sys.argv[1])
