/* SPDX-License-Identifier: Apache-2.0 */
/* The shared cache of the Hugging Face tools as they lay it out, listings, atomic files and locks:
 * what was put comes back, whatever is in the way, and nothing is written anywhere else. */
#include "test.h"

#include <errno.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "hub/cache.h"
#include "scratch.h"

#define COMMIT "607a30d783dfa663caf39e06633721c8d4cfcd7e"
#define OTHER  "0000000000000000000000000000000000000001"
#define HELLO  "ce013625030ba8dba906f756967f9e9ca394464a" /* "hello\n", as git names it */
#define ABC    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define REPO   "hub/models--org--name"

static struct sc_hub_env env;
static char hub[600], cache[600], tier[600], *tiers[1] = {tier};
static char id[] = "org/name", revision[] = "main", endpoint[] = "https://huggingface.co";
static struct sc_hub_listing listing;

static bool begin(void)
{
    if (!scratch_new())
        return false;
    snprintf(hub, sizeof hub, "%s/hub", scratch_root);
    snprintf(cache, sizeof cache, "%s/own", scratch_root);
    snprintf(tier, sizeof tier, "%s/tier", scratch_root);
    env = (struct sc_hub_env){.hf_cache = hub, .cache = cache, .endpoint = endpoint};
    listing = (struct sc_hub_listing){.id = id, .revision = revision, .commit = COMMIT};
    return true;
}

static const char *link_of(const char *name)
{
    static char target[2][1024];
    static unsigned next;
    char *t = target[next++ % 2];
    ssize_t n = readlink(scratch_at(name), t, sizeof target[0] - 1);
    t[n > 0 ? n : 0] = '\0';
    return n > 0 ? t : NULL;
}

/* Does the file hold exactly this text? NULL: is it not there? */
static bool holds(const char *name, const char *text)
{
    size_t n = 0;
    char *p = sc_read_file(scratch_at(name), 1 << 20, &n);
    bool same = p && text ? n == strlen(text) && memcmp(p, text, n) == 0 : p == text;
    free(p);
    return same;
}

static unsigned mode_of(const char *name)
{
    struct stat st;
    return stat(scratch_at(name), &st) == 0 ? (unsigned)st.st_mode & 07777 : 0;
}

/* Names below a folder that look temporary. */
static size_t leftovers(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    for (struct dirent *en; d && (en = readdir(d));) {
        char sub[2048];
        struct stat st;
        if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
            continue;
        snprintf(sub, sizeof sub, "%s/%s", path, en->d_name);
        if (strstr(en->d_name, ".tmp") || strstr(en->d_name, ".incomplete"))
            n++;
        if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
            n += leftovers(sub);
    }
    if (d)
        closedir(d);
    return n;
}

static int in_child(void (*body)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        test_bad = 0;
        body();
        _exit(test_bad ? 1 : 0);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* ------------------------------------------------------------------------------- round trip --- */
TEST(as_the_official_client_lays_it_out)
{
    REQUIRE(begin());
    mode_t old = umask(027);
    REQUIRE(scratch_file("data", "abc", 3));
    CHECK(sc_hf_install(&env, &listing, "a/b/model.bin", ABC, scratch_at("data")));
    CHECK(sc_hf_install_bytes(&env, &listing, "config.json", HELLO, "hello\n", 6));
    CHECK(holds(REPO "/blobs/" ABC, "abc"));
    CHECK(holds(REPO "/blobs/" HELLO, "hello\n"));
    CHECK_U64(mode_of(REPO "/blobs/" ABC), 0640); /* not that of the file that was moved */
    CHECK_U64(mode_of(REPO "/blobs/" HELLO), 0640);
    CHECK_STR(link_of(REPO "/snapshots/" COMMIT "/config.json"), "../../blobs/" HELLO);
    CHECK_STR(link_of(REPO "/snapshots/" COMMIT "/a/b/model.bin"), "../../../../blobs/" ABC);
    CHECK(holds(REPO "/refs/main", COMMIT));
    CHECK(access(scratch_at("data"), F_OK) != 0);
    CHECK(holds("hub/CACHEDIR.TAG", NULL) == false);
    CHECK_U64(leftovers(scratch_root), 0);
    umask(old);

    struct sc_buf path = {0};
    char commit[41];
    CHECK(sc_hf_ref(&env, SC_REPO_MODEL, id, "main", commit));
    CHECK_STR(commit, COMMIT);
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "config.json", &path) == SC_HF_HIT);
    CHECK_STR(path.p, scratch_at(REPO "/snapshots/" COMMIT "/config.json"));
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "no.json", &path) == SC_HF_MISS);
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "a/b", &path) == SC_HF_MISS);
    CHECK(sc_hf_find(&env, SC_REPO_DATASET, id, COMMIT, "config.json", &path) == SC_HF_MISS);
    CHECK(sc_hf_blob(&env, SC_REPO_MODEL, id, ABC, &path));
    CHECK(!sc_hf_blob(&env, SC_REPO_MODEL, id, OTHER, &path));
    CHECK(sc_hf_mark_absent(&env, &listing, "x/no.json"));
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "x/no.json", &path) == SC_HF_ABSENT);
    CHECK(sc_hf_snapshot_path(&env, &listing, 0, &path));
    CHECK_STR(path.p, scratch_at(REPO "/snapshots/" COMMIT));
    sc_buf_clear(&path);
    scratch_remove();
}

