// SPDX-License-Identifier: Apache-2.0
// What a permalink says, both ways. Pure functions; what is not understood is left out, never guessed.

const NUMBER = /^[+-]?(?:\d{1,15}(?:\.\d{0,9})?|\.\d{1,9})$/;
const WHOLE = /^\d{1,16}$/;
const LONGEST = 65536;

function decode(text) {
    try {
        return decodeURIComponent(text.replace(/\+/g, "%2B"));
    } catch {
        return null;
    }
}

function encode(text) {
    try {
        return encodeURIComponent(text);
    } catch {
        return null; // half of a character of two
    }
}

const real = (text) => NUMBER.test(text) ? Number(text) : undefined;
const whole = (text) => WHOLE.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
const offset = (text) => /^0x[0-9a-f]{1,13}$/i.test(text) ? Number(text) : whole(text);
const word = (text) => /^[a-z0-9_-]{1,32}$/.test(text) ? text : undefined;

const KEYS = {
    t: (text) => text.length ? text : undefined, s: whole, r: whole, c: whole, z: real, x: real, y: real,
    m: word, p: word, k: word, v: whole, a: word, o: offset, g: whole,
};

/**
 * @typedef {object} Link t: name of a tensor; s, r, c: slice, row, column; z: zoom; x, y: centre in units;
 * m, p, k: mode, plane, scale; v: view; a: how two views are compared; o: a byte of all files;
 * g: number of a view that is a page of its own. All may lack.
 */

/**
 * @param {string} hash with or without its "#"
 * @returns {Link} the first of each key that can be understood
 */
export function parseLink(hash) {
    const link = {};
    if (hash.length > LONGEST) return link;
    for (const part of hash.replace(/^#/, "").split("&")) {
        const at = part.indexOf("="), key = part.slice(0, at);
        if (at < 1 || !Object.hasOwn(KEYS, key) || Object.hasOwn(link, key)) continue;
        const text = decode(part.slice(at + 1));
        const value = text === null ? undefined : KEYS[key](text);
        if (value !== undefined) link[key] = value;
    }
    return link;
}

/**
 * @param {Link} link
 * @returns {string} with its "#"; keys in one order
 */
export function printLink(link) {
    const parts = [];
    for (const key of Object.keys(KEYS)) {
        const value = link[key];
        if (value === undefined || value === null) continue;
        const text = typeof value === "number" ? String(Math.round(value * 1000) / 1000) : encode(value);
        if (text !== null) parts.push(`${key}=${text}`);
    }
    return `#${parts.join("&")}`;
}
