// SPDX-License-Identifier: Apache-2.0
// text: numbers as they stand in documents, exact ones for people, and what the bits of a stored float are.
// Pure functions; numbers with few digits are in names.mjs.

/** Bits of the sign, the exponent and the fraction, and the bias, of types that are stored as they are. */
const FLOATS = {
    F64: [1, 11, 52, 1023], F32: [1, 8, 23, 127], F16: [1, 5, 10, 15], BF16: [1, 8, 7, 127],
    F8_E4M3: [1, 4, 3, 7], F8_E5M2: [1, 5, 2, 15], F8_E4M3FNUZ: [1, 4, 3, 8], F8_E5M2FNUZ: [1, 5, 2, 16],
    F8_E8M0: [0, 8, 0, 127],
};
const WORDS = {NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity};

/**
 * A number of one of our documents, where what JSON cannot say is a word.
 * @returns {number|null} null where there is none
 */
export function numberOf(v) {
    if (typeof v === "number") return v;
    return typeof v === "string" && Object.hasOwn(WORDS, v) ? WORDS[v] : null;
}

/**
 * With as many digits as a float32 needs to be told from its neighbours; a double has all it needs.
 * Plain characters, so that it can be copied into a program.
 */
export function exact(v) {
    if (v === null || v === undefined) return "\u2013";
    if (Number.isNaN(v)) return "NaN";
    if (!Number.isFinite(v)) return v > 0 ? "\u221e" : "-\u221e";
    if (Object.is(v, -0)) return "-0";
    if (Math.fround(v) !== v) return String(v);
    for (let digits = 1; digits < 9; digits++) {
        const near = Number(v.toPrecision(digits));
        if (Math.fround(near) === v) return String(near);
    }
    return String(Number(v.toPrecision(9)));
}

/** Bytes as the other commands say them. */
export function bytes(n) {
    const units = ["B", "KB", "MB", "GB", "TB", "PB"];
    let i = 0, v = n;
    while (v >= 999.5 && i + 1 < units.length) {
        v /= 1000;
        i++;
    }
    return `${i && v < 99.95 ? v.toFixed(1) : Math.round(v)} ${units[i]}`;
}

/** A share, with what it takes to tell it from nothing and from all. */
export function percent(part, whole) {
    if (!(whole > 0)) return "\u2013";
    const p = 100 * part / whole;
    if (p === 0 || p === 100) return `${p} %`;
    if (p < 0.01) return "< 0.01 %";
    if (p > 99.99) return "> 99.99 %";
    return `${Number(p.toPrecision(p < 1 ? 2 : 3))} %`;
}

function bitsOf(hex, swap) {
    const parts = hex.match(/../g) || [];
    if (swap) parts.reverse();
    return parts.map((byte) => parseInt(byte, 16).toString(2).padStart(8, "0")).join("");
}

function split(bits, [signs, exponents, , bias]) {
    const sign = bits.slice(0, signs), exponent = bits.slice(signs, signs + exponents);
    const fraction = bits.slice(signs + exponents), e = parseInt(exponent, 2);
    const share = fraction ? parseInt(fraction, 2) / 2 ** fraction.length : 0;
    const normal = e !== 0 || !fraction;
    const size = normal ? 2 ** (e - bias) * (1 + share) : 2 ** (1 - bias) * share;
    return {sign, exponent, fraction, power: normal ? e - bias : 1 - bias, significand: normal ? 1 + share : share,
        value: sign === "1" ? -size : size};
}

/**
 * The fields of a stored float, where its bytes mean `value` as they stand (no scale, no block).
 * @param {string} dtype
 * @param {string|null} raw hexadecimal bytes in the order of the file
 * @param {number} value what it means
 * @returns {{sign: string, exponent: string, fraction: string, power: number, significand: number}|null}
 */
export function fields(dtype, raw, value) {
    const widths = Object.hasOwn(FLOATS, dtype) ? FLOATS[dtype] : null;
    if (!widths || !raw || raw.length * 4 !== widths[0] + widths[1] + widths[2]) return null;
    for (const swap of [true, false]) {
        const parts = split(bitsOf(raw, swap), widths);
        const odd = !Number.isFinite(value) && !parts.exponent.includes("0");
        if (odd || parts.value === value) return parts;
    }
    return null;
}

/** Bytes apart from each other. */
export function hexText(raw) {
    return (raw.match(/../g) || []).join(" ");
}
