// SPDX-License-Identifier: Apache-2.0
// scene: where everything stands. The plan of docs/layout.md, read from scene.json.

const GROUP = 16;

/** Columns that are looked into for every frame, as arrays of numbers. */
function typed(columns, kinds) {
    const out = {};
    for (const [key, Kind] of Object.entries(kinds))
        out[key] = Kind.from(columns[key]);
    return out;
}

/** Frames around each 16 neighbours in a list, around 16 of those, and so on: see scene_look.c. */
class Frames {
    constructor(list) {
        this.n = list.x.length;
        this.levels = [];
        let below = {n: this.n, x0: list.x, y0: list.y, x1: list.x.map((x, i) => x + list.w[i]),
            y1: list.y.map((y, i) => y + list.h[i])};
        this.leaf = below;
        while (below.n > 1 || this.levels.length === 0) {
            below = Frames.around(below);
            this.levels.push(below);
            if (below.n === 0)
                break;
        }
    }

    static around(below) {
        const n = Math.ceil(below.n / GROUP);
        const out = {n, x0: new Float64Array(n), y0: new Float64Array(n), x1: new Float64Array(n),
            y1: new Float64Array(n)};
        for (let k = 0; k < n; k++) {
            let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity;
            for (let i = k * GROUP; i < Math.min((k + 1) * GROUP, below.n); i++) {
                x0 = Math.min(x0, below.x0[i]);
                y0 = Math.min(y0, below.y0[i]);
                x1 = Math.max(x1, below.x1[i]);
                y1 = Math.max(y1, below.y1[i]);
            }
            out.x0[k] = x0;
            out.y0[k] = y0;
            out.x1[k] = x1;
            out.y1[k] = y1;
        }
        return out;
    }

    /** Calls fn(i) for what touches the rectangle, in order, until it returns true. */
    look(x, y, w, h, fn) {
        const x1 = x + w, y1 = y + h;
        const walk = (level, first) => {
            const at = level < 0 ? this.leaf : this.levels[level];
            const end = Math.min(first + GROUP, at.n);
            for (let i = first; i < end; i++) {
                if (at.x0[i] >= x1 || at.x1[i] <= x || at.y0[i] >= y1 || at.y1[i] <= y)
                    continue;
                if (level < 0 ? fn(i) : walk(level - 1, i * GROUP))
                    return true;
            }
            return false;
        };
        return walk(this.levels.length - 1, 0);
    }
}

/** The plan of one picture. Immutable. */
export class Scene {
    /** @param {object} json  what scene.json holds */
    constructor(json) {
        this.title = json.title;
        /** weights, differences, bytes or maps */
        this.shows = json.shows;
        /** By tensor, of what shows maps: {about, low, high, down: {of, labels}, across, spots}; else null. */
        this.maps = json.maps ?? null;
        /** Where the weights behind cells are: {command, at} by number, which maps name. */
        this.spots = json.spots ?? null;
        this.model = json.model;
        /** of pictures of bytes: order, total, start and parts; else null */
        this.bytes = json.bytes ?? null;
        this.tile = json.tile;
        this.width = json.width;
        this.height = json.height;
        this.deepest = json.deepest;
        this.top = json.top;
        this.planes = json.planes;
        this.roles = json.roles;
        this.towers = json.towers;
        this.kinds = json.kinds;
        this.labels = json.labels;
        this.types = json.types;
        this.shapes = json.shapes;
        /** Names of tensors: any text; never to become markup. */
        this.names = json.tensors.name;
        /** Columns by tensor; layer and expert are -1 where there is none. */
        this.tensors = typed(json.tensors, {shape: Uint32Array, type: Uint32Array,
            role: Uint8Array, tower: Uint8Array, layer: Int32Array, expert: Int32Array,
            bytes: Float64Array});
        this.tensors.n = this.names.length;
        /** Columns by place; x, y, w, h in units; rows, cols elements. */
        this.places = typed(json.places, {tensor: Uint32Array, box: Uint32Array, x: Float64Array,
            y: Float64Array, w: Float64Array, h: Float64Array, dx: Int8Array, dy: Int8Array,
            rows: Float64Array, cols: Float64Array, slice: Uint32Array});
        this.places.n = this.places.tensor.length;
        /** Columns by box; kind is a position in `kinds`, label one in `labels`. */
        this.boxes = typed(json.boxes, {kind: Uint8Array, label: Uint32Array, number: Int32Array,
            x: Float64Array, y: Float64Array, w: Float64Array, h: Float64Array,
            empty: Uint8Array, parent: Uint32Array});
        this.boxes.n = this.boxes.kind.length;
        const tower = this.kinds.indexOf("tower");
        this.severalTowers = this.boxes.kind.indexOf(tower) !== this.boxes.kind.lastIndexOf(tower);
        /** By kind of box: how many digits the largest number has. */
        this.digits = this.kinds.map(() => 1);
        this.boxes.number.forEach((number, i) => {
            const kind = this.boxes.kind[i];
            this.digits[kind] = Math.max(this.digits[kind], String(Math.max(number, 0)).length);
        });
        this.placeFrames = new Frames(this.places);
        this.boxFrames = new Frames(this.boxes);
        this.#listPlaces();
    }

