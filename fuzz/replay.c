/* SPDX-License-Identifier: Apache-2.0 */
/* replay: a main() for a fuzz target without libFuzzer.
 *
 * Runs every file that is named, and every file below every folder that is named, and prints how
 * many there were. No input at all is a failure: a corpus that got lost must not look like success.
 * Each input gets a block of exactly its size, so that AddressSanitizer sees one byte too many. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 8 };

static unsigned long inputs, failures;

static void complain(const char *path, const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", path, what);
    failures++;
}

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0) {
        complain(path, strerror(errno));
        if (f)
            fclose(f);
        return;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, f) != size) {
        complain(path, "cannot read");
    } else {
        LLVMFuzzerTestOneInput(data, size);
        inputs++;
    }
    free(data);
    fclose(f);
}

static void run(const char *path, unsigned depth)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        complain(path, strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    DIR *d = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (!d) {
        complain(path, depth < DEPTH_MAX ? strerror(errno) : "too deep");
        return;
    }
    for (struct dirent *entry; (entry = readdir(d));) {
        if (entry->d_name[0] == '.')
            continue;
        size_t n = strlen(path) + strlen(entry->d_name) + 2;
        char *name = malloc(n);
        if (!name) {
            complain(path, "out of memory");
            break;
        }
        snprintf(name, n, "%s/%s", path, entry->d_name);
        run(name, depth + 1);
        free(name);
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run(argv[i], 0);
    printf("%lu inputs\n", inputs);
    if (inputs == 0)
        complain(argc > 1 ? argv[1] : "no argument", "no input");
    return failures != 0;
}
