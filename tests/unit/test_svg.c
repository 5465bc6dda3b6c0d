/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the kit for pictures: scales, ticks, numbers, text, shapes, labels. */
#include <stdlib.h>

#include "markup.h"
#include "report/svg.h"
#include "test.h"

static struct sc_buf finish(struct sc_svg *s)
{
    struct sc_buf out = {0};
    s->h = 100;
    sc_svg_finish(s, "title", "what", SC_STR("subject"), NULL, &out);
    return out;
}

static bool has(const struct sc_buf *b, const char *text)
{
    return b->p && strstr(b->p, text) != NULL;
}

TEST(values_are_short_and_say_what_they_are)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "1"},
                 {-2.5, "-2.5"},
                 {0.019, "0.019"},
                 {0.0123456, "0.0123"},
                 {123.456, "123"},
                 {9999, "9999"},
                 {10000, "10K"},
                 {12345678, "12.3M"},
                 {999949, "1M"},
                 {1.5e9, "1.5B"},
                 {1e-4, "10⁻⁴"},
                 {2.5e-7, "2.5·10⁻⁷"},
                 {-1e-12, "-10⁻¹²"},
                 {1e15, "10¹⁵"},
                 {3e200, "3·10²⁰⁰"},
                 {NAN, "–"},
                 {INFINITY, "∞"},
                 {-INFINITY, "-∞"},
                 {5e-324, "4.9·10⁻³²⁴"}};
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        CHECK_STR(sc_value_text(cases[i].v).s, cases[i].text);
}

TEST(a_scale_covers_its_values_with_round_limits)
{
    static const double ranges[][2] = {
        {0, 1},       {-3, 7}, {0.0013, 0.0017}, {5, 5},
        {-1e9, 1e12}, {0, 0},  {1e-200, 3e-200}, {-1.7e308, 1.7e308}};
    for (size_t i = 0; i < SC_COUNT(ranges); i++) {
        struct sc_scale s = sc_scale_fit(false, ranges[i][0], ranges[i][1]);
        CHECK(isfinite(s.low) && isfinite(s.high) && s.low < s.high);
        if (fabs(ranges[i][1]) < 1e299) {
            double slack = (s.high - s.low) * 1e-9; /* a step is no power of two */
            CHECK(s.low <= ranges[i][0] + slack && s.high >= ranges[i][1] - slack);
        }
        s.first = 100;
        s.last = 0;
        CHECK(isfinite(sc_scale_at(&s, ranges[i][0])));
    }
    struct sc_scale s = sc_scale_fit(false, 0.3, 9.4);
    CHECK_U64(s.low * 10, 0);
    CHECK_U64(s.high, 10);
}

TEST(a_logarithmic_scale_has_no_place_for_zero)
{
    struct sc_scale s = sc_scale_fit(true, 3, 40000);
    s.first = 0;
    s.last = 500;
    CHECK_NEAR(s.low, 1, 1e-12);
    CHECK_NEAR(s.high, 1e5, 1e-12);
    CHECK_NEAR(sc_scale_at(&s, 100), 200, 1e-9);
    CHECK(isnan(sc_scale_at(&s, 0)) && isnan(sc_scale_at(&s, -1)) && isnan(sc_scale_at(&s, NAN)));
    CHECK(isnan(sc_scale_at(&s, INFINITY)));
    CHECK_NEAR(sc_scale_at(&s, 1e30), 500, 0); /* never outside */
    static const double odd[][2] = {{0, 0}, {-5, -1},         {NAN, 1}, {INFINITY, -INFINITY},
                                    {5, 2}, {5e-324, 1.7e308}};
    for (size_t i = 0; i < SC_COUNT(odd); i++) {
        s = sc_scale_fit(true, odd[i][0], odd[i][1]);
        CHECK(s.low > 0 && s.low < s.high && isfinite(s.high));
    }
}

static void check_ticks(bool log, double min, double max, size_t least, size_t most)
{
    struct sc_scale s = sc_scale_fit(log, min, max);
    struct sc_tick t[SC_TICKS];
    size_t n = sc_scale_ticks(&s, 6, t), named = 0;
    double before = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        CHECK(t[i].v > before);
        CHECK(t[i].v >= s.low - 1e-9 * fabs(s.low) - 1e-300 &&
              t[i].v <= s.high * (1 + 1e-9) + 1e-12);
        CHECK(!t[i].major || t[i].text[0]);
        named += t[i].major;
        before = t[i].v;
    }
    if (named < least || named > most)
        fprintf(stderr, "%g to %g: %zu ticks with text\n", min, max, named);
    CHECK(named >= least && named <= most);
}

