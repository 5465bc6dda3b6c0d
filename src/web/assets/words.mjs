// SPDX-License-Identifier: Apache-2.0
// Finding tensors by what people type. Pure functions over lists of names.
//
// What is typed is cut at spaces. A word that stands in a name matches it; one with dots and slashes also
// matches when its parts do ("3.q_proj" finds layers.3.self_attn.q_proj); a number matches only a whole
// number of the name, so that 3 is not 13. What the blocks of a model are called ("layers", "blk") is the same to it.

const fold = (text) => text.toLowerCase();
const isDigits = (text) => /^\d+$/.test(text);

/**
 * @typedef {object} Query
 * @property {string} text in lower case, without the element
 * @property {string[][]} words each with its parts
 * @property {number[]|null} element what stands in brackets behind it
 * @property {number|null} layer "layer 3", "3", "L3" and nothing else
 */

/** @returns {Query} what somebody typed, taken apart */
export function parseQuery(typed) {
    let text = typed.trim(), element = null;
    const at = /^(.*?)\s*\[\s*(\d+(?:\s*[,;x]\s*\d+){0,7})\s*\]$/s.exec(text);
    if (at) {
        text = at[1];
        element = at[2].split(/[,;x]/).map(Number);
        if (!element.every(Number.isSafeInteger)) element = null;
    }
    text = fold(text);
    const layer = /^(?:layers?|blocks?|blk|l)?[\s.]*(\d{1,9})$/.exec(text);
    const words = text.split(/\s+/).filter(Boolean).map((word) => {
        const parts = word.split(/[./:]+/).filter(Boolean);
        return parts.length ? parts : [word];
    });
    return {text, words, element, layer: layer && !element ? Number(layer[1]) : null};
}

const digitAt = (name, i) => {
    const code = name.charCodeAt(i); // NaN outside
    return code >= 48 && code <= 57;
};

/** Where a whole number stands in a name, or -1. Leading zeros do not count. */
function findNumber(name, digits, from) {
    const wanted = digits.replace(/^0+(?=\d)/, "");
    for (let at = name.indexOf(wanted, from); at >= 0; at = name.indexOf(wanted, at + 1)) {
        let first = at;
        while (first > 0 && name[first - 1] === "0") first--;
        if (!digitAt(name, first - 1) && !digitAt(name, at + wanted.length)) return at;
    }
    return -1;
}

const findPart = (name, part, from) =>
    isDigits(part) ? findNumber(name, part, from) : name.indexOf(part, from);

const BLOCKS = ["layer", "block", "blk", "h."];
const ALIKE = {layer: BLOCKS, layers: BLOCKS, block: BLOCKS, blocks: BLOCKS, blk: BLOCKS, experts: ["expert"]};

function findWord(name, part, from) {
    for (const word of [part, ...Object.hasOwn(ALIKE, part) ? ALIKE[part] : []]) {
        const at = findPart(name, word, from);
        if (at >= 0) return at;
    }
    return -1;
}

/** All parts in the order of the word, one behind the other. */
function findParts(name, parts, from) {
    let first = -1, at = from;
    for (const part of parts) {
        const found = findWord(name, part, at);
        if (found < 0) return -1;
        if (first < 0) first = found;
        at = found + part.length;
    }
    return first;
}

/**
 * How well a name matches: less is better, Infinity is not at all.
 * @param {string} name in lower case
 * @param {Query} query
 */
export function rankOf(name, query) {
    const {text, words} = query;
    if (name === text) return 0;
    if (text && !isDigits(text)) {
        if (name.endsWith(text) || name.endsWith(`${text}.weight`)) return 1;
        const at = name.indexOf(text);
        if (at >= 0) return at === 0 || /[^a-z0-9]/.test(name[at - 1]) ? 2 : 3;
    }
    let ordered = true, last = -1;
    for (const parts of words) {
        const whole = parts.join("."), exact = isDigits(whole) ? -1 : name.indexOf(whole);
        const at = exact >= 0 ? exact : findParts(name, parts, 0);
        if (at < 0) return Infinity;
        if (at < last) ordered = false;
        last = at;
    }
    return ordered ? 4 : 5;
}

/** Names that can be searched again and again. */
export class Names {
    /** @param {string[]} names */
    constructor(names) {
        this.folded = names.map(fold);
        this.names = names;
    }

    /**
     * Positions of names that match, best first, then in the order of the list.
     * @param {Query} query
     * @param {number} limit
     * @returns {{total: number, found: number[]}}
     */
    search(query, limit) {
        const ranks = [[], [], [], [], [], []];
        let total = 0;
        if (query.words.length)
            for (let i = 0; i < this.folded.length; i++) {
                const rank = rankOf(this.folded[i], query);
                if (rank === Infinity) continue;
                total++;
                if (ranks[rank].length < limit) ranks[rank].push(i);
            }
        return {total, found: ranks.flat().slice(0, limit)};
    }
}

/**
 * Where a name is hit, so that it can be shown: [from, to) pairs in order, none inside of another.
 * @param {string} name as it stands
 * @param {Query} query
 */
export function hits(name, query) {
    const folded = fold(name), spans = [];
    const whole = query.text && !isDigits(query.text) ? folded.indexOf(query.text) : -1;
    if (folded.length !== name.length) return [];
    if (whole >= 0) return [[whole, whole + query.text.length]];
    for (const parts of query.words) {
        let at = 0;
        for (const part of parts) {
            const found = findPart(folded, part, at);
            if (found < 0) continue;
            spans.push([found, found + part.length]);
            at = found + part.length;
        }
    }
    spans.sort((a, b) => a[0] - b[0]);
    return spans.filter((s, i) => i === 0 || s[0] >= spans[i - 1][1]);
}

/**
 * Where an element stands in a tensor as it is drawn: slices of rows x cols.
 * @param {number[]} element one number an axis of the shape, or row and column of a picture with one slice
 * @param {number[]} shape
 * @param {{slices: number, rows: number, cols: number}} drawn
 * @returns {{slice: number, row: number, col: number}|null} null: there is no such element
 */
export function placeElement(element, shape, {slices, rows, cols}) {
    if (element.length === shape.length) {
        if (element.some((at, axis) => at >= shape[axis])) return null;
        const index = element.reduce((sum, at, axis) => sum * shape[axis] + at, 0);
        if (!Number.isSafeInteger(index)) return null;
        return {slice: Math.floor(index / (rows * cols)), row: Math.floor(index / cols) % rows, col: index % cols};
    }
    const [slice, row, col] = element.length === 2 ? [0, ...element] : element;
    if (element.length > 3 || element.length < 2 || slice >= slices || row >= rows || col >= cols) return null;
    return {slice, row, col};
}
