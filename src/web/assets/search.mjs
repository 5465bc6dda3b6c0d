// SPDX-License-Identifier: Apache-2.0
// search: from a few words to a tensor, an element or a layer. A list below a field, worked by keys as the
// ARIA practices for comboboxes have it.
import {icon, make, soon} from "scruple/dom.mjs";
import {ICONS, addToBar, announce, nameNodes} from "scruple/frame.mjs";
import {Names, hits, parseQuery, placeElement} from "scruple/words.mjs";
import {flyToBox, spotOf, whereText} from "scruple/places.mjs";
import {formatCount, formatShape} from "scruple/names.mjs";
import {showOf} from "scruple/shows.mjs";

const SHOWN = 60;
/** More names than this are searched by the server, when there is one. */
const MANY = 200000;

/** Boxes of layers of that number, in all towers. */
function layersOf(scene, number) {
    const {boxes} = scene, found = [];
    for (let box = 0; box < boxes.n; box++)
        if (boxes.number[box] === number && scene.kinds[boxes.kind[box]] === "block") found.push(box);
    return found;
}

function layerName(scene, box) {
    const tower = scene.boxName(scene.boxes.parent[box]);
    return [tower, scene.boxName(box)].filter(Boolean).join(" \u203a ");
}

/** What a list item goes to: {kind, box} or {kind, tensor, element}. */
function itemsOf(view, query, found) {
    const {scene} = view, items = [], show = showOf(scene);
    if (show.found) return found.map((i) => ({kind: "range", ...show.found(scene, i)}));
    if (query.layer !== null)
        for (const box of layersOf(scene, query.layer).slice(0, 8)) items.push({kind: "layer", box});
    for (const tensor of found) items.push({kind: "tensor", tensor, element: elementOf(scene, tensor, query.element)});
    return items;
}

/** The element that was asked for: null none was; undefined: the tensor has no such. */
function elementOf(scene, tensor, element) {
    if (!element) return null;
    const list = scene.placesOf(tensor), {rows, cols} = scene.places;
    if (!list.length) return undefined;
    const drawn = {slices: list.length, rows: rows[list[0]], cols: cols[list[0]]};
    return placeElement(element, scene.shapeOf(tensor), drawn) ?? undefined;
}

function marked(name, query) {
    const nodes = [];
    let at = 0;
    for (const [from, to] of hits(name, query)) {
        nodes.push(...nameNodes(name.slice(at, from)), make("mark", null, name.slice(from, to)));
        at = to;
    }
    return [...nodes, ...nameNodes(name.slice(at))];
}

function detailOf(scene, item) {
    if (item.kind === "range") return item.detail;
    if (item.kind === "layer") return ["whole layer"];
    const {tensor, element} = item, places = scene.placesOf(tensor);
    if (element === undefined) return [`${formatShape(scene.shapeOf(tensor))} \u2013 has no such element`];
    if (element) return [`row ${formatCount(element.row)}, column ${formatCount(element.col)}`,
        ...places.length > 1 ? [`slice ${formatCount(element.slice)}`] : []];
    const where = places.length ? whereText(scene, places[0]) : "not in the picture";
    return [scene.typeOf(tensor).dtype, formatShape(scene.shapeOf(tensor)), ...where ? [where] : []];
}

class Search {
    constructor(app) {
        this.app = app;
        this.items = [];
        this.active = -1;
        this.names = new Map();
        this.turn = 0;
        this.build();
        const run = soon(() => document.activeElement === this.input && this.run());
        this.input.addEventListener("input", run);
        this.input.addEventListener("focus", run);
        this.input.addEventListener("keydown", (e) => this.key(e));
        this.host.addEventListener("focusout", (e) => {
            if (!this.host.contains(e.relatedTarget)) this.close();
        });
        app.store.subscribe("view", () => this.close());
    }

    build() {
        const {scene} = this.app.views[0];
        const what = showOf(scene).find ?? (scene.maps ? "Find a map" : "Find a tensor, layer or element");
        this.input = make("input", {
            type: "search", id: "p-search", class: "p-search-input", role: "combobox", autocomplete: "off",
            autocapitalize: "off", spellcheck: "false", enterkeyhint: "go", placeholder: what,
            "aria-label": "Find a tensor, a layer or an element", "aria-expanded": "false", "aria-keyshortcuts": "/",
            "aria-controls": "p-search-list", "aria-autocomplete": "list", maxlength: 2000,
        });
        this.list = make("div", {id: "p-search-list", class: "p-search-list", role: "listbox", "aria-label": "What was found"});
        this.note = make("p", {class: "p-search-note", role: "status"});
        this.popup = make("div", {class: "p-search-popup", hidden: true}, this.list, this.note);
        this.host = make("div", {class: "p-search", role: "search"}, icon(ICONS.search), this.input,
            make("kbd", {class: "p-search-key", "aria-hidden": "true"}, "/"), this.popup);
    }

    namesOf(view) {
        if (!this.names.has(view)) this.names.set(view, new Names(showOf(view.scene).allNames?.(view.scene) ?? view.scene.names));
        return this.names.get(view);
    }

