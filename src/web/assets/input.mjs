// SPDX-License-Identifier: Apache-2.0
// input: mouse, touch and keyboard.

/** Which key does what. */
export class Keys {
    constructor() {
        /** @type {{keys: string[], help: string, fn: function(KeyboardEvent): void}[]} */
        this.list = [];
    }

    /**
     * Calls fn(event) when one of the keys is pressed and no text is being written.
     * @param {string|string[]} keys  as KeyboardEvent.key has them, with "Ctrl+" or "Shift+" before
     *   where those are held with keys that write nothing ("Shift+ArrowLeft")
     * @param {string} help           for the list of keys
     */
    bind(keys, help, fn) {
        this.list.push({keys: [].concat(keys), help, fn});
    }

    /** Does what a key is bound to; true: something. */
    press(event) {
        const writes = event.target?.closest?.("input, textarea, select, [contenteditable]");
        if (writes && event.key !== "Escape")
            return false;
        const held = (event.ctrlKey || event.metaKey ? "Ctrl+" : "") +
            (event.shiftKey && event.key.length > 1 ? "Shift+" : "");
        const found = this.list.find((entry) => entry.keys.includes(held + event.key));
        if (!found)
            return false;
        event.preventDefault();
        found.fn(event);
        return true;
    }
}
