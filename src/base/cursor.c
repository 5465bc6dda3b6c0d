/* SPDX-License-Identifier: Apache-2.0 */
/* cursor: checked reads of foreign bytes in memory.
 *
 * Every function returns false and moves nothing when fewer bytes are left than it needs. Numbers
 * are put together by shifts, so alignment and the byte order of the machine do not matter. */
#include "base/base.h"

bool sc_cursor_take(struct sc_cursor *c, uint64_t n, const uint8_t **out)
{
    if (n > sc_cursor_left(c))
        return false;
    *out = c->p;
    c->p += n;
    c->offset += n;
    return true;
}

bool sc_cursor_skip(struct sc_cursor *c, uint64_t n)
{
    const uint8_t *ignored;
    return sc_cursor_take(c, n, &ignored);
}

bool sc_cursor_u8(struct sc_cursor *c, uint8_t *out)
{
    const uint8_t *p;
    if (!sc_cursor_take(c, 1, &p))
        return false;
    *out = p[0];
    return true;
}

bool sc_cursor_u16(struct sc_cursor *c, uint16_t *out)
{
    const uint8_t *p;
    if (!sc_cursor_take(c, 2, &p))
        return false;
    *out = c->big_endian ? __builtin_bswap16(sc_le16(p)) : sc_le16(p);
    return true;
}

bool sc_cursor_u32(struct sc_cursor *c, uint32_t *out)
{
    const uint8_t *p;
    if (!sc_cursor_take(c, 4, &p))
        return false;
    *out = c->big_endian ? __builtin_bswap32(sc_le32(p)) : sc_le32(p);
    return true;
}

bool sc_cursor_u64(struct sc_cursor *c, uint64_t *out)
{
    const uint8_t *p;
    if (!sc_cursor_take(c, 8, &p))
        return false;
    *out = c->big_endian ? __builtin_bswap64(sc_le64(p)) : sc_le64(p);
    return true;
}
