// SPDX-License-Identifier: Apache-2.0
// Making elements. Text is text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else element.setAttribute(key, value === true ? "" : String(value));
    }
    element.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return element;
}

/**
 * An element of HTML. Attributes that begin with "on" are listeners; null, undefined and false are left out.
 * @param {string} tag
 * @param {object|null} attributes
 * @param {...(Node|string)} children
 */
export function make(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
}

/** A list of terms and what they are: [[term, what, title]]; what is not known is left out. */
export function facts(rows) {
    const shown = rows.filter((row) => row && row[1] !== null && row[1] !== undefined);
    return make("dl", {class: "p-facts"}, shown.map(([term, what, title]) =>
        make("div", title ? {title} : null, make("dt", null, term), make("dd", null, what))));
}

/** An element of SVG, as make(). */
export function draw(tag, attributes, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A drawing of a button: 16 x 16, strokes in the colour of its text. */
export function icon(path) {
    return draw("svg", {class: "p-icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false"},
        draw("path", {d: path}));
}

/** Once a frame at most, with the latest arguments. */
export function soon(work) {
    let asked = null;
    return (...args) => {
        if (!asked) requestAnimationFrame(() => {
            const latest = asked;
            asked = null;
            work(...latest);
        });
        asked = args;
    };
}

/** Only once nothing has come for `ms` milliseconds. */
export function later(work, ms) {
    let timer = 0;
    return (...args) => {
        clearTimeout(timer);
        timer = setTimeout(() => work(...args), ms);
    };
}
