// SPDX-License-Identifier: Apache-2.0
// bytes: what is different where pixels are bytes of files: where a byte is, what it may mean, outlines and names of
// files and of the tensors in them, and the figures of a file.
import {make} from "scruple/dom.mjs";
import {shortTitle} from "scruple/frame.mjs";
import {outline, pointAt, positionAt, runsIn, squares} from "scruple/hilbert.mjs";
import {formatCount, formatShape, formatValue} from "scruple/names.mjs";
import {bytes as sizeText, percent} from "scruple/text.mjs";

const CLASSES = [["zero", "zero"], ["control", "control"], ["printable", "text (ASCII)"], ["high", "high"], ["full", "255"]];
const PLANE_OF = {classes: "main", value: "mean", entropy: "entropy"};
const LEAST = 700;  // CSS pixels, as an area: of what has an outline
const MOST = 600;   // outlines in a picture
const KEPT = 20000; // outlines that are remembered
const LINE = 8;     // bytes of a line

// ------------------------------------------------------------------------------------------------ where a byte is

/** The last of ascending starts at or before a position; -1: none. */
function lastAt(starts, position) {
    let low = 0, high = starts.length;
    while (low < high) {
        const mid = (low + high) >> 1;
        if (starts[mid] <= position) low = mid + 1;
        else high = mid;
    }
    return low - 1;
}

/** Starts of files and parts, made once. */
function tablesOf(scene) {
    if (!scene.byteTables) {
        const {start, total, parts} = scene.bytes, ends = start.map((_, i) => start[i + 1] ?? total);
        const first = parts.name.map((_, i) => start[parts.file[i]] + parts.offset[i]);
        scene.byteTables = {start, ends, first, behind: first.map((at, i) => at + parts.bytes[i]), outlines: new Map()};
    }
    return scene.byteTables;
}

/** The position of a spot in all files. */
export function positionOf(scene, {slice, row, col}) {
    const {order} = scene.bytes;
    return slice * 4 ** order + positionAt(order, col, row);
}

/** {file, offset, part (-1: none)} of a position; null behind the end. */
export function placeOfByte(scene, position) {
    const {start, first, behind} = tablesOf(scene);
    if (!(position >= 0 && position < scene.bytes.total)) return null;
    const file = lastAt(start, position), part = lastAt(first, position);
    return {file, offset: position - start[file], part: part >= 0 && position < behind[part] ? part : -1};
}

function spotOf(scene, view, position) {
    const {order} = scene.bytes, slice = Math.floor(position / 4 ** order);
    const {x, y} = pointAt(order, position % 4 ** order), place = scene.placeOf(0, slice);
    return {view, tensor: 0, place, slice, row: y, col: x};
}

const hex = (n, digits = 2) => n.toString(16).padStart(digits, "0");

/** A byte as a character, or as what it does. */
function charText(v) {
    if (v > 32 && v < 127) return `\u2018${String.fromCharCode(v)}\u2019`;
    return {0: "NUL", 9: "tab", 10: "line feed", 13: "carriage return", 27: "escape", 32: "space", 127: "delete"}[v] ?? "";
}

function nameOf(scene, spot) {
    const at = placeOfByte(scene, positionOf(scene, spot));
    return at ? scene.names[at.file] : "behind the last byte";
}

function where(scene, spot) {
    const at = placeOfByte(scene, positionOf(scene, spot));
    if (!at) return "";
    const part = at.part >= 0 ? `${scene.bytes.parts.name[at.part]}, ` : "";
    return `${part}byte 0x${hex(at.offset, 1)} (${formatCount(at.offset)})`;
}

/** The indices of an element of a tensor. */
function indexText(shape, index) {
    const out = [];
    for (const n of [...shape].reverse()) {
        out.unshift(index % n);
        index = Math.floor(index / n);
    }
    return `[${out.join(", ")}]`;
}