TEST(revisions_with_slashes_and_commits)
{
    char pr[] = "refs/pr/1", commit[41];
    REQUIRE(begin());
    listing.revision = pr;
    CHECK(sc_hf_write_ref(&env, &listing));
    CHECK(holds(REPO "/refs/refs/pr/1", COMMIT));
    CHECK(sc_hf_ref(&env, SC_REPO_MODEL, id, "refs/pr/1", commit));
    listing.revision = listing.commit; /* a commit has no name */
    CHECK(!sc_hf_write_ref(&env, &listing));
    CHECK(access(scratch_at(REPO "/refs/" COMMIT), F_OK) != 0);

    listing.revision = revision;
    CHECK(sc_hf_write_ref(&env, &listing));
    struct stat a, b;
    CHECK(stat(scratch_at(REPO "/refs/main"), &a) == 0);
    CHECK(sc_hf_write_ref(&env, &listing)); /* the same: not written again */
    CHECK(stat(scratch_at(REPO "/refs/main"), &b) == 0 && a.st_ino == b.st_ino);
    memcpy(listing.commit, OTHER, 41);
    CHECK(sc_hf_write_ref(&env, &listing));
    CHECK(holds(REPO "/refs/main", OTHER));
    scratch_file(REPO "/refs/main", COMMIT "\n", 41);
    CHECK(sc_hf_ref(&env, SC_REPO_MODEL, id, "main", commit));
    CHECK_STR(commit, COMMIT);
    static const char *const wrong[] = {"", "main", "607a30d7", COMMIT COMMIT, COMMIT " x"};
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        scratch_file(REPO "/refs/main", wrong[i], strlen(wrong[i]));
        CHECK(!sc_hf_ref(&env, SC_REPO_MODEL, id, "main", commit));
    }
    scratch_remove();
}

TEST(tiers_are_read_after_the_cache)
{
    struct sc_buf path = {0};
    char commit[41];
    REQUIRE(begin());
    env.hf_cache = tier;
    CHECK(sc_hf_install_bytes(&env, &listing, "config.json", HELLO, "hello\n", 6));
    env.hf_cache = hub;
    env.tiers = tiers;
    env.n_tiers = 1;
    CHECK(sc_hf_ref(&env, SC_REPO_MODEL, id, "main", commit));
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "config.json", &path) == SC_HF_HIT);
    CHECK(strncmp(path.p, tier, strlen(tier)) == 0);
    CHECK(sc_hf_mark_absent(&env, &listing, "config.json")); /* another tier knows better */
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "config.json", &path) == SC_HF_HIT);
    CHECK(sc_hf_blob(&env, SC_REPO_MODEL, id, HELLO, &path));
    env.hf_cache = NULL;
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "config.json", &path) == SC_HF_HIT);
    CHECK(!sc_hf_install_bytes(&env, &listing, "b.json", HELLO, "hello\n", 6));
    sc_buf_clear(&path);
    scratch_remove();
}

struct seen {
    size_t n;
    uint64_t bytes;
    char text[1000];
};

static int note_file(void *ctx, const char *path, uint64_t bytes, const char *etag)
{
    struct seen *s = ctx;
    s->n++;
    s->bytes += bytes;
    snprintf(s->text + strlen(s->text), sizeof s->text - strlen(s->text), "%s=%.4s ", path, etag);
    return strcmp(path, "stop") == 0 ? 7 : 0;
}

TEST(a_snapshot_is_walked_once_over_all_tiers)
{
    struct seen s = {0};
    REQUIRE(begin());
    CHECK(sc_hf_install_bytes(&env, &listing, "sub/a.json", HELLO, "hello\n", 6));
    env.hf_cache = tier;
    CHECK(sc_hf_install_bytes(&env, &listing, "sub/a.json", HELLO, "hello\n", 6));
    CHECK(sc_hf_install_bytes(&env, &listing, "b.bin", ABC, "abc", 3));
    env.hf_cache = hub;
    env.tiers = tiers;
    env.n_tiers = 1;
    scratch_file(REPO "/snapshots/" COMMIT "/plain", "12345", 5);
    scratch_link("../../blobs/nothing", REPO "/snapshots/" COMMIT "/broken");
    scratch_link("..", REPO "/snapshots/" COMMIT "/folder");
    CHECK(sc_hf_snapshot(&env, SC_REPO_MODEL, id, COMMIT, note_file, &s) == 0);
    CHECK_U64(s.n, 3);
    CHECK_U64(s.bytes, 14);
    CHECK(strstr(s.text, "sub/a.json=ce01 ") && strstr(s.text, "b.bin=ba78 ") &&
          strstr(s.text, "plain= "));
    scratch_file(REPO "/snapshots/" COMMIT "/stop", "", 0);
    CHECK(sc_hf_snapshot(&env, SC_REPO_MODEL, id, COMMIT, note_file, &s) == 7);
    scratch_remove();
}

TEST(without_symlinks_files_are_put)
{
    REQUIRE(begin());
    env.no_symlinks = true;
    REQUIRE(scratch_file("data", "abc", 3));
    CHECK(sc_hf_install(&env, &listing, "a/model.bin", ABC, scratch_at("data")));
    CHECK(holds(REPO "/snapshots/" COMMIT "/a/model.bin", "abc"));
    CHECK(link_of(REPO "/snapshots/" COMMIT "/a/model.bin") == NULL);
    CHECK(access(scratch_at(REPO "/blobs/" ABC), F_OK) != 0);
    REQUIRE(scratch_file(REPO "/blobs/" HELLO, "hello\n", 6));
    CHECK(sc_hf_install(&env, &listing, "b.json", HELLO, NULL));
    CHECK(holds(REPO "/snapshots/" COMMIT "/b.json", "hello\n"));
    CHECK(holds(REPO "/blobs/" HELLO, "hello\n"));
    CHECK_U64(leftovers(scratch_root), 0);
    scratch_remove();
}

