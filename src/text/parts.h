/* SPDX-License-Identifier: Apache-2.0 */
/* parts: what the files of this layer share. Private to it.
 *
 * A text goes through: added tokens that are found in it as it is; normalizers; added tokens that
 * are found in what these made; pre-tokenizers; the model; the post-processor. Each hands slices to
 * the next. */
#ifndef SC_TEXT_PARTS_H
#define SC_TEXT_PARTS_H

#include "text/regex.h"
#include "text/text.h"
#include "text/unicode.h"

#include <string.h>

/* -------------------------------------------------------------------------------------- slices ---
 */
/* What bytes of the text a byte stands for. */
struct sc_align {
    uint32_t from, to;
};
/* Valid UTF-8, and where it comes from. */
struct sc_slice {
    const char *p;
    size_t n;
    const struct sc_align *align; /* (n), or NULL: byte i is byte base + i of the text */
    size_t base;
    size_t room; /* bytes that are there from p on: n, or more where it is a part of a text */
};
struct sc_align sc_slice_align(const struct sc_slice *s, size_t at);
static inline struct sc_slice sc_slice_part(const struct sc_slice *s, size_t from, size_t to)
{
    return (struct sc_slice){.p = s->p + from,
                             .n = to - from,
                             .align = s->align ? s->align + from : NULL,
                             .base = s->base + from,
                             .room = s->room - from};
}
/* Text that is being made, every byte with its origin. */
struct sc_draft {
    char *p;
    struct sc_align *align;
    size_t n, cap, align_cap;
};
void sc_draft_clear(struct sc_draft *d);
int sc_draft_reserve(struct sc_draft *d, size_t n, struct sc_error *e); /* room for n more */
struct sc_slice sc_draft_slice(const struct sc_draft *d);
int sc_draft_put(struct sc_draft *d, const char *p, size_t n, struct sc_align align,
                 struct sc_error *e);
int sc_draft_copy(struct sc_draft *d, const struct sc_slice *s, size_t from, size_t to,
                  struct sc_error *e);
/* s with `content` for each `byte` (of ASCII). */
int sc_draft_replace(struct sc_draft *d, const struct sc_slice *s, char byte, struct sc_str content,
                     struct sc_error *e);
int sc_draft_point(struct sc_draft *d, uint32_t c, struct sc_align align, struct sc_error *e);
/* The code points of `changes` in place of those of s, after the first `skip`. */
int sc_draft_change(struct sc_draft *d, const struct sc_slice *s,
                    const struct sc_uc_change *changes, size_t n, size_t skip, struct sc_error *e);
/* Any bytes as valid UTF-8: each maximal part of a character that is none becomes U+FFFD. */
int sc_draft_repair(struct sc_draft *d, struct sc_str text, struct sc_error *e);

/* What stands for a blank in the vocabularies of SentencePiece: "▁", three bytes. */
#define SC_BLANK_MARK "\xe2\x96\x81"
static inline bool sc_is_blank_mark(const char *p, size_t n)
{
    return n >= 3 && memcmp(p, SC_BLANK_MARK, 3) == 0;
}

/* ---------------------------------------------------------------------------------- vocabulary ---
 */
struct sc_vocab {
    struct sc_str *pieces; /* (n); p == NULL: a hole. Bytes are in the arena of the tokenizer */
    size_t n, cap, count;
    struct sc_index index;
};
#define SC_NO_ID UINT32_MAX
int sc_vocab_put(struct sc_vocab *v, struct sc_str piece, uint32_t id,
                 struct sc_error *e); /* borrows the bytes */
uint32_t sc_vocab_find(const struct sc_vocab *v, struct sc_str piece);
void sc_vocab_clear(struct sc_vocab *v);

/* Strings by their bytes: the next node of a node and a byte. */
struct sc_trie {
    uint64_t *slot; /* node << 40 | byte << 32 | child; 0: free */
    size_t cap, n_edges;
    uint32_t *value; /* (nodes) SC_NO_ID: no string ends here */
    uint32_t n_nodes;
    size_t value_cap;
    uint32_t root[256];
    unsigned n_first; /* bytes that a string begins with ... */
    uint8_t first;    /* ... and one of them */
};
int sc_trie_put(struct sc_trie *t, struct sc_str s, uint32_t value, struct sc_error *e);
uint32_t sc_trie_step(const struct sc_trie *t, uint32_t node,
                      uint8_t byte); /* 0: none; node 0 is the root */
