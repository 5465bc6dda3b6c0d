/* SPDX-License-Identifier: Apache-2.0 */
/* pictures_output: commands that show their figures as text, JSON, CSV, pictures or a page: the
 * words for it, and where each goes. Private to cli. */
#ifndef SC_CLI_PICTURES_OUTPUT_H
#define SC_CLI_PICTURES_OUTPUT_H

#include <stddef.h>

#include "cli/cli.h"
#include "report/pictures.h"

enum sc_form { SC_FORM_TEXT, SC_FORM_JSON, SC_FORM_CSV, SC_FORM_SVG, SC_FORM_PNG, SC_FORM_HTML };
/* By --json, --csv, or the suffix of --output. */
enum sc_form sc_form_of(const struct sc_cli *c);
/* A picture, a page or a folder of pictures is asked for. */
bool sc_wants_pictures(const struct sc_cli *c);
/* Words of the command line that are wrong whatever is measured: --plot that is no picture of these
 * kinds. SCRUPLE_EUSAGE. */
int sc_pictures_check(const struct sc_cli *c, const struct sc_picture_kind *kinds, size_t n,
                      struct sc_error *e);
/* What goes to --output in the form that it has, but text: SC_FORM_TEXT is the caller's. `csv`: the
 * table of CSV. And --plots. */
int sc_pictures_output(struct sc_cli *c, const struct sc_picture_set *s,
                       const struct sc_document *d, const struct sc_table *csv, struct sc_error *e);

#define SC_PICTURES_FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))
#define SC_PICTURE_OPTIONS                                                                         \
    {"plots",                                                                                      \
     0,                                                                                            \
     SC_OPTION_TEXT,                                                                               \
     SC_COMPLETE_PATH,                                                                             \
     SC_PICTURES_FIELD(plots),                                                                     \
     "DIR",                                                                                        \
     NULL,                                                                                         \
     "draw every picture, as SVG files in DIR"},                                                   \
        {"png",                                                                                    \
         0,                                                                                        \
         SC_OPTION_FLAG,                                                                           \
         0,                                                                                        \
         SC_PICTURES_FIELD(png),                                                                   \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "with --plots: as PNG files, too"},                                                       \
    {                                                                                              \
        "plot", 0, SC_OPTION_TEXT, SC_COMPLETE_NOTHING, SC_PICTURES_FIELD(plot), "NAME", NULL,     \
            "with -o FILE.svg or FILE.png: which picture (default: the first)"                     \
    }

#endif
