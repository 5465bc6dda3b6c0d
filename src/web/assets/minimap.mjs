// SPDX-License-Identifier: Apache-2.0
// minimap: all of the picture, and what part of it is seen. A press or a drag moves there.
import {make, soon} from "scruple/dom.mjs";
import {card, isNarrow} from "scruple/frame.mjs";
import {showOf} from "scruple/shows.mjs";

const SIDE = 176;

/** How large the map of a scene is, in CSS pixels. */
function sizeOf({width, height}) {
    const scale = SIDE / Math.max(width, height, 1);
    return {scale, w: Math.max(8, Math.round(width * scale)), h: Math.max(8, Math.round(height * scale))};
}

/** What stands for the selection: its place, or the element where places are not what one looks for. */
function rectOf(scene, {place, row, col}) {
    if (row !== null && showOf(scene).name) return scene.pointOf(place, row, col);
    const {x, y, w, h} = scene.places;
    return {x: x[place], y: y[place], w: w[place], h: h[place]};
}

/** Over the picture, below at the right. */
function cornerOf(app) {
    const corner = make("div", {class: "corner p-corner-right", "data-own-pointer": ""});
    app.elements.stage.append(corner);
    return corner;
}

class Minimap {
    constructor(app) {
        this.app = app;
        this.canvas = make("canvas", {class: "p-map-canvas", tabindex: 0, role: "img",
            "aria-label": "Map of the whole picture; arrow keys move what is seen"});
        this.card = card(app, {id: "map", title: "Overview", key: "n", image: "map", host: cornerOf(app), open: !isNarrow()});
        this.card.body.append(this.canvas);
        this.canvas.addEventListener("pointerdown", (e) => this.press(e));
        this.canvas.addEventListener("pointermove", (e) => e.buttons & 1 && this.move(e));
        this.canvas.addEventListener("keydown", (e) => this.key(e));
        this.card.section.addEventListener("p-show", () => this.redraw());
        this.frame = soon(() => this.drawFrame());
        this.redraw = soon(() => {
            this.drawGround();
            this.drawFrame();
        });
    }

    get colours() {
        const style = getComputedStyle(this.card.section), of = (name) => style.getPropertyValue(name).trim() || "#888";
        return {ground: of("--p-map-ground"), ink: of("--p-map-ink"), dim: of("--p-map-dim"), block: of("--p-map-block"),
            accent: of("--p-accent")};
    }

    drawGround() {
        const {scene} = this.app.front(), {scale, w, h} = sizeOf(scene), ratio = devicePixelRatio || 1;
        this.scale = scale * ratio;
        this.canvas.width = Math.round(w * ratio);
        this.canvas.height = Math.round(h * ratio);
        this.canvas.style.width = `${w}px`;
        this.canvas.style.height = `${h}px`;
        this.ground = document.createElement("canvas");
        this.ground.width = this.canvas.width;
        this.ground.height = this.canvas.height;
        this.drawShapes(this.ground.getContext("2d"), scene);
    }

    drawShapes(context, scene) {
        const {ground, ink, dim, block} = this.colours, {boxes, places} = scene, s = this.scale;
        const filter = this.app.store.get("filter")[this.app.store.get("view")];
        const rect = ({x, y, w, h}, i, least) =>
            context.fillRect(x[i] * s, y[i] * s, Math.max(least, w[i] * s), Math.max(least, h[i] * s));
        context.fillStyle = ground;
        context.fillRect(0, 0, context.canvas.width, context.canvas.height);
        context.fillStyle = block;
        for (let i = 0; i < boxes.n; i++) if (scene.kinds[boxes.kind[i]] === "block") rect(boxes, i, 1);
        for (const [wanted, colour] of [[0, dim], [1, ink]]) {
            context.fillStyle = colour;
            for (let i = 0; i < places.n; i++) if ((filter ? filter[i] : 1) === wanted) rect(places, i, 0.6);
        }
    }

    drawFrame() {
        if (!this.card.shown()) return;
        if (!this.ground) this.drawGround();
        const {camera, size, selection, view, compare, split} = this.app.store.get(), s = this.scale;
        const context = this.canvas.getContext("2d");
        const {scene} = this.app.front(), line = Math.max(1, Math.round(devicePixelRatio || 1)) * 1.5;
        context.drawImage(this.ground, 0, 0);
        context.fillStyle = context.strokeStyle = this.colours.accent;
        if (selection?.view === view) {
            const r = rectOf(scene, selection), least = 3 * line;
            context.fillRect(r.x * s, r.y * s, Math.max(least, r.w * s), Math.max(least, r.h * s));
        }
        const share = compare === "side" ? (view === 0 ? split : 1 - split) : 1;
        const unit = 2 ** camera.z * s;
        const w = Math.max(4 * line, size.width * share * unit), h = Math.max(4 * line, size.height * unit);
        const x0 = Math.max(0, camera.x * s - w / 2), y0 = Math.max(0, camera.y * s - h / 2);
        const x1 = Math.min(this.canvas.width, camera.x * s + w / 2), y1 = Math.min(this.canvas.height, camera.y * s + h / 2);
        context.lineWidth = line;
        context.strokeRect(x0 + line / 2, y0 + line / 2, Math.max(line, x1 - x0 - line), Math.max(line, y1 - y0 - line));
    }

    press(event) {
        this.canvas.setPointerCapture(event.pointerId);
        this.move(event);
        event.preventDefault();
        this.canvas.focus({preventScroll: true});
    }

    move(event) {
        const box = this.canvas.getBoundingClientRect(), {scene} = this.app.front();
        this.app.camera.jump({x: (event.clientX - box.left) / box.width * scene.width,
            y: (event.clientY - box.top) / box.height * scene.height});
    }

    key(event) {
        const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
        if (!way) return;
        const {camera} = this.app.store.get(), {scene} = this.app.front();
        this.app.camera.jump({x: camera.x + way[0] * scene.width / 16, y: camera.y + way[1] * scene.height / 16});
        event.preventDefault();
        event.stopPropagation();
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const map = new Minimap(app);
    app.store.subscribe(["camera", "size", "selection", "compare", "split"], () => map.frame());
    app.store.subscribe(["dark", "view", "filter"], () => map.redraw());
    map.redraw();
}
