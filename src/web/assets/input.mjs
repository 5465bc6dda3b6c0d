// SPDX-License-Identifier: Apache-2.0
// input: mouse, touch and keyboard.

import {modesOf, showOf} from "scruple/shows.mjs";
import {isCompared} from "scruple/compare.mjs";

/** Which key does what. */
export class Keys {
    constructor() {
        /** @type {{keys: string[], help: string, fn: function(KeyboardEvent): void}[]} */
        this.list = [];
    }

    /**
     * Calls fn(event) when one of the keys is pressed and no text is being written.
     * @param {string|string[]} keys  as KeyboardEvent.key has them, with "Ctrl+" or "Shift+" before
     *   where those are held with keys that write nothing ("Shift+ArrowLeft")
     * @param {string} help           for the list of keys
     */
    bind(keys, help, fn) {
        this.list.push({keys: [].concat(keys), help, fn});
    }

    /** Does what a key is bound to; true: something. */
    press(event) {
        const writes = event.target?.closest?.("input, textarea, select, [contenteditable]");
        if (writes && event.key !== "Escape")
            return false;
        const held = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") +
            (event.shiftKey && event.key.length > 1 ? "Shift+" : "");
        const found = this.list.find((entry) => entry.keys.includes(held + event.key));
        if (!found)
            return false;
        event.preventDefault();
        found.fn(event);
        return true;
    }
}

const CLICK = 4;       // CSS pixels that a click may move
const LINE_PIXELS = 33; // of a wheel that counts lines
const NOTCH = 100;     // pixels of a wheel for one step of zoom
const PULL = 10;       // CSS pixels around the divider that take hold of it

/** Mouse and touch on the stage. */
class Pointers {
    constructor(app) {
        this.app = app;
        this.down = new Map(); // by pointer: {x, y} in device pixels
        this.moved = 0;
        const el = app.elements.stage;
        const on = (name, fn, options) => el.addEventListener(name, fn.bind(this), options);
        on("pointerdown", this.#press);
        on("pointermove", this.#move);
        on("pointerup", this.#release);
        on("pointercancel", this.#release);
        on("pointerleave", () => this.down.size || app.readout.leave());
        on("wheel", this.#wheel, {passive: false});
        on("dblclick", this.#twice);
        on("contextmenu", (event) => event.preventDefault());
    }

    /** Device pixels of the stage. */
    #at(event) {
        const box = this.app.elements.stage.getBoundingClientRect();
        const {width, height} = this.app.store.get("size");
        return {x: (event.clientX - box.left) * width / box.width,
            y: (event.clientY - box.top) * height / box.height};
    }

    /** From the middle of the picture that is at a point. */
    #fromMiddle({x, y}) {
        const pane = this.app.stage.paneAt(x, y);
        return pane ? {px: x - pane.x - pane.w / 2, py: y - pane.y - pane.h / 2} : {px: 0, py: 0};
    }

    #onDivider({x}) {
        const {compare, split, size} = this.app.store.get();
        return compare === "swipe" && isCompared(this.app) &&
            Math.abs(x - split * size.width) < PULL * size.dpr;
    }

    #press(event) {
        if (event.button > 1 || event.target.closest("button, input, a, [data-own-pointer]"))
            return;
        const at = this.#at(event);
        this.app.elements.stage.focus({preventScroll: true});
        this.app.elements.stage.setPointerCapture(event.pointerId);
        this.divider = this.down.size === 0 && this.#onDivider(at);
        this.down.set(event.pointerId, at);
        if (this.down.size === 1)
            this.moved = 0;
        event.preventDefault();
    }

    #middle() {
        const all = [...this.down.values()];
        const x = all.reduce((sum, p) => sum + p.x, 0) / all.length;
        const y = all.reduce((sum, p) => sum + p.y, 0) / all.length;
        const far = all.length < 2 ? 1 : Math.hypot(all[0].x - all[1].x, all[0].y - all[1].y);
        return {x, y, far: Math.max(far, 1)};
    }

    #move(event) {
        const {app} = this, at = this.#at(event);
        if (!this.down.has(event.pointerId)) {
            app.elements.stage.classList.toggle("on-divider", this.#onDivider(at));
            app.readout.over(at);
            return;
        }
        const before = this.#middle();
        const last = this.down.get(event.pointerId);
        this.moved += Math.hypot(at.x - last.x, at.y - last.y);
        this.down.set(event.pointerId, at);
        const after = this.#middle(), {size} = app.store.get();
        if (this.divider) {
            app.store.set({split: Math.min(Math.max(at.x / size.width, 0), 1)});
        } else if (this.down.size === 1) {
            if (this.moved > CLICK * size.dpr) {
                app.elements.stage.classList.add("held");
                app.camera.panBy(Math.round(after.x) - Math.round(before.x),
                    Math.round(after.y) - Math.round(before.y));
            }
        } else {
            const a = this.#fromMiddle(before), b = this.#fromMiddle(after);
            app.camera.pinch(a.px, a.py, b.px, b.py, -Math.log2(after.far / before.far));
        }
        if (this.moved > CLICK * size.dpr)
            app.readout.leave();
    }

    #release(event) {
        const {app} = this, fingers = this.down.size, at = this.#at(event);
        if (!this.down.delete(event.pointerId))
            return;
        app.elements.stage.classList.remove("held");
        if (fingers === 2) {
            const {px, py} = this.#fromMiddle(at);
            app.camera.release(px, py);
        }
        if (fingers !== 1 || event.type === "pointercancel")
            return;
        if (this.moved <= CLICK * app.store.get("size").dpr && !this.divider && event.button === 0)
            app.readout.select(at);
        else
            app.camera.release();
        if (event.pointerType === "mouse")
            app.readout.over(at);
    }

