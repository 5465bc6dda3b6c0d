// SPDX-License-Identifier: Apache-2.0
// sieve: which tensors a filter lets through. Pure functions.
import {parseQuery, rankOf} from "scruple/words.mjs";

/**
 * @typedef {object} Sieve
 * @property {Set<string>} roles, towers, dtypes  words; none: all are let through
 * @property {number|null} from, to  layers, both included; what is in no layer then is not let through
 * @property {string} words  of the name
 */

/** A filter that lets all through. */
export function openSieve() {
    return {roles: new Set(), towers: new Set(), dtypes: new Set(), from: null, to: null, words: ""};
}

/** Whether it lets all through. */
export function isOpen(sieve) {
    const {roles, towers, dtypes, from, to, words} = sieve;
    return !roles.size && !towers.size && !dtypes.size && from === null && to === null && !words.trim();
}

/**
 * @param {Sieve} sieve
 * @param {import("scruple/scene.mjs").Scene} scene
 * @param {string[]} folded  names in lower case
 * @returns {{tensors: Uint8Array, count: number}} 1 for what is let through
 */
export function pass(sieve, scene, folded) {
    const {role, tower, layer, type, n} = scene.tensors, query = parseQuery(sieve.words);
    const within = (set, words, at) => !set.size || set.has(words[at]);
    const low = sieve.from ?? 0, high = sieve.to ?? Infinity, layered = sieve.from !== null || sieve.to !== null;
    const dtypes = scene.types.map((t) => t.dtype), tensors = new Uint8Array(n);
    let count = 0;
    for (let i = 0; i < n; i++) {
        if (!within(sieve.roles, scene.roles, role[i]) || !within(sieve.towers, scene.towers, tower[i])) continue;
        if (!within(sieve.dtypes, dtypes, type[i]) || (layered && !(layer[i] >= low && layer[i] <= high))) continue;
        if (query.words.length && rankOf(folded[i], query) === Infinity) continue;
        tensors[i] = 1;
        count++;
    }
    return {tensors, count};
}

/** By place: 1 where its tensor is let through. */
export function placesThrough(scene, tensors) {
    return Uint8Array.from(scene.places.tensor, (tensor) => tensors[tensor]);
}

/** How many tensors there are of each word of a column: [[word, count]], in the order of the words. */
export function tally(words, column) {
    const counts = new Map();
    for (const at of column) counts.set(words[at], (counts.get(words[at]) ?? 0) + 1);
    return [...new Set(words)].filter((word) => counts.has(word)).map((word) => [word, counts.get(word)]);
}
