/* SPDX-License-Identifier: Apache-2.0 */
/* load_number: numbers of tokenizer.json as the Rust tokenizers read them. */
#include <math.h>

#include "text/load_stages.h"

/* A number as serde_json reads it where nobody asks for more: digits as far as 64 bits hold them,
 * then one multiplication or division. That may be one unit off in the last place, which decides
 * between ways of equal worth, so it has to be off here, too. */
double sc_serde_number(struct sc_str s)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t digits = 0;
    int64_t exponent = 0, given = 0;
    size_t i = s.p[0] == '-';
    bool full = false, fraction = false, down = false;

    for (; i < s.n && s.p[i] != 'e' && s.p[i] != 'E'; i++) {
        if (s.p[i] == '.') {
            fraction = true;
            continue;
        }
        const uint64_t digit = (uint64_t)(s.p[i] - '0');
        full |= digits > (UINT64_MAX - digit) / 10;
        if (!full) {
            digits = digits * 10 + digit;
            exponent -= fraction;
        } else if (!fraction) {
            exponent++;
        }
    }
    if (i < s.n) {
        i++;
        down = s.p[i] == '-';
        i += down || s.p[i] == '+';
        for (; i < s.n && given < 100000; i++)
            given = given * 10 + (s.p[i] - '0');
    }
    exponent += down ? -given : given;
    double v = (double)digits;
    if (exponent >= 0)
        v = exponent <= 308 ? v * (exponent <= 22 ? tens[exponent] : pow(10, (double)exponent))
            : v > 0         ? HUGE_VAL
                            : 0;
    else if (exponent >= -22)
        v /= tens[-exponent];
    else
        v = exponent >= -308 ? v / pow(10, (double)-exponent) : 0;
    return s.p[0] == '-' ? -v : v;
}
