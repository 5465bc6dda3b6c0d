// SPDX-License-Identifier: Apache-2.0
// help: which keys there are, and what this is.
import {make} from "scruple/dom.mjs";
import {iconButton, toolbar} from "scruple/frame.mjs";
import {showOf} from "scruple/shows.mjs";

const NAMES = {ArrowLeft: "\u2190", ArrowRight: "\u2192", ArrowUp: "\u2191", ArrowDown: "\u2193", " ": "Space", Escape: "Esc"};

/** How a key reads on its cap. */
export function keyText(key) {
    return key.split(/(?<=.)\+(?=.)/).map((part) => Object.hasOwn(NAMES, part) ? NAMES[part] : part).join(" + ");
}

const pointer = (click) => [["Drag", "move the picture"], ["Wheel, pinch", "zoom"], ["Click", click],
    ["Double click", "closer, with Shift farther"]];

/** What keys do: [[keys, words]]; arrows that do alike are one, and what is said with the key for forwards is left out. */
export function keyList(list) {
    const rows = new Map();
    for (const {keys, help} of list) {
        if (!help || /^[MPKC]$/.test(keys[0])) continue;
        const words = keys[0].includes("Arrow") ? help.replace(/ (left|right|up|down)\b/, "") : help;
        rows.set(words, [...rows.get(words) ?? [], ...keys]);
    }
    return [...rows].map(([words, keys]) => [keys, words]);
}

/** "Shift + left, right": what is held stands once. */
function capNodes(keys) {
    const held = keys.every((key) => key.startsWith("Shift+")) ? "Shift+" : "";
    const caps = keys.map((key) => make("kbd", null, keyText(key.slice(held.length))));
    return [...held ? [make("kbd", null, "Shift"), " + "] : [], ...caps.flatMap((cap, i) => [i ? " " : null, cap])];
}

function build(app) {
    const close = iconButton("close", "Close", () => dialog.close());
    const list = make("dl", {class: "p-keys"}), about = make("p", {class: "p-about"});
    const row = (keys, words) => make("div", null, make("dt", null, keys), make("dd", null, words));
    const dialog = make("dialog", {class: "p-help", "aria-labelledby": "p-help-title",
        onclick: (e) => e.target === dialog && dialog.close(), onkeydown: (e) => e.stopPropagation()},
    make("header", null, make("h2", {id: "p-help-title"}, "Keys and pointer"), close), list,
    about,
    make("p", {class: "p-about"}, `scruple ${app.doc.scruple ?? ""}`));
    const open = () => {
        const {click, about: words} = showOf(app.front().scene);
        about.textContent = `${words} The page talks to nobody but the server that it came from.`;
        list.replaceChildren(...pointer(click).map(([what, words]) => row(what, words)),
            ...keyList(app.keys.list).map(([keys, words]) => row(capNodes(keys), words)));
        dialog.showModal();
    };
    return {dialog, open};
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const {dialog, open} = build(app);
    app.elements.root.append(dialog);
    toolbar(app).append(iconButton("help", "Keys and help (?)", open, {"aria-haspopup": "dialog", "aria-keyshortcuts": "?"}));
    app.keys.bind("?", "this help", open);
}