    #wheel(event) {
        event.preventDefault();
        const {px, py} = this.#fromMiddle(this.#at(event));
        const pixels = event.deltaY * (event.deltaMode === 1 ? LINE_PIXELS
            : event.deltaMode === 2 ? 400 : 1);
        // a touchpad's pinch comes as a wheel with Ctrl, and counts less
        const steps = pixels / (event.ctrlKey ? NOTCH / 5 : NOTCH);
        this.app.camera.wheelBy(Math.max(-1.5, Math.min(1.5, steps)), px, py);
    }

    #twice(event) {
        if (event.target.closest("button, input, a, [data-own-pointer]"))
            return;
        const {px, py} = this.#fromMiddle(this.#at(event));
        this.app.camera.zoomBy(event.shiftKey ? 2 : -2, px, py);
    }
}

/** The same place of the layer before or behind; blocks of a tower have one plan. */
function nextLayer(app, by) {
    const {scene} = app.front(), b = scene.boxes, {camera} = app;
    const selection = app.store.get("selection");
    const own = selection?.view === app.store.get("view") ? selection : null;
    const block = scene.kinds.indexOf("block");
    const at = {x: camera.end.x, y: camera.end.y};
    let best = -1, least = Infinity;
    const boxes = own ? scene.boxesAround(own.place).filter((i) => b.kind[i] === block) : [];
    if (boxes.length) {
        best = boxes[0];
    } else {
        for (let i = 0; i < b.n; i++) {
            const dx = Math.max(b.x[i] - at.x, at.x - b.x[i] - b.w[i], 0);
            const dy = Math.max(b.y[i] - at.y, at.y - b.y[i] - b.h[i], 0);
            if (b.kind[i] === block && dx * dx + dy * dy < least) {
                best = i;
                least = dx * dx + dy * dy;
            }
        }
    }
    if (best < 0)
        return;
    for (let i = 0; i < b.n; i++) {
        if (b.kind[i] !== block || b.parent[i] !== b.parent[best] || b.label[i] !== b.label[best] ||
            b.number[i] !== b.number[best] + by)
            continue;
        const dx = b.x[i] - b.x[best], dy = b.y[i] - b.y[best];
        camera.flyTo({x: at.x + dx, y: at.y + dy});
        const p = scene.places;
        const place = own ? scene.placeAt(p.x[own.place] + dx, p.y[own.place] + dy) : -1;
        if (place >= 0)
            app.store.set({selection: {...own, place, tensor: p.tensor[place],
                slice: p.slice[place],
                row: own.row === null ? null : Math.min(own.row, p.rows[place] - 1),
                col: own.col === null ? null : Math.min(own.col, p.cols[place] - 1)}});
        return;
    }
}

