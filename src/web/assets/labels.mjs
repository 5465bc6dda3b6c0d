// SPDX-License-Identifier: Apache-2.0
// labels: names of towers, layers, experts and tensors, numbers within elements, rulers, and marks
// of what is pointed at and selected. Drawn on a canvas of their own above the values.

import {pixelValue} from "scruple/colour.mjs";
import {formatShape, formatValue, shortName} from "scruple/names.mjs";
import {seen} from "scruple/picture.mjs";
import {showOf} from "scruple/shows.mjs";

const FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
const MOST = 400; // names in a picture
const LINE = 15;  // CSS pixels
const NUMBER_W = 46, NUMBER_H = 15; // of an element that holds its number
const GAPS = {tower: 256, block: 64, expert: 32}; // units between them, see scene.h
const MAP_GAP = 72; // units between maps, see maps.h
const FRAME = 4; // units between a block and its frame
const RULER = 18, RULED = 8;        // CSS pixels: of a ruler, and of elements that have one

const INKS = {
    dark: {text: "#f2f2ee", faint: "#b9b9b2", chip: "rgba(16, 16, 16, 0.74)",
        strip: "rgba(16, 16, 16, 0.95)", line: "rgba(255, 255, 255, 0.28)", seam: "rgba(255, 255, 255, 0.55)"},
    light: {text: "#141413", faint: "#5a5a55", chip: "rgba(253, 253, 252, 0.8)",
        strip: "rgba(253, 253, 252, 0.96)", line: "rgba(0, 0, 0, 0.25)", seam: "rgba(0, 0, 0, 0.55)"},
};

/** Where names stand already. */
class Taken {
    constructor() {
        this.list = [];
    }

    free(x, y, w, h) {
        return !this.list.some((r) => x < r.x + r.w && r.x < x + w && y < r.y + r.h && r.y < y + h);
    }

    add(x, y, w, h) {
        this.list.push({x, y, w, h});
    }
}

/** Draws what is written over one or more panes. */
export class Labels {
    /**
     * @param {import("scruple/main.mjs").App} app
     * @param {HTMLCanvasElement} canvas
     */
    constructor(app, canvas) {
        this.app = app;
        this.canvas = canvas;
        this.c = canvas.getContext("2d");
        this.widths = new Map();
    }

    /** @param {import("scruple/picture.mjs").Pane[]} panes */
    draw(panes, state) {
        const {c, canvas} = this, {width, height, dpr} = state.size;
        if (canvas.width !== width || canvas.height !== height) {
            canvas.width = width;
            canvas.height = height;
        }
        this.dpr = dpr;
        this.ink = INKS[state.dark ? "dark" : "light"];
        c.setTransform(1, 0, 0, 1, 0, 0);
        c.clearRect(0, 0, width, height);
        c.textBaseline = "middle";
        for (const pane of panes) {
            c.save();
            c.beginPath();
            c.rect(pane.clip.x, pane.clip.y, pane.clip.w, pane.clip.h);
            c.clip();
            this.#drawPane(pane, state, panes.length > 1 || state.compare === "blink");
            c.restore();
        }
        if (state.compare === "swipe" && panes.length > 1)
            this.#handle(panes[1].clip.x, height);
    }

    #drawPane(pane, state, compared) {
        const scale = 2 ** -pane.camera.z, {x, y, z} = pane.camera;
        this.pane = pane;
        this.scene = pane.view.scene;
        this.area = seen(pane);
        this.scale = scale;
        this.left = pane.x + pane.w / 2 - x * scale;
        this.top = pane.y + pane.h / 2 - y * scale;
        this.taken = new Taken();
        this.count = 0;
        if (Number.isInteger(z) || scale > 8)
            this.#numbers(state);
        const {overlay, rulers = true} = showOf(this.scene);
        const ruled = state.labels && rulers ? this.#rulers(state) : {w: 0, h: 0};
        this.inner = {x0: pane.clip.x + ruled.w, y0: pane.clip.y + ruled.h,
            x1: pane.clip.x + pane.clip.w, y1: pane.clip.y + pane.clip.h};
        if (compared)
            this.#title(pane);
        if (state.labels && overlay) {
            overlay(this.#pen(), this.scene);
        } else if (state.labels) {
            this.#boxes();
            this.#places();
        }
        this.#marks(state);
    }

