/* SPDX-License-Identifier: Apache-2.0 */
/* report: documents and tables as words.
 *
 * Owns: rendering to the terminal (colours, columns, widths), JSON and CSV. Every foreign text
 * passes sc_put_safe (terminal), JSON escaping or CSV quoting here; nothing else emits ESC.
 *
 * Does not own: what is said (result), where it goes (cli).
 */
#ifndef SC_REPORT_H
#define SC_REPORT_H

#include "picture/colour.h"
#include "result/result.h"

/* Where text goes: called with pieces; non-zero stops the rendering and is returned. */
struct sc_out {
    int (*write)(void *ctx, const char *p, size_t n);
    void *ctx;
    struct sc_buf buf; /* pieces gather here and leave in 64 KiB blocks */
    int status;
};
/* Append. After a failure nothing more is written; look at the status once, at the end. Renderers
 * may also append to `buf` themselves, a little at a time, and call sc_out_settle() after it. */
void sc_out_put(struct sc_out *o, const char *p, size_t n);
void sc_out_puts(struct sc_out *o, const char *s);
void sc_out_putc(struct sc_out *o, char c);
void sc_out_repeat(struct sc_out *o, char c, size_t n);
void sc_out_u64(struct sc_out *o, uint64_t v);
void sc_out_settle(struct sc_out *o); /* hand the gathered bytes on if they make a block */
void sc_out_flush(struct sc_out *o);
int sc_out_finish(struct sc_out *o); /* flush, free; status */

struct sc_term {
    bool colour;
    bool ascii; /* no characters outside ASCII: foreign ones become \u{..} */
    size_t
        width; /* columns; values of fields are cut there, tables if they allow it; 0: unlimited */
};
/* Colours by meaning, as in `we`: 256-colour codes. */
enum sc_colour {
    SC_COLOUR_NONE,
    SC_COLOUR_MODULE,
    SC_COLOUR_TENSOR,
    SC_COLOUR_SHAPE,
    SC_COLOUR_SHAPE_X,
    SC_COLOUR_DTYPE,
    SC_COLOUR_SIZE,
    SC_COLOUR_PERCENT,
    SC_COLOUR_UNIT,
    SC_COLOUR_REPO,
    SC_COLOUR_GOOD,
    SC_COLOUR_WARNING,
    SC_COLOUR_ERROR,
    SC_COLOUR_KEY,
    SC_COLOUR_COUNT
};
void sc_colour_on(struct sc_buf *b, const struct sc_term *t, enum sc_colour c);
void sc_colour_off(struct sc_buf *b, const struct sc_term *t);
/* Foreign text, made safe, in a colour. */
void sc_out_safe(struct sc_out *o, const struct sc_term *t, enum sc_colour c, struct sc_str text);
/* Foreign text made safe, at most max columns wide (0: any), cut at its front: names differ at
 * their ends. Appends; returns the columns used. */
size_t sc_put_safe_end(struct sc_buf *b, struct sc_str s, size_t max);
/* Our own text in a colour. */
void sc_out_colour(struct sc_out *o, const struct sc_term *t, enum sc_colour c, const char *s);
/* A size, as "1.5 MB", number and unit in their colours. */
void sc_out_bytes(struct sc_out *o, const struct sc_term *t, enum sc_colour c, uint64_t bytes);

/* "336.5 KB" after quant.md A7: below 1000 "N B", else one decimal and KB MB GB TB PB EB. */
void sc_format_bytes(uint64_t bytes, char out[32]);
void sc_format_percent(double percent, char out[32]);          /* "12.3" */
void sc_format_parameters(uint64_t n, char out[32]);           /* "684.5B", "7.2M", "12K", "7" */
void sc_format_count(uint64_t n, char out[32]);                /* "91,991" */
void sc_format_fixed(double v, unsigned digits, char out[64]); /* "4.25"; "-" if not finite */
size_t sc_format_u64(uint64_t n, char out[24]);                /* "91991"; its length */
void sc_format_double(double v, char out[40]); /* 17 digits, shortest that round-trips; NaN etc. */
/* For people: as short as the precision allows that v seems to come from. A value that fits single
 * precision is shown as one: 1e-05, not 9.999999747378752e-06. */
void sc_format_real(double v, char out[40]);

/* One strict JSON document: valid UTF-8, no duplicate keys of ours, NaN and infinities as strings,
 * every number round-trips. Table rows and small objects in lists take one line each. */
void sc_report_json(struct sc_out *o, const struct sc_document *d);
/* A member of an object that is written piece by piece: its key, if it has one, and its value,
 * which goes on at this indentation. */
void sc_report_json_field(struct sc_out *o, const struct sc_field *f, size_t indent);
/* Any bytes as one JSON string, quotes included, as documents have them. With in_page also < > and
 * & are escaped, so that it may stand in a <script> of a page. */
void sc_out_json_text(struct sc_out *o, struct sc_str s, bool in_page);
/* A JSON number that round-trips; null when it is not finite. And an integer with a sign. */
void sc_out_json_number(struct sc_out *o, double v);
void sc_json_number(double v, char out[40]); /* the same as text */
void sc_out_i64(struct sc_out *o, int64_t v);
/* RFC 4180 quoting, lines end in LF, first line the keys. Text that a spreadsheet would run as a
 * formula gets a leading apostrophe; control characters are escaped as on the terminal. */
void sc_report_csv(struct sc_out *o, const struct sc_table *t);
/* One SQLite database: a table of fields and one a table. The bytes go to `o`; on their way they
 * stand in a file in $TMPDIR. SCRUPLE_EUNSUPPORTED when libsqlite3 is not there. */
int sc_report_sqlite(struct sc_out *o, const struct sc_document *d, struct sc_error *e);
/* Aligned columns, two blanks between them; a line of titles when a column has one. A table that is
 * wider than term->width loses what its columns' flags allow. */
void sc_report_table(struct sc_out *o, const struct sc_table *t, const struct sc_term *term);
/* Fields of an object as aligned "key  value" lines, indented by two blanks; nested objects by two
 * more. Nulls and tables are left out. */
void sc_report_fields(struct sc_out *o, const struct sc_field *object, const struct sc_term *term);

/* ------------------------------------------------------------------- pictures on a terminal --- */
enum sc_graphics {
    SC_GRAPHICS_AUTO,
    SC_GRAPHICS_KITTY,  /* the graphics protocol of kitty */
    SC_GRAPHICS_SIXEL,  /* DEC's */
    SC_GRAPHICS_BLOCKS, /* two pixels a character, in 24-bit colours */
    SC_GRAPHICS_ASCII,  /* shades, two rows a line */
};
extern const char *const sc_graphics_names[]; /* NULL-terminated */
struct sc_term_picture {
    uint32_t width, height;
    const uint8_t *indices; /* (height * width) */
    const struct sc_palette *palette;
};
/* AUTO is as ASCII: who calls looks at the terminal. */
int sc_report_term_picture(struct sc_out *o, const struct sc_term_picture *p, enum sc_graphics how,
                           struct sc_error *e);
/* One line: what the colours of a picture mean, in numbers, and which of those that are no step of
 * a scale it has. */
void sc_report_legend(struct sc_out *o, const struct sc_colours *c, const struct sc_term_picture *p,
                      enum sc_graphics how);

#endif
