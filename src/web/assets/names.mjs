// SPDX-License-Identifier: Apache-2.0
// names: short words for tensors and numbers for people.

/** Numbers that are no numbers, as the protocol writes them. */
const WORDS = new Set(["NaN", "Infinity", "-Infinity"]);

/**
 * A value with `digits` that count, as short as can be: "0.0123", "-4.2e-7", "∞".
 * @param {number|string} value
 */
export function formatValue(value, digits = 4) {
    if (typeof value === "string")
        return WORDS.has(value) ? value.replace("Infinity", "∞").replace("-", "−") : value;
    if (!Number.isFinite(value))
        return formatValue(String(value));
    const size = Math.abs(value);
    let text = String(value);
    if (text.length > digits + 3 || text.includes("e")) {
        text = size >= 1e-3 && size < 10 ** digits ? value.toPrecision(digits)
            : value.toExponential(digits - 1);
        const [mantissa, exponent] = text.split("e");
        text = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
        if (exponent !== undefined)
            text += `e${exponent.replace("+", "")}`;
    }
    return text.replace(/^-/, "−");
}

/** 1234567 as "1 234 567", with thin spaces. */
export function formatCount(n) {
    return String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** "4096 × 1024"; "one value" without dimensions. */
export function formatShape(shape) {
    return shape.length ? shape.map((n) => String(n)).join(" × ") : "one value";
}

/**
 * The name of a tensor without what its place says already: of a layer or an expert, what follows
 * its number. At most as long as `most` pieces, the last ones; without ".weight".
 */
export function shortName(scene, tensor, most = Infinity) {
    const full = scene.names[tensor], {layer, expert} = scene.tensors;
    let rest = full;
    for (const number of [layer[tensor], expert[tensor]]) {
        const mark = `.${number}.`, at = rest.indexOf(mark);
        if (number >= 0 && at >= 0)
            rest = rest.slice(at + mark.length);
    }
    const pieces = rest.replace(/\.weight$/, "").split(".");
    return pieces.slice(-Math.min(most, pieces.length)).join(".");
}
