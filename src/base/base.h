/* SPDX-License-Identifier: Apache-2.0 */
/* base: what every other layer stands on.
 *
 * Owns: errors, checked arithmetic, arenas, growing buffers with a ceiling, strings that carry
 * their length, keyed hashing, the checked cursor and the strict JSON scanner, natural order,
 * name patterns, and the one function through which foreign text reaches a terminal.
 *
 * Does not own: files (source), number formats (codec), threads (stream).
 *
 * Rules that hold for every function here: nothing exits, nothing prints, there is no global
 * state but the hash seed, and all of it may be called from any thread as long as the objects
 * that are passed in are not shared.
 */
#ifndef SC_BASE_H
#define SC_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "scruple.h"

#if defined(__GNUC__)
#define SC_PRINTF(fmt_index, first_index) __attribute__((format(printf, fmt_index, first_index)))
#define SC_LIKELY(x)                      __builtin_expect(!!(x), 1)
#define SC_UNLIKELY(x)                    __builtin_expect(!!(x), 0)
#else
#define SC_PRINTF(fmt_index, first_index)
#define SC_LIKELY(x)   (x)
#define SC_UNLIKELY(x) (x)
#endif

#define SC_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SC_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define SC_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* ------------------------------------------------------------------------------- ceilings ---
 * Every limit on foreign data stands here, once, so that a user who needs more can raise it. */
enum {
    SC_MAX_JSON_DEPTH = 64,       /* nesting in headers and index files (three are needed) */
    SC_MAX_RANK = 64,             /* dimensions of one tensor */
    SC_MAX_GGUF_RANK = 4,         /* GGML_MAX_DIMS */
    SC_MAX_FINDINGS = 10000,      /* findings kept of one model; the rest is counted */
    SC_MAX_FOLDER_DEPTH = 8,      /* sub-folders searched for weights */
    SC_MAX_FOLDER_FILES = 100000, /* entries looked at in one model folder */
    SC_MAX_WEIGHT_FILES = 10000,  /* weight files of one model */
    SC_MAX_NAME = 65535,          /* bytes in a tensor name or metadata key */
};
#define SC_MAX_SAFETENSORS_HEADER UINT64_C(100000000)
#define SC_MAX_INDEX_BYTES        (UINT64_C(512) << 20)
#define SC_MAX_CONFIG_BYTES       (UINT64_C(64) << 20)
#define SC_MAX_PICKLE_BYTES       (UINT64_C(256) << 20)
#define SC_MAX_PICKLE_NODES       (UINT64_C(8) << 20)
#define SC_MAX_GGUF_STRING        (UINT64_C(64) << 20)

/* --------------------------------------------------------------------------------- errors ---
 * A fallible function returns 0 or one of the negative SCRUPLE_E... codes of scruple.h and takes
 * `struct sc_error *e` last (NULL is allowed). The function that detects the failure fills it,
 * once; callers only put context in front. Text from files must pass sc_quote() first. */
struct sc_error {
    int code;
    bool has_offset;
    uint64_t offset; /* byte position in the file the message names, if has_offset */
    char text[1200];
};

int sc_fail(struct sc_error *e, int code, const char *fmt, ...) SC_PRINTF(3, 4);
int sc_fail_at(struct sc_error *e, int code, uint64_t offset, const char *fmt, ...) SC_PRINTF(4, 5);
int sc_fail_v(struct sc_error *e, int code, const char *fmt, va_list ap) SC_PRINTF(3, 0);
void sc_say_memory(struct sc_error *e);
/* A sentence for whoever asked for notes; `note` NULL: for nobody. */
void sc_note_v(void (*note)(void *ctx, const char *sentence), void *ctx, const char *fmt,
               va_list ap) SC_PRINTF(3, 0);
static inline int sc_fail_memory(struct sc_error *e)
{
    sc_say_memory(e);
    return SCRUPLE_EMEMORY; /* in sight of the compiler and the analysers */
}
#if defined(__clang_analyzer__)
/* That these answer `code`, which is negative, is for the analyser to see, too. */
#define sc_fail(e, code, ...)            (sc_fail(e, code, __VA_ARGS__), (code))
#define sc_fail_at(e, code, offset, ...) (sc_fail_at(e, code, offset, __VA_ARGS__), (code))
#endif
/* Put "fmt: " in front of the message that is there. */
void sc_error_prefix(struct sc_error *e, const char *fmt, ...) SC_PRINTF(2, 3);
const char *sc_code_text(int code);

#define TRY(expr)                                                                                  \
    do {                                                                                           \
        int try_code_ = (expr);                                                                    \
        if (try_code_ < 0)                                                                         \
            return try_code_;                                                                      \
    } while (0)

