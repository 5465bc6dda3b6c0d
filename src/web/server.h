/* SPDX-License-Identifier: Apache-2.0 */
/* server: what its files share. server.c: listening, connections, who may ask; server_answer.c:
 * what is answered. */
#ifndef SC_WEB_SERVER_H
#define SC_WEB_SERVER_H

#include <pthread.h>

#include "web/body.h"
#include "web/microhttpd.h"
#include "web/request.h"

/* A connection, from accept to close. */
struct sc_web_connection {
    bool used;
    bool busy;      /* with an answer; else it waits for (the rest of) a request */
    bool is_events; /* an answer without an end */
    bool ended;     /* by us */
    int fd;
    uint64_t since; /* milliseconds: of the state */
    struct sc_web_request request;
};
/* A tile that is being made. */
struct sc_web_work {
    struct sc_web_work *next;
    struct sc_tile tile;
};
struct sc_web_server {
    const struct sc_web_options *o;
    const struct sc_web_view *views;
    size_t n_views;
    const struct sc_microhttpd *http;
    struct sc_web_place place;
    char token[SC_WEB_TOKEN + 1];
    struct sc_body *page, *colours, *view;
    struct sc_buf policy;
    pthread_mutex_t planning; /* of scenes; held while one is made */
    struct sc_body **scenes;  /* of each view; NULL: not made yet */
    pthread_mutex_t lock;     /* of the rest */
    pthread_cond_t ended, tile_done;
    bool ending;
    bool *looked_at; /* of each view: its plan was asked for */
    struct sc_web_work *idle;
    struct sc_tile_cache *kept;
    struct sc_web_connection *connections;
    size_t n_connections, most; /* the latter: of those that are not being ended */
    unsigned n_heavy, n_values, n_events, n_tiles; /* that are being answered */
    uint64_t tiles;                                /* that were made */
};
/* Answers c->request, or says why not. MHD_NO: the connection is closed. */
enum MHD_Result sc_web_answer(struct sc_web_server *s, struct MHD_Connection *connection,
                              struct sc_web_connection *c);
/* An error as JSON. `sentence` is ours or was made safe. */
enum MHD_Result sc_web_refuse(struct sc_web_server *s, struct MHD_Connection *connection,
                              unsigned status, const char *sentence);
/* scene.json of a view; NULL: no memory. The caller leaves it. */
struct sc_body *sc_web_scene(struct sc_web_server *s, uint32_t view);
void sc_web_work_free(struct sc_web_work *list);
/* What is the same for every model. */
int sc_web_prepare(struct sc_web_server *s, struct sc_error *e);

#endif
