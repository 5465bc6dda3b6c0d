/* SPDX-License-Identifier: Apache-2.0 */
/* load_gguf_pre: how the models cut texts whose GGUF files only name it (tokenizer.ggml.pre). Each
 * row says what tokenizer.json of these models says. */
#include "text/load_gguf.h"
#include "text/load_stages.h"

#include <string.h>

#define ENGLISH "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3  ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" TAIL
#define QWEN2   ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" TAIL
#define QWEN35                                                                                     \
    ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|"  \
            "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER     "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TAIL_O200 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define O200K     UPPER "*" LOWER "+" ENGLISH "?|" UPPER "+" LOWER "*" ENGLISH "?|\\p{N}{1,3}" TAIL_O200
#define TEKKEN    UPPER "*" LOWER "+|" UPPER "+" LOWER "*|\\p{N}" TAIL_O200
#define CJK       "[\\u4e00-\\u9fa5\\u0800-\\u4e00\\uac00-\\ud7ff]+"
#define BLOOM     " ?[^(\\s|.,!?\\u2026\\u3002\\uff0c\\u3001\\u0964\\u06d4\\u060c)]+"
#define SEED                                                                                       \
    ENGLISH "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|"  \
            "\\s+(?!\\S)|\\s+"
#define BAILING                                                                                    \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|" \
    "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
#define DEEPSEEK3                                                                                  \
    "[!\"#$%&'()*+,\\-./"                                                                          \
    ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"              \
    " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* Letters with case, without those that Unicode added since. */
#define CASED                                                                                      \
    "A-Za-z\\u00b5\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u01ba\\u01bc-\\u01bf\\u01c4-\\u0293"     \
    "\\u0295-\\u02af\\u0370-\\u0373\\u0376\\u0377\\u037b-\\u037d\\u037f\\u0386\\u0388-\\u038a"     \
    "\\u038c\\u038e-\\u03a1\\u03a3-\\u03f5\\u03f7-\\u0481\\u048a-\\u052f\\u0531-\\u0556"           \
    "\\u10a0-\\u10c5\\u13a0-\\u13f5\\u13f8-\\u13fd\\u1c90-\\u1cba\\u1cbd-\\u1cbf"                  \
    "\\u1d00-\\u1d2b\\u1d6b-\\u1d77\\u1d79-\\u1d9a\\u1e00-\\u1f15\\u1f18-\\u1f1d"                  \
    "\\u1f20-\\u1f45\\u1f48-\\u1f4d\\u1f50-\\u1f57\\u1f59\\u1f5b\\u1f5d\\u1f5f-\\u1f7d"            \
    "\\u1f80-\\u1fb4\\u1fb6-\\u1fbc\\u1fbe\\u1fc2-\\u1fc4\\u1fc6-\\u1fcc\\u1fd0-\\u1fd3"           \
    "\\u1fd6-\\u1fdb\\u1fe0-\\u1fec\\u1ff2-\\u1ff4\\u1ff6-\\u1ffc\\u2102\\u2107"                   \
    "\\u210a-\\u2113\\u2115\\u2119-\\u211d\\u2124\\u2126\\u2128\\u212a-\\u212d\\u212f-\\u2134"     \
    "\\u2139\\u213c-\\u213f\\u2145-\\u2149\\u214e\\u2183\\u2184\\u2c00-\\u2c7b\\u2c7e-\\u2ce4"     \
    "\\u2ceb-\\u2cee\\u2cf2\\u2cf3\\ua640-\\ua66d\\ua680-\\ua69b\\ua722-\\ua76f"                   \
    "\\ua771-\\ua787\\ua78b-\\ua78e\\uab70-\\uabbf\\ufb00-\\ufb06\\ufb13-\\ufb17"                  \
    "\\uff21-\\uff3a\\uff41-\\uff5a\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"                     \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"         \
    "\\x{1e900}-\\x{1e943}"

/* What comes before a pattern says how it cuts: "gpt2" stands for GPT-2's own. */
struct row {
    const char *names; /* separated by spaces */
    const char *steps[6];
    bool nfc, ignore_merges;
};
static const char gpt2[] = "gpt2", digits[] = "digits", one_digit[] = "digit", punct[] = "punct",
                  spell[] = "spell";

