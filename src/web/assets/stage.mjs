// SPDX-License-Identifier: Apache-2.0
// stage: one picture after the other, only when something has changed, none of them slow.

import {panes, paneSize} from "scruple/compare.mjs";
import {Quads, Rects, Renderer} from "scruple/gl.mjs";
import {Labels} from "scruple/labels.mjs";
import {Painter} from "scruple/painter.mjs";
import {PanePicture, wanted} from "scruple/picture.mjs";

const PAINT_MS = 7; // of a frame, for colours of tiles

/** "rgb(…)" bytes as 0 to 1, with an alpha. */
function tint(app, entry, alpha = 1) {
    const {mode, dark} = app.store.get();
    const rgb = app.colours.palette(mode, dark), at = 3 * app.colours.special[entry];
    return [rgb[at] / 255, rgb[at + 1] / 255, rgb[at + 2] / 255, alpha];
}

/** The picture of all panes, on two canvases: values below, names above. */
export class Stage {
    /** @param {import("scruple/main.mjs").App} app */
    constructor(app) {
        this.app = app;
        this.canvas = document.createElement("canvas");
        this.overlay = document.createElement("canvas");
        this.canvas.className = "picture";
        this.overlay.className = "names";
        app.elements.stage.append(this.canvas, this.overlay);
        this.painter = new Painter(app.store.get(), app.colours);
        this.painter.paletteRow = (mode) => {
            const {dark} = app.store.get();
            return this.renderer.paletteRow(`${mode} ${dark}`, app.colours.palette(mode, dark));
        };
        this.labels = new Labels(app, this.overlay);
        this.quads = new Quads();
        this.rects = new Rects();
        this.asked = 0;
        this.complete = false;
        this.frames = 0; // drawn so far
        this.waiters = [];
        this.#begin();
        this.#watchSize();
    }

    #begin() {
        this.renderer = Renderer.on(this.canvas, {layers: this.#layers(),
            lost: () => this.app.store.set({message: "The picture is gone: the graphics card was " +
                "reset. It comes back by itself."}),
            restored: () => {
                this.app.store.set({message: null});
                this.painter.use(this.renderer);
                this.wake();
            }});
        if (!this.renderer)
            throw new Error("This page draws with WebGL 2, which this browser does not offer. " +
                "“scruple view --png FILE” draws the same picture into a file.");
        this.painter.use(this.renderer);
    }

    /** For the screen and what is around it, twice. */
    #layers() {
        const pixels = screen.width * screen.height * (devicePixelRatio || 1) ** 2;
        return Math.min(1024, Math.max(384, Math.ceil(pixels / 65536 * 4)));
    }

    /** Keeps the canvases at the pixels of the device, where the browser tells them, to the pixel. */
    #watchSize() {
        const take = (exact) => {
            const dpr = devicePixelRatio || 1, box = this.app.elements.stage.getBoundingClientRect();
            const whole = (css, told) => told && Math.abs(told - css * dpr) <= 1 ? told
                : Math.round(css * dpr);
            const width = whole(box.width, exact?.inlineSize);
            const height = whole(box.height, exact?.blockSize);
            if (width < 1 || height < 1)
                return;
            this.app.store.set({size: {width, height, dpr}});
            const pane = paneSize(this.app);
            this.app.camera.resize(pane.width, pane.height);
            this.wake();
        };
        take();
        const observer = new ResizeObserver((entries) =>
            take(entries.at(-1).devicePixelContentBoxSize?.[0]));
        try {
            observer.observe(this.canvas, {box: "device-pixel-content-box"});
        } catch {
            observer.observe(this.canvas);
        }
        const ofDevice = () => {
            take();
            matchMedia(`(resolution: ${devicePixelRatio}dppx)`)
                .addEventListener("change", ofDevice, {once: true});
        };
        ofDevice();
    }

    /** A picture is wanted. */
    wake() {
        if (!this.asked)
            this.asked = requestAnimationFrame((now) => this.#frame(now));
    }

    #frame(now) {
        this.asked = 0;
        this.app.camera.step(now);
        this.draw(performance.now() + PAINT_MS);
        if (this.app.camera.moving || !this.complete)
            this.wake();
        if (!this.busy)
            this.waiters.splice(0).forEach((done) => done());
    }

    /** Anything on its way, moving or left to do? */
    get busy() {
        return this.asked !== 0 || this.app.camera.moving || !this.complete ||
            this.app.views.some((view) => view.tiles.pending > 0 || view.pending > 0);
    }

    /** Nothing is. */
    settled() {
        this.wake();
        return new Promise((done) => this.waiters.push(done));
    }

    #wantTiles(all, plane) {
        for (const view of this.app.views) {
            const lists = all.filter((pane) => pane.view === view)
                .map((pane) => wanted(pane, plane));
            const needed = lists.flatMap(({list, needed}) => list.slice(0, needed));
            const more = lists.flatMap(({list, needed}) => list.slice(needed));
            if (lists.length || view.tiles.pending)
                view.tiles.want([...needed, ...more]);
        }
    }

    /** One picture now; colours of tiles are worked on until a time. */
    draw(until = Infinity) {
        const {app, renderer, painter} = this, state = app.store.get();
        if (renderer.lost || state.size.width < 1)
            return;
        const all = panes(app);
        this.panes = all;
        this.#wantTiles(all, state.plane);
        painter.begin();
        const pictures = all.map((pane) => new PanePicture(pane, state.plane, painter));
        for (const picture of pictures)
            picture.need();
        this.complete = painter.run(until);
        renderer.begin(state.size.width, state.size.height, tint(app, "outside"));
        for (const picture of pictures)
            this.#drawPane(picture, state);
        this.labels.draw(all, state);
        this.frames++;
    }

    #drawPane(picture, state) {
        const {app, renderer, quads, rects} = this, {pane} = picture, {clip} = pane;
        renderer.within(clip.x, clip.y, clip.w, clip.h);
        quads.n = rects.n = 0;
        const bare = picture.quads(quads);
        if (bare)
            picture.plainPlaces(rects, tint(app, "waiting"));
        picture.frames(rects, tint(app, "frame"));
        renderer.drawRects(rects);
        renderer.drawTiles(quads, app.colours.special.outside);
        const filter = state.filter[pane.view.index];
        if (filter) {
            rects.n = 0;
            picture.veil(rects, filter, tint(app, "outside", 0.82));
            renderer.drawRects(rects);
        }
    }

    /** The pane under a point of the stage (device pixels), or null. */
    paneAt(px, py) {
        return panes(this.app).find(({clip: c}) => px >= c.x && py >= c.y && px < c.x + c.w &&
            py < c.y + c.h) ?? null;
    }
}
