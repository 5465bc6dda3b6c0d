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
#include "codec/losses_body.h"
#undef LANES
#undef MASK
#undef TARGET
#undef AT

#define LANES    __m512i
#define MASK     __mmask16
#define TARGET   SC_TARGET_AVX512
#define AT(name) name##_avx512
#include "codec/encode_body.h"
#include "kernel/errors_body.h"
#include "codec/losses_body.h"

#endif /* SC_HAVE_X86 */
