/* SPDX-License-Identifier: Apache-2.0 */
/* scruple.h - the public interface of libscruple: look at the weights of AI models.
 *
 * A model is opened by name: a path, a name on the Hugging Face Hub, a URL; only headers are read.
 * After scruple_open() returns, a `scruple_model` is immutable: any number of threads may read it
 * at once. All strings and arrays that the functions return belong to the model and live until
 * scruple_close(), unless the comment says otherwise. Names are UTF-8 as the file has them; they
 * may hold any character, so escape them before they reach a terminal or a page.
 *
 * Functions that can fail return 0 or a negative SCRUPLE_E... code and, when `message` is not
 * NULL, fill it with one sentence: what is wrong, where, and what was allowed.
 */
#ifndef SCRUPLE_H
#define SCRUPLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SCRUPLE_VERSION_MAJOR 0
#define SCRUPLE_VERSION_MINOR 1
#define SCRUPLE_VERSION_PATCH 0

#if defined(SCRUPLE_BUILDING) && defined(__GNUC__)
#define SCRUPLE_API __attribute__((visibility("default")))
#else
#define SCRUPLE_API
#endif

/* X(name, value, text): every error code, once. */
#define SCRUPLE_ERRORS(X)                                                                          \
    X(SCRUPLE_EUSAGE, -1, "wrong use")                                                             \
    X(SCRUPLE_EMEMORY, -2, "out of memory")                                                        \
    X(SCRUPLE_EIO, -3, "cannot read")                                                              \
    X(SCRUPLE_EFORMAT, -4, "invalid file")                                                         \
    X(SCRUPLE_EUNSUPPORTED, -5, "not supported")                                                   \
    X(SCRUPLE_ENOTFOUND, -6, "not found")                                                          \
    X(SCRUPLE_ENETWORK, -7, "network failure")                                                     \
    X(SCRUPLE_ELIMIT, -8, "limit exceeded")                                                        \
    X(SCRUPLE_EINTERRUPTED, -9, "interrupted")                                                     \
    X(SCRUPLE_EWRITE, -10, "cannot write")

enum scruple_code {
    SCRUPLE_OK = 0,
#define SCRUPLE_X(name, value, text) name = (value),
    SCRUPLE_ERRORS(SCRUPLE_X)
#undef SCRUPLE_X
};

/* One sentence that tells what went wrong; always NUL-terminated, control characters escaped. */
struct scruple_message {
    char text[1200];
};

typedef struct scruple_model scruple_model;

/* "0.1.0" */
SCRUPLE_API const char *scruple_version(void);

/* Open the model `path` (a folder, a weight file, an index file, "-" for standard input; what is
 * none of these on this machine: "org/name" of the Hub, hf://..., a URL) and read its headers. A
 * model that is not here is asked for over the network, with the environment of the Hugging Face
 * tools (HF_TOKEN, HF_ENDPOINT, ...) and their cache; HF_HUB_OFFLINE=1 keeps it from that. *out is
 * NULL on failure; free it with scruple_close(). Thread-safe. */
SCRUPLE_API int scruple_open(const char *path, scruple_model **out,
                             struct scruple_message *message);

/* Release a model and everything borrowed from it. NULL is allowed. */
SCRUPLE_API void scruple_close(scruple_model *model);

/* A logical tensor: what a user means by "the weight". FP8 with its block scales, or the four
 * tensors of a GPTQ layer, are one. */
struct scruple_tensor {
    const char *name; /* NUL-terminated UTF-8; name_bytes tells when a NUL is inside */
    size_t name_bytes;
    const char *dtype;     /* "BF16", "F8_E4M3", "Q4_K", "INT4", "NF4", ... */
    const char *layout;    /* how it is stored: "plain", "fp8-block", "gptq", "awq", ... */
    const char *file;      /* path of its main part, relative to the model's folder */
    const uint64_t *shape; /* (rank) logical dimensions, outermost first */
    size_t rank;
    uint64_t parameters; /* product of shape */
    uint64_t bytes;      /* stored bytes of all its parts */
    uint64_t offset;     /* byte position of its main part in `file` */
    size_t stored;       /* number of stored tensors folded into it; 1 for a plain one */
};

/* Number of logical tensors, and the i-th in natural order. Returns 0, or SCRUPLE_EUSAGE when i is
 * out of range. */
SCRUPLE_API size_t scruple_tensor_count(const scruple_model *model);
SCRUPLE_API int scruple_tensor_at(const scruple_model *model, size_t i, struct scruple_tensor *out);

/* The same documents as `scruple tree --json`, `scruple info --json`, `scruple check --json`.
 * `command` is one of those names. "check" opens the path again and reads all tensor data that has
 * checksums. *json is a NUL-terminated string; free it with scruple_free(). */
SCRUPLE_API int scruple_report_json(const scruple_model *model, const char *command, char **json,
                                    struct scruple_message *message);
SCRUPLE_API void scruple_free(void *p);

#ifdef __cplusplus
}
#endif

#endif
