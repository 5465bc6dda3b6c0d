// SPDX-License-Identifier: Apache-2.0
// shows: what the kinds of pictures differ in, for the panels. A picture says what it shows ("shows" of scene.json); a
// kind that differs from weights has a module of its own, which is named in the table here and nowhere else.
import {bytes} from "scruple/bytes.mjs";
import {differences} from "scruple/differences.mjs";
import {maps} from "scruple/maps.mjs";

/**
 * @typedef {object} Show
 * @property {string|null} mode  the colour mode to begin with; null: the first that suits
 * @property {string|null} plane  what a pixel of many shows to begin with; null: the first
 * @property {boolean} planes  what a pixel of many shows can be chosen
 * @property {boolean} scales  whose scale it is can be chosen: of the tensor, the role, the model
 * @property {(string|number)[][]} swatches  colours that are no step of the bar: entry of `special`, or a
 *   step; words; the modes that it is of (none: all)
 * @property {(function(object, object): string)|null} where  words for a spot (scene, spot) instead of "row 3, column 40"
 * @property {(function(object, object): string[])|null} read  lines for an answer of `value` (scene, answer) instead of
 *   the value, its bytes and bits
 * @property {string} click  what a click does
 * @property {string} about  what a pixel is, for the help
 * @property {string} examples  what can be searched for, for the help
 * @property {(function(object, object, object): (string|null))|null} sentence  the line of the legend (app, mode,
 *   subject), or null for that of weights
 * What follows may lack; then it is as of weights.
 * @property {boolean} [filters]  there are roles, layers and names to filter by
 * @property {boolean} [rulers]   rows and columns mean something
 * @property {string[]} [windows] planes that say nothing of a single element
 * @property {string} [details]   heading of the panel of the selection
 * @property {string} [find]      what the search field asks for
 * @property {function(object, object): string} [name]  words for what a spot is of (scene, spot)
 * @property {function(object): {at: number, value: number, text: string}[]} [ticks]  of the legend, by mode
 * @property {function(object, object): Node[]} [extra]  below what `read` says (scene, answer)
 * @property {function(object, object): Promise<Node[]>} [panel]  instead of figures of a tensor (app, spot)
 * @property {function(object): string[]} [allNames]  what is searched (scene), and
 * @property {function(object, number): {name: string, detail: string[], go: function(object, object): void}} [found]
 *   item i of them (scene, i)
 * @property {function(object, object, string): object[]} [typedOffset]  items for a number (app, view, typed)
 * @property {function(object, object): void} [overlay]  draws names instead of those of boxes and places (pen, scene)
 * @property {function(number, string): string} [number]  a value within an element (value, mode)
 * @property {number} [numberWidth]  CSS pixels of an element that holds it
 * @property {function(object, object): object} [link]  what a permalink says of a spot (scene, spot), and
 * @property {function(object, number, object): (object|null)} [spot]  back (scene, view, link)
 * @property {function(object): void} [mount]  once the panels are there (app)
 * @property {function(object): Node[]} [more]  what the panel says of a tensor (its figures) instead of its file
 */

/** @type {Show} */
const weights = {mode: null, plane: null, planes: true, scales: true, swatches: [["zero", "0"], ["subnormal", "subnormal"], ["nan", "NaN"], ["pos_inf", "+\u221e"],
    ["neg_inf", "\u2212\u221e"], ["waiting", "not read yet"], ["unknown", "cannot be decoded"]], where: null,
read: null, sentence: null, click: "select the tensor and the element",
about: "Every pixel is a weight, or says something of those that it holds: their mean, the largest of them, and so on, " +
    "as chosen above. It is computed from values, never from colours.",
examples: "names, \u201clayer 3\u201d, \u201cq_proj[12, 40]\u201d"};

/** @type {Object<string, Partial<Show>>} */
const SHOWS = {weights, differences, bytes, maps};

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
