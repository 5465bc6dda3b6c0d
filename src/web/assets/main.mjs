// SPDX-License-Identifier: Apache-2.0
// main: from an empty page to a picture with panels around it.
//
// The page holds nothing but its styles, the import map and this script. All else is made here.

import {Camera} from "scruple/camera.mjs";
import {Colours, Scales} from "scruple/colour.mjs";
import {Links, startBlinking} from "scruple/compare.mjs";
import {Keys, attachInput} from "scruple/input.mjs";
import {panels} from "scruple/panels.mjs";
import {Readout} from "scruple/readout.mjs";
import {Scene} from "scruple/scene.mjs";
import {parseLink} from "scruple/links.mjs";
import {firstLook, showOf} from "scruple/shows.mjs";
import {save, shoot} from "scruple/screenshot.mjs";
import {Stage} from "scruple/stage.mjs";
import {openSource} from "scruple/static.mjs";
import {createStore} from "scruple/store.mjs";
import {Tiles} from "scruple/tiles.mjs";

const SCALES_MS = 700; // between two questions for scales
const FIGURES = 4;     // of tensors, asked for at once

/**
 * One picture.
 * @typedef {object} View
 * @property {number} index
 * @property {string} title                                  any text
 * @property {import("scruple/scene.mjs").Scene} scene
 * @property {import("scruple/colour.mjs").Scales} scales
 * @property {import("scruple/tiles.mjs").Tiles} tiles
 * @property {function(number): Promise<object>} figures     of a tensor (protocol: `tensor`); kept
 *   until the scales change
 * @property {function(number): (Float32Array|null)} quantile  of a tensor; null while it is asked for
 * @property {function(number, number, number, number, AbortSignal=): Promise<object>} value
 *   tensor, slice, row, col: as the protocol's `value`
 */

/**
 * What panels and tests work with; also `window.scruple`.
 * @typedef {object} App
 * @property {ReturnType<typeof createStore>} store   see State in store.mjs
 * @property {object} doc                             view.json
 * @property {object} source                          see source.mjs
 * @property {import("scruple/colour.mjs").Colours} colours
 * @property {View[]} views
 * @property {import("scruple/compare.mjs").Links} links  the same element in another view
 * @property {{root: HTMLElement, bar: HTMLElement, stage: HTMLElement, side: HTMLElement,
 *   corner: HTMLElement}} elements  bar: above; stage: the picture; side: at the right, for panels
 *   that come and go; corner: over the stage, below at the left, for legend and minimap
 * @property {import("scruple/camera.mjs").Camera} camera
 * @property {import("scruple/stage.mjs").Stage} stage
 * @property {import("scruple/input.mjs").Keys} keys  keys.bind("f", "what it does", fn)
 * @property {function(import("scruple/store.mjs").Spot, {zoom?: number, animate?: boolean,
 *   select?: boolean}=): void} goTo  flies to an element (row, col) or a tensor (row null) and
 *   selects it
 * @property {function(import("scruple/store.mjs").Spot): void} show  moves only as far as needed
 * @property {function(boolean=): void} fit
 * @property {function(): void} oneToOne              the zoom at which an element is a pixel
 * @property {function(number): void} lookAt          another view comes to the front
 * @property {function(): Promise<Blob>} shot         a PNG of what is seen, with names
 * @property {function(Blob, string): void} save      offers a file for download
 * @property {function(): View} front                 the view that is in front
 * @property {function(): void} wake                  a new picture is wanted
 * @property {function(): Promise<void>} settled      nothing is on its way, nothing moves
 */

/** Asks at most `most` at a time. */
function limited(most) {
    let running = 0;
    const waiting = [];
    const next = () => {
        if (running >= most || !waiting.length)
            return;
        running++;
        const {job, done, fail} = waiting.shift();
        job().then(done, fail).finally(() => {
            running--;
            next();
        });
    };
    return (job) => new Promise((done, fail) => {
        waiting.push({job, done, fail});
        next();
    });
}

/** What is known of tensors of a view, asked for once. */
function addFigures(app, view) {
    const queue = limited(FIGURES);
    let kept = new Map();
    const quantiles = new Map(); // by tensor: {asked, values}
    view.pending = 0;
    view.figures = (tensor) => {
        if (!kept.has(tensor)) {
            view.pending++;
            kept.set(tensor, queue(() => app.source.tensor(view.index, tensor)).catch((error) => {
                kept.delete(tensor);
                throw error;
            }).finally(() => {
                view.pending--;
                app.wake();
            }));
        }
        return kept.get(tensor);
    };
    view.quantile = (tensor) => {
        const known = quantiles.get(tensor);
        if (known?.asked)
            return known.values;
        quantiles.set(tensor, {asked: true, values: known?.values ?? null});
        view.figures(tensor).then((figures) => {
            if (!figures.quantile)
                return;
            quantiles.set(tensor, {asked: true, values: Float32Array.from(figures.quantile)});
            view.look++;
        }, () => {});
        return known?.values ?? null;
    };
    // What was estimated is asked for again; until it comes, it is the best there is.
    view.forget = () => {
        kept = new Map();
        for (const known of view.scales.final ? quantiles.values() : [])
            known.asked = false;
    };
    view.value = (tensor, slice, row, col, signal) =>
        app.source.value(view.index, tensor, slice, row, col, signal);
}

