/* SPDX-License-Identifier: Apache-2.0 */
/* weights: decide which files of a folder are the model.
 *
 * A folder can hold one model several times over (safetensors, GGUF and pickle of the same
 * weights, fp16 variants, training checkpoints). The rules, in this order; each choice is told to
 * the user, and --include/--exclude override them all:
 *
 *   1. The user named a file: that file; with an index file its shards; with one part of a split
 *      GGUF all its parts.
 *   2. The weight set: safetensors if there are any, else GGUF, else PyTorch, else NPZ/NPY.
 *   3. In each folder of that set: the shards of its index if it has one, else its files, where
 *      NAME-00001-of-00003 are one group and NAME.fp16 is a variant of NAME and left out.
 *   4. Folders named original, onnx, checkpoint-N ... are copies when the root has weights; so are
 *      single files beside a model_index.json.
 *   5. More than one group: each is a component, and its name ("unet", "text_encoder_2") goes in
 *      front of its tensors' names. GGUF groups are alternatives instead: the first is shown. */
#include "format/weights.h"

#include <stdlib.h>
#include <string.h>

enum set { SET_SAFETENSORS, SET_GGUF, SET_TORCH, SET_NUMPY, SET_COUNT };

static const struct {
    const char *name;
    const char *suffixes[6];
} sets[SET_COUNT] = {
    {"safetensors", {".safetensors", NULL}},
    {"gguf", {".gguf", NULL}},
    {"torch", {".bin", ".pt", ".pth", ".ckpt", ".pkl", NULL}},
    {"numpy", {".npz", ".npy", NULL}},
};

/* State of a training run, not weights; taken only when nothing else is there. */
static const char *const training_state[] = {
    "training_args.bin", "optimizer*", "scheduler*",     "rng_state*",
    "random_states*",    "scaler*",    "trainer_state*", NULL,
};
/* Sub-folders that repeat the weights of the root. */
static const char *const copies[] = {
    "original", "onnx", "openvino*", "checkpoint-*", "global_step*", "fp16", "fp32",
    "gguf",     "mlx",  "coreml",    "flax",         "tf",           NULL,
};

/* A candidate file, taken apart. */
struct candidate {
    const char *path;
    struct sc_str folder; /* "" or "a/b" */
    struct sc_str base;   /* "model-00001-of-00003.safetensors" */
    struct sc_str stem;   /* "model": without suffix and shard number */
    uint32_t part, parts; /* 1-based; parts 0: not numbered */
    bool skipped;
    const char *component;
};

struct planner {
    struct sc_catalog *c;
    struct sc_repo *repo;
    struct sc_plan *plan;
    struct candidate *all;
    size_t n, cap;
    enum set set;
    bool prefix_single; /* diffusers: a lone sub-folder still prefixes */
    bool ahead;         /* the shards of the index that is read are on their way already */
};

void sc_plan_clear(struct sc_plan *plan)
{
    for (size_t i = 0; i < plan->n_maps; i++)
        sc_weight_map_clear(&plan->maps[i]);
    sc_shards_end(plan->shards);
    free(plan->maps);
    free(plan->files);
    *plan = (struct sc_plan){0};
}

static void note(struct sc_catalog *c, const char *fmt, ...) SC_PRINTF(2, 3);
static void note(struct sc_catalog *c, const char *fmt, ...)
{
    va_list ap;
    if (!c->options)
        return;
    va_start(ap, fmt);
    sc_note_v(c->options->note, c->options->note_ctx, fmt, ap);
    va_end(ap);
}

/* ------------------------------------------------------------------------------ taking apart ---
 */

static struct sc_str base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return sc_strz(slash ? slash + 1 : path);
}

static struct sc_str folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return sc_str(path, slash ? (size_t)(slash - path) : 0);
}

static bool any_glob(const char *const *globs, const char *path)
{
    for (; globs && *globs; globs++)
        if (sc_glob(sc_strz(*globs), sc_strz(path)) || sc_glob(sc_strz(*globs), base_of(path)))
            return true;
    return false;
}

