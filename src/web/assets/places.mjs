// SPDX-License-Identifier: Apache-2.0
// places: words for where something stands, what stands there in the neighbours, and flying to boxes.

/** Where a place stands, from the outside to the inside: [{box, name}]. */
export function crumbs(scene, place) {
    return scene.boxesAround(place).reverse().filter((box) => scene.boxName(box))
        .map((box) => ({box, name: scene.boxName(box)}));
}

/** "layer 3, expert 12" of a place; empty for what is in none. */
export function whereText(scene, place) {
    const parts = [];
    for (const box of scene.boxesAround(place).reverse()) {
        const kind = scene.kinds[scene.boxes.kind[box]], number = scene.boxes.number[box];
        if (number < 0) continue;
        if (kind === "block") parts.push(`layer ${number}`);
        if (kind === "expert") parts.push(`expert ${number}`);
    }
    return parts.join(", ");
}

/**
 * The place at the same point of a neighbour: of the next or last layer or expert that there is.
 * @param {"block"|"expert"} kind
 * @param {number} step 1 or -1
 * @returns {{place: number, number: number}|null}
 */
export function neighbour(scene, place, kind, step) {
    const {boxes, places} = scene;
    const home = scene.boxesAround(place).find((box) => scene.kinds[boxes.kind[box]] === kind);
    if (home === undefined) return null;
    let best = -1;
    for (let box = 0; box < boxes.n; box++) {
        if (boxes.parent[box] !== boxes.parent[home] || boxes.kind[box] !== boxes.kind[home]) continue;
        const ahead = (boxes.number[box] - boxes.number[home]) * step;
        if (ahead > 0 && (best < 0 || ahead < (boxes.number[best] - boxes.number[home]) * step)) best = box;
    }
    if (best < 0) return null;
    const x = boxes.x[best] + places.x[place] - boxes.x[home], y = boxes.y[best] + places.y[place] - boxes.y[home];
    const there = scene.placeAt(x, y);
    const same = there >= 0 && places.x[there] === x && places.y[there] === y;
    return same ? {place: there, number: boxes.number[best]} : null;
}

/** A spot of a place, for goTo(). */
export function spotOf(app, view, place, row = null, col = null) {
    const {places} = app.views[view].scene;
    return {view, tensor: places.tensor[place], place, slice: places.slice[place], row, col};
}

/** Flies to a box, so that all of it is seen. */
export function flyToBox(app, view, box) {
    const {x, y, w, h} = view.scene.boxes;
    if (app.store.get("view") !== view.index) app.store.set({view: view.index});
    app.camera.flyTo({x: x[box] + w[box] / 2, y: y[box] + h[box] / 2, z: app.camera.fitZoom(w[box], h[box])});
}
