// SPDX-License-Identifier: Apache-2.0
// camera: which part of the picture is seen. At rest a pixel of the device is a power of two of
// units, and its edges are those of pixels of tiles; only on its way it is anything between.

const ZOOM_MS = 160;       // for a step of zoom
const MOST_FLY_MS = 900;
const WHEEL_REST_MS = 140; // after which a wheel has come to rest
const CLOSEST = 7;         // an element of the finest tensor takes at most 2^7 pixels
const RHO = 1.3;           // how far a flight rises, see path()

const ease = (t) => t * t * (3 - 2 * t);

/**
 * The way between two views that looks shortest (van Wijk and Nuij 2003): rises, crosses, sinks.
 * Views are [x, y, width in units].
 * @returns {{length: number, at: function(number): number[]}} at(0) to at(1)
 */
function path([x0, y0, w0], [x1, y1, w1]) {
    const dx = x1 - x0, dy = y1 - y0, d2 = dx * dx + dy * dy, d = Math.sqrt(d2);
    if (d < w0 * 1e-3) {
        const length = Math.abs(Math.log(w1 / w0)) / RHO;
        return {length, at: (t) => [x0 + dx * t, y0 + dy * t, w0 * (w1 / w0) ** t]};
    }
    const r2 = RHO * RHO;
    const b0 = (w1 * w1 - w0 * w0 + r2 * r2 * d2) / (2 * w0 * r2 * d);
    const b1 = (w1 * w1 - w0 * w0 - r2 * r2 * d2) / (2 * w1 * r2 * d);
    const r0 = -Math.asinh(b0), r1 = -Math.asinh(b1);
    const length = (r1 - r0) / RHO;
    return {length, at: (t) => {
        const s = t * length;
        const u = w0 / (r2 * d) * (Math.cosh(r0) * Math.tanh(RHO * s + r0) - Math.sinh(r0));
        return [x0 + u * dx, y0 + u * dy, w0 * Math.cosh(r0) / Math.cosh(RHO * s + r0)];
    }};
}

/** Where one looks from. Positions on the stage are device pixels from its middle. */
export class Camera {
    /**
     * @param {ReturnType<typeof import("scruple/store.mjs").createStore>} store
     * @param {function(): import("scruple/scene.mjs").Scene} scene  of the view in front
     * @param {function(): void} wake  a picture is wanted
     */
    constructor(store, scene, wake) {
        this.store = store;
        this.scene = scene;
        this.wake = wake;
        this.now = {...store.get("camera")};
        this.way = null; // {start, ms, at(t)}: on its way, and where at t from 0 to 1
        this.end = this.now;
        this.whole = null; // the end of a flight that shows all of it
        this.wheel = null;
        this.pane = {width: 1, height: 1}; // of one picture, device pixels
        this.covered = 0; // of its height, from below: where a panel lies over it
        this.still = matchMedia("(prefers-reduced-motion: reduce)");
    }

    /** Zooms from the closest to the farthest. */
    get limits() {
        const scene = this.scene();
        return {least: -scene.deepest - CLOSEST, most: Math.max(this.fitZoom(), 0) + 1};
    }

    /** The closest zoom at which all is seen. */
    fitZoom(width = this.scene().width, height = this.scene().height) {
        const room = (size) => Math.max(size - 4, 1);
        const scale = Math.max(width / room(this.pane.width), height / room(this.pane.height - this.covered));
        return Math.ceil(Math.log2(Math.max(scale, 2 ** -40)) - 1e-9);
    }

    /** A camera inside of the limits; `snap`: at rest, on whole pixels. */
    bounded({x, y, z}, snap = false) {
        const scene = this.scene(), {least, most} = this.limits;
        z = Math.min(Math.max(z, least), most);
        x = Math.min(Math.max(x, 0), scene.width);
        y = Math.min(Math.max(y, 0), scene.height);
        return snap ? this.snapped({x, y, z}) : {x, y, z};
    }

    /** The nearest one whose pixels are those of tiles. */
    snapped({x, y, z}) {
        const zoom = Math.round(z), unit = 2 ** zoom;
        const align = (at, size) => (Math.round(at / unit - size / 2) + size / 2) * unit;
        return {x: align(x, this.pane.width), y: align(y, this.pane.height), z: zoom};
    }

    /**
     * The size of one picture has changed. What was in the middle stays there; who saw all of it
     * sees all of it.
     */
    resize(width, height) {
        if (width === this.pane.width && height === this.pane.height)
            return;
        const all = this.end === this.whole;
        this.pane = {width, height};
        if (all) {
            this.fit(null, false);
            return;
        }
        this.#stop(this.bounded(this.end, true));
    }

    /** A panel lies over so much of the picture, from below; who saw all of it sees all of it. */
    cover(height) {
        const covered = Math.min(Math.round(height), this.pane.height / 2), all = this.end === this.whole;
        if (covered === this.covered)
            return;
        this.covered = covered;
        if (all)
            this.fit(null, false);
    }