/* --------------------------------------------------------------------- checked arithmetic ---
 * true: *out holds the result. false: it does not fit in 64 bits and *out is unspecified. */
static inline bool sc_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool sc_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
/* A total that stops at the largest number: only a broken file, listed leniently, claims more. */
static inline uint64_t sc_add_up(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return sc_add(a, b, &sum) ? sum : UINT64_MAX;
}
/* Product of n dimensions; an empty product is 1. A zero dimension makes the product 0 whatever
 * the others are, so [2^63, 4, 0] is 0 in every order. */
bool sc_product(const uint64_t *dims, size_t n, uint64_t *out);
static inline uint64_t sc_align_up(uint64_t x, uint64_t power_of_two)
{
    return (x + power_of_two - 1) & ~(power_of_two - 1); /* callers check x <= 2^63 */
}

/* --------------------------------------------------------------------------------- memory --- */
void *sc_alloc(size_t n); /* malloc; n == 0 gives a valid pointer; NULL: no memory */
void *sc_calloc(size_t n, size_t size);
/* Grow *array (items of `size` bytes) so that it holds at least `need`; *cap is in items. */
int sc_grow(void *array_ptr, size_t *cap, size_t need, size_t size, struct sc_error *e);

/* Tables that grow with the model, in pages.c. Small ones are in memory; with `filed`, those of
 * SC_PAGES_FROM bytes or more are pages of a file without a name in $TMPDIR, which the system may
 * write out: so a scan of a million tensors takes no more memory of its own than one of a hundred.
 * Where there is no such place they are in memory, too. Freed by sc_pages_free() only. */
#define SC_PAGES_FROM ((size_t)256 << 10)
void *sc_pages_new(bool filed, size_t n, size_t size); /* zeroed; NULL: no memory */
/* As sc_grow(); *array came from sc_pages_new(), from here, or is NULL. */
int sc_pages_grow(bool filed, void *array_ptr, size_t *cap, size_t need, size_t size,
                  struct sc_error *e);
void sc_pages_free(void *table); /* NULL is allowed */
/* $TMPDIR, or /tmp. */
const char *sc_temporary_folder(void);
/* A file there that nobody else can open and that is gone with its descriptor; -1: errno says why
 * not. */
int sc_open_unnamed(void);

/* qsort() without memory of its own: glibc's takes as much as it sorts. For orders that leave no
 * two items equal. */
void sc_sort(void *p, size_t n, size_t size, int (*compare)(const void *, const void *));
/* Ascending by bits from number `low` on, a byte at a time: numbers that are equal there stay in
 * their order. `spare` has room for n. */
void sc_sort_bits(uint64_t *v, uint64_t *spare, size_t n, unsigned low);
/* The k-th smallest of n > k numbers without NaN, which are left such that what stands before it is
 * no larger, what stands behind it no smaller. */
double sc_select(double *v, size_t n, size_t k);

/* Bump allocator; everything dies together. Zero-initialise to use. */
struct sc_arena {
    struct sc_arena_chunk *head;
    size_t total; /* bytes taken from the system */
    size_t limit; /* 0: none; else allocation fails above it */
    bool filed;   /* chunks of a large one are pages of a file, as above */
};
void *sc_arena_alloc(struct sc_arena *a, size_t n, size_t align); /* not cleared */
char *sc_arena_copy(struct sc_arena *a, const void *p, size_t n); /* NUL is added after n bytes */
void sc_arena_clear(struct sc_arena *a);
/* What lies in `from` lies in `a` from now on, where it is; `from` is empty. */
void sc_arena_join(struct sc_arena *a, struct sc_arena *from);
#define SC_ARENA_NEW(arena, type, count)                                                           \
    ((type *)sc_arena_alloc((arena), sizeof(type) * (count), _Alignof(type)))

/* Bytes that grow up to a ceiling. A failed append sets `failed` and later ones do nothing, so a
 * caller may append many times and look once. p is NUL-terminated after any successful append. */
struct sc_buf {
    char *p;
    size_t n, cap;
    size_t max; /* 0: 1 GiB */
    bool failed;
};
void sc_buf_put(struct sc_buf *b, const void *p, size_t n);
void sc_buf_puts(struct sc_buf *b, const char *s);
void sc_buf_putc(struct sc_buf *b, char c);
void sc_buf_printf(struct sc_buf *b, const char *fmt, ...) SC_PRINTF(2, 3);
void sc_buf_repeat(struct sc_buf *b, char c, size_t n);
void sc_buf_clear(struct sc_buf *b);

/* -------------------------------------------------------------------------------- strings ---
 * Names from files may hold any byte, NUL included. */
