/* SPDX-License-Identifier: Apache-2.0 */
/* json_stream: a JSON document in a file, scanned through a window that slides.
 *
 * A header of 100 MB or a hostile one that only claims to be that long costs the window (256 KiB,
 * growing to SC_MAX_JSON_ITEM for one huge item) and what the caller keeps. The caller works item
 * by item:
 *
 *     do {
 *         TRY(sc_json_stream_fill(&st, e));            // strings of the last item die here
 *         ok = scan_one_item(&st.json);
 *     } while (!ok && (status = sc_json_stream_retry(&st, e)) > 0);
 */
#ifndef SC_JSON_STREAM_H
#define SC_JSON_STREAM_H

#include "source/source.h"

#define SC_MAX_JSON_ITEM ((size_t)16 << 20)

struct sc_json_stream {
    struct sc_json json; /* scans the window */
    struct sc_source *source;
    uint64_t window_pos; /* file position of json.start */
    uint64_t next, end;  /* next byte to load, end of the document */
    uint64_t mark;       /* file position where the current item started */
    char *window;
    size_t cap;
};

/* Nothing is read yet. Unescaped strings go to `arena`. */
int sc_json_stream_start(struct sc_json_stream *st, struct sc_source *s, uint64_t pos, uint64_t n,
                         struct sc_arena *arena, struct sc_error *e);
/* Marks the start of an item and makes sure that a typical one is in the window. */
int sc_json_stream_fill(struct sc_json_stream *st, struct sc_error *e);
/* After a scan failed: 1 when the window was the reason (more is loaded, scanning is back at the
 * mark), 0 when the document is at fault, negative on a read error. */
int sc_json_stream_retry(struct sc_json_stream *st, struct sc_error *e);
/* File position of the problem, or of the scanner when there is none. */
uint64_t sc_json_stream_at(const struct sc_json_stream *st);
void sc_json_stream_clear(struct sc_json_stream *st);

#endif
