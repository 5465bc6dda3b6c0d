// SPDX-License-Identifier: Apache-2.0
// colour: which step of a scale a value is in. The rules are those of src/picture/colour.c, to the
// bit: this page and pictures in files show the same.

const ASK = 0x100; // a flag of entries: other lower bits may mean another step
const STEPS = 240, HALF = 120;
const QUANTILES = 257;

/** Bits of float32 that stand for no value. */
export const PIXEL = {nan: 0x7fc10000, outside: 0x7fc20000, unknown: 0x7fc30000,
    waiting: 0x7fc40000};

const oneFloat = new Float32Array(1), oneBits = new Uint32Array(oneFloat.buffer);

/** The float32 of 32 bits. */
export function floatOf(bits) {
    oneBits[0] = bits;
    return oneFloat[0];
}

/** The bits of a float32. */
export function bitsOf(x) {
    oneFloat[0] = x;
    return oneBits[0];
}

/** What a pixel holds, as a number, or as a word: NaN, Infinity, outside, unknown, waiting... */
export function pixelValue(bits) {
    const size = bits & 0x7fffffff;
    if (size < 0x7f800000)
        return floatOf(bits);
    if (size === 0x7f800000)
        return bits >>> 31 ? "-Infinity" : "Infinity";
    return bits >>> 0 === PIXEL.outside ? "outside" : bits >>> 0 === PIXEL.unknown ? "unknown"
        : bits >>> 0 === PIXEL.waiting ? "waiting" : "NaN";
}

/** Does a mode colour by quantiles, or by what stands for them? */
export function isRanked(mode) {
    return mode.name === "rank" || mode.name === "range";
}

function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

/** How one mode colours with one scale. Make it with Colours.table(). */
export class Table {
    constructor(colours, mode, scale, least, quantile) {
        this.special = colours.special;
        this.mode = mode;
        this.shares = mode.shares ?? (isRanked(mode) ? colours.mode("linear").shares : null);
        this.least = least;
        this.folded = mode.folded;
        this.end = scale > 0 && scale < Infinity ? Math.fround(scale) : 1;
        this.quantile = isRanked(mode) ? quantile : null;
        this.entries = null; // 65,536 of them, once many pixels come
    }

    /** Where steps begin, ascending; null: steps are bits. Made once many values come. */
    get edges() {
        if (this.made === undefined)
            this.#makeEdges();
        return this.made;
    }

