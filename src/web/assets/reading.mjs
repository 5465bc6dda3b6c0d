// SPDX-License-Identifier: Apache-2.0
// reading: elements in words, numbers and bits; and a line with the one that is selected where there is no
// pointer to read with.
import {make, later} from "scruple/dom.mjs";
import {nameNodes} from "scruple/frame.mjs";
import {whereText} from "scruple/places.mjs";
import {formatCount} from "scruple/names.mjs";
import {showOf} from "scruple/shows.mjs";
import {exact, fields, hexText, numberOf} from "scruple/text.mjs";
import {powerText} from "scruple/ticks.mjs";

const PLANES = {mean: "mean", rms: "root mean square", min: "least", max: "largest", abs: "largest |x|",
    main: "most common kind", entropy: "entropy"};
const WORDS = {waiting: "not read yet", unknown: "cannot be decoded", outside: "no tensor"};

/** What a value reads like; a word where it is none. */
export function valueText(value) {
    if (value === undefined) return "\u2026";
    if (value === null) return "not known";
    if (typeof value === "string" && Object.hasOwn(WORDS, value)) return WORDS[value];
    return exact(numberOf(value));
}

/** A plane in words. */
export function planeText(plane) {
    return Object.hasOwn(PLANES, plane) ? PLANES[plane] : plane;
}

/** Bytes as they are stored, and the fields of a float. */
export function bitsNodes(dtype, raw, value) {
    if (!raw) return [];
    const parts = fields(dtype, raw, numberOf(value) ?? NaN), nodes = [make("code", {class: "p-raw"}, hexText(raw))];
    if (parts)
        nodes.push(make("code", {class: "p-bits", title: `sign, exponent (2^${parts.power}), fraction`},
            parts.sign && make("span", {class: "p-sign"}, parts.sign), make("span", {class: "p-exponent"}, parts.exponent),
            parts.fraction && make("span", {class: "p-fraction"}, parts.fraction)));
    if (parts && Number.isFinite(numberOf(value)) && parts.significand) {
        const sign = parts.sign === "1" ? "\u2212" : "", significand = Number(parts.significand.toPrecision(9));
        nodes.push(make("span", {class: "p-product"}, `${sign}${significand} \u00d7 ${powerText(parts.power)}`));
    }
    return nodes;
}

/** What an answer of `value` says, of a tensor: its value as kind "value", and what else there is to read. */
export function answerNodes(scene, tensor, answer) {
    const {read} = showOf(scene);
    if (read && answer.value !== undefined)
        return {value: [], bits: read(scene, answer).map((text) => make("span", {class: "p-product"}, text))};
    return {value: [valueText(answer.value)], bits: bitsNodes(scene.typeOf(tensor).dtype, answer.raw, answer.value)};
}

/** "row 3, column 40" of a spot; words for slices that are no experts of their own. */
export function elementText(scene, spot) {
    const {where} = showOf(scene);
    if (where && spot.row !== null) return where(scene, spot);
    const parts = [whereText(scene, spot.place)];
    if (scene.placesOf(spot.tensor).length > 1 && !parts[0].includes("expert")) parts.push(`slice ${formatCount(spot.slice)}`);
    if (spot.row !== null) parts.push(`row ${formatCount(spot.row)}`, `column ${formatCount(spot.col)}`);
    return parts.filter(Boolean).join(", ");
}

/** The same element in the other view; null: there is none. */
export function partnerOf(app, spot) {
    if (app.views.length < 2) return null;
    const other = app.links.spot(spot, spot.view ? 0 : 1);
    return other && other.row === spot.row && other.col === spot.col ? other : null;
}

/** What is pointed at or, without a pointer, selected. */
class Reading {
    constructor(app) {
        this.app = app;
        this.name = make("span", {class: "p-read-name"});
        this.where = make("span", {class: "p-read-where"});
        this.value = make("span", {class: "p-read-value"});
        this.bits = make("span", {class: "p-read-bits"});
        this.host = make("div", {class: "p-read", id: "p-read", role: "group", "aria-label": "Selected element"},
            make("div", {class: "p-read-line"}, this.name, this.where), make("div", {class: "p-read-line"}, this.value, this.bits));
        this.ask = later((spot) => this.fetch(spot), 40);
    }

    show() {
        const {hover, selection} = this.app.store.get(), spot = hover ?? (selection?.row === null ? null : selection);
        this.host.hidden = !spot;
        if (!spot) return;
        const {scene} = this.app.views[spot.view];
        this.name.replaceChildren(...nameNodes(showOf(scene).name?.(scene, spot) ?? scene.names[spot.tensor]));
        this.where.textContent = elementText(scene, spot);
        this.say(scene, spot, spot.answer ?? spot);
        if (!hover) this.ask(spot);
    }

    say(scene, spot, answer) {
        const {value, bits} = answerNodes(scene, spot.tensor, answer);
        this.value.replaceChildren(...value);
        this.bits.replaceChildren(...bits);
    }

    async fetch(spot) {
        const view = this.app.views[spot.view];
        try {
            const answer = await view.value(spot.tensor, spot.slice, spot.row, spot.col);
            if (this.app.store.get("selection") === spot && !this.app.store.get("hover")) this.say(view.scene, spot, answer);
        } catch (error) {
            this.bits.textContent = error.message;
        }
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const reading = new Reading(app), narrow = matchMedia("(max-width: 720px), (pointer: coarse)");
    const show = () => narrow.matches ? reading.show() : (reading.host.hidden = true);
    app.elements.corner.append(reading.host);
    app.store.subscribe(["hover", "selection"], show);
    narrow.addEventListener("change", show);
    show();
}