void sc_trie_clear(struct sc_trie *t);

/* -------------------------------------------------------------------------------------- stages ---
 */
enum sc_norm_op {
    SC_NORM_FORM,
    SC_NORM_LOWER,
    SC_NORM_ACCENTS,
    SC_NORM_BERT,
    SC_NORM_REPLACE,
    SC_NORM_PREPEND,
    SC_NORM_STRIP,
    SC_NORM_NMT,
    SC_NORM_CHARSMAP,
    SC_NORM_SPACES
};
struct sc_norm_step {
    enum sc_norm_op op;
    enum sc_uc_form form;
    bool clean, chinese, accents, lower, left, right; /* of BERT and Strip */
    struct sc_str content;
    struct sc_str literal; /* of Replace, where the pattern is a text; else regex */
    struct sc_regex regex;
    const uint32_t *units; /* of a charsmap: a double array ... */
    size_t n_units;
    struct sc_str texts; /* ... and what it maps to, with a NUL behind each */
    uint8_t ascii[128];  /* of BERT and Lowercase: what becomes of a character; 0: not one other */
};

enum sc_behaviour { SC_ISOLATED, SC_REMOVED, SC_MERGED_PREVIOUS, SC_MERGED_NEXT, SC_CONTIGUOUS };
enum sc_pre_op { SC_PRE_REGEX, SC_PRE_CHARS, SC_PRE_METASPACE, SC_PRE_BYTES, SC_PRE_SPELL };
enum sc_chars { SC_CHARS_SPACE, SC_CHARS_NUMBER, SC_CHARS_PUNCT, SC_CHARS_ONE };
enum sc_prepend { SC_PREPEND_FIRST, SC_PREPEND_ALWAYS, SC_PREPEND_NEVER };
struct sc_pre_step {
    enum sc_pre_op op;
    enum sc_behaviour behaviour;
    bool invert, split, prefix_space;
    enum sc_chars chars;
    uint32_t one;    /* SC_CHARS_ONE */
    bool ascii[128]; /* of `chars`: which of these are meant */
    enum sc_prepend prepend;
    struct sc_str replacement; /* of a space, Metaspace */
    struct sc_regex regex;
};

enum sc_post_op { SC_POST_TEMPLATE, SC_POST_TRIM };
struct sc_post_step {
    enum sc_post_op op;
    bool prefix_space;        /* SC_POST_TRIM */
    uint32_t *before, *after; /* ids around the text */
    size_t n_before, n_after;
};

enum sc_decode_op {
    SC_DECODE_BYTES,
    SC_DECODE_REPLACE,
    SC_DECODE_FALLBACK,
    SC_DECODE_FUSE,
    SC_DECODE_STRIP,
    SC_DECODE_METASPACE,
    SC_DECODE_WORDPIECE,
    SC_DECODE_SUFFIX
};
struct sc_decode_step {
    enum sc_decode_op op;
    struct sc_str pattern, content;
    struct sc_regex regex; /* of Replace, where there is one */
    bool is_regex, cleanup, prepended;
    uint64_t left, right;
};

struct sc_added {
    struct sc_str content;
    uint32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
};

/* --------------------------------------------------------------------------------------- model ---
 */
enum sc_model_kind { SC_KIND_BPE, SC_KIND_WORDPIECE, SC_KIND_UNIGRAM, SC_KIND_WORDLEVEL };
/* Two neighbours and what they become. */
struct sc_merge {
    uint64_t key; /* left << 32 | right; UINT64_MAX: free */
    uint32_t rank, id;
};
struct sc_bpe {
    struct sc_merge *merges; /* (1 << bits) */
    uint8_t *maybe;          /* (1 << bits) bits that are set for the pairs in it */
    unsigned bits;
    size_t n_merges;
    struct sc_str prefix, suffix;
    uint32_t byte_ids[256];  /* of the byte alphabet, or of <0xHH> with byte_fallback */
    uint32_t ascii_ids[128]; /* of single characters */
    bool byte_fallback, fuse_unk, ignore_merges;
    bool cuts;            /* a piece may be encoded in parts: ... */
    bool crossed[256];    /* ... before "▁", but not behind these bytes; */
    bool apart[128][128]; /* ... between these two characters */
};

