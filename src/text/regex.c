/* SPDX-License-Identifier: Apache-2.0 */
/* regex: from a program to an automaton, and running it.
 *
 * A state is an ordered list of places in the program, from the most wanted to the least: where the
 * threads of a backtracking matcher would stand, had it tried all ways at once. A symbol is a set
 * of code points that no class of the pattern tells apart, or the end of the text. Looking ahead
 * costs nothing, because a state is left only when the next symbol is known; looking behind makes
 * the last symbol part of the state. A thread that reaches the end of the program cuts off all that
 * stand after it, as in a matcher that takes the first way. */
#include "text/regex.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

enum {
    LAST = 0x10FFFF,
    N_BLOCKS = 8704,
    MAX_SYMBOLS = 250,
    MAX_STATES = 4096,
    MAX_WORK = 40 << 20
};

/* ------------------------------------------------------------------------------------ symbols ---
 */
struct symbols {
    uint64_t *sets; /* (n) the sets that a symbol is in */
    size_t n, cap;
};

static int symbol_of(struct symbols *y, uint64_t sets, uint8_t *out, struct sc_error *e)
{
    for (size_t i = 0; i < y->n; i++)
        if (y->sets[i] == sets) {
            *out = (uint8_t)i;
            return 0;
        }
    if (y->n == MAX_SYMBOLS)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                       "a regular expression tells more than %d sets of characters apart",
                       MAX_SYMBOLS);
    TRY(sc_grow(&y->sets, &y->cap, y->n + 1, sizeof *y->sets, e));
    y->sets[y->n] = sets;
    *out = (uint8_t)y->n++;
    return 0;
}

/* Which sets the code points of one block are in: false, all of them are in the same. */
static bool block_sets(const struct regex_program *g, size_t *at, uint32_t from, uint64_t out[128])
{
    bool differs = false;
    memset(out, 0, 128 * sizeof *out);
    for (size_t s = 0; s < g->n_sets; s++) {
        const struct regex_set *set = &g->sets[s];
        while (at[s] < set->n && set->p[at[s]].to < from)
            at[s]++;
        for (size_t i = at[s]; i < set->n && set->p[i].from < from + 128; i++) {
            const uint32_t a = SC_MAX(set->p[i].from, from), b = SC_MIN(set->p[i].to, from + 127);
            differs |= a != from || b != from + 127;
            for (uint32_t c = a; c <= b; c++)
                out[c - from] |= UINT64_C(1) << s;
        }
    }
    return differs;
}

static int find_symbols(const struct regex_program *g, struct sc_regex *r, struct symbols *y,
                        struct sc_error *e)
{
    size_t at[REGEX_SETS] = {0}, n_cells = 0, cap = 0;
    int32_t uniform[MAX_SYMBOLS];
    uint64_t sets[128];

    memset(uniform, -1, sizeof uniform);
    r->block = sc_calloc(N_BLOCKS, sizeof *r->block);
    if (!r->block)
        return sc_fail_memory(e);
    for (uint32_t b = 0; b < N_BLOCKS; b++) {
        const bool differs = block_sets(g, at, b << 7, sets);
        uint8_t symbol;
        TRY(symbol_of(y, sets[0], &symbol, e));
        if (!differs && uniform[symbol] >= 0) {
            r->block[b] = (uint16_t)uniform[symbol];
            continue;
        }
        TRY(sc_grow(&r->cell, &cap, n_cells + 128, 1, e));
        r->block[b] = (uint16_t)(n_cells >> 7);
        if (!differs)
            uniform[symbol] = (int32_t)(n_cells >> 7);
        for (unsigned i = 0; i < 128; i++)
            if (i && sets[i] == sets[i - 1])
                r->cell[n_cells + i] = r->cell[n_cells + i - 1];
            else
                TRY(symbol_of(y, sets[i], &r->cell[n_cells + i], e));
        n_cells += 128;
    }
    memcpy(r->ascii, r->cell, 128);
    r->n_symbols = (uint32_t)y->n + 1;
    return 0;
}

/* ------------------------------------------------------------------------------------- states ---
 */
