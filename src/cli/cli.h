/* SPDX-License-Identifier: Apache-2.0 */
/* cli: the program around the library.
 *
 * Owns: commands and their options (one table: parsing, --help, man page and completions all come
 * from it), standard output and the pager, messages on standard error, signals, exit codes.
 *
 * Does not own: what is computed or how a table looks. This is the only layer that prints, forks
 * or exits.
 *
 *   main.c      argv -> command -> exit code          opt.c         the option parser
 *   commands.c  the tables: commands, common options  cmd_*.c       one command each
 *   sink.c      stdout, pager or file                 session.c     screen, messages, MODELs
 *   help.c, man.c, completions.c                      the tables as text
 *   progress.c  the line that tells how far it is
 *   drawing.c   models that are drawn                 view_live.c   view in a browser
 */
#ifndef SC_CLI_H
#define SC_CLI_H

#include "analyze/analyze.h"
#include "report/report.h"

/* Exit codes; the table with their meaning is in commands.c. */
enum {
    SC_EXIT_OK = 0,
    SC_EXIT_FINDINGS = 1,
    SC_EXIT_USAGE = 2,
    SC_EXIT_INPUT = 3,
    SC_EXIT_NOT_FOUND = 4,
    SC_EXIT_RESOURCE = 5,
    SC_EXIT_INTERRUPTED = 130,
    SC_EXIT_PIPE = 141,
};
struct sc_exit {
    int status;
    const char *meaning;
};
extern const struct sc_exit sc_exits[];
extern const size_t sc_n_exits;
int sc_exit_of(int code); /* of a negative SCRUPLE_E... code */

/* ------------------------------------------------------------------------------- options --- */
/* Words that borrow from argv. NULL-terminated once anything was added. */
struct sc_words {
    const char **p;
    size_t n, cap;
};
int sc_words_add(struct sc_words *w, const char *word, struct sc_error *e);
void sc_words_clear(struct sc_words *w);

/* What options set. One struct for all commands: an option means the same everywhere. */
struct sc_settings {
    bool help, version;
    bool json, csv, ascii, no_pager, quiet;
    bool lenient, flat, no_totals, no_data, man;
    uint64_t verbose; /* how often -v was given */
    uint64_t color;   /* enum sc_when */
    uint64_t sort;    /* enum sc_sort */
    uint64_t depth;
    const char *output, *revision, *token;
    bool offline, dry_run;
    bool repair, only_ranges, only_listings, only_results, only_pyramids, all, yes; /* cache */
    const char *local_dir;
    uint64_t threads;  /* 0: as many as are good */
    uint64_t memory;   /* 0: sc_memory_budget() decides */
    uint64_t progress; /* enum sc_progress_when */
    /* scan */
    const char *methods, *compat, *unfrozen;
    const char *plots, *plot;  /* also activations, super, eval */
    uint64_t bits, group, top; /* set before options are read: SC_SETTINGS_DEFAULT */
    uint64_t fail_on;          /* enum sc_fail_on */
    uint64_t snr;              /* enum sc_snr */
    bool quick, shuffled, no_cache, full, png;
    const char *base;                                      /* scan */
    bool no_base, finetune, no_finetune, strict, no_files; /* diff */
    const char *cast, *by;
    /* quant */
    const char *algorithm, *metric, *threshold, *mix, *granularity, *budget, *seed, *config_file,
        *results, *write, *reconstruct, *mapping;
    uint64_t limit, sample, shard_size;
    uint64_t backend; /* enum sc_backend */
    bool summary, recompute, all_tensors, legacy_sizes, model_wide, curve;
    /* curves */
    uint64_t points, rand_samples;
    const char *out_dir;
    bool legacy;
    bool pyramids;        /* scan */
    bool light, vertical; /* view, show */
    /* view, show */
    const char *picture;                      /* --png FILE */
    const char *pmtiles;                      /* --pmtiles FILE */
    uint64_t mode, plane, scale_of, graphics; /* enums of picture and report */
    uint64_t width;                           /* 0: what fits */
    /* tokenize */
    const char *text_file, *decode;
    bool only_ids, no_special;
    bool changes; /* view --diff */
    /* view */
    const char *bind;
    uint64_t port, fetch;
    bool no_open;
    const char *list, *at; /* view: --at also of what is no model */
    uint64_t layout;       /* enum sc_view_layout */
    /* view --out; out_dir as in curves */
    const char *title, *planes, *regen;
    uint64_t max_zoom, max_bytes, pack_bytes;
    bool single, tiles, sides, force;
    uint64_t tile_format;                      /* enum sc_picture_format */
    const char *token_ids, *text;              /* activations, super, eval */
    uint64_t precision;                        /* enum sc_precision: of all that run a model */
    uint64_t ppl, window, stride, max_windows; /* eval */
    const char *ratio, *share;                 /* super */
    uint64_t rounds, super_by, super_top, per; /* enums: of cmd_super, sc_large_per */
    const char *percent, *above, *kinds, *layers;
    bool verify;
    struct sc_words edits[4]; /* edit: by enum sc_edit_op */
    bool undo, refit;
    const char *held;          /* quant, eval: what recipes hold out */
    struct sc_words quantized; /* eval */
    uint64_t stat, norm;       /* moe: enums of experts */
    const char *eps;
    bool fail, live;
    bool similarity, no_match; /* moe --similarity; threshold as in quant, top as in scan */
    uint64_t definition, rank;
    const char *sketch;
    bool probe, no_maps, trace, pairs; /* moe --probe; window and max_windows as in eval */
    bool reroute;
    const char *text_url, *drop, *trace_file;
    struct sc_words hooks, maps; /* maps: activations */
    struct sc_words formats;
    struct sc_words models, include, exclude;
};
#define SC_SETTINGS_DEFAULT                                                                        \
    {                                                                                              \
        .bits = 8, .group = 128, .top = 10, .shard_size = UINT64_C(5000000000), .points = 400,     \
        .rand_samples = 100, .fetch = UINT64_C(1) << 30, .max_zoom = UINT64_MAX,                   \
        .plane = UINT64_MAX                                                                        \
    }
