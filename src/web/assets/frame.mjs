// SPDX-License-Identifier: Apache-2.0
// frame: what panels have in common: cards that come and go, buttons of the bar, copying.
import {icon, make} from "scruple/dom.mjs";

/** Strokes of the drawings on buttons, in a box of 16 x 16. */
export const ICONS = {
    search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.5 10.5 14 14",
    filter: "M2 3h12L9.5 8.5V13l-3-1.5v-3Z",
    details: "M2.5 2.5h11v11h-11ZM5 5.5h6M5 8h6M5 10.5h3.5",
    legend: "M2 6h12v4H2ZM5 10v3M8 10v3M11 10v3",
    changes: "M2 4h9M2 8h6M2 12h3M11 9.5h4M13 7.5v4",
    map: "M2.5 2.5h11v11h-11ZM7 7h5v4H7Z",
    dark: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6Z",
    light: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6ZM8 1v1.7M8 13.3V15" +
        "M1 8h1.7M13.3 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13",
    shot: "M2 5h3l1-1.7h4L11 5h3v8H2ZM8 6.6a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4Z",
    help: "M5.6 6.2a2.4 2.4 0 1 1 3.5 2.1C8.3 8.8 8 9.2 8 10M8 12.4v.6",
    close: "M4 4l8 8M12 4l-8 8",
    before: "M10 3 5 8l5 5",
    after: "M6 3l5 5-5 5",
    link: "M6.5 9.5l3-3M7.5 4.5 9 3a2.8 2.8 0 0 1 4 4l-1.5 1.5M8.5 11.5 7 13a2.8 2.8 0 0 1-4-4l1.5-1.5",
    copy: "M5.5 5.5h8v8h-8ZM3 10.5H2.5v-8h8V3",
    all: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
    more: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
};

/** A button with a drawing; `label` is what it does, in words. */
export function iconButton(name, label, onclick, more = {}) {
    return make("button", {type: "button", class: "p-button", title: label, "aria-label": label, onclick, ...more},
        icon(ICONS[name]));
}

/** The row of buttons at the end of the bar; made by who asks first. */
export function toolbar(app) {
    let row = app.elements.bar.querySelector(".p-tools");
    if (!row) {
        row = make("div", {class: "p-tools", role: "toolbar", "aria-label": "Panels"});
        app.elements.bar.append(row);
    }
    return row;
}

/** What a model is called where there is little room: the last part of a path. */
export function shortTitle(title) {
    return /^[./~]/.test(title) ? title.split("/").filter(Boolean).at(-1) ?? title : title;
}

/** Puts something into the bar, before its buttons. */
export function addToBar(app, node) {
    app.elements.bar.insertBefore(node, toolbar(app));
}

/**
 * A part of the page with a heading, which a button of the bar and a key bring and take away.
 * @param {import("scruple/main.mjs").App} app
 * @param {{id: string, title: string, key: string, image: string, host: HTMLElement, open: boolean}} options
 * @returns {{section: HTMLElement, body: HTMLElement, show: function(boolean): void, shown: function(): boolean}}
 */
export function card(app, {id, title, key, image, host, open}) {
    const body = make("div", {class: "p-body"});
    const heading = make("h2", {id: `p-${id}-title`, tabindex: -1}, title);
    const close = iconButton("close", `Hide: ${title}`, () => show(false, true));
    const section = make("section", {class: `p-card p-${id}`, id: `p-${id}`, "aria-labelledby": `p-${id}-title`},
        make("header", null, heading, close), body);
    const button = iconButton(image, `${title} (${key})`, () => show(section.hidden),
        {"aria-controls": `p-${id}`, "aria-keyshortcuts": key});
    function show(on, back = false) {
        section.hidden = !on;
        if (on) section.scrollIntoView({block: "nearest"});
        button.setAttribute("aria-expanded", String(on));
        if (!on && back) button.focus();
        section.dispatchEvent(new Event(on ? "p-show" : "p-hide"));
    }
    toolbar(app).append(button);
    host.append(section);
    app.keys.bind(key, `show or hide: ${title.toLowerCase()}`, () => {
        show(section.hidden);
        if (!section.hidden) heading.focus();
    });
    show(open);
    return {section, body, heading, show, shown: () => !section.hidden};
}

/** Whether the page is as narrow as a telephone: panels then cover the picture, so few are open. */
export function isNarrow() {
    return matchMedia("(max-width: 720px)").matches;
}

/** Says a sentence to whoever listens to the page instead of looking at it. */
export function announce(text) {
    let line = document.getElementById("p-announce");
    if (!line) {
        line = make("div", {id: "p-announce", class: "p-unseen", "aria-live": "polite"});
        document.body.append(line);
    }
    line.textContent = "";
    line.textContent = text;
}

function copyByHand(text) {
    const box = make("textarea", {class: "p-unseen", readonly: true});
    const before = document.activeElement;
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    before?.focus?.();
    return done;
}

/** Puts text on the clipboard; says so at the button for a moment. */
export async function copyText(text, button) {
    let done = false;
    try {
        await navigator.clipboard.writeText(text);
        done = true;
    } catch {
        done = copyByHand(text);
    }
    announce(done ? "Copied." : "This browser does not let pages copy.");
    button.dataset.said = done ? "copied" : "not allowed";
    setTimeout(() => delete button.dataset.said, 1500);
}

/** A name that can be broken at its dots; nothing of it is markup. */
export function nameNodes(name) {
    const nodes = [];
    for (const piece of name.split(/(?<=[./_])/)) {
        if (nodes.length) nodes.push(make("wbr"));
        nodes.push(piece);
    }
    return nodes;
}