static bool wanted(const struct sc_open_options *o, const char *path)
{
    if (!o)
        return true;
    return (!o->include || !o->include[0] || any_glob(o->include, path)) &&
           !any_glob(o->exclude, path);
}

static bool in_set(enum set set, struct sc_str base)
{
    for (size_t i = 0; sets[set].suffixes[i]; i++)
        if (base.n > strlen(sets[set].suffixes[i]) &&
            sc_str_eq_nocase(sc_str(base.p + base.n - strlen(sets[set].suffixes[i]),
                                    strlen(sets[set].suffixes[i])),
                             sc_strz(sets[set].suffixes[i])))
            return true;
    return false;
}

/* "-00002-of-00003" (4 to 6 digits) at the end of s: takes it off. */
static bool take_part_number(struct sc_str *s, uint32_t *part, uint32_t *parts)
{
    size_t i = s->n, digits = 0;
    uint64_t count, number;
    while (i > 0 && s->p[i - 1] >= '0' && s->p[i - 1] <= '9' && digits < 6)
        i--, digits++;
    if (digits < 4 || i < 5 || memcmp(s->p + i - 4, "-of-", 4) != 0)
        return false;
    const size_t of = i - 4;
    size_t first = of;
    while (first > 0 && s->p[first - 1] >= '0' && s->p[first - 1] <= '9' && of - first < 6)
        first--;
    if (of - first < 4 || first < 1 || s->p[first - 1] != '-' ||
        !sc_str_u64(sc_str(s->p + i, digits), &count) ||
        !sc_str_u64(sc_str(s->p + first, of - first), &number))
        return false;
    *part = (uint32_t)number;
    *parts = (uint32_t)count;
    s->n = first - 1;
    return true;
}

static struct candidate take_apart(const char *path)
{
    struct candidate k = {.path = path, .folder = folder_of(path), .base = base_of(path)};
    k.stem = k.base;
    for (size_t i = k.stem.n; i > 0; i--)
        if (k.stem.p[i - 1] == '.') {
            k.stem.n = i - 1;
            break;
        }
    take_part_number(&k.stem, &k.part, &k.parts);
    return k;
}

/* ------------------------------------------------------------------------------------- plan --- */

static bool is_shard_of(const struct candidate *k, const struct candidate *index)
{
    const struct sc_str stem = sc_str(index->base.p, SC_MIN(k->stem.n, index->base.n));
    return k->parts && sc_str_eq(k->folder, index->folder) && sc_str_eq(k->stem, stem) &&
           index->base.n > stem.n && index->base.p[stem.n] == '.';
}

static bool is_on_its_way(const struct planner *p, const char *path, const char *index)
{
    const struct candidate shard = take_apart(path), named = take_apart(index);
    return p->ahead && is_shard_of(&shard, &named);
}

/* How much of a file is read to list it. A header of safetensors takes its names and at most 96
 * bytes a tensor, `{"dtype":...,"shape":[...],"data_offsets":[...]}`; a pickle is shorter, but
 * the directory of its archive stands at the other end. */
static void guess_reads(const struct planner *p, struct sc_plan_file *f)
{
    if (f->map != UINT32_MAX && is_on_its_way(p, f->path, p->plan->maps[f->map].path))
        return; /* announced before the index was read */
    const uint64_t kib = 1024;
    const struct sc_str base = base_of(f->path);
    f->head = 128 * kib;
    if (in_set(SET_GGUF, base))
        f->head = 256 * kib; /* without its vocabulary, which doubles the steps */
    if (f->map != UINT32_MAX) {
        const struct sc_map_load *l = &p->plan->maps[f->map].loads[f->shard];
        f->head = 4 * kib + l->name_bytes + (uint64_t)l->tensors * 96;
    }
    if (in_set(SET_TORCH, base) || in_set(SET_NUMPY, base)) {
        f->tail = f->map == UINT32_MAX ? 64 * kib : 8 * kib + f->head;
        f->head = SC_MAX(f->head, 64 * kib);
    }
}

