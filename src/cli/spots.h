/* SPDX-License-Identifier: Apache-2.0 */
/* spots: the way from a weight that a command names to the picture that shows it. Private to cli.
 */
#ifndef SC_CLI_SPOTS_H
#define SC_CLI_SPOTS_H

#include "analyze/figures.h"
#include "cli/cli.h"
#include "picture/spot.h"

/* Zero-initialise. Borrows the model. */
struct sc_spots {
    struct sc_scene *scene; /* as `view` plans it without filters */
    struct sc_buf text;
    struct sc_spotter spotter; /* .ctx is this struct, which stays where it is */
};
int sc_spots_open(struct sc_spots *s, const struct sc_model *m, struct sc_error *e);
void sc_spots_close(struct sc_spots *s);
/* "scruple view 'MODEL' --at", as a shell reads it. Appends. */
void sc_spots_command(const struct sc_model *m, struct sc_buf *out);
/* One line: the command that shows this weight. */
void sc_spots_put(struct sc_spots *s, struct sc_cli *c, const struct sc_model *m, uint32_t tensor,
                  uint64_t element);
/* The permalink that --at NAME[r,c] of `view` asks for. */
int sc_spots_start(const struct sc_scene *scene, const char *at, struct sc_buf *out,
                   struct sc_error *e);

#endif
