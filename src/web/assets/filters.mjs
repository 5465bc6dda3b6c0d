// SPDX-License-Identifier: Apache-2.0
// filters: what is not looked for is dimmed, not taken away: everything keeps its place.
import {make, later} from "scruple/dom.mjs";
import {announce, card} from "scruple/frame.mjs";
import {isOpen, openSieve, pass, placesThrough, tally} from "scruple/sieve.mjs";
import {formatCount} from "scruple/names.mjs";
import {showOf} from "scruple/shows.mjs";
import {bytes} from "scruple/text.mjs";

class Filters {
    constructor(app) {
        this.app = app;
        this.sieve = openSieve();
        this.folded = app.views.map((view) => view.scene.names.map((name) => name.toLowerCase()));
        this.card = card(app, {id: "filters", title: "Filter", key: "f", image: "filter", host: app.elements.side, open: false});
        this.note = make("output", {class: "p-filter-count", "aria-live": "polite"});
        this.apply = later(() => this.run(), 80);
        this.build();
    }

    build() {
        const {scene} = this.app.front(), {tensors} = scene;
        this.chips = [];
        this.words = make("input", {type: "search", id: "p-filter-words", placeholder: "words of the name",
            maxlength: 500, spellcheck: "false", autocomplete: "off", "aria-label": "Words of the name",
            oninput: () => this.change({words: this.words.value})});
        this.reset = make("button", {type: "button", class: "p-text-button", disabled: true,
            onclick: () => this.clear()}, "show all");
        this.card.body.replaceChildren(this.words, this.layers(scene),
            this.group("Role", "roles", tally(scene.roles, tensors.role)),
            this.group("Tower", "towers", tally(scene.towers, tensors.tower)),
            this.group("Type", "dtypes", tally(scene.types.map((t) => t.dtype), tensors.type)),
            make("div", {class: "p-row p-filter-foot"}, this.note, this.reset));
        this.run();
    }

    /** Chips of which any number may be pressed; nothing where there is no choice. */
    group(title, key, words) {
        if (words.length < 2) return "";
        const chips = words.map(([word, n]) => {
            const pressed = String(this.sieve[key].has(word));
            const chip = make("button", {type: "button", class: "p-chip", "aria-pressed": pressed, "data-word": word,
                onclick: () => {
                    const set = this.sieve[key], on = set.has(word) ? !set.delete(word) : Boolean(set.add(word));
                    chip.setAttribute("aria-pressed", String(on));
                    this.change({});
                }}, word, make("small", null, ` ${formatCount(n)}`));
            return chip;
        });
        this.chips.push(...chips);
        return make("div", {class: "p-group", role: "group", "aria-label": title}, make("h3", null, title),
            make("div", {class: "p-chips"}, chips));
    }

    layers(scene) {
        const most = scene.tensors.layer.reduce((m, layer) => Math.max(m, layer), -1);
        if (most < 1) return "";
        const field = (key, label) => {
            const number = () => input.valueAsNumber >= 0 ? Math.floor(input.valueAsNumber) : null;
            const input = make("input", {type: "number", min: 0, max: most, inputmode: "numeric", "aria-label": label,
                placeholder: key === "from" ? "0" : String(most), oninput: () => this.change({[key]: number()})});
            return input;
        };
        this.fields = [field("from", "First layer"), field("to", "Last layer")];
        return make("div", {class: "p-group p-layers", role: "group", "aria-label": "Layers"}, make("h3", null, "Layers"),
            make("div", {class: "p-row"}, this.fields[0], "to", this.fields[1]));
    }

    change(values) {
        Object.assign(this.sieve, values);
        this.apply();
    }

    clear() {
        this.sieve = openSieve();
        for (const input of [this.words, ...this.fields ?? []]) input.value = "";
        for (const chip of this.chips) chip.setAttribute("aria-pressed", "false");
        this.run();
        announce("All tensors are shown.");
        this.words.focus();
    }

    run() {
        const {app} = this, open = isOpen(this.sieve), front = app.store.get("view");
        const filter = app.views.map(({scene}, i) => {
            const through = pass(this.sieve, scene, this.folded[i]);
            if (i === front) this.say(scene, through, open);
            return open ? null : placesThrough(scene, through.tensors);
        });
        app.store.set({filter});
        this.reset.disabled = open;
    }

    say(scene, {tensors, count: n}, open) {
        const size = scene.tensors.bytes.reduce((sum, b, i) => sum + (tensors[i] ? b : 0), 0);
        this.note.textContent = open ? `${formatCount(n)} tensors, ${bytes(size)}` : n === 0 ? "No tensor is like that."
            : `${formatCount(n)} of ${formatCount(scene.tensors.n)} tensors, ${bytes(size)}`;
    }
}

/** @param {import("scruple/main.mjs").App} app */
export function mount(app) {
    if (showOf(app.views[0].scene).filters === false) return;
    const filters = new Filters(app);
    app.store.subscribe("view", () => filters.build());
    app.keys.bind("F", "show all again", () => filters.clear());
}
