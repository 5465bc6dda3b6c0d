/* SPDX-License-Identifier: Apache-2.0 */
/* hub: a session with one Hub: its settings, its engine, and what it tells the user.
 *
 * Does not own: questions (api.c), files (repo.c). */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "hub/internal.h"

int sc_hub_open(const struct sc_hub_options *o, struct sc_io *io, struct sc_hub **out,
                struct sc_error *e)
{
    *out = NULL;
    struct sc_hub *h = sc_calloc(1, sizeof *h);
    if (!h)
        return sc_fail_memory(e);
    if (o)
        h->options = *o;
    h->io = io;
    int rc = sc_hub_env_read(&h->env, &h->options, e);
    if (rc < 0) {
        free(h);
        return rc;
    }
    /* The session may outlive the caller's strings: the token is in env now, and the revision
     * belongs to the name. */
    h->options.token = h->options.revision = NULL;
    *out = h;
    return 0;
}

void sc_hub_close(struct sc_hub *h)
{
    if (!h)
        return;
    sc_http_stop(h->http);
    sc_hub_env_clear(&h->env);
    free(h);
}

void sc_hub_note(struct sc_hub *h, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sc_note_v(h->options.note, h->options.note_ctx, fmt, ap);
    va_end(ap);
}

int sc_hub_http(struct sc_hub *h, struct sc_http **out, struct sc_error *e)
{
    *out = NULL;
    if (h->env.offline)
        return sc_fail(e, SCRUPLE_ENETWORK, "no request to %s was made: offline because of %s",
                       h->env.endpoint, h->env.offline);
    if (!h->http) {
        const struct sc_http_options o = {
            .user_agent = h->env.user_agent,
            .token = h->env.token,
            .token_origin = h->env.endpoint,
            .ca_bundle = h->env.ca_bundle,
            .answer_ms = h->env.etag_timeout_ms,
            .stall_ms = h->env.download_timeout_ms,
            .trace = h->env.trace,
            .cancel = h->options.cancel,
            .io = h->io,
            .note = h->options.note,
            .note_ctx = h->options.note_ctx,
        };
        TRY(sc_http_start(&o, &h->http, e));
    }
    *out = h->http;
    return 0;
}

/* --------------------------------------------------------------------------------- addresses ---
 */

static void put_base(struct sc_buf *b, const struct sc_hub *h, uint8_t type, const char *id)
{
    sc_buf_puts(b, h->env.endpoint);
    sc_buf_putc(b, '/');
    sc_hub_put_id(b, type, id);
}

void sc_hub_page(struct sc_buf *b, const struct sc_hub *h, const struct sc_hub_listing *l)
{
    put_base(b, h, l->type, l->id);
}

void sc_hub_file_url(struct sc_buf *b, const struct sc_hub *h, const struct sc_hub_listing *l,
                     const char *path)
{
    put_base(b, h, l->type, l->id);
    sc_buf_printf(b, "/resolve/%s/", l->commit);
    sc_hub_encode(b, sc_strz(path), true);
}

void sc_hub_api_url(struct sc_buf *b, const struct sc_hub *h, uint8_t type, const char *id)
{
    sc_buf_printf(b, "%s/api/%s/%s", h->env.endpoint, sc_repo_type_plural[type], id);
}
