/* SPDX-License-Identifier: Apache-2.0 */
/* formats: the table of containers, recognition by evidence, and names for what is none of them.
 *
 * Every format bids on the first bytes of a file; the highest number of verified bits wins. The
 * file's name counts for nothing: a GGUF called model.bin is a GGUF. */
#include "format/format.h"

#include <string.h>

const struct sc_format *const sc_formats[] = {
    &sc_format_safetensors, &sc_format_gguf, &sc_format_torch, &sc_format_npz, &sc_format_npy, NULL,
};

/* What people pass by mistake. Bytes at an offset, and what they prove. */
static const struct {
    size_t offset;
    const char *bytes;
    size_t n;
    const char *is;
} strangers[] = {
#define MAGIC(offset, literal, is)                                                                 \
    {                                                                                              \
        offset, literal, sizeof(literal) - 1, is                                                   \
    }
    MAGIC(0, "version https://git-lfs",
          "a Git LFS pointer (run `git lfs pull`, or download the file it "
          "stands for)"),
    MAGIC(0, "version https://hawser", "a Git LFS pointer (download the file it stands for)"),
    MAGIC(0, "\x1f\x8b", "a gzip file (unpack it first)"),
    MAGIC(0, "PK\3\4",
          "a zip archive without tensors that we know (a source archive, or a Keras "
          "or ONNX package?)"),
    MAGIC(0, "PK\5\6", "an empty zip archive"),
    MAGIC(0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive (unpack it first)"),
    MAGIC(0, "Rar!\x1a\x07", "a RAR archive (unpack it first)"),
    MAGIC(0,
          "\xfd"
          "7zXZ",
          "an xz file (unpack it first)"),
    MAGIC(0, "BZh", "a bzip2 file (unpack it first)"),
    MAGIC(0, "\x28\xb5\x2f\xfd", "a zstd file (unpack it first)"),
    MAGIC(0, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights?); HDF5 is not supported"),
    MAGIC(0, "\x89PNG\r\n", "a PNG picture"),
    MAGIC(0, "\xff\xd8\xff", "a JPEG picture"),
    MAGIC(0, "GIF8", "a GIF picture"),
    MAGIC(0, "RIFF", "a RIFF file (a sound or a WebP picture)"),
    MAGIC(0, "%PDF", "a PDF document"),
    MAGIC(0,
          "\x7f"
          "ELF",
          "a program (ELF)"),
    MAGIC(0, "MZ", "a Windows program"),
    MAGIC(0, "#!", "a script"),
    MAGIC(0, "PAR1", "a Parquet table"),
    MAGIC(0, "ARROW1", "an Arrow file"),
    MAGIC(0, "SQLite format 3", "an SQLite database"),
    MAGIC(0, "lmgg", "a GGML file from before GGUF (convert it with llama.cpp's scripts)"),
    MAGIC(0, "fmgg", "a GGML (ggmf) file from before GGUF (convert it with llama.cpp's scripts)"),
    MAGIC(0, "tjgg", "a GGML (ggjt) file from before GGUF (convert it with llama.cpp's scripts)"),
    MAGIC(0, "algg", "a GGLA (LoRA) file from before GGUF"),
    MAGIC(4, "TFL3", "a TensorFlow Lite model; not supported"),
    MAGIC(257, "ustar", "a tar archive without torch tensors (unpack it first)"),
    MAGIC(0, "\x08\x03\x12", "an ONNX model by the look of it; ONNX is not supported"),
    MAGIC(0, "\xef\xbb\xbf", "a text file with a byte order mark"),
    MAGIC(0, "\xff\xfe", "a UTF-16 text file"),
#undef MAGIC
};

static const char *skip_blanks(const struct sc_probe *p, size_t *left)
{
    size_t i = 0;
    while (i < p->head_len && memchr(" \t\r\n", p->head[i], 4))
        i++;
    *left = p->head_len - i;
    return (const char *)p->head + i;
}

static bool all_zero(const struct sc_probe *p)
{
    for (size_t i = 0; i < p->head_len; i++)
        if (p->head[i])
            return false;
    return true;
}

/* UTF-8 without control characters; the last one may be cut where the head ends. */
static bool is_text(const struct sc_probe *p)
{
    enum { LONGEST = 4 };
    for (size_t i = 0, n; i < p->head_len; i += n) {
        uint32_t c;
        n = sc_utf8_decode((const char *)p->head + i, p->head_len - i, &c);
        if (n == 0)
            return p->head_len < p->size && p->head_len - i < LONGEST;
        if (c < 0x20 && !memchr("\t\r\n\f\x1b", (int)c, 5))
            return false;
    }
    return true;
}

/* A constant sentence for a file that no format wants. */
static const char *name_stranger(const struct sc_probe *p)
{
    if (p->size == 0)
        return "empty (0 bytes)";
    for (size_t i = 0; i < SC_COUNT(strangers); i++)
        if (p->head_len >= strangers[i].offset + strangers[i].n &&
            memcmp(p->head + strangers[i].offset, strangers[i].bytes, strangers[i].n) == 0)
            return strangers[i].is;
    size_t left;
    const struct sc_str text = {skip_blanks(p, &left), 0};
    const struct sc_str start = sc_str(text.p, SC_MIN(left, 15));
    if (sc_str_has_nocase(start, SC_STR("<!doctype html")) ||
        sc_str_eq_nocase(sc_str(start.p, SC_MIN(start.n, 5)), SC_STR("<html")))
        return "an HTML page (a login or error page saved by a download?)";
    if (sc_str_starts(start, "<?xml"))
        return "an XML document (an error message of a storage service?)";
    if (sc_str_starts(start, "{") || sc_str_starts(start, "["))
        return "a JSON document (an error message saved by a download?)";
    if (all_zero(p))
        return "all zeros where it should begin (a download that was preallocated and never "
               "finished?)";
    if (is_text(p))
        return "a text file";
    return sc_str_ends(sc_strz(p->path), ".safetensors")
               ? "one that does not begin with the size of the JSON behind it, as a safetensors "
                 "file does (cut off, or damaged?)"
               : NULL;
}

int sc_format_probe(struct sc_source *s, const struct sc_format **format, const char **stranger,
                    struct sc_error *e)
{
    uint8_t head[SC_PROBE_HEAD];
    struct sc_probe p = {.head = head, .size = s->size, .path = s->name, .source = s};
    int best = 0;
    *format = NULL;
    *stranger = NULL;
    p.head_len = (size_t)SC_MIN(s->size, (uint64_t)SC_PROBE_HEAD);
    TRY(sc_source_read(s, 0, head, p.head_len, e));
    for (size_t i = 0; sc_formats[i]; i++) {
        const int bid = sc_formats[i]->bid(&p);
        if (bid > best) {
            best = bid;
            *format = sc_formats[i];
        }
    }
    if (!*format)
        *stranger = name_stranger(&p);
    return 0;
}
