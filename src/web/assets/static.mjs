// SPDX-License-Identifier: Apache-2.0
// static: the data of an export, as files beside the page or inside of it: "A static export" in
// docs/viewer-protocol.md. StaticSource answers what LiveSource (source.mjs) does.

import {LiveSource, SourceError} from "scruple/source.mjs";

const PLANES = ["mean", "rms", "min", "max", "abs", "main", "entropy"];
const SIZE = 256, PIXELS = SIZE * SIZE, HEAD = 16;
const BLOCK = 32, ENTRY = 16; // tiles along a block; bytes of an entry of its table
const TABLES = 256;           // that are kept
const NOTHING = 2, ALIKE = 3; // kinds of bodies

/** Files beside the page. */
class Files {
    constructor(base) {
        this.base = new URL(".", base);
        this.whole = new Map(); // of servers that know no ranges
    }

    async #ask(name, options) {
        const answer = await fetch(new URL(name, this.base), {credentials: "omit", ...options});
        if (!answer.ok)
            throw new SourceError(`${name}: the server answered ${answer.status}`, answer.status);
        return answer;
    }

    async all(name) {
        return (await this.#ask(name)).arrayBuffer();
    }

    /** Bytes `at` to `at + n` of a file, fewer when it ends. */
    async part(name, at, n, signal) {
        if (this.whole.has(name))
            return (await this.whole.get(name)).slice(at, at + n);
        const answer = await this.#ask(name, {headers: {Range: `bytes=${at}-${at + n - 1}`}, signal});
        if (answer.status === 206)
            return answer.arrayBuffer();
        const whole = answer.arrayBuffer(); // the server knows no ranges: once, then
        this.whole.set(name, whole);
        whole.catch(() => this.whole.delete(name));
        return (await whole).slice(at, at + n);
    }
}

/** The same files as base64 in the page. */
class Embedded {
    constructor(list) {
        this.texts = new Map([...list].map((script) => [script.dataset.name, script]));
    }

    #decode(name, from, to) {
        const script = this.texts.get(name);
        if (!script)
            throw new SourceError(`${name} is not in this page`, 404);
        const text = atob(script.textContent.slice(from, to));
        const bytes = new Uint8Array(text.length);
        for (let i = 0; i < text.length; i++)
            bytes[i] = text.charCodeAt(i);
        return bytes;
    }

    async all(name) {
        return this.#decode(name).buffer;
    }

    async part(name, at, n) {
        const first = Math.floor(at / 3), last = Math.ceil((at + n) / 3);
        const bytes = this.#decode(name, 4 * first, 4 * last);
        return bytes.buffer.slice(at - 3 * first, at - 3 * first + n);
    }
}

async function inflate(packed) {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Response(stream).arrayBuffer();
}

function number64(data, at) {
    return data.getUint32(at, true) + data.getUint32(at + 4, true) * 2 ** 32;
}

/** A body whose pixels stand in planes of bytes, rotated by a bit, as tiles.mjs knows them. */
function joined(body) {
    const kind = new DataView(body).getUint8(5);
    if (kind < 4)
        return body;
    const bytes = kind === 4 ? 2 : 4;
    const from = new Uint8Array(body, HEAD), out = new ArrayBuffer(HEAD + bytes * PIXELS);
    const to = bytes === 2 ? new Uint16Array(out, HEAD) : new Uint32Array(out, HEAD);
    new Uint8Array(out).set(new Uint8Array(body, 0, HEAD));
    new DataView(out).setUint8(5, kind - 4);
    for (let i = 0; i < PIXELS; i++) {
        if (bytes === 2) {
            const v = from[i] << 8 | from[PIXELS + i];
            to[i] = v >> 1 | v << 15;
        } else {
            const v = from[i] << 24 | from[PIXELS + i] << 16 | from[2 * PIXELS + i] << 8 |
                from[3 * PIXELS + i];
            to[i] = v >>> 1 | v << 31;
        }
    }
    return out;
}

/** A part of a tile, each pixel as 2^k x 2^k: the tile `k` levels below, at x, y. */
function magnified(body, k, z, x, y) {
    const head = new DataView(body), kind = head.getUint8(5);
    if (kind === NOTHING || kind === ALIKE)
        return body;
    const from = kind === 0 ? new Uint16Array(body, HEAD) : new Uint32Array(body, HEAD);
    const out = new ArrayBuffer(body.byteLength);
    const to = kind === 0 ? new Uint16Array(out, HEAD) : new Uint32Array(out, HEAD);
    new Uint8Array(out).set(new Uint8Array(body, 0, HEAD));
    new DataView(out).setInt32(8, z, true);
    const places = Array.from({length: SIZE},
        (_, i) => [Math.floor((x * SIZE + i) / 2 ** k), Math.floor((y * SIZE + i) / 2 ** k)]);
    for (let j = 0; j < SIZE; j++) {
        const row = places[j][1] % SIZE * SIZE;
        for (let i = 0; i < SIZE; i++)
            to[j * SIZE + i] = from[row + places[i][0] % SIZE];
    }
    return out;
}