/** Lets what is being learnt come into the picture. */
function follow(app, view) {
    let timer = 0;
    const renew = async () => {
        timer = 0;
        try {
            view.scales.update(await app.source.scales(view.index));
        } catch {
            return; // the next event asks again
        }
        view.look++;
        view.forget();
        app.store.set({scales: app.store.get("scales") + 1});
        app.wake();
    };
    view.stop = app.source.events?.(view.index, ({epoch, done}) => {
        const progress = [...app.store.get("progress")];
        progress[view.index] = {epoch, done};
        app.store.set({progress});
        view.tiles.renew(epoch);
        app.wake();
        if (!view.scales.final && (done >= 1 || !timer)) {
            clearTimeout(timer);
            timer = setTimeout(renew, done >= 1 ? 0 : SCALES_MS);
        }
    });
}

async function makeView(app, index) {
    const {source} = app;
    const [plan, scales] = await Promise.all([source.scene(index), source.scales(index)]);
    const scene = new Scene(plan);
    const view = {index, title: app.doc.views[index].title ?? scene.title, scene,
        scales: new Scales(scales, scene), look: 0, lastPlane: "mean"};
    scene.beside = app.doc.beside ?? null;
    view.tiles = new Tiles({source, view: index, scene, changed: () => app.wake(),
        dropped: (tile) => app.stage?.painter.drop(tile),
        trouble: (message) => {
            if (message || app.store.get("message") === view.trouble)
                app.store.set({message});
            view.trouble = message ?? undefined;
        }});
    addFigures(app, view);
    return view;
}

function element(name, className, parent, words = {}) {
    const made = document.createElement(name);
    made.className = className;
    for (const [key, value] of Object.entries(words))
        made.setAttribute(key, value);
    parent?.append(made);
    return made;
}

function makeElements(root) {
    const elements = {root, bar: element("header", "bar", root)};
    const body = element("div", "body", root);
    elements.stage = element("div", "stage", body, {tabindex: "0", role: "application",
        "aria-label": "The weights, each a pixel. Arrow keys move, plus and minus zoom."});
    elements.side = element("aside", "side", body);
    elements.corner = element("div", "corner", elements.stage, {"data-own-pointer": ""});
    elements.message = element("p", "message", elements.stage, {role: "status"});
    elements.message.hidden = true;
    return elements;
}

function watchGround(app) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const choose = () => {
        const {ground} = app.store.get();
        app.store.set({dark: ground === "auto" ? dark.matches : ground === "dark"});
    };
    const show = () => {
        document.documentElement.dataset.ground = app.store.get("dark") ? "dark" : "light";
        app.wake();
    };
    dark.addEventListener("change", choose);
    app.store.subscribe("ground", choose);
    app.store.subscribe("dark", show);
    choose();
    show();
}

function say(app) {
    app.store.subscribe("message", ({message}) => {
        app.elements.message.textContent = message ?? "";
        app.elements.message.hidden = !message;
    });
}

/** Mode and plane for another view: where it shows something else, those that it had last. */
function lookOf(app, from, to) {
    const {mode, plane} = app.store.get(), before = app.views[from].scene, {scene} = app.views[to];
    if (before.shows === scene.shows)
        return null;
    app.looks = {...app.looks, [before.shows]: {mode, plane}};
    return app.looks[scene.shows] ?? firstLook(app.colours, scene);
}