/** What an answer of `value` says. */
function read(scene, answer) {
    const {value, element} = answer;
    if (typeof value !== "number") return [answer.value === "unknown" ? "cannot be read" : "\u2026"];
    const lines = [`0x${hex(value)}  ${value}  ${charText(value)}`.trim()];
    if (element) {
        const {parts} = scene.bytes, at = placeOfByte(scene, positionOf(scene, answer));
        const shape = at?.part >= 0 ? parts.shape[at.part] : [];
        lines.push(`byte ${element.byte} of element ${indexText(shape, element.index)} = ${formatValue(element.value ?? NaN, 7)}`);
    }
    return lines;
}

// ---------------------------------------------------------------------------------------------------- what it says

function bytesOfHex(text) {
    return Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
}

/** What stands around a byte, as a dump; the byte is marked. */
function dump(answer) {
    const data = bytesOfHex(answer.around ?? ""), lines = [];
    const digits = Math.max(6, (answer.from + data.length).toString(16).length);
    for (let at = 0; at < data.length; at += LINE) {
        const here = answer.offset - answer.from - at, row = data.subarray(at, at + LINE);
        const cells = [...row].map((v) => hex(v)), letters = [...row].map((v) => v > 31 && v < 127 ? String.fromCharCode(v) : "\u00b7");
        const mark = (list, join) => list.flatMap((text, i) => [i ? join : "", i === here ? make("mark", null, text) : text]);
        lines.push(hex(answer.from + at, digits), "  ", ...mark(cells, " "), " ".repeat(3 * (LINE - row.length) + 2),
            ...mark(letters, ""), "\n");
    }
    return make("pre", {class: "p-dump"}, lines);
}

function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, e = bits >> 10 & 31, f = bits & 1023;
    if (e === 31) return f ? NaN : sign * Infinity;
    return sign * (e ? (1 + f / 1024) * 2 ** (e - 15) : f * 2 ** -24);
}

/** Numbers that begin at the byte, least byte first. */
function numbers(answer) {
    const data = bytesOfHex(answer.around ?? ""), at = answer.offset - answer.from;
    const view = new DataView(data.buffer), rows = [];
    const add = (name, n, get) => at + n <= data.length && rows.push([name, get()]);
    const top = new DataView(new ArrayBuffer(4));
    add("u16", 2, () => formatCount(view.getUint16(at, true)));
    add("i16", 2, () => formatValue(view.getInt16(at, true), 9));
    add("f16", 2, () => formatValue(half(view.getUint16(at, true)), 6));
    add("bf16", 2, () => {
        top.setUint16(0, view.getUint16(at, true));
        return formatValue(top.getFloat32(0), 6);
    });
    add("u32", 4, () => formatCount(view.getUint32(at, true)));
    add("f32", 4, () => formatValue(view.getFloat32(at, true), 9));
    add("u64", 8, () => formatCount(view.getBigUint64(at, true)));
    add("f64", 8, () => formatValue(view.getFloat64(at, true), 12));
    return rows;
}

function facts(rows) {
    return make("dl", {class: "p-facts"}, rows.filter((row) => row && row[1] !== null).map(([term, what]) =>
        make("div", null, make("dt", null, term), make("dd", null, what))));
}

/** More of an answer of `value`, below it. */
function extra(scene, answer) {
    if (!answer.around) return [];
    return [dump(answer), make("h4", null, "As a number from here on"), facts(numbers(answer))];
}

/** The rectangle of units in which positions stand. */
function rectOf(scene, from, to) {
    const {box} = outline(scene.bytes.order, from, to);
    return {x: box.x0, y: box.y0, w: box.x1 - box.x0, h: box.y1 - box.y0};
}

function classFacts(figures) {
    if (!figures.counted) return [["kinds", "not counted yet"]];
    return [...CLASSES.map(([key, text]) => [text, percent(figures.classes[key], figures.counted)]),
        ["mean", formatValue(figures.mean, 4)], ["entropy", `${formatValue(figures.entropy, 3)} bits a byte`]];
}

