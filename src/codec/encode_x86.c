/* SPDX-License-Identifier: Apache-2.0 */
/* encode_x86: rounding with AVX2 and AVX-512, bit for bit as plain C: encode_body.h over the
 * operations of kernel/lanes_x86.h; and what is lost by it, in one loop with it: losses_body.h. */
#include "codec/encode_int.h"

#include <float.h>
#include <math.h>

#include "kernel/errors.h"
#include "kernel/lanes_x86.h"

#if SC_HAVE_X86
#include "kernel/lanes_names.h"

#define LANES    struct sc_lanes2
#define MASK     struct sc_lanes2
#define TARGET   SC_TARGET_AVX2
#define AT(name) name##_avx2
#include "codec/encode_body.h"
#include "kernel/errors_body.h"
#define SHORT(name)  short_##name##_avx2
#define SHORT_TARGET TARGET
#include "kernel/errors_short_body.h"
#define SHORT_LEVELS(name) SHORT_SUMS(TARGET, avx2, name)
#define SHORT_BY(name)     short_##name##_avx2
#define SHORT_ALL          short_add_all_avx2
#include "codec/losses_body.h"
#undef LANES
#undef MASK
#undef TARGET
#undef AT
#undef SHORT
#undef SHORT_TARGET
#undef SHORT_LEVELS
#undef SHORT_BY
#undef SHORT_ALL

#define LANES    __m512i
#define MASK     __mmask16
#define TARGET   SC_TARGET_AVX512
#define AT(name) name##_avx512
#include "codec/encode_body.h"
#include "kernel/errors_body.h"
#define SHORT(name)  short_##name##_avx512
#define SHORT_TARGET TARGET
#include "kernel/errors_short_body.h"
#undef SHORT
#undef SHORT_TARGET
#define SHORT(name)  short_##name##_bf16
#define SHORT_TARGET SC_TARGET_BF16
#define SHORT_BF16
#include "kernel/errors_short_body.h"
#define SHORT_LEVELS(name)                                                                         \
    SHORT_SUMS(TARGET, avx512, name)                                                               \
    SHORT_SUMS(SC_TARGET_BF16, bf16, name)
#define SHORT_BY(name) (sc_cpu_has_bf16() ? short_##name##_bf16 : short_##name##_avx512)
#define SHORT_ALL      (sc_cpu_has_bf16() ? short_add_all_bf16 : short_add_all_avx512)
#include "codec/losses_body.h"

#endif /* SC_HAVE_X86 */
