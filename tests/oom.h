/* SPDX-License-Identifier: Apache-2.0 */
/* oom: make chosen allocations fail.
 *
 * A test that includes this header is linked so that every malloc, calloc, realloc, aligned_alloc,
 * posix_memalign, strdup, strndup, realpath, opendir and fdopendir of our own code is counted and
 * can fail with ENOMEM. jansson and libdeflate are counted too, by their own hooks; what happens
 * inside other libraries (libc's stdio and qsort, libyaml) is not.
 *
 * A sweep fails call number k for k = 0, 1, 2, ... until a run no longer gets that far:
 *
 *     for (uint64_t k = 0;; k++) {
 *         sc_oom_fail_at(k);
 *         int code = run();
 *         bool reached = sc_oom_failed() > 0;
 *         sc_oom_off();
 *         if (!reached)
 *             break;
 *         CHECK(code == SCRUPLE_EMEMORY || ...);
 *     }
 *
 * All of it is atomic, so the code under test may have threads; those that run while the numbers
 * are set see the old ones or the new.
 */
#ifndef SC_TEST_OOM_H
#define SC_TEST_OOM_H

#include <stdint.h>

/* Start to count from zero; call number k fails, all others work. */
void sc_oom_fail_at(uint64_t k);
/* The same, but every call from number k on fails: memory stays short. */
void sc_oom_fail_from(uint64_t k);
/* Start to count from zero and let everything work. */
void sc_oom_off(void);
/* Calls since the last of the above. */
uint64_t sc_oom_count(void);
/* How many of them were made to fail. */
uint64_t sc_oom_failed(void);

#endif