/* ---------------------------------------------------------------------- what is in the way --- */
TEST(what_is_there_already)
{
    REQUIRE(begin());
    CHECK(!sc_hf_install(&env, &listing, "a", HELLO, NULL)); /* no such blob */
    CHECK(sc_hf_install_bytes(&env, &listing, "a", HELLO, "hello\n", 6));
    CHECK(sc_hf_install(&env, &listing, "a", HELLO, NULL)); /* the same again */
    CHECK(sc_hf_install(&env, &listing, "sub/b", HELLO, NULL));
    CHECK(sc_hf_install_bytes(&env, &listing, "a", ABC, "abc", 3)); /* another target */
    CHECK_STR(link_of(REPO "/snapshots/" COMMIT "/a"), "../../blobs/" ABC);
    CHECK(holds(REPO "/blobs/" HELLO, "hello\n"));
    REQUIRE(scratch_file(REPO "/snapshots/" COMMIT "/plain", "old", 3));
    CHECK(sc_hf_install(&env, &listing, "plain", ABC, NULL));
    CHECK(holds(REPO "/snapshots/" COMMIT "/plain", "abc"));
    REQUIRE(scratch_file(REPO "/blobs/" ABC, "ab", 2)); /* damaged */
    CHECK(sc_hf_install_bytes(&env, &listing, "a", ABC, "abc", 3));
    CHECK(holds(REPO "/blobs/" ABC, "abc"));
    REQUIRE(scratch_folder(REPO "/snapshots/" COMMIT "/folder"));
    CHECK(!sc_hf_install(&env, &listing, "folder", ABC, NULL));
    CHECK(!sc_hf_install_bytes(&env, &listing, "a/b", ABC, "abc", 3)); /* a is a file */
    CHECK(!sc_hf_install_bytes(&env, &listing, "c", ABC, "abd", 3));   /* not its content */
    CHECK_U64(leftovers(scratch_root), 0);
    scratch_remove();
}

TEST(names_from_outside_stay_inside)
{
    struct sc_buf path = {0};
    char commit[41], long_id[400], long_path[3000];
    REQUIRE(begin());
    memset(long_id, 'a', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    const char *const ids[] = {"",   "..",  "../..", "a/..", "../a", "a/b/c",
                               "/a", "a/",  "a--b",  "a..b", "-a",   ".a",
                               "a.", "a b", "a\nb",  "a\\b", long_id};
    for (size_t i = 0; i < SC_COUNT(ids); i++) {
        struct sc_buf b = {0};
        CHECK(!sc_hf_folder(&b, hub, SC_REPO_MODEL, ids[i]));
        sc_buf_clear(&b);
        CHECK(!sc_hf_ref(&env, SC_REPO_MODEL, ids[i], "main", commit));
        CHECK(sc_hf_find(&env, SC_REPO_MODEL, ids[i], COMMIT, "a", &path) == SC_HF_MISS);
        CHECK(!sc_hf_blob(&env, SC_REPO_MODEL, ids[i], ABC, &path));
        listing.id = (char *)(uintptr_t)ids[i];
        CHECK(!sc_hf_install_bytes(&env, &listing, "a", ABC, "abc", 3));
        CHECK(!sc_hf_mark_absent(&env, &listing, "a"));
        CHECK(sc_hf_lock(&env, &listing, ABC, 0, NULL) < 0);
    }
    listing.id = id;
    const char *const paths[] = {"",     "..", "../x", "a/../b", "/etc/passwd",
                                 "a//b", "a/", ".",    "a\\b",   long_path};
    for (size_t i = 0; i < SC_COUNT(paths); i++) {
        CHECK(!sc_hf_install_bytes(&env, &listing, paths[i], ABC, "abc", 3));
        CHECK(!sc_hf_mark_absent(&env, &listing, paths[i]));
        CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, paths[i], &path) == SC_HF_MISS);
        CHECK(!sc_hf_ref(&env, SC_REPO_MODEL, id, paths[i], commit));
        listing.revision = (char *)(uintptr_t)paths[i];
        CHECK(!sc_hf_write_ref(&env, &listing));
    }
    listing.revision = revision;
    CHECK(!sc_hf_install_bytes(&env, &listing, "a", "../../x", "abc", 3));
    CHECK(!sc_hf_install_bytes(&env, &listing, "a", "", "abc", 3));
    listing.commit[0] = '.';
    CHECK(!sc_hf_install_bytes(&env, &listing, "a", ABC, "abc", 3));
    CHECK(!sc_hf_snapshot_path(&env, &listing, 0, &path));
    listing.type = 9;
    CHECK(!sc_hf_snapshot_path(&env, &listing, 0, &path));
    sc_buf_clear(&path);
    scratch_remove();
}

