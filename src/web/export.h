/* SPDX-License-Identifier: Apache-2.0 */
/* export: what the files of static exports share. Private to the web layer.
 *
 *     plan of a view --export_plan--> tiles that are worth a place, coarse levels first
 *          --export_body--> packed bodies --export_tiles--> packs and an index
 *          --export--> the folder: what is in it, what an earlier run has left --export_page-->
 *          the page, as files or as one
 *
 * Tiles are made in the order of the plan by all threads at once and stand in the packs in that
 * order, so neither the number of threads nor an end by force changes a byte. */
#ifndef SC_WEB_EXPORT_H
#define SC_WEB_EXPORT_H

#include "web/web.h"

/* -------------------------------------------------------------------------- export_plan.c ---
 * A tile is stored when something stands in it that the level above does not show element by
 * element. Tiles come in blocks of 32 x 32. */
enum { SC_BLOCK_LOG2 = 5, SC_BLOCK_SIDE = 1 << SC_BLOCK_LOG2, SC_ENTRY_BYTES = 16 };
struct sc_export_block {
    uint32_t x, y;                  /* in blocks */
    uint32_t need[SC_BLOCK_SIDE];   /* rows of bits: stored tiles, */
    uint32_t mixed[SC_BLOCK_SIDE];  /* and those whose planes differ; */
    uint32_t above[SC_BLOCK_SIDE];  /* tiles whose pixels are those of the one above them in the */
    uint32_t before[SC_BLOCK_SIDE]; /* block, or on their left: they share its body */
    uint8_t left, top, columns, rows; /* of the rectangle that has stored ones */
    bool alike;                       /* one table for all planes */
    bool thin;                        /* a vector is in it */
    uint64_t first;                   /* stored tiles before it */
    uint64_t table;                   /* where its tables begin in the index */
};
struct sc_export_level {
    int z;
    size_t first_block, n_blocks;
    uint64_t first, n; /* stored tiles: before it, in it */
    uint64_t end;      /* bytes of an index that ends with it */
};
struct sc_export_plan {
    struct sc_export_level *levels;
    size_t n_levels, levels_cap;
    struct sc_export_block *blocks;
    size_t n_blocks, blocks_cap;
    enum sc_plane planes[SC_PLANES_ALL];
    unsigned n_planes;
    uint64_t n_tiles, pack_bytes;
    bool cut; /* the deepest levels were too large to be numbered */
};
struct sc_export_at {
    size_t level, block;
    unsigned bit; /* row * 32 + column */
    int64_t x, y; /* in tiles */
    bool mixed;
    enum sc_export_like { SC_LIKE_NONE, SC_LIKE_ABOVE, SC_LIKE_BEFORE } like;
};
/* `planes`: bits; max_zoom: levels below the whole. */
int sc_export_plan_new(const struct sc_scene *s, unsigned planes, unsigned max_zoom,
                       uint64_t pack_bytes, struct sc_export_plan *out, struct sc_error *e);
void sc_export_plan_clear(struct sc_export_plan *p);
/* The i-th stored tile; i < n_tiles. */
void sc_export_tile_at(const struct sc_export_plan *p, uint64_t i, struct sc_export_at *out);
/* From one to the next; false: there is none. */
bool sc_export_next(const struct sc_export_plan *p, struct sc_export_at *at);
/* All stored tiles, those below a tile right behind it: weights that several zooms are made of are
 * read while they are near. */
struct sc_export_walk {
    const struct sc_export_plan *p;
    struct sc_export_at at;   /* the tile */
    struct sc_export_at root; /* the last that has none above it */
};
bool sc_export_walk_start(struct sc_export_walk *w, const struct sc_export_plan *p);
bool sc_export_walk_next(struct sc_export_walk *w); /* false: that was the last */
/* Leaves the first n levels. Tables stay where they are. */
void sc_export_plan_cut(struct sc_export_plan *p, size_t n_levels);
/* Puts the tables of all levels that there are one behind the other. */
void sc_export_plan_place(struct sc_export_plan *p);
/* Where the entry of a tile stands in the index. */
uint64_t sc_export_entry(const struct sc_export_plan *p, const struct sc_export_at *at,
                         unsigned plane);
/* The index up to its tables. */
int sc_export_head(const struct sc_export_plan *p, struct sc_buf *b);

/* -------------------------------------------------------------------------- export_body.c --- */
struct sc_body_work; /* what a thread needs; some hundreds of KiB */
struct sc_body_work *sc_body_work_new(void);
void sc_body_work_free(struct sc_body_work *w);
/* The body of a tile in deflate, in w's memory until the next call; its size. */
size_t sc_body_pack(struct sc_body_work *w, const struct sc_tile *t, const uint8_t **out);
/* The same of a tile whose pixels are these: their upper halves, which are all there is. t->pixels
 * is overwritten. */
size_t sc_body_pack_halves(struct sc_body_work *w, struct sc_tile *t, const uint16_t *halves,
                           const uint8_t **out);

/* ------------------------------------------------------------------------- export_write.c --- */
/* Bytes on their way to files. Where such that follow each other are put one after the other, they
 * are written in large pieces, past the memory in which the system keeps files. */
