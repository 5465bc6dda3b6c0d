// SPDX-License-Identifier: Apache-2.0
// legend: what the colours mean in numbers, for the tensor under the pointer where its scale is its own.
import {draw, make} from "scruple/dom.mjs";
import {bitsOf, isRanked} from "scruple/colour.mjs";
import {card, isNarrow} from "scruple/frame.mjs";
import {rampOf} from "scruple/maps.mjs";
import {formatValue} from "scruple/names.mjs";
import {showOf} from "scruple/shows.mjs";
import {numberOf} from "scruple/text.mjs";
import {bitTicks, endOf, exponentTicks, exponentsFrom, positionOf, rankTicks, scaleTicks, shareTicks} from "scruple/ticks.mjs";

const MARGIN = 10; // around a card in a corner, CSS pixels
const STEPS = 240;
const isSign = (mode) => mode.name === "sign" || mode.name === "exact";

/** Whose scale it is: {view, tensor, scale, least}; tensor -1: no tensor is meant. */
function subjectOf(app) {
    const {hover, selection, scaleOf, plane} = app.store.get(), view = app.front();
    const spot = hover ?? (selection?.view === view.index ? selection : null);
    const of = app.views[spot?.view ?? view.index];
    const tensor = spot ? spot.tensor : -1;
    const mode = app.colours.mode(app.store.get("mode")), own = mode.end === "scale" && scaleOf !== "model";
    const scale = tensor < 0 && (own || mode.end === "rms") ? 0 : of.scales.of(tensor, plane, scaleOf, mode);
    return {view: of, tensor, scale, least: tensor < 0 ? 0 : of.scene.typeOf(tensor).least};
}

class Legend {
    constructor(app) {
        this.app = app;
        this.quantiles = new Map();
        this.card = card(app, {id: "legend", title: "Legend", key: "g", image: "legend", host: app.elements.corner, open: true});
        this.canvas = make("canvas", {class: "p-bar", width: STEPS, height: 1, "aria-hidden": "true"});
        this.marker = make("span", {class: "p-marker", hidden: true, "aria-hidden": "true"});
        this.ticks = make("div", {class: "p-ticks"});
        this.of = make("p", {class: "p-legend-of"});
        this.swatches = make("ul", {class: "p-swatches", "aria-label": "Colours of their own"});
        this.card.body.append(this.of, make("div", {class: "p-bar-box"}, this.canvas, this.marker), this.ticks, this.swatches);
    }

    show() {
        const {mode: name, dark} = this.app.store.get(), {colours} = this.app;
        const mode = colours.mode(name), subject = subjectOf(this.app);
        const quantile = mode.name === "rank" ? this.quantileOf(subject)
            : mode.name === "range" ? rampOf(subject.view.scene, subject.tensor) : null;
        const table = colours.table(name, subject.scale, subject.least, quantile, subject.view.scene.shows);
        const {scaleOf, plane} = this.app.store.get();
        const key = [name, dark, subject.view.index, subject.tensor, subject.scale, quantile !== null, scaleOf, plane].join(" ");
        if (key !== this.key) {
            this.key = key;
            this.first = exponentsFrom(subject.scale);
            this.of.textContent = this.sentence(mode, subject, quantile);
            this.paint(mode, colours.palette(name, dark));
            this.number(mode, table, subject, quantile);
            this.fillSwatches(name, dark);
        }
        this.mark(mode, table, subject, quantile);
    }

    /** Ranks are of one tensor: its quantiles come later. */
    quantileOf({view, tensor}) {
        if (tensor < 0) return null;
        const key = `${view.index} ${tensor} ${this.app.store.get("scales")}`;
        if (!this.quantiles.has(key)) {
            if (this.quantiles.size > 64) this.quantiles.clear();
            this.quantiles.set(key, null);
            view.figures(tensor).then((figures) => {
                this.quantiles.set(key, Array.isArray(figures?.quantile) ? figures.quantile.map(Number) : null);
                this.show();
            }, () => {});
        }
        return this.quantiles.get(key);
    }

    sentence(mode, subject, quantile) {
        const {view, tensor, scale} = subject, own = showOf(view.scene).sentence?.(this.app, mode, subject) ?? null;
        if (own !== null) return own;
        const {scaleOf, plane} = this.app.store.get(), name = tensor < 0 ? "" : view.scene.names[tensor];
        if (mode.name === "rank") return quantile ? `Rank in ${name}` : "Rank of a weight in its tensor";
        if (isSign(mode)) return "Sign";
        if (mode.name === "exponent") return "Binary exponent; colours repeat after 32";
        if (mode.name === "bits") return "Last bit of the exponent and first 7 of the fraction, as a byte";
        const what = mode.folded ? "|x|" : "x", of = plane === "mean" || plane === "rms" ? "99.9 % quantile of |x|" : "largest |x|";
        if (tensor < 0 && scaleOf !== "model") return `${what}; each ${scaleOf} ends at its ${of}`;
        const whose = scaleOf === "model" ? "the model" : scaleOf === "role" ? `all ${view.scene.roleOf(tensor)}` : name;
        return `${what} up to the ${of} of ${whose}${scale > 0 ? "" : ", which is not known yet"}`;
    }