TEST(links_inside_the_cache_lead_nowhere)
{
    struct sc_buf path = {0};
    REQUIRE(begin());
    REQUIRE(sc_make_folders(scratch_at(REPO "/snapshots/" COMMIT)));
    REQUIRE(scratch_folder("outside") && scratch_file("outside/secret", "s", 1));
    scratch_link(scratch_at("outside"), REPO "/snapshots/" COMMIT "/sub");
    scratch_link(scratch_at("outside"), REPO "/refs");
    scratch_link(scratch_at("outside"), REPO "/.no_exist");
    CHECK(!sc_hf_install_bytes(&env, &listing, "sub/a", ABC, "abc", 3));
    CHECK(!sc_hf_install_bytes(&env, &listing, "sub/deep/a", ABC, "abc", 3));
    CHECK(!sc_hf_write_ref(&env, &listing));
    CHECK(!sc_hf_mark_absent(&env, &listing, "a"));
    scratch_link("../../../../outside/secret", REPO "/snapshots/" COMMIT "/out");
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "out", &path) == SC_HF_HIT); /* only read */
    CHECK(sc_hf_install_bytes(&env, &listing, "out", ABC, "abc", 3));
    CHECK(holds(REPO "/snapshots/" COMMIT "/out", "abc"));
    CHECK(holds("outside/secret", "s"));
    size_t n = 0;
    DIR *d = opendir(scratch_at("outside"));
    while (d && readdir(d))
        n++;
    closedir(d);
    CHECK_U64(n, 3);

    scratch_link(scratch_at("outside"), REPO "/blobs-elsewhere");
    CHECK(sc_remove_tree(scratch_at(REPO)));
    CHECK(holds("outside/secret", "s"));
    scratch_link(scratch_at("outside"), "link");
    CHECK(sc_remove_tree(scratch_at("link")));
    CHECK(holds("outside/secret", "s"));
    sc_buf_clear(&path);
    scratch_remove();
}

TEST(blobs_on_another_disk)
{
    struct stat here, there;
    REQUIRE(begin());
    if (stat("/dev/shm", &there) != 0 || stat(scratch_root, &here) != 0 ||
        there.st_dev == here.st_dev)
        return (void)scratch_remove();
    char folder[] = "/dev/shm/scruple-test-XXXXXX";
    if (!mkdtemp(folder))
        return (void)scratch_remove();
    REQUIRE(sc_make_folders(scratch_at(REPO)));
    scratch_link(folder, REPO "/blobs");
    uint8_t *p = malloc(1000000);
    char hex[65];
    fill_pattern(p, 0, 1000000);
    REQUIRE(sc_sha_of(SC_SHA256, p, 1000000, hex, NULL) == 0);
    REQUIRE(scratch_file("data", p, 1000000));
    CHECK(sc_hf_install(&env, &listing, "a", hex, scratch_at("data")));
    CHECK(access(scratch_at("data"), F_OK) != 0);
    size_t n = 0;
    char *q = sc_read_file(scratch_at(REPO "/snapshots/" COMMIT "/a"), 1 << 20, &n);
    CHECK(q && n == 1000000 && memcmp(p, q, n) == 0);
    CHECK_U64(leftovers(folder), 0);
    free(p);
    free(q);
    scratch_remove_tree(folder);
    scratch_remove();
}

/* -------------------------------------------------------------------------------- bad disks --- */
static void small_files_only(void)
{
    struct rlimit limit = {1000, 1000};
    static char big[100000];
    char hex[65];
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    REQUIRE(sc_sha_of(SC_SHA256, big, sizeof big, hex, NULL) == 0);
    CHECK(!sc_hf_install_bytes(&env, &listing, "a", hex, big, sizeof big));
    CHECK(!sc_write_file(scratch_at("hub/x"), big, sizeof big, 0666));
    CHECK(errno == EFBIG);
    CHECK(sc_hf_install_bytes(&env, &listing, "b", ABC, "abc", 3));
}

TEST(a_full_disk_leaves_nothing)
{
    REQUIRE(begin());
    CHECK(in_child(small_files_only) == 0);
    CHECK_U64(leftovers(scratch_root), 0);
    CHECK(access(scratch_at(REPO "/snapshots/" COMMIT "/a"), F_OK) != 0);
    CHECK(holds(REPO "/snapshots/" COMMIT "/b", "abc"));
    scratch_remove();
}

static void read_only(void)
{
    struct sc_buf path = {0};
    if (geteuid() == 0)
        REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
    CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, "a", &path) == SC_HF_HIT);
    CHECK(!sc_hf_install_bytes(&env, &listing, "b", HELLO, "hello\n", 6));
    CHECK(!sc_hf_mark_absent(&env, &listing, "c"));
    memcpy(listing.commit, OTHER, 41);
    CHECK(!sc_hf_write_ref(&env, &listing));
    CHECK(sc_hf_lock(&env, &listing, ABC, 1000, NULL) < 0); /* at once, not after a second */
    sc_buf_clear(&path);
}

TEST(a_read_only_cache_is_read)
{
    static const char *const names[] = {"hub",
                                        REPO,
                                        REPO "/blobs",
                                        REPO "/refs",
                                        REPO "/refs/main",
                                        REPO "/snapshots",
                                        REPO "/snapshots/" COMMIT};
    REQUIRE(begin());
    chmod(scratch_root, 0755);
    CHECK(sc_hf_install_bytes(&env, &listing, "a", ABC, "abc", 3));
    for (size_t i = 0; i < SC_COUNT(names); i++)
        chmod(scratch_at(names[i]), 0555);
    CHECK(in_child(read_only) == 0);
    CHECK_U64(leftovers(scratch_root), 0);
    scratch_remove();

    REQUIRE(begin());
    REQUIRE(scratch_file("hub", "a file", 6));
    CHECK(!sc_hf_install_bytes(&env, &listing, "a", ABC, "abc", 3));
    env.hf_cache = (char *)(uintptr_t) "/proc/none";
    CHECK(!sc_hf_install_bytes(&env, &listing, "a", ABC, "abc", 3));
    scratch_remove();
}

