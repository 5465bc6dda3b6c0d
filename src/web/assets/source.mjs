// SPDX-License-Identifier: Apache-2.0
// source: what the page asks for. LiveSource asks the server (docs/viewer-protocol.md); a static
// export has a source of the same shape.

/** Says what went wrong in a sentence, and with which status. */
export class SourceError extends Error {
    constructor(sentence, status) {
        super(sentence);
        this.status = status;
    }
}

async function complain(answer) {
    let sentence = `the server answered ${answer.status}`;
    try {
        sentence = (await answer.json()).error ?? sentence;
    } catch {
        // not one of ours
    }
    throw new SourceError(sentence, answer.status);
}

/**
 * @typedef {object} Figures  what `tensor` answers; see docs/viewer-protocol.md
 */

/** Documents, tiles and values from the server. All methods are asynchronous. */
export class LiveSource {
    /** @param {string} base  the folder of the page */
    constructor(base = document.baseURI) {
        this.base = new URL(".", base);
        this.live = true;
        this.first = 0; // number of the view that this page calls 0
    }

    #url(path, query) {
        const url = new URL(path, this.base);
        for (const [key, value] of Object.entries(query ?? {}))
            url.searchParams.set(key, value);
        return url;
    }

    async #get(path, query, options) {
        const answer = await fetch(this.#url(path, query), {credentials: "omit", ...options});
        if (!answer.ok)
            await complain(answer);
        return answer;
    }

    async #json(path, query, options) {
        return (await this.#get(path, query, options)).json();
    }

    viewJson() {
        return this.#json("view.json");
    }

    colours() {
        return this.#json("colours.json");
    }

    /** @param {number} view */
    scene(view) {
        return this.#json(`${view + this.first}/scene.json`);
    }

    scales(view) {
        return this.#json(`${view + this.first}/scales.json`, null, {cache: "no-cache"});
    }

    /**
     * The body of a tile; null: nothing stands there.
     * @param {{signal?: AbortSignal, priority?: string, again?: boolean}} [how]  again: a newer one
     *   is wanted than what may be kept
     * @returns {Promise<ArrayBuffer|null>}
     */
    async tile(view, z, x, y, plane, how = {}) {
        const answer = await this.#get(`${view + this.first}/t/${z}/${x}/${y}.${plane}`, null, {
            signal: how.signal, priority: how.priority ?? "auto",
            cache: how.again ? "no-cache" : "default"});
        return answer.arrayBuffer();
    }

    /** One element: {tensor, slice, row, col, value, raw, offset, file}. */
    value(view, tensor, slice, row, col, signal) {
        return this.#json(`${view + this.first}/value`, {tensor, slice, row, col}, {signal});
    }

    /** @returns {Promise<Figures>} */
    tensor(view, i, signal) {
        return this.#json(`${view + this.first}/tensor`, {i}, {signal, cache: "no-cache"});
    }

    /** {total, tensors}: positions in the scene's list, best first. */
    search(view, q, limit = 50, signal) {
        return this.#json(`${view + this.first}/search`, {q, limit}, {signal});
    }

    /**
     * Calls fn({epoch, done}) while statistics are built.
     * @returns {function(): void} ends it
     */
    events(view, fn) {
        const events = new EventSource(this.#url(`${view + this.first}/events`));
        events.addEventListener("message", (event) => {
            const what = JSON.parse(event.data);
            fn(what);
            if (what.done >= 1)
                events.close();
        });
        return () => events.close();
    }
}