struct sc_str {
    const char *p;
    size_t n;
};
#define SC_STR(literal) ((struct sc_str){(literal), sizeof(literal) - 1})
static inline struct sc_str sc_str(const char *p, size_t n)
{
    return (struct sc_str){p, n};
}
struct sc_str sc_strz(const char *s);
bool sc_str_eq(struct sc_str a, struct sc_str b);
bool sc_str_is(struct sc_str a, const char *s);
bool sc_str_starts(struct sc_str a, const char *prefix);
bool sc_str_ends(struct sc_str a, const char *suffix);
/* ASCII case-insensitive. */
bool sc_str_eq_nocase(struct sc_str a, struct sc_str b);
bool sc_str_has_nocase(struct sc_str a, struct sc_str needle);
/* A copy in its own memory, NUL-terminated; NULL: no memory. */
char *sc_str_copy(struct sc_str s);
/* Decimal digits only, no sign, no space, fits in 64 bits. */
bool sc_str_u64(struct sc_str s, uint64_t *out);
/* "512", "64k", "1.5G", "2GiB", a B behind it or not: units of 1024 with an i, else of 1000. */
bool sc_str_size(struct sc_str s, uint64_t *out);
/* Byte order, as memcmp with the shorter first. */
int sc_str_cmp(struct sc_str a, struct sc_str b);
/* Natural order: runs of ASCII digits compare as numbers of any length; equal numbers with
 * different zero padding compare by length of the padding, so the order is total. */
int sc_natural_cmp(struct sc_str a, struct sc_str b);
/* Glob over the whole of s: `*` any run (dots included), `?` one byte, [a-c] and [!a-c] classes (a
 * `]` that comes first is a member; a `[` that is never closed is itself); ASCII case-insensitive.
 * Linear in n * pattern at worst; no recursion. */
bool sc_glob(struct sc_str pattern, struct sc_str s);
/* Edit distance for "did you mean" (insert, delete, replace, swap of neighbours), at most `limit` +
 * 1. A limit above 63 counts as 63. */
unsigned sc_edit_distance(struct sc_str a, struct sc_str b, unsigned limit);

/* ---------------------------------------------------------------------------------- UTF-8 --- */
/* Decode one code point at p (n > 0 bytes left). Returns its length, or 0 when the bytes are not
 * strict UTF-8 (overlong forms, surrogates and values above U+10FFFF are refused). */
size_t sc_utf8_decode(const char *p, size_t n, uint32_t *out);
bool sc_utf8_valid(struct sc_str s);
size_t sc_utf8_encode(uint32_t code_point, char out[4]); /* 0: a surrogate or above U+10FFFF */
/* Columns of a code point on a terminal: 0 combining, 2 wide, else 1. */
unsigned sc_utf8_width(uint32_t code_point);

/* The one door from foreign text to terminal, log and message. Control characters, DEL, C1,
 * bidirectional controls, line separators and zero-width characters become \u{..}, and so does a
 * combining mark that has nothing to stand on or is one of too many; invalid UTF-8 becomes U+FFFD;
 * text wider than max_columns is cut and ends in "..." (0: never cut).
 * sc_put_safe appends and returns the columns used. */
size_t sc_put_safe(struct sc_buf *b, struct sc_str s, size_t max_columns);
size_t sc_safe_width(struct sc_str s);
/* The same into a fixed buffer, for error messages: at most 120 columns. Returns q->s. */
struct sc_quoted {
    char s[520];
};
const char *sc_quote(struct sc_quoted *q, struct sc_str s);

/* -------------------------------------------------------------------------------- hashing ---
 * Keyed, so that a file cannot choose its collisions; the seed never shows in any output. */
uint64_t sc_hash(const void *p, size_t n);
uint64_t sc_hash_mix(uint64_t a, uint64_t b);

/* Open-addressing index from hash to a 32-bit id. The caller compares candidates. */
struct sc_index {
    uint64_t *slot; /* (upper 32 bits of hash) << 32 | id + 1; 0: free */
    size_t cap, n;
    bool filed; /* a large one is pages of a file */
};
int sc_index_reserve(struct sc_index *ix, size_t n, struct sc_error *e);
/* Next candidate id for hash, or UINT32_MAX. *probe starts at 0 and is kept by the caller. */
uint32_t sc_index_next(const struct sc_index *ix, uint64_t hash, size_t *probe);
/* Ask for the memory that sc_index_next() will look at; pays when hashes come in batches. */
static inline void sc_index_prefetch(const struct sc_index *ix, uint64_t hash)
{
#if defined(__GNUC__)
    __builtin_prefetch(&ix->slot[(size_t)(hash >> 32) & (ix->cap - 1)]);
#else
    (void)ix, (void)hash;
#endif
}
int sc_index_put(struct sc_index *ix, uint64_t hash, uint32_t id, struct sc_error *e);
void sc_index_clear(struct sc_index *ix);

