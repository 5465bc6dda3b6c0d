// SPDX-License-Identifier: Apache-2.0
// painter: from values of tiles to palette entries on the graphics card, a few milliseconds of work
// a frame. What is not done yet is shown as it was.

import {PIXEL, pixelValue} from "scruple/colour.mjs";
import {rampOf} from "scruple/maps.mjs";
import {EMPTY, SIZE} from "scruple/tiles.mjs";

/**
 * What of a tile is on the card.
 * @typedef {object} Painted
 * @property {number} layer    -1: none; all of it is `entry`
 * @property {number} entry    -1: see the layer
 * @property {string} mode     whose palette it is
 * @property {string} look     settings it was painted with
 * @property {number} version  of the tile
 * @property {number} frame    in which it was last needed
 */

/** Paints tiles of all views into the layers of one renderer. */
export class Painter {
    /**
     * @param {import("scruple/store.mjs").State} state  read, never written
     * @param {import("scruple/colour.mjs").Colours} colours
     */
    constructor(state, colours) {
        this.state = state;
        this.colours = colours;
        this.entries = new Uint8Array(SIZE * SIZE);
        this.frame = 0;
        this.jobs = [];
        this.owners = [];
        this.renderer = null;
    }

    /** The renderer whose layers are used; all that was on another is gone. */
    use(renderer) {
        for (const tile of this.owners)
            if (tile)
                tile.painted = null;
        this.renderer = renderer;
        this.owners = new Array(renderer.layers).fill(null);
        this.clock = 0;
    }

    /** Begins a frame. */
    begin() {
        this.frame++;
        this.jobs = [];
    }

    #lookOf(view) {
        const s = this.state;
        return `${s.mode} ${s.scaleOf} ${view.look}`;
    }

    /** A tile is to be seen in this frame: it is painted when there is time. */
    need(tile, view) {
        const look = this.#lookOf(view), painted = tile.painted;
        if (painted)
            painted.frame = this.frame;
        if (!painted || painted.look !== look || painted.version !== tile.version)
            this.jobs.push({tile, view, look});
    }

    /** Works until the time (performance.now()) is over; at least one. True: nothing is left. */
    run(until) {
        let done = 0;
        for (const job of this.jobs) {
            if (done > 0 && performance.now() >= until)
                return false;
            this.#paint(job);
            done++;
        }
        return true;
    }

    /** It is forgotten: its layer is free. */
    drop(tile) {
        if (tile.painted?.layer >= 0)
            this.owners[tile.painted.layer] = null;
        tile.painted = null;
    }

    /** A layer that nothing of this frame stands in, or -1. */
    #layer() {
        for (let tries = 0; tries < this.owners.length; tries++) {
            this.clock = (this.clock + 1) % this.owners.length;
            const owner = this.owners[this.clock];
            if (owner && owner.painted.frame >= this.frame - 1)
                continue;
            if (owner)
                owner.painted = null;
            return this.clock;
        }
        return -1;
    }

    #paint({tile, view, look}) {
        const before = tile.painted;
        const painted = {layer: before ? before.layer : -1, entry: -1, mode: this.state.mode, look,
            version: tile.version, frame: this.frame};
        if (!tile.values && (tile.flags & EMPTY || typeof pixelValue(tile.same) === "string" ||
            !(tile.same & 0x7fffffff))) {
            this.drop(tile);
            painted.layer = -1;
            painted.entry = this.colours.table(this.state.mode, 0).entryOf(tile.same);
            tile.painted = painted;
            return;
        }
        if (painted.layer < 0)
            painted.layer = this.#layer();
        if (painted.layer < 0)
            return; // more is seen than fits: what is there stands in
        this.colourTile(tile, view, this.entries);
        this.renderer.put(painted.layer, this.entries);
        this.owners[painted.layer] = tile;
        tile.painted = painted;
    }

    /** The table of a tensor as the state has it; of the whole for -1. */
    tableOf(view, tensor) {
        const {mode, scaleOf, plane} = this.state;
        const scale = view.scales.of(tensor, plane, scaleOf);
        if (tensor < 0)
            return this.colours.table(mode, scale);
        return this.colours.table(mode, scale, view.scene.typeOf(tensor).least,
            mode === "rank" ? view.quantile(tensor) : mode === "range" ? rampOf(view.scene, tensor) : null);
    }

    /** Palette entries of all pixels of a tile: each place in its own scale, as in render.c. */
    colourTile(tile, view, out) {
        const values = tile.values ?? new Uint32Array(SIZE * SIZE).fill(tile.same);
        const unit = 2 ** tile.z, {places: p} = view.scene;
        const left = tile.x * SIZE, top = tile.y * SIZE;
        const begin = (at, from) => Math.max(Math.floor(at / unit) - from, 0);
        const end = (at, from) => Math.min(Math.ceil(at / unit) - from, SIZE);
        const rects = [];
        view.scene.look(left * unit, top * unit, SIZE * unit, SIZE * unit, (i) => {
            const x0 = begin(p.x[i], left), x1 = end(p.x[i] + p.w[i], left);
            const y0 = begin(p.y[i], top), y1 = end(p.y[i] + p.h[i], top);
            if (x1 > x0 && y1 > y0 && (x1 - x0 >= 2 || y1 - y0 >= 2))
                rects.push({tensor: p.tensor[i], x0, y0, x1, y1});
        });
        if (rects.length !== 1 || rects[0].x0 > 0 || rects[0].y0 > 0 || rects[0].x1 < SIZE ||
            rects[0].y1 < SIZE)
            this.tableOf(view, -1).apply(values, out, 0, 0, SIZE, SIZE);
        for (const r of rects)
            this.tableOf(view, r.tensor).apply(values, out, r.x0, r.y0, r.x1, r.y1);
    }

    /** The palette entry of a value of a tensor. */
    entryOf(view, tensor, bits) {
        return this.tableOf(view, tensor).entryOf(bits);
    }
}

/** Does it say that nothing is known yet? */
export function isWaiting(bits) {
    return bits >>> 0 === PIXEL.waiting;
}
