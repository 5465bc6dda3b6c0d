// SPDX-License-Identifier: Apache-2.0
// maps: figures of layers, experts and checkpoints, a cell each: what a cell is, and what its colours mean.
import {make} from "scruple/dom.mjs";
import {copyText} from "scruple/frame.mjs";
import {printLink} from "scruple/links.mjs";
import {formatValue} from "scruple/names.mjs";

const QUANTILES = 257;
const ramps = new WeakMap(); // by map

/** What stands for quantiles of a map in the mode "range": even steps, as sc_colour_range() has them. */
export function rampOf(scene, tensor) {
    const map = scene.maps?.[tensor];
    if (!map) return null;
    if (!ramps.has(map))
        ramps.set(map, Float32Array.from({length: QUANTILES}, (_, i) => map.low + (map.high - map.low) * i / (QUANTILES - 1)));
    return ramps.get(map);
}

function where(scene, spot) {
    const {down, across} = scene.maps[spot.tensor];
    return [`${down.of} ${scene.lineName(spot.place, false, spot.row)}`,
        `${across.of} ${scene.lineName(spot.place, true, spot.col)}`].join(", ");
}

function read(scene, answer) {
    return [typeof answer.value === "number" ? formatValue(answer.value, 6) : "not known", scene.maps[answer.tensor].about];
}

/** A word as a shell reads it. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** "NAME[row,column]" of the weights that a cell tells of; null: nobody knows where they are. */
function placeOf(scene, {tensor, row, col}) {
    return scene.spots?.[scene.maps[tensor].spots]?.at[row * scene.shapeOf(tensor)[1] + col] ?? null;
}

/** Where that is on the page of the weights, as a permalink has it: of a stack all of the expert. */
function linkTo(scene, at) {
    const [, t, list = ""] = /^(.*?)(?:\[(\d+(?:,\d+)+)\])?$/s.exec(at), [first, second, third] = list.split(",").map(Number);
    return printLink({g: scene.beside, t, ...third !== undefined ? {s: first} : second !== undefined ? {r: first, c: second} : {}});
}

/** The command that shows these weights, and on a page that is served the page that does. */
function extra(scene, answer) {
    const at = placeOf(scene, answer);
    if (at === null) return [];
    const command = `${scene.spots[scene.maps[answer.tensor].spots].command} ${quoted(at)}`;
    return [scene.beside === null ? null : make("p", null, make("a", {class: "p-beside", href: linkTo(scene, at), target: "_blank",
        rel: "noopener"}, "see its weights")),
    make("p", {class: "p-command"}, make("code", null, command), " ", make("button", {type: "button", class: "p-text-button",
        title: "Copy the command that shows its weights", onclick: (e) => copyText(command, e.currentTarget)}, "copy"))].filter(Boolean);
}

function sentence(app, mode, {view, tensor}) {
    if (mode.name !== "range") return null;
    if (tensor < 0) return "each map from its 2 % to its 98 % value, or as it says";
    const {about, low, high} = view.scene.maps[tensor];
    return `${view.scene.names[tensor]}: ${about}, ${formatValue(low, 4)} to ${formatValue(high, 4)}`;
}

/** @type {Partial<import("scruple/shows.mjs").Show>} */
export const maps = {mode: "range", planes: false, scales: false, click: "select the map and the cell",
    about: "Every cell is a figure: of an expert, of a pair of experts, or of a step of training. The legend says which.", examples: "words of names", where, read, sentence, extra,
    swatches: [["zero", "0"], ["nan", "not known"], ["pos_inf", "+\u221e"], ["neg_inf", "\u2212\u221e"], ["waiting", "not read yet"]]};