struct builder {
    const struct regex_program *g;
    struct sc_regex *r;
    struct symbols y;
    struct sc_index index; /* of states, by their list */
    uint16_t *lists;       /* behind, n, places ... of all states */
    size_t n_lists, lists_cap;
    size_t *list_of; /* (states) */
    size_t n_states, list_cap;
    size_t next_cap;
    uint64_t work;
    uint16_t *stack, *found, *made; /* scratch, of the length of the program */
    uint8_t *seen;
    struct sc_error *e;
};

static int too_large(struct builder *b)
{
    return sc_fail(b->e, SCRUPLE_EUNSUPPORTED,
                   "a regular expression needs more than %d states or %d cells", MAX_STATES,
                   REGEX_CELLS);
}

static bool in_set(const struct builder *b, uint16_t symbol, unsigned set)
{
    return symbol < b->y.n && (b->y.sets[symbol] >> set & 1);
}

static bool holds(const struct builder *b, struct regex_inst i, uint16_t behind, uint16_t ahead)
{
    switch ((enum regex_op)i.op) {
    case REGEX_AHEAD:
        return in_set(b, ahead, i.set);
    case REGEX_NOT_AHEAD:
        return !in_set(b, ahead, i.set);
    case REGEX_BEHIND:
        return in_set(b, behind, i.set);
    case REGEX_NOT_BEHIND:
        return !in_set(b, behind, i.set);
    case REGEX_CHAR:
    case REGEX_SPLIT:
    case REGEX_JUMP:
    case REGEX_MATCH:
        break;
    }
    return true;
}

/* From the places of a state to the characters that may come, in order, given what comes; true: the
 * program's end is among them, and what stands after it is left out. */
static bool close_over(struct builder *b, const uint16_t *list, size_t n, uint16_t behind,
                       uint16_t ahead, size_t *n_found)
{
    *n_found = 0;
    memset(b->seen, 0, b->g->n);
    for (size_t i = 0; i < n; i++) {
        size_t depth = 0;
        b->stack[depth++] = list[i];
        while (depth) {
            const uint16_t at = b->stack[--depth];
            const struct regex_inst inst = b->g->code[at];
            b->work++;
            if (b->seen[at])
                continue;
            b->seen[at] = 1;
            if (inst.op == REGEX_MATCH)
                return true;
            if (inst.op == REGEX_CHAR) {
                if (in_set(b, ahead, inst.set))
                    b->found[(*n_found)++] = at;
            } else if (inst.op == REGEX_SPLIT) {
                b->stack[depth++] = (uint16_t)(at + inst.y);
                b->stack[depth++] = (uint16_t)(at + inst.x);
            } else if (inst.op == REGEX_JUMP) {
                b->stack[depth++] = (uint16_t)(at + inst.x);
            } else if (holds(b, inst, behind, ahead)) {
                b->stack[depth++] = (uint16_t)(at + 1);
            }
        }
    }
    return false;
}

/* The number of the state with this list; a new one where there is none. */
static int state_of(struct builder *b, const uint16_t *list, size_t n, uint16_t behind,
                    uint32_t *out)
{
    const uint64_t hash = sc_hash_mix(sc_hash(list, n * sizeof *list), behind);
    size_t probe = 0;
    for (uint32_t id; (id = sc_index_next(&b->index, hash, &probe)) != UINT32_MAX;) {
        const uint16_t *have = b->lists + b->list_of[id];
        if (have[0] == behind && have[1] == n && memcmp(have + 2, list, n * sizeof *list) == 0) {
            *out = id;
            return 0;
        }
    }
    if (b->n_states == MAX_STATES || (b->n_states + 1) * b->r->n_symbols > REGEX_CELLS)
        return too_large(b);
    TRY(sc_grow(&b->lists, &b->lists_cap, b->n_lists + n + 2, sizeof *b->lists, b->e));
    TRY(sc_grow(&b->list_of, &b->list_cap, b->n_states + 1, sizeof *b->list_of, b->e));
    TRY(sc_index_put(&b->index, hash, (uint32_t)b->n_states, b->e));
    b->list_of[b->n_states] = b->n_lists;
    b->lists[b->n_lists] = behind;
    b->lists[b->n_lists + 1] = (uint16_t)n;
    memcpy(b->lists + b->n_lists + 2, list, n * sizeof *list);
    b->n_lists += n + 2;
    *out = (uint32_t)b->n_states++;
    return 0;
}

