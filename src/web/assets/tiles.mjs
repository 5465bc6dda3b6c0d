// SPDX-License-Identifier: Apache-2.0
// tiles: values for the pixels of one view. What is wanted is asked for, the most important first;
// what is wanted no more is let go; what can be better is asked for again.

import {PIXEL} from "scruple/colour.mjs";

export const SIZE = 256;
const IN_FLIGHT = 12;
const VALUES = 256 << 20; // bytes that are kept
const AGAIN_MS = 250;     // before the same tile is asked for once more
const FAILED_MS = 2000;

export const EXACT = 1, SAMPLED = 2, EMPTY = 4, MISSING = 8, ON_ITS_WAY = 16;

/**
 * A tile of one plane.
 * @typedef {object} Tile
 * @property {string} key
 * @property {number} z
 * @property {number} x
 * @property {number} y
 * @property {string} plane
 * @property {boolean} here      it has come: `flags`, `same` and `values` hold
 * @property {number} flags
 * @property {Uint16Array|Uint32Array|null} values  upper halves or all bits of float32; null: all
 *   pixels are `same`
 * @property {number} same       bits of a float32
 * @property {number} version    grows when values have changed
 */

/** Reads the body of a tile into it. False: it is not one. */
function unpack(tile, body) {
    if (body.byteLength < 16)
        return false;
    const head = new DataView(body);
    if (head.getUint32(0, true) !== 0x31544353) // "SCT1"
        return false;
    const kind = head.getUint8(5), n = SIZE * SIZE;
    const length = [2 * n, 4 * n, 0, 4][kind];
    if (length === undefined || body.byteLength < 16 + length)
        return false;
    tile.flags = head.getUint8(4);
    tile.epoch = head.getUint32(12, true);
    tile.values = kind === 0 ? new Uint16Array(body, 16, n)
        : kind === 1 ? new Uint32Array(body, 16, n) : null;
    tile.same = kind === 3 ? head.getUint32(16, true) : PIXEL.outside;
    return true;
}

function bytesOf(tile) {
    return 128 + (tile.values ? tile.values.byteLength : 0);
}

/** The tiles of one view. */
export class Tiles {
    /**
     * @param {{source: object, view: number, scene: import("scruple/scene.mjs").Scene,
     *   changed: function(Tile): void, dropped: function(Tile): void,
     *   trouble: function(string|null): void}} o  changed: values have come; dropped: it is
     *   forgotten
     */
    constructor(o) {
        Object.assign(this, o);
        this.map = new Map(); // by key, the last used at the end
        this.bytes = 0;
        this.flying = new Map(); // key -> {tile, controller}
        this.queue = [];
        this.epoch = 0;
        this.counter = 0;
        this.timer = 0;
    }

    static key(plane, z, x, y) {
        return `${plane}/${z}/${x}/${y}`;
    }

    /** A tile that is known, here or not; undefined. */
    get(plane, z, x, y) {
        return this.map.get(Tiles.key(plane, z, x, y));
    }