enum sc_fail_on { SC_FAIL_NEVER, SC_FAIL_INFO, SC_FAIL_WARNING, SC_FAIL_ERROR };
enum sc_snr { SC_SNR_SPECTRUM, SC_SNR_MP };
enum sc_backend { SC_BACKEND_EMULATION, SC_BACKEND_TTNN };
enum sc_when { SC_AUTO, SC_ALWAYS, SC_NEVER };
enum sc_progress_when { SC_PROGRESS_AUTO, SC_PROGRESS_NEVER, SC_PROGRESS_JSON };
void sc_settings_clear(struct sc_settings *s);

enum sc_option_kind {
    SC_OPTION_FLAG,  /* bool: true when given */
    SC_OPTION_COUNT, /* uint64_t: how often it was given */
    SC_OPTION_TEXT,  /* const char *: the last one counts */
    SC_OPTION_UINT,  /* uint64_t */
    SC_OPTION_SIZE,  /* uint64_t: 64M, 1.5G, 2GiB */
    SC_OPTION_ENUM,  /* uint64_t: index into values */
    SC_OPTION_LIST,  /* struct sc_words: every one counts */
};
enum sc_complete {
    SC_COMPLETE_NOTHING,
    SC_COMPLETE_PATH,
    SC_COMPLETE_COMMAND,
    SC_COMPLETE_SHELL,
    SC_COMPLETE_FORMAT, /* names of number formats, several with commas */
};
struct sc_option {
    const char *name;          /* "depth"; never NULL */
    char letter;               /* 'd', or 0 */
    uint8_t kind;              /* enum sc_option_kind */
    uint8_t complete;          /* enum sc_complete: what the argument is */
    uint16_t field;            /* offsetof(struct sc_settings, ...) */
    const char *arg;           /* "N"; NULL for flags and counts */
    const char *const *values; /* words of an ENUM, or to complete; NULL-terminated */
    const char *help;          /* what it does, in the imperative, no period */
};

/* Options that several commands share, declared once. */
enum sc_option_group {
    SC_GROUP_INPUT = 1,  /* --include, --exclude, and those of SC_GROUP_HUB */
    SC_GROUP_OUTPUT = 2, /* --json, --output, --color, ... */
    SC_GROUP_CSV = 4,
    SC_GROUP_COMMON = 8,  /* --quiet, --verbose, --help, --version */
    SC_GROUP_HUB = 16,    /* --revision, --token, --offline */
    SC_GROUP_WORK = 32,   /* --threads, --memory, --progress */
    SC_GROUP_SCREEN = 64, /* those of SC_GROUP_OUTPUT but --output */
};