static int plan_file(struct planner *p, const char *path, const char *component, uint32_t map,
                     uint32_t shard, struct sc_error *e)
{
    struct sc_plan *plan = p->plan;
    TRY(sc_grow(&plan->files, &plan->files_cap, plan->n_files + 1, sizeof plan->files[0], e));
    struct sc_plan_file *f = &plan->files[plan->n_files++];
    *f = (struct sc_plan_file){.path = path, .component = component, .map = map, .shard = shard};
    guess_reads(p, f);
    return 0;
}

static int by_natural_path(const void *a, const void *b)
{
    const struct sc_str *x = a, *y = b;
    return sc_natural_cmp(*x, *y);
}

/* Shards of an index, in natural order (numbers in items are mapped along). */
static int sort_shards(struct sc_weight_map *m, struct sc_error *e)
{
    if (m->n_shards < 2)
        return 0;
    struct sc_str *before = sc_alloc(m->n_shards * sizeof *before);
    struct sc_map_load *loads = sc_alloc(m->n_shards * sizeof *loads);
    uint32_t *now = sc_alloc(m->n_shards * sizeof *now);
    if (!before || !loads || !now) {
        free(before);
        free(loads);
        free(now);
        return sc_fail_memory(e);
    }
    memcpy(before, m->shards, m->n_shards * sizeof *before);
    memcpy(loads, m->loads, m->n_shards * sizeof *loads);
    qsort(m->shards, m->n_shards, sizeof m->shards[0], by_natural_path);
    for (size_t i = 0; i < m->n_shards; i++) {
        const struct sc_str *at =
            bsearch(&before[i], m->shards, m->n_shards, sizeof m->shards[0], by_natural_path);
        now[i] = (uint32_t)(at - m->shards);
        m->loads[now[i]] = loads[i];
    }
    for (size_t i = 0; i < m->n_items; i++)
        m->items[i].shard = now[m->items[i].shard];
    free(before);
    free(loads);
    free(now);
    return 0;
}

/* The listing of a named index file's folder does not go into sub-folders. */
static bool is_there(struct planner *p, const char *path)
{
    struct sc_source *s = NULL;
    if (sc_repo_find(p->repo, path))
        return true;
    if (!p->repo->selected || sc_repo_open_file(p->repo, path, &s, NULL) == SCRUPLE_ENOTFOUND)
        return false;
    sc_source_close(s);
    return true;
}

/* The shards of an index, in the order of the plan. */
static struct sc_shards *start_shards(const struct planner *p, const struct candidate *named,
                                      size_t shards, uint64_t guess)
{
    struct sc_shard *files = sc_alloc(shards * sizeof *files);
    size_t n = 0;
    for (size_t i = 0; files && i < p->n; i++)
        if (is_shard_of(&p->all[i], named))
            files[n++] = (struct sc_shard){p->all[i].path, guess};
    struct sc_shards *a = n ? sc_shards_start(p->repo, p->c->options, files, n) : NULL;
    free(files);
    return a;
}

/* An index has to come, and to be read, before it tells anything. Meanwhile its shards can come
 * from a network or a disk, and be parsed by other threads: it names each tensor once, with the
 * name of a file, and a header once, with type, shape and place, which is about as long; so the
 * size of the index tells that of the headers. */
static void expect_shards(struct planner *p, const char *path)
{
    enum { MOST_BYTES = 48 << 20, ROUNDING = 8 << 10 };
    const struct sc_repo_file *index = sc_repo_find(p->repo, path);
    const struct candidate named = take_apart(path);
    uint64_t shards = 0;
    const bool quick = p->c->options && p->c->options->quick;
    p->ahead = false;
    if (p->set != SET_SAFETENSORS || !index || index->bytes > MOST_BYTES)
        return;
    if (quick || sc_repo_is_remote(p->repo))
        sc_repo_expect(p->repo, path, index->bytes, 0);
    for (size_t i = 0; i < p->n; i++)
        shards += is_shard_of(&p->all[i], &named);
    const uint64_t guess = shards ? index->bytes / shards * 3 / 2 + ROUNDING : 0;
    if (!shards || guess > MOST_BYTES / shards)
        return;
    if (!p->plan->shards && !p->c->filed)
        p->plan->shards = start_shards(p, &named, (size_t)shards, guess);
    if (p->plan->shards || (!quick && !sc_repo_is_remote(p->repo)))
        return;
    p->ahead = true;
    for (size_t i = 0; i < p->n; i++)
        if (is_shard_of(&p->all[i], &named))
            sc_repo_expect(p->repo, p->all[i].path, guess, 0);
}

