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

/* tools/embed.sh makes these of src/report/assets. */
extern const unsigned char sc_asset_report_css[], sc_asset_report_js[];
extern const size_t sc_asset_report_css_size, sc_asset_report_js_size;

#endif