/** The selected element, one further along an axis; false: none is selected. */
function nudge(app, rows, cols) {
    const spot = app.store.get("selection");
    if (!spot || spot.row === null)
        return false;
    const p = app.views[spot.view].scene.places;
    const row = Math.min(Math.max(spot.row + rows, 0), p.rows[spot.place] - 1);
    const col = Math.min(Math.max(spot.col + cols, 0), p.cols[spot.place] - 1);
    app.store.set({selection: {...spot, row, col}});
    app.show(app.store.get("selection"));
    return true;
}

function bindKeys(app) {
    const {keys, camera, store} = app;
    const slide = (dx, dy, share) => () => {
        const {width, height} = camera.pane, step = Math.min(width, height) * share;
        camera.slideBy(dx * step, dy * step);
    };
    const turn = (key, values) => () => {
        const list = values(), at = list.indexOf(store.get(key));
        store.set({[key]: list[(at + 1) % list.length]});
    };
    for (const [name, dx, dy] of [["ArrowLeft", 1, 0], ["ArrowRight", -1, 0], ["ArrowUp", 0, 1],
        ["ArrowDown", 0, -1]]) {
        const word = name.slice(5).toLowerCase();
        keys.bind(name, `look further ${word}`, slide(dx, dy, 0.2));
        keys.bind(`Shift+${name}`, `select the next element ${word}, or look much further`,
            () => nudge(app, -dy, -dx) || slide(dx, dy, 0.8)());
    }
    keys.bind(["+", "="], "closer", () => camera.zoomBy(-1));
    keys.bind(["-", "_"], "farther", () => camera.zoomBy(1));
    keys.bind(["0", "Home"], "all of it", () => app.fit());
    keys.bind("1", "one pixel an element", () => app.oneToOne());
    keys.bind("Enter", "to what is selected", () => {
        const spot = store.get("selection");
        if (spot)
            app.goTo(spot);
    });
    const {scene} = app.views[0], show = showOf(scene);
    if (scene.boxes.kind.includes(scene.kinds.indexOf("block"))) {
        keys.bind("[", "the same place of the layer before", () => nextLayer(app, -1));
        keys.bind("]", "the same place of the next layer", () => nextLayer(app, 1));
    }
    keys.bind("m", "next colour mode", turn("mode", () => modesOf(app.colours, app.front().scene).map((m) => m.name)));
    if (show.planes)
        keys.bind("p", "what a pixel of many elements shows", turn("plane", () => app.front().scene.planes));
    if (show.scales)
        keys.bind("k", "whose scale the colours have", turn("scaleOf", () => ["tensor", "role", "model"]));
    keys.bind("d", "dark or light", () => store.set({ground: store.get("dark") ? "light" : "dark"}));
    keys.bind("l", "names on or off", () => store.set({labels: !store.get("labels")}));
    keys.bind("Escape", "select nothing", () => store.set({selection: null}));
    if (app.views.length < 2)
        return;
    keys.bind("c", "how two models are compared", turn("compare",
        () => ["none", "side", "swipe", "blink"]));
    keys.bind("v", app.views.length > 2 ? "the differences, A, B" : "the other model",
        () => app.lookAt((store.get("view") + 1) % app.views.length));
}

/** Makes the stage listen. */
export function attachInput(app) {
    app.pointers = new Pointers(app);
    bindKeys(app);
    document.addEventListener("keydown", (event) => {
        if (!event.defaultPrevented && !event.altKey)
            app.keys.press(event);
    });
}