/** What the panel of the selection shows instead of figures of weights. */
async function panel(app, spot) {
    const view = app.views[spot.view], {scene} = view, {parts} = scene.bytes;
    const at = placeOfByte(scene, positionOf(scene, spot)), tables = tablesOf(scene);
    if (!at) return [make("p", {class: "p-hint"}, "Nothing stands here: all files have ended.")];
    const fly = (label, from, to) => make("button", {type: "button", class: "p-text-button",
        onclick: () => app.camera.fit(rectOf(scene, from, to))}, label);
    const {file, part} = at, out = [];
    if (part >= 0)
        out.push(make("h4", null, parts.name[part]), facts([["type", parts.dtype[part] || "header"],
            parts.dtype[part] ? ["shape", formatShape(parts.shape[part])] : null, ["stored", sizeText(parts.bytes[part])],
            ["begins at", `0x${hex(parts.offset[part], 1)}`]]),
        make("div", {class: "p-row p-actions"}, fly("show it", tables.first[part], tables.behind[part])));
    out.push(make("h4", null, "File"), facts([["size", `${sizeText(tables.ends[file] - tables.start[file])} (${formatCount(tables.ends[file] - tables.start[file])})`],
        scene.names.length > 1 ? ["file", `${formatCount(file + 1)} of ${formatCount(scene.names.length)}`] : null]),
    make("div", {class: "p-row p-actions"}, fly("show the file", tables.start[file], tables.ends[file])));
    try {
        out.push(facts(classFacts(await view.figures(file))));
    } catch (error) {
        out.push(make("p", {class: "p-sorry"}, error.message));
    }
    return out;
}

// ------------------------------------------------------------------------------------------------- search, links

function goTo(app, view, position) {
    app.goTo(spotOf(view.scene, view.index, position));
}

/** Item i of the names that are searched: files, then their parts. */
function found(scene, i) {
    const {parts} = scene.bytes, {start, ends, first, behind} = tablesOf(scene), k = i - scene.names.length;
    const from = k < 0 ? start[i] : first[k], to = k < 0 ? ends[i] : behind[k];
    const detail = k < 0 ? ["file", sizeText(to - from)]
        : [parts.dtype[k] || "header", ...parts.dtype[k] ? [formatShape(parts.shape[k])] : [], scene.names[parts.file[k]]];
    return {name: k < 0 ? scene.names[i] : parts.name[k], detail, go: (app, view) => {
        if (to <= from) return;
        app.store.set({selection: spotOf(scene, view.index, from)});
        app.camera.fit(rectOf(scene, from, to));
    }};
}

/** "0x1f40", or a number: that byte, of the file that is selected, else of all. */
function typedOffset(app, view, typed) {
    const text = typed.trim(), {scene} = view, {start, ends} = tablesOf(scene);
    if (!/^(0x[0-9a-f]{1,13}|\d{1,15})$/i.test(text)) return [];
    const {selection} = app.store.get(), at = selection ? placeOfByte(scene, positionOf(scene, selection)) : null;
    const file = at?.file ?? 0, position = start[file] + Number(text);
    if (position >= ends[file]) return [];
    return [{name: `byte ${text}`, detail: [scene.names[file]], go: () => goTo(app, view, position)}];
}

// --------------------------------------------------------------------------------------------------- the picture

function outlineOf(scene, key, from, to) {
    const {outlines} = tablesOf(scene);
    let known = outlines.get(key);
    if (!known) {
        if (outlines.size > KEPT) outlines.clear();
        outlines.set(key, known = outline(scene.bytes.order, from, to));
    }
    return known;
}

/** Files or parts that are seen and large enough: [index, from, to][]. */
function seenOf(runs, starts, ends, least) {
    const out = [];
    let done = -1;
    for (const [from, to] of runs)
        for (let i = Math.max(done + 1, lastAt(starts, from), 0); i < starts.length && starts[i] < to; i++) {
            done = i;
            if (ends[i] > from && ends[i] - starts[i] >= least) out.push([i, starts[i], ends[i]]);
            if (out.length >= MOST) return out;
        }
    return out;
}