    #made(plane, z, x, y) {
        const key = Tiles.key(plane, z, x, y);
        let tile = this.map.get(key);
        if (!tile) {
            tile = {key, z, x, y, plane, here: false, flags: 0, epoch: -1, values: null,
                same: PIXEL.waiting, version: 0, notBefore: 0, failures: 0};
            this.map.set(key, tile);
        }
        return tile;
    }

    /** Marks as used, so it is not the next to be forgotten. */
    touch(tile) {
        if (this.map.delete(tile.key))
            this.map.set(tile.key, tile);
    }

    /** Should it be asked for? `now`: of performance.now(). */
    #lacks(tile, now) {
        if (now < tile.notBefore || tile.lost)
            return false;
        return !tile.here || (tile.flags & ON_ITS_WAY) !== 0 ||
            (!(tile.flags & EXACT) && tile.epoch < this.epoch);
    }

    /**
     * What is to be shown, the most important first: {plane, z, x, y}. Replaces what was wanted
     * before; what is on its way and not in the list is let go.
     */
    want(list) {
        const now = performance.now();
        const keys = new Set();
        this.queue = [];
        let next = Infinity;
        for (const at of list) {
            const tile = this.#made(at.plane, at.z, at.x, at.y);
            if (keys.has(tile.key))
                continue;
            keys.add(tile.key);
            this.touch(tile);
            if (this.flying.has(tile.key))
                continue;
            if (this.#lacks(tile, now))
                this.queue.push(tile);
            else if (this.#lacks(tile, Infinity))
                next = Math.min(next, tile.notBefore);
        }
        for (const [key, flight] of this.flying)
            if (!keys.has(key))
                flight.controller.abort();
        this.wanted = keys;
        this.#forget();
        this.#pump();
        clearTimeout(this.timer);
        if (next < Infinity)
            this.timer = setTimeout(() => this.want(list), next - now + 1);
    }

    /** Tiles that are asked for or about to be. */
    get pending() {
        return this.flying.size + this.queue.length;
    }

    /** Statistics are better now: what is not exact may be, too. */
    renew(epoch) {
        this.epoch = Math.max(this.epoch, epoch);
    }

    #pump() {
        while (this.flying.size < IN_FLIGHT && this.queue.length)
            this.#ask(this.queue.shift());
    }

    async #ask(tile) {
        const controller = new AbortController();
        const again = tile.here;
        this.flying.set(tile.key, {tile, controller});
        let body = null, problem = null;
        try {
            body = await this.source.tile(this.view, tile.z, tile.x, tile.y, tile.plane,
                {signal: controller.signal, again, priority: again ? "low" : "auto"});
        } catch (error) {
            problem = error;
        }
        this.flying.delete(tile.key);
        if (problem?.name === "AbortError")
            this.#drop(tile);
        else if (problem || (body && !this.#take(tile, body)))
            this.#fail(tile, problem);
        else
            this.#arrived(tile, body);
        this.#pump();
    }

    /** What was let go and has nothing to show need not be kept. */
    #drop(tile) {
        if (!tile.here && !this.wanted.has(tile.key))
            this.map.delete(tile.key);
        else if (this.wanted.has(tile.key) && this.#lacks(tile, Infinity))
            this.queue.push(tile);
    }

    #take(tile, body) {
        const before = tile.here ? bytesOf(tile) : 0;
        if (!unpack(tile, body))
            return false;
        this.bytes += bytesOf(tile) - before;
        return true;
    }

    #arrived(tile, body) {
        if (!body) { // nothing stands there
            this.bytes += tile.here ? 0 : bytesOf(tile);
            tile.flags = EXACT | EMPTY;
            tile.same = PIXEL.outside;
        }
        tile.here = true;
        tile.failures = 0;
        tile.version = ++this.counter;
        tile.notBefore = performance.now() + AGAIN_MS;
        this.trouble(null);
        this.changed(tile);
    }

    /** Once more in a while; not when the question itself was wrong. */
    #fail(tile, problem) {
        tile.failures++;
        tile.notBefore = performance.now() + FAILED_MS * Math.min(tile.failures, 8);
        tile.lost = problem?.status >= 400 && problem.status < 500 && problem.status !== 429;
        this.trouble(problem instanceof TypeError ? "The server does not answer. Trying again …"
            : problem ? problem.message : "The server sent what is no tile.");
        this.changed(tile);
    }

    #forget() {
        for (const [key, tile] of this.map) {
            if (this.bytes <= VALUES && this.map.size <= 16384)
                return;
            if (this.wanted.has(key) || this.flying.has(key))
                continue;
            this.map.delete(key);
            if (tile.here)
                this.bytes -= bytesOf(tile);
            this.dropped(tile);
        }
    }

    /**
     * The bits of the pixel of an element, where a tile that is here shows it alone.
     * @returns {number|undefined}
     */
    bitsOf(plane, place, row, col) {
        const p = this.scene.places, one = -Math.max(p.dx[place], p.dy[place]);
        const at = this.scene.pointOf(place, row, col);
        for (let z = Math.min(one, 0); z >= -this.scene.deepest && z >= one - 8; z--) {
            const x = Math.floor((at.x + at.w / 2) / 2 ** z), y = Math.floor((at.y + at.h / 2) / 2 ** z);
            const tile = this.get(plane, z, Math.floor(x / SIZE), Math.floor(y / SIZE));
            if (tile?.here)
                return pixelBits(tile, x - tile.x * SIZE, y - tile.y * SIZE);
        }
        return undefined;
    }

    /** The bits of the pixel under a point in units, at a zoom; undefined. */
    bitsAt(plane, z, x, y) {
        const px = Math.floor(x / 2 ** z), py = Math.floor(y / 2 ** z);
        const tile = this.get(plane, z, Math.floor(px / SIZE), Math.floor(py / SIZE));
        return tile?.here ? pixelBits(tile, px - tile.x * SIZE, py - tile.y * SIZE) : undefined;
    }
}

/** The bits of a pixel of a tile. */
export function pixelBits(tile, x, y) {
    if (!tile.values)
        return tile.same;
    const v = tile.values[y * SIZE + x];
    return tile.values instanceof Uint16Array ? v << 16 >>> 0 : v;
}