TEST(ticks_are_few_round_and_in_order)
{
    check_ticks(false, 0, 1, 4, 12);
    check_ticks(false, -0.0371, 0.0412, 4, 12);
    check_ticks(false, 1e6, 1.00001e6, 3, 12);
    check_ticks(true, 1, 1e5, 4, 8);
    check_ticks(true, 1e-300, 1e300, 3, 10);
    check_ticks(true, 0.017, 0.034, 2, 8); /* within a decade */
    check_ticks(true, 2, 700, 3, 12);
}

TEST(neighbouring_ticks_have_different_texts)
{
    static const double ranges[][2] = {
        {0.0196, 0.0204}, {0, 300}, {1000, 1010}, {0, 0.012}, {16000, 16400}};
    for (size_t k = 0; k < SC_COUNT(ranges); k++) {
        struct sc_scale s = sc_scale_fit(false, ranges[k][0], ranges[k][1]);
        struct sc_tick t[SC_TICKS];
        size_t n = sc_scale_ticks(&s, 5, t);
        for (size_t i = 1; i < n; i++) {
            if (!strcmp(t[i].text, t[i - 1].text))
                fprintf(stderr, "%g and %g are both %s\n", t[i - 1].v, t[i].v, t[i].text);
            CHECK(strcmp(t[i].text, t[i - 1].text) != 0);
        }
    }
}

TEST(an_axis_has_two_numbers_at_least)
{
    struct sc_tick t[SC_TICKS];
    const struct sc_scale s = {.low = -19, .high = 19, .first = 0, .last = 100};
    CHECK(sc_scale_ticks(&s, 3, t) >= 2);
}

TEST(bins_count_what_lies_inside)
{
    static const double v[] = {0, 0.5, 0.99, 1, 2, -1, NAN, INFINITY};
    uint64_t count[4];
    sc_bin(v, SC_COUNT(v), false, 0, 1, 4, count);
    CHECK_U64(count[0], 1);
    CHECK_U64(count[2], 1);
    CHECK_U64(count[3], 2);
    sc_bin(v, SC_COUNT(v), true, 0.1, 10, 2, count);
    CHECK_U64(count[0], 2);
    CHECK_U64(count[1], 2);
}

TEST(foreign_text_cannot_leave_its_place)
{
    struct sc_svg s;
    sc_svg_start(&s, 300, true);
    struct sc_str evil = sc_str("</text><script>\"'&\x1b[31m\xff\0x", 30);
    evil.n = 27;
    sc_svg_text(&s, 1, 2, SC_START, SC_LOOK_LABEL, evil, 0);
    sc_svg_item(&s, 7, evil);
    sc_svg_end_item(&s);
    struct sc_buf out = finish(&s);
    CHECK_STR(markup_problem(out.p), NULL);
    CHECK(!has(&out, "<script") && !has(&out, "\x1b") && !has(&out, "\xff"));
    CHECK(has(&out, "&lt;/text&gt;&lt;script&gt;&quot;&#39;&amp;"));
    CHECK(has(&out, "data-t=\"7\""));
    sc_buf_clear(&out);
}

TEST(shapes_that_are_nowhere_are_not_drawn)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < SC_COUNT(odd); i++) {
        double x[3] = {1, 2, odd[i]}, y[3] = {odd[i], 1, 3};
        struct sc_svg s;
        sc_svg_start(&s, 300, true);
        sc_svg_rect(&s, odd[i], 1, 2, 3, SC_INK_BLUE);
        sc_svg_rect(&s, 1, 1, odd[i], 3, SC_INK_BLUE);
        sc_svg_rect(&s, 1, 1, -5, 3, SC_INK_BLUE);
        sc_svg_hbar(&s, 0, 0, odd[i], 3, SC_INK_BLUE);
        sc_svg_vbar(&s, 0, odd[i], 5, 3, SC_INK_BLUE);
        sc_svg_line(&s, 1, 2, 3, odd[i], SC_INK_BLUE, 1, false);
        sc_svg_area(&s, x, y, y, 3, SC_INK_BLUE);
        for (int shape = SC_SHAPE_CIRCLE; shape <= SC_SHAPE_TICK; shape++)
            sc_svg_mark(&s, (enum sc_mark_shape)shape, 1, odd[i], 4, SC_INK_BLUE);
        sc_svg_text(&s, odd[i], 1, SC_START, SC_LOOK_TICK, SC_STR("x"), 0);
        CHECK_U64(s.b.n, 0);
        CHECK(!sc_svg_label(&s, &(struct sc_box){0, 0, 100, 100}, odd[i], 5, 3, SC_STR("x")));
        sc_svg_clear(&s);
    }
}