static void install_for_ever(void)
{
    static char text[200000];
    char hex[65], name[32];
    for (unsigned i = 0;; i++) {
        size_t n = 1000 + i * 7919 % 190000;
        memset(text, 'a' + (int)(i % 26), n);
        sc_sha_of(SC_SHA256, text, n, hex, NULL);
        snprintf(name, sizeof name, "f%u", i % 20);
        sc_hf_install_bytes(&env, &listing, name, hex, text, n);
        memcpy(listing.commit, i % 2 ? COMMIT : OTHER, 41);
    }
}

/* Every blob is what its name says, every link leads to one, every ref is a commit. */
static void check_blobs(void)
{
    DIR *d = opendir(scratch_at(REPO "/blobs"));
    for (struct dirent *en; d && (en = readdir(d));) {
        char path[1500], hex[65];
        size_t n = 0;
        if (strlen(en->d_name) != 64)
            continue;
        snprintf(path, sizeof path, "%s/%s", scratch_at(REPO "/blobs"), en->d_name);
        char *p = sc_read_file(path, 1 << 20, &n);
        CHECK(p && sc_sha_of(SC_SHA256, p, n, hex, NULL) == 0 && strcmp(hex, en->d_name) == 0);
        free(p);
    }
    if (d)
        closedir(d);
    char commit[41];
    if (access(scratch_at(REPO "/refs/main"), F_OK) == 0)
        CHECK(sc_hf_ref(&env, SC_REPO_MODEL, id, "main", commit));
    d = opendir(scratch_at(REPO "/snapshots/" COMMIT));
    for (struct dirent *en; d && (en = readdir(d));) {
        struct sc_buf path = {0};
        if (en->d_name[0] != '.')
            CHECK(sc_hf_find(&env, SC_REPO_MODEL, id, COMMIT, en->d_name, &path) == SC_HF_HIT);
        sc_buf_clear(&path);
    }
    if (d)
        closedir(d);
}

