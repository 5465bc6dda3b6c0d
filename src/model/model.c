/* SPDX-License-Identifier: Apache-2.0 */
/* model: opening, totals, closing. The steps stand in files of their own:
 *
 *   catalog (format) -> config.c -> fold.c -> names.c -> tree.c, and facts.c when asked for */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

static bool is_opened(const struct sc_model *m, const char *path)
{
    for (size_t i = 0; i < m->catalog->n_files; i++)
        if (strcmp(m->catalog->files[i].path, path) == 0)
            return true;
    return false;
}

static int copy_file_list(struct sc_model *m, const struct sc_repo *repo, struct sc_error *e)
{
    m->files = sc_calloc(repo->n_files + 1, sizeof m->files[0]);
    if (!m->files)
        return sc_fail_memory(e);
    for (size_t i = 0; i < repo->n_files; i++) {
        const struct sc_repo_file *f = &repo->files[i];
        if (repo->selected && strcmp(repo->selected, f->path) != 0 && !is_opened(m, f->path))
            continue; /* a neighbour of the file that was named */
        const char *path = sc_arena_copy(&m->arena, f->path, strlen(f->path));
        if (!path)
            return sc_fail_memory(e);
        m->files[m->n_files++] = (struct sc_repo_file){path, f->bytes};
    }
    return 0;
}

unsigned sc_tensor_flags(const struct sc_model *m, const struct sc_tensor *t)
{
    unsigned flags = m->catalog->entries[t->main].flags;
    for (size_t i = 1; i < t->n_parts; i++)
        flags |= m->catalog->entries[m->parts[t->first_part + i].entry].flags & SC_ENTRY_BROKEN;
    return flags;
}

uint64_t sc_tensor_counted(const struct sc_model *m, const struct sc_tensor *t)
{
    if (m->catalog->n_views == 0 && m->catalog->n_errors == 0)
        return t->parameters; /* nothing shared or broken: spares a million entries a look */
    const struct sc_entry *en = &m->catalog->entries[t->main];
    if (sc_tensor_flags(m, t) & (SC_ENTRY_TIED | SC_ENTRY_BROKEN))
        return 0;
    if (t->n_parts != 1 || en->view == SC_NO_STORAGE || en->dtype & SC_FOREIGN_TYPE)
        return t->parameters;
    const struct sc_storage *s = &m->catalog->storages[m->catalog->views[en->view].storage];
    const double bits = sc_codec_bits((sc_codec_id)en->dtype);
    if (s->method != 0 || bits < 1)
        return t->parameters;
    /* A stride of 0 repeats elements: no more count than lie in the bytes. */
    const double held = (double)en->bytes * 8 / bits;
    return held < (double)t->parameters ? (uint64_t)held : t->parameters;
}

static void add_up(struct sc_model *m)
{
    for (size_t i = 0; i < m->n_tensors; i++) {
        m->bytes = sc_add_up(m->bytes, m->tensors[i].bytes);
        m->parameters = sc_add_up(m->parameters, sc_tensor_counted(m, &m->tensors[i]));
    }
}

/* NULL stays NULL. */
static int copy_text(struct sc_model *m, const char *text, char **out, struct sc_error *e)
{
    *out = text ? sc_arena_copy(&m->arena, text, strlen(text)) : NULL;
    return text && !*out ? sc_fail_memory(e) : 0;
}

/* What will be read beside the weights, so that a remote repository fetches it all at once. */
static void expect_small_files(struct sc_repo *repo, const struct sc_open_options *o)
{
    static const char *const config[] = {"config.json", "params.json", "model_index.json"};
    static const char *const quantization[] = {"hf_quant_config.json", "quantize_config.json"};
    static const char *const facts[] = {"README.md",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "tokenizer/tokenizer.json",
                                        "tokenizer/tokenizer_config.json",
                                        "tokenizer/special_tokens_map.json"};
    if (!repo->ops->expect)
        return;
    bool found = false; /* the first that is there is read, as in config.c */
    for (size_t i = 0; i < SC_COUNT(config) && !found; i++) {
        found = sc_repo_find(repo, config[i]) != NULL;
        if (found)
            sc_repo_expect(repo, config[i], SC_MAX_CONFIG_BYTES, 0);
    }
    for (size_t i = 0; i < SC_COUNT(quantization); i++)
        if (sc_repo_find(repo, quantization[i]))
            sc_repo_expect(repo, quantization[i], SC_MAX_CONFIG_BYTES, 0);
    for (size_t i = 0; o && o->facts && i < SC_COUNT(facts); i++)
        if (sc_repo_find(repo, facts[i]))
            sc_repo_expect(repo, facts[i], SC_MAX_CONFIG_BYTES, 0);
}