TEST(a_line_has_a_gap_where_a_point_is_missing)
{
    struct sc_svg s;
    sc_svg_start(&s, 300, true);
    sc_svg_path(&s, SC_INK_BLUE, 2, true);
    sc_svg_to(&s, 1, 1);
    sc_svg_to(&s, 2, 2);
    sc_svg_to(&s, NAN, 3);
    sc_svg_to(&s, 4, 4.255);
    sc_svg_end_path(&s);
    struct sc_buf out = finish(&s);
    CHECK(has(&out, " d=\"M1 1L2 2M4 4.25m-2 0h4\"") || has(&out, " d=\"M1 1L2 2M4 4.26m-2 0h4\""));
    CHECK_STR(markup_problem(out.p), NULL);
    sc_buf_clear(&out);
}

TEST(a_point_between_gaps_is_seen)
{
    const double x[2] = {10, NAN}, low[2] = {20, 20}, high[2] = {30, 30};
    struct sc_svg s;
    sc_svg_start(&s, 300, true);
    sc_svg_area(&s, x, low, high, 2, SC_INK_BLUE);
    sc_svg_path(&s, SC_INK_BLUE, 2, false);
    sc_svg_to(&s, NAN, 1);
    sc_svg_to(&s, 5, 6);
    sc_svg_to(&s, 1, NAN);
    sc_svg_to(&s, 7, 8);
    sc_svg_to(&s, 9, 8);
    sc_svg_end_path(&s);
    struct sc_buf out = finish(&s);
    CHECK(has(&out, " d=\"M8 30L12 30L12 20L8 20Z\""));
    CHECK(has(&out, " d=\"M5 6m-2 0h4M7 8L9 8\""));
    CHECK_STR(markup_problem(out.p), NULL);
    sc_buf_clear(&out);
}

TEST(long_text_gives_way_in_the_middle)
{
    struct sc_svg s;
    struct sc_str name = SC_STR("layers.12.mlp.experts.127.down_proj");
    sc_svg_start(&s, 300, true);
    sc_svg_text(&s, 0, 0, SC_START, SC_LOOK_LABEL, name, 120);
    struct sc_buf out = finish(&s);
    CHECK(has(&out, ">layers") && has(&out, "…") && has(&out, "_proj<"));
    CHECK(!has(&out, "experts.127"));
    sc_buf_clear(&out);
    /* Letters of several bytes stay whole. */
    sc_svg_start(&s, 300, true);
    sc_svg_text(&s, 0, 0, SC_START, SC_LOOK_LABEL, SC_STR("äöüäöüäöüäöüäöüäöüäöüäöüäöüäöü"), 80);
    out = finish(&s);
    CHECK(sc_utf8_valid(sc_str(out.p, out.n)) && !has(&out, "\xef\xbf\xbd"));
    sc_buf_clear(&out);
}

TEST(labels_keep_out_of_each_others_way)
{
    struct sc_svg s;
    struct sc_box within = {0, 0, 400, 200};
    size_t placed = 0;
    sc_svg_start(&s, 400, true);
    for (int i = 0; i < 30; i++) /* all at one place: only so many fit around it */
        placed += sc_svg_label(&s, &within, 200, 100, 4, SC_STR("layers.0.q_proj"));
    CHECK(placed >= 4 && placed <= 8);
    CHECK_U64(s.n_taken, placed);
    for (size_t i = 0; i < s.n_taken; i++)
        for (size_t k = 0; k < i; k++) {
            const struct sc_box *a = &s.taken[i], *b = &s.taken[k];
            CHECK(a->x >= b->x + b->w || b->x >= a->x + a->w || a->y >= b->y + b->h ||
                  b->y >= a->y + a->h);
        }
    for (size_t i = 0; i < s.n_taken; i++)
        CHECK(s.taken[i].x >= 0 && s.taken[i].x + s.taken[i].w <= 400);
    sc_svg_clear(&s);
}

TEST(a_file_stands_alone_and_a_page_does_not)
{
    struct sc_svg s;
    sc_svg_start(&s, 300, false);
    sc_svg_rect(&s, 1, 1, 2, 2, SC_INK_BLUE);
    sc_svg_note(&s, "Only %d of %d.", 3, 7);
    struct sc_buf out = finish(&s);
    CHECK(has(&out, ".f-blue{fill:#2a78d6}") && has(&out, "Only 3 of 7.") && has(&out, ">title<"));
    CHECK(!has(&out, "var(") && !has(&out, "http://www.w3.org/1999"));
    CHECK_STR(markup_problem(out.p), NULL);
    sc_buf_clear(&out);
    sc_svg_start(&s, 300, true);
    sc_svg_rect(&s, 1, 1, 2, 2, SC_INK_BLUE);
    out = finish(&s);
    CHECK(!has(&out, "<style") && has(&out, "class=\"f-blue\""));
    sc_buf_clear(&out);
}