static int plan_index(struct planner *p, const char *path, const char *component,
                      struct sc_error *e)
{
    expect_shards(p, path);
    struct sc_plan *plan = p->plan;
    TRY(sc_grow(&plan->maps, &plan->maps_cap, plan->n_maps + 1, sizeof plan->maps[0], e));
    const uint32_t number = (uint32_t)plan->n_maps++;
    TRY(sc_weight_map_read(p->c, p->repo, path, component, &plan->maps[number], e));
    struct sc_weight_map *m = &plan->maps[number];
    TRY(sort_shards(m, e));
    for (size_t i = 0; i < m->n_shards; i++) {
        if (!is_there(p, m->shards[i].p)) {
            struct sc_quoted q;
            TRY(sc_problem(p->c, SC_ERROR, "index.missing-shard", UINT32_MAX, SC_NO_TENSOR,
                           SC_NO_OFFSET, e,
                           "%s names the shard \"%s\", which is not there (an unfinished "
                           "download? --lenient lists the rest)",
                           path, sc_quote(&q, m->shards[i])));
            continue;
        }
        TRY(plan_file(p, m->shards[i].p, component, number, (uint32_t)i, e));
    }
    p->ahead = false;
    return 0;
}

/* Are parts 1..count of one numbered group there? */
static int check_parts(struct planner *p, const struct candidate *group, struct sc_error *e)
{
    uint32_t missing = 0, count = 0;
    for (uint32_t part = 1; part <= group->parts && count <= 3; part++) {
        bool there = false;
        for (size_t i = 0; i < p->n && !there; i++) {
            const struct candidate *k = &p->all[i];
            there = k->parts == group->parts && k->part == part &&
                    sc_str_eq(k->stem, group->stem) && sc_str_eq(k->folder, group->folder);
        }
        if (!there && count++ == 0)
            missing = part;
    }
    if (!count)
        return 0;
    struct sc_quoted q;
    return sc_problem(p->c, SC_ERROR, "shards.missing", UINT32_MAX, SC_NO_TENSOR, SC_NO_OFFSET, e,
                      "part %u of %u of \"%s\" is not there%s (an unfinished download? --lenient "
                      "lists the rest)",
                      missing, group->parts, sc_quote(&q, group->stem),
                      count > 1 ? ", nor are others" : "");
}

static bool same_group(const struct candidate *a, const struct candidate *b)
{
    return sc_str_eq(a->folder, b->folder) && sc_str_eq(a->stem, b->stem) && a->parts == b->parts;
}

/* ---------------------------------------------------------------------------- one file named ---
 */

static int plan_selected(struct planner *p, const char *path, struct sc_error *e)
{
    const struct candidate named = take_apart(path);
    if (sc_str_ends(named.base, ".index.json"))
        return plan_index(p, path, "", e);
    if (!named.parts || !in_set(SET_GGUF, named.base))
        return plan_file(p, path, "", UINT32_MAX, 0, e);
    for (size_t i = 0; i < p->repo->n_files; i++) {
        struct candidate k = take_apart(p->repo->files[i].path);
        if (!same_group(&k, &named) || !in_set(SET_GGUF, k.base))
            continue;
        TRY(sc_grow(&p->all, &p->cap, p->n + 1, sizeof p->all[0], e));
        p->all[p->n++] = k;
        TRY(plan_file(p, k.path, "", UINT32_MAX, 0, e));
    }
    return check_parts(p, &named, e);
}

/* ----------------------------------------------------------------------------------- a folder ---
 */