/* --------------------------------------------------------------------------------- cursor ---
 * Every read of foreign bytes in memory goes through a cursor: it never passes `end`, reads by
 * shifts (no alignment, either byte order) and remembers where in the file it stands. */
struct sc_cursor {
    const uint8_t *p, *end;
    uint64_t offset; /* file position of p */
    bool big_endian;
};
static inline size_t sc_cursor_left(const struct sc_cursor *c)
{
    return (size_t)(c->end - c->p);
}
bool sc_cursor_skip(struct sc_cursor *c, uint64_t n);
bool sc_cursor_take(struct sc_cursor *c, uint64_t n, const uint8_t **out);
bool sc_cursor_u8(struct sc_cursor *c, uint8_t *out);
bool sc_cursor_u16(struct sc_cursor *c, uint16_t *out);
bool sc_cursor_u32(struct sc_cursor *c, uint32_t *out);
bool sc_cursor_u64(struct sc_cursor *c, uint64_t *out);
/* The bytes of a number as they lie in memory: whether the least one comes first. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define SC_LITTLE_ENDIAN 0
#else
#define SC_LITTLE_ENDIAN 1
#endif
/* Plain loads, which compilers widen in loops; p needs no alignment. */
static inline uint16_t sc_le16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return SC_LITTLE_ENDIAN ? v : __builtin_bswap16(v);
}
static inline uint32_t sc_le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return SC_LITTLE_ENDIAN ? v : __builtin_bswap32(v);
}
static inline uint64_t sc_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return SC_LITTLE_ENDIAN ? v : __builtin_bswap64(v);
}

/* The lowest bytes of v, the lowest first. */
static inline void sc_put_le(uint8_t *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

/* A float's bits, and back. */
static inline uint32_t sc_bits_of(float value)
{
    const union {
        float f;
        uint32_t u;
    } v = {value};
    return v.u;
}
static inline float sc_float_of(uint32_t bits)
{
    const union {
        uint32_t u;
        float f;
    } v = {bits};
    return v.f;
}

/* ----------------------------------------------------------------------------------- clock --- */
/* Since some moment, whatever is done to the time of day. */
uint64_t sc_microseconds(void);
uint64_t sc_milliseconds(void);

/* ------------------------------------------------------------------------ shared libraries --- */
struct sc_symbol {
    const char *name;
    void *slot; /* points to a function pointer, which is set */
};
/* Load the first of `names` (NULL-terminated) that is there and look up all symbols; it is never
 * unloaded. SCRUPLE_EUNSUPPORTED with a sentence that says what to install to do what ("read models
 * over the network"). Call once (pthread_once or under a lock). */
int sc_library_load(const char *const *names, const struct sc_symbol *symbols, size_t n,
                    const char *to_do_what, struct sc_error *e);

/* ----------------------------------------------------------------------------------- JSON ---
 * A strict one-pass scanner (RFC 8259, valid UTF-8, bounded depth, integers to 2^64-1 kept exact)
 * for documents that can be many megabytes: safetensors headers, index files, tokenizer.json.
 * Everything else is read with jansson. It allocates only to unescape strings. */
struct sc_json {
    const char *p, *end, *start;
    struct sc_arena *arena; /* where unescaped strings go; they stay as long as the arena */
    const char *problem;    /* set when a function returns false: a constant sentence */
    const char *problem_at;
};
void sc_json_start(struct sc_json *j, const char *p, size_t n, struct sc_arena *arena);
bool sc_json_char(struct sc_json *j, char c, const char *problem); /* skips white space first */
bool sc_json_peek(struct sc_json *j, char *out);                   /* false at the end */
bool sc_json_string(struct sc_json *j, struct sc_str *out);        /* borrowed or in the arena */
bool sc_json_u64(struct sc_json *j, uint64_t *out);
bool sc_json_literal(struct sc_json *j, const char *word);
bool sc_json_skip(struct sc_json *j); /* any value, fully checked */
bool sc_json_end(struct sc_json *j);  /* only white space is left */
/* The members of an object or the items of a list, one after another. */
struct sc_json_walk {
    char closer;
    bool begun;
};
/* Opens `{` or `[`; false: it does not stand there. */
bool sc_json_into(struct sc_json *j, struct sc_json_walk *w, char opener);
/* Moves to the next value, which the caller reads or skips; *key is set in objects. False: that was
 * all, or the JSON is wrong (j->problem). */
bool sc_json_on(struct sc_json *j, struct sc_json_walk *w, struct sc_str *key);
static inline uint64_t sc_json_offset(const struct sc_json *j, const char *at)
{
    return (uint64_t)(at - j->start);
}

#endif
