// SPDX-License-Identifier: Apache-2.0
// selection: what is known of the selected tensor: figures, a histogram, profiles, the element, neighbours.
import {Strip, heightsOf} from "scruple/charts.mjs";
import {make} from "scruple/dom.mjs";
import {card, copyText, iconButton, isNarrow, nameNodes, shortTitle} from "scruple/frame.mjs";
import {crumbs, flyToBox, neighbour, spotOf} from "scruple/places.mjs";
import {answerNodes, elementText, partnerOf} from "scruple/reading.mjs";
import {formatCount, formatShape, formatValue} from "scruple/names.mjs";
import {showOf} from "scruple/shows.mjs";
import {bytes, exact, numberOf, percent} from "scruple/text.mjs";

const product = (shape) => shape.reduce((n, side) => n * side, 1);

function facts(rows) {
    const shown = rows.filter((row) => row && row[1] !== null && row[1] !== undefined);
    return make("dl", {class: "p-facts"}, shown.map(([term, what, title]) =>
        make("div", title ? {title} : null, make("dt", null, term), make("dd", null, what))));
}

/** What is known from the plan alone. */
function planFacts(scene, tensor) {
    const type = scene.typeOf(tensor), shape = scene.shapeOf(tensor), size = scene.tensors.bytes[tensor];
    const map = scene.maps?.[tensor];
    if (map) return facts([["a cell is", map.about], [`${map.down.of}s`, shape[0]], [`${map.across.of}s`, shape[1]]]);
    const n = product(shape), {role, tower} = scene.tensors;
    return facts([["type", type.layout === "plain" ? type.dtype : `${type.dtype} (${type.layout})`],
        ["shape", formatShape(shape)], ["weights", formatCount(n)],
        ["stored", n ? `${bytes(size)}, ${Number((size * 8 / n).toPrecision(3))} bits each` : bytes(size)],
        ["role", scene.roles[role[tensor]]], scene.towers[tower[tensor]] !== "main" && ["tower", scene.towers[tower[tensor]]]]);
}

/** What its values say. */
function figureFacts(f, n) {
    const number = (key) => f[key] === null || f[key] === undefined ? null : formatValue(numberOf(f[key]), 5);
    const part = (key) => f[key] === null || f[key] === undefined ? "not counted"
        : f[key] === 0 ? "none" : `${formatCount(f[key])} (${percent(f[key], n)})`;
    return facts([["least", number("min")], ["largest", number("max")], ["mean", number("mean")],
        ["root mean square", number("rms")], ["largest |x|", number("abs_max")],
        ["99.9 % of |x|", number("robust"), "99.9 % of all |x| are at most this"],
        ["zeros", part("zeros")], ["NaN, \u00b1\u221e", part("nonfinite")],
        ["file", f.file ?? null]]);
}

class Histogram {
    constructor(figures) {
        this.bins = figures.histogram;
        this.end = numberOf(figures.abs_max) ?? 0;
        this.total = this.bins.reduce((sum, n) => sum + n, 0);
        const at = (i) => formatValue(this.end * (2 * i / this.bins.length - 1), 3);
        this.strip = new Strip({label: "Histogram of values", middle: this.bins.length / 2,
            ends: [at(0), "0", at(this.bins.length)],
            text: (i) => `${at(i)} to ${at(i + 1)}: ${formatCount(this.bins[i])} (${percent(this.bins[i], this.total)})`});
        this.box = make("input", {type: "checkbox", id: "p-log", onchange: () => {
            Histogram.logarithmic = this.box.checked;
            this.show();
        }});
        this.box.checked = Histogram.logarithmic;
        this.host = make("figure", {class: "p-figure p-histogram"}, make("figcaption", null, "Values",
            make("label", {class: "p-check"}, this.box, "log counts")), this.strip.host);
        this.host.dataset.counts = this.bins.join(" ");
        this.show();
    }