static int gather(struct planner *p, enum set set, struct sc_error *e)
{
    p->n = 0;
    p->set = set;
    for (size_t i = 0; i < p->repo->n_files; i++) {
        const char *path = p->repo->files[i].path;
        if (!in_set(set, base_of(path)) || !wanted(p->c->options, path))
            continue;
        if (p->n >= SC_MAX_WEIGHT_FILES)
            return sc_fail(e, SCRUPLE_ELIMIT, "%s: more than %d %s files", p->repo->label,
                           SC_MAX_WEIGHT_FILES, sets[set].name);
        TRY(sc_grow(&p->all, &p->cap, p->n + 1, sizeof p->all[0], e));
        p->all[p->n++] = take_apart(path);
    }
    return 0;
}

static bool is_training_state(struct sc_str base)
{
    for (size_t i = 0; training_state[i]; i++)
        if (sc_glob(sc_strz(training_state[i]), base))
            return true;
    return false;
}

static bool is_copy_folder(struct sc_str folder)
{
    const char *slash = memchr(folder.p, '/', folder.n);
    const struct sc_str top = sc_str(folder.p, slash ? (size_t)(slash - folder.p) : folder.n);
    for (size_t i = 0; copies[i]; i++)
        if (sc_glob(sc_strz(copies[i]), top))
            return true;
    return false;
}

/* NAME.fp16 beside NAME: a variant. */
static bool is_variant(const struct planner *p, const struct candidate *k)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct candidate *o = &p->all[i];
        if (o != k && sc_str_eq(o->folder, k->folder) && o->stem.n < k->stem.n &&
            memcmp(o->stem.p, k->stem.p, o->stem.n) == 0 && k->stem.p[o->stem.n] == '.')
            return true;
    }
    return false;
}

static void skip_and_note(struct planner *p,
                          bool (*test)(const struct planner *, const struct candidate *),
                          const char *why)
{
    size_t count = 0;
    const char *example = NULL;
    for (size_t i = 0; i < p->n; i++)
        if (!p->all[i].skipped && test(p, &p->all[i])) {
            p->all[i].skipped = true;
            example = p->all[i].path;
            count++;
        }
    if (count)
        note(p->c, "left out %zu file%s: %s (%s%s)", count, count == 1 ? "" : "s", why, example,
             count == 1 ? "" : ", ...");
}

static bool test_training(const struct planner *p, const struct candidate *k)
{
    return p->set == SET_TORCH && is_training_state(k->base);
}
static bool test_copy(const struct planner *p, const struct candidate *k)
{
    (void)p;
    return k->folder.n > 0 && is_copy_folder(k->folder);
}
static bool test_root(const struct planner *p, const struct candidate *k)
{
    (void)p;
    return k->folder.n == 0;
}

/* Rule 3 and 4: what does not count. Never leaves nothing. */
static void skip_what_repeats(struct planner *p)
{
    size_t weights = 0, in_root = 0, below = 0;
    for (size_t i = 0; i < p->n; i++) {
        weights += !test_training(p, &p->all[i]);
        in_root += p->all[i].folder.n == 0;
        below += p->all[i].folder.n > 0;
    }
    if (weights > 0)
        skip_and_note(p, test_training, "state of a training run");
    if (sc_repo_find(p->repo, "model_index.json") && below > 0) {
        p->prefix_single = true;
        skip_and_note(p, test_root, "single files beside the components of model_index.json");
    } else if (in_root > 0) {
        skip_and_note(p, test_copy, "copies in a sub-folder");
    }
    skip_and_note(p, is_variant, "variants of other files");
}

static const char *find_index(const struct planner *p, struct sc_str folder)
{
    const char *best = NULL;
    for (size_t i = 0; i < p->repo->n_files; i++) {
        const char *path = p->repo->files[i].path;
        const struct sc_str base = base_of(path);
        if (!sc_str_ends(base, ".index.json") || !sc_str_eq(folder_of(path), folder) ||
            !wanted(p->c->options, path))
            continue;
        const struct sc_str inner = sc_str(base.p, base.n - strlen(".index.json"));
        if (!in_set(p->set, inner))
            continue;
        if (sc_str_is(base, "model.safetensors.index.json"))
            return path;
        /* "X.safetensors.index.json" goes before the longer "X.safetensors.index.fp16.json". */
        if (!best || base.n < base_of(best).n)
            best = path;
    }
    return best;
}

