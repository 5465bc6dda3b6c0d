/* SPDX-License-Identifier: Apache-2.0 */
/* decode_ggml: what decode_ggml.c and decode_k.c share with their SIMD variants.
 *
 * Owns: reading a half and the scale bytes, the declarations of the variants.
 *
 * NaN. Every value is code * scale, or code * scale +- minimum. Where the scale alone is NaN the
 * product is that NaN, on every machine that ggml runs on. Only where two NaN meet (scale or
 * infinity times zero on one side, minimum on the other) ggml's own builds differ, as with FMA the
 * sum of product and minimum is one instruction. We then give what ggml as released for x86-64
 * gives: the product's NaN, which is what a subtraction of two NaN gives. An addition would leave
 * the choice to the compiler, so types that add a minimum subtract its negative.
 */
#ifndef SC_CODEC_DECODE_GGML_H
#define SC_CODEC_DECODE_GGML_H

#include "codec/decode.h"

/* x - sc_minus(m) is x + m, bit for bit: a NaN keeps its sign. */
static inline float sc_minus(float m)
{
    return m != m ? m : -m;
}

/* A block's half, little-endian at any address. */
static inline float sc_half_at(const uint8_t *p)
{
    return sc_f16_value((uint16_t)(p[0] | p[1] << 8));
}

/* Half of 2^(e - 127), the scale of MXFP4: its codes are counted in halves. ggml does not know the
 * NaN that E8M0 has at 255; neither does this. */
static inline float sc_e8m0_half(uint8_t e)
{
    const union {
        uint32_t u;
        float f;
    } v = {e < 2 ? UINT32_C(0x00200000) << e : (uint32_t)(e - 1) << 23};
    return v.f;
}

/* Half of what an unsigned E4M3 scale of NVFP4 is, by its byte; as ggml has it, the byte 0x7F is 0
 * and the top bit is not looked at otherwise. */
extern const float sc_ue4m3_half[256];
/* E2M1 by its code, counted in halves; there is no -0. */
#define SC_E2M1_TWICE 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

#if SC_HAVE_X86
#define SC_DECODE_X86(id)  sc_decode_##id##_avx2, sc_decode_##id##_avx512
#define SC_DECLARE_X86(id) sc_decode_fn SC_DECODE_X86(id)
SC_DECLARE_X86(q4_0);
SC_DECLARE_X86(q4_1);
SC_DECLARE_X86(q5_0);
SC_DECLARE_X86(q5_1);
SC_DECLARE_X86(q8_0);
SC_DECLARE_X86(q8_1);
SC_DECLARE_X86(mxfp4);
SC_DECLARE_X86(nvfp4);
SC_DECLARE_X86(q1_0);
SC_DECLARE_X86(q2_0);
SC_DECLARE_X86(q2_k);
SC_DECLARE_X86(q3_k);
SC_DECLARE_X86(q4_k);
SC_DECLARE_X86(q5_k);
SC_DECLARE_X86(q6_k);
SC_DECLARE_X86(q8_k);
SC_DECLARE_X86(tq1_0);
SC_DECLARE_X86(tq2_0);
#undef SC_DECLARE_X86
#else
#define SC_DECODE_X86(id) NULL, NULL
#endif

#endif
