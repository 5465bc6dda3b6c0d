// SPDX-License-Identifier: Apache-2.0
// shows: what the kinds of pictures differ in, for the panels. A picture says what it shows ("shows" of scene.json); a
// kind that differs from weights has a module of its own, which is named in the table here and nowhere else.

/**
 * @typedef {object} Show
 * @property {boolean} scales  whose scale it is can be chosen: of the tensor, the role, the model
 * @property {[string, string][]} swatches  colours that are no step: entry of `special`, words
 * @property {(function(object, object): string)|null} where  words for a spot (scene, spot) instead of "row 3, column 40"
 * @property {(function(object, object): string[])|null} read  lines for an answer of `value` (scene, answer) instead of
 *   the value, its bytes and bits
 * @property {(function(object, object, object): (string|null))|null} sentence  the line of the legend (app, mode,
 *   subject), or null for that of weights
 * @property {string|null} plane  what pixels of many show at first; null: the first plane
 * @property {(function(object): Node[])|null} details  what the panel says of a tensor (its figures) instead of its file
 */

import {differences} from "scruple/differences.mjs";

/** @type {Show} */
const weights = {scales: true, swatches: [["zero", "0"], ["subnormal", "subnormal"], ["nan", "NaN"], ["pos_inf", "+\u221e"],
    ["neg_inf", "\u2212\u221e"], ["waiting", "not read yet"], ["unknown", "cannot be decoded"]], where: null,
read: null, sentence: null, plane: null, details: null};

/** @type {Object<string, Partial<Show>>} */
const SHOWS = {weights, differences};

/** @returns {Show} of a scene; what its kind does not say is as of weights */
export function showOf(scene) {
    return {...weights, ...Object.hasOwn(SHOWS, scene.shows) ? SHOWS[scene.shows] : null};
}

/** Colour modes that suit a scene. */
export function modesOf(colours, scene) {
    return colours.modes.filter((mode) => mode.shows.includes(scene.shows));
}