/** Which tiles a view has, and where. */
class Index {
    constructor(files, view) {
        this.files = files;
        this.view = view;
        this.tables = new Map();
        this.ready = this.#open();
    }

    get #name() {
        return `${this.view}/tiles/index.bin`;
    }

    async #open() {
        const start = new DataView(await this.files.part(this.#name, 0, 24));
        if (start.byteLength < 24 || start.getUint32(0, true) !== 0x31494353) // "SCI1"
            throw new SourceError("the index of tiles is none", 500);
        const levels = start.getUint32(4, true);
        this.packBytes = number64(start, 8);
        const head = new DataView(await this.files.part(this.#name, 0, number64(start, 16)));
        this.levels = new Map();
        this.deepest = Infinity;
        this.planes = [];
        for (let i = 0; i < levels; i++) {
            const at = 24 + 24 * i, z = head.getInt32(at, true);
            const plane = PLANES[head.getUint32(at + 4, true)];
            const n = number64(head, at + 8), first = number64(head, at + 16);
            this.levels.set(`${z}/${plane}`, {head, n, first});
            this.deepest = Math.min(this.deepest, z);
            if (!this.planes.includes(plane))
                this.planes.push(plane);
        }
    }

    /** The block that a tile is in: {position, left, top, columns, rows}, or null. */
    #block(z, x, y, plane) {
        const level = this.levels.get(`${z}/${plane}`);
        const bx = Math.floor(x / BLOCK), by = Math.floor(y / BLOCK);
        let low = 0, high = level?.n ?? 0;
        while (low < high) {
            const middle = (low + high) >>> 1, at = level.first + 24 * middle;
            const ax = level.head.getUint32(at, true), ay = level.head.getUint32(at + 4, true);
            if (ay < by || (ay === by && ax < bx))
                low = middle + 1;
            else
                high = middle;
        }
        const at = (level?.first ?? 0) + 24 * low;
        if (!level || low >= level.n || level.head.getUint32(at, true) !== bx ||
            level.head.getUint32(at + 4, true) !== by)
            return null;
        const [left, top, columns, rows] = new Uint8Array(level.head.buffer, at + 16, 4);
        return {position: number64(level.head, at + 8), left, top, columns, rows};
    }

    #table(block) {
        let table = this.tables.get(block.position);
        this.tables.delete(block.position);
        if (!table) {
            table = this.files.part(this.#name, block.position, block.columns * block.rows * ENTRY)
                .then((bytes) => new DataView(bytes));
            table.catch(() => this.tables.delete(block.position));
        }
        this.tables.set(block.position, table);
        if (this.tables.size > TABLES)
            this.tables.delete(this.tables.keys().next().value);
        return table;
    }

    /** {name, at, n} of a body, or null: it is not stored. */
    async find(z, x, y, plane) {
        const block = this.#block(z, x, y, plane);
        const column = x % BLOCK - (block?.left ?? 0), row = y % BLOCK - (block?.top ?? 0);
        if (!block || column < 0 || row < 0 || column >= block.columns || row >= block.rows)
            return null;
        const table = await this.#table(block);
        const at = (row * block.columns + column) * ENTRY;
        const offset = number64(table, at), n = table.getUint32(at + 8, true);
        if (n === 0)
            return null;
        const pack = String(Math.floor(offset / this.packBytes)).padStart(3, "0");
        return {name: `${this.view}/tiles/pack-${pack}.bin`, at: offset % this.packBytes, n};
    }
}

function rank(name, words) {
    if (name === words)
        return 0;
    if (name.endsWith(words))
        return 1;
    if (name.includes(words))
        return 2;
    return words.split(/\s+/).every((word) => name.includes(word)) ? 3 : 4;
}

/** Documents, tiles and values of an export. */
export class StaticSource {
    /** @param {Files|Embedded} files */
    constructor(files) {
        this.files = files;
        this.live = false;
        this.indices = new Map();
        this.scenes = new Map();
    }

    async #json(name) {
        return JSON.parse(new TextDecoder().decode(await this.files.all(name)));
    }

    viewJson() {
        return this.#json("view.json");
    }

    colours() {
        return this.#json("colours.json");
    }

    async #index(view) {
        if (!this.indices.has(view))
            this.indices.set(view, new Index(this.files, view));
        const index = this.indices.get(view);
        await index.ready;
        return index;
    }

    /** The plan, with what this export has of planes and levels. */
    async scene(view) {
        if (!this.scenes.has(view))
            this.scenes.set(view, this.#json(`${view}/scene.json`));
        const [scene, index] = await Promise.all([this.scenes.get(view), this.#index(view)]);
        return {...scene, planes: index.planes, deepest: Math.min(scene.deepest, -index.deepest)};
    }

    scales(view) {
        return this.#json(`${view}/scales.json`);
    }

    /**
     * The body of a tile; null: nothing stands there. One that is not stored is shown by the next
     * above, magnified: below zoom 0 exactly.
     */
    async tile(view, z, x, y, plane, how = {}) {
        const index = await this.#index(view);
        for (let k = 0; k === 0 || z + k <= Math.max(0, index.deepest); k++) {
            const at = await index.find(z + k, Math.floor(x / 2 ** k), Math.floor(y / 2 ** k), plane);
            if (!at)
                continue;
            const packed = await this.files.part(at.name, at.at, at.n, how.signal);
            const body = joined(await inflate(packed));
            return k === 0 ? body : magnified(body, k, z, x, y);
        }
        return null;
    }

    async value(view, tensor, slice, row, col, signal) {
        const scene = await this.scene(view), p = scene.places;
        const i = p.tensor.findIndex((t, k) => t === tensor && p.slice[k] === slice);
        if (i < 0 || !(row >= 0 && row < p.rows[i] && col >= 0 && col < p.cols[i]))
            throw new SourceError("there is no such element", 400);
        const z = Math.min(-Math.max(p.dx[i], p.dy[i]), 0);
        if (z < -scene.deepest)
            throw new SourceError("this export does not go down to single weights here", 404);
        const x = Math.floor((p.x[i] + (col + 0.5) * 2 ** -p.dx[i]) / 2 ** z);
        const y = Math.floor((p.y[i] + (row + 0.5) * 2 ** -p.dy[i]) / 2 ** z);
        const body = await this.tile(view, z, Math.floor(x / SIZE), Math.floor(y / SIZE),
            scene.planes[0], {signal});
        const bits = new DataView(new ArrayBuffer(4));
        bits.setUint32(0, body ? pixelOf(body, x % SIZE, y % SIZE) : 0x7fc20000);
        if ([0x7fc20000, 0x7fc30000, 0x7fc40000].includes(bits.getUint32(0)))
            throw new SourceError("this weight cannot be decoded", 404);
        const value = bits.getFloat32(0);
        return {tensor, slice, row, col, value: Number.isFinite(value) ? value : String(value),
            raw: null, offset: null, file: null};
    }

    async tensor(view, i, signal) {
        const name = `${view}/tensors.bin`;
        const entry = new DataView(await this.files.part(name, 8 + 16 * i, 16, signal));
        const n = entry.byteLength === 16 ? entry.getUint32(8, true) : 0;
        if (n === 0)
            throw new SourceError("there is no such tensor in this picture", 400);
        const text = await inflate(await this.files.part(name, number64(entry, 0), n, signal));
        return JSON.parse(new TextDecoder().decode(text));
    }

    async search(view, q, limit = 50) {
        const words = q.trim().toLowerCase(), {tensors, places} = await this.scene(view);
        const drawn = new Set(places.tensor);
        const found = tensors.name.map((name, i) => [rank(name.toLowerCase(), words), i])
            .filter(([how, i]) => how < 4 && drawn.has(i)).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        return {total: found.length, tensors: found.slice(0, limit).map(([, i]) => i)};
    }
}

function pixelOf(body, x, y) {
    const data = new DataView(body), i = y * SIZE + x;
    switch (data.getUint8(5)) {
    case 0: return data.getUint16(HEAD + 2 * i, true) * 65536;
    case 1: return data.getUint32(HEAD + 4 * i, true);
    case ALIKE: return data.getUint32(HEAD, true);
    default: return 0x7fc20000;
    }
}

/** Where this page's data is: in it, beside it, or at the server that it came from. */
export async function openSource() {
    const embedded = document.querySelectorAll("script[data-name]");
    if (embedded.length)
        return new StaticSource(new Embedded(embedded));
    const live = new LiveSource();
    const doc = await live.viewJson();
    return doc.mode === "static" ? new StaticSource(new Files(document.baseURI)) : live;
}
