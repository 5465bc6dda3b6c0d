/* SPDX-License-Identifier: Apache-2.0 */
/* regex: the regular expressions of tokenizers, as tables. Private to the layer.
 *
 * The syntax is Oniguruma's in its Ruby flavour, because that is what the Rust tokenizers use, as
 * far as tokenizers use it: alternation, groups, classes (nested, negated, intersected, POSIX
 * names), \s \d \w \h, \p{..} of categories and some scripts, greedy, lazy and possessive
 * repetition, (?i), ^ $ \A \z \b \B, and looking ahead or behind by one character. Anything else
 * (captured groups that are referred to, longer looks, atomic groups) is refused with a sentence.
 *
 * A pattern becomes a deterministic automaton that keeps the order of alternatives (the first that
 * matches wins, not the longest) and decides one character late, so that it can look ahead. It
 * never goes back: a match costs one table entry a character, whatever the pattern. Where the
 * automaton would be larger than REGEX_CELLS the pattern is refused.
 *
 * Ignoring case is by simple folding: a single character that folds to two (U+00DF to "ss") is not
 * matched by those two.
 *
 * A compiled pattern is immutable and may be used from many threads. */
#ifndef SC_TEXT_REGEX_H
#define SC_TEXT_REGEX_H

#include "base/base.h"

struct sc_regex {
    uint32_t
        *next; /* (states, symbols) state after it << 1 | a match ends before it; state 0 is dead */
    uint32_t *fast;  /* (states, 128) of `next`, by the character itself where it is ASCII */
    uint32_t *start; /* (symbols + 1) by what stands before; the last: nothing does */
    uint16_t *block; /* (8704) symbols of code points, two levels of 128 */
    uint8_t *cell;
    uint8_t ascii[128];
    uint32_t n_symbols; /* the last one is the end of the text */
    uint32_t n_states;
    bool looks_behind;
};
int sc_regex_compile(struct sc_str pattern, struct sc_regex *out, struct sc_error *e);
/* The pattern that matches exactly this text. */
int sc_regex_literal(struct sc_str text, struct sc_regex *out, struct sc_error *e);
void sc_regex_clear(struct sc_regex *r);

/* Where the next match begins and ends, from `at` on; false: there is none. Text is valid UTF-8.
 * Patterns that look far ahead for nothing cost more than one look a character: *fuel counts down,
 * and at 0 the answer is false; a caller starts with SC_REGEX_FUEL(n) for a text of n bytes and
 * looks at it afterwards. */
#define SC_REGEX_FUEL(n) ((uint64_t)(n)*64 + 65536)
struct sc_match {
    size_t from, to;
};
bool sc_regex_next(const struct sc_regex *r, struct sc_str text, size_t at, uint64_t *fuel,
                   struct sc_match *out);
/* The longest way of the pattern that begins right at `at`: SIZE_MAX or its end. */
size_t sc_regex_at(const struct sc_regex *r, struct sc_str text, size_t at, uint64_t *fuel);

/* ------------------------------------------------------------------- between the files of it ---
 */
enum regex_op {
    REGEX_CHAR,
    REGEX_SPLIT,
    REGEX_JUMP,
    REGEX_AHEAD,
    REGEX_NOT_AHEAD,
    REGEX_BEHIND,
    REGEX_NOT_BEHIND,
    REGEX_MATCH
};
enum {
    REGEX_SETS = 64,
    REGEX_CODE = 4096,
    REGEX_CELLS = 1 << 18,
    REGEX_DEPTH = 32,
    REGEX_PATTERN = 65536
};
struct regex_inst {
    uint8_t op;
    uint8_t set;
    int32_t x, y; /* relative: where to go first, and else */
};
/* Sorted, apart from each other. */
struct regex_range {
    uint32_t from, to;
};
struct regex_set {
    struct regex_range *p;
    size_t n, cap;
};
struct regex_program {
    struct regex_inst *code;
    size_t n, cap;
    struct regex_set sets[REGEX_SETS];
    size_t n_sets;
};
int sc_regex_parse(struct sc_str pattern, struct regex_program *out, struct sc_error *e);
void sc_regex_program_clear(struct regex_program *p);
int sc_regex_build(const struct regex_program *g, struct sc_regex *out, struct sc_error *e);

/* regex_set.c */
int sc_set_add(struct regex_set *s, uint32_t from, uint32_t to, struct sc_error *e);
int sc_set_union(struct regex_set *s, const struct regex_set *other, struct sc_error *e);
void sc_set_settle(struct regex_set *s); /* after adding: in order, merged */
int sc_set_negate(struct regex_set *s, struct sc_error *e);
int sc_set_intersect(struct regex_set *s, const struct regex_set *other, struct sc_error *e);
int sc_set_fold(struct regex_set *s, struct sc_error *e);
bool sc_set_equal(const struct regex_set *a, const struct regex_set *b);
void sc_set_clear(struct regex_set *s);
/* "L", "Lu", "Han", "Alphabetic", "space" ...: the names of \p{..} and [:..:]. 0: unknown; 1; or an
 * error. */
int sc_set_property(struct regex_set *s, struct sc_str name, bool posix, struct sc_error *e);

#endif