static int step(struct builder *b, uint32_t state, uint16_t symbol, uint32_t *out)
{
    const uint16_t *list = b->lists + b->list_of[state];
    const uint16_t behind = list[0];
    size_t n;
    uint32_t to = 0;
    const bool match = close_over(b, list + 2, list[1], behind, symbol, &n);

    for (size_t i = 0; i < n; i++)
        b->made[i] = (uint16_t)(b->found[i] + 1);
    if (b->work > MAX_WORK)
        return too_large(b);
    if (n)
        TRY(state_of(b, b->made, n, b->r->looks_behind ? symbol : 0, &to));
    *out = to << 1 | match;
    return 0;
}

static int build_states(struct builder *b)
{
    const uint16_t begin[1] = {0};
    const uint32_t k = b->r->n_symbols;
    uint32_t dead;

    for (size_t i = 0; i < b->g->n; i++)
        b->r->looks_behind |=
            b->g->code[i].op == REGEX_BEHIND || b->g->code[i].op == REGEX_NOT_BEHIND;
    TRY(state_of(b, begin, 0, UINT16_MAX, &dead));
    b->r->start = sc_calloc(k + 1, sizeof *b->r->start);
    if (!b->r->start)
        return sc_fail_memory(b->e);
    for (uint16_t behind = 0; behind <= k; behind++)
        TRY(state_of(b, begin, 1, b->r->looks_behind ? behind : 0, &b->r->start[behind]));
    for (uint32_t state = 0; state < b->n_states; state++) {
        TRY(sc_grow(&b->r->next, &b->next_cap, ((size_t)state + 1) * k, sizeof *b->r->next, b->e));
        for (uint16_t symbol = 0; symbol < k; symbol++)
            if (state == dead)
                b->r->next[symbol] = 0;
            else
                TRY(step(b, state, symbol, &b->r->next[(size_t)state * k + symbol]));
    }
    b->r->n_states = (uint32_t)b->n_states;
    b->r->fast = sc_calloc(b->n_states * 128, sizeof *b->r->fast);
    if (!b->r->fast)
        return sc_fail_memory(b->e);
    for (size_t state = 0; state < b->n_states; state++)
        for (unsigned c = 0; c < 128; c++)
            b->r->fast[state * 128 + c] = b->r->next[state * k + b->r->ascii[c]];
    return 0;
}

int sc_regex_build(const struct regex_program *g, struct sc_regex *out, struct sc_error *e)
{
    struct builder b = {.g = g, .r = out, .e = e};
    *out = (struct sc_regex){0};
    b.stack = sc_calloc(2 * g->n + 2, sizeof *b.stack);
    b.found = sc_calloc(g->n + 1, sizeof *b.found);
    b.made = sc_calloc(g->n + 1, sizeof *b.made);
    b.seen = sc_calloc(g->n + 1, 1);
    int code = b.stack && b.found && b.made && b.seen ? 0 : sc_fail_memory(e);
    if (code == 0)
        code = find_symbols(g, out, &b.y, e);
    if (code == 0)
        code = build_states(&b);
    sc_index_clear(&b.index);
    free(b.lists);
    free(b.list_of);
    free(b.stack);
    free(b.found);
    free(b.made);
    free(b.seen);
    free(b.y.sets);
    if (code < 0)
        sc_regex_clear(out);
    return code;
}

int sc_regex_compile(struct sc_str pattern, struct sc_regex *out, struct sc_error *e)
{
    struct regex_program g;
    struct sc_quoted q;
    *out = (struct sc_regex){0};
    TRY(sc_regex_parse(pattern, &g, e));
    const int code = sc_regex_build(&g, out, e);
    sc_regex_program_clear(&g);
    if (code == SCRUPLE_EUNSUPPORTED)
        sc_error_prefix(e, "\"%s\"", sc_quote(&q, pattern));
    return code;
}

