// SPDX-License-Identifier: Apache-2.0
// permalink: the address of the page says what is seen, and what is seen follows the address.
import {later} from "scruple/dom.mjs";
import {parseLink, printLink} from "scruple/links.mjs";
import {modesOf, showOf} from "scruple/shows.mjs";

const COMPARES = ["none", "side", "swipe", "blink"], SCALES = ["tensor", "role", "model"];

/** What is seen, as a permalink. */
export function linkOf(app) {
    const {mode, plane, scaleOf, view, compare, camera, selection} = app.store.get();
    const link = {m: mode, p: plane, k: scaleOf, z: camera.z};
    if (app.source.first > 0) link.g = app.source.first;
    if (app.views.length > 1) Object.assign(link, {v: view, a: compare});
    if (selection && selection.view === view) {
        const {scene} = app.views[view];
        Object.assign(link, selection.row !== null && showOf(scene).link?.(scene, selection) || tensorLink(scene, selection));
        if (inMiddle(scene, selection, camera)) return printLink(link);
    }
    return printLink({...link, x: camera.x, y: camera.y});
}

function tensorLink(scene, {tensor, slice, row, col}) {
    return {t: scene.names[tensor], ...scene.placesOf(tensor).length > 1 ? {s: slice} : {}, ...row === null ? {} : {r: row, c: col}};
}

/** What a link goes to stands in the middle of the picture, but for a pixel or two. */
function inMiddle(scene, {place, row, col}, camera) {
    if (row === null) return false;
    const at = scene.pointOf(place, row, col), slack = 2 * 2 ** camera.z;
    return Math.abs(at.x + at.w / 2 - camera.x) <= slack + at.w && Math.abs(at.y + at.h / 2 - camera.y) <= slack + at.h;
}

function spotIn(app, view, link) {
    const {scene} = app.views[view], {t, s = 0, r, c} = link;
    if (link.o !== undefined) return showOf(scene).spot?.(scene, view, link) ?? null;
    const tensor = t === undefined ? -1 : scene.names.indexOf(t), place = tensor < 0 ? -1 : scene.placeOf(tensor, s);
    if (place < 0) return null;
    const fits = r < scene.places.rows[place] && c < scene.places.cols[place]; // false for what lacks
    return {view, tensor, place, slice: s, row: fits ? r : null, col: fits ? c : null};
}

function takeChoices(app, link) {
    const change = {}, {views, colours} = app;
    if (link.v < views.length) app.lookAt(link.v);
    const {scene} = app.front();
    if (modesOf(colours, scene).some((mode) => mode.name === link.m)) change.mode = link.m;
    if (scene.planes.includes(link.p)) change.plane = link.p;
    if (SCALES.includes(link.k)) change.scaleOf = link.k;
    if (views.length > 1 && COMPARES.includes(link.a)) change.compare = link.a;
    app.store.set(change);
}

/**
 * Shows what a link says; what it says wrongly is left as it is.
 * @returns {boolean} it says where to look
 */
export function follow(app, text, animate = false) {
    const link = parseLink(text);
    takeChoices(app, link);
    const spot = spotIn(app, app.store.get("view"), link);
    const placed = link.x !== undefined && link.y !== undefined, {z} = link;
    if (spot) app.goTo(spot, {animate: animate && !placed, select: true, ...z === undefined ? {} : {zoom: z}});
    if (placed) app.camera.jump({x: link.x, y: link.y, ...z === undefined ? {} : {z}});
    return spot !== null || placed;
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const write = later(() => {
        if (app.camera.moving) return write();
        const link = linkOf(app);
        if (link !== location.hash)
            try {
                history.replaceState(history.state, "", link);
            } catch {
                // a browser that has had enough of it for now
            }
    }, 300);
    app.link = () => new URL(linkOf(app), location.href).href;
    const first = location.hash.length > 1 ? location.hash : app.doc.start ?? "";
    if (first) follow(app, first);
    addEventListener("hashchange", () => {
        if (app.source.live && (parseLink(location.hash).g ?? 0) !== app.source.first) location.reload();
        else follow(app, location.hash, true);
    });
    app.store.subscribe(["camera", "selection", "mode", "plane", "scaleOf", "view", "compare"], write);
}
