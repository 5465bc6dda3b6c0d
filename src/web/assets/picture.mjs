// SPDX-License-Identifier: Apache-2.0
// picture: which tiles a view needs, and what of them is drawn where.
//
// The stage is cut into cells: the tiles of the zoom that is seen. A cell is drawn from the best that
// is there: its tile, a coarser one, or what was seen before of another plane.

import {SIZE, Tiles} from "scruple/tiles.mjs";

const AHEAD = 3; // zooms: what is this much coarser comes first
const AROUND = 4; // units between a block and its frame, as in render.c

/**
 * A view on the stage.
 * @typedef {object} Pane
 * @property {import("scruple/main.mjs").View} view
 * @property {{x: number, y: number, z: number}} camera
 * @property {{x: number, y: number, z: number}} end  where it is going to rest
 * @property {number} x       of the whole picture, device pixels of the stage
 * @property {number} y
 * @property {number} w
 * @property {number} h
 * @property {{x: number, y: number, w: number, h: number}} clip  what of it is seen
 */

/** Device pixels of units: of the edges of cells, so neighbours meet. */
export function toPixels(pane) {
    const scale = 2 ** -pane.camera.z;
    const cx = pane.x + pane.w / 2, cy = pane.y + pane.h / 2;
    return {x: (units) => Math.round((units - pane.camera.x) * scale + cx),
        y: (units) => Math.round((units - pane.camera.y) * scale + cy), scale};
}

/** Units under a point of the stage in device pixels. */
export function toUnits(pane, px, py) {
    const unit = 2 ** pane.camera.z;
    return {x: (px - pane.x - pane.w / 2) * unit + pane.camera.x,
        y: (py - pane.y - pane.h / 2) * unit + pane.camera.y};
}

/** What of the scene is seen, in units. */
export function seen(pane, camera = pane.camera) {
    const unit = 2 ** camera.z, c = pane.clip;
    return {x: camera.x + (c.x - pane.x - pane.w / 2) * unit,
        y: camera.y + (c.y - pane.y - pane.h / 2) * unit, w: c.w * unit, h: c.h * unit};
}

/** The zoom of tiles for a zoom of a camera. */
function tileZoom(scene, z) {
    return Math.min(Math.max(Math.round(z), -scene.deepest), Math.max(scene.top, 0));
}

/** Tiles of zoom z that touch a rectangle of units and may hold something. */
function* tilesIn(scene, z, r, margin = 0) {
    const size = SIZE * 2 ** z;
    const last = (length) => Math.max(0, Math.ceil(length / size) - 1);
    const x0 = Math.max(0, Math.floor(r.x / size) - margin);
    const y0 = Math.max(0, Math.floor(r.y / size) - margin);
    const x1 = Math.min(last(scene.width), Math.ceil((r.x + r.w) / size) - 1 + margin);
    const y1 = Math.min(last(scene.height), Math.ceil((r.y + r.h) / size) - 1 + margin);
    for (let y = y0; y <= y1; y++)
        for (let x = x0; x <= x1; x++)
            yield {z, x, y};
}

/** The coarsest tile that shows all elements of a cell; null: nothing stands there. */
function sufficient(scene, {z, x, y}) {
    const size = SIZE * 2 ** z;
    let deepest = -128;
    const all = z >= 0 ? z : -scene.deepest;
    scene.look(x * size, y * size, size, size, (i) => {
        deepest = Math.max(deepest, scene.places.dx[i], scene.places.dy[i]);
        return -deepest <= Math.max(z, all);
    });
    if (deepest === -128)
        return null;
    const enough = Math.max(z, Math.min(-deepest, 0)), by = 2 ** (z - enough);
    return {z: enough, x: Math.floor(x * by), y: Math.floor(y * by)};
}