    #show(camera) {
        this.now = camera;
        this.store.set({camera});
        this.wake();
    }

    #stop(camera) {
        this.way = null;
        this.end = camera;
        this.#show(camera);
    }

    #go(ms, end, at) {
        this.end = end;
        if (this.still.matches || ms < 1) {
            this.#stop(end);
            return;
        }
        this.way = {start: performance.now(), ms, at};
        this.wake();
    }

    /** On its way, or in somebody's hands? */
    get moving() {
        return this.way !== null || this.wheel !== null || this.held === true;
    }

    /** One step of what is going on; called for every frame. */
    step(now) {
        if (this.wheel && now >= this.wheel.until) {
            const {px, py} = this.wheel, z = this.end.z;
            const on = this.wheel.way < 0 ? Math.floor(z + 0.35) : Math.ceil(z - 0.35);
            this.wheel = null;
            this.zoomTo(on, px, py);
        }
        if (!this.way)
            return;
        const t = Math.min(1, (now - this.way.start) / this.way.ms);
        if (t >= 1)
            this.#stop(this.end);
        else
            this.#show(this.way.at(Math.max(0, t)));
    }

    /** At once. */
    jump(camera) {
        this.wheel = null;
        this.#stop(this.bounded({...this.now, ...camera}, true));
    }

    /** There by way of the air; to a camera of x, y, z. */
    flyTo(camera, animate = true) {
        const to = this.bounded({...this.end, ...camera}, true), from = this.now;
        this.wheel = null;
        if (!animate) {
            this.#stop(to);
            return;
        }
        const width = this.pane.width;
        const way = path([from.x, from.y, width * 2 ** from.z], [to.x, to.y, width * 2 ** to.z]);
        this.#go(Math.min(MOST_FLY_MS, 150 + 160 * way.length), to, (t) => {
            const [x, y, w] = way.at(ease(t));
            return {x, y, z: Math.log2(w / width)};
        });
    }

    /** All of it, or a rectangle of units, as large as it fits. */
    fit(rectangle = null, animate = true) {
        const scene = this.scene();
        const r = rectangle ?? {x: 0, y: 0, w: scene.width, h: scene.height};
        const z = this.fitZoom(r.w, r.h);
        this.flyTo({x: r.x + r.w / 2, y: r.y + r.h / 2 + this.covered / 2 * 2 ** z, z}, animate);
        this.whole = rectangle ? null : this.end;
    }

    /** Moves what is seen by device pixels, as a hand does. */
    panBy(dx, dy) {
        const unit = 2 ** this.now.z;
        this.wheel = null;
        const camera = this.bounded({x: this.now.x - dx * unit, y: this.now.y - dy * unit,
            z: this.now.z});
        this.#stop(Number.isInteger(camera.z) ? this.snapped(camera) : camera);
    }

    /** Glides by device pixels, as keys do. */
    slideBy(dx, dy) {
        const unit = 2 ** this.end.z, from = this.now;
        const to = this.bounded({x: this.end.x - dx * unit, y: this.end.y - dy * unit,
            z: Math.round(this.end.z)}, true);
        this.#go(ZOOM_MS, to, (t) => {
            const s = 1 - (1 - t) ** 2;
            return {x: from.x + (to.x - from.x) * s, y: from.y + (to.y - from.y) * s,
                z: from.z + (to.z - from.z) * s};
        });
    }

    #around(z, px, py) {
        const before = 2 ** this.now.z, after = 2 ** z;
        return {x: this.now.x + px * (before - after), y: this.now.y + py * (before - after), z};
    }

    /** To a zoom, the point px, py staying where it is. */
    zoomTo(z, px = 0, py = 0, animate = true) {
        const {least, most} = this.limits;
        const to = Math.min(Math.max(Math.round(z), least), most), from = this.now.z;
        const end = this.bounded(this.#around(to, px, py), true);
        const begin = this.now;
        this.wheel = null;
        if (!animate || to === from) {
            this.#stop(end);
            return;
        }
        this.#go(ZOOM_MS, end, (t) => {
            const z = from + (to - from) * ease(t);
            const share = (2 ** z - 2 ** from) / (2 ** to - 2 ** from);
            return {x: begin.x + (end.x - begin.x) * share,
                y: begin.y + (end.y - begin.y) * share, z};
        });
    }

    /** Closer or farther by whole steps, from where it is going to be. */
    zoomBy(steps, px = 0, py = 0) {
        this.zoomTo(Math.round(this.end.z) + steps, px, py);
    }

    /** Zooms by parts of steps, as wheels and touchpads do; comes to rest by itself. */
    wheelBy(dz, px, py) {
        const {least, most} = this.limits;
        const z = Math.min(Math.max(this.end.z + dz, least), most);
        const from = this.now.z;
        const end = this.bounded(this.#around(z, px, py));
        const begin = this.now;
        this.#go(90, end, (t) => {
            const zoom = from + (z - from) * t;
            const share = z === from ? t : (2 ** zoom - 2 ** from) / (2 ** z - 2 ** from);
            return {x: begin.x + (end.x - begin.x) * share,
                y: begin.y + (end.y - begin.y) * share, z: zoom};
        });
        this.wheel = {px, py, way: dz, until: performance.now() + WHEEL_REST_MS};
        this.wake();
    }

    /** Fingers: px, py is where the middle of them was, then where it is; `dz` how much closer. */
    pinch(px, py, toX, toY, dz) {
        this.held = true;
        const {least, most} = this.limits;
        const z = Math.min(Math.max(this.now.z + dz, least), most);
        const before = 2 ** this.now.z, after = 2 ** z;
        this.#stop(this.bounded({x: this.now.x + px * before - toX * after,
            y: this.now.y + py * before - toY * after, z}));
    }

    /** Hands off: comes to rest on the nearest zoom. */
    release(px = 0, py = 0) {
        this.held = false;
        if (!Number.isInteger(this.now.z))
            this.zoomTo(Math.round(this.now.z), px, py);
        else if (!this.way)
            this.#stop(this.bounded(this.now, true));
    }
}
