// SPDX-License-Identifier: Apache-2.0
// readout: what the pointer is over, in words and numbers, and its bits.
import {make, later} from "scruple/dom.mjs";
import {nameNodes} from "scruple/frame.mjs";
import {whereText} from "scruple/places.mjs";
import {count, exact, fields, hexText, numberOf, short} from "scruple/text.mjs";

const PLANES = {mean: "mean", rms: "root mean square", min: "least", max: "largest", abs: "largest |x|"};
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
    return nodes;
}

/** How many elements a pixel holds: "32 x 32". */
function pooledText(scene, place, z) {
    const across = (depth, n) => Math.max(1, Math.min(n, 2 ** Math.round(z + depth)));
    const {dx, dy, rows, cols} = scene.places;
    return `${count(across(dy[place], rows[place]))} \u00d7 ${count(across(dx[place], cols[place]))}`;
}

/** "row 3, column 40" of a spot; words for slices that are no experts of their own. */
export function elementText(scene, spot) {
    const parts = [whereText(scene, spot.place)];
    if (scene.placesOf(spot.tensor).length > 1 && !parts[0].includes("expert")) parts.push(`slice ${count(spot.slice)}`);
    if (spot.row !== null) parts.push(`row ${count(spot.row)}`, `column ${count(spot.col)}`);
    return parts.filter(Boolean).join(", ");
}

/** The same element in the other view; null: there is none. */
export function partnerOf(app, spot) {
    if (app.views.length < 2) return null;
    const other = app.links.spot(spot, spot.view ? 0 : 1);
    return other && other.row === spot.row && other.col === spot.col ? other : null;
}

class Readout {
    constructor(app) {
        this.app = app;
        this.name = make("span", {class: "p-read-name"});
        this.where = make("span", {class: "p-read-where"});
        this.value = make("span", {class: "p-read-value"});
        this.bits = make("span", {class: "p-read-bits"});
        this.other = make("span", {class: "p-read-other"});
        this.host = make("div", {class: "p-read", id: "p-read", "aria-label": "Under the pointer", role: "group"},
            make("div", {class: "p-read-line"}, this.name, this.where),
            make("div", {class: "p-read-line"}, this.value, this.bits, this.other));
        this.askOther = later((spot, mine) => this.fetchOther(spot, mine), 40);
    }

    show() {
        const {store, views} = this.app, hover = store.get("hover");
        this.host.classList.toggle("p-empty", !hover);
        if (!hover) return this.rest();
        const {scene} = views[hover.view];
        this.name.replaceChildren(...nameNodes(scene.names[hover.tensor]));
        this.where.textContent = elementText(scene, hover);
        this.value.textContent = valueText(hover.value);
        this.host.dataset.value = hover.value === undefined ? "" : String(hover.value);
        if (hover.pooled) this.showPooled(scene, hover);
        else this.bits.replaceChildren(...bitsNodes(scene.typeOf(hover.tensor).dtype, hover.raw, hover.value));
        this.showOther(hover);
    }

    showPooled(scene, hover) {
        const {plane, camera} = this.app.store.get();
        this.value.textContent = valueText(typeof hover.value === "number" ? Math.fround(hover.value) : hover.value);
        this.bits.textContent = `${planeText(plane)} of ${pooledText(scene, hover.place, camera.z)}`;
    }

    rest() {
        const view = this.app.front();
        this.name.textContent = view.title;
        this.where.textContent = `${count(view.scene.model.parameters)} weights in ${count(view.scene.model.tensors)} tensors`;
        this.value.textContent = "";
        this.bits.textContent = "";
        this.other.replaceChildren();
        this.host.dataset.value = "";
    }

    showOther(hover) {
        const {compare} = this.app.store.get();
        this.other.replaceChildren();
        if (this.app.views.length < 2 || compare === "none" || hover.pooled || hover.row === null) return;
        const spot = partnerOf(this.app, hover);
        if (!spot) this.other.textContent = "not in the other model";
        else this.askOther(spot, hover);
    }

    async fetchOther(spot, mine) {
        this.aborting?.abort();
        this.aborting = new AbortController();
        const view = this.app.views[spot.view];
        try {
            const answer = await view.value(spot.tensor, spot.slice, spot.row, spot.col, this.aborting.signal);
            const now = this.app.store.get("hover");
            if (now?.place !== mine.place || now.row !== mine.row || now.col !== mine.col) return;
            this.other.replaceChildren(...this.deltaNodes(view, answer.value, now));
        } catch (error) {
            if (error.name !== "AbortError") this.other.textContent = "not known in the other model";
        }
    }

    deltaNodes(view, value, mine) {
        const a = numberOf(mine.value), b = numberOf(value), second = view.index === 1;
        const nodes = [make("span", {class: "p-read-side"}, `${view.title}: ${valueText(value)}`)];
        if (a === null || b === null) return nodes;
        const delta = second ? b - a : a - b;
        return [...nodes, make("span", {class: "p-read-delta"}, `\u0394 ${short(delta, 6)}`)];
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const readout = new Readout(app);
    app.elements.corner.append(readout.host);
    app.store.subscribe(["hover", "plane", "view", "compare"], () => readout.show());
    readout.show();
}
