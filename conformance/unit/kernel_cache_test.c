// SPDX-License-Identifier: MIT
//
// Unit tests of runtime/device/kernel_cache.c: what was stored comes back; every kind of damage, and another
// key under the same file name, is "not found"; processes that store and load at once never see half an
// entry; a folder that can't be written turns the cache off with a reason.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isomer/backend.h"

static char root[64];
static char folder[128];

static iso_cache_key key_of(const char *text)
{
    iso_cache_key key = {{0}};
    iso_cache_key_add(&key, text, strlen(text));
    return key;
}

static void path_of(const iso_cache_key *key, char path[256])
{
    snprintf(path, 256, "%.120s/%016llx%016llx", folder, (unsigned long long)key->words[0],
             (unsigned long long)key->words[1]);
}

static bool is_found(const iso_cache_key *key, const void *expected, size_t expected_bytes)
{
    void *data;
    size_t bytes;
    iso_status status = iso_kernel_cache_load(NULL, key, &data, &bytes);
    if (status != ISO_OK) {
        assert_int_equal(status, ISO_NOT_FOUND);
        assert_null(data);
        return false;
    }
    assert_int_equal(bytes, expected_bytes);
    assert_memory_equal(data, expected, bytes);
    iso_free(NULL, data);
    return true;
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/isomer-cache-test-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(folder, sizeof folder, "%s/isomer/kernels", root);
    return setenv("XDG_CACHE_HOME", root, 1);
}

static int remove_root(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (unlink(path) != 0)
            rmdir(path);
    }
    if (dir)
        closedir(dir);
    char parent[128];
    snprintf(parent, sizeof parent, "%s/isomer", root);
    rmdir(folder);
    rmdir(parent);
    return rmdir(root);
}

static void test_keys(void **state)
{
    (void)state;
    iso_cache_key ab_c = key_of("ab"), a_bc = key_of("a"), twice = key_of("a"), empty = {{0}};
    iso_cache_key_add(&ab_c, "c", 1);
    iso_cache_key_add(&a_bc, "bc", 2);
    iso_cache_key_add(&empty, "", 0);
    assert_true(memcmp(&ab_c, &a_bc, sizeof ab_c) != 0);
    iso_cache_key again = key_of("a");
    assert_memory_equal(&twice, &again, sizeof again);
    assert_true(empty.words[0] != 0 && empty.words[1] != 0);
}

static void test_store_and_load(void **state)
{
    (void)state;
    iso_cache_key key = key_of("store"), other = key_of("other");
    assert_false(is_found(&key, NULL, 0));
    iso_kernel_cache_store(&key, "binary\0code", 11);
    assert_null(iso_kernel_cache_problem());
    assert_true(is_found(&key, "binary\0code", 11));
    assert_false(is_found(&other, NULL, 0));
    iso_kernel_cache_store(&key, "newer", 5);
    assert_true(is_found(&key, "newer", 5));
    iso_kernel_cache_store(&key, "", 0);
    assert_true(is_found(&key, "", 0));
}

static void test_nothing_is_left_aside(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        assert_null(strstr(entry->d_name, "new-"));
    closedir(dir);
}