struct sc_cli;
struct sc_example {
    const char *line, *what;
};
struct sc_command {
    const char *name, *alias;        /* alias may be NULL */
    const char *summary;             /* one line */
    const char *usage;               /* operands: "MODEL... [FILTER...]" */
    const char *description;         /* paragraphs, separated by blank lines */
    const struct sc_option *options; /* its own; the groups follow */
    size_t n_options;
    unsigned groups;                   /* enum sc_option_group */
    unsigned operands;                 /* most words it takes; UINT_MAX: any number */
    uint8_t complete;                  /* enum sc_complete: what the operands are */
    const struct sc_example *examples; /* ends with line == NULL */
    int (*run)(struct sc_cli *c);      /* exit code */
};
extern const struct sc_command *const sc_commands[]; /* NULL-terminated; commands.c */
extern const struct sc_command sc_cmd_tokenize;
extern const struct sc_command sc_cmd_tree, sc_cmd_info, sc_cmd_check, sc_cmd_scan, sc_cmd_diff,
    sc_cmd_quant, sc_cmd_curves, sc_cmd_view, sc_cmd_show, sc_cmd_fetch, sc_cmd_cache,
    sc_cmd_activations, sc_cmd_eval, sc_cmd_super, sc_cmd_moe, sc_cmd_edit, sc_cmd_formats,
    sc_cmd_env, sc_cmd_completions, sc_cmd_help;

/* NULL: no such command. */
const struct sc_command *sc_command_find(const char *name);
/* A command whose name looks like `word`, for "did you mean", or NULL. */
const struct sc_command *sc_command_guess(const char *word);
/* The i-th option of a command, its own first; NULL after the last. */
const struct sc_option *sc_command_option(const struct sc_command *c, size_t i);

/* What was on the command line besides options. */
struct sc_operands {
    struct sc_words words;
    size_t n_before_dashes; /* words in front of "--" */
};
/* args[0] is the first word after the command. Options may stand anywhere; "--" ends them.
 * SCRUPLE_EUSAGE with a sentence in e. */
int sc_options_parse(const struct sc_command *c, const char *const *args, size_t n,
                     struct sc_settings *set, struct sc_operands *operands, struct sc_error *e);

/* ---------------------------------------------------------------------------------- sink --- */
/* Where results go. Output to a terminal is held back until it is longer than the screen, then a
 * pager takes it; output to a file grows under another name and takes its place when complete. */
struct sc_sink {
    int fd;
    bool may_page;
    size_t rows;  /* of the screen */
    size_t lines; /* seen so far, while holding back */
    struct sc_buf held;
    long pager;       /* process, 0: none */
    const char *path; /* --output; NULL: standard output */
    char *target;     /* where the file will stand; NULL: written in place */
    char *temporary;
    const char *volatile unfinished; /* of a sink that was opened before */
    const char *what;                /* for messages: "standard output" */
    bool closed;                     /* the reader went away: no message */
    int status;
    int error; /* errno of the first failure */
};
int sc_sink_open(struct sc_sink *s, const char *path, bool may_page, size_t rows,
                 struct sc_error *e);
int sc_sink_write(void *sink, const char *p, size_t n); /* as sc_out wants it */
/* Wait for the pager, or put the file in place (only if `keep`: else it is as it was). When the
 * reader went away the status is SCRUPLE_EWRITE, `closed` is set and e is not filled. */
int sc_sink_close(struct sc_sink *s, bool keep, struct sc_error *e);

/* ----------------------------------------------------------------------------------- cli --- */
struct sc_cli {
    const struct sc_command *command;
    struct sc_settings set;
    struct sc_operands operands;
    struct sc_term term; /* of the results */
    struct sc_term err;  /* of standard error */
    struct sc_sink sink;
    struct sc_out out;
    struct sc_hub_options hub; /* what the options say of the Hub */
    bool several;              /* models were given: errors say which */
    bool whole; /* what was printed is whole, whatever the exit code: --output is kept */
};
/* Non-zero once SIGINT or SIGTERM came: its number. */
extern _Atomic int sc_cancel;
/* The same, and from then on it is as if none had come, so that what there is can be printed; the
 * next one counts again. 0: there was none. */