struct sc_tokenizer {
    struct sc_arena arena;
    const char *source;
    enum sc_model_kind kind;
    bool bytes; /* pieces are spelled in the byte alphabet */
    struct sc_vocab vocab;
    uint32_t unk;
    struct sc_bpe bpe;
    struct sc_str subword; /* of WordPiece: "##" */
    uint64_t max_word;
    double *scores; /* (vocab.n) of Unigram */
    size_t scores_cap;
    double min_score;
    bool byte_fallback;
    struct sc_trie trie; /* of Unigram */
    struct sc_norm_step norm[SC_MAX_STAGES];
    struct sc_pre_step pre[SC_MAX_STAGES];
    struct sc_post_step post[SC_MAX_STAGES];
    struct sc_decode_step decode[SC_MAX_STAGES];
    size_t n_norm, n_pre, n_post, n_decode;
    bool has_decoder;
    const char *no_decoder; /* why there is none that is known */
    struct sc_added *added;
    size_t n_added, added_cap;
    struct sc_trie tries[2]; /* of added tokens: raw, normalized; values are places in `added` */
    bool has_tries[2];
    uint8_t *
        blanks; /* (vocab.n) white space at the ends of pieces: leading | trailing << 4, 15: many */
    uint32_t *added_of; /* (added_of_n) place + 1 in `added`, by id */
    size_t added_of_n, added_of_cap;
};

/* -------------------------------------------------------------------------------------- encoder
 * --- */
enum {
    SC_CACHE_BITS = 16,
    SC_CACHE_BYTES = 24,
    SC_CACHE_TOKENS = 6,
    SC_SHORT_BITS = 14,
    SC_WORDS_AHEAD = 16
};
/* A word of up to 8 bytes that is one token: most are, and four of these share a cache line. */
struct sc_short_word {
    uint64_t key;
    uint32_t length, id; /* length 0: free */
};
/* Any word of up to SC_CACHE_BYTES and SC_CACHE_TOKENS: a cache line. Two neighbours make a set, of
 * which the first is the one that was used last. */
struct sc_cached {
    uint64_t key[SC_CACHE_BYTES / 8];
    uint32_t ids[SC_CACHE_TOKENS];
    uint8_t begins[SC_CACHE_TOKENS], ends[SC_CACHE_TOKENS];
    uint8_t length, n; /* length 0: free */
    uint8_t fill[2];
};
struct sc_symbol_part {
    uint32_t id, length;
    uint32_t before, after;
};
struct sc_heap_item {
    uint32_t rank, at, id;
};
struct sc_best {
    double score;
    uint32_t from, id;
};
struct sc_word_token {
    uint32_t id;
    size_t begin, end; /* in the piece */
};
/* A word on its way: what it is looked up by, and where. */
struct sc_word_ahead {
    struct sc_slice s;
    uint64_t key[3];
    struct sc_short_word *place; /* NULL: it has more than 8 bytes */
    struct sc_cached *set;
    uint32_t id;
    bool known; /* it is the one token `id` */
};
struct sc_encoder {
    const struct sc_tokenizer *t;
    struct sc_short_word *shorts; /* (1 << SC_SHORT_BITS) */
    struct sc_cached *cache;      /* (1 << SC_CACHE_BITS), from cache_block on at a cache line */
    void *cache_block;
    struct sc_word_ahead ahead[SC_WORDS_AHEAD];
    size_t n_ahead;
    struct sc_draft drafts[2];            /* of normalizers, which take turns */
    struct sc_draft joined;               /* of a normalizer that goes part by part */
    struct sc_draft repaired;             /* the text, where it was not valid */
    struct sc_draft stage[SC_MAX_STAGES]; /* of pre-tokenizers */
    struct sc_uc_change *changes;
    size_t changes_cap;
    struct sc_symbol_part *symbols;
    struct sc_heap_item *heap;
    struct sc_best *best;
    struct sc_word_token *word;
    char *spelled;
    size_t symbols_cap, heap_cap, best_cap, word_cap, spelled_cap;
    size_t n_word;
    struct sc_tokens *out;
    uint64_t fuel;
    bool too_slow;
    struct sc_error *e;
};

