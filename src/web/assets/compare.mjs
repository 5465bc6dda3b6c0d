// SPDX-License-Identifier: Apache-2.0
// compare: two pictures at once, looked at from the same place.

import {pairPlaces} from "scruple/scene.mjs";

const BLINK_MS = 700;
const LETTERS = ["A", "B", "B \u2212 A"];

/** The two that can be compared are the first; a third view shows their differences by itself. */
export function isCompared(app, view = app.store.get("view")) {
    return app.store.get("compare") !== "none" && app.views.length > 1 && view < 2;
}

/** The view that a view is compared with, or -1. */
export function otherOf(app, view) {
    return app.views.length > 1 && view < 2 ? 1 - view : -1;
}

/** What a view is called beside the other ones. */
export function letterOf(view) {
    return LETTERS[view];
}
export const COMPARISONS = ["none", "side", "swipe", "blink"];

/** What stands where in the other picture. */
export class Links {
    /** @param {import("scruple/main.mjs").View[]} views */
    constructor(views) {
        this.views = views;
        this.pairs = new Map();
        this.last = new Map();
    }

    /** For each place of a view that of another, or -1. */
    places(from, to) {
        const key = `${from} ${to}`;
        if (!this.pairs.has(key))
            this.pairs.set(key, pairPlaces(this.views[from].scene, this.views[to].scene));
        return this.pairs.get(key);
    }

    /** The place of `from` that a point is at or nearest to, of those with a partner. */
    #place(from, to, {x, y, z}) {
        const {scene} = this.views[from], pairs = this.places(from, to), p = scene.places;
        const at = scene.placeAt(x, y);
        if (at >= 0 && pairs[at] >= 0)
            return at;
        let best = -1, least = Infinity;
        const reach = 256 * 2 ** z;
        scene.look(x - reach, y - reach, 2 * reach, 2 * reach, (i) => {
            const dx = Math.max(p.x[i] - x, x - p.x[i] - p.w[i], 0);
            const dy = Math.max(p.y[i] - y, y - p.y[i] - p.h[i], 0);
            const far = dx * dx + dy * dy;
            if (pairs[i] >= 0 && far < least) {
                best = i;
                least = far;
            }
        });
        return best;
    }

    /** The camera of another view that sees what this one does. */
    camera(from, to, camera) {
        if (from === to)
            return camera;
        const key = `${from} ${to}`;
        let place = this.#place(from, to, camera);
        if (place < 0)
            place = this.last.get(key) ?? -1;
        if (place < 0)
            return camera;
        this.last.set(key, place);
        const a = this.views[from].scene.places, b = this.views[to].scene.places;
        const other = this.places(from, to)[place];
        const same = a.rows[place] === b.rows[other] && a.cols[place] === b.cols[other];
        const by = (depths, sizes) => same ? 2 ** depths : sizes;
        return {x: b.x[other] + (camera.x - a.x[place]) *
                by(a.dx[place] - b.dx[other], b.w[other] / a.w[place]),
            y: b.y[other] + (camera.y - a.y[place]) *
                by(a.dy[place] - b.dy[other], b.h[other] / a.h[place]),
            z: camera.z};
    }

    /** The same element in another view; null: it has no partner. */
    spot(spot, to) {
        if (spot.view === to)
            return spot;
        const other = this.places(spot.view, to)[spot.place];
        if (!(other >= 0))
            return null;
        const p = this.views[to].scene.places, own = this.views[spot.view].scene.places;
        if (spot.row !== null && (p.rows[other] !== own.rows[spot.place] ||
            p.cols[other] !== own.cols[spot.place]))
            return null;
        return {view: to, place: other, tensor: p.tensor[other], slice: p.slice[other],
            row: spot.row, col: spot.col};
    }
}

/**
 * How the stage is shared among views.
 * @returns {import("scruple/picture.mjs").Pane[]} in the order in which they are drawn
 */
export function panes(app) {
    const {view, compare, split, size, camera} = app.store.get();
    const {width, height, dpr} = size, {end} = app.camera;
    const two = isCompared(app);
    const made = (index, x, w, clip) => {
        const link = (c) => app.links.camera(view, index, c);
        const rests = (c) => Number.isInteger(c.z) ? app.camera.snapped(c) : c;
        const pane = {view: app.views[index], x, y: 0, w, h: height, dpr, clip};
        pane.camera = index === view ? camera : rests(link(camera));
        pane.end = index === view ? end : rests(link(end));
        return pane;
    };
    const all = {x: 0, y: 0, w: width, h: height};
    if (!two)
        return [made(view, 0, width, all)];
    if (compare === "blink")
        return [made(app.blink ? 1 : 0, 0, width, all)];
    const cut = Math.round(width * split);
    const left = {x: 0, y: 0, w: cut, h: height};
    const right = {x: cut, y: 0, w: width - cut, h: height};
    if (compare === "swipe")
        return [made(0, 0, width, left), made(1, 0, width, right)];
    const half = Math.floor(width / 2), gap = Math.max(1, Math.round(dpr));
    const second = width - half;
    return [made(0, 0, half, {x: 0, y: 0, w: half - gap, h: height}),
        made(1, second, half, {x: second, y: 0, w: half, h: height})];
}

/** The size of one picture, device pixels. */
export function paneSize(app) {
    const {compare, size} = app.store.get();
    const half = compare === "side" && isCompared(app);
    return {width: Math.max(1, half ? Math.floor(size.width / 2) : size.width),
        height: Math.max(1, size.height)};
}

/** Lets two pictures take turns while they are compared so. */
export function startBlinking(app) {
    let timer = 0;
    const turn = () => {
        app.blink = !app.blink;
        app.wake();
    };
    app.store.subscribe(["compare", "view"], ({compare, view}, keys) => {
        if (app.views.length > 2 && view > 1 && compare !== "none") {
            if (keys.has("compare")) app.lookAt(0);
            else app.store.set({compare: "none"});
        }
        if (!keys.has("compare"))
            return;
        clearInterval(timer);
        app.blink = false;
        if (compare === "blink")
            timer = setInterval(turn, BLINK_MS);
        app.camera.resize(paneSize(app).width, paneSize(app).height);
        app.wake();
    });
}