    paint(mode, palette) {
        const context = this.canvas.getContext("2d"), image = context.createImageData(STEPS, 1);
        for (let i = 0; i < STEPS; i++) {
            const step = mode.name === "exponent" ? ((this.first + Math.floor(i * 32 / STEPS)) & 31) * 7 + 3
                : isSign(mode) ? (i < STEPS / 2 ? 60 : 180) : i;
            image.data.set(palette.subarray(3 * step, 3 * step + 3), 4 * i);
            image.data[4 * i + 3] = 255;
        }
        context.putImageData(image, 0, 0);
    }

    ticksOf(mode, table, {scale}, quantile) {
        const own = showOf(this.app.front().scene).ticks?.(mode);
        if (own) return own;
        if (isRanked(mode)) return rankTicks(quantile, mode.name === "rank");
        if (isSign(mode))
            return [{at: 0.25, value: NaN, text: "less than 0"}, {at: 0.75, value: NaN, text: "greater than 0"}];
        if (mode.name === "exponent") return exponentTicks(this.first);
        if (!table.edges) return bitTicks();
        return scale > 0 ? scaleTicks(mode, table.edges, scale) : shareTicks(mode);
    }

    number(mode, table, subject, quantile) {
        this.ticks.replaceChildren(...this.ticksOf(mode, table, subject, quantile).map(({at, value, text}) => {
            const side = at < 0.04 ? "p-tick p-tick-first" : at > 0.96 ? "p-tick p-tick-last" : "p-tick";
            const tick = make("span", {class: side, "data-value": Number.isNaN(value) ? null : value}, text);
            tick.style.left = `${100 * at}%`;
            return tick;
        }));
    }

    swatchList(mode) {
        return showOf(this.app.front().scene).swatches.filter((swatch) => !swatch[2] || swatch[2].includes(mode));
    }

    fillSwatches(name, dark) {
        this.swatches.replaceChildren(...this.swatchList(name).map(([key, text]) => make("li", {"data-special": key},
            draw("svg", {class: "p-swatch", viewBox: "0 0 10 10", "aria-hidden": "true"},
                draw("rect", {width: 10, height: 10, fill: this.app.colours.css(name, dark, key)})), text)));
    }

    /** Where the value under the pointer is: on the bar, or a swatch. */
    mark(mode, table, {scale}, quantile) {
        const {hover, plane} = this.app.store.get(), pooled = showOf(this.app.front().scene).windows?.includes(plane);
        const shown = pooled ? hover?.pooled : hover?.value, special = hover ? this.specialOf(table, shown) : null;
        for (const li of this.swatches.children) li.classList.toggle("p-on", li.dataset.special === special);
        const v = hover ? numberOf(shown ?? null) : null;
        const at = v === null || special ? null : this.positionOf(mode, table, v, scale, quantile);
        this.marker.hidden = at === null;
        if (at !== null) {
            this.marker.style.left = `${100 * Math.max(0, Math.min(1, at))}%`;
            this.marker.dataset.value = formatValue(v);
        }
    }

    specialOf(table, value) {
        if (value !== "zero" && showOf(this.app.front().scene).swatches.some(([key]) => key === value)) return value;
        const v = numberOf(value ?? null), entry = v === null ? -1 : table.entryOf(bitsOf(v));
        const found = this.swatchList(table.mode.name).find(([key]) => (this.app.colours.special[key] ?? key) === entry);
        return found ? String(found[0]) : null;
    }

    positionOf(mode, table, v, scale, quantile) {
        if (mode.name === "exponent") return (((bitsOf(v) >>> 23) & 255) - this.first + 0.5) / 32;
        if (!table.edges) return isSign(mode) ? (v < 0 ? 0.25 : 0.75) : (table.entryOf(bitsOf(v)) + 0.5) / STEPS;
        const end = endOf(mode, scale), size = mode.folded ? Math.abs(v) : v;
        const low = quantile ? quantile[0] : mode.folded ? end * 1e-4 : -end;
        return positionOf(table.edges, size, low, quantile ? quantile[256] : end);
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const legend = new Legend(app);
    app.store.subscribe(["mode", "plane", "scaleOf", "dark", "hover", "selection", "scales", "view"], () => legend.show());
    if (isNarrow()) legend.card.section.classList.add("p-compact");
    const {section} = legend.card;
    const cover = () => app.camera.cover(isNarrow() && section.offsetHeight ?
        (section.offsetHeight + 2 * MARGIN) * (devicePixelRatio || 1) : 0);
    new ResizeObserver(cover).observe(section);
    app.store.subscribe(["size"], cover);
    legend.show();
}

