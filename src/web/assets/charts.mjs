// SPDX-License-Identifier: Apache-2.0
// Strips of bars: histograms and profiles. Each is a slider, too: the arrow keys read it bar by bar, the
// pointer reads where it is, Enter or a click goes there.
import {draw, make} from "scruple/dom.mjs";

/** Outlines of bars of `heights` (0 to 1) as an SVG path in a box of n x 100. */
export function barsPath(heights, from = 0, to = heights.length) {
    let d = "", last = null;
    for (let i = from; i < to; i++) {
        const y = Math.round((1 - heights[i]) * 1000) / 10;
        if (last === null) d = `M${i} 100V${y}`;
        else if (y !== last) d += `V${y}`;
        d += `H${i + 1}`;
        last = y;
    }
    return d && `${d}V100Z`;
}

/** Heights of counts: shares of the largest, or of its logarithm, so that a count of 1 can be seen. */
export function heightsOf(values, logarithmic) {
    const of = logarithmic ? (v) => Math.log1p(Math.max(0, v)) : (v) => v;
    let most = 0;
    for (const v of values) if (Number.isFinite(v)) most = Math.max(most, of(v));
    return values.map((v) => most > 0 && Number.isFinite(v) ? Math.max(0, of(v) / most) : 0);
}

/**
 * @typedef {object} StripOptions
 * @property {string} label what it is, for whoever cannot see it
 * @property {(i: number) => string} text how bar i reads
 * @property {((i: number) => void)|null} [pick] a click, or Enter
 * @property {number|null} [middle] bars from here on are those of the other sign
 * @property {string[]} ends what stands below: at the left, in the middle, at the right
 */

/** A strip that can be drawn again with other heights. */
export class Strip {
    /** @param {StripOptions} options */
    constructor(options) {
        this.options = options;
        this.at = -1;
        this.cursor = draw("path", {class: "p-strip-cursor"});
        this.less = draw("path", {class: "p-strip-less"});
        this.more = draw("path", {class: "p-strip-more"});
        this.svg = draw("svg", {class: "p-strip-bars", preserveAspectRatio: "none", "aria-hidden": "true"},
            this.less, this.more, this.cursor);
        this.face = make("div", {
            class: options.pick ? "p-strip-face p-strip-pick" : "p-strip-face", tabindex: 0, role: "slider",
            "aria-label": options.label, "aria-valuemin": 0,
            onpointermove: (e) => this.move(this.under(e)), onpointerleave: () => this.move(-1),
            onblur: () => this.move(-1), onfocus: () => this.at < 0 && this.move(0),
            onclick: (e) => this.take(this.under(e)), onkeydown: (e) => this.key(e),
        }, this.svg);
        this.reading = make("output", {class: "p-strip-reading", "aria-hidden": "true"});
        this.host = make("div", {class: "p-strip"}, this.face,
            make("div", {class: "p-strip-foot"}, make("div", {class: "p-strip-ends", "aria-hidden": "true"},
                options.ends.map((t) => make("span", null, t))), this.reading));
    }

    /** @param {number[]} heights 0 to 1 */
    show(heights) {
        const n = heights.length, middle = this.options.middle ?? 0;
        this.n = n;
        this.svg.setAttribute("viewBox", `0 0 ${Math.max(1, n)} 100`);
        this.face.setAttribute("aria-valuemax", Math.max(0, n - 1));
        this.less.setAttribute("d", barsPath(heights, 0, middle));
        this.more.setAttribute("d", barsPath(heights, middle, n));
        this.move(-1);
    }

    under(event) {
        const box = this.face.getBoundingClientRect();
        const i = Math.floor((event.clientX - box.left) / Math.max(1, box.width) * this.n);
        return Math.max(0, Math.min(this.n - 1, i));
    }

    move(i) {
        this.at = i;
        const text = i >= 0 && i < this.n ? this.options.text(i) : "";
        this.cursor.setAttribute("d", text ? `M${i} 0h1v100h-1z` : "");
        this.reading.textContent = text;
        this.host.classList.toggle("p-reads", text !== "");
        this.face.setAttribute("aria-valuenow", Math.max(0, i));
        this.face.setAttribute("aria-valuetext", text || this.options.label);
    }

    take(i) {
        if (this.options.pick && i >= 0 && i < this.n) this.options.pick(i);
    }

    key(event) {
        const page = Math.max(1, Math.round(this.n / 10)), last = this.n - 1;
        const to = {ArrowLeft: this.at - 1, ArrowDown: this.at - 1, ArrowRight: this.at + 1, ArrowUp: this.at + 1,
            PageDown: this.at - page, PageUp: this.at + page, Home: 0, End: last}[event.key];
        if (to !== undefined) this.move(Math.max(0, Math.min(last, to)));
        else if (event.key === "Enter" || event.key === " ") this.take(this.at);
        else return;
        event.preventDefault();
        event.stopPropagation();
    }
}
