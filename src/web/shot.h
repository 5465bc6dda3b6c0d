/* SPDX-License-Identifier: Apache-2.0 */
/* shot: a picture of a part of a view as PNG. Private to the web layer. */
#ifndef SC_WEB_SHOT_H
#define SC_WEB_SHOT_H

#include "web/web.h"

/* `ro` says what is drawn and how. SCRUPLE_EUSAGE: no picture has this size. */
int sc_web_shot_draw(const struct sc_render_options *ro, const struct sc_web_shot *shot,
                     struct sc_out *o, struct sc_error *e);

#endif
