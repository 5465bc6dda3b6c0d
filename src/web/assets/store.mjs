// SPDX-License-Identifier: Apache-2.0
// store: what the page knows and shows, as named values that others may watch.

/**
 * An element, a tensor or a point of a view.
 * @typedef {object} Spot
 * @property {number} view      which picture
 * @property {number} tensor    position in the scene's list
 * @property {number} place     position among the scene's places
 * @property {number} slice
 * @property {number|null} row  null: the whole tensor
 * @property {number|null} col
 */

/**
 * What the pointer is over: a Spot, and once known its value.
 * @typedef {Spot & {value: (number|string|null|undefined), raw: (string|null|undefined),
 *   pooled: boolean, px: number, py: number}} Hover
 * `value` is undefined while it is on its way, null when it cannot be known; `pooled`: it is that of
 * a pixel of many elements (plane `plane` of the state); `px`, `py`: CSS pixels within the stage.
 */

/**
 * @typedef {object} State
 * @property {number} view         which picture is in front
 * @property {string} compare      none, side, swipe or blink
 * @property {number} split        0 to 1: where the second picture begins (side, swipe)
 * @property {{x: number, y: number, z: number}} camera  centre in units of `view`; z: log2 of units
 *   a device pixel
 * @property {string} mode         of colours.json
 * @property {string} plane        of the scene
 * @property {string} scaleOf      tensor, role or model
 * @property {string} ground       dark, light or auto
 * @property {boolean} dark        what `ground` comes to
 * @property {boolean} labels      names are drawn
 * @property {Hover|null} hover
 * @property {Spot|null} selection
 * @property {(Uint8Array|null)[]} filter  by view: for each place 1, or 0 where it is dimmed;
 *   null: nothing is
 * @property {{epoch: number, done: number}[]} progress  by view: of statistics
 * @property {number} scales       grows when scales have changed
 * @property {{width: number, height: number, dpr: number}} size  of the stage, in device pixels
 * @property {string|null} message a sentence for people, or null
 */

/**
 * A box of named values. Who watches is called once after all changes of a task, with the state.
 * @param {object} initial
 */
export function createStore(initial) {
    const state = {...initial};
    const watchers = new Set();
    let changed = new Set();

    function tell() {
        const keys = changed;
        changed = new Set();
        for (const watcher of [...watchers])
            if (watchers.has(watcher) && watcher.keys.some((key) => keys.has(key)))
                watcher.fn(state, keys);
    }

    return {
        /** The value of a key, or the whole state (not to be written to). */
        get(key) {
            return key === undefined ? state : state[key];
        },

        /** Takes over the given values. An unknown key is an error: it would be a misspelt one. */
        set(values) {
            for (const [key, value] of Object.entries(values)) {
                if (!(key in state))
                    throw new Error(`no such state: ${key}`);
                if (Object.is(state[key], value))
                    continue;
                state[key] = value;
                if (changed.size === 0)
                    queueMicrotask(tell);
                changed.add(key);
            }
        },

        /**
         * Calls fn(state, changedKeys) after one of `keys` has changed.
         * @param {string|string[]} keys
         * @returns {function(): void} ends it
         */
        subscribe(keys, fn) {
            const watcher = {keys: [].concat(keys), fn};
            watchers.add(watcher);
            return () => watchers.delete(watcher);
        },

        /** Tells at once, not after the task. For tests. */
        flush() {
            if (changed.size)
                tell();
        },
    };
}
