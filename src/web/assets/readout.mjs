// SPDX-License-Identifier: Apache-2.0
// readout: what is under the pointer, and what it is worth.

import {pixelValue} from "scruple/colour.mjs";
import {formatValue} from "scruple/names.mjs";
import {toUnits} from "scruple/picture.mjs";
import {bitsNodes, planeText} from "scruple/reading.mjs";
import {showOf} from "scruple/shows.mjs";

const ASK_MS = 80; // of rest before the server is asked

/** A value as a number, or as the word that it is. */
function numberOf(value) {
    return typeof value === "string" ? Number(value.replace("−", "-")) : value;
}

/** Follows the pointer: keeps `hover` of the store, and a card with it beside the pointer. */
export class Readout {
    /** @param {import("scruple/main.mjs").App} app */
    constructor(app) {
        this.app = app;
        this.timer = 0;
        this.asking = null;
        this.card = document.createElement("div");
        this.card.className = "readout";
        this.card.hidden = true;
        this.card.setAttribute("aria-hidden", "true"); // the selection says the same to readers
        app.elements.stage.append(this.card);
        app.store.subscribe(["hover"], ({hover}) => this.#write(hover));
        // what moves below a pointer at rest
        app.store.subscribe(["camera", "compare", "split"], () => this.at && this.over(this.at));
    }

    /** The spot under a point of the stage (device pixels), or null. */
    spotAt({x, y}) {
        const pane = this.app.stage.paneAt(x, y);
        if (!pane)
            return null;
        const {scene, index} = pane.view, units = toUnits(pane, x, y);
        const place = scene.placeAt(units.x, units.y);
        if (place < 0)
            return null;
        const {row, col} = scene.elementAt(place, units.x, units.y);
        return {view: index, place, tensor: scene.places.tensor[place],
            slice: scene.places.slice[place], row, col};
    }

    /** The pointer is over a point. */
    over(at) {
        this.at = at;
        const {size, hover, plane} = this.app.store.get(), spot = this.spotAt(at);
        const px = at.x / size.dpr, py = at.y / size.dpr;
        const same = hover && spot && hover.view === spot.view && hover.place === spot.place &&
            hover.row === spot.row && hover.col === spot.col && hover.plane === plane;
        if (same) {
            this.#place(px, py);
            return;
        }
        this.#stop();
        if (!spot) {
            this.app.store.set({hover: null});
            this.app.wake();
            return;
        }
        const known = this.#known(spot, plane);
        this.app.store.set({hover: {...spot, plane, px, py, raw: undefined, ...known}});
        this.app.wake();
        this.timer = setTimeout(() => this.#ask(spot), ASK_MS);
    }

    /** What tiles that are here tell: the value, or that of a pixel of many elements. */
    #known(spot, plane) {
        const view = this.app.views[spot.view];
        const bits = view.tiles.bitsOf(plane, spot.place, spot.row, spot.col);
        const {windows} = showOf(view.scene);
        const value = bits === undefined || windows?.includes(plane) ? undefined : pixelValue(bits);
        if (value !== undefined && value !== "waiting" && value !== "outside")
            return {value: value === "unknown" ? null : value, pooled: null};
        const at = view.scene.pointOf(spot.place, spot.row, spot.col);
        const z = Math.round(this.app.store.get("camera").z);
        const pixel = view.tiles.bitsAt(plane, Math.max(z, -view.scene.deepest), at.x + at.w / 2,
            at.y + at.h / 2);
        const pooled = pixel === undefined ? null : pixelValue(pixel);
        return {value: undefined,
            pooled: pooled === "waiting" || pooled === "outside" ? null : pooled};
    }

    #stop() {
        clearTimeout(this.timer);
        this.asking?.abort();
        this.asking = null;
    }