int sc_take_cancel(void);
/* A temporary file that a signal which ends the program must remove, or NULL. */
extern const char *volatile sc_unfinished;

/* "scruple: ..." on standard error, made safe. */
void sc_say(const struct sc_cli *c, const char *kind, const char *fmt, ...) SC_PRINTF(3, 4);
/* A note, unless --quiet; ctx is a const struct sc_cli. For those who tell a sentence at a time. */
void sc_say_note(void *ctx, const char *sentence);
/* Print the error and give its exit code. */
int sc_fail_exit(const struct sc_cli *c, const struct sc_error *e);
/* A mistake on the command line: the sentence, and where to read on. */
int sc_usage_exit(const struct sc_cli *c, const struct sc_error *e);
int sc_wrong_use(const struct sc_cli *c, const char *fmt, ...) SC_PRINTF(2, 3);

/* Bytes to standard error, as they are. */
void sc_write_error(const char *p, size_t n);

/* ------------------------------------------------------------------------------- progress --- */
struct sc_progress {
    uint64_t done, total; /* bytes */
    uint64_t moved;       /* of them now: what the rate is made of */
    size_t n_done, n;     /* files */
    const char *what;     /* that is being worked on, or NULL; stays until sc_progress_end() */
};
/* From now on sc_progress_show() draws, if options and standard error ask for it. forced: 1 never,
 * -1 and 0 as they say (HF_HUB_DISABLE_PROGRESS_BARS). Any thread may show. */
extern const char *const sc_progress_words[]; /* of enum sc_progress_when */
void sc_progress_start(const struct sc_cli *c, int forced);
void sc_progress_show(const struct sc_progress *p);
double sc_progress_end(void); /* the line is gone; seconds since the start */
/* Around a message: the line goes away, and nobody draws until sc_progress_go_on(). */
void sc_progress_hide(void);
void sc_progress_go_on(void);

/* The outside of the program, asked once. */
struct sc_screen {
    bool out_tty, err_tty, utf8;
    size_t rows, columns; /* 0: unknown */
};
void sc_screen_look(struct sc_screen *s);
bool sc_colour_wanted(enum sc_when when, bool tty);

/* Which words are models and which are filters. `*paths` is borrowed, filters are added. */
int sc_cli_operands(const struct sc_cli *c, const char *const **paths, size_t *n,
                    struct sc_words *filters, struct sc_error *e);
/* "/models/tiny (local) - 1 file, 61 tensors, 336.5 KB, 184.2K parameters" */
void sc_cli_header(struct sc_cli *c, const struct sc_model *m);
/* "no tensor matches "attm" (did you mean "attn"?)", on standard error. */
void sc_say_no_match(const struct sc_cli *c, const struct sc_model *m, const char *const *words,
                     size_t n);

/* How to draw on this terminal, as --graphics says or the terminal allows. */
enum sc_graphics sc_graphics_of(const struct sc_cli *c);

/* A MODEL opened as the settings say: 0, or the exit code after the error was printed. Notes about
 * what was chosen go to standard error. */
struct sc_open_options sc_cli_open_options(struct sc_cli *c);
int sc_cli_open_with(struct sc_cli *c, const char *path, const struct sc_open_options *o,
                     struct sc_model **out);
bool sc_path_exists(const char *path); /* "-" counts */
/* What opening found, on standard error: each finding of warning or worse with --lenient, else how
 * many there are. */
void sc_cli_findings(const struct sc_cli *c, const struct sc_model *m);

/* What a command prints that is text already. Always SC_EXIT_OK: failures wait in c->out. */
int sc_put_text(struct sc_cli *c, const struct sc_buf *b);

/* The tables as text. */
void sc_help_overview(struct sc_buf *b);
void sc_help_command(struct sc_buf *b, const struct sc_command *c);
void sc_help_usage(struct sc_buf *b); /* one line */
void sc_help_version(struct sc_buf *b);
void sc_help_version_verbose(struct sc_buf *b); /* and what it was built with */
void sc_man_page(struct sc_buf *b);
extern const char *const sc_shells[];                     /* "bash", "zsh", "fish", NULL */
bool sc_completions(struct sc_buf *b, const char *shell); /* false: no such shell */

/* The i-th environment variable that the program reads; NULL after the last. */
const struct sc_hub_variable *sc_variable(size_t i);

#endif
