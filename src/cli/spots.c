/* SPDX-License-Identifier: Apache-2.0 */
/* spots: from weights to the commands and addresses that show them. */
#include "cli/spots.h"

#include <string.h>

static struct sc_str spot_text(void *ctx, uint32_t tensor, uint64_t element, bool link)
{
    struct sc_spots *s = ctx;
    struct sc_spot spot;

    s->text.n = 0;
    if (!sc_spot_find(s->scene, tensor, element, &spot))
        return sc_str(NULL, 0);
    if (!link)
        sc_spot_words(s->scene, &spot, &s->text);
    else if (!sc_spot_link(s->scene, &spot, &s->text))
        return sc_str(NULL, 0);
    return s->text.failed ? sc_str(NULL, 0) : sc_str(s->text.p, s->text.n);
}

int sc_spots_open(struct sc_spots *s, const struct sc_model *m, struct sc_error *e)
{
    s->spotter = (struct sc_spotter){spot_text, s};
    return sc_scene_new(m, &(struct sc_scene_options){0}, &s->scene, e);
}

void sc_spots_close(struct sc_spots *s)
{
    sc_scene_free(s->scene);
    sc_buf_clear(&s->text);
}

/* As a shell reads it, between quotes. */
static void put_word(struct sc_buf *b, struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\'')
            sc_buf_puts(b, "'\\''");
        else
            sc_buf_putc(b, s.p[i]);
}

void sc_spots_command(const struct sc_model *m, struct sc_buf *out)
{
    sc_buf_puts(out, "scruple view '");
    put_word(out, sc_strz(m->label));
    sc_buf_puts(out, "' --at");
}

static void put_quoted(struct sc_out *o, const struct sc_term *term, struct sc_str s)
{
    struct sc_buf b = {0};

    put_word(&b, s);
    sc_out_putc(o, '\'');
    if (b.p)
        sc_out_safe(o, term, SC_COLOUR_NONE, sc_str(b.p, b.n));
    sc_out_putc(o, '\'');
    o->buf.failed |= b.failed;
    sc_buf_clear(&b);
}

void sc_spots_put(struct sc_spots *s, struct sc_cli *c, const struct sc_model *m, uint32_t tensor,
                  uint64_t element)
{
    const struct sc_str at = spot_text(s, tensor, element, false);

    if (!at.p)
        return;
    sc_out_puts(&c->out, "to see it: scruple view ");
    put_quoted(&c->out, &c->term, sc_strz(m->label));
    sc_out_puts(&c->out, " --at ");
    put_quoted(&c->out, &c->term, at);
    sc_out_putc(&c->out, '\n');
}

int sc_spots_start(const struct sc_scene *scene, const char *at, struct sc_buf *out,
                   struct sc_error *e)
{
    struct sc_spot spot;
    struct sc_quoted q;

    out->n = 0;
    TRY(sc_spot_parse(scene, sc_strz(at), &spot, e));
    if (!sc_spot_link(scene, &spot, out))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s is no UTF-8, so no address leads there",
                       sc_quote(&q, sc_strz(at)));
    return out->failed ? sc_fail_memory(e) : 0;
}
