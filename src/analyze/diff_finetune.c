/* SPDX-License-Identifier: Apache-2.0 */
/* diff_finetune: a fine-tune keeps the names and the shapes of its base, and changes values.
 *
 * Owns: when B is taken for a fine-tune of A (its model card says so), and what it then does not
 * keep. Does not own: who asks for it or against it. */
#include <string.h>
#include <strings.h>

#include "analyze/diff.h"

struct sc_str sc_last_part(const char *name)
{
    size_t n = strlen(name), from;

    while (n > 0 && name[n - 1] == '/')
        n--;
    for (from = n; from > 0 && name[from - 1] != '/';)
        from--;
    return sc_str(name + from, n - from);
}

/* Whether a model that was opened as `label` can be the one that a card calls `id`. */
static bool is_named(const struct sc_model *m, const char *id)
{
    if (strcasecmp(m->label, id) == 0)
        return true;
    return strcmp(m->origin, "local") == 0 && sc_last_part(id).n > 0 &&
           sc_str_eq_nocase(sc_last_part(m->label), sc_last_part(id));
}

bool sc_is_finetune(const struct sc_model *a, const struct sc_model *b, const char **base)
{
    const struct sc_card_facts *card = &b->card;

    if (card->base_model_relation && strcasecmp(card->base_model_relation, "finetune") != 0)
        return false;
    for (size_t i = 0; i < card->n_base_models; i++)
        if (is_named(a, card->base_model[i])) {
            *base = card->base_model[i];
            return true;
        }
    return false;
}

size_t sc_diff_violations(const struct sc_diff *d)
{
    return d->n_status[SC_DIFF_ONLY_A] + d->n_status[SC_DIFF_ONLY_B] + d->n_status[SC_DIFF_SHAPE];
}

static void add_finding(struct sc_document *doc, struct sc_field *into, const char *what,
                        const struct sc_diff *d, enum sc_diff_status status)
{
    struct sc_field *f;

    if (!d->n_status[status])
        return;
    f = sc_add_object(doc, into, NULL);
    sc_add_textz(doc, f, "status", sc_diff_status_names[status]);
    sc_add_uint(doc, f, "tensors", d->n_status[status], SC_COL_COUNT);
    sc_add_textz(doc, f, "what", what);
}

void sc_finetune_add(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d)
{
    if (!d->finetune) {
        sc_add_null(doc, into, "finetune");
        return;
    }
    struct sc_field *f = sc_add_object(doc, into, "finetune");
    sc_add_textz(doc, f, "base", d->finetune_base);
    sc_add_uint(doc, f, "violations", sc_diff_violations(d), SC_COL_COUNT);
    struct sc_field *list = sc_add_list(doc, f, "findings");
    add_finding(doc, list, "tensors of the base that the fine-tune does not have", d,
                SC_DIFF_ONLY_A);
    add_finding(doc, list, "tensors that the base does not have", d, SC_DIFF_ONLY_B);
    add_finding(doc, list, "tensors with another shape than in the base", d, SC_DIFF_SHAPE);
    sc_add_bool(doc, f, "unchanged", d->n > 0 && d->n_status[SC_DIFF_SAME] == d->n);
    sc_add_bool(doc, f, "unrelated",
                d->n > 0 && !d->n_status[SC_DIFF_SAME] && !d->n_status[SC_DIFF_CHANGED]);
}

void sc_finetune_sentence(const struct sc_diff *d, struct sc_buf *out)
{
    const size_t n = sc_diff_violations(d);

    if (!d->finetune || !d->n)
        return;
    if (d->n_status[SC_DIFF_SAME] == d->n)
        sc_buf_puts(out, "; the fine-tune changes nothing");
    else if (n)
        sc_buf_printf(out, "; %zu tensor%s not as a fine-tune keeps %s", n, n == 1 ? "" : "s",
                      n == 1 ? "it" : "them");
}
