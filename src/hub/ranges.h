/* SPDX-License-Identifier: Apache-2.0 */
/* ranges: the parts of one object that were fetched.
 *
 *     ranges/<key>.map    what is there: a log, with the bytes of small parts in it
 *     ranges/<key>.data   sparse; the bytes of all others, every one at its place in the object
 *
 * The log, all numbers little-endian:
 *
 *     offset  0   8  "scrpmap\n"
 *             8   4  version (2)
 *            12   4  bytes of the etag, n
 *            16   8  bytes of the object
 *            24   4  salt: the checksums of records begin with it
 *            28   n  etag
 *        28 + n   4  CRC-32 of all before
 *     then records of 24 bytes, a unit each:
 *             0   8  offset       8   8  length
 *            16   4  CRC-32 of the unit's bytes
 *            20   4  CRC-32 of the 20 bytes before
 *     With the highest bit of the length set, the bytes themselves follow. Such a record whose
 *     offset is 2^64 - 1 is no unit but the name that people call the object by.
 *
 * A look at a model keeps a header of each of its files, and to create a file is what takes longest
 * of keeping one; so small parts cost one file, and `data` comes into being with the first large
 * one.
 *
 * Bytes are written first, their record after them, in one write() with O_APPEND; or both in one
 * write(), the record first. So processes may append at once, and one that is killed leaves at
 * worst a piece of a record or of its bytes. Whoever reads looks for the next record byte by byte
 * behind anything that is none, or whose bytes do not fit: the checksum finds the way back, and as
 * nobody who makes files knows the salt, no file can hold what looks like a record. Nothing is
 * fsynced, because a unit is held against its checksum before any of it is served; what does not
 * fit is absent.
 *
 * Descriptors are opened when needed and given back when many ranges are open. An object whose
 * files were replaced or moved away (promoted to the shared cache) is dead for this handle.
 */
#ifndef SCRUPLE_HUB_RANGES_H
#define SCRUPLE_HUB_RANGES_H

#include "hub/cache.h"
#include "hub/extents.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* For the files ranges*.c alone: everybody else uses what hub/cache.h declares. */

#define SC_RANGES_RECORD   24
#define SC_RANGES_ETAG     1024                      /* bytes at most */
#define SC_RANGES_HEADER   (28 + SC_RANGES_ETAG + 4) /* bytes at most */
#define SC_RANGES_NAME     4096                      /* bytes at most */
#define SC_RANGES_LOG_MOST ((uint64_t)64 << 20)      /* bytes of a log that are read */
#define SC_RANGES_UNIT     ((size_t)1 << 20)         /* the largest that save writes */
#define SC_RANGES_CARRIES  (UINT64_C(1) << 63)       /* in a length: the bytes follow */
#define SC_RANGES_IS_NAME  UINT64_MAX                /* as an offset */

struct sc_ranges_file {
    int fd;         /* -1: closed at the moment */
    unsigned users; /* operations that are using it */
    bool pinned;    /* handed out: stays open */
    bool seen;      /* device and inode are known */
    dev_t device;
    ino_t inode;
};
struct sc_ranges {
    pthread_mutex_t lock;
    char *stem, *etag, *name;
    uint64_t size;
    uint32_t salt;
    bool plain; /* what the log carries does not count: all must be in `data` */
    struct sc_ranges_file data, map;
    bool read_only;
    bool dead;       /* removed, replaced or moved away: nothing is there, nothing is kept */
    uint64_t head;   /* bytes of the header */
    uint64_t map_at; /* how far the log was read */
    uint64_t junk;   /* bytes of it that were no records */
    struct sc_extents extents;
    _Atomic int error;
};

/* Files (ranges_files.c). Those that take a descriptor want the lock held, and return -1 with errno
 * when it cannot be had now; every one that was taken is given back. */
bool sc_ranges_path_of(struct sc_buf *b, const struct sc_ranges *r, const char *name);
int sc_ranges_open_file(struct sc_ranges *r, struct sc_ranges_file *f, int more);
int sc_ranges_take(struct sc_ranges *r, struct sc_ranges_file *f);
int sc_ranges_take_data(struct sc_ranges *r);
void sc_ranges_give(struct sc_ranges_file *f);
void sc_ranges_shut(struct sc_ranges_file *f);
bool sc_ranges_is_in_place(const struct sc_ranges *r, const struct sc_ranges_file *f);
bool sc_ranges_still_ours(const struct sc_ranges *r);
/* Keeps the first error for sc_ranges_error(). Returns false. */
bool sc_ranges_note(struct sc_ranges *r, int error);

/* The log (ranges_log.c). */
uint32_t sc_ranges_crc(const void *p, size_t n);
size_t sc_ranges_make_header(uint8_t out[SC_RANGES_HEADER], const char *etag, uint64_t size,
                             uint32_t salt);
bool sc_ranges_read_header(int fd, char etag[SC_RANGES_ETAG + 1], uint64_t *size, uint32_t *salt,
                           uint64_t *bytes);
void sc_ranges_put_record(const struct sc_ranges *r, uint8_t p[SC_RANGES_RECORD], uint64_t off,
                          uint64_t len, uint32_t crc);
void sc_ranges_read_log(struct sc_ranges *r);
bool sc_ranges_append(struct sc_ranges *r, int fd, const uint8_t record[SC_RANGES_RECORD],
                      const void *src, size_t n, uint64_t *end);
bool sc_ranges_append_record(struct sc_ranges *r, const struct sc_unit *u);
bool sc_ranges_append_bytes(struct sc_ranges *r, uint64_t off, const void *src, size_t n);
struct sc_ranges_file *sc_ranges_file_of(struct sc_ranges *r, const struct sc_unit *u);
uint64_t sc_ranges_place_of(const struct sc_unit *u, uint64_t off);
bool sc_ranges_check_unit(int fd, const struct sc_unit *u);

#endif