/* "a/b" -> "a.b" */
static const char *dotted(struct planner *p, struct sc_str s)
{
    char *copy = sc_arena_copy(&p->c->arena, s.p, s.n);
    for (size_t i = 0; copy && i < s.n; i++)
        if (copy[i] == '/')
            copy[i] = '.';
    return copy;
}

static size_t count_groups(const struct planner *p, struct sc_str folder)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->all[i].skipped || !sc_str_eq(p->all[i].folder, folder))
            continue;
        bool first = true;
        for (size_t k = 0; k < i && first; k++)
            first = p->all[k].skipped || !same_group(&p->all[k], &p->all[i]);
        n += first;
    }
    return n;
}

/* All groups of one folder. */
static int plan_folder(struct planner *p, size_t at, bool lone, struct sc_error *e)
{
    const struct sc_str folder = p->all[at].folder;
    const char *component = lone && !p->prefix_single ? "" : dotted(p, folder);
    if (!component)
        return sc_fail_memory(e);
    const char *index = find_index(p, folder);
    if (index) {
        const size_t first = p->plan->n_files;
        TRY(plan_index(p, index, component, e));
        for (size_t i = at; i < p->n; i++) {
            struct candidate *k = &p->all[i];
            if (k->skipped || !sc_str_eq(k->folder, folder))
                continue;
            bool listed = false;
            for (size_t f = first; f < p->plan->n_files && !listed; f++)
                listed = strcmp(p->plan->files[f].path, k->path) == 0;
            if (!listed)
                TRY(sc_problem(p->c, k->parts ? SC_WARNING : SC_INFO, "index.surplus", UINT32_MAX,
                               SC_NO_TENSOR, SC_NO_OFFSET, e, "%s is not named by %s and left out",
                               k->path, index));
            k->skipped = true;
        }
        return 0;
    }
    const size_t groups = count_groups(p, folder);
    for (size_t i = at; i < p->n; i++) {
        struct candidate *k = &p->all[i];
        if (k->skipped || !sc_str_eq(k->folder, folder))
            continue;
        const char *own = component;
        if (groups > 1) {
            const struct sc_str whole = sc_str(k->path, (size_t)(k->stem.p - k->path) + k->stem.n);
            own = dotted(p, whole);
            if (!own)
                return sc_fail_memory(e);
        }
        bool first = true;
        for (size_t b = at; b < i && first; b++)
            first = !same_group(&p->all[b], k);
        if (k->parts && first)
            TRY(check_parts(p, k, e));
        TRY(plan_file(p, k->path, own, UINT32_MAX, 0, e));
        k->skipped = true;
    }
    return 0;
}

static bool test_projector(const struct planner *p, const struct candidate *k)
{
    (void)p;
    return sc_glob(SC_STR("*mmproj*"), k->base);
}

/* GGUF files of one folder are mostly the same model in several quantisations. */
static int plan_gguf(struct planner *p, struct sc_error *e)
{
    size_t models = 0;
    for (size_t i = 0; i < p->n; i++)
        models += !test_projector(p, &p->all[i]);
    if (models)
        skip_and_note(p, test_projector, "projectors; name one to see it");
    const struct candidate *chosen = NULL;
    size_t others = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct candidate *k = &p->all[i];
        if (k->skipped)
            continue;
        if (!chosen)
            chosen = k;
        if (same_group(chosen, k))
            TRY(plan_file(p, k->path, "", UINT32_MAX, 0, e));
        else
            others++;
    }
    if (others)
        note(p->c, "showing %s; %zu other GGUF file%s here, name one to see it", chosen->path,
             others, others == 1 ? " is" : "s are");
    return chosen && chosen->parts ? check_parts(p, chosen, e) : 0;
}

