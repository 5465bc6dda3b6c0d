// SPDX-License-Identifier: Apache-2.0
// title: which model this is; and the buttons for all of it and for a picture in a file.
import {make} from "scruple/dom.mjs";
import {addToBar, announce, iconButton, shortTitle, toolbar} from "scruple/frame.mjs";

async function saveShot(app) {
    const plain = shortTitle(app.front().title).replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[.-]+|-+$/g, "");
    const name = plain.slice(0, 80) || "weights";
    app.save(await app.shot(), `${name}.png`);
    announce("A picture was saved.");
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const text = make("span"), heading = make("h1", {class: "p-title"}, text);
    const show = () => {
        const {title} = app.front();
        text.textContent = shortTitle(title);
        heading.title = title;
        document.title = `${shortTitle(title)} \u2013 scruple`;
    };
    heading.hidden = app.views.length > 1; // then a button says which one is in front
    addToBar(app, heading);
    app.store.subscribe("view", show);
    show();
    const shoot = () => saveShot(app).catch((error) => app.store.set({message: `No picture was saved: ${error.message}`}));
    toolbar(app).append(iconButton("all", "Show everything (0)", () => app.fit()),
        iconButton("shot", "Save what is seen as PNG (s)", shoot, {"aria-keyshortcuts": "s"}));
    app.keys.bind("s", "save what is seen as PNG", shoot);
}
