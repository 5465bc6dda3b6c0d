/* SPDX-License-Identifier: Apache-2.0 */
/* encode_x86: rounding with AVX2 and AVX-512, bit for bit as plain C: encode_body.h over the
 * operations of encode_x86.h. */
#include "codec/encode_x86.h"

#if SC_HAVE_X86
#include <math.h>

/* The operations of a level under the names that the body knows. */
#define and AT(and)
#define or AT(or)
#define addi       AT(addi)
#define subi       AT(subi)
#define maxi       AT(maxi)
#define mini       AT(mini)
#define srl        AT(srl)
#define sll        AT(sll)
#define addf       AT(addf)
#define subf       AT(subf)
#define mulf       AT(mulf)
#define divf       AT(divf)
#define minf       AT(minf)
#define maxf       AT(maxf)
#define moref      AT(moref)
#define morei      AT(morei)
#define keep       AT(keep)
#define boundf     AT(boundf)
#define differf    AT(differf)
#define both       AT(both)
#define pick       AT(pick)
#define count      AT(count)
#define all        AT(all)
#define load       AT(load)
#define store      AT(store)
#define store_bits AT(store_bits)
#define fma        AT(fma)
#define fnma       AT(fnma)
#define most       AT(most)
#define first      AT(first)
#define squares    AT(squares)
#define halves     AT(halves)
#define peaks      AT(peaks)
#define pairs      AT(pairs)

#define LANES    struct sc_lanes2
#define MASK     struct sc_lanes2
#define TARGET   SC_TARGET_AVX2
#define AT(name) name##_avx2
#include "codec/encode_body.h"
#undef LANES
#undef MASK
#undef TARGET
#undef AT

#define LANES    __m512i
#define MASK     __mmask16
#define TARGET   SC_TARGET_AVX512
#define AT(name) name##_avx512
#include "codec/encode_body.h"

#endif /* SC_HAVE_X86 */