    #makeEdges() {
        this.made = this.quantile ? Table.#ranks(this.quantile) : this.shares
            ? Float32Array.from(this.shares, (share) => Math.fround(share * this.end)) : null;
    }

    static #ranks(quantile) {
        const out = new Float32Array(STEPS - 1);
        for (let k = 1; k < STEPS; k++) {
            const at = k * (QUANTILES - 1) / STEPS, i = Math.floor(at);
            const low = Math.fround(quantile[i]), high = Math.fround(quantile[i + 1]);
            const edge = Math.fround(low + (high - low) * (at - i));
            const before = k > 1 ? out[k - 2] : -Infinity;
            out[k - 1] = edge >= before ? edge : before;
        }
        return out;
    }

    /** How many edges are at or below x. */
    #step(x) {
        const edges = this.edges;
        let low = 0, high = edges.length;
        while (low < high) {
            const mid = (low + high) >> 1;
            if (edges[mid] <= x)
                low = mid + 1;
            else
                high = mid;
        }
        return low;
    }

    /** The same of a scale, before edges are made: for few values. */
    #stepByShares(x) {
        const {shares, end} = this;
        let low = 0, high = shares.length;
        while (low < high) {
            const mid = (low + high) >> 1;
            if (Math.fround(shares[mid] * end) <= x)
                low = mid + 1;
            else
                high = mid;
        }
        return low;
    }

    #plain(upper) {
        if (this.mode.name === "sign")
            return upper & 0x8000 ? HALF / 2 : HALF + HALF / 2;
        if (this.mode.name === "exponent")
            return (upper >> 7 & 31) * 7 + 3;
        return (upper & 0xff) * STEPS >> 8;
    }

    #notFinite(bits) {
        const s = this.special;
        switch (bits >>> 0) {
        case 0x7f800000: return s.pos_inf;
        case 0xff800000: return s.neg_inf;
        }
        switch ((bits & 0xffff0000) >>> 0) {
        case PIXEL.outside: return s.outside;
        case PIXEL.unknown: return s.unknown;
        case PIXEL.waiting: return s.waiting;
        default: return s.nan;
        }
    }

    /** The palette entry of the bits of a float32. */
    entryOf(bits) {
        const size = bits & 0x7fffffff;
        if (size === 0)
            return this.special.zero;
        if (size >= 0x7f800000)
            return this.#notFinite(bits);
        const x = floatOf(bits);
        if (Math.abs(x) < this.least)
            return this.special.subnormal;
        const at = this.folded ? Math.abs(x) : x;
        if (this.made === undefined && this.shares && !this.quantile)
            return this.#stepByShares(at);
        return this.edges ? this.#step(at) : this.#plain(bits >>> 16);
    }

    /**
     * Where entries change as sizes of one sign grow: [[bits of the size, entry from there on]].
     * Sizes of floats are in the order of their bits.
     */
    #changes(negative) {
        const {edges} = this, out = [];
        const down = negative && !this.folded;
        let base = edges.findIndex((e) => down ? e >= 0 : e > 0);
        if (base < 0)
            base = edges.length;
        out.push([1, base]);
        if (down)
            for (let k = base - 1; k >= 0; k--)
                out.push([bitsOf(-edges[k]) + 1, k]);
        else
            for (let k = base; k < edges.length; k++)
                out.push([bitsOf(edges[k]), k + 1]);
        const normal = bitsOf(this.least), first = out.findLast(([bits]) => bits <= normal);
        return normal < 2 ? out : [[1, this.special.subnormal], [normal, first ? first[1] : base],
            ...out.filter(([bits]) => bits > normal)];
    }

    /** Fills the entries of one sign from where they change. */
    #fill(of, changes) {
        const end = 0x7f80;
        of.fill(this.special.zero, 0, 1);
        changes.forEach(([bits, entry], i) => {
            const upper = bits >>> 16, inside = bits & 0xffff ? 1 : 0;
            if (inside && upper < end)
                of[upper] |= ASK; // it begins as another one
            const next = i + 1 < changes.length ? changes[i + 1][0] : end << 16;
            const until = Math.min(end, (next >>> 16) + (next & 0xffff ? 1 : 0));
            if (until > upper + inside)
                of.fill(entry, upper + inside, until);
        });
        for (let upper = end; upper < 0x8000; upper++)
            of[upper] = this.#notFinite((upper | (of.byteOffset ? 0x8000 : 0)) << 16);
        of[end] |= ASK; // with lower bits it is no infinity
    }

    /** Steps are bits: every upper half has its own. */
    #fillPlain(of, sign) {
        const subnormal = bitsOf(this.least) >>> 16;
        for (let upper = 0; upper < 0x7f80; upper++)
            of[upper] = upper < subnormal ? this.special.subnormal : this.#plain(sign | upper);
        of[0] = this.special.zero | ASK;
    }

    /** Entries of 65,536 upper halves; where lower bits may mean another one, ASK is set. */
    #make() {
        const of = new Uint16Array(65536);
        for (const sign of [0, 0x8000]) {
            const half = of.subarray(sign, sign + 0x8000);
            this.#fill(half, this.edges ? this.#changes(sign !== 0) : []);
            if (!this.edges)
                this.#fillPlain(half, sign);
        }
        this.entries = of;
    }

    /** The step of x, where that at the beginning of its upper half is known. */
    #near(step, x) {
        const {edges} = this;
        while (step < edges.length && edges[step] <= x)
            step++;
        while (step > 0 && edges[step - 1] > x)
            step--;
        return step;
    }

    /**
     * Colours a rectangle of a tile.
     * @param {Uint16Array|Uint32Array} values  upper halves, or all bits, of 256 x 256 float32
     * @param {Uint8Array} out                  palette entries
     */
    apply(values, out, x0, y0, x1, y1, width = 256) {
        const halves = values instanceof Uint16Array;
        if (!this.entries && (x1 - x0) * (y1 - y0) < 2048) {
            this.#few(values, out, x0, y0, x1, y1, width, halves);
            return;
        }
        if (!this.entries)
            this.#make();
        const of = this.entries;
        if (halves) {
            for (let y = y0; y < y1; y++)
                for (let i = y * width + x0, end = y * width + x1; i < end; i++)
                    out[i] = of[values[i]];
            return;
        }
        const floats = new Float32Array(values.buffer, values.byteOffset, values.length);
        const {edges, folded, least} = this;
        for (let y = y0; y < y1; y++)
            for (let i = y * width + x0, end = y * width + x1; i < end; i++) {
                const bits = values[i], entry = of[bits >>> 16];
                if (entry < ASK || !(bits & 0xffff)) {
                    out[i] = entry;
                    continue;
                }
                const step = entry & 0xff, x = folded ? Math.abs(floats[i]) : floats[i];
                out[i] = edges && step < STEPS && Math.abs(x) >= least ? this.#near(step, x)
                    : this.entryOf(bits);
            }
    }

    #few(values, out, x0, y0, x1, y1, width, halves) {
        if (this.made === undefined && (x1 - x0) * (y1 - y0) > 256)
            this.#makeEdges();
        for (let y = y0; y < y1; y++)
            for (let i = y * width + x0; i < y * width + x1; i++)
                out[i] = this.entryOf(halves ? values[i] << 16 : values[i]);
    }

    /** The value at the lower end of a step, from 1 to 239; NaN where the mode has none. */
    edge(step) {
        return this.edges && step > 0 && step <= this.edges.length ? this.edges[step - 1] : NaN;
    }
}

