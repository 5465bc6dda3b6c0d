/* SPDX-License-Identifier: Apache-2.0 */
/* scene_json: the plan of a picture for programs that show it, "scene.json".
 *
 * Columns instead of objects, and texts that repeat stand once, so that 100,000 tensors are a few
 * megabytes. docs/layout.md describes every key. */
#ifndef SC_SCENE_JSON_H
#define SC_SCENE_JSON_H

#include "picture/scene.h"
#include "report/report.h"

struct sc_scene_json {
    const char *title;         /* NULL: the model's label */
    const char *mode;          /* "live" or "static" */
    const char *const *planes; /* names of what a pixel can show */
    size_t n_planes;
    double scale;             /* of the whole model: the |x| at the end of its colours */
    const double *role_scale; /* (SC_ROLE_COUNT) NaN: not known; NULL: none is */
    bool in_page;             /* it will stand in a <script> of a page */
    /* Writes keys of its own, each with the comma that follows; NULL: none. */
    void (*more)(void *ctx, struct sc_out *o, bool in_page);
    void *more_ctx;
};
/* One strict JSON document. Memory: a few numbers a tensor. Errors are o's status. */
void sc_report_scene(struct sc_out *o, const struct sc_scene *s, const struct sc_scene_json *j);

#endif
