// SPDX-License-Identifier: Apache-2.0
// controls: what colours mean, what a pixel of many weights shows, whose scale it is, the ground, and how two
// models are compared.
import {make} from "scruple/dom.mjs";
import {addToBar, announce, iconButton, toolbar} from "scruple/frame.mjs";
import {planeText} from "scruple/readout.mjs";

const SCALES = [["tensor", "each tensor"], ["role", "each role"], ["model", "the model"]];
const COMPARES = [["none", "one"], ["side", "side by side"], ["swipe", "swipe"], ["blink", "blink"]];

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A list of choices that follows a value of the store and sets it; a key takes the next one. */
function choice(app, {state, label, keys, help, options, title}) {
    const {store} = app;
    const select = make("select", {id: `p-${state}`, title, "aria-keyshortcuts": keys[0],
        onchange: () => store.set({[state]: select.value})},
        options.map(([value, text]) => make("option", {value}, text)));
    const follow = () => {
        select.value = store.get(state);
    };
    const step = (by) => {
        const at = options.findIndex(([value]) => value === store.get(state));
        const [value, text] = options[(at + by + options.length) % options.length];
        store.set({[state]: value});
        announce(`${label}: ${text}`);
    };
    app.keys.bind(keys[0], help, () => step(1));
    if (keys[1]) app.keys.bind(keys[1], `${help}, backwards`, () => step(-1));
    store.subscribe(state, follow);
    follow();
    return make("label", {class: "p-choice"}, make("span", null, label), select);
}

function groundButton(app) {
    const {store} = app;
    const turn = () => store.set({ground: store.get("dark") ? "light" : "dark"});
    const row = toolbar(app), buttons = [["light", "Light ground (g)"], ["dark", "Dark ground (g)"]].map(([to, label]) =>
        iconButton(to, label, turn, {class: `p-button p-ground-${to}`, "aria-keyshortcuts": "g"}));
    row.append(...buttons);
    const follow = () => {
        buttons[0].hidden = !store.get("dark");
        buttons[1].hidden = store.get("dark");
    };
    store.subscribe(["ground", "dark"], follow);
    follow();
    app.keys.bind("g", "dark or light ground", turn);
}

function compareChoice(app) {
    return choice(app, {state: "compare", label: "Compare", keys: ["c", "C"], help: "next way to compare",
        title: "How the two models are shown", options: COMPARES});
}

function otherButton(app) {
    const {store, views} = app, turn = () => store.set({view: (store.get("view") + 1) % views.length});
    const button = make("button", {type: "button", class: "p-view", id: "p-view", "aria-keyshortcuts": "v",
        title: "Show the other model in front (v)", onclick: turn});
    const follow = () => {
        const {title, index} = app.front();
        button.replaceChildren(make("b", null, index ? "B" : "A"), " ", title);
    };
    store.subscribe("view", follow);
    follow();
    app.keys.bind("v", "the other model in front", turn);
    return button;
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const {scene} = app.views[0];
    const row = make("div", {class: "p-choices", role: "group", "aria-label": "What is shown"},
        choice(app, {state: "mode", label: "Colours", keys: ["m", "M"], help: "next meaning of colours",
            title: "What colours mean", options: app.colours.modes.map((mode) => [mode.name, capital(mode.label ?? mode.name)])}),
        choice(app, {state: "plane", label: "Pixel", keys: ["p", "P"], help: "next of: what a pixel of many weights shows",
            title: "What a pixel of many weights shows", options: scene.planes.map((plane) => [plane, capital(planeText(plane))])}),
        choice(app, {state: "scaleOf", label: "Scale of", keys: ["k", "K"], help: "next of: whose weights the ends of the colours are",
            title: "Whose weights the ends of the colours are", options: SCALES.map(([value, text]) => [value, capital(text)])}));
    if (app.views.length > 1) row.append(compareChoice(app), otherButton(app));
    addToBar(app, row);
    groundButton(app);
}
