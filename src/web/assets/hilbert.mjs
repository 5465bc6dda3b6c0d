// SPDX-License-Identifier: Apache-2.0
// hilbert: the curve of src/picture/curve.h, and the outlines of runs of it. Positions may be beyond 2^32, so they
// are divided, never shifted.

const XS = [0, 0, 1, 1], YS = [0, 1, 1, 0], TURN = [1, 0, 0, 2];
const WHICH = [[0, 1], [3, 2]];

/** The corner of the four that is visited q-th in a square that lies as `state`. */
function corner(q, state) {
    const flip = state >> 1, a = XS[q] ^ flip, b = YS[q] ^ flip;
    return state === 1 || state === 2 ? [b, a] : [a, b];
}

/** {x, y} of a position in a square of 2^order a side. */
export function pointAt(order, position) {
    let x = 0, y = 0, state = 0;
    for (let level = order - 1; level >= 0; level--) {
        const q = Math.floor(position / 4 ** level) % 4, [dx, dy] = corner(q, state);
        x = 2 * x + dx;
        y = 2 * y + dy;
        state ^= TURN[q];
    }
    return {x, y};
}

/** The position of a point. */
export function positionAt(order, x, y) {
    let position = 0, state = 0;
    for (let level = order - 1; level >= 0; level--) {
        const side = 2 ** level, flip = state >> 1;
        const a = (Math.floor(x / side) & 1) ^ flip, b = (Math.floor(y / side) & 1) ^ flip;
        const q = state === 1 || state === 2 ? WHICH[b][a] : WHICH[a][b];
        position = 4 * position + q;
        state ^= TURN[q];
    }
    return position;
}

/** Calls fn(x, y, side) for the squares that positions from `from` up to `to` fill, in their order. */
export function squares(order, from, to, fn) {
    const walk = (x, y, level, state, begin) => {
        const n = 4 ** level;
        if (begin >= to || begin + n <= from) return;
        if (begin >= from && begin + n <= to) {
            fn(x, y, 2 ** level);
            return;
        }
        for (let q = 0; q < 4; q++) {
            const [dx, dy] = corner(q, state), half = 2 ** (level - 1);
            walk(x + dx * half, y + dy * half, level - 1, state ^ TURN[q], begin + q * n / 4);
        }
    };
    walk(0, 0, order, 0, 0);
}

/** Runs of positions whose squares touch a rectangle, as [from, to], in order; none finer than `least` a side. */
export function runsIn(order, rect, least) {
    const out = [];
    const walk = (x, y, level, state, begin) => {
        const side = 2 ** level, n = 4 ** level;
        if (x >= rect.x1 || x + side <= rect.x0 || y >= rect.y1 || y + side <= rect.y0) return;
        const inside = x >= rect.x0 && x + side <= rect.x1 && y >= rect.y0 && y + side <= rect.y1;
        if (inside || side <= least || level === 0) {
            const last = out.at(-1);
            if (last && last[1] === begin) last[1] = begin + n;
            else out.push([begin, begin + n]);
            return;
        }
        for (let q = 0; q < 4; q++) {
            const [dx, dy] = corner(q, state), half = side / 2;
            walk(x + dx * half, y + dy * half, level - 1, state ^ TURN[q], begin + q * n / 4);
        }
    };
    walk(0, 0, order, 0, 0);
    return out;
}

/** What remains of edges that squares share an even number of times: pairs of ends, line by line. */
function odd(lines) {
    const out = [];
    for (const [at, ends] of lines) {
        ends.sort((a, b) => a - b);
        let from = null;
        for (let i = 0; i + 1 < ends.length; i += 2) {
            if (ends[i] === ends[i + 1]) continue;
            if (from !== null && out.at(-1)[2] === ends[i]) out.at(-1)[2] = ends[i + 1];
            else out.push([at, ends[i], ends[i + 1]]);
            from = at;
        }
    }
    return out;
}

/**
 * The outline of a run in squares side by side, of 2^order a side each: {across: [y, x0, x1][], down: [x, y0, y1][], largest: {x, y, side}, box: {x0, y0, x1, y1}}.
 */
export function outline(order, from, to) {
    const across = new Map(), down = new Map(), box = {x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity};
    let largest = {x: 0, y: 0, side: 0};
    const add = (lines, at, a, b) => {
        if (!lines.has(at)) lines.set(at, []);
        lines.get(at).push(a, b);
    };
    const each = 4 ** order;
    const take = (offset) => (inside, y, side) => {
        const x = offset + inside;
        add(across, y, x, x + side);
        add(across, y + side, x, x + side);
        add(down, x, y, y + side);
        add(down, x + side, y, y + side);
        if (side > largest.side) largest = {x, y, side};
        box.x0 = Math.min(box.x0, x);
        box.y0 = Math.min(box.y0, y);
        box.x1 = Math.max(box.x1, x + side);
        box.y1 = Math.max(box.y1, y + side);
    };
    for (let slice = Math.floor(from / each); slice * each < to; slice++)
        squares(order, Math.max(0, from - slice * each), Math.min(each, to - slice * each), take(slice * 2 ** order));
    return {across: odd(across), down: odd(down), largest, box};
}
