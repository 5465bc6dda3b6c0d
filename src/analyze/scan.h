/* SPDX-License-Identifier: Apache-2.0 */
/* scan: the figures of a model, and the document that tells them.
 *
 * Owns: which tensors are measured and which are known already, where figures are kept while the
 * scan goes on, tensors that hold the same values, the document "scruple.scan/1", the tables that
 * a terminal shows, the layout of other programs' documents.
 *
 * Does not own: figures (elements.c, spectrum.c), verdicts (issues.c), words and colours.
 *
 * A scan is used by one thread; it takes threads of its own while it measures.
 */
#ifndef SC_SCAN_H
#define SC_SCAN_H

#include "analyze/analyze.h"
#include "analyze/figures.h"
#include "analyze/health.h"

#define SC_SCHEMA_SCAN "scruple.scan/1"

struct sc_scan_options {
    struct sc_measure measure;
    const struct sc_filter *filter; /* NULL: all tensors */
    const struct sc_model *base;    /* what is measured is the difference from it; NULL: none */
    struct sc_pool *pool;           /* borrowed */
    uint64_t memory;                /* budget in bytes, as sc_memory_budget() gives it */
    const char *cache;              /* folder of the store of results; NULL: none */
    /* Sees all values of the tensors that are chosen on the same way; what it wants of those whose
     * figures are known is read for it alone. What it cannot do fails no scan, but for its end()
     * and begin() with SCRUPLE_EMEMORY. NULL: none. Not with a base. */
    const struct sc_pass *beside;
    void *beside_ctx;
    const _Atomic int *cancel;
    /* Bytes of tensors that are read, of all that will be. One at a time, from any thread. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *tensor);
    void (*note)(void *ctx, const char *sentence);
    void *ctx; /* of both */
};

struct sc_scan {
    const struct sc_model *model; /* borrowed */
    const struct sc_model *base; /* borrowed; NULL: none. Differences have no issues and no twins */
    struct sc_measure measure;
    bool filtered;
    uint32_t *tensors;               /* (n) indices into model->tensors, ascending */
    const struct sc_health **health; /* (n) NULL: not measured; a tied tensor has its twin's */
    struct sc_scanned *scanned;      /* (n) the same for the rules */
    size_t n;
    struct sc_issues issues; /* ranked */
    uint32_t *issue_of;      /* (issues.n) positions in issues, by tensor, then by rank */
    uint32_t *first_issue;   /* (n + 1) where those of tensor i begin in issue_of */
    uint64_t opened_bytes, opened_requests; /* to open the model */
    uint64_t bytes_read;                    /* stored bytes of the tensors that were read now */
    size_t n_measured;                      /* have figures, tied ones not counted */
    size_t n_known;                         /* of them: from the store */
    size_t n_tied, n_unsupported, n_unreadable;
    size_t n_unreached;        /* of the unreadable: because the network failed */
    uint64_t judged;           /* parameters of the measured ones; 0: there is nothing to judge */
    size_t n_severity[3];      /* issues */
    struct sc_records records; /* struct sc_health */
    struct sc_arena arena;
};

static inline struct sc_health *sc_scan_record(const struct sc_scan *s, size_t i)
{
    return sc_record(&s->records, i);
}

/* The default: basic, sparsity, quantization; 8 bits, groups of 128. */
struct sc_measure sc_measure_default(void);
/* "basic,spectral", "all" -> enum sc_method; SCRUPLE_EUSAGE with a sentence that lists them. */
int sc_methods_parse(const char *text, unsigned *methods, struct sc_error *e);

/* Measures, or takes from the store, then judges. The model must have been opened with keep_repo.
 * SCRUPLE_EINTERRUPTED: what was measured so far is in the store. A tensor that cannot be read is
 * no failure. *out must be freed in every case but NULL. */
int sc_scan_run(const struct sc_model *m, const struct sc_scan_options *o, struct sc_scan **out,
                struct sc_error *e);
void sc_scan_free(struct sc_scan *s); /* NULL is allowed */
/* Headers and tensors, and the requests for headers: how tensors are read depends on the machine.
 * Of a model elsewhere what came over the network. */
uint64_t sc_scan_bytes_read(const struct sc_scan *s);
uint64_t sc_scan_requests(const struct sc_scan *s);

/* "errors" (of values, or of a file that was opened leniently), "warnings", "healthy" or "unknown"
 * (nothing was measured), or "difference" from a base; and a sentence, which is appended. */
const char *sc_scan_verdict(const struct sc_scan *s);
void sc_scan_sentence(const struct sc_scan *s, struct sc_buf *out);

/* scan_document.c: adds "model", "io", "totals", ["matched"], "methods", "settings", "verdict",
 * "sentence", "summary", "roles", "rules", "issues", "tensors". `full`: with the data of pictures.
 * The scan must outlive the document. */
int sc_analyze_scan(struct sc_document *d, struct sc_field *into, const struct sc_scan *s,
                    bool full, struct sc_error *e);

/* scan_top.c: tables for a terminal, at most `limit` rows, worst first; in the document's arena.
 * NULL when there is nothing to show (not measured, no such tensor). */
enum sc_scan_table {
    SC_SCAN_ROLES, /* kinds of weights with a line of bars along the layers */
    SC_SCAN_CONDITION,
    SC_SCAN_ROUNDING,
    SC_SCAN_SPARSE,
    SC_SCAN_TABLES
};
const struct sc_table *sc_scan_table(struct sc_document *d, const struct sc_scan *s,
                                     enum sc_scan_table which, size_t limit, size_t bars,
                                     bool ascii, struct sc_error *e);
extern const char *const sc_scan_table_titles[SC_SCAN_TABLES];

/* scan_compat.c: what WeightScope writes of a layer; false: it would not look at this tensor. */
bool sc_scan_weightscope(const struct sc_scan *s, size_t i, struct sc_document *d,
                         struct sc_field *into, struct sc_buf *key);
/* The layers that Spectrum would leave trainable: of each kind the half with the largest ratio of
 * signal to noise, as YAML. mp: signal is what lies above the edge of Marchenko and Pastur. */
int sc_scan_unfrozen(const struct sc_scan *s, bool mp, struct sc_buf *out, struct sc_error *e);

#endif