TEST(killed_at_any_moment)
{
    REQUIRE(begin());
    for (unsigned i = 0; i < 200; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            install_for_ever();
        nanosleep(&(struct timespec){.tv_nsec = 100000 + (long)(i * 7919 % 5000) * 1000}, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        if (i % 20 == 19)
            check_blobs();
    }
    CHECK(leftovers(scratch_root) <= 200); /* one a kill; swept after a day */
    scratch_remove();
}

/* ------------------------------------------------------------------------- store, locks --- */
TEST(files_appear_whole)
{
    REQUIRE(begin());
    CHECK(sc_write_file(scratch_at("a/b/c"), "one", 3, 0600));
    CHECK(holds("a/b/c", "one"));
    CHECK_U64(mode_of("a/b/c"), 0600);
    CHECK(sc_write_file(scratch_at("a/b/c"), "", 0, 0600));
    CHECK(holds("a/b/c", ""));
    CHECK(!sc_write_file(scratch_at("a/b"), "x", 1, 0600)); /* a folder */
    CHECK(!sc_write_file(scratch_at("a/b/c/d"), "x", 1, 0600));
    CHECK_U64(leftovers(scratch_root), 0);
    size_t n;
    CHECK(sc_read_file(scratch_at("a/b"), 100, &n) == NULL);
    CHECK(sc_read_file(scratch_at("none"), 100, &n) == NULL);
    scratch_file("long", "12345", 5);
    CHECK(sc_read_file(scratch_at("long"), 4, &n) == NULL);
    CHECK(sc_make_folders(scratch_at("x/y/z")) && sc_make_folders(scratch_at("x/y/z")));
    CHECK(!sc_make_folders(scratch_at("long/y")));
    scratch_remove();
}

static void make_old(const char *name)
{
    struct timespec t[2] = {{.tv_sec = time(NULL) - 90000}, {.tv_sec = time(NULL) - 90000}};
    CHECK(utimensat(AT_FDCWD, scratch_at(name), t, AT_SYMLINK_NOFOLLOW) == 0);
}

TEST(old_leftovers_are_swept)
{
    static const char *const kept[] = {"a.json", "b.0123abcd.tmp", "c.tmp", "d.incomplete"};
    static const char *const swept[] = {"e.0123abcd.tmp", "f.00000000.incomplete"};
    REQUIRE(begin());
    for (size_t i = 0; i < 4; i++)
        scratch_file(kept[i], "x", 1);
    for (size_t i = 0; i < 2; i++)
        scratch_file(swept[i], "x", 1);
    scratch_folder("g.0123abcd.tmp");
    scratch_file("g.0123abcd.tmp/x", "x", 1);
    make_old("g.0123abcd.tmp");
    for (size_t i = 0; i < 4; i++)
        if (i != 1)
            make_old(kept[i]);
    for (size_t i = 0; i < 2; i++)
        make_old(swept[i]);
    sc_sweep(scratch_root);
    for (size_t i = 0; i < 4; i++)
        CHECK(access(scratch_at(kept[i]), F_OK) == 0);
    for (size_t i = 0; i < 2; i++)
        CHECK(access(scratch_at(swept[i]), F_OK) != 0);
    CHECK(access(scratch_at("g.0123abcd.tmp"), F_OK) != 0);
    sc_sweep("/no/such/folder");
    scratch_remove();
}

TEST(locks_exclude_and_give_up)
{
    _Atomic int cancel = 0;
    REQUIRE(begin());
    int a = sc_lock_file(scratch_at("locks/a"), 0, &cancel);
    REQUIRE(a >= 0);
    CHECK(sc_lock_file(scratch_at("locks/a"), 0, NULL) < 0);
    CHECK(sc_lock_file(scratch_at("locks/a"), 120, &cancel) < 0);
    cancel = 1;
    CHECK(sc_lock_file(scratch_at("locks/a"), 600000, &cancel) < 0); /* at once */
    int b = sc_lock_file(scratch_at("locks/b"), 0, NULL);
    CHECK(b >= 0);
    close(b);
    close(a);
    a = sc_lock_file(scratch_at("locks/a"), 0, NULL);
    CHECK(a >= 0);
    close(a);
    a = sc_hf_lock(&env, &listing, ABC, 0, NULL);
    CHECK(a >= 0);
    CHECK(access(scratch_at("hub/.locks/models--org--name/" ABC ".lock"), F_OK) == 0);
    close(a);
    scratch_remove();
}

/* ---------------------------------------------------------------------------------- listings ---
 */
static struct sc_name name = {.kind = SC_NAME_HUB, .id = id};

static bool save_listing(uint64_t checked)
{
    struct sc_hub_file files[] = {
        {"a/config.json", 6, HELLO}, {"model.bin", 1ull << 40, ABC}, {"x", 0, ""}};
    struct sc_hub_listing l = listing;
    l.files = files;
    l.n_files = 3;
    l.gated = true;
    l.checked = checked;
    return sc_listing_save(&env, &name, &l);
}

TEST(listings_come_back)
{
    struct sc_hub_listing l;
    uint64_t now = (uint64_t)time(NULL);
    REQUIRE(begin());
    CHECK(!sc_listing_load(&env, &name, &l));
    CHECK(save_listing(now - 5));
    REQUIRE(sc_listing_load(&env, &name, &l));
    CHECK_STR(l.id, "org/name");
    CHECK_STR(l.revision, "main");
    CHECK_STR(l.commit, COMMIT);
    CHECK(l.gated && !l.is_private && !l.stale);
    CHECK_U64(l.checked, now - 5);
    CHECK_U64(l.n_files, 3);
    CHECK_STR(l.files[1].path, "model.bin");
    CHECK_U64(l.files[1].bytes, 1ull << 40);
    CHECK_STR(l.files[1].etag, ABC);
    CHECK_STR(l.files[2].etag, "");
    sc_hub_listing_clear(&l);

    name.revision = revision; /* "main" said aloud is the same */
    CHECK(sc_listing_load(&env, &name, &l));
    sc_hub_listing_clear(&l);
    char other[] = "dev";
    name.revision = other;
    CHECK(!sc_listing_load(&env, &name, &l));
    name.revision = NULL;
    name.type = SC_REPO_DATASET;
    CHECK(!sc_listing_load(&env, &name, &l));
    name.type = SC_REPO_MODEL;
    char mirror[] = "https://mirror.example";
    env.endpoint = mirror;
    CHECK(!sc_listing_load(&env, &name, &l));
    env.endpoint = endpoint;
    CHECK(save_listing(now + 1000)); /* a clock that was set back */
    REQUIRE(sc_listing_load(&env, &name, &l));
    CHECK_U64(l.checked, 0);
    sc_hub_listing_clear(&l);
    env.cache = NULL;
    CHECK(!save_listing(now) && !sc_listing_load(&env, &name, &l));
    scratch_remove();
}

static char *listing_path(void)
{
    static char path[1500];
    DIR *d = opendir(scratch_at("own/listings"));
    path[0] = '\0';
    for (struct dirent *en; d && (en = readdir(d));)
        if (strlen(en->d_name) == 69)
            snprintf(path, sizeof path, "%s/own/listings/%s", scratch_root, en->d_name);
    if (d)
        closedir(d);
    return path;
}

/* Puts the right checksum in front of a document. */
static void sign(struct sc_buf *b)
{
    char crc[9];
    if (b->n < 20)
        return;
    snprintf(crc, sizeof crc, "%08x", libdeflate_crc32(0, b->p + 20, b->n - 20));
    memcpy(b->p + 10, crc, 8);
}

/* The document with `what` replaced must not be taken, though its checksum is right. */
static void refuse(const char *good, const char *what, const char *with)
{
    struct sc_hub_listing l;
    struct sc_buf b = {0};
    const char *at = strstr(good, what);
    REQUIRE(at != NULL);
    sc_buf_put(&b, good, (size_t)(at - good));
    sc_buf_puts(&b, with);
    sc_buf_puts(&b, at + strlen(what));
    sign(&b);
    CHECK(sc_write_file(listing_path(), b.p, b.n, 0600));
    bool taken = sc_listing_load(&env, &name, &l);
    if (taken)
        fprintf(stderr, "taken: %s\n", b.p);
    CHECK(!taken);
    CHECK(l.id == NULL && l.files == NULL);
    if (taken)
        sc_hub_listing_clear(&l);
    sc_buf_clear(&b);
}

TEST(hostile_listings_are_absent)
{
    static const char *const bad[][2] = {
        {"a/config.json", "../../etc/passwd"},
        {"a/config.json", "/etc/passwd"},
        {"a/config.json", "a//b"},
        {"a/config.json", ""},
        {"a/config.json", "a\\u0000b"},
        {"a/config.json", "model.bin"}, /* twice */
        {"\"a/config.json\"", "7"},
        {HELLO, "../" HELLO},
        {HELLO, "CE013625030ba8dba906f756967f9e9ca394464a"},
        {"\"" HELLO "\"", "null"},
        {"\"" HELLO "\"", "\"" HELLO "\",1"},
        {",6,", ",-6,"},
        {",6,", ",6.5,"},
        {",6,", ",99999999999999999999,"},
        {",6,", ",\"6\","},
        {COMMIT, "main"},
        {"\"" COMMIT "\"", "[]"},
        {"\"id\":\"org/name\"", "\"id\":\"../..\""},
        {"\"id\":\"org/name\"", "\"id\":\"\""},
        {"\"id\":\"org/name\"", "\"id\":1"},
        {"\"asked\":\"org/name\"", "\"asked\":\"org/other\""},
        {"\"asked\":\"org/name\"", "\"asked\":\"org/name\",\"asked\":\"org/name\""},
        {"\"revision\":\"main\"", "\"revision\":\"../x\""},
        {"\"version\":2", "\"version\":1"},
        {"\"version\":2", "\"version\":\"2\""},
        {"\"type\":\"models\"", "\"type\":\"nothing\""},
        {"\"type\":\"models\"", "\"type\":\"datasets\""},
        {"\"gated\":true", "\"gated\":1"},
        {"\"private\":false", "\"priv\":false"},
        {"\"checked\":", "\"checked\":-"},
        {"\"files\":[", "\"files\":{},\"x\":["},
        {"\"files\":[", "\"files\":[[],"},
        {"\"files\":[", "\"files\":[null,"},
        {"{", "[{"},
        {"}", ""},
        {"}", "}x"},
    };
    REQUIRE(begin());
    CHECK(save_listing(1000));
    char *good = sc_read_file(listing_path(), 1 << 20, NULL);
    REQUIRE(good != NULL);
    for (size_t i = 0; i < SC_COUNT(bad); i++)
        refuse(good, bad[i][0], bad[i][1]);
    struct sc_hub_listing l;
    size_t n = strlen(good);
    for (size_t cut = 0; cut < n; cut++) {
        CHECK(sc_write_file(listing_path(), good, cut, 0600));
        CHECK(!sc_listing_load(&env, &name, &l));
    }
    for (size_t i = 0; i < n; i++) { /* one bit, anywhere */
        good[i] ^= (char)(1 << i % 8);
        CHECK(sc_write_file(listing_path(), good, n, 0600));
        CHECK(!sc_listing_load(&env, &name, &l));
        good[i] ^= (char)(1 << i % 8);
    }
    free(good);
    scratch_remove();
}

/* ------------------------------------------------------------------------------ housekeeping ---
 */
static const struct sc_kept *kept_of(const struct sc_kept_list *l, uint8_t kind)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].kind == kind)
            return &l->items[i];
    return NULL;
}

