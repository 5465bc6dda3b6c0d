/* SPDX-License-Identifier: Apache-2.0 */
/* text: from text to the tokens of a model, and back.
 *
 * Owns: tokenizers (tokenizer.json and the vocabularies of GGUF files), Unicode as far as they need
 * it, and their regular expressions.
 *
 * Does not own: what a model does with tokens (forward), chat templates.
 *
 * A tokenizer is immutable once it is open and may be used from many threads, each with an encoder
 * of its own.
 *
 * Ids are those that the Rust tokenizers of Hugging Face give (release 0.22, Unicode 16), for
 * tokenizer.json and for GGUF vocabularies alike. docs/tokenize.md says what is known, what is
 * refused, and what differs. */
#ifndef SC_TEXT_H
#define SC_TEXT_H

#include "model/model.h"

struct sc_tokenizer;
struct sc_encoder;

/* ----------------------------------------------------------------------------------- ceilings ---
 */
enum {
    SC_MAX_TOKENS = 1 << 22,      /* ids of a vocabulary are below */
    SC_MAX_TOKEN_BYTES = 1 << 16, /* of one token */
    SC_MAX_ADDED_BYTES = 1024,    /* of an added token */
    SC_MAX_STAGES = 16, /* normalizers, pre-tokenizers, decoders, post-processors of each */
};
#define SC_MAX_TOKENIZER_BYTES (UINT64_C(256) << 20) /* of tokenizer.json */
#define SC_MAX_TEXT            (UINT64_C(1) << 30)   /* bytes of one text */

/* ------------------------------------------------------------------------------------ opening ---
 */
/* What is worth saying but no error: parts of the file that are not followed. One sentence each. */
struct sc_tokenizer_notes {
    void (*note)(void *ctx, const char *sentence); /* NULL: nobody listens */
    void *ctx;
};
/* tokenizer.json (and tokenizer_config.json) of a repository. SCRUPLE_ENOTFOUND: there is none. */
int sc_tokenizer_open(struct sc_repo *repo, const struct sc_tokenizer_notes *notes,
                      struct sc_tokenizer **out, struct sc_error *e);
/* Of an open model (keep_repo): the keys of a GGUF file, else as above. */
int sc_tokenizer_of_model(const struct sc_model *m, const struct sc_tokenizer_notes *notes,
                          struct sc_tokenizer **out, struct sc_error *e);
/* From memory: a tokenizer.json, and a tokenizer_config.json or nothing (n == 0). Nothing is kept
 * of either. */
int sc_tokenizer_parse(struct sc_str json, struct sc_str config,
                       const struct sc_tokenizer_notes *notes, struct sc_tokenizer **out,
                       struct sc_error *e);
void sc_tokenizer_close(struct sc_tokenizer *t); /* NULL is allowed */

/* ------------------------------------------------------------------------------------- asking ---
 */
const char *
sc_tokenizer_kind(const struct sc_tokenizer *t); /* "BPE", "WordPiece", "Unigram", "WordLevel" */
const char *sc_tokenizer_source(const struct sc_tokenizer *t); /* "tokenizer.json", "GGUF" */
size_t sc_tokenizer_size(const struct sc_tokenizer *t);        /* ids are below */
/* The token as its file spells it ("Ġthe", "▁the", "##ing"); p == NULL: no token has this id. */
struct sc_str sc_tokenizer_piece(const struct sc_tokenizer *t, uint32_t id);
bool sc_tokenizer_special(const struct sc_tokenizer *t, uint32_t id);
/* The id of a token by that spelling; false: there is none. */
bool sc_tokenizer_find(const struct sc_tokenizer *t, struct sc_str piece, uint32_t *id);

/* ----------------------------------------------------------------------------------- encoding ---
 */
struct sc_token {
    uint32_t id;
    uint32_t from,
        to; /* bytes of the text that it stands for; equal: of none (the begin of a text) */
};
struct sc_tokens {
    struct sc_token *p;
    size_t n, cap;
};
void sc_tokens_clear(struct sc_tokens *t);

/* What encoding needs beside the tokenizer: its buffers and caches of words (4.3 MiB). One a thread.
 */
int sc_encoder_new(const struct sc_tokenizer *t, struct sc_encoder **out, struct sc_error *e);
void sc_encoder_free(struct sc_encoder *en); /* NULL is allowed */
/* Appends the tokens of a text. `special`: with those that the model wants around a text (its
 * begin, its end). Bytes that are not valid UTF-8 count as U+FFFD, one for each maximal part of a
 * character. Tokens of the text itself that are special ("<|endoftext|>") are found in either case,
 * as in the Rust tokenizers. Memory: 12 bytes a token, and where a normalizer changes the text, up
 * to 25 bytes a byte of it while it works. SCRUPLE_ELIMIT: more than SC_MAX_TEXT; a regular
 * expression of the file that takes too long on this text. */
int sc_encode(struct sc_encoder *en, struct sc_str text, bool special, struct sc_tokens *out,
              struct sc_error *e);
/* Appends the text of tokens; `special`: with those that are special. SCRUPLE_EUSAGE: an id that
 * does not exist. */
int sc_decode(const struct sc_tokenizer *t, const uint32_t *ids, size_t n, bool special,
              struct sc_buf *out, struct sc_error *e);

#endif
