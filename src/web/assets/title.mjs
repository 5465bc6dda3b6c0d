// SPDX-License-Identifier: Apache-2.0
// title: which model this is; and the buttons for all of it and for a picture in a file.
import {make} from "scruple/dom.mjs";
import {addToBar, announce, iconButton, toolbar} from "scruple/frame.mjs";

async function saveShot(app) {
    const blob = await app.shot(), address = URL.createObjectURL(blob);
    const name = app.front().title.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[.-]+|-+$/g, "").slice(0, 80) || "weights";
    const link = make("a", {href: address, download: `${name}.png`});
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    announce("A picture was saved.");
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const text = make("span"), heading = make("h1", {class: "p-title"}, text);
    const show = () => {
        text.textContent = app.doc.title ?? app.front().title;
        heading.title = text.textContent;
    };
    addToBar(app, heading);
    app.store.subscribe("view", show);
    show();
    const shoot = () => saveShot(app).catch((error) => app.store.set({message: `No picture was saved: ${error.message}`}));
    toolbar(app).append(iconButton("all", "Show everything (0)", () => app.fit()), iconButton("shot", "Save what is seen as PNG (s)", shoot, {"aria-keyshortcuts": "s"}));
    app.keys.bind("s", "save what is seen as PNG", shoot);
}