/* slice.c, normalize.c: *s becomes the normalized text, in drafts of the encoder. */
int sc_normalize(struct sc_encoder *en, struct sc_slice *s);
void sc_normalize_finish(struct sc_tokenizer *t); /* once all is read from the file */
/* pretokenize.c: cuts a normalized text and encodes its pieces. */
int sc_pretokenize(struct sc_encoder *en, const struct sc_slice *s);
void sc_pre_finish(struct sc_tokenizer *t); /* once all is read from the file */
/* Of the byte alphabet: the code point of each byte, and back (-1: none). */
uint32_t sc_byte_point(uint8_t byte);
int sc_point_byte(uint32_t c);
/* word.c: tokens of one piece (bytes from .. to of s, at least one), appended to en->out - not at
 * once: the piece waits with others while what is known of them is fetched. sc_word_flush before
 * its bytes change or anything else is appended. */
int sc_word(struct sc_encoder *en, const struct sc_slice *s, size_t from, size_t to);
int sc_word_flush(struct sc_encoder *en);
/* bpe.c, unigram.c, wordpiece.c: tokens of one piece into en->word. */
int sc_word_put(struct sc_encoder *en, uint32_t id, size_t begin, size_t end);
int sc_bpe_word(struct sc_encoder *en, struct sc_str s);
int sc_unigram_word(struct sc_encoder *en, struct sc_str s);
int sc_wordpiece_word(struct sc_encoder *en, struct sc_str s);
int sc_wordlevel_word(struct sc_encoder *en, struct sc_str s);
const struct sc_merge *sc_bpe_find(const struct sc_bpe *b, uint32_t left, uint32_t right);
int sc_bpe_reserve(struct sc_bpe *b, size_t n, struct sc_error *e);
/* A pair that is there already takes the new rank. */
void sc_bpe_put(struct sc_bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id);
/* What follows from vocabulary and merges: ids of bytes and characters, where words may be cut. */
int sc_bpe_finish(struct sc_tokenizer *t, struct sc_error *e);
/* added.c */
int sc_added_put(struct sc_tokenizer *t, const struct sc_added *a, struct sc_error *e);
int sc_added_finish(struct sc_tokenizer *t, struct sc_error *e); /* needs the normalizers */
const struct sc_added *sc_added_of(const struct sc_tokenizer *t, uint32_t id);
/* Calls `piece` for what is between added tokens, and appends these. */
int sc_added_split(struct sc_encoder *en, const struct sc_slice *s, unsigned which,
                   int (*piece)(struct sc_encoder *en, const struct sc_slice *s));
/* post.c */
int sc_post_finish(struct sc_tokenizer *t, struct sc_error *e);
int sc_postprocess(const struct sc_tokenizer *t, struct sc_str text, bool special, size_t from,
                   struct sc_tokens *out, struct sc_error *e);
/* load.c and its parts */
struct sc_load {
    struct sc_tokenizer *t;
    const struct sc_tokenizer_notes *notes;
    struct sc_error *e;
};
void sc_load_note(const struct sc_load *l, const char *fmt, ...) SC_PRINTF(2, 3);
int sc_load_keep(const struct sc_load *l, struct sc_str s,
                 struct sc_str *out); /* a copy in the arena */
int sc_load_charsmap(const struct sc_load *l, const uint8_t *p, size_t n,
                     struct sc_norm_step *step);
struct sc_norm_step *sc_load_norm(const struct sc_load *l, enum sc_norm_op op);
struct sc_pre_step *sc_load_pre(const struct sc_load *l, enum sc_pre_op op);
struct sc_post_step *sc_load_post(const struct sc_load *l, enum sc_post_op op);
struct sc_decode_step *sc_load_decode(const struct sc_load *l, enum sc_decode_op op);
int sc_load_ids(const struct sc_load *l, uint32_t **list, size_t *n, uint32_t id);
int sc_tokenizer_of_gguf(const struct sc_load *l, const struct sc_model *m);

#endif