function trace(pen, shape) {
    const {c, x, y, inner} = pen;
    for (const [at, a, b] of shape.across) {
        const py = y(at), x0 = x(a), x1 = x(b);
        if (py < inner.y0 - 4 || py > inner.y1 + 4 || x1 < inner.x0 || x0 > inner.x1 || x1 - x0 < 0.4) continue;
        c.moveTo(Math.max(x0, inner.x0 - 4), py);
        c.lineTo(Math.min(x1, inner.x1 + 4), py);
    }
    for (const [at, a, b] of shape.down) {
        const px = x(at), y0 = y(a), y1 = y(b);
        if (px < inner.x0 - 4 || px > inner.x1 + 4 || y1 < inner.y0 || y0 > inner.y1 || y1 - y0 < 0.4) continue;
        c.moveTo(px, Math.max(y0, inner.y0 - 4));
        c.lineTo(px, Math.min(y1, inner.y1 + 4));
    }
}

function stroke(pen, shapes, layers) {
    const {c, dpr} = pen;
    if (!shapes.length) return;
    c.lineCap = "square";
    c.beginPath();
    for (const shape of shapes) trace(pen, shape);
    for (const [style, width] of layers) {
        c.strokeStyle = style;
        c.lineWidth = width * dpr;
        c.stroke();
    }
    c.lineCap = "butt";
}

/** The square of a run that shows most of it in the pane, as a rectangle of the stage. */
function roomOf(pen, scene, shape, from, to) {
    const {x, y, inner, scale} = pen, rect = ({x: a, y: b, side}) => ({x0: x(a), y0: y(b), x1: x(a + side), y1: y(b + side)});
    const size = (r) => Math.max(0, Math.min(r.x1, inner.x1) - Math.max(r.x0, inner.x0)) *
        Math.max(0, Math.min(r.y1, inner.y1) - Math.max(r.y0, inner.y0));
    const whole = rect(shape.largest);
    if (size(whole) >= 0.5 * (shape.largest.side * scale) ** 2) return whole;
    const {order} = scene.bytes, each = 4 ** order, best = {r: whole, size: size(whole)};
    for (let slice = Math.floor(from / each); slice * each < to; slice++)
        for (const [x0, y0, side] of squaresOf(order, Math.max(0, from - slice * each), Math.min(each, to - slice * each))) {
            const r = rect({x: slice * 2 ** order + x0, y: y0, side}), here = size(r);
            if (here > best.size) Object.assign(best, {r, size: here});
        }
    return best.r;
}

function squaresOf(order, from, to) {
    const out = [];
    squares(order, from, to, (...square) => out.push(square));
    return out;
}

/** Outlines and names of files, and of what is in them. */
function overlay(pen, scene) {
    const {order} = scene.bytes, {start, ends, first, behind} = tablesOf(scene), {area, scale, dpr, ink} = pen;
    const side = 2 ** order, runs = [];
    for (let slice = 0; slice < scene.places.n; slice++)
        runs.push(...runsIn(order, {x0: area.x - slice * side, x1: area.x + area.w - slice * side, y0: area.y,
            y1: area.y + area.h}, 24 * dpr / scale).map(([a, b]) => [a + slice * 4 ** order, b + slice * 4 ** order]));
    const least = LEAST * (dpr / scale) ** 2;
    const parts = seenOf(runs, first, behind, least), files = seenOf(runs, start, ends, least / 4);
    const shapes = (list, kind) => list.map(([i, from, to]) => outlineOf(scene, `${kind}${i}`, from, to));
    const partShapes = shapes(parts, "p"), fileShapes = shapes(files, "f");
    stroke(pen, partShapes, [[ink.seam, 1]]);
    if (scene.names.length > 1) stroke(pen, fileShapes, [[ink.chip, 4], [ink.text, 1.6]]);
    const font = pen.font(12, 650), thin = pen.font(11, 500), small = pen.font(10);
    const write = (list, outlines, lines) => list.forEach(([i, from, to], k) => {
        const r = roomOf(pen, scene, outlines[k], from, to), right = pen.x(outlines[k].box.x1);
        if (outlines === fileShapes) r.x1 = Math.max(r.x1, Math.min(right, r.x0 + 220 * dpr)); // names may reach out
        if (r.x1 - r.x0 < 36 * dpr || r.y1 - r.y0 < 16 * dpr) return;
        for (const tried of lines(i, to - from)) if (pen.plate(r, tried, {share: 0.3})) return;
    });
    const base = (name) => name.split("/").at(-1);
    write(files, fileShapes, (i, n) => [
        ...shortTitle(scene.names[i]) === scene.names[i] ? [[{text: scene.names[i], font},
            {text: sizeText(n), font: small, faint: true}]] : [],
        [{text: base(scene.names[i]), font}, {text: sizeText(n), font: small, faint: true}],
        [{text: base(scene.names[i]), font}]]);
    const short = (name) => name.replace(/\.weight$/, "").split(".").slice(-2).join(".");
    write(parts, partShapes, (i) => {
        const {name, dtype, shape} = scene.bytes.parts;
        const more = {text: dtype[i] ? `${formatShape(shape[i])} ${dtype[i]}` : "header", font: small, faint: true};
        return [[{text: name[i], font: thin}, more], [{text: short(name[i]), font: thin}, more],
            [{text: short(name[i]), font: thin}], [{text: short(name[i]).split(".").at(-1), font: thin}]];
    });
}