    #listPlaces() {
        const {n, tensor} = this.places;
        this.firstPlace = new Uint32Array(this.tensors.n + 1);
        for (let i = 0; i < n; i++)
            this.firstPlace[tensor[i] + 1]++;
        for (let i = 0; i < this.tensors.n; i++)
            this.firstPlace[i + 1] += this.firstPlace[i];
        this.placeList = new Uint32Array(n);
        const next = this.firstPlace.slice();
        for (let i = 0; i < n; i++)
            this.placeList[next[tensor[i]]++] = i;
        for (let t = 0; t < this.tensors.n; t++)
            if (this.firstPlace[t + 1] - this.firstPlace[t] > 1)
                this.placesOf(t).sort((a, b) => this.places.slice[a] - this.places.slice[b]);
    }

    /** Places of a tensor by slice; none: it is listed, but stands nowhere. */
    placesOf(tensor) {
        return this.placeList.subarray(this.firstPlace[tensor], this.firstPlace[tensor + 1]);
    }

    /** The place of a slice of a tensor, or -1. */
    placeOf(tensor, slice = 0) {
        const list = this.placesOf(tensor);
        let low = 0, high = list.length;
        while (low < high) {
            const mid = (low + high) >> 1;
            if (this.places.slice[list[mid]] < slice)
                low = mid + 1;
            else
                high = mid;
        }
        return low < list.length && this.places.slice[list[low]] === slice ? list[low] : -1;
    }

    /** Calls fn(place) for all that touch a rectangle of units, in order, until it returns true. */
    look(x, y, w, h, fn) {
        return this.placeFrames.look(x, y, w, h, fn);
    }

    /** The same of boxes; those that hold others come before them. */
    lookBoxes(x, y, w, h, fn) {
        return this.boxFrames.look(x, y, w, h, fn);
    }

    /** The place under a point in units, or -1. */
    placeAt(x, y) {
        let found = -1;
        this.look(Math.floor(x), Math.floor(y), 1, 1, (i) => {
            found = i;
            return true;
        });
        return found;
    }

    /** The element of a place under a point in units, clamped to the place. */
    elementAt(place, x, y) {
        const p = this.places;
        const at = (units, depth, n) =>
            Math.max(0, Math.min(n - 1, Math.floor(units * 2 ** depth)));
        return {row: at(y - p.y[place], p.dy[place], p.rows[place]),
            col: at(x - p.x[place], p.dx[place], p.cols[place])};
    }

    /** Where an element stands, in units. */
    pointOf(place, row, col) {
        const p = this.places, w = 2 ** -p.dx[place], h = 2 ** -p.dy[place];
        return {x: p.x[place] + col * w, y: p.y[place] + row * h, w, h};
    }

    /** What a row (or a column) of a place is called: its number, or what a map says. */
    lineName(place, across, at) {
        const map = this.maps?.[this.places.tensor[place]];
        return map?.[across ? "across" : "down"].labels?.[at] ?? String(at);
    }

    /** Dimensions of a tensor. */
    shapeOf(tensor) {
        return this.shapes[this.tensors.shape[tensor]];
    }

    /** {dtype, layout, decodable, least} of a tensor. */
    typeOf(tensor) {
        return this.types[this.tensors.type[tensor]];
    }

    /** The word for its role. */
    roleOf(tensor) {
        return this.roles[this.tensors.role[tensor]];
    }

    /** A box for people: "layers.3". */
    boxName(box) {
        const label = this.labels[this.boxes.label[box]], number = this.boxes.number[box];
        return number < 0 ? label : label ? `${label}.${number}` : String(number);
    }

    /** Boxes around a place, the innermost first; without the whole. */
    boxesAround(place) {
        const out = [];
        for (let box = this.places.box[place]; box > 0; box = this.boxes.parent[box])
            out.push(box);
        return out;
    }
}

/** What a place is, for each place; with its size or without. */
function keysOf(scene, sized) {
    const {tensors: t, places: p} = scene;
    const seen = new Map();
    const out = [];
    for (let i = 0; i < p.n; i++) {
        const k = p.tensor[i];
        const expert = t.expert[k] >= 0 ? t.expert[k] : p.slice[i];
        const what = [scene.towers[t.tower[k]], t.layer[k], expert, scene.roleOf(k),
            ...(sized ? [p.rows[i], p.cols[i]] : [])].join(" ");
        const nth = seen.get(what) ?? 0;
        seen.set(what, nth + 1);
        out.push(`${what} ${nth}`);
    }
    return out;
}

/**
 * Pairs places of two scenes: by name and slice where both are in both, else by tower, layer,
 * expert, role and order, of the same size if there is one.
 * @returns {Int32Array} for each place of a, that of b, or -1
 */
export function pairPlaces(a, b) {
    const out = new Int32Array(a.places.n).fill(-1);
    const names = new Map(b.names.map((name, i) => [name, i]));
    for (let i = 0; i < a.places.n; i++) {
        const there = names.get(a.names[a.places.tensor[i]]);
        out[i] = there === undefined ? -1 : b.placeOf(there, a.places.slice[i]);
    }
    for (const sized of [true, false]) {
        if (!out.includes(-1))
            return out;
        const taken = new Set(out), there = new Map();
        keysOf(b, sized).forEach((key, i) => taken.has(i) || there.set(key, i));
        keysOf(a, sized).forEach((key, i) => {
            if (out[i] < 0)
                out[i] = there.get(key) ?? -1;
        });
    }
    return out;
}
