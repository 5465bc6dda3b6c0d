#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The panels of the viewer in a real browser: search, legend, controls, filters, map, permalinks, help.

What they say is compared with numpy's values of the files and with the server's documents. Most is
worked as people do it: with keys and clicks.
"""
import json
import unittest
from urllib.parse import quote

import numpy as np

from test_viewer import InBrowser
from viewer_page import Viewer

ODD = ['<img src=x onerror="window.hurt=1">', "a#b&c?d<e>f%g", "two\nlines", "t=1&r=2"]
LAYERS = 4


def words(text):
    return json.dumps(text)


class Panels(InBrowser):
    def tensors(self):
        t = {}
        for layer in range(LAYERS):
            for name, shape in (("self_attn.q_proj", (64, 48)), ("mlp.up_proj", (128, 48)),
                                ("mlp.down_proj", (48, 128))):
                x = (self.rng.standard_normal(shape) * 0.02 * (layer + 1)).astype("<f4")
                t[f"model.layers.{layer}.{name}.weight"] = ("F32", x)
            t[f"model.layers.{layer}.input_layernorm.weight"] = ("F32", np.ones(48, "<f4"))
        for name in ODD:
            t[name] = ("F32", self.rng.standard_normal((40, 40)).astype("<f4"))
        return t

    def page_of(self, tensors=None, **how):
        self.held = tensors or self.tensors()
        return self.view(self.model(self.held), **{"width": 1200, "height": 900, **how})

    def text(self, page, selector):
        return page.run(f"document.querySelector({words(selector)})?.textContent ?? null")

    def type(self, page, text):
        page.browser.call("Input.insertText", text=text)

    def search(self, page, text):
        page.key("/")
        self.type(page, text)
        page.wait_for("!document.querySelector('.p-search-popup').hidden")
        self.browser.settle()

    def found(self, page):
        return page.run("[...document.querySelectorAll('.p-found-name')].map((e) => e.textContent)")

    def enter(self, page, key="Enter"):
        page.key(key)
        page.settle()
        self.browser.settle()
        page.settle()

    def selected(self, page):
        return page.run("(({tensor, row, col, view}) => [scruple.views[view].scene.names[tensor], row, col])"
                        "(scruple.store.get('selection') ?? {view: 0})")

    def middle(self, page):
        """The element in the middle of the picture: name, row, column."""
        return page.run("""(() => {
            const {scene} = scruple.front(), {x, y} = scruple.store.get("camera"), place = scene.placeAt(x, y);
            if (place < 0) return null;
            const {row, col} = scene.elementAt(place, x, y);
            return [scene.names[scene.places.tensor[place]], row, col];
        })()""")


class Search(Panels):
    def test_names_words_and_numbers_of_layers(self):
        page = self.page_of()
        for typed in ("layers 3 q_proj", "3.q_proj", "q_proj 3", "Q_PROJ LAYER 3", "blk.3.q_proj",
                      "model.layers.3.self_attn.q_proj.weight"):
            page.run("document.querySelector('#p-search').value = ''")
            self.search(page, typed)
            self.assertEqual(["model.layers.3.self_attn.q_proj.weight"], self.found(page), typed)
            page.key("Escape")
        page.run("document.querySelector('#p-search').value = ''")
        self.search(page, "down")
        self.assertEqual([f"model.layers.{i}.mlp.down_proj.weight" for i in range(LAYERS)], self.found(page))
        page.run("document.querySelector('#p-search').value = ''")
        self.search(page, "nothing like it")
        self.assertEqual([], self.found(page))
        self.assertIn("nothing like it", self.text(page, ".p-search-note"))

    def test_an_element_is_jumped_to(self):
        page = self.page_of()
        self.search(page, "up_proj 2[77, 33]")
        self.enter(page)
        name = "model.layers.2.mlp.up_proj.weight"
        self.assertEqual([name, 77, 33], self.selected(page))
        self.assertEqual([name, 77, 33], self.middle(page))
        page.wait_for("document.querySelector('.p-element-value')")
        shown = float(self.text(page, ".p-element-value"))
        value = self.held[name][1][77, 33]
        self.assertEqual(value, np.float32(shown))
        self.assertEqual(value.tobytes().hex(" "), self.text(page, ".p-element .p-raw"))
        bits = f"{value.view(np.uint32):032b}"
        self.assertEqual([bits[0], bits[1:9], bits[9:]],
                         page.run("[...document.querySelectorAll('.p-element .p-bits span')].map((e) => e.textContent)"))

    def test_no_such_element(self):
        page = self.page_of()
        self.search(page, "layers.0.mlp.up_proj[128, 0]")
        self.assertIn("no such element", self.text(page, ".p-found-detail"))
        page.key("Enter")
        self.assertEqual([None, None, None], self.selected(page))

    def test_a_layer_is_jumped_to(self):
        page = self.page_of()
        self.search(page, "layer 2")
        self.assertIn("layers.2", self.found(page)[0])
        self.enter(page)
        seen = page.run("""(() => {
            const {scene} = scruple.front(), {camera: c, size} = scruple.store.get(), b = scene.boxes;
            const box = b.number.findIndex((n, i) => n === 2 && scene.kinds[b.kind[i]] === "block");
            const w = size.width * 2 ** c.z / 2, h = size.height * 2 ** c.z / 2;
            return [b.x[box] >= c.x - w, b.x[box] + b.w[box] <= c.x + w, b.y[box] >= c.y - h,
                b.y[box] + b.h[box] <= c.y + h, w * 2 < 8 * b.w[box]];
        })()""")
        self.assertEqual([True] * 5, seen)

    def test_the_list_is_worked_with_keys(self):
        page = self.page_of()
        self.search(page, "proj")
        chosen = "document.querySelector('#' + document.querySelector('#p-search').getAttribute('aria-activedescendant'))"
        names = self.found(page)
        self.assertEqual(names[0], page.run(chosen + ".querySelector('.p-found-name').textContent"))
        page.key("ArrowDown")
        page.key("ArrowDown")
        page.key("ArrowUp")
        self.assertEqual(names[1], page.run(chosen + ".querySelector('.p-found-name').textContent"))
        self.assertEqual("true", page.run(chosen + ".getAttribute('aria-selected')"))
        self.enter(page)
        self.assertEqual(names[1], self.selected(page)[0])
        self.assertTrue(page.run("document.querySelector('.p-search-popup').hidden"))
        self.assertTrue(page.run("document.activeElement === scruple.elements.stage"))

    def test_what_is_typed_goes_nowhere_else(self):
        page = self.page_of()
        before = page.run("[scruple.store.get('mode'), scruple.store.get('plane'), scruple.store.get('camera').z]")
        page.key("/")
        for key in "mpk+-0":
            page.key(key)
        self.assertEqual("mpk+-0", page.run("document.querySelector('#p-search').value"))
        self.assertEqual(before, page.run(
            "[scruple.store.get('mode'), scruple.store.get('plane'), scruple.store.get('camera').z]"))

    def test_functions_of_words(self):
        page = self.page_of()
        got = page.run("""import("scruple/words.mjs").then(({placeElement, parseQuery, Names}) => [
            placeElement([3, 1, 2], [4, 5, 6], {slices: 4, rows: 5, cols: 6}),
            placeElement([1, 2, 3, 4], [2, 3, 4, 5], {slices: 1, rows: 2, cols: 60}),
            placeElement([7], [8], {slices: 1, rows: 1, cols: 8}),
            placeElement([], [], {slices: 1, rows: 1, cols: 1}),
            placeElement([4, 0, 0], [4, 5, 6], {slices: 4, rows: 5, cols: 6}),
            placeElement([0, 9007199254740991], [4, 5], {slices: 1, rows: 4, cols: 5}),
            parseQuery("a[1,2").element, parseQuery("a[99999999999999999999,1]").element,
            new Names(["x.13.y", "x.3.y", "x.03.y"]).search(parseQuery("3"), 9).found])""")
        self.assertEqual([{"slice": 3, "row": 1, "col": 2}, {"slice": 0, "row": 1, "col": 2 * 20 + 3 * 5 + 4},
                          {"slice": 0, "row": 0, "col": 7}, {"slice": 0, "row": 0, "col": 0}, None, None, None, None,
                          [1, 2]], got)


class Colours(Panels):
    def ticks(self, page):
        return page.run("[...document.querySelectorAll('.p-tick[data-value]')].map((t) => Number(t.dataset.value))")

    def choose(self, page, what, value):
        page.do(f"const s = document.querySelector('#p-{what}'); s.value = {words(value)};"
                "s.dispatchEvent(new Event('change'))")
        self.browser.settle()

    def test_numbers_of_the_legend_are_those_of_the_scales(self):
        page = self.page_of()
        scales = self.get("0/scales.json")
        name = "model.layers.1.mlp.up_proj.weight"
        i = sorted(range(len(self.held)), key=lambda k: k)[page.run(f"scruple.front().scene.names.indexOf({words(name)})")]
        page.do(f"scruple.goTo({{view: 0, tensor: {i}}}, {{animate: false}})")
        ends = {"tensor": {"robust": scales["robust"][i], "abs": scales["abs"][i]},
                "role": scales["roles"]["up_proj"], "model": scales["model"]}
        for of, want in ends.items():
            for plane, key in (("mean", "robust"), ("abs", "abs"), ("rms", "robust"), ("max", "abs")):
                self.choose(page, "scaleOf", of)
                self.choose(page, "plane", plane)
                ticks = self.ticks(page)
                self.assertEqual((-want[key], want[key]), (ticks[0], ticks[-1]), (of, plane))
                self.assertIn(0, ticks)
                self.assertEqual(sorted(ticks), ticks)

    def test_where_numbers_stand(self):
        """A tick stands where its value has its step."""
        page = self.page_of()
        page.do("scruple.goTo({view: 0, tensor: 0}, {animate: false})")
        for mode in ("diverging", "linear", "magnitude"):
            self.choose(page, "mode", mode)
            wrong = page.run("""(() => {
                const {scene, scales} = scruple.front(), {mode, plane, scaleOf} = scruple.store.get();
                const {tensor} = scruple.store.get("selection");
                const table = scruple.colours.table(mode, scales.of(tensor, plane, scaleOf), scene.typeOf(tensor).least);
                const bits = (x) => new Uint32Array(new Float32Array([x]).buffer)[0];
                return [...document.querySelectorAll(".p-tick[data-value]")].map((t) => {
                    const v = Number(t.dataset.value), step = v === 0 ? 120 : table.entryOf(bits(v));
                    return Math.abs(parseFloat(t.style.left) / 100 * 240 - step - 0.5);
                }).filter((far) => far > 1.01);
            })()""")
            self.assertEqual([], wrong, mode)

    def test_every_mode_has_a_legend(self):
        page = self.page_of()
        page.do("scruple.goTo({view: 0, tensor: 0}, {animate: false})")
        seen = set()
        for mode in [m["name"] for m in self.get("colours.json")["modes"] if "weights" in m["shows"]]:
            self.choose(page, "mode", mode)
            page.settle()
            self.assertEqual(mode, page.run("scruple.store.get('mode')"))
            self.assertGreater(page.run("document.querySelectorAll('.p-tick').length"), 1, mode)
            seen.add((self.text(page, ".p-ticks"), self.text(page, ".p-legend-of")))
        self.assertEqual(7, len(seen))

    def test_colours_of_the_bar_are_those_of_the_palette(self):
        page = self.page_of()
        for ground in ("dark", "light"):
            page.do(f"scruple.store.set({{ground: '{ground}'}})")
            self.browser.settle()
            got = page.run("Array.from(document.querySelector('.p-bar').getContext('2d').getImageData(0, 0, 240, 1).data)")
            rgb = np.array(got, np.uint32).reshape(240, 4)
            np.testing.assert_array_equal(self.palette("diverging", ground)[:240],
                                          rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2])
            zero = page.run("document.querySelector('[data-special=zero] rect').getAttribute('fill')")
            rgb = int(self.palette("diverging", ground)[241])
            self.assertEqual(f"rgb({rgb >> 16}, {rgb >> 8 & 255}, {rgb & 255})", zero)

    def test_the_value_under_the_pointer_is_marked(self):
        t = self.tensors()
        x = t["model.layers.0.mlp.up_proj.weight"][1]
        x[5, 6] = 0
        x[5, 7] = np.nan
        page = self.page_of(t)
        for row, col, special in ((5, 6, "zero"), (5, 7, "nan"), (9, 9, None)):
            page.do("scruple.goTo({view: 0, tensor: scruple.front().scene.names.indexOf('model.layers.0.mlp.up_proj.weight'),"
                    f" row: {row}, col: {col}}}, {{animate: false, select: false}})")
            page.mouse("mouseMoved", *page.element_at("model.layers.0.mlp.up_proj.weight", row, col))
            page.wait_for("scruple.store.get('hover')?.raw !== undefined")
            self.browser.settle()
            self.assertEqual(special, page.run("document.querySelector('.p-swatches .p-on')?.dataset.special ?? null"))
            self.assertEqual(special is not None, page.run("document.querySelector('.p-marker').hidden"))
        at = page.run("parseFloat(document.querySelector('.p-marker').style.left)")
        self.assertEqual(x[9, 9] > 0, at > 50)

    def test_controls_follow_keys(self):
        page = self.page_of()
        for key, state, control in (("m", "mode", "#p-mode"), ("p", "plane", "#p-plane"), ("k", "scaleOf", "#p-scaleOf")):
            first = page.run(f"scruple.store.get('{state}')")
            page.key(key)
            self.browser.settle()
            second = page.run(f"scruple.store.get('{state}')")
            self.assertNotEqual(first, second)
            self.assertEqual(second, page.run(f"document.querySelector('{control}').value"))
            page.key(key.upper(), shift=True)
            self.assertEqual(first, page.run(f"scruple.store.get('{state}')"))


class Tensor(Panels):
    def select(self, page, name):
        page.do(f"scruple.goTo({{view: 0, tensor: scruple.front().scene.names.indexOf({words(name)})}}, {{animate: false}})")
        page.wait_for("document.querySelector('.p-values .p-facts')")
        self.browser.settle()

    def test_figures_and_histogram_are_those_of_the_values(self):
        t = self.tensors()
        name = "model.layers.1.mlp.down_proj.weight"
        x = t[name][1]
        x[3, :7] = 0
        x[4, 0], x[4, 1] = np.nan, np.inf
        page = self.page_of(t)
        self.select(page, name)
        finite = x[np.isfinite(x)].astype(np.float64)
        end = np.abs(finite).max()
        want = np.bincount(np.minimum(((finite / end + 1) / 2 * 128).astype(int), 127), minlength=128)
        got = page.run("document.querySelector('.p-histogram').dataset.counts").split()
        self.assertEqual(want.tolist(), [int(n) for n in got])
        facts = dict(page.run("[...document.querySelectorAll('#p-details .p-facts div')].map((d) =>"
                              " [d.children[0].textContent, d.children[1].textContent])"))
        self.assertEqual("48 \u00d7 128", facts["shape"])
        self.assertEqual("F32", facts["type"])
        self.assertTrue(facts["zeros"].startswith("7 "), facts)
        self.assertTrue(facts["NaN, \u00b1\u221e"].startswith("2 "), facts)
        for key, value in (("least", finite.min()), ("largest", finite.max()), ("mean", finite.mean()),
                           ("root mean square", np.sqrt((finite ** 2).mean())), ("largest |x|", end)):
            self.assertAlmostEqual(1, float(facts[key].replace("\u2212", "-")) / value, 3, key)

    def bars(self, page, selector):
        """Heights of a strip, from its path."""
        return page.run("""((d) => {
            const heights = [];
            for (const [, y, x] of d.matchAll(/V([-\\d.]+)(?:H(\\d+))?|H(\\d+)/g)) void [y, x];
            let height = 0, at = 0;
            for (const m of d.matchAll(/([VH])([-\\d.]+)/g)) {
                if (m[1] === "V") height = 100 - Number(m[2]);
                else while (at < Number(m[2])) { heights.push(height); at++; }
            }
            return heights;
        })(document.querySelector(%s).getAttribute("d"))""" % words(selector))

    def test_profiles_jump(self):
        t = self.tensors()
        name = "model.layers.1.mlp.down_proj.weight"
        t[name][1][:, 100] *= 20
        page = self.page_of(t)
        self.select(page, name)
        heights = self.bars(page, ".p-profile-column .p-strip-more")
        x = t[name][1].astype(np.float64)
        want = np.sqrt((x ** 2).mean(axis=0))
        np.testing.assert_allclose(heights, 100 * want / want.max(), atol=0.06)
        box = page.run("(({left, top, width, height}) => [left, top, width, height])(document.querySelector("
                       "'.p-profile-column .p-strip-face').getBoundingClientRect())")
        page.click(box[0] + (100 + 0.5) * box[2] / 128, box[1] + box[3] / 2)
        page.settle()
        self.assertEqual([name, 100], [self.selected(page)[k] for k in (0, 2)])
        self.assertEqual([name, 100], [self.middle(page)[k] for k in (0, 2)])
        # and with keys
        page.run("document.querySelector('.p-profile-row .p-strip-face').focus()")
        for key in ("Home", "ArrowRight", "ArrowRight", "Enter"):
            page.key(key)
        page.settle()
        self.assertEqual([name, 2, 100], self.selected(page))

    def test_logarithmic_counts(self):
        page = self.page_of()
        self.select(page, "model.layers.1.mlp.down_proj.weight")
        linear = self.bars(page, ".p-histogram .p-strip-less")
        page.do("document.querySelector('#p-log').click()")
        self.assertLess(sum(linear), sum(self.bars(page, ".p-histogram .p-strip-less")))
        counts = [int(n) for n in page.run("document.querySelector('.p-histogram').dataset.counts").split()]
        most = np.log1p(max(counts))
        np.testing.assert_allclose(self.bars(page, ".p-histogram .p-strip-less"),
                                   [100 * np.log1p(n) / most for n in counts[:64]], atol=0.06)

    def test_the_same_of_another_layer(self):
        page = self.page_of()
        self.select(page, "model.layers.1.mlp.down_proj.weight")
        press = "document.querySelectorAll('.p-steps button')[%d].click()"
        page.do(press % 1)
        self.assertEqual("model.layers.2.mlp.down_proj.weight", self.selected(page)[0])
        page.do(press % 0)
        page.do(press % 0)
        self.assertEqual("model.layers.0.mlp.down_proj.weight", self.selected(page)[0])
        self.browser.settle()
        self.assertTrue(page.run("document.querySelectorAll('.p-steps button')[0].disabled"))

    def test_a_click_selects(self):
        page = self.page_of()
        page.do("scruple.goTo({view: 0, tensor: 1, row: 4, col: 5}, {animate: false, select: false})")
        name = page.run("scruple.front().scene.names[1]")
        page.click(*page.element_at(name, 4, 5))
        page.wait_for("document.querySelector('.p-element-value')")
        self.assertEqual([name, 4, 5], self.selected(page))
        self.assertEqual(name, self.text(page, ".p-tensor-name"))
        page.key("Escape")
        self.browser.settle()
        self.assertIsNone(self.text(page, ".p-tensor-name"))

    def test_a_tensor_that_cannot_be_read(self):
        page = self.page_of()
        page.run("scruple.front().figures = () => Promise.reject(new Error('It is gone.'))")
        page.do("scruple.goTo({view: 0, tensor: 2}, {animate: false})")
        page.wait_for("document.querySelector('.p-sorry')")
        self.assertEqual("It is gone.", self.text(page, ".p-sorry"))


class Filter(Panels):
    def dimmed(self, page):
        """Names whose places are dimmed."""
        return set(page.run("""(() => {
            const {scene} = scruple.front(), filter = scruple.store.get("filter")[0];
            return filter ? Array.from(filter).flatMap((on, i) => on ? [] : [scene.names[scene.places.tensor[i]]]) : [];
        })()"""))

    def test_by_role_layer_and_words(self):
        page = self.page_of()
        every = set(self.held)
        page.key("f")
        page.do("document.querySelector('.p-chip[data-word=up_proj]').click()")
        page.wait_for("scruple.store.get('filter')[0]")
        self.assertEqual({n for n in every if "up_proj" not in n}, self.dimmed(page))
        self.assertIn(f"{LAYERS} of {len(every)}", self.text(page, ".p-filter-count"))
        page.do("document.querySelector('.p-chip[data-word=q_proj]').click()")
        page.do("const i = document.querySelector('.p-layers input'); i.value = '2'; i.dispatchEvent(new Event('input'))")
        page.wait_for("document.querySelector('.p-filter-count').textContent.startsWith('4 of')")
        self.assertEqual({n for n in every if not (("up_proj" in n or "q_proj" in n) and n[13:14] in "23")},
                         self.dimmed(page))
        page.run("document.querySelector('#p-filter-words').focus()")
        self.type(page, "layers 3")
        page.wait_for("document.querySelector('.p-filter-count').textContent.startsWith('2 of')")
        page.run("scruple.elements.stage.focus()")
        page.key("F", shift=True)
        page.wait_for("scruple.store.get('filter')[0] === null")
        self.assertIn(f"{len(every)} tensors", self.text(page, ".p-filter-count"))

    def test_what_is_dimmed_looks_so(self):
        page = self.page_of()
        page.do("scruple.fit(false)")
        before = page.pixels()
        page.key("f")
        page.settle()
        page.do("document.querySelector('.p-chip[data-word=norm]').click()")
        page.wait_for("scruple.store.get('filter')[0]")
        page.do("scruple.fit(false)")
        self.assertNotEqual(before.shape, page.pixels().shape)  # the panel takes room
        dim = page.pixels()
        page.key("F", shift=True)
        page.wait_for("scruple.store.get('filter')[0] === null")
        page.settle()
        self.assertGreater((dim != page.pixels()).sum(), 1000)


class Links(Panels):
    def link(self, page):
        return page.run("scruple.link()").split("#", 1)[1]

    def test_there_and_back_with_every_name(self):
        page = self.page_of()
        for name in [*ODD, "model.layers.2.mlp.up_proj.weight"]:
            page.do(f"scruple.store.set({{mode: 'magnitude', plane: 'abs', scaleOf: 'role'}});"
                    f"scruple.goTo({{view: 0, tensor: scruple.front().scene.names.indexOf({words(name)}), row: 12, col: 34}},"
                    "{animate: false, zoom: -2})")
            link = self.link(page)
            self.assertIn("t=" + quote(name, safe="!'()*-._~"), link.split("&"))
            self.assertLessEqual({"r=12", "c=34", "z=-2", "m=magnitude", "p=abs", "k=role"}, set(link.split("&")))
            again = Viewer(self.browser, self.url + "#" + link, width=1200, height=900)
            self.assertEqual([name, 12, 34], self.selected(again))
            self.assertEqual([name, 12, 34], self.middle(again))
            self.assertEqual(["magnitude", "abs", "role", -2], again.run(
                "[scruple.store.get('mode'), scruple.store.get('plane'), scruple.store.get('scaleOf'), scruple.store.get('camera').z]"))
            page = again

    def test_the_address_follows(self):
        page = self.page_of()
        page.do("scruple.store.set({mode: 'sign'}); scruple.camera.jump({x: 100, y: 60, z: -1})")
        page.wait_for("location.hash.includes('m=sign')")
        again = Viewer(self.browser, self.url + page.run("location.hash"), width=1200, height=900)
        camera = again.run("scruple.store.get('camera')")
        self.assertEqual((100, 60, -1), (round(camera["x"]), round(camera["y"]), camera["z"]))
        again.run("location.hash = '#m=linear&t=model.layers.0.mlp.up_proj.weight&r=1&c=2'")
        again.wait_for("scruple.store.get('mode') === 'linear' && scruple.store.get('selection')?.col === 2")

    def test_what_is_not_understood_is_left_alone(self):
        page = self.page_of()
        state = "JSON.stringify([scruple.store.get('mode'), scruple.store.get('plane'), scruple.store.get('camera'), scruple.store.get('selection')])"
        before = page.run(state)
        for bad in ("%", "t=%E0%A4%A", "t=not+there&r=1&c=1", "m=<script>", "m=__proto__&p=constructor&k=toString", "z=NaN",
                    "z=1e999&x=Infinity&y=1", "v=99&a=swipe", "r=-1&c=2", "=&&=&t", "t=" + "x" * 70000, "x=5"):
            page.run(f"location.hash = {words('#' + bad)}")
            self.browser.settle()
            page.settle()
            self.assertEqual(before, page.run(state), bad[:40])

    def test_an_element_that_is_not_there(self):
        page = self.page_of()
        page.run("location.hash = '#t=model.layers.0.mlp.up_proj.weight&r=128&c=0'")
        page.wait_for("scruple.store.get('selection')")
        self.assertEqual(["model.layers.0.mlp.up_proj.weight", None, None], self.selected(page))


class Around(Panels):
    def test_the_map_moves_the_picture(self):
        page = self.page_of()
        page.do("scruple.camera.jump({z: -1})")
        box = page.run("(({left, top, width, height}) => [left, top, width, height])"
                       "(document.querySelector('.p-map-canvas').getBoundingClientRect())")
        width, height = page.run("[scruple.front().scene.width, scruple.front().scene.height]")
        for across, down in ((0.25, 0.75), (0.8, 0.2)):
            page.mouse("mousePressed", box[0] + box[2] / 2, box[1] + box[3] / 2, button="left", clickCount=1)
            page.mouse("mouseMoved", box[0] + across * box[2], box[1] + down * box[3], button="left", buttons=1)
            page.mouse("mouseReleased", box[0] + across * box[2], box[1] + down * box[3], button="left", clickCount=1)
            page.settle()
            camera = page.run("scruple.store.get('camera')")
            self.assertLess(abs(camera["x"] - across * width), 0.02 * width)
            self.assertLess(abs(camera["y"] - down * height), 0.02 * height)
        self.assertIsNone(page.run("scruple.store.get('selection')"))

    def test_everything_by_keyboard(self):
        page = self.page_of()
        for key, panel in (("i", "details"), ("f", "filters"), ("g", "legend"), ("n", "map")):
            shown = f"!document.querySelector('#p-{panel}').hidden"
            before = page.run(shown)
            page.run("scruple.elements.stage.focus()")
            page.key(key)
            self.assertNotEqual(before, page.run(shown), panel)
            self.assertEqual(str(not before).lower(), page.run(
                f"document.querySelector('[aria-controls=p-{panel}]').getAttribute('aria-expanded')"))
        page.run("scruple.elements.stage.focus()")
        page.key("?", shift=True)
        self.assertTrue(page.run("document.querySelector('.p-help').open"))
        listed = page.run("[...document.querySelectorAll('.p-help kbd')].map((k) => k.textContent)")
        for key in ("/", "f", "g", "n", "i", "m", "p", "k", "?", "s"):
            self.assertIn(key, listed)
        page.browser.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
        page.wait_for("!document.querySelector('.p-help').open")

    def test_every_control_has_a_name_and_takes_the_focus(self):
        page = self.page_of()
        page.do("scruple.goTo({view: 0, tensor: 1, row: 1, col: 1}, {animate: false})")
        page.key("f")
        page.wait_for("document.querySelector('.p-values .p-facts')")
        nameless = page.run("""[...document.querySelectorAll("button, input, select, [role=slider], canvas.p-map-canvas")].filter((e) =>
            e.offsetParent && !(e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML)""")
        self.assertEqual([], nameless)
        seen = set()
        page.run("document.activeElement.blur()")
        for _ in range(70):
            page.browser.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
            page.browser.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
            seen.add(page.run("document.activeElement.id || document.activeElement.title || document.activeElement.className"))
        for wanted in ("p-search", "p-mode", "p-plane", "p-scaleOf", "stage", "p-filter-words", "p-map-canvas",
                       "Copy the name of the tensor", "p-log"):
            self.assertIn(wanted, seen)

    def contrast(self, a, b):
        def light(rgb):
            c = [v / 255 for v in rgb]
            c = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in c]
            return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]
        x, y = sorted((light(a), light(b)))
        return (y + 0.05) / (x + 0.05)

    def test_texts_can_be_read(self):
        page = self.page_of()
        page.do("scruple.goTo({view: 0, tensor: 1, row: 1, col: 1}, {animate: false})")
        page.key("f")
        page.do("document.querySelector('.p-chip').click()")
        page.wait_for("document.querySelector('.p-values .p-facts')")
        for ground in ("dark", "light"):
            page.do(f"scruple.store.set({{ground: '{ground}'}})")
            self.browser.settle()
            texts = page.run("""(() => {
                const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number), out = [];
                const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
                for (let node = walk.nextNode(); node; node = walk.nextNode()) {
                    const e = node.parentElement;
                    if (!node.data.trim() || !e.offsetParent || !e.checkVisibility() || e.closest(":disabled, .p-unseen")) continue;
                    let ground = e;
                    while (ground && numbers(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
                    out.push([node.data.trim(), numbers(getComputedStyle(e).color), numbers(getComputedStyle(ground ?? document.body).backgroundColor)]);
                }
                return out;
            })()""")
            self.assertGreater(len(texts), 60)
            for text, ink, paper in texts:
                self.assertGreaterEqual(self.contrast(ink[:3], paper[:3]), 4.5, (ground, text, ink, paper))

    def test_a_narrow_window(self):
        page = self.page_of(width=360, height=740)
        page.do("scruple.goTo({view: 0, tensor: 1, row: 3, col: 2}, {animate: false})")
        page.wait_for("document.querySelector('.p-read-value')?.textContent > ''")
        name = page.run("scruple.front().scene.names[1]")
        page.wait_for("!document.querySelector('.p-read-value').textContent.includes('\u2026')")
        self.assertEqual(self.held[name][1].reshape(-1, self.held[name][1].shape[-1])[3, 2],
                         np.float32(self.text(page, ".p-read-value")))
        for state in ("", "document.querySelector('[aria-controls=p-details]').click()",
                      "document.querySelector('[aria-controls=p-filters]').click()"):
            page.do(state)
            wide = page.run("[...document.querySelectorAll('.bar *, .side > *, .corner > *')].filter((e) => e.offsetParent &&"
                            " !e.closest('.p-unseen, svg') && (e.getBoundingClientRect().right > 361 || e.getBoundingClientRect().left < -1))"
                            ".map((e) => e.className)")
            self.assertEqual([], wide)
            self.assertGreater(page.run("scruple.elements.stage.clientHeight"), 200)

    def test_panels_of_a_narrow_window_leave_the_picture_free(self):
        page = self.page_of(width=420, height=800)
        box = "(id) => {const r = document.getElementById(id).getBoundingClientRect(); return [r.top, r.bottom, r.left, r.right];}"
        seen = """(() => {
            const s = scruple.elements.stage.getBoundingClientRect(), {x, y, z} = scruple.camera.end, n = scruple.front().scene;
            const down = (v) => s.top + s.height / 2 + (v - y) / 2 ** z / devicePixelRatio;
            return [down(0), down(n.height), s.top];
        })()"""
        top, bottom, stage = page.run(seen)
        legend = page.run(f"({box})('p-legend')")
        self.assertGreater(legend[1] - legend[0], 40)
        self.assertLessEqual(stage, top)
        self.assertLessEqual(bottom, legend[0])
        page.run("document.querySelector('[aria-controls=p-map]').click()")
        page.settle()
        chart = page.run(f"({box})('p-map')")
        self.assertGreater(chart[1] - chart[0], 40)
        self.assertTrue(chart[1] <= legend[0] or chart[3] <= legend[2], (chart, legend))
        # Without the legend there is more room, and who saw everything sees it larger or in the middle.
        page.run("document.querySelector('#p-legend header button').click()")
        page.wait_for("scruple.camera.covered === 0")
        a, b, _ = page.run(seen)
        self.assertGreaterEqual((a + b) / 2, (top + bottom) / 2)

    def test_names_stay_text_and_nothing_comes_from_elsewhere(self):
        page = self.page_of()
        for name in ODD:
            page.do(f"scruple.goTo({{view: 0, tensor: scruple.front().scene.names.indexOf({words(name)}), row: 1, col: 1}}, {{animate: false}})")
            self.browser.settle()
            self.assertEqual(name, self.text(page, ".p-tensor-name"))
            self.assertIn(name, self.text(page, ".p-legend-of"))
            page.run("document.querySelector('#p-search').value = ''")
            self.search(page, name.split("\n")[0])
            self.assertIn(name, self.found(page))
            page.key("Escape")
            page.key("Escape")
            page.run("scruple.elements.stage.focus()")
        self.assertEqual([0, None], page.run("[document.querySelectorAll('img, iframe, object').length, window.hurt ?? null]"))
        elsewhere = [u for u in self.browser.requests if not u.startswith((self.url, "data:", "blob:", "about:"))]
        self.assertEqual([], elsewhere)


class Compared(Panels):
    def setUp(self):
        super().setUp()
        self.a = self.tensors()
        self.b = {n: (d, (x + self.rng.standard_normal(x.shape) * 0.01).astype("<f4"))
                  for n, (d, x) in self.a.items() if ".3." not in n}

    def page_of_both(self):
        return self.view(self.model(self.a, "a.safetensors"), self.model(self.b, "b.safetensors"), width=1200, height=900)

    def test_both_values_and_what_is_between_them(self):
        page = self.page_of_both()
        name = "model.layers.1.mlp.up_proj.weight"
        page.do(f"scruple.goTo({{view: 0, tensor: scruple.views[0].scene.names.indexOf({words(name)}), row: 7, col: 8}}, {{animate: false}})")
        page.wait_for("document.querySelector('.p-delta')")
        a, b = (t[name][1][7, 8] for t in (self.a, self.b))
        shown = page.run("[...document.querySelectorAll('.p-element-value')].map((e) => e.textContent)")
        self.assertEqual([a, b], [np.float32(v) for v in shown])
        delta = float(self.text(page, ".p-delta").split(" ")[-1])
        self.assertAlmostEqual(1, delta / (float(b) - float(a)), 6)
        only = "model.layers.3.mlp.up_proj.weight"
        page.do(f"scruple.goTo({{view: 0, tensor: scruple.views[0].scene.names.indexOf({words(only)}), row: 7, col: 8}}, {{animate: false}})")
        page.wait_for("document.querySelector('.p-element .p-hint')")
        self.assertIn("no such element", self.text(page, ".p-element .p-hint"))

    def test_which_model_is_in_front_and_how_they_are_compared(self):
        page = self.page_of_both()
        for how in ("swipe", "blink", "none", "side"):
            page.do(f"const s = document.querySelector('#p-compare'); s.value = '{how}'; s.dispatchEvent(new Event('change'))")
            self.assertEqual(how, page.run("scruple.store.get('compare')"))
            self.assertIn("a=" + how, page.run("scruple.link()"))
        page.do("document.querySelector('#p-view').click()")
        self.assertEqual(1, page.run("scruple.store.get('view')"))
        self.browser.settle()
        self.assertIn("b", self.text(page, "#p-view"))
        again = Viewer(self.browser, page.run("scruple.link()"), width=1200, height=900)
        self.assertEqual([1, "side"], again.run("[scruple.store.get('view'), scruple.store.get('compare')]"))


if __name__ == "__main__":
    unittest.main()