    async #ask(spot) {
        const control = new AbortController(), {app} = this;
        this.asking = control;
        const one = (s) => s ? app.views[s.view].value(s.tensor, s.slice, s.row, s.col,
            control.signal).catch((error) => ({problem: error.message})) : null;
        const compared = app.store.get("compare") !== "none" && app.views.length > 1;
        const [own, other] = await Promise.all([one(spot),
            compared ? one(app.links.spot(spot, 1 - spot.view)) : null]);
        if (control.signal.aborted)
            return;
        this.asking = null;
        const hover = app.store.get("hover");
        if (hover && own)
            app.store.set({hover: {...hover, value: own.problem ? hover.value ?? null : own.value,
                answer: own.problem ? null : own, raw: own.raw ?? null, problem: own.problem ?? null,
                other: other && !other.problem ? other.value : null,
                otherRaw: other?.raw ?? null}});
    }

    /** The pointer has gone. */
    leave() {
        this.at = null;
        this.#stop();
        this.app.store.set({hover: null});
        this.app.wake();
    }

    /** A click: selects what is there, or nothing. */
    select(at) {
        this.app.store.set({selection: this.spotAt(at)});
        this.app.wake();
    }

    #place(px, py) {
        const {card} = this, stage = this.app.elements.stage;
        const w = card.offsetWidth, h = card.offsetHeight, gap = 14;
        const x = px + gap + w > stage.clientWidth ? px - gap - w : px + gap;
        const y = py + gap + h > stage.clientHeight ? py - gap - h : py + gap;
        card.style.setProperty("transform", `translate(${Math.max(0, Math.round(x))}px, ` +
            `${Math.max(0, Math.round(y))}px)`);
    }

    #line(kind, text) {
        const line = document.createElement("div");
        line.className = kind;
        line.textContent = text;
        return line;
    }

    #valueText(hover, value) {
        if (value === undefined)
            return "…";
        if (value === null)
            return hover.problem ?? "cannot be read";
        return formatValue(value, 7);
    }

    /** Bytes as stored, and what the bits of a float are. */
    #bits(view, tensor, value, raw) {
        const line = this.#line("bits", ""), {scene} = this.app.views[view];
        line.append(...bitsNodes(scene.typeOf(tensor).dtype, raw, value));
        return line;
    }

    #write(hover) {
        const {card} = this;
        card.hidden = !hover;
        if (!hover)
            return;
        const {scene} = this.app.views[hover.view], rows = scene.places.rows[hover.place];
        const {where: say, read, name} = showOf(scene);
        const where = say ? say(scene, hover) : `${scene.placesOf(hover.tensor).length > 1 ? `slice ${hover.slice}, ` : ""}` +
            `${rows > 1 ? `row ${hover.row}, column ${hover.col}` : `element ${hover.col}`}`;
        const lines = [this.#line("name", name ? name(scene, hover) : scene.names[hover.tensor]), this.#line("where", where)];
        if (read && hover.answer)
            lines.push(...read(scene, hover.answer).map((text) => this.#line("value", text)));
        else
            lines.push(this.#line("value", this.#valueText(hover, hover.value)),
                this.#bits(hover.view, hover.tensor, hover.value, hover.raw));
        if (hover.other !== undefined && hover.other !== null) {
            const [a, b] = hover.view === 0 ? [hover.value, hover.other] : [hover.other, hover.value];
            const delta = numberOf(b) - numberOf(a);
            lines.push(this.#line("value", `${hover.view === 0 ? "B" : "A"} ` +
                this.#valueText(hover, hover.other)));
            const there = this.app.links.spot(hover, 1 - hover.view);
            lines.push(this.#bits(there.view, there.tensor, hover.other, hover.otherRaw));
            lines.push(this.#line("where", `B − A ${formatValue(delta, 5)}`));
            lines[2].textContent = `${hover.view === 0 ? "A" : "B"} ${lines[2].textContent}`;
        }
        if (hover.pooled !== null && hover.pooled !== undefined)
            lines.push(this.#line("where", `${planeText(hover.plane)} of the pixel ${formatValue(hover.pooled, 4)}`));
        card.replaceChildren(...lines);
        this.#place(hover.px, hover.py);
    }
}
