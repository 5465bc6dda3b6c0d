/* SPDX-License-Identifier: Apache-2.0 */
/* scan_pyramids: a plan of the whole model as scruple view draws it, whatever of it is scanned:
 * pyramids are kept under a name that follows from the plan. */
#include "cli/scan_pyramids.h"

int sc_scan_pyramids_open(struct sc_scan_pyramids *x, struct sc_cli *c, const struct sc_model *m,
                          struct sc_scan_options *so, struct sc_error *e)
{
    const struct sc_scene_options plan = {0};
    const struct sc_pyramids_options po = {
        .pool = so->pool, .cache = so->cache, .cancel = so->cancel};

    TRY(sc_scene_new(m, &plan, &x->scene, e));
    TRY(sc_pyramids_new(x->scene, &po, &x->pyramids, e));
    if (sc_pyramids_setup(x->pyramids, &x->setup)) {
        so->beside = &sc_pass_pyramid;
        so->beside_ctx = &x->setup;
    } else if (x->scene->n_places) {
        sc_say(c, "warning", "statistics for scruple view cannot be kept: %s",
               so->cache ? "the cache cannot be written, or the model is not a file"
                         : "there is no cache");
    }
    x->before = sc_pyramids_there(x->pyramids);
    return 0;
}

void sc_scan_pyramids_close(struct sc_scan_pyramids *x, const struct sc_cli *c)
{
    if (x->setup.ctx && c->set.verbose)
        sc_say(c, "note", "statistics for scruple view: %zu tensors, %zu of them from before",
               sc_pyramids_there(x->pyramids), x->before);
    sc_pyramids_free(x->pyramids);
    sc_scene_free(x->scene);
    *x = (struct sc_scan_pyramids){0};
}
