// SPDX-License-Identifier: Apache-2.0
// controls: what colours mean, what a pixel of many weights shows, whose scale it is, the ground, and how two
// models are compared.
import {make} from "scruple/dom.mjs";
import {addToBar, announce, iconButton, shortTitle, toolbar} from "scruple/frame.mjs";
import {planeText} from "scruple/reading.mjs";
import {modesOf, showOf} from "scruple/shows.mjs";

const SCALES = [["tensor", "Scale of each tensor"], ["role", "Scale of each role"], ["model", "Scale of the model"]];
const COMPARES = [["none", "One model"], ["side", "Side by side"], ["swipe", "Swipe"], ["blink", "Blink"]];

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A list of choices that follows a value of the store and sets it; a key takes the next one, with Shift the last. */
function choice(app, {state, label, key, help, options}) {
    const {store} = app;
    const select = make("select", {id: `p-${state}`, class: "p-choice", title: `${label} (${key})`, "aria-label": label,
        "aria-keyshortcuts": key, onchange: () => store.set({[state]: select.value})},
    options.map(([value, text]) => make("option", {value}, text)));
    const follow = () => {
        select.value = store.get(state);
    };
    const back = () => {
        const at = options.findIndex(([value]) => value === store.get(state));
        store.set({[state]: options[(at + options.length - 1) % options.length][0]});
    };
    app.keys.bind(key.toUpperCase(), help, back);
    store.subscribe(state, () => {
        follow();
        announce(`${label}: ${select.selectedOptions[0]?.textContent ?? ""}`);
    });
    follow();
    return select;
}

function groundButton(app) {
    const {store} = app;
    const turn = () => store.set({ground: store.get("dark") ? "light" : "dark"});
    const buttons = [["light", "Light ground (d)"], ["dark", "Dark ground (d)"]].map(([to, label]) =>
        iconButton(to, label, turn, {"aria-keyshortcuts": "d", id: `p-ground-${to}`}));
    toolbar(app).append(...buttons);
    const follow = () => {
        const had = buttons.includes(document.activeElement);
        buttons[0].hidden = !store.get("dark");
        buttons[1].hidden = store.get("dark");
        if (had) buttons.find((button) => !button.hidden).focus();
    };
    store.subscribe(["ground", "dark"], follow);
    follow();
}

function compareChoice(app) {
    return choice(app, {state: "compare", label: "How the two models are compared", key: "c", help: "the way to compare before",
        options: COMPARES});
}

/** Which model is in front; pressed, the other one comes. */
function otherButton(app) {
    const {store} = app;
    const button = make("button", {type: "button", class: "p-view", id: "p-view", "aria-keyshortcuts": "v",
        onclick: () => app.lookAt(1 - store.get("view"))});
    const follow = () => {
        const {title, index} = app.front();
        button.title = `${title} is in front; show the other model (v)`;
        button.replaceChildren(make("span", {class: "p-side"}, index ? "B" : "A"), " ", shortTitle(title));
    };
    store.subscribe("view", follow);
    follow();
    return button;
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const {scene} = app.views[0], show = showOf(scene);
    const row = make("div", {class: "p-choices", role: "group", "aria-label": "What is shown"},
        choice(app, {state: "mode", label: "What colours mean", key: "m", help: "the colour mode before",
            options: modesOf(app.colours, scene).map((mode) => [mode.name, capital(mode.label ?? mode.name)])}),
        show.planes ? choice(app, {state: "plane", label: "What a pixel of many weights shows", key: "p", help: "the same, backwards",
            options: scene.planes.map((plane) => [plane, `Pixel: ${planeText(plane)}`])}) : null,
        show.scales ? choice(app, {state: "scaleOf", label: "Whose weights the ends of the colours are", key: "k", help: "the same, backwards",
            options: SCALES}) : null);
    if (app.views.length > 1) row.append(compareChoice(app), otherButton(app));
    addToBar(app, row);
    groundButton(app);
}
