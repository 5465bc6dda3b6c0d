// SPDX-License-Identifier: Apache-2.0
// maps: figures of layers, experts and checkpoints, a cell each: what a cell is, and what its colours mean.
import {make} from "scruple/dom.mjs";
import {copyText} from "scruple/frame.mjs";
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

/** The command that shows the weights which a cell tells of; null: nobody knows where they are. */
export function commandOf(scene, {tensor, row, col}) {
    const {spots, across} = scene.maps[tensor], list = scene.spots?.[spots];
    const at = list?.at[row * (across.labels?.length ?? scene.shapeOf(tensor)[1]) + col];
    return at ? `${list.command} ${quoted(at)}` : null;
}

function extra(scene, answer) {
    const command = commandOf(scene, answer);
    return command === null ? [] : [make("p", {class: "p-command"}, "its weights: ", make("code", null, command), " ",
        make("button", {type: "button", class: "p-text-button", title: "Copy the command that shows its weights",
            onclick: (e) => copyText(command, e.currentTarget)}, "copy"))];
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