// Each byte of an entry matters: flipping any one, or cutting the file anywhere, must hide it.
static void test_damage_is_not_found(void **state)
{
    (void)state;
    static const char payload[] = "a kernel's compiled form";
    iso_cache_key key = key_of("damage");
    char path[256];
    path_of(&key, path);
    iso_kernel_cache_store(&key, payload, sizeof payload);
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    for (off_t at = 0; at < facts.st_size; at++) {
        int file = open(path, O_RDWR);
        assert_true(file >= 0);
        unsigned char byte;
        assert_int_equal(pread(file, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(file, &byte, 1, at), 1);
        assert_false(is_found(&key, NULL, 0));
        byte ^= 0x10;
        assert_int_equal(pwrite(file, &byte, 1, at), 1);
        close(file);
    }
    assert_true(is_found(&key, payload, sizeof payload));
    for (off_t size = facts.st_size - 1; size >= 0; size--) {
        assert_int_equal(truncate(path, size), 0);
        assert_false(is_found(&key, NULL, 0));
    }
    iso_kernel_cache_store(&key, payload, sizeof payload); // repairs it
    assert_true(is_found(&key, payload, sizeof payload));
}

static void test_other_kinds_of_files(void **state)
{
    (void)state;
    iso_cache_key first = key_of("first"), second = key_of("second"), fifo = key_of("fifo"),
                  dir = key_of("dir");
    char from[256], to[256];
    iso_kernel_cache_store(&first, "1", 1);
    path_of(&first, from);
    path_of(&second, to);
    assert_int_equal(rename(from, to), 0);
    assert_false(is_found(&second, NULL, 0));
    path_of(&fifo, to);
    assert_int_equal(mkfifo(to, 0600), 0);
    assert_false(is_found(&fifo, NULL, 0)); // and does not wait for a writer
    path_of(&dir, to);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_false(is_found(&dir, NULL, 0));
}

// Several processes replace one entry while all of them read it.
static void test_several_processes(void **state)
{
    (void)state;
    enum { PROCESSES = 4, ROUNDS = 100, BYTES = 20000 };
    iso_cache_key key = key_of("shared");
    pid_t children[PROCESSES];
    for (int p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        assert_true(children[p] >= 0);
        if (children[p] != 0)
            continue;
        static char mine[BYTES];
        memset(mine, 'A' + p, sizeof mine);
        int failures = 0;
        for (int round = 0; round < ROUNDS; round++) {
            iso_kernel_cache_store(&key, mine, sizeof mine - (size_t)p);
            void *data;
            size_t bytes;
            if (iso_kernel_cache_load(NULL, &key, &data, &bytes) != ISO_OK) {
                failures++;
                continue;
            }
            const char *text = data;
            failures += bytes != BYTES - (size_t)(text[0] - 'A') || text[bytes - 1] != text[0];
            iso_free(NULL, data);
        }
        _exit(failures != 0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int result;
        assert_int_equal(waitpid(children[p], &result, 0), children[p]);
        assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    }
}

static void *failing_resize(void *context, void *memory, size_t bytes)
{
    (void)context;
    (void)memory;
    (void)bytes;
    return NULL;
}

static void failing_release(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

static void test_no_memory(void **state)
{
    (void)state;
    iso_allocator allocator = {NULL, failing_resize, failing_release};
    iso_cache_key key = key_of("memory");
    iso_kernel_cache_store(&key, "1", 1);
    void *data = &key;
    size_t bytes = 1;
    assert_int_equal(iso_kernel_cache_load(&allocator, &key, &data, &bytes), ISO_OUT_OF_MEMORY);
    assert_null(data);
}

// The problem stays for the life of the process, so each way to get one has a process of its own.
static int problem_after_store(const char *cache_home, const char *home)
{
    pid_t child = fork();
    if (child == 0) {
        if (cache_home)
            setenv("XDG_CACHE_HOME", cache_home, 1);
        else
            unsetenv("XDG_CACHE_HOME");
        if (home)
            setenv("HOME", home, 1);
        else
            unsetenv("HOME");
        iso_cache_key key = key_of("problem");
        void *data;
        size_t bytes;
        iso_kernel_cache_store(&key, "1", 1);
        const char *problem = iso_kernel_cache_problem();
        int seen = problem != NULL && strstr(problem, "XDG_CACHE_HOME") != NULL;
        int found = iso_kernel_cache_load(NULL, &key, &data, &bytes) == ISO_OK;
        if (found)
            iso_free(NULL, data);
        _exit(seen * 2 + found);
    }
    int result;
    return waitpid(child, &result, 0) == child && WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static void test_folder_that_cannot_be_written(void **state)
{
    (void)state;
    enum { WORKS = 1, OFF = 2 };
    char blocked[128], plain[128];
    snprintf(plain, sizeof plain, "%s/file", root);
    snprintf(blocked, sizeof blocked, "%s/file/below", root);
    int file = open(plain, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(problem_after_store(blocked, root), OFF);
    assert_int_equal(problem_after_store(NULL, NULL), OFF);
    assert_int_equal(problem_after_store("relative", NULL), OFF);
    assert_int_equal(problem_after_store(root, NULL), WORKS);
    unlink(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_store_and_load),
        cmocka_unit_test(test_damage_is_not_found),
        cmocka_unit_test(test_other_kinds_of_files),
        cmocka_unit_test(test_several_processes),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_folder_that_cannot_be_written),
        cmocka_unit_test(test_nothing_is_left_aside),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