/** Tiles for where a pane is going to rest, the most important first. */
export function wanted(pane, plane) {
    const {scene} = pane.view, r = seen(pane, pane.end), z = tileZoom(scene, pane.end.z);
    const cx = r.x + r.w / 2, cy = r.y + r.h / 2;
    const list = [], keys = new Set();
    const take = (tiles) => {
        const ranked = [];
        for (const cell of tiles) {
            const tile = sufficient(scene, cell);
            const key = tile && Tiles.key(plane, tile.z, tile.x, tile.y);
            if (!tile || keys.has(key))
                continue;
            keys.add(key);
            const size = SIZE * 2 ** tile.z;
            ranked.push({...tile, plane, far: Math.hypot((tile.x + 0.5) * size - cx,
                (tile.y + 0.5) * size - cy)});
        }
        ranked.sort((a, b) => a.far - b.far);
        list.push(...ranked);
        return ranked.length;
    };
    const coarse = Math.min(z + AHEAD, Math.max(scene.top, 0));
    if (coarse > z)
        take(tilesIn(scene, coarse, r));
    take(tilesIn(scene, z, r));
    const needed = list.length;
    take(tilesIn(scene, z, r, 1));
    return {list, needed};
}

/** The best tile for a cell that has come: {tile, by}, `by` zooms coarser; null. */
function bestFor(view, plane, cell) {
    const top = Math.max(view.scene.top, 0);
    for (let z = cell.z; z <= top; z++) {
        const by = 2 ** (cell.z - z);
        const tile = view.tiles.get(plane, z, Math.floor(cell.x * by), Math.floor(cell.y * by));
        if (tile?.here)
            return tile;
    }
    return null;
}

/** The next coarser one that is on the card. */
function painted(view, plane, cell) {
    const top = Math.max(view.scene.top, 0);
    for (let z = cell.z; z <= top; z++) {
        const by = 2 ** (cell.z - z);
        const tile = view.tiles.get(plane, z, Math.floor(cell.x * by), Math.floor(cell.y * by));
        if (tile?.painted)
            return tile;
    }
    return null;
}

/** What one pane shows. Made anew for each picture. */
export class PanePicture {
    /** @param {Pane} pane */
    constructor(pane, plane, painter) {
        this.pane = pane;
        this.plane = plane;
        this.painter = painter;
        const {scene} = pane.view;
        this.cells = [];
        for (const cell of tilesIn(scene, tileZoom(scene, pane.camera.z), seen(pane))) {
            const enough = sufficient(scene, cell);
            if (enough)
                this.cells.push({cell, enough});
        }
    }

    /** Asks the painter for what would be best. */
    need() {
        const {view} = this.pane;
        this.complete = true;
        for (const {enough} of this.cells) {
            const tile = bestFor(view, this.plane, enough);
            if (tile)
                this.painter.need(tile, view);
            this.complete &&= tile !== null && tile.z === enough.z;
        }
        if (this.complete)
            view.lastPlane = this.plane;
    }

