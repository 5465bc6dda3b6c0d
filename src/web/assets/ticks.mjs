// SPDX-License-Identifier: Apache-2.0
// ticks: where numbers stand beside a bar of colours. Pure functions; positions are 0 (left) to 1.
import {formatValue} from "scruple/names.mjs";

const STEPS = 240;

/** Both signs with the same digits. */
const text = (value) => (value < 0 ? "\u2212" : "") + formatValue(Math.abs(value), 3);

/**
 * Where a value is on a bar whose steps begin at `edges`.
 * @param {ArrayLike<number>} edges 239, ascending
 * @param {number} low, high what the ends stand for
 */
export function positionOf(edges, v, low, high) {
    let from = 0, to = edges.length;
    while (from < to) {
        const mid = (from + to) >> 1;
        if (edges[mid] <= v) from = mid + 1;
        else to = mid;
    }
    const begin = from > 0 ? edges[from - 1] : low, end = from < edges.length ? edges[from] : high;
    const share = end > begin ? Math.max(0, Math.min(1, (v - begin) / (end - begin))) : 0.5;
    return (from + share) / STEPS;
}

const CHARACTER = 0.02, BETWEEN = 0.025; // shares of the bar

/** From where to where a number stands: at the ends inside of the bar, else around its place. */
function extent({at, text: {length}}) {
    const width = length * CHARACTER, from = at < 0.04 ? at : at > 0.96 ? at - width : at - width / 2;
    return [from, from + width];
}

/** Those that do not run into each other; the first ones matter most. */
export function apart(ticks) {
    const kept = [];
    for (const tick of ticks) {
        const [from, to] = extent(tick);
        const free = (other) => extent(other)[0] > to + BETWEEN || extent(other)[1] < from - BETWEEN;
        if (kept.every(free)) kept.push(tick);
    }
    return kept.sort((a, b) => a.at - b.at);
}

function powersBelow(scale, least) {
    const powers = [];
    for (let e = Math.floor(Math.log10(scale)); 10 ** e >= least && powers.length < 12; e--) powers.push(Number(`1e${e}`));
    return powers;
}

/** Values that are worth a number, the most important first. */
function candidates(mode, scale) {
    if (mode.folded) return [scale, scale * 1e-4, ...powersBelow(scale * 0.8, scale * 1.4e-4)];
    const sides = mode.name === "linear" ? [scale / 2] : powersBelow(scale * 0.7, scale / 1000);
    return [scale, -scale, 0, ...sides.flatMap((v) => [v, -v])];
}

/**
 * Numbers beside the colours of a scale.
 * @param {{name: string, folded: boolean}} mode one with edges that is no rank
 * @param {ArrayLike<number>} edges
 * @param {number} scale |x| at the end
 * @returns {{at: number, value: number, text: string}[]}
 */
export function scaleTicks(mode, edges, scale) {
    const low = mode.folded ? scale * 1e-4 : -scale;
    const ticks = candidates(mode, scale).map((value) => ({at: positionOf(edges, value, low, scale), value, text: text(value)}));
    return apart(ticks);
}

/** The same where nobody has said whose scale it is: shares of the largest. */
export function shareTicks(mode) {
    const end = (share, text) => ({at: share, value: NaN, text});
    if (mode.folded) return [end(0, "10\u207b\u2074 of the end"), end(1, "end of scale")];
    return [end(0, "\u2212 end of scale"), end(0.5, "0"), end(1, "end of scale")];
}

/** Ranks: what stands at every quarter. `quantile`: 257, or null: then shares of the tensor, or words for ends. */
export function rankTicks(quantile, shares = true) {
    if (!quantile && !shares) return [{at: 0, value: NaN, text: "low end"}, {at: 1, value: NaN, text: "high end"}];
    return apart([0, 1, 0.5, 0.25, 0.75].map((at) => {
        const value = quantile ? quantile[Math.round(at * 256)] : NaN;
        return {at, value, text: quantile ? text(value) : `${100 * at} %`};
    }));
}

/** The 32 exponents that a bar shows for a scale: from `first` on, biased as in a float32. */
export function exponentsFrom(scale) {
    const top = scale > 0 && Number.isFinite(scale) ? Math.floor(Math.log2(scale)) : 0;
    return Math.max(1, Math.min(254 - 31, top + 127 + 2 - 31));
}

const RAISED = {"-": "\u207b", 0: "\u2070", 1: "\u00b9", 2: "\u00b2", 3: "\u00b3", 4: "\u2074", 5: "\u2075", 6: "\u2076",
    7: "\u2077", 8: "\u2078", 9: "\u2079"};

/** "2 to the n" with raised figures. */
export function powerText(n) {
    return `2${String(n).replace(/./g, (c) => RAISED[c])}`;
}

/** Exponents: every fourth. */
export function exponentTicks(first) {
    const ticks = [];
    for (let i = 0; i < 32; i++) {
        const power = first + i - 127;
        if (power % 4 === 0) ticks.push({at: (i + 0.5) / 32, value: 2 ** power, text: powerText(power)});
    }
    return apart(ticks);
}

/** Bits: what the upper byte below the exponent is. */
export function bitTicks() {
    return [0, 64, 128, 192, 255].map((byte) => ({at: byte / 255, value: byte, text: `0x${byte.toString(16).padStart(2, "0")}`}));
}