// ------------------------------------------------------------------------------------------------- legend, choices

function ticks(mode) {
    if (mode.name === "classes")
        return [["control", 15.5], ["text (ASCII)", 78.5], ["high", 183]].map(([text, at]) => ({at: at / 240, value: NaN, text}));
    if (mode.name === "entropy") return [0, 2, 4, 6, 8].map((v) => ({at: v / 8, value: v, text: String(v)}));
    return [0, 64, 128, 192, 255].map((v) => ({at: v / 256, value: v, text: String(v)}));
}

function sentence(app, mode) {
    const {plane} = app.store.get();
    const many = {main: "the most common one", mean: "their mean", min: "the least", max: "the largest"}[plane];
    if (mode.name === "entropy") return "Entropy of 256 bytes, in bits a byte; random ones have 7.2";
    return mode.name === "classes" ? `Kind of byte; of many bytes ${many}` : `Value of a byte; of many ${many}`;
}

/** Colours of entropy are of its plane, and no others; kinds of a mean would be none that is there. */
function couple(app) {
    const {store} = app;
    const fits = ({mode, plane}) => (mode === "entropy") === (plane === "entropy");
    let before = {mode: store.get("mode"), plane: store.get("plane")};
    const there = (plane) => app.views[0].scene.planes.includes(plane); // an export may lack some
    store.subscribe(["mode", "plane"], (state) => {
        const {mode, plane} = state, turned = mode !== before.mode, both = turned && plane !== before.plane;
        before = {mode, plane};
        if ((turned && !both || both && !fits(state)) && plane !== PLANE_OF[mode] && there(PLANE_OF[mode])) store.set({plane: PLANE_OF[mode]});
        else if (!turned && !fits(state)) {
            before.mode = plane === "entropy" ? plane : plane === "main" ? "classes" : "value"; // keeps the plane
            store.set({mode: before.mode});
        }
    });
}

/** @type {import("scruple/shows.mjs").Show} */
export const bytes = {
    mode: "classes", plane: "main", scales: false, filters: false, rulers: false, windows: ["entropy"], details: "Byte", find: "Find a file, a tensor or 0x1f40",
    swatches: [["zero", "0", ["classes"]], [239, "255", ["classes"]], ["waiting", "not read yet"], ["unknown", "cannot be read"]],
    where, read, sentence, ticks, extra, panel, found, typedOffset, overlay, name: nameOf, mount: couple,
    numberWidth: 22, number: (v, mode) => mode === "entropy" ? formatValue(v, 3) : hex(v),
    click: "select the byte", examples: "names, \u201c0x1f40\u201d",
    about: "Every pixel is a byte, or says something of a run of them: the most common kind, their mean, and so on, as chosen above.",
    allNames: (scene) => [...scene.names, ...scene.bytes.parts.name],
    link: (scene, spot) => ({o: `0x${hex(positionOf(scene, spot), 1)}`}),
    spot: (scene, view, {o}) => o < scene.bytes.total ? spotOf(scene, view, o) : null,
};