/** Modes, palettes and tables: what colours.json holds. */
export class Colours {
    constructor(json) {
        this.steps = json.steps;
        this.special = json.special;
        /** @type {{name: string, label: string, shares: number[]|null, folded: boolean,
         *   dark: Uint8Array, light: Uint8Array}[]} palettes are 256 x 3 bytes */
        this.modes = json.modes.map((mode) => ({...mode, dark: bytesOf(mode.dark),
            light: bytesOf(mode.light)}));
        this.tables = new Map();
    }

    /** A mode by its name; the first if there is none. */
    mode(name) {
        return this.modes.find((mode) => mode.name === name) ?? this.modes[0];
    }

    /** 256 x 3 bytes. */
    palette(name, dark) {
        return this.mode(name)[dark ? "dark" : "light"];
    }

    /** "rgb(...)" of a palette entry, by number or by name of a special one. */
    css(name, dark, entry) {
        const at = 3 * (typeof entry === "string" ? this.special[entry] : entry);
        const p = this.palette(name, dark);
        return `rgb(${p[at]}, ${p[at + 1]}, ${p[at + 2]})`;
    }

    /**
     * How a mode colours. Kept for the next time.
     * @param {string} name
     * @param {number} scale        |x| at the end of the colours; 0: not known
     * @param {number} [least]      below it a value is subnormal; 0: the type has none
     * @param {ArrayLike<number>|null} [quantile]  257, for ranks
     * @returns {Table}
     */
    table(name, scale, least = 0, quantile = null) {
        const mode = this.mode(name);
        const known = isRanked(mode) && quantile ? quantile : null;
        const scaled = (mode.shares || isRanked(mode)) && !known;
        const key = `${mode.name} ${scaled ? scale : ""} ${least}`;
        const kept = known ? this.#rankTables(known) : this.tables;
        let table = kept.get(key);
        if (table) {
            kept.delete(key); // the last used is the last to go
        } else {
            table = new Table(this, mode, scale, least, known);
            if (kept.size >= 512)
                kept.delete(kept.keys().next().value);
        }
        kept.set(key, table);
        return table;
    }

    #rankTables(quantile) {
        this.byQuantile ??= new WeakMap();
        let kept = this.byQuantile.get(quantile);
        if (!kept)
            this.byQuantile.set(quantile, kept = new Map());
        return kept;
    }
}

/** How large weights are: what scales.json holds, newer ones taking the place of older ones. */
export class Scales {
    constructor(json, scene) {
        this.scene = scene;
        this.update(json);
    }

    update(json) {
        this.epoch = json.epoch;
        this.final = json.final;
        this.json = json;
    }

    /**
     * |x| at the end of the colours; 0: not known.
     * @param {number} tensor  -1: of the whole
     * @param {string} plane   mean and rms end at the robust magnitude, others at the largest
     * @param {string} of      tensor, role or model
     */
    of(tensor, plane, of) {
        const {robust, abs, roles, model} = this.json;
        const extreme = plane !== "mean" && plane !== "rms";
        const end = (r, a) => (r > 0 && !extreme ? r : a) || 0;
        if (tensor < 0 || of === "model")
            return end(model.robust, model.abs);
        if (of === "role") {
            const role = roles[this.scene.roleOf(tensor)];
            return role ? end(role.robust, role.abs) : 0;
        }
        return end(robust[tensor], abs[tensor]);
    }
}