    show() {
        this.strip.show(heightsOf(this.bins, this.box.checked));
    }
}
Histogram.logarithmic = false;

/** Root mean squares along an axis: a click goes to that row or column. */
function profile(word, values, n, go) {
    const first = (i) => Math.ceil(i * n / values.length), last = (i) => Math.ceil((i + 1) * n / values.length) - 1;
    const which = (i) => first(i) === last(i) ? `${word} ${formatCount(first(i))}`
        : `${word}s ${formatCount(first(i))}\u2013${formatCount(last(i))}`;
    const strip = new Strip({label: `Root mean square by ${word}; Enter goes there`, ends: ["0", formatCount(n - 1)],
        text: (i) => `${which(i)}: ${formatValue(numberOf(values[i]), 4)}`, pick: (i) => go(first(i))});
    strip.show(heightsOf(values.map((v) => numberOf(v) ?? 0), false));
    return make("figure", {class: `p-figure p-profile-${word}`},
        make("figcaption", null, `Root mean square by ${word}`), strip.host);
}

class Selection {
    constructor(app) {
        this.app = app;
        this.card = card(app, {id: "details", title: showOf(app.views[0].scene).details ?? (app.views[0].scene.maps ? "Map" : "Tensor"), key: "i", image: "details", host: app.elements.side, open: false});
        this.turn = 0;
        this.body = this.card.body;
        this.head = make("div", {class: "p-tensor-head"});
        this.element = make("div", {class: "p-element", "aria-live": "polite"});
        this.plan = make("div");
        this.values = make("div", {class: "p-values"});
        this.card.section.addEventListener("p-show", () => this.show());
    }

    show() {
        const {selection} = this.app.store.get();
        const key = selection ? this.keyOf(selection) : "";
        if (!selection) this.empty();
        else if (this.card.shown()) {
            if (key !== this.key) this.showTensor(selection);
            this.showElement(selection);
        }
        this.key = this.card.shown() || !selection ? key : null;
    }

    keyOf(spot) {
        const {scene} = this.app.views[spot.view], {name, where} = showOf(scene);
        return `${spot.view} ${spot.place} ${name && spot.row !== null ? `${name(scene, spot)} ${where(scene, spot).replace(/byte 0x.*/, "")}` : ""}`;
    }

    /** Shows the panel; settles once the picture has the room that is left. */
    open() {
        if (this.card.shown() || isNarrow()) return Promise.resolve();
        const {stage} = this.app.elements, before = stage.clientWidth;
        this.card.show(true);
        if (stage.clientWidth === before) return Promise.resolve();
        return new Promise((done) => {
            const stop = this.app.store.subscribe("size", () => {
                stop();
                done();
            });
        });
    }

    empty() {
        this.turn++;
        this.body.replaceChildren(make("p", {class: "p-hint"}, "Click into the picture, or search, to select a tensor."));
    }

    showTensor(spot) {
        const {scene} = this.app.views[spot.view], changed = this.tensor !== `${spot.view} ${spot.tensor}`;
        this.tensor = `${spot.view} ${spot.tensor}`;
        this.head.replaceChildren(make("h3", {class: "p-tensor-name"}, ...nameNodes(this.nameOf(scene, spot))),
            make("div", {class: "p-row p-where"}, this.crumbs(scene, spot), this.steps(scene, spot, "block", "layer"),
                this.steps(scene, spot, "expert", "expert")), this.actions(scene, spot));
        if (this.body.firstChild !== this.head) this.body.replaceChildren(this.head, this.element, this.values, this.plan);
        this.plan.replaceChildren(...showOf(scene).panel ? [] : [planFacts(scene, spot.tensor)]);
        if (changed) this.card.body.scrollTop = 0;
        this.showValues(spot, changed);
    }

    nameOf(scene, spot) {
        return (spot.row !== null && showOf(scene).name?.(scene, spot)) || scene.names[spot.tensor];
    }