/* One of each kind. */
static void fill_caches(void)
{
    CHECK(sc_hf_install_bytes(&env, &listing, "config.json", HELLO, "hello\n", 6));
    CHECK(save_listing(1000));
    struct sc_ranges *r = sc_ranges_open(&env, ABC, 100, true);
    sc_ranges_name(r, "org/name/model.bin");
    sc_ranges_save(r, 0, "0123456789", 10);
    sc_ranges_close(r);
}

TEST(looking_sees_what_is_ours)
{
    struct sc_kept_list l;
    REQUIRE(begin());
    REQUIRE(sc_kept_look(&env, &l, NULL) == 0);
    CHECK_U64(l.n, 0);
    sc_kept_clear(&l);
    fill_caches();
    scratch_folder("hub/models--");
    scratch_folder("hub/models--..--..");
    scratch_folder("hub/models--a--b--c");
    scratch_folder("hub/kernels--a--b");
    scratch_folder("hub/models--a\n--b");
    scratch_folder("own/ranges/zz");
    CHECK(sc_make_folders(scratch_at("own/ranges/ba/" ABC)));
    scratch_file("own/ranges/" ABC ".maps", "x", 1);
    scratch_file("own/ranges/x.map", "x", 1);
    scratch_file("own/listings/x.json", "{}", 2);
    REQUIRE(sc_kept_look(&env, &l, NULL) == 0);
    CHECK_U64(l.n, 3);
    const struct sc_kept *repo = kept_of(&l, SC_KEPT_REPO), *part = kept_of(&l, SC_KEPT_RANGES);
    REQUIRE(repo && part && kept_of(&l, SC_KEPT_LISTING));
    CHECK_STR(repo->id, "org/name");
    CHECK_STR(repo->refs, "main");
    CHECK_U64(repo->revisions, 1);
    CHECK_U64(repo->files, 1);
    CHECK_STR(part->id, "org/name/model.bin");
    CHECK_U64(part->total, 100);
    CHECK(sc_kept_matches(repo, "org/name") && sc_kept_matches(part, "org/name"));
    CHECK(sc_kept_matches(repo, "models/org/name"));
    CHECK(sc_kept_matches(part, "ba7816") && !sc_kept_matches(part, "ba781"));
    CHECK(!sc_kept_matches(repo, "datasets/org/name") && !sc_kept_matches(part, ""));
    CHECK(!sc_kept_matches(part, "org") && !sc_kept_matches(repo, "models--org--name"));
    sc_kept_clear(&l);
    scratch_remove();
}

