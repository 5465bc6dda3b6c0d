/* SPDX-License-Identifier: Apache-2.0 */
/* sha: SHA-256 and git's SHA-1 of a blob, by libcrypto.
 *
 * The library is loaded when the first hash is wanted: most runs never hash anything. Where it is
 * not there, nothing can be verified, so nothing is put into the shared cache. */
#include "hub/cache.h"
#include "hub/internal.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(X)                                                                               \
    X(EVP_MD_CTX_new)                                                                              \
    X(EVP_MD_CTX_free)                                                                             \
    X(EVP_DigestInit_ex)                                                                           \
    X(EVP_DigestUpdate)                                                                            \
    X(EVP_DigestFinal_ex)                                                                          \
    X(EVP_sha1)                                                                                    \
    X(EVP_sha256)

static struct {
#define SLOT(name) __typeof__(name) *name;
    FUNCTIONS(SLOT)
#undef SLOT
} crypto;
static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;
static struct sc_error crypto_error; /* code 0: it is there */

static void load_crypto(void)
{
    static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.3.dylib",
                                        NULL};
    static const struct sc_symbol symbols[] = {
#define SYMBOL(name) {#name, &crypto.name},
        FUNCTIONS(SYMBOL)
#undef SYMBOL
    };
    sc_library_load(names, symbols, SC_COUNT(symbols), "verify downloads", &crypto_error);
}

struct sc_sha {
    EVP_MD_CTX *ctx;
    bool failed;
};

static int fail_start(struct sc_error *e)
{
    sc_fail(e, SCRUPLE_EUNSUPPORTED, "libcrypto refuses to compute this hash");
    return SCRUPLE_EUNSUPPORTED;
}

int sc_sha_new(enum sc_sha_kind kind, uint64_t size, struct sc_sha **out, struct sc_error *e)
{
    *out = NULL;
    pthread_once(&crypto_once, load_crypto);
    if (crypto_error.code < 0) {
        if (e)
            *e = crypto_error;
        return crypto_error.code;
    }
    struct sc_sha *s = sc_calloc(1, sizeof *s);
    if (!s || !(s->ctx = crypto.EVP_MD_CTX_new())) {
        free(s);
        sc_fail_memory(e);
        return SCRUPLE_EMEMORY;
    }
    const EVP_MD *md = kind == SC_SHA256 ? crypto.EVP_sha256() : crypto.EVP_sha1();
    if (crypto.EVP_DigestInit_ex(s->ctx, md, NULL) != 1) { /* e.g. SHA-1 switched off by policy */
        sc_sha_free(s);
        return fail_start(e);
    }
    if (kind == SC_SHA_GIT_BLOB) {
        char head[32];
        int n = snprintf(head, sizeof head, "blob %" PRIu64, size);
        sc_sha_add(s, head, (size_t)n + 1); /* with its NUL */
    }
    *out = s;
    return 0;
}

void sc_sha_add(struct sc_sha *s, const void *p, size_t n)
{
    if (n > 0 && crypto.EVP_DigestUpdate(s->ctx, p, n) != 1)
        s->failed = true;
}

void sc_sha_end(struct sc_sha *s, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (crypto.EVP_DigestFinal_ex(s->ctx, sum, &n) != 1 || s->failed || n > 32)
        n = 0; /* an empty text is no digest of anything */
    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[sum[i] >> 4];
        hex[2 * i + 1] = digits[sum[i] & 15];
    }
    hex[(size_t)2 * n] = '\0';
    sc_sha_free(s);
}

void sc_sha_free(struct sc_sha *s)
{
    if (!s)
        return;
    crypto.EVP_MD_CTX_free(s->ctx);
    free(s);
}

int sc_sha_of(enum sc_sha_kind kind, const void *p, size_t n, char hex[65], struct sc_error *e)
{
    struct sc_sha *s;
    hex[0] = '\0';
    TRY(sc_sha_new(kind, n, &s, e));
    sc_sha_add(s, p, n);
    sc_sha_end(s, hex);
    return hex[0] ? 0 : fail_start(e);
}

bool sc_sha_kind_of(const char *etag, enum sc_sha_kind *kind)
{
    if (sc_hub_is_hex(etag, 64))
        *kind = SC_SHA256;
    else if (sc_hub_is_hex(etag, 40))
        *kind = SC_SHA_GIT_BLOB;
    else
        return false;
    return true;
}
