/* SPDX-License-Identifier: Apache-2.0 */
/* tokenize: how fast texts become tokens.
 *
 *   tokenize TEXT TOKENIZER.json...
 *
 * One tab-separated line for each tokenizer: its path, milliseconds to open it, MB/s of the text,
 * tokens. Processor time of one thread, the best of five; the first run of each fills the cache of
 * words as any run does. */
#include "text/text.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"

enum { RUNS = 5 };

static struct sc_str whole(const char *path)
{
    struct sc_source *s;
    struct sc_error e = {0};
    char *p = NULL;
    if (sc_file_open(path, NULL, &s, &e) < 0 || !(p = malloc((size_t)s->size + 1)) ||
        sc_source_read(s, 0, p, (size_t)s->size, &e) < 0) {
        fprintf(stderr, "tokenize: %s\n", e.text);
        exit(1);
    }
    const struct sc_str text = sc_str(p, (size_t)s->size);
    sc_source_close(s);
    return text;
}

static void measure(const char *path, struct sc_str text)
{
    const struct sc_str json = whole(path);
    double open = 1e9, best = 1e9;
    size_t n = 0;
    for (int run = 0; run < RUNS; run++) {
        struct sc_tokenizer *t;
        struct sc_encoder *en;
        struct sc_tokens tokens = {0};
        struct sc_error e = {0};
        double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        if (sc_tokenizer_parse(json, sc_str("", 0), NULL, &t, &e) < 0 ||
            sc_encoder_new(t, &en, &e) < 0) {
            fprintf(stderr, "tokenize: %s: %s\n", path, e.text);
            exit(1);
        }
        open = SC_MIN(open, seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start);
        start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        if (sc_encode(en, text, true, &tokens, &e) < 0)
            exit(1);
        best = SC_MIN(best, seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start);
        n = tokens.n;
        sc_tokens_clear(&tokens);
        sc_encoder_free(en);
        sc_tokenizer_close(t);
    }
    printf("%s\t%.3f\t%.2f\t%zu\n", path, open * 1e3, (double)text.n / best / 1e6, n);
    char *used = NULL;
    memcpy(&used, &json.p, sizeof used);
    free(used);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const struct sc_str text = whole(argv[1]);
    for (int i = 2; i < argc; i++)
        measure(argv[i], text);
    return 0;
}