/* What the Hub says of the repository as a whole. */
static int read_hub_facts(struct sc_model *m, const struct sc_repo *repo, struct sc_error *e)
{
    const struct sc_hub_listing *l = sc_repo_listing(repo);
    struct sc_buf page = {0};
    if (!l)
        return 0;
    m->gated = l->gated;
    m->is_private = l->is_private;
    sc_hub_page(&page, sc_repo_hub(repo), l);
    const int status =
        page.failed || !page.p ? sc_fail_memory(e) : copy_text(m, page.p, &m->page, e);
    sc_buf_clear(&page);
    return status;
}

static int open_steps(struct sc_model *m, struct sc_repo *repo, const struct sc_open_options *o,
                      struct sc_error *e)
{
    TRY(copy_text(m, repo->label, &m->label, e));
    TRY(copy_text(m, repo->revision, &m->revision, e));
    TRY(copy_text(m, repo->commit, &m->commit, e));
    TRY(read_hub_facts(m, repo, e));
    m->origin = repo->origin;
    repo->io = &m->io;
    m->repo = repo;
    expect_small_files(repo, o);
    TRY(sc_catalog_open(repo, o, &m->catalog, e));
    TRY(copy_file_list(m, repo, e));
    TRY(sc_model_read_config(m, repo, e));
    TRY(sc_model_read_adapter(m, repo, e));
    TRY(sc_model_fold(m, e));
    if (!o || !o->names_only)
        sc_model_classify(m);
    TRY(sc_model_build_tree(m, e));
    add_up(m);
    if (o && o->facts)
        TRY(sc_model_read_facts(m, repo, e));
    sc_repo_settle(repo);
    if (o && o->keep_repo)
        TRY(sc_model_sources_new(m, e));
    return o && o->check ? sc_model_check(m, e) : 0;
}

int sc_model_open_repo(struct sc_repo *repo, const struct sc_open_options *o, struct sc_model **out,
                       struct sc_error *e)
{
    *out = NULL;
    struct sc_model *m = sc_calloc(1, sizeof *m);
    const int status = m ? open_steps(m, repo, o, e) : sc_fail_memory(e);
    if (status < 0 || !o || !o->keep_repo) {
        sc_repo_close(repo);
        if (m)
            m->repo = NULL;
    }
    if (status < 0) {
        sc_model_close(m);
        return status;
    }
    m->catalog->options = NULL;
    *out = m;
    return 0;
}

int sc_model_open(const char *path, const struct sc_open_options *o, struct sc_model **out,
                  struct sc_error *e)
{
    struct sc_repo *repo = NULL;
    struct sc_hub_options hub = {0};
    *out = NULL;
    if (o && o->hub)
        hub = *o->hub;
    if (o && !hub.cancel)
        hub.cancel = o->cancel;
    if (o && !hub.note) {
        hub.note = o->note;
        hub.note_ctx = o->note_ctx;
    }
    TRY(sc_repo_open(path, &hub, &repo, e));
    return sc_model_open_repo(repo, o, out, e);
}

void sc_model_close(struct sc_model *m)
{
    if (!m)
        return;
    sc_model_sources_free(m->sources);
    sc_repo_close(m->repo);
    sc_catalog_close(m->catalog);
    sc_pages_free(m->tensors);
    sc_pages_free(m->parts);
    sc_pages_free(m->nodes);
    free(m->files);
    sc_arena_clear(&m->arena);
    free(m);
}
