// SPDX-License-Identifier: Apache-2.0
// status: how far the statistics of overviews are.
import {make} from "scruple/dom.mjs";

function progressLine(app) {
    const fill = make("span", {class: "p-progress-fill"}), text = make("span", {class: "p-progress-text"});
    const host = make("div", {class: "p-progress", role: "progressbar", "aria-label": "Weights read for overviews",
        "aria-valuemin": 0, "aria-valuemax": 100, hidden: true}, fill, text);
    const show = () => {
        const list = app.store.get("progress"), done = list.reduce((sum, p) => sum + p.done, 0) / Math.max(1, list.length);
        const percent = Math.floor(done * 100);
        host.hidden = done >= 1;
        host.setAttribute("aria-valuenow", percent);
        text.textContent = `Overviews are from samples: ${percent} % read`;
        fill.style.transform = `scaleX(${Math.max(0.002, done)})`;
    };
    app.store.subscribe("progress", show);
    show();
    return host;
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    app.elements.stage.append(progressLine(app));
}