int sc_regex_literal(struct sc_str text, struct sc_regex *out, struct sc_error *e)
{
    struct sc_buf b = {.max = REGEX_PATTERN};
    for (size_t i = 0; i < text.n; i++) {
        if (strchr("\\^$.[]|()?*+{}&-~#", text.p[i]) && text.p[i])
            sc_buf_putc(&b, '\\');
        sc_buf_putc(&b, text.p[i]);
    }
    *out = (struct sc_regex){0};
    const int code =
        b.failed ? sc_fail(e, SCRUPLE_ELIMIT, "a pattern of more than %d bytes", REGEX_PATTERN)
                 : sc_regex_compile(sc_str(b.p ? b.p : "", b.n), out, e);
    sc_buf_clear(&b);
    return code;
}

void sc_regex_clear(struct sc_regex *r)
{
    free(r->next);
    free(r->fast);
    free(r->start);
    free(r->block);
    free(r->cell);
    *r = (struct sc_regex){0};
}

/* ------------------------------------------------------------------------------------- running ---
 */
static inline uint32_t symbol_at(const struct sc_regex *r, const char *p, size_t *length)
{
    const uint8_t first = (uint8_t)*p;
    uint32_t c;
    if (first < 128) {
        *length = 1;
        return r->ascii[first];
    }
    *length = sc_uc_next(p, &c);
    return r->cell[(uint32_t)r->block[c >> 7] << 7 | (c & 127)];
}

static uint32_t symbol_before(const struct sc_regex *r, struct sc_str text, size_t at)
{
    size_t length;
    if (at == 0)
        return r->n_symbols;
    do
        at--;
    while (at && ((uint8_t)text.p[at] & 0xC0) == 0x80);
    return symbol_at(r, text.p + at, &length);
}

size_t sc_regex_at(const struct sc_regex *r, struct sc_str text, size_t at, uint64_t *fuel)
{
    const uint32_t *next = r->next, *fast = r->fast;
    const uint32_t k = r->n_symbols;
    const size_t begin = at;
    size_t end = SIZE_MAX;
    uint32_t state = r->start[r->looks_behind ? symbol_before(r, text, at) : 0];

    for (;;) {
        /* A state that stays the same is not waited for: its row is known before the entry is. */
        while (state && at < text.n && (uint8_t)text.p[at] < 128) {
            const uint32_t *row = fast + ((size_t)state << 7);
            uint32_t entry;
            do {
                entry = row[(uint8_t)text.p[at]];
                if (entry & 1)
                    end = at;
                at++;
            } while (entry >> 1 == state && at < text.n && (uint8_t)text.p[at] < 128);
            state = entry >> 1;
        }
        if (!state)
            break;
        size_t length = 0;
        const uint32_t symbol = at < text.n ? symbol_at(r, text.p + at, &length) : k - 1;
        const uint32_t entry = next[(size_t)state * k + symbol];
        if (entry & 1)
            end = at;
        state = entry >> 1;
        at += length;
    }
    const size_t used = at - begin + 1;
    *fuel = *fuel > used ? *fuel - used : 0;
    return end;
}

/* Past characters that begin no match: where few do, a search goes as fast as this. */
static size_t skip(const struct sc_regex *r, struct sc_str text, size_t at)
{
    if (r->looks_behind)
        return at;
    const uint32_t *fast = r->fast + ((size_t)r->start[0] << 7),
                   *next = r->next + (size_t)r->start[0] * r->n_symbols;
    while (at < text.n) {
        const uint8_t c = (uint8_t)text.p[at];
        size_t length = 1;
        if ((c & 0xC0) == 0x80 || (c < 128 ? fast[c] : next[symbol_at(r, text.p + at, &length)]))
            break;
        at += length;
    }
    return at;
}

bool sc_regex_next(const struct sc_regex *r, struct sc_str text, size_t at, uint64_t *fuel,
                   struct sc_match *out)
{
    for (; at <= text.n && *fuel; at++) {
        const size_t from = at;
        at = skip(r, text, at);
        *fuel -= SC_MIN(*fuel, at - from);
        if (at < text.n && ((uint8_t)text.p[at] & 0xC0) == 0x80)
            continue;
        const size_t end = sc_regex_at(r, text, at, fuel);
        if (end != SIZE_MAX) {
            *out = (struct sc_match){at, end};
            return true;
        }
    }
    return false;
}
