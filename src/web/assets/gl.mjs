// SPDX-License-Identifier: Apache-2.0
// gl: tiles of palette entries, and rectangles, on a canvas by WebGL 2.
//
// A tile is a layer of a texture of bytes; its colours are looked up in a palette while drawing, so
// another ground costs nothing. All positions are device pixels from the upper left.

import {SIZE} from "scruple/tiles.mjs";

const QUAD = 12; // floats of a quad: x0 y0 x1 y1, u0 v0 u1 v1, layer, palette, entry, -
const RECT = 8;  // x0 y0 x1 y1, r g b a

const TILE_VERTEX = `#version 300 es
layout(location = 0) in vec4 place;
layout(location = 1) in vec4 texels;
layout(location = 2) in vec4 what;
uniform vec2 size;
out vec2 at;
flat out ivec3 of;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    vec2 p = mix(place.xy, place.zw, corner) / size * 2.0 - 1.0;
    gl_Position = vec4(p.x, -p.y, 0.0, 1.0);
    at = mix(texels.xy, texels.zw, corner);
    of = ivec3(what.xyz);
}`;
const TILE_FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2DArray;
in vec2 at;
flat in ivec3 of;
uniform usampler2DArray tiles;
uniform sampler2D palette;
uniform int outside;
out vec4 colour;
void main() {
    int entry = of.z;
    if (entry < 0)
        entry = int(texelFetch(tiles, ivec3(clamp(ivec2(floor(at)), 0, ${SIZE - 1}), of.x), 0).r);
    if (entry == outside)
        discard; // frames and the ground are below
    colour = vec4(texelFetch(palette, ivec2(entry, of.y), 0).rgb, 1.0);
}`;
const RECT_VERTEX = `#version 300 es
layout(location = 0) in vec4 place;
layout(location = 1) in vec4 tint;
uniform vec2 size;
flat out vec4 paint;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    vec2 p = mix(place.xy, place.zw, corner) / size * 2.0 - 1.0;
    gl_Position = vec4(p.x, -p.y, 0.0, 1.0);
    paint = vec4(tint.rgb * tint.a, tint.a);
}`;
const RECT_FRAGMENT = `#version 300 es
precision mediump float;
flat in vec4 paint;
out vec4 colour;
void main() { colour = paint; }`;

/** A list of floats that grows. */
class Floats {
    constructor() {
        this.data = new Float32Array(4096);
        this.n = 0;
    }

    room(n) {
        if (this.n + n > this.data.length) {
            const more = new Float32Array(Math.max(this.data.length * 2, this.n + n));
            more.set(this.data);
            this.data = more;
        }
    }
}

/** Quads of tiles, drawn in order. */
export class Quads extends Floats {
    /**
     * @param {number[]} place   x0, y0, x1, y1
     * @param {number[]} texels  u0, v0, u1, v1 within the tile
     * @param {number} layer
     * @param {number} palette   a row of it
     * @param {number} entry     all of it is this palette entry; -1: look at the layer
     */
    add(place, texels, layer, palette, entry) {
        this.room(QUAD);
        const {data, n} = this;
        for (let i = 0; i < 4; i++) {
            data[n + i] = place[i];
            data[n + 4 + i] = texels[i];
        }
        data[n + 8] = layer;
        data[n + 9] = palette;
        data[n + 10] = entry;
        data[n + 11] = 0;
        this.n += QUAD;
    }

    get count() {
        return this.n / QUAD;
    }
}

/** Plain rectangles, drawn in order. Colours are [r, g, b, a], 0 to 1. */
export class Rects extends Floats {
    add(x0, y0, x1, y1, tint) {
        if (x1 <= x0 || y1 <= y0)
            return;
        this.room(RECT);
        const {data, n} = this;
        data[n] = x0;
        data[n + 1] = y0;
        data[n + 2] = x1;
        data[n + 3] = y1;
        data.set(tint, n + 4);
        this.n += RECT;
    }

    /** The edge of a rectangle, `t` wide, inside of it. */
    frame(x0, y0, x1, y1, t, tint) {
        this.add(x0, y0, x1, y0 + t, tint);
        this.add(x0, y1 - t, x1, y1, tint);
        this.add(x0, y0 + t, x0 + t, y1 - t, tint);
        this.add(x1 - t, y0 + t, x1, y1 - t, tint);
    }

    get count() {
        return this.n / RECT;
    }
}

/** Draws on a canvas. `null` from Renderer.on(): there is no WebGL 2. */
export class Renderer {
    /**
     * @param {HTMLCanvasElement} canvas
     * @param {{layers: number, lost: function(): void, restored: function(): void}} o  layers: of
     *   tiles at once; lost: nothing can be drawn now; restored: all tiles are gone
     */
    static on(canvas, o) {
        const gl = canvas.getContext("webgl2", {alpha: false, antialias: false, depth: false,
            stencil: false, powerPreference: "high-performance"});
        return gl ? new Renderer(canvas, gl, o) : null;
    }

    constructor(canvas, gl, o) {
        this.canvas = canvas;
        this.gl = gl;
        this.wanted = o.layers;
        this.palettes = new Map(); // by name, rows
        this.lost = false;
        canvas.addEventListener("webglcontextlost", (event) => {
            event.preventDefault();
            this.lost = true;
            o.lost();
        });
        canvas.addEventListener("webglcontextrestored", () => {
            this.lost = false;
            this.#setUp();
            o.restored();
        });
        this.#setUp();
    }

    #program(vertex, fragment) {
        const gl = this.gl, program = gl.createProgram();
        for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
            const shader = gl.createShader(kind);
            gl.shaderSource(shader, text);
            gl.compileShader(shader);
            gl.attachShader(program, shader);
        }
        gl.linkProgram(program);
        if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
            throw new Error(`a program of the picture: ${gl.getProgramInfoLog(program)}`);
        return program;
    }

    /** One buffer of instances: attributes of four floats each. */
    #instances(stride) {
        const gl = this.gl, vao = gl.createVertexArray(), buffer = gl.createBuffer();
        gl.bindVertexArray(vao);
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        for (let i = 0; i < stride / 4; i++) {
            gl.enableVertexAttribArray(i);
            gl.vertexAttribPointer(i, 4, gl.FLOAT, false, stride * 4, i * 16);
            gl.vertexAttribDivisor(i, 1);
        }
        return {vao, buffer};
    }

    #setUp() {
        const gl = this.gl;
        this.tileProgram = this.#program(TILE_VERTEX, TILE_FRAGMENT);
        this.rectProgram = this.#program(RECT_VERTEX, RECT_FRAGMENT);
        this.tileInstances = this.#instances(QUAD);
        this.rectInstances = this.#instances(RECT);
        this.layers = Math.min(this.wanted, gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS) || 256);
        this.tiles = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.tiles);
        gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.R8UI, SIZE, SIZE, this.layers);
        this.#nearest(gl.TEXTURE_2D_ARRAY);
        this.palette = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D, this.palette);
        gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, 256, 64);
        this.#nearest(gl.TEXTURE_2D);
        gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
        gl.enable(gl.BLEND);
        gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
        this.palettes.clear();
    }

    #nearest(target) {
        const gl = this.gl;
        for (const what of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
            gl.texParameteri(target, what, gl.NEAREST);
        for (const what of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T])
            gl.texParameteri(target, what, gl.CLAMP_TO_EDGE);
    }

    /** The row of a palette of 256 x 3 bytes; `name` stands for its content. */
    paletteRow(name, rgb) {
        let row = this.palettes.get(name);
        if (row !== undefined)
            return row;
        row = this.palettes.size % 64;
        const gl = this.gl, rgba = new Uint8Array(1024).fill(255);
        for (let i = 0; i < 256; i++)
            rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
        gl.bindTexture(gl.TEXTURE_2D, this.palette);
        gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, row, 256, 1, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
        this.palettes.set(name, row);
        return row;
    }

    /** Puts SIZE x SIZE palette entries into a layer. */
    put(layer, entries) {
        const gl = this.gl;
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.tiles);
        gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, layer, SIZE, SIZE, 1, gl.RED_INTEGER,
            gl.UNSIGNED_BYTE, entries);
    }

    /** Begins a picture: all of it in one colour. */
    begin(width, height, [r, g, b]) {
        const gl = this.gl;
        if (this.canvas.width !== width || this.canvas.height !== height) {
            this.canvas.width = width;
            this.canvas.height = height;
        }
        gl.viewport(0, 0, width, height);
        gl.disable(gl.SCISSOR_TEST);
        gl.clearColor(r, g, b, 1);
        gl.clear(gl.COLOR_BUFFER_BIT);
    }

    /** What follows is drawn within a rectangle only. */
    within(x, y, w, h) {
        const gl = this.gl;
        gl.enable(gl.SCISSOR_TEST);
        gl.scissor(x, this.canvas.height - y - h, w, h);
    }

    #draw(program, {vao, buffer}, list) {
        const gl = this.gl;
        if (!list.count)
            return;
        gl.useProgram(program);
        gl.bindVertexArray(vao);
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.bufferData(gl.ARRAY_BUFFER, list.data.subarray(0, list.n), gl.STREAM_DRAW);
        gl.uniform2f(gl.getUniformLocation(program, "size"), this.canvas.width, this.canvas.height);
        gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, list.count);
    }

    /**
     * @param {Quads} quads
     * @param {number} outside  the palette entry that is not drawn
     */
    drawTiles(quads, outside) {
        const gl = this.gl;
        gl.useProgram(this.tileProgram);
        gl.activeTexture(gl.TEXTURE1);
        gl.bindTexture(gl.TEXTURE_2D, this.palette);
        gl.uniform1i(gl.getUniformLocation(this.tileProgram, "palette"), 1);
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.tiles);
        gl.uniform1i(gl.getUniformLocation(this.tileProgram, "tiles"), 0);
        gl.uniform1i(gl.getUniformLocation(this.tileProgram, "outside"), outside);
        this.#draw(this.tileProgram, this.tileInstances, quads);
    }

    /** @param {Rects} rects */
    drawRects(rects) {
        this.#draw(this.rectProgram, this.rectInstances, rects);
    }
}
