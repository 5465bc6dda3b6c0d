/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_edit: a checkpoint with other values at some places.
 *
 *     PLACE                                       DO    TYPE  ELEMENTS  CHANGED      WAS  ASKED
 * HELD  OFF BY model.layers.2.mlp.down_proj.weight[39,70]  zero  BF16         1        1  -1.9000
 * 0      0       0
 *
 *     written: patched (3 files, 4.2 MB); the way back is in patched/scruple-edits.json */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/edit.h"
#include "cli/cli.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option edit_options[] = {
    {"zero", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(edits[SC_EDIT_ZERO]), "PLACE", NULL,
     "set what is at PLACE to 0 (may be repeated, as the next three)"},
    {"scale", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(edits[SC_EDIT_SCALE]), "PLACE=X", NULL,
     "multiply it with X"},
    {"mean", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(edits[SC_EDIT_MEAN]), "PLACE", NULL,
     "set it to the mean of its tensor"},
    {"set", 0, SC_OPTION_LIST, SC_COMPLETE_NOTHING, FIELD(edits[SC_EDIT_SET]), "PLACE=X", NULL,
     "set it to X"},
    {"refit", 0, SC_OPTION_FLAG, 0, FIELD(refit), NULL, NULL,
     "of packed types (GGUF), encode the whole block anew: better for large changes, but the other "
     "values in it move; without it only the element's own code changes"},
    {"undo", 0, SC_OPTION_FLAG, 0, FIELD(undo), NULL, NULL,
     "write what an edited MODEL was before, byte for byte"},
    {"dry-run", 'n', SC_OPTION_FLAG, 0, FIELD(dry_run), NULL, NULL, "only tell what would change"},
    {"output", 'o', SC_OPTION_TEXT, SC_COMPLETE_PATH, FIELD(write), "OUT", NULL,
     "where the new model goes: a file for a file, a folder for a folder; nothing is overwritten"},
};

_Static_assert(SC_COUNT(((struct sc_settings *)0)->edits) == SC_EDIT_OPS, "a list for each");

struct editing {
    struct sc_cli *c;
    struct sc_model *model;
    struct sc_edit_wishes wishes;
    struct sc_edit_patches patches;
    struct sc_edit_written written;
    struct sc_document d;
};

static size_t n_wishes(const struct sc_settings *set)
{
    size_t n = 0;

    for (size_t i = 0; i < SC_EDIT_OPS; i++)
        n += set->edits[i].n;
    return n;
}

static int check(const struct sc_cli *c, size_t n_models, size_t n_filters)
{
    const struct sc_settings *set = &c->set;

    if (n_models != 1 || n_filters)
        return sc_wrong_use(c, "edit takes one MODEL");
    if (set->undo && n_wishes(set))
        return sc_wrong_use(c, "--undo takes back an edit, and makes none");
    if (set->undo && set->dry_run)
        return sc_wrong_use(c, "--undo has no --dry-run");
    if (!set->undo && !n_wishes(set))
        return sc_wrong_use(c, "nothing to edit: --zero, --scale, --mean or --set says what");
    if (!set->write && !set->dry_run)
        return sc_wrong_use(c, "edit writes a new model: -o says where");
    return 0;
}

static char *growing; /* what a signal that ends the program has to remove */

static void remember_place(void *ctx, const char *temporary)
{
    (void)ctx;
    sc_unfinished = NULL;
    free(growing);
    growing = temporary ? sc_str_copy(sc_strz(temporary)) : NULL;
    sc_unfinished = growing;
}

static void show(void *ctx, uint64_t done, uint64_t total, const char *file)
{
    (void)ctx;
    sc_progress_show(
        &(struct sc_progress){.done = done, .total = total, .moved = done, .what = file});
}

static struct sc_edit_writing how_to_write(const struct sc_cli *c)
{
    return (struct sc_edit_writing){
        .path = c->set.write, .cancel = &sc_cancel, .progress = show, .place = remember_place};
}

static int plan(struct editing *x, struct sc_error *e)
{
    const struct sc_settings *set = &x->c->set;

    for (unsigned op = 0; op < SC_EDIT_OPS; op++)
        for (size_t i = 0; i < set->edits[op].n; i++)
            TRY(sc_edit_wish_add(&x->wishes, x->model, (enum sc_edit_op)op, set->edits[op].p[i],
                                 e));
    if (!set->dry_run)
        TRY(sc_edit_may_write(x->model, set->write, e));
    return sc_edit_plan(x->model, &x->wishes, set->refit, &sc_cancel, &x->patches, e);
}

static int describe(struct editing *x, struct sc_error *e)
{
    sc_document_start(&x->d, SC_SCHEMA_EDIT);
    TRY(sc_analyze_model(&x->d, &x->d.root, x->model, e));
    sc_analyze_edit(&x->d, &x->d.root, x->model, &x->wishes, x->c->set.write,
                    x->c->set.dry_run ? NULL : &x->written);
    return x->d.failed ? sc_fail_memory(e) : 0;
}