    crumbs(scene, spot) {
        const view = this.app.views[spot.view];
        const link = ({box, name}) => make("button", {type: "button", class: "p-link",
            onclick: () => flyToBox(this.app, view, box)}, name);
        return make("nav", {class: "p-crumbs", "aria-label": "Where it stands"},
            crumbs(scene, spot.place).flatMap((crumb, i) => [i ? "\u203a" : null, link(crumb)]));
    }

    actions(scene, spot) {
        const name = this.nameOf(scene, spot), {app} = this;
        const text = (label, title, work) => make("button", {type: "button", class: "p-text-button", title, onclick: work}, label);
        const copyLink = text("copy link", "Copy an address that shows this", (e) => copyText(app.link(), e.currentTarget));
        const copyName = text("copy name", "Copy the name of the tensor", (e) => copyText(name, e.currentTarget));
        const whole = text("show all", "Fly to where all of the tensor is seen",
            () => app.goTo(spotOf(app, spot.view, spot.place)));
        return make("div", {class: "p-row p-actions"}, showOf(scene).panel ? null : whole, copyName, copyLink);
    }

    /** The same tensor of the layer or expert before and after. */
    steps(scene, spot, kind, word) {
        const sides = [[-1, "before", "["], [1, "after", "]"]].map(([step, image, key]) => {
            const there = neighbour(scene, spot.place, kind, step);
            const label = there ? `The same in ${word} ${there.number}${kind === "block" ? ` (${key})` : ""}`
                : `There is none in a ${word} ${image} this`;
            return iconButton(image, label, () => this.step(kind, step), {disabled: !there});
        });
        if (sides.every((button) => button.disabled)) return null;
        return make("div", {class: "p-steps", role: "group", "aria-label": `The same tensor of another ${word}`},
            sides[0], make("span", null, word), sides[1]);
    }

    step(kind, by) {
        const {selection} = this.app.store.get();
        if (!selection) return;
        const there = neighbour(this.app.views[selection.view].scene, selection.place, kind, by);
        if (!there) return;
        const {rows, cols} = this.app.views[selection.view].scene.places;
        const fits = selection.row !== null && selection.row < rows[there.place] && selection.col < cols[there.place];
        this.app.goTo(spotOf(this.app, selection.view, there.place, fits ? selection.row : null, fits ? selection.col : null));
    }

    // ---------------------------------------------------------------------------------- values
    async showValues(spot, changed) {
        const turn = ++this.turn, view = this.app.views[spot.view], {scene} = view, {panel} = showOf(scene);
        if (panel) {
            const nodes = await panel(this.app, spot);
            if (turn === this.turn) this.values.replaceChildren(...nodes);
            return;
        }
        if (changed) this.values.replaceChildren(make("p", {class: "p-hint"}, "Reading its values\u2026"));
        try {
            const figures = await view.figures(spot.tensor);
            if (turn === this.turn) this.values.replaceChildren(...this.valueNodes(scene, spot, figures));
        } catch (error) {
            if (turn === this.turn) this.values.replaceChildren(this.sorry(error));
        }
    }

    sorry(error) {
        const gone = error instanceof TypeError; // fetch() has it so
        return make("p", {class: "p-sorry", role: "status"},
            gone ? "Its values cannot be had: the program that serves this page is gone." : `${error.message}`);
    }

    valueNodes(scene, spot, f) {
        if (f.why) return [make("p", {class: "p-sorry", role: "status"}, f.why)];
        const n = product(scene.shapeOf(spot.tensor)), nodes = [];
        if (f.histogram?.some((bin) => bin > 0)) nodes.push(new Histogram(f).host);
        const list = scene.placesOf(spot.tensor), {rows, cols} = scene.places, map = scene.maps?.[spot.tensor];
        if (f.rows?.length > 1)
            nodes.push(profile(map ? map.down.of : "row", f.rows, rows[spot.place] * list.length, (row) => this.goToRow(spot, row)));
        if (f.cols?.length > 1)
            nodes.push(profile(map ? map.across.of : "column", f.cols, cols[spot.place], (col) => this.goTo(spot.place, null, col)));
        if (f.sampled)
            nodes.push(make("p", {class: "p-hint p-sampled"}, "Histogram and quantiles are from a sample of its weights."));
        nodes.push(figureFacts(map ? {...f, file: null} : f, n));
        return nodes;
    }