    /** Finer tiles on the card that show parts of a cell that is not there itself. */
    #finer(cell) {
        const {view} = this.pane, out = [];
        for (let k = 0; k < 4; k++) {
            const tile = view.tiles.get(this.plane, cell.z - 1, 2 * cell.x + (k & 1),
                2 * cell.y + (k >> 1));
            if (tile?.painted)
                out.push(tile);
        }
        return out;
    }

    /** Adds a part of a tile: what of it lies in a rectangle of units and is seen. */
    #addPart(quads, to, tile, r) {
        const unit = 2 ** tile.z, {clip} = this.pane;
        let x0 = to.x(r.x), y0 = to.y(r.y), x1 = to.x(r.x + r.w), y1 = to.y(r.y + r.h);
        if (x1 <= x0 || y1 <= y0)
            return;
        let u0 = r.x / unit - tile.x * SIZE, v0 = r.y / unit - tile.y * SIZE;
        const ux = r.w / unit / (x1 - x0), uy = r.h / unit / (y1 - y0);
        const cut = (from, least) => Math.max(0, least - from);
        const dx = cut(x0, clip.x), dy = cut(y0, clip.y);
        x0 += dx;
        u0 += dx * ux;
        y0 += dy;
        v0 += dy * uy;
        x1 = Math.min(x1, clip.x + clip.w);
        y1 = Math.min(y1, clip.y + clip.h);
        if (x1 <= x0 || y1 <= y0)
            return;
        const p = tile.painted;
        quads.add([x0, y0, x1, y1], [u0, v0, u0 + (x1 - x0) * ux, v0 + (y1 - y0) * uy],
            Math.max(p.layer, 0), this.painter.paletteRow(p.mode), p.entry);
    }

    /** All tiles that are seen. @returns {boolean} something has nothing to show yet */
    quads(quads) {
        const {view} = this.pane, to = toPixels(this.pane);
        let bare = false;
        for (const {cell, enough} of this.cells) {
            const size = SIZE * 2 ** cell.z;
            const r = {x: cell.x * size, y: cell.y * size, w: size, h: size};
            let tile = painted(view, this.plane, enough);
            if (!tile && view.lastPlane !== this.plane)
                tile = painted(view, view.lastPlane, enough);
            if (tile)
                this.#addPart(quads, to, tile, r);
            bare ||= !tile;
            if (tile?.z === enough.z)
                continue;
            for (const part of this.#finer(cell))
                this.#addPart(quads, to, part, {x: part.x * size / 2, y: part.y * size / 2,
                    w: size / 2, h: size / 2});
        }
        return bare;
    }

    /** Places as plain areas, where values have not come yet. */
    plainPlaces(rects, tint) {
        const {scene} = this.pane.view, r = seen(this.pane), to = toPixels(this.pane);
        const p = scene.places;
        scene.look(r.x, r.y, r.w, r.h, (i) => rects.add(to.x(p.x[i]), to.y(p.y[i]),
            to.x(p.x[i] + p.w[i]), to.y(p.y[i] + p.h[i]), tint));
    }

    /** Frames around layers and around what is missing, where there is room between tensors. */
    frames(rects, tint) {
        const {scene} = this.pane.view, b = scene.boxes, r = seen(this.pane);
        const scale = 2 ** -this.pane.camera.z, block = scene.kinds.indexOf("block");
        const px = Math.max(1, Math.round(this.pane.dpr / 1.5));
        const unit = 1 / scale, cx = this.pane.x + this.pane.w / 2 - this.pane.camera.x * scale;
        const cy = this.pane.y + this.pane.h / 2 - this.pane.camera.y * scale;
        const before = (units, c) => Math.floor(units * scale + c + 1e-6);
        const behind = (units, c) => Math.ceil(units * scale + c - 1e-6);
        scene.lookBoxes(r.x - AROUND - unit, r.y - AROUND - unit, r.w + 2 * (AROUND + unit),
            r.h + 2 * (AROUND + unit), (i) => {
                if (b.kind[i] !== block && !b.empty[i] || (b.w[i] + 2 * AROUND) * scale < 7)
                    return;
                const x0 = before(b.x[i] - AROUND, cx), x1 = behind(b.x[i] + b.w[i] + AROUND, cx);
                const y0 = before(b.y[i] - AROUND, cy), y1 = behind(b.y[i] + b.h[i] + AROUND, cy);
                if (x1 - x0 >= 8)
                    rects.frame(x0, y0, x1, y1, px, tint);
            });
    }

    /** A veil over places that a filter does not let through. */
    veil(rects, filter, tint) {
        const {scene} = this.pane.view, r = seen(this.pane), to = toPixels(this.pane);
        const p = scene.places;
        scene.look(r.x, r.y, r.w, r.h, (i) => {
            if (!filter[i])
                rects.add(to.x(p.x[i]), to.y(p.y[i]), to.x(p.x[i] + p.w[i]),
                    to.y(p.y[i] + p.h[i]), tint);
        });
    }
}