struct sc_stage;
struct sc_stage *sc_stage_new(void);    /* NULL: no memory */
void sc_stage_free(struct sc_stage *s); /* what is held is lost; NULL is allowed */
/* False: see errno. Of an error nothing more is to be expected. */
bool sc_stage_put(struct sc_stage *s, int fd, const void *bytes, size_t n, uint64_t at);
bool sc_stage_flush(struct sc_stage *s);
int sc_stage_fd(const struct sc_stage *s); /* whose bytes are held; -1: none */
void sc_stage_plain(struct sc_stage *s);   /* from now on through that memory */

/* ------------------------------------------------------------------------------ pmtiles.c --- */
/* A file of pictures by zoom and place. Bodies go to places that are given in the order of calls;
 * one thread gives places, and one puts bodies. */
struct sc_pmtiles;
struct sc_pmtiles_facts {
    const char *path; /* for messages */
    enum sc_picture_format format;
    double wide, high;    /* of the whole, as shares of the tile of zoom 0 */
    const char *metadata; /* an object in JSON */
};
int sc_pmtiles_new(int fd, struct sc_pmtiles **out, struct sc_error *e); /* fd is borrowed */
void sc_pmtiles_free(struct sc_pmtiles *p);                              /* NULL is allowed */
/* Where `size` bytes of a tile will stand; each tile once, size > 0. */
int sc_pmtiles_place(struct sc_pmtiles *p, int zoom, int64_t x, int64_t y, size_t size,
                     uint64_t *offset, struct sc_error *e);
/* A tile that has the bytes of one that was given a place. False: that is not known any more. */
bool sc_pmtiles_again(struct sc_pmtiles *p, int zoom, int64_t x, int64_t y, int64_t like_x,
                      int64_t like_y);
bool sc_pmtiles_put(struct sc_pmtiles *p, const void *bytes, size_t n, uint64_t offset);
void sc_pmtiles_slow(struct sc_pmtiles *p); /* between puts: as sc_stage_plain() */
/* Directories and header; *bytes: of the file. */
int sc_pmtiles_end(struct sc_pmtiles *p, const struct sc_pmtiles_facts *f, uint64_t *bytes,
                   struct sc_error *e);
uint64_t sc_pmtiles_id(unsigned zoom, uint64_t x, uint64_t y); /* of a tile; zoom at most 31 */

/* ------------------------------------------------------------------------- export_tiles.c --- */
struct sc_export_job {
    const struct sc_export_options *o;
    const struct sc_web_view *view;
    struct sc_export_plan *plan;
    const char *dir;             /* of its tiles, there already */
    uint64_t most;               /* bytes of packs and index; UINT64_MAX: any */
    uint64_t done_before, total; /* tiles of other views, and of all: for progress */
};
/* Tiles, packs and index of a view, from where an earlier run ended (*kept: its tiles); *bytes: of
 * all these files. A level that does not fit `most` is left out, and plan->n_levels says so. */
int sc_export_tiles(struct sc_export_job *j, uint64_t *bytes, uint64_t *kept, struct sc_error *e);
/* Bytes of packs and index up to each level, as far as samples tell. */
int sc_export_estimate(struct sc_export_job *j, uint64_t *bytes, struct sc_error *e);

/* -------------------------------------------------------------------------- export_facts.c ---
 * Figures of all tensors in one file, each packed by itself. */
int sc_export_facts(const struct sc_export_options *o, const struct sc_web_view *v,
                    const char *path, struct sc_error *e);

/* -------------------------------------------------------------------------- export_page.c --- */
/* A file below dir, whole or not at all. */
int sc_export_write(const char *dir, const char *name, const struct sc_buf *b, struct sc_error *e);
int sc_export_failed(const char *path, struct sc_error *e); /* from errno */
/* Ends a file that sc_open_temporary() began: with a code of 0 it is flushed and takes its place at
 * path, else, or when that fails, it is removed. The code, or what failed; temporary is cleared. */
int sc_export_end(int fd, struct sc_buf *temporary, const char *path, int code, struct sc_error *e);
/* Page, style and modules; `single`: the page holds all files as well, else it is smaller. */
int sc_export_files(const char *dir, const char *title, size_t n_views, bool single,
                    struct sc_error *e);
int sc_export_colours(const char *dir, struct sc_error *e); /* colours.json */
/* One page that holds all files of the folder. */
int sc_export_one(const char *dir, const char *title, size_t n_views, const char *path,
                  struct sc_error *e);
/* Bytes of the files that one page holds: documents and tiles. */
uint64_t sc_export_bytes(const char *dir, size_t n_views);
/* Is there no file at path, or one of ours, or an empty one? SCRUPLE_EUSAGE says what there is. */
int sc_export_may_replace(const char *path, struct sc_error *e);
/* export.c: what names weights and options of the export in a folder; false: nothing does. */
bool sc_export_key(const char *dir, char key[65]);
/* The name of a file that sc_export_write() has not finished. */
bool sc_export_is_temporary(const char *name);
/* Gathers what is written. */
int sc_export_into(void *ctx, const char *p, size_t n); /* as sc_out.write; ctx: struct sc_buf */

#endif