TEST(removing_stays_inside)
{
    struct sc_error e;
    REQUIRE(begin());
    fill_caches();
    REQUIRE(scratch_file("precious", "x", 1));
    static const char *const keys[] = {"..",         "../precious", "",
                                       "models--..", "/",           "models--a/../.."};
    for (size_t i = 0; i < SC_COUNT(keys); i++) {
        for (uint8_t kind = SC_KEPT_REPO; kind <= SC_KEPT_LISTING; kind++) {
            struct sc_kept k = {.kind = kind, .id = "x", .key = keys[i], .writable = true};
            CHECK_ERR(SCRUPLE_EUSAGE, sc_kept_remove(&env, &k, &e));
        }
    }
    struct sc_kept_list l;
    REQUIRE(sc_kept_look(&env, &l, NULL) == 0);
    CHECK_U64(l.n, 3);
    for (size_t i = 0; i < l.n; i++) {
        struct sc_kept k = l.items[i];
        k.writable = false;
        CHECK_ERR(SCRUPLE_EUSAGE, sc_kept_remove(&env, &k, &e));
        CHECK(sc_kept_remove(&env, &l.items[i], &e) == 0);
        CHECK(sc_kept_remove(&env, &l.items[i], &e) == 0); /* it is gone: that is what was asked */
    }
    sc_kept_clear(&l);
    REQUIRE(sc_kept_look(&env, &l, NULL) == 0);
    CHECK_U64(l.n, 0);
    sc_kept_clear(&l);
    CHECK(holds("precious", "x"));
    scratch_remove();
}

static void count_problem(void *ctx, const struct sc_kept_problem *p)
{
    (void)p;
    ++*(unsigned *)ctx;
}

TEST(a_start_that_was_killed_is_no_problem)
{
    unsigned n = 0;
    struct sc_error e = {0};
    REQUIRE(begin());
    struct sc_ranges *r = sc_ranges_open(&env, ABC, 100, true);
    sc_ranges_close(r);
    CHECK(sc_kept_verify(&env, NULL, false, NULL, count_problem, NULL, &n, &e) == 0);
    CHECK(unlink(scratch_at("own/ranges/" ABC ".map")) == 0);
    CHECK(sc_kept_verify(&env, NULL, true, NULL, count_problem, NULL, &n, &e) == 0);
    REQUIRE(scratch_file("own/ranges/" ABC ".data", "x", 1)); /* bytes without a log */
    CHECK(sc_kept_verify(&env, NULL, false, NULL, count_problem, NULL, &n, &e) == 1);
    CHECK(sc_kept_verify(&env, NULL, true, NULL, count_problem, NULL, &n, &e) == 1);
    CHECK(access(scratch_at("own/ranges/" ABC ".data"), F_OK) != 0);
    CHECK(sc_kept_verify(&env, NULL, true, NULL, count_problem, NULL, &n, &e) == 0);
    scratch_remove();
}

/* The first form of this cache had its parts in folders of two digits; nobody reads them now. */
TEST(parts_of_earlier_versions_are_leftovers)
{
    unsigned n = 0;
    struct sc_error e = {0};
    REQUIRE(begin());
    REQUIRE(sc_make_folders(scratch_at("own/ranges/ba/" ABC)));
    REQUIRE(scratch_file("own/ranges/ba/" ABC "/data", "x", 1));
    CHECK(sc_kept_verify(&env, NULL, true, NULL, count_problem, NULL, &n, &e) == 0);
    make_old("own/ranges/ba");
    CHECK(sc_kept_verify(&env, NULL, false, NULL, count_problem, NULL, &n, &e) == 1);
    CHECK(sc_kept_verify(&env, NULL, true, NULL, count_problem, NULL, &n, &e) == 1);
    CHECK(access(scratch_at("own/ranges/ba"), F_OK) != 0);
    scratch_remove();
}

TEST(verifying_can_be_stopped)
{
    unsigned n = 0;
    _Atomic int cancel = 0;
    struct sc_error e = {0};
    REQUIRE(begin());
    fill_caches();
    CHECK(sc_kept_verify(&env, NULL, false, &cancel, count_problem, NULL, &n, &e) == 0);
    REQUIRE(scratch_file(REPO "/blobs/" HELLO, "hallo\n", 6));
    CHECK(sc_kept_verify(&env, NULL, false, &cancel, count_problem, NULL, &n, &e) == 1);
    CHECK_ERR(SCRUPLE_ENOTFOUND,
              sc_kept_verify(&env, "org/other", false, &cancel, count_problem, NULL, &n, &e));
    CHECK_U64(n, 1);
    cancel = 1;
    CHECK_ERR(SCRUPLE_EINTERRUPTED,
              sc_kept_verify(&env, NULL, true, &cancel, count_problem, NULL, &n, &e));
    CHECK(holds(REPO "/blobs/" HELLO, "hallo\n"));
    cancel = 0;
    CHECK(sc_kept_verify(&env, NULL, true, &cancel, count_problem, NULL, &n, &e) == 2);
    CHECK(sc_kept_verify(&env, NULL, true, &cancel, count_problem, NULL, &n, &e) == 0);
    scratch_remove();
}
