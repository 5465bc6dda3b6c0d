// SPDX-License-Identifier: Apache-2.0
// status: how far the statistics are, and what went wrong, as a sentence that stays out of the way.
import {make} from "scruple/dom.mjs";
import {iconButton} from "scruple/frame.mjs";

function progressLine(app) {
    const fill = make("span", {class: "p-progress-fill"}), text = make("span", {class: "p-progress-text"});
    const host = make("div", {class: "p-progress", role: "progressbar", "aria-label": "Weights read for overviews", "aria-valuemin": 0,
        "aria-valuemax": 100, hidden: true}, fill, text);
    const show = () => {
        const list = app.store.get("progress"), done = list.reduce((sum, p) => sum + p.done, 0) / Math.max(1, list.length);
        const percent = Math.floor(done * 100);
        host.hidden = done >= 1;
        host.setAttribute("aria-valuenow", percent);
        text.textContent = `Overviews are estimates while weights are read: ${percent} %`;
        fill.style.transform = `scaleX(${Math.max(0.002, done)})`;
    };
    app.store.subscribe("progress", show);
    show();
    return host;
}

function messageLine(app) {
    const text = make("span"), host = make("div", {class: "p-message", role: "status", hidden: true}, text,
        iconButton("close", "Dismiss", () => app.store.set({message: null})));
    const show = () => {
        const {message} = app.store.get();
        text.textContent = message ?? "";
        host.hidden = !message;
    };
    app.store.subscribe("message", show);
    show();
    return host;
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    app.elements.stage.after(progressLine(app), messageLine(app));
}
