/* SPDX-License-Identifier: Apache-2.0 */
/* npy: the header of one numpy array, in a file of its own or as a member of an NPZ file. */
#ifndef SC_NPY_H
#define SC_NPY_H

#include "format/format.h"

#define SC_NPY_PREFIX     12 /* bytes that sc_npy_header_bytes() wants to see */
#define SC_MAX_NPY_HEADER (UINT64_C(1) << 20)

struct sc_npy {
    sc_codec_id codec;   /* SC_OPAQUE: listed under the name `type` */
    char type[48];       /* "S5", "V8", "STRUCT24", "OBJECT"; letters, digits, <>|=[]_ only */
    uint64_t item_bytes; /* of one element, if sized */
    uint64_t bytes;      /* of all elements, if sized */
    uint64_t shape[SC_MAX_RANK];
    uint8_t rank;
    bool sized;   /* false: objects, and types that are not known */
    bool objects; /* the data is a pickle */
    bool big_endian;
    bool fortran;        /* column-major; shape is as numpy shows it */
    const char *problem; /* a constant sentence when a function returned false */
    size_t problem_at;   /* byte in the header */
};

/* Length of the whole header, magic number included, from the first n bytes of an array (at least
 * SC_NPY_PREFIX, unless it has fewer). false: npy->problem. */
bool sc_npy_header_bytes(const uint8_t *p, size_t n, uint64_t *out, struct sc_npy *npy);
/* p[0..n) is a whole header. Fills all of *npy. Pure: allocates nothing. false: npy->problem. */
bool sc_npy_parse(const uint8_t *p, size_t n, struct sc_npy *npy);

/* Reads the header that lies `at` in s, of an array that takes `left` bytes with its header, and
 * sets *header_bytes. npy->problem is NULL when all is well; a negative code is returned only when
 * reading failed. */
int sc_npy_read(struct sc_source *s, uint64_t at, uint64_t left, struct sc_npy *npy,
                uint64_t *header_bytes, struct sc_error *e);
/* Lists an array under `name`; `left` bytes follow its header, and what is wrong with that is
 * reported. proto has file, offset and view. An array that is seen through a view (it is
 * compressed) keeps proto->bytes, any other takes what its shape needs. */
int sc_npy_add(struct sc_catalog *c, struct sc_str name, const struct sc_npy *npy, uint64_t left,
               const struct sc_entry *proto, struct sc_error *e);
/* Reports npy->problem. */
int sc_npy_problem(struct sc_catalog *c, uint32_t file, struct sc_str name, uint64_t at,
                   const struct sc_npy *npy, struct sc_error *e);
/* "a/weights.npy" gives "weights"; a member keeps its folders. */
struct sc_str sc_npy_name(struct sc_str path, bool drop_folders);

#endif
