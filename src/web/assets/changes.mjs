// SPDX-License-Identifier: Apache-2.0
// changes: which tensors, layers and kinds of weights changed most; a click flies there. And other files.
import {make} from "scruple/dom.mjs";
import {fileItems} from "scruple/files.mjs";
import {card, nameNodes} from "scruple/frame.mjs";
import {formatCount, formatValue} from "scruple/names.mjs";
import {flyToBox, spotOf} from "scruple/places.mjs";

const MOST = 200; // rows of a list
const LISTS = [["tensors", "Tensors"], ["layers", "Layers"], ["roles", "Kinds"], ["files", "Files"]];
const ALONE = [["shape", "another shape in B"], ["only_a", "in A only"], ["only_b", "in B only"]];

/** The largest change of a tensor; what is not finite is in no figure, and is told apart. */
function tensorText({max_abs, nonfinite}, tensor) {
    const broken = nonfinite[tensor] > 0 ? `${formatCount(nonfinite[tensor])} not finite` : null;
    const largest = max_abs[tensor] > 0 || !broken ? `largest ${formatValue(max_abs[tensor] ?? NaN, 3)}` : null;
    return [largest, broken].filter(Boolean).join(", ");
}

/** Tensors that changed, the most changed first, then those that cannot be compared. */
function tensorRows(scene, changes) {
    const rows = changes.ranked.map((tensor) => ({tensor, name: scene.names[tensor], relative: changes.relative_l2[tensor],
        detail: tensorText(changes, tensor)}));
    for (const [status, words] of ALONE)
        changes.verdict.forEach((verdict, tensor) => verdict === status &&
            rows.push({tensor, name: scene.names[tensor], relative: null, detail: words}));
    return rows;
}

/** Groups of the tables of `scruple diff`, those that changed. */
function groupRows(scene, changes, which) {
    return (changes.groups[which] ?? []).filter((group) => group.changed > 0).map((group) => ({
        group, name: which === "layers" ? `${group.tower && group.tower !== "main" ? `${group.tower} ` : ""}layer ${group.layer}` : group.role,
        relative: group.relative_l2, detail: `${formatCount(group.changed)} of ${formatCount(group.tensors)} tensors`}));
}

class Changes {
    constructor(app, view) {
        this.app = app;
        this.view = view;
        this.which = "tensors";
        this.card = card(app, {id: "changes", title: "Changes", key: "r", image: "changes", host: app.elements.side, open: false});
        this.sentence = make("p", {class: "p-hint", role: "status"});
        this.tabs = LISTS.map(([which, text]) => make("button", {type: "button", class: "p-chip", "data-list": which,
            onclick: () => this.choose(which)}, text));
        this.list = make("ol", {class: "p-ranked"});
        this.card.body.append(this.sentence, make("div", {class: "p-chips", role: "group", "aria-label": "What is ranked"}, this.tabs),
            this.list);
        this.card.section.addEventListener("p-show", () => this.show());
    }

    choose(which) {
        this.which = which;
        this.shown = null;
        this.show();
    }

    show() {
        const {changes, problem} = this.view.scales.json;
        this.tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.dataset.list === this.which)));
        if (!changes) this.sentence.textContent = problem ?? "Every value is being compared\u2026";
        if (!changes || !this.card.shown() || this.shown === this.which) return;
        this.shown = this.which;
        this.sentence.textContent = changes.groups.sentence;
        this.list.classList.toggle("p-files", this.which === "files");
        if (this.which === "files") {
            this.list.replaceChildren(...fileItems(changes.files));
            return;
        }
        const {scene} = this.view;
        const rows = this.which === "tensors" ? tensorRows(scene, changes) : groupRows(scene, changes, this.which);
        const most = Math.max(...rows.map(({relative}) => Number.isFinite(relative) ? relative : 0), Number.MIN_VALUE);
        this.list.replaceChildren(...rows.slice(0, MOST).map((row) => this.row(row, most)));
        if (rows.length > MOST) this.list.append(make("li", {class: "p-hint"}, `and ${formatCount(rows.length - MOST)} more`));
        if (!rows.length) this.list.append(make("li", {class: "p-hint"}, "Nothing has changed."));
    }

    row(row, most) {
        const number = row.relative === null || row.relative === undefined ? "" : formatValue(Number(row.relative), 3);
        const bar = make("span", {class: "p-ranked-bar", "aria-hidden": "true"});
        bar.style.width = `${100 * Math.min(1, (Number.isFinite(row.relative) ? row.relative : 0) / most)}%`;
        return make("li", null, make("button", {type: "button", class: "p-ranked-row", onclick: () => this.go(row)},
            make("span", {class: "p-ranked-name"}, ...nameNodes(row.name)), make("span", {class: "p-ranked-number"}, number),
            make("small", null, row.detail), bar));
    }

    go({tensor, group}) {
        const {app, view} = this, {scene} = view, {tensors} = scene;
        if (tensor !== undefined) {
            const place = scene.placeOf(tensor);
            if (place >= 0) app.goTo(spotOf(app, view.index, place));
            return;
        }
        const {changes} = view.scales.json, belongs = (t) => scene.towers[tensors.tower[t]] === group.tower &&
            (this.which === "layers" ? tensors.layer[t] === group.layer : scene.roles[tensors.role[t]] === group.role);
        const first = changes.ranked.find((t) => belongs(t) && scene.placeOf(t) >= 0);
        if (first === undefined) return;
        const place = scene.placeOf(first), block = scene.kinds.indexOf("block");
        const box = scene.boxesAround(place).find((b) => scene.boxes.kind[b] === block);
        if (this.which === "layers" && box !== undefined) flyToBox(app, view, box);
        else app.goTo(spotOf(app, view.index, place));
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const view = app.views.find(({scene}) => scene.shows === "differences");
    if (!view) return;
    const changes = new Changes(app, view);
    app.store.subscribe("scales", () => changes.show());
    changes.show();
}