static const struct row rows[] = {
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2 midm-2.0", {LLAMA3}, false, true},
    {"dbrx smaug-bpe glm4 chatglm-bpe", {LLAMA3}, false, false},
    {"gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe "
     "gigachat a.x-4.0 mellum "
     "jais trillion granite-docling",
     {gpt2},
     false,
     false},
    {"mpt olmo modern-bert gptneox", {gpt2}, true, false},
    {"starcoder refact smollm codeshell exaone minerva-7b mellum2",
     {one_digit, gpt2},
     false,
     false},
    {"command-r cohere2_moe", {one_digit, gpt2}, true, false},
    {"qwen2 deepseek-r1-qwen megrez kormo", {QWEN2}, true, false},
    {"stablelm2 hunyuan solar-open grok-2", {QWEN2}, false, false},
    {"qwen35", {QWEN35}, true, false},
    {"gpt-4o llama4 kanana2 minimax-m2", {O200K}, false, false},
    {"tekken", {TEKKEN}, false, true},
    {"deepseek-llm",
     {"[\\r\\n]", "\\s?[" CASED "]+",
      "\\s?[!-/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3000-\\u3002]+", "\\s+$", CJK,
      one_digit},
     false,
     false},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, one_digit}, false, false},
    {"deepseek-v3 hunyuan-dense joyai-llm",
     {"\\p{N}{1,3}", "[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+", DEEPSEEK3},
     false,
     false},
    {"falcon", {punct, gpt2, spell, digits, "[0-9][0-9][0-9]"}, false, false},
    {"bloom poro-chat gpt3-finnish", {BLOOM}, false, false},
    {"viking", {BLOOM, "\\p{N}"}, false, false},
    {"seed-coder", {SEED}, true, false},
    {"bailingmoe bailingmoe2 llada-moe", {BAILING}, false, false},
};

static bool has_word(const char *words, struct sc_str name)
{
    for (const char *p = words; *p;) {
        const size_t n = strcspn(p, " ");
        if (sc_str_eq(sc_str(p, n), name))
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

static int put_step(const struct sc_load *l, const char *name)
{
    const bool is_digits = name == digits || name == one_digit;
    struct sc_pre_step *step = sc_load_pre(l, name == gpt2                 ? SC_PRE_BYTES
                                              : name == spell              ? SC_PRE_SPELL
                                              : is_digits || name == punct ? SC_PRE_CHARS
                                                                           : SC_PRE_REGEX);
    if (!step)
        return SCRUPLE_ELIMIT;
    if (name == spell) {
        l->t->bytes = false;
        return 0;
    }
    if (name == gpt2) {
        step->split = true;
        return sc_load_gpt2_regex(l, &step->regex);
    }
    step->chars = name == punct ? SC_CHARS_PUNCT : SC_CHARS_NUMBER;
    step->behaviour = name == digits || name == punct ? SC_CONTIGUOUS : SC_ISOLATED;
    return step->op == SC_PRE_CHARS ? 0 : sc_regex_compile(sc_strz(name), &step->regex, l->e);
}

int sc_gguf_pre(const struct sc_load *l, struct sc_str pre, struct sc_str architecture)
{
    struct sc_quoted q;
    if (!pre.n || sc_str_is(pre, "default")) {
        pre = has_word("mpt olmo gptneox falcon", architecture) ? architecture : SC_STR("gpt-2");
        if (sc_str_is(pre, "gpt-2") && !sc_str_is(architecture, "gpt2"))
            sc_load_note(l, "the file does not say how texts are cut; they are cut as by GPT-2, "
                            "which may be wrong");
    }
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        if (!has_word(rows[i].names, pre))
            continue;
        l->t->bpe.ignore_merges = rows[i].ignore_merges;
        if (rows[i].nfc) {
            struct sc_norm_step *step = sc_load_norm(l, SC_NORM_FORM);
            if (!step)
                return SCRUPLE_ELIMIT;
            step->form = SC_UC_NFC;
        }
        for (size_t k = 0; k < SC_COUNT(rows[i].steps) && rows[i].steps[k]; k++)
            TRY(put_step(l, rows[i].steps[k]));
        return 0;
    }
    return sc_fail(l->e, SCRUPLE_EUNSUPPORTED,
                   "texts are cut as by \"%s\" (tokenizer.ggml.pre), which is not known",
                   sc_quote(&q, pre));
}