static int plan_set(struct planner *p, struct sc_error *e)
{
    skip_what_repeats(p);
    if (p->set == SET_GGUF)
        return plan_gguf(p, e);
    size_t folders = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool first = !p->all[i].skipped;
        for (size_t k = 0; k < i && first; k++)
            first = p->all[k].skipped || !sc_str_eq(p->all[k].folder, p->all[i].folder);
        folders += first;
    }
    for (size_t i = 0; i < p->n; i++)
        if (!p->all[i].skipped)
            TRY(plan_folder(p, i, folders == 1, e));
    return 0;
}

/* No file has a suffix that we know: look into each of them. */
static int plan_by_content(struct planner *p, struct sc_error *e)
{
    enum { LOOKS = 2000, REMOTE_LOOKS = 8 };
    const size_t most = sc_repo_is_remote(p->repo) ? REMOTE_LOOKS : LOOKS;
    size_t looks = 0;
    p->set = SET_TORCH;
    for (size_t i = 0; i < p->repo->n_files && looks < most; i++) {
        const char *path = p->repo->files[i].path, *stranger;
        const struct sc_format *format = NULL;
        struct sc_source *s = NULL;
        if (!wanted(p->c->options, path))
            continue;
        looks++;
        if (sc_repo_open_file(p->repo, path, &s, NULL) < 0)
            continue;
        const int status = sc_format_probe(s, &format, &stranger, NULL);
        sc_source_close(s);
        if (status < 0 || !format)
            continue;
        TRY(sc_grow(&p->all, &p->cap, p->n + 1, sizeof p->all[0], e));
        p->all[p->n++] = take_apart(path);
        p->plan->weight_set = format->name;
    }
    return p->n ? plan_set(p, e) : 0;
}

static int plan_whole_folder(struct planner *p, struct sc_error *e)
{
    size_t counts[SET_COUNT] = {0}, chosen = SET_COUNT;
    for (size_t i = 0; i < p->repo->n_files; i++)
        for (size_t s = 0; s < SET_COUNT; s++)
            counts[s] += in_set((enum set)s, base_of(p->repo->files[i].path)) &&
                         wanted(p->c->options, p->repo->files[i].path) &&
                         !(s == SET_TORCH && is_training_state(base_of(p->repo->files[i].path)));
    for (size_t s = 0; s < SET_COUNT && chosen == SET_COUNT; s++)
        if (counts[s])
            chosen = s;
    if (chosen == SET_COUNT) {
        /* Training state alone is better than nothing. */
        TRY(gather(p, SET_TORCH, e));
        p->plan->weight_set = sets[SET_TORCH].name;
        return p->n ? plan_set(p, e) : plan_by_content(p, e);
    }
    for (size_t s = chosen + 1; s < SET_COUNT; s++)
        if (counts[s])
            note(p->c, "the folder also holds %s weights (%zu file%s); showing %s, see --include",
                 sets[s].name, counts[s], counts[s] == 1 ? "" : "s", sets[chosen].name);
    p->plan->weight_set = sets[chosen].name;
    TRY(gather(p, (enum set)chosen, e));
    return plan_set(p, e);
}

int sc_plan_make(struct sc_catalog *c, struct sc_repo *repo, struct sc_plan *plan,
                 struct sc_error *e)
{
    struct planner p = {.c = c, .repo = repo, .plan = plan};
    *plan = (struct sc_plan){0};
    int status = repo->selected ? plan_selected(&p, repo->selected, e) : plan_whole_folder(&p, e);
    free(p.all);
    if (status == 0 && plan->n_files == 0 && c->n_errors == 0)
        return sc_fail(
            e, SCRUPLE_ENOTFOUND,
            "%s: no weights among %zu file%s (looked for safetensors, GGUF, PyTorch, NPZ "
            "and NPY%s)",
            repo->label, repo->n_files, repo->n_files == 1 ? "" : "s",
            c->options && (c->options->include || c->options->exclude)
                ? ", as --include and --exclude allow"
                : "");
    return status;
}