    goToRow(spot, row) {
        const {scene} = this.app.views[spot.view], rows = scene.places.rows[spot.place];
        const place = scene.placeOf(spot.tensor, Math.floor(row / rows));
        if (place >= 0) this.goTo(place, row % rows, null);
    }

    /** To a row or a column of a place; the other one stays, or is that in the middle of the picture. */
    goTo(place, row, col) {
        const {selection, camera} = this.app.store.get(), view = selection?.view ?? this.app.front().index;
        const middle = this.app.views[view].scene.elementAt(place, camera.x, camera.y);
        const mine = selection && selection.row !== null ? selection : middle;
        this.app.goTo(spotOf(this.app, view, place, row ?? mine.row, col ?? mine.col));
    }

    // --------------------------------------------------------------------------------- element
    async showElement(spot) {
        const key = `${spot.view} ${spot.place} ${spot.row} ${spot.col}`;
        if (key === this.elementKey) return;
        this.elementKey = key;
        this.element.hidden = spot.row === null;
        if (spot.row === null) return;
        this.element.replaceChildren(make("h4", null, elementText(this.app.views[spot.view].scene, spot)));
        const sides = [spot, ...this.app.views.length > 1 ? [partnerOf(this.app, spot)] : []];
        const lines = await Promise.all(sides.map((side) => this.elementLine(side)));
        if (key !== this.elementKey) return;
        this.element.append(...lines.map(({node}) => node), ...this.delta(lines));
    }

    async elementLine(spot) {
        if (!spot) return {node: make("p", {class: "p-hint"}, "The other model has no such element."), value: null};
        const view = this.app.views[spot.view], titles = this.app.views.length > 1;
        try {
            const answer = await view.value(spot.tensor, spot.slice, spot.row, spot.col);
            const {value, bits} = answerNodes(view.scene, spot.tensor, answer);
            const title = titles && make("span", {class: "p-side-title"}, `${view.index ? "B" : "A"} ${shortTitle(view.title)}`);
            const offset = Number.isFinite(answer.offset) && !showOf(view.scene).where && make("span", {class: "p-offset"},
                `byte ${formatCount(answer.offset)} of ${answer.file}`);
            const more = showOf(view.scene).extra?.(view.scene, answer) ?? [];
            return {value: numberOf(answer.value), node: make("div", {class: "p-element-side"}, title || null,
                make("span", {class: "p-element-value"}, ...value), ...bits,
                offset || null, ...more)};
        } catch (error) {
            return {node: this.sorry(error), value: null};
        }
    }

    delta(lines) {
        if (lines.length < 2 || lines.some(({value}) => value === null)) return [];
        const sign = this.app.store.get("selection")?.view === 1 ? -1 : 1;
        return [make("p", {class: "p-delta"}, `B \u2212 A ${exact(sign * (lines[1].value - lines[0].value))}`)];
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const selection = new Selection(app);
    let had = false;
    app.details = {open: () => selection.open()};
    app.store.subscribe("selection", async (state) => {
        const first = state.selection && !had;
        had = state.selection !== null;
        selection.show();
        if (first && !isNarrow() && !selection.card.shown()) {
            await selection.open();
            if (app.store.get("selection")) app.show(app.store.get("selection")); // it may be behind the panel now
        }
    });
    app.store.subscribe(["scales"], () => {
        const now = app.store.get("selection"); // once: what somebody reads must not change all the time
        if (now && selection.card.shown() && app.views[now.view].scales.final) selection.showValues(now, false);
    });
    selection.show();
}