/** Ways to places. */
function addTravel(app) {
    const {store, camera} = app;
    const rectOf = (spot) => {
        const {scene} = app.views[spot.view], p = scene.places, i = spot.place;
        return spot.row === null ? {x: p.x[i], y: p.y[i], w: p.w[i], h: p.h[i]}
            : scene.pointOf(i, spot.row, spot.col);
    };
    const ownZoom = ({view, place}) => {
        const p = app.views[view].scene.places;
        return -Math.max(p.dx[place], p.dy[place]);
    };
    const complete = (spot) => {
        const {scene} = app.views[spot.view];
        const place = spot.place ?? scene.placeOf(spot.tensor, spot.slice ?? 0);
        return {slice: 0, row: null, col: null, ...spot, place};
    };
    app.front = () => app.views[store.get("view")];
    app.fit = (animate = true) => camera.fit(null, animate);
    app.goTo = (wanted, {zoom, animate = true, select = true} = {}) => {
        const spot = complete(wanted);
        if (spot.place < 0)
            return;
        app.lookAt(spot.view);
        const r = rectOf(spot), at = {x: r.x + r.w / 2, y: r.y + r.h / 2};
        if (spot.row === null && zoom === undefined)
            camera.fit(r, animate);
        else
            camera.flyTo({...at, z: zoom ?? Math.min(camera.end.z, ownZoom(spot) - 3)}, animate);
        if (select)
            store.set({selection: spot});
    };
    app.show = (spot) => {
        const r = rectOf(spot), {x, y, z} = camera.end, unit = 2 ** z;
        const {width, height} = camera.pane;
        const outside = (at, length, middle, size) => at < middle - size * 0.48 * unit ||
            at + length > middle + size * 0.48 * unit;
        if (outside(r.x, r.w, x, width) || outside(r.y, r.h, y, height))
            camera.flyTo({x: r.x + r.w / 2, y: r.y + r.h / 2, z});
        app.wake();
    };
    app.oneToOne = () => {
        const {scene, index} = app.front(), {x, y} = camera.end;
        const selection = store.get("selection");
        const place = scene.placeAt(x, y);
        if (selection?.view === index)
            app.goTo(selection, {zoom: ownZoom(selection)});
        else
            camera.zoomTo(place < 0 ? 0 : ownZoom({view: index, place}));
    };
    app.lookAt = (index) => {
        const view = store.get("view");
        if (index === view || !app.views[index])
            return;
        const there = app.links.camera(view, index, camera.end);
        store.set({view: index, ...lookOf(app, view, index)});
        camera.jump(there);
    };
}

function startState(doc, view, scene, colours) {
    return {view, compare: doc.views.length === 2 ? "side" : "none", split: 0.5,
        camera: {x: scene.width / 2, y: scene.height / 2, z: scene.top}, ...firstLook(colours, scene), scaleOf: "tensor", ground: "auto", dark: true, labels: true,
        hover: null, selection: null, filter: doc.views.map(() => null),
        progress: doc.views.map(() => ({epoch: 0, done: 1})), scales: 0,
        size: {width: 0, height: 0, dpr: 1}, message: null};
}

function redrawOn(app) {
    app.store.subscribe(["view", "compare", "split", "mode", "plane", "scaleOf", "labels",
        "selection", "filter", "scales"], () => app.wake());
    app.store.subscribe("plane", () => app.store.set({hover: null}));
}

/** What is shown on this page: a view that is apart, which the address names, or all others. */
function pageOf(doc, source) {
    const {g = 0} = parseLink(location.hash);
    if (source.live && doc.views[g]?.apart) {
        source.first = g;
        return {...doc, title: doc.views[g].title, views: [doc.views[g]], start: null};
    }
    const at = doc.views.findIndex((view) => view.apart);
    return {...doc, views: doc.views.filter((view) => !view.apart), beside: at < 0 ? null : at};
}

/**
 * Makes the page.
 * @param {HTMLElement} root
 * @param {object} source  a LiveSource, or another of its shape
 * @returns {Promise<App>}
 */
export async function start(root, source) {
    document.querySelector(".asleep")?.remove();
    const app = {source, elements: makeElements(root), keys: new Keys(), wake: () => {}};
    app.fail = (error) => {
        app.elements.message.textContent = error.message;
        app.elements.message.hidden = false;
        app.elements.message.classList.add("wrong");
    };
    try {
        const [whole, colours] = await Promise.all([source.viewJson(), source.colours()]);
        const doc = pageOf(whole, source);
        app.doc = doc;
        app.colours = new Colours(colours);
        document.title = doc.title;
        app.store = createStore({message: null});
        app.views = await Promise.all(doc.views.map((_, i) => makeView(app, i)));
        const first = Math.max(0, app.views.findIndex(({scene}) => scene.shows === "differences"));
        app.store = createStore(startState(doc, first, app.views[first].scene, app.colours));
        app.links = new Links(app.views);
        app.camera = new Camera(app.store, () => app.front().scene, () => app.wake());
        addTravel(app);
        app.stage = new Stage(app);
        app.wake = () => app.stage.wake();
        app.settled = () => app.stage.settled();
        app.shot = () => shoot(app);
        app.save = save;
        app.readout = new Readout(app);
        say(app);
        watchGround(app);
        redrawOn(app);
        startBlinking(app);
        attachInput(app);
        app.fit(false);
        for (const panel of panels)
            panel.mount(app);
        showOf(app.views[0].scene).mount?.(app);
        for (const view of app.views)
            follow(app, view);
        app.wake();
    } catch (error) {
        app.fail(error);
        throw error;
    }
    return app;
}

window.scruple = await start(element("main", "scruple", document.body), await openSource());
