/* SPDX-License-Identifier: Apache-2.0 */
/* html: a scan as one page that needs nothing else.
 *
 * Owns: the page: summary, findings, pictures, tables, and the data from which a browser draws one
 * tensor when it is asked for. Style and script are the files of assets/, embedded by
 * tools/embed.sh; the page's policy allows these two by their hashes and nothing from elsewhere,
 * so text from files could not run even if it escaped its place.
 *
 * Does not own: the figures and the pictures. Where the page goes is the business of `o`.
 */
#ifndef SC_HTML_H
#define SC_HTML_H

#include "report/plots.h"

enum {
    SC_HTML_TENSORS = 2000, /* with all their figures; the most remarkable of a larger model */
    SC_HTML_ISSUES = 2000,
};
/* The first view is what the page is about; more of them add what compares them. Needs libcrypto
 * for the hashes, which is loaded on first need. */
int sc_report_html(struct sc_out *o, const struct sc_scan_view *views, size_t n_views,
                   struct sc_error *e);

/* html_data.c: the JSON that the page's script reads, safe inside <script>. `order` lists the n
 * positions of tensors whose figures go in. */
void sc_html_data(const struct sc_scan_view *v, const uint32_t *order, size_t n, struct sc_buf *b);

/* ----------------------------------------------------------------- page.c: what pages share ---
 * A policy that allows the page's own styles and scripts by their hashes and nothing from
 * elsewhere; what begins and ends it. */
struct sc_page_asset {
    const unsigned char *p;
    const size_t *n;
};
struct sc_page_frame {
    const char *what; /* "scan": behind the title of the page */
    const struct sc_page_asset *styles;
    size_t n_styles;
    const struct sc_page_asset *scripts; /* in this order */
    size_t n_scripts;
};
/* From the doctype to the start of the body. SCRUPLE_EUNSUPPORTED: no libcrypto. */
int sc_page_head(const struct sc_page_frame *f, struct sc_str title, struct sc_buf *b,
                 struct sc_error *e);
/* " 'sha256-...'": these bytes as a policy names them. */
int sc_page_hash(const void *p, size_t n, struct sc_buf *b, struct sc_error *e);
/* The scripts and the end. */
void sc_page_tail(const struct sc_page_frame *f, struct sc_buf *b);
void sc_put_base64(struct sc_buf *b, const void *bytes, size_t n);
/* A JSON string that is safe inside <script>, quotes included. */
void sc_put_script_text(struct sc_buf *b, struct sc_str text);
/* A JSON number of so many digits; NaN is null, infinities are texts. */
void sc_put_script_number(struct sc_buf *b, double v, int digits);

/* tools/embed.sh makes these of src/report/assets. */
extern const unsigned char sc_asset_report_css[], sc_asset_quant_css[], sc_asset_common_js[],
    sc_asset_report_js[], sc_asset_chart_js[], sc_asset_quant_js[], sc_asset_curves_js[],
    sc_asset_pictures_js[];
extern const size_t sc_asset_report_css_size, sc_asset_quant_css_size, sc_asset_common_js_size,
    sc_asset_report_js_size, sc_asset_chart_js_size, sc_asset_quant_js_size,
    sc_asset_curves_js_size, sc_asset_pictures_js_size;

#endif
