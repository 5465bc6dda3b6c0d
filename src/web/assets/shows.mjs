// SPDX-License-Identifier: Apache-2.0
// shows: what the kinds of pictures differ in, for the panels. A picture says what it shows ("shows" of scene.json); a
// kind that differs from weights has a module of its own, which is named in the table here and nowhere else.
import {maps} from "scruple/maps.mjs";

/**
 * @typedef {object} Show
 * @property {string|null} mode  the colour mode to begin with; null: the first that suits
 * @property {string|null} plane  what a pixel of many shows to begin with; null: the first
 * @property {boolean} planes  what a pixel of many shows can be chosen
 * @property {boolean} scales  whose scale it is can be chosen: of the tensor, the role, the model
 * @property {[string, string][]} swatches  colours that are no step: entry of `special`, words
 * @property {(function(object, object): string)|null} where  words for a spot (scene, spot) instead of "row 3, column 40"
 * @property {(function(object, object): string[])|null} read  lines for an answer of `value` (scene, answer) instead of
 *   the value, its bytes and bits
 * @property {(function(object, object, object): (string|null))|null} sentence  the line of the legend (app, mode,
 *   subject), or null for that of weights
 */

/** @type {Show} */
const weights = {mode: null, plane: null, planes: true, scales: true, swatches: [["zero", "0"], ["subnormal", "subnormal"], ["nan", "NaN"], ["pos_inf", "+\u221e"],
    ["neg_inf", "\u2212\u221e"], ["waiting", "not read yet"], ["unknown", "cannot be decoded"]], where: null,
read: null, sentence: null};

/** @type {Object<string, Partial<Show>>} */
const SHOWS = {weights, maps};

/** @returns {Show} of a scene; what its kind does not say is as of weights */
export function showOf(scene) {
    return {...weights, ...Object.hasOwn(SHOWS, scene.shows) ? SHOWS[scene.shows] : null};
}

/** What a scene is shown with to begin with: {mode, plane}. */
export function firstLook(colours, scene) {
    const {mode, plane} = showOf(scene);
    return {mode: mode ?? modesOf(colours, scene)[0].name, plane: scene.planes.includes(plane) ? plane : scene.planes[0]};
}

/** Colour modes that suit a scene. */
export function modesOf(colours, scene) {
    return colours.modes.filter((mode) => mode.shows.includes(scene.shows));
}