    /** {total, found}, or a promise of it. */
    find(view, query) {
        const {source} = this.app;
        const here = () => this.namesOf(view).search(query, SHOWN);
        if (!source.live || showOf(view.scene).allNames || view.scene.names.length <= MANY || !query.text) return here();
        return source.search(view.index, query.text, SHOWN).then(({total, tensors}) => ({total, found: tensors}), here);
    }

    async run() {
        const typed = this.input.value, view = this.app.front();
        if (!typed.trim()) return this.close();
        if (typed === this.answered) return;
        const turn = ++this.turn;
        const query = parseQuery(typed), {total, found} = await this.find(view, query);
        if (turn !== this.turn) return;
        this.answered = typed;
        const offsets = showOf(view.scene).typedOffset?.(this.app, view, typed) ?? [];
        this.items = [...offsets.map((item) => ({kind: "range", ...item})), ...itemsOf(view, query, found)];
        this.list.replaceChildren(...this.items.map((item, i) => this.option(view.scene, item, i, query)));
        this.note.textContent = this.summary(typed.trim(), total, found.length);
        this.popup.hidden = false;
        this.input.setAttribute("aria-expanded", "true");
        this.activate(this.items.length ? 0 : -1);
    }

    summary(typed, total, shown) {
        if (!this.items.length) return `Nothing here is called \u201c${typed}\u201d.`;
        if (shown < total) return `The first ${shown} of ${formatCount(total)} tensors; more words find fewer.`;
        return total === 1 ? "1 tensor" : `${formatCount(total)} tensors`;
    }

    option(scene, item, i, query) {
        const name = item.name ?? (item.kind === "layer" ? layerName(scene, item.box) : scene.names[item.tensor]);
        return make("div", {
            id: `p-found-${i}`, role: "option", class: "p-found", "aria-selected": "false",
            "aria-disabled": item.element === undefined && item.kind === "tensor" ? "true" : null,
            onpointerdown: (e) => e.preventDefault(), onclick: () => this.go(i), onpointermove: () => this.activate(i),
        }, make("span", {class: "p-found-name"}, item.kind === "layer" ? name : marked(name, query)),
        make("span", {class: "p-found-detail"}, detailOf(scene, item).join(" \u00b7 ")));
    }

    activate(i) {
        const before = this.list.children[this.active], now = this.list.children[i];
        before?.setAttribute("aria-selected", "false");
        now?.setAttribute("aria-selected", "true");
        if (i !== this.active) now?.scrollIntoView({block: "nearest"});
        if (now) this.input.setAttribute("aria-activedescendant", now.id);
        else this.input.removeAttribute("aria-activedescendant");
        this.active = i;
    }

    key(event) {
        const last = this.items.length - 1, open = !this.popup.hidden;
        const to = {ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + 8,
            PageUp: this.active - 8}[event.key];
        if (to !== undefined && !open) this.run();
        else if (to !== undefined) this.activate(Math.abs(to - this.active) === 1
            ? (to + last + 1) % (last + 1) : Math.max(0, Math.min(last, to)));
        else if (event.key === "Enter") this.enter();
        else if (event.key === "Escape") this.escape();
        else return;
        event.preventDefault();
        event.stopPropagation();
    }

    /** Goes to what is active, of what has been typed by now. */
    async enter() {
        await this.run();
        this.go(this.active);
    }

    escape() {
        if (!this.popup.hidden) this.close();
        else if (this.input.value) this.input.value = "";
        else this.leave();
    }

    /** Gives the keys back to the picture. */
    leave() {
        this.close();
        this.input.blur();
        this.app.elements.stage.focus?.({preventScroll: true});
    }

    close() {
        this.turn++;
        this.answered = null;
        this.items = [];
        this.active = -1;
        this.popup.hidden = true;
        this.list.replaceChildren();
        this.input.setAttribute("aria-expanded", "false");
        this.input.removeAttribute("aria-activedescendant");
    }

    go(i) {
        const item = this.items[i], view = this.app.front();
        if (!item) return;
        if (item.kind === "range") item.go(this.app, view);
        else if (item.kind === "layer") flyToBox(this.app, view, item.box);
        else if (item.element === undefined || !this.goToTensor(view, item)) return;
        announce(item.name ? item.name : item.kind === "layer" ? layerName(view.scene, item.box) : view.scene.names[item.tensor]);
        this.leave();
    }

    goToTensor(view, {tensor, element}) {
        const place = view.scene.placeOf(tensor, element ? element.slice : 0);
        if (place < 0) {
            this.note.textContent = "It has no elements, or is left out of the picture.";
            return false;
        }
        const go = () => this.app.goTo(spotOf(this.app, view.index, place, element?.row ?? null, element?.col ?? null));
        this.app.details.open().then(go); // a flight ends in the room that is left then
        return true;
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    const search = new Search(app);
    addToBar(app, search.host);
    app.keys.bind("/", `search: ${showOf(app.views[0].scene).examples}`, () => {
        search.input.focus();
        search.input.select();
    });
}