    /** What kinds of pictures draw their own names with. */
    #pen() {
        const {c, dpr, ink, area, scale, inner} = this;
        return {c, dpr, ink, area, scale, inner, x: (at) => this.left + at * scale, y: (at) => this.top + at * scale,
            font: (size, weight) => this.#font(size, weight), plate: (r, lines, more) => this.#plate(r, lines, more)};
    }

    // ------------------------------------------------------------------------------- names ---

    #font(size, weight = 400) {
        return `${weight} ${size * this.dpr}px ${FONT}`;
    }

    #width(text, font) {
        const key = `${font} ${text}`;
        let width = this.widths.get(key);
        if (width === undefined) {
            if (this.widths.size > 20000)
                this.widths.clear();
            this.c.font = font;
            width = this.c.measureText(text).width;
            this.widths.set(key, width);
        }
        return width;
    }

    /** On the stage: {x0, y0, x1, y1} of units. */
    #rect(x, y, w, h) {
        return {x0: this.left + x * this.scale, y0: this.top + y * this.scale,
            x1: this.left + (x + w) * this.scale, y1: this.top + (y + h) * this.scale};
    }

    /**
     * Writes lines onto a plate at the upper left of a rectangle, or as near to it as is seen and
     * free; false: there is no room, or it would hide more than a share of it.
     */
    #plate(r, lines, {above = 0, tries = 3, share = 1} = {}) {
        const {c, dpr, inner} = this, pad = 5 * dpr, height = LINE * dpr;
        const w = Math.ceil(Math.max(...lines.map((l) => this.#width(l.text, l.font))) + 2 * pad);
        const h = Math.ceil(lines.length * height + 3 * dpr), margin = 3 * dpr;
        const area = (Math.min(r.x1, inner.x1) - Math.max(r.x0, inner.x0)) *
            (Math.min(r.y1, inner.y1) - Math.max(r.y0, inner.y0));
        if (!above && w * h > area * share)
            return false;
        let x = Math.max(r.x0 + margin, inner.x0 + margin);
        let y = r.y0 - above >= inner.y0 && above ? r.y0 - above
            : Math.max(r.y0 + margin, inner.y0 + margin);
        x = Math.min(x, r.x1 - w - margin);
        if (!above)
            y = Math.min(y, r.y1 - h - margin);
        if (x < r.x0 || (!above && y < r.y0))
            return false;
        for (; tries > 0 && !this.taken.free(x, y, w, h); tries--)
            y += h + 2 * dpr;
        if (tries === 0 || y + h > Math.max(r.y1, r.y0) || y > inner.y1 || x > inner.x1)
            return false;
        x = Math.round(x);
        y = Math.round(y);
        this.taken.add(x, y, w, h);
        c.fillStyle = this.ink.chip;
        c.beginPath();
        c.roundRect(x, y, w, h, 3 * dpr);
        c.fill();
        lines.forEach((line, i) => {
            c.font = line.font;
            c.fillStyle = line.faint ? this.ink.faint : this.ink.text;
            c.fillText(line.text, x + pad, y + 1.5 * dpr + (i + 0.5) * height);
        });
        this.count++;
        return true;
    }

    /** Which picture this is, when there are two. */
    #title(pane) {
        const {inner} = this, font = this.#font(12, 600);
        const text = `${pane.view.index === 0 ? "A" : "B"}   ${pane.view.title}`;
        const w = this.#width(text, font) + 16 * this.dpr;
        const x = pane.view.index === 0 ? inner.x0 : Math.max(inner.x0, inner.x1 - w - 6 * this.dpr);
        this.#plate({x0: x, y0: inner.y0, x1: x + w + 20 * this.dpr, y1: inner.y1}, [{text, font}]);
    }

    /** Towers where there are several, layers, groups of experts, experts. */
    #boxes() {
        const {scene, dpr, area} = this, b = scene.boxes;
        const margin = 64;
        const found = [[], [], [], []];
        scene.lookBoxes(area.x - margin, area.y - margin, area.w + 2 * margin, area.h + 2 * margin,
            (i) => {
                const kind = scene.kinds[b.kind[i]];
                const rank = kind === "tower" ? (scene.severalTowers ? 0 : -1) : kind === "block" ? 1
                    : kind === "experts" ? -1 : kind === "expert" ? 2 : -1;
                if (rank >= 0 && b.w[i] * this.scale >= 14 * dpr && b.h[i] * this.scale >= 12 * dpr)
                    found[rank].push(i);
            });
        for (const list of found)
            for (const i of list)
                this.#box(i);
    }

    #box(i) {
        if (this.count >= MOST)
            return;
        const {scene, dpr} = this, b = scene.boxes, kind = scene.kinds[b.kind[i]];
        const r = this.#rect(b.x[i], b.y[i], b.w[i], b.h[i]), gap = GAPS[kind] * this.scale;
        const font = this.#font(kind === "expert" ? 11 : 12, kind === "expert" ? 500 : 650);
        // between what stands there, if that is wide enough: else on it
        const above = gap >= (LINE + 10) * dpr + FRAME * this.scale
            ? (LINE + 5) * dpr + FRAME * this.scale : 0;
        const room = r.x1 - r.x0 + (above ? gap / 2 : 0) - 16 * dpr;
        const name = scene.boxName(i);
        const write = (text, share) => this.#width(text, font) <= room && this.#plate(
            above ? {...r, x1: r.x1 + gap / 2} : r,
            [{text, font, faint: b.empty[i] === 1}], {above, tries: 1, share});
        if (b.empty[i] && write(`${name} (not in these files)`, 0.16) || write(name, 0.16))
            return;
        // numbers of a kind stand all or not at all
        if (b.number[i] >= 0 && this.#width("0".repeat(scene.digits[b.kind[i]]), font) <= room)
            write(String(b.number[i]), 0.3);
    }

    #places() {
        const {scene, area, dpr} = this, p = scene.places;
        const found = [];
        scene.look(area.x, area.y, area.w, area.h, (i) => {
            const w = p.w[i] * this.scale, h = p.h[i] * this.scale;
            if (w >= 40 * dpr && h >= (LINE + 4) * dpr)
                found.push(i);
        });
        found.sort((a, b) => p.w[b] * p.h[b] - p.w[a] * p.h[a] || a - b);
        for (const i of found.slice(0, 4 * MOST))
            this.#place(i);
    }

    #place(i) {
        if (this.count >= MOST)
            return;
        const {scene, dpr} = this, p = scene.places, tensor = p.tensor[i];
        const r = this.#rect(p.x[i], p.y[i], p.w[i], p.h[i]);
        const beside = scene.maps ? MAP_GAP * this.scale : 0; // of maps: names reach into the gap
        const room = Math.min(r.x1 + beside, this.inner.x1) - Math.max(r.x0, this.inner.x0) - 16 * dpr;
        const font = this.#font(11, 500), small = this.#font(10);
        for (const most of [Infinity, 2, 1, 0]) {
            const text = most ? shortName(scene, tensor, most)
                : shortName(scene, tensor, 1).replace(/_proj$/, "");
            if (this.#width(text, font) > room || (most === 0 && text.length < 3))
                continue;
            const lines = [{text, font}];
            const stacked = scene.placesOf(tensor).length > 1 ? `, slice ${p.slice[i]}` : "";
            const {dtype} = scene.typeOf(tensor);
            if (scene.maps) { // above it: its cells are to be seen
                if (this.#plate({...r, x1: r.x1 + beside}, lines,
                    {above: Math.min(MAP_GAP * this.scale, (LINE + 5) * dpr), tries: 1}))
                    return;
                continue;
            }
            const more = `${formatShape(scene.shapeOf(tensor))} ${dtype}${stacked}`;
            if (this.#width(more, small) <= room && r.y1 - r.y0 > 64 * dpr && r.x1 - r.x0 > 110 * dpr)
                lines.push({text: more, font: small, faint: true});
            if (this.#plate(r, lines, {share: 0.16}) || lines.length > 1 && this.#plate(r, [lines[0]],
                {share: 0.16}))
                return;

        }
    }

    // --------------------------------------------------------------------- numbers, rulers ---

    /** Elements of a place that are seen. */
    #elements(i) {
        const {scene, area} = this, p = scene.places;
        const range = (from, length, at, depth, n) => {
            const first = Math.floor((from - at) * 2 ** depth);
            const end = Math.ceil((from + length - at) * 2 ** depth);
            return [Math.max(0, Math.min(n, first)), Math.max(0, Math.min(n, end))];
        };
        return {cols: range(area.x, area.w, p.x[i], p.dx[i], p.cols[i]),
            rows: range(area.y, area.h, p.y[i], p.dy[i], p.rows[i])};
    }

    #numbers(state) {
        const {scene, area, dpr} = this, p = scene.places;
        const {numberWidth = NUMBER_W} = showOf(scene);
        if (this.scale * 8 < numberWidth * dpr) // no element takes more than 8 units
            return;
        scene.look(area.x, area.y, area.w, area.h, (i) => {
            const w = this.scale * 2 ** -p.dx[i], h = this.scale * 2 ** -p.dy[i];
            if (w >= numberWidth * dpr && h >= NUMBER_H * dpr)
                this.#numbersOf(i, w, h, state);
        });
    }

    #numbersOf(i, w, h, state) {
        const {c, scene, dpr, pane} = this, p = scene.places, {cols, rows} = this.#elements(i);
        const painter = this.app.stage.painter, tensor = p.tensor[i];
        const palette = this.app.colours.palette(state.mode, state.dark), write = showOf(scene).number;
        const size = Math.min(13, 10 + w / dpr / 64);
        const digits = w >= 110 * dpr ? 6 : w >= 64 * dpr ? 4 : 3;
        c.font = `${size * dpr}px ${FONT}`;
        c.textAlign = "center";
        for (let row = rows[0]; row < rows[1]; row++)
            for (let col = cols[0]; col < cols[1]; col++) {
                const bits = pane.view.tiles.bitsOf(state.plane, i, row, col);
                const value = bits === undefined ? "waiting" : pixelValue(bits);
                if (value === "waiting" || value === "outside" || value === "unknown")
                    continue;
                const at = 3 * painter.entryOf(pane.view, tensor, bits);
                const light = 0.3 * palette[at] + 0.6 * palette[at + 1] + 0.1 * palette[at + 2];
                c.fillStyle = light > 128 ? "#101010" : "#f4f4f0";
                const r = this.#rect(p.x[i] + col * 2 ** -p.dx[i], p.y[i] + row * 2 ** -p.dy[i], 0, 0);
                c.fillText(write ? write(value, state.mode) : formatValue(value, digits), r.x0 + w / 2, r.y0 + h / 2, w - 4 * dpr);
            }
        c.textAlign = "left";
    }

    /** The place that rulers are of: that under the pointer, else that in the middle. */
    #ruledPlace(state) {
        const {hover} = state;
        if (hover && hover.view === this.pane.view.index && hover.place >= 0)
            return hover.place;
        return this.scene.placeAt(this.area.x + this.area.w / 2, this.area.y + this.area.h / 2);
    }

    #rulers(state) {
        const {scene, dpr, pane} = this, i = this.#ruledPlace(state), p = scene.places;
        const none = {w: 0, h: 0};
        if (i < 0)
            return none;
        const w = this.scale * 2 ** -p.dx[i], h = this.scale * 2 ** -p.dy[i];
        if (Math.max(w, h) < RULED * dpr)
            return none;
        const {cols, rows} = this.#elements(i), size = RULER * dpr;
        const longest = Math.max(...[...Array(Math.min(rows[1] - rows[0], 200)).keys()].map((k) =>
            scene.lineName(i, false, rows[1] - 1 - k).length), String(rows[1]).length);
        const wide = Math.max(size, this.#width("0".repeat(longest), this.#font(10)) + 8 * dpr);
        const hovered = state.hover?.place === i && state.hover.view === pane.view.index
            ? state.hover : null;
        if (w >= RULED * dpr)
            this.#ruler(i, cols, w, true, size, hovered?.col ?? null, h >= RULED * dpr ? wide : 0);
        if (h >= RULED * dpr)
            this.#ruler(i, rows, h, false, wide, hovered?.row ?? null, 0);
        return {w: h >= RULED * dpr ? wide : 0, h: w >= RULED * dpr ? size : 0};
    }

    #ruler(i, [first, end], step, across, thick, marked, skip) {
        const {c, dpr, scene, ink} = this, {clip} = this.pane, p = scene.places;
        const start = across ? this.left + p.x[i] * this.scale : this.top + p.y[i] * this.scale;
        const from = across ? clip.x + skip : clip.y + skip;
        c.fillStyle = ink.strip;
        if (across)
            c.fillRect(clip.x, clip.y, clip.w, thick);
        else
            c.fillRect(clip.x, clip.y, thick, clip.h);
        const room = (across ? 12 + 7 * String(end).length : 20) * dpr;
        let every = 1;
        for (let k = 0; every * step < room; k++)
            every = [1, 2, 5][k % 3] * 10 ** Math.floor(k / 3);
        c.font = this.#font(10);
        c.textAlign = across ? "center" : "right";
        const write = (n) => {
            const at = start + (n + 0.5) * step;
            if (at < from)
                return;
            if (across)
                c.fillText(scene.lineName(i, true, n), at, clip.y + thick / 2);
            else
                c.fillText(scene.lineName(i, false, n), clip.x + thick - 4 * dpr, at);
        };
        c.fillStyle = ink.faint;
        for (let n = Math.ceil(first / every) * every; n < end; n += every)
            if (marked === null || Math.abs(n - marked) * step >= room || n === marked)
                write(n);
        if (marked !== null) {
            c.fillStyle = ink.text;
            c.font = this.#font(10, 700);
            write(marked);
        }
        c.textAlign = "left";
    }

    // ------------------------------------------------------------------------------- marks ---

    /** A frame that shows on any colour. */
    #frame(r, thick) {
        const {c, dpr} = this, t = thick * dpr;
        const x = Math.round(r.x0), y = Math.round(r.y0);
        const w = Math.max(1, Math.round(r.x1) - x), h = Math.max(1, Math.round(r.y1) - y);
        c.lineWidth = t + 2 * dpr;
        c.strokeStyle = "rgba(0, 0, 0, 0.75)";
        c.strokeRect(x - t / 2, y - t / 2, w + t, h + t);
        c.lineWidth = t;
        c.strokeStyle = "#fff";
        c.strokeRect(x - t / 2, y - t / 2, w + t, h + t);
    }

    /** A ring around a point, where its element is too small to be seen. */
    #ring(x, y, radius) {
        const {c, dpr} = this;
        for (const [width, style] of [[4, "rgba(0, 0, 0, 0.75)"], [2, "#fff"]]) {
            c.lineWidth = width * dpr;
            c.strokeStyle = style;
            c.beginPath();
            c.arc(x, y, radius * dpr, 0, 2 * Math.PI);
            c.stroke();
        }
    }

    #spotRect(spot) {
        const p = this.scene.places;
        if (spot.row === null)
            return this.#rect(p.x[spot.place], p.y[spot.place], p.w[spot.place], p.h[spot.place]);
        const at = this.scene.pointOf(spot.place, spot.row, spot.col);
        return this.#rect(at.x, at.y, at.w, at.h);
    }

    #marks(state) {
        const {dpr, pane} = this, {index} = pane.view;
        const here = (spot) => spot && this.app.links.spot(spot, index);
        const selection = here(state.selection), hover = here(state.hover);
        if (selection) {
            const r = this.#spotRect(selection);
            if (selection.row === null)
                this.#frame(r, 1.5);
            else if (Math.min(r.x1 - r.x0, r.y1 - r.y0) >= 6 * dpr)
                this.#frame(r, 2);
            else
                this.#ring((r.x0 + r.x1) / 2, (r.y0 + r.y1) / 2, 9);
        }
        if (hover) {
            const r = this.#spotRect(hover);
            if (Math.min(r.x1 - r.x0, r.y1 - r.y0) >= 6 * dpr)
                this.#frame(r, 1);
            else if (state.hover.view !== index)
                this.#ring((r.x0 + r.x1) / 2, (r.y0 + r.y1) / 2, 5);
        }
    }

    /** What two pictures are parted by. */
    #handle(x, height) {
        const {c, dpr} = this;
        c.fillStyle = "rgba(0, 0, 0, 0.6)";
        c.fillRect(x - 1.5 * dpr, 0, 3 * dpr, height);
        c.fillStyle = "#fff";
        c.fillRect(x - 0.5 * dpr, 0, Math.max(1, dpr), height);
        c.beginPath();
        c.arc(x, height / 2, 11 * dpr, 0, 2 * Math.PI);
        c.fill();
        c.fillStyle = "#222";
        c.font = this.#font(13, 600);
        c.textAlign = "center";
        c.fillText("⇔", x, height / 2);
        c.textAlign = "left";
    }
}
