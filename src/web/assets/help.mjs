// SPDX-License-Identifier: Apache-2.0
// help: which keys there are, and what this is.
import {make} from "scruple/dom.mjs";
import {iconButton, toolbar} from "scruple/frame.mjs";

const NAMES = {ArrowLeft: "\u2190", ArrowRight: "\u2192", ArrowUp: "\u2191", ArrowDown: "\u2193", " ": "Space", Escape: "Esc"};

/** How a key reads on its cap. */
export function keyText(key) {
    return key.split(/(?<=.)\+(?=.)/).map((part) => Object.hasOwn(NAMES, part) ? NAMES[part] : part).join(" + ");
}

const POINTER = [["Drag", "move the picture"], ["Wheel, pinch", "zoom; an element can be 128 pixels"],
    ["Click", "select the tensor and the element"], ["Double click", "zoom in there"]];

function rowsOf(list) {
    return list.map(([keys, help]) => make("tr", null, make("th", {scope: "row"}, keys), make("td", null, help)));
}

function keyRows(app) {
    const backwards = /^[MPKC]$/; // said with the key for forwards
    return app.keys.list.filter(({keys, help}) => help && !backwards.test(keys[0])).map(({keys, help}) =>
        [keys.flatMap((key, i) => [i ? " " : null, make("kbd", null, keyText(key))]), help]);
}

function build(app) {
    const close = iconButton("close", "Close", () => dialog.close());
    const table = make("table", {class: "p-keys"});
    const dialog = make("dialog", {class: "p-help", "aria-labelledby": "p-help-title",
        onclick: (e) => e.target === dialog && dialog.close()},
    make("header", null, make("h2", {id: "p-help-title"}, "Keys and pointer"), close), table,
    make("p", {class: "p-about"}, "Every pixel is a weight, or says something of those that it holds: their mean, their largest, and so on, " +
        "as chosen above. It is computed from values, never from colours. Nothing leaves this machine."),
    make("p", {class: "p-about"}, `scruple ${app.doc.scruple ?? ""}`));
    const open = () => {
        table.replaceChildren(make("tbody", null, ...rowsOf(keyRows(app)), ...rowsOf(POINTER)));
        dialog.showModal();
    };
    return {dialog, open};
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const {dialog, open} = build(app);
    app.elements.root.append(dialog);
    toolbar(app).append(iconButton("help", "Keys and help (?)", open, {"aria-haspopup": "dialog", "aria-keyshortcuts": "?", class: "p-button p-help-button"}));
    app.keys.bind("?", "this help", open);
}