static void tell_written(struct editing *x)
{
    struct sc_cli *c = x->c;
    char size[32];

    sc_format_bytes(x->written.bytes, size);
    sc_out_puts(&c->out, "written: ");
    sc_put_safe(&c->out.buf, sc_strz(c->set.write), 0);
    sc_buf_printf(&c->out.buf, " (%zu file%s, %s)", x->written.files,
                  x->written.files == 1 ? "" : "s", size);
    if (x->written.record.n && !c->set.undo) {
        sc_out_puts(&c->out, "; the way back is in ");
        sc_put_safe(&c->out.buf, sc_strz(x->written.record.p), 0);
    }
    sc_out_putc(&c->out, '\n');
}

static void print(struct editing *x)
{
    struct sc_cli *c = x->c;

    if (c->set.json) {
        sc_report_json(&c->out, &x->d);
        return;
    }
    sc_cli_header(c, x->model);
    sc_report_table(&c->out, sc_find_table(&x->d.root, "edits"), &c->term);
    sc_out_putc(&c->out, '\n');
    if (c->set.dry_run)
        sc_out_puts(&c->out, "nothing is written\n");
    else
        tell_written(x);
}

static int edit_model(struct editing *x, const char *path)
{
    struct sc_cli *c = x->c;
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};

    oo.keep_repo = true;
    int status = sc_cli_open_with(c, path, &oo, &x->model);
    if (status)
        return status;
    const struct sc_edit_writing how = how_to_write(c);
    sc_progress_start(c, 0);
    int code = plan(x, &e);
    if (code == 0 && !c->set.dry_run)
        code = sc_edit_write(x->model, &x->wishes, &x->patches, &how, &x->written, &e);
    (void)sc_progress_end();
    if (code == 0)
        code = describe(x, &e);
    if (code < 0)
        return code == SCRUPLE_EUSAGE ? sc_usage_exit(c, &e) : sc_fail_exit(c, &e);
    print(x);
    return SC_EXIT_OK;
}

static int undo(struct editing *x, const char *path)
{
    struct sc_cli *c = x->c;
    const struct sc_edit_writing how = how_to_write(c);
    struct sc_error e = {0};

    sc_progress_start(c, 0);
    const int code = sc_edit_undo(path, &how, &x->written, &e);
    (void)sc_progress_end();
    if (code < 0)
        return code == SCRUPLE_EUSAGE ? sc_usage_exit(c, &e) : sc_fail_exit(c, &e);
    if (!c->set.json) {
        tell_written(x);
        return SC_EXIT_OK;
    }
    sc_document_start(&x->d, SC_SCHEMA_EDIT);
    sc_analyze_edit_output(&x->d, &x->d.root, c->set.write, &x->written);
    sc_report_json(&c->out, &x->d);
    return SC_EXIT_OK;
}

static int run_edit(struct sc_cli *c)
{
    struct editing x = {.c = c};
    struct sc_words filters = {0};
    const char *const *paths = NULL;
    struct sc_error e = {0};
    size_t n = 0;
    int status = sc_cli_operands(c, &paths, &n, &filters, &e) < 0 ? sc_fail_exit(c, &e)
                                                                  : check(c, n, filters.n);

    if (!status)
        status = c->set.undo ? undo(&x, paths[0]) : edit_model(&x, paths[0]);
    sc_document_clear(&x.d);
    sc_edit_written_clear(&x.written);
    sc_edit_patches_clear(&x.patches);
    sc_edit_wishes_clear(&x.wishes);
    sc_model_close(x.model);
    sc_words_clear(&filters);
    return status;
}

static const struct sc_example edit_examples[] = {
    {"scruple edit model --zero layers.2.mlp.down_proj.weight[3968,7003] -o without",
     "the same model without one weight"},
    {"scruple edit model.gguf --scale 'blk.1.ffn_down.weight[*,7890]=0.5' -o half.gguf",
     "a column at half its size"},
    {"scruple edit model --zero @found.json -o without", "without all that super --json has found"},
    {"scruple edit without --undo -o back", "what it was, byte for byte"},
    {NULL, NULL},
};
const struct sc_command sc_cmd_edit = {
    .name = "edit",
    .summary = "write a model with single weights changed, which can be undone",
    .usage = "MODEL --zero PLACE -o OUT",
    .description =
        "Copies a model and changes the elements that are named, and nothing else: every other "
        "byte "
        "of the copy is that of the original. PLACE is NAME[3968,7003], with an index, a range a-b "
        "or * for each dimension (of more than two also row and column), NAME alone for a whole "
        "tensor, or @FILE for the weights in a document of super --json. NAME is a tensor, or a "
        "filter that only one matches.\n\n"
        "Values are rounded to the type that is stored, and the table tells what was asked and "
        "what "
        "the type could hold. In packed blocks of GGUF only the element's own code changes, under "
        "the scales that are there; --refit encodes the block anew.\n\n"
        "The copy appears whole or not at all, and nothing is overwritten. A record beside it "
        "(scruple-edits.json, of a file OUT.edits.json) holds what was there before: --undo makes "
        "the "
        "original of it, and proves that by its SHA-256. What can be edited is in docs/edit.md.",
    .options = edit_options,
    .n_options = SC_COUNT(edit_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_WORK | SC_GROUP_SCREEN | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = edit_examples,
    .run = run_edit,
};
