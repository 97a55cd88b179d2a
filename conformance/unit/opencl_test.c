// SPDX-License-Identifier: MIT
//
// The OpenCL backend on every OpenCL device that is here, through the public calls of isomer/device.h, and
// its loader with libraries that are absent, wrong or empty. `opencl_test --probe` prints what a fresh
// process finds: OpenCL loaders read their environment only once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "isomer/device.h"

// Sanitizers end the process where malloc would return NULL.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

extern const iso_backend iso_opencl_backend;

#define MAX_DEVICES 16
#define GROUP       64
#define COUNT       1000u // no multiple of GROUP
#define ARRAY_BYTES (COUNT * 4)
#define CHECK(expr) assert_string_equal((expr) == ISO_OK ? "" : iso_status_last()->text, "")

static const char saxpy_text[] =
    "__kernel void saxpy(uint count, __global const float *x, __global const float *y, __global float *z,\n"
    "                    float a, uint add)\n"
    "{\n"
    "    size_t i = get_global_id(0);\n"
    "    if (i < count) z[i] = a * x[i] + y[i] + (float)add;\n"
    "}\n";

static const char advance_text[] =
    "__kernel void advance(uint count, __global uint *x)\n"
    "{ size_t i = get_global_id(0); if (i < count) x[i] = x[i] * 3u + (uint)i; }\n";

static const char ids_text[] = "__kernel void ids(uint count, __global uint *x)\n"
                               "{\n"
                               "    size_t g = get_group_id(0) + get_num_groups(0) * (get_group_id(1) + "
                               "get_num_groups(1) * get_group_id(2));\n"
                               "    size_t i = g * get_local_size(0) + get_local_id(0);\n"
                               "    if (i < count) x[i] = (uint)(get_group_id(0) + 16 * get_group_id(1) + "
                               "256 * get_group_id(2)) + 4096u *\n"
                               "        (uint)get_local_size(0);\n"
                               "}\n";

// ---- what all tests share ----

typedef struct fixture {
    iso_registry *registry;
    const char *names[MAX_DEVICES]; // of usable OpenCL devices
    char storage[MAX_DEVICES][32];
    uint32_t count;
} fixture;

static int set_up(void **state)
{
    static fixture shared;
    memset(&shared, 0, sizeof shared);
    if (iso_registry_create(NULL, &shared.registry) != ISO_OK)
        return -1;
    for (uint32_t i = 0; i < iso_registry_device_count(shared.registry) && shared.count < MAX_DEVICES; i++) {
        const iso_device_info *info = iso_registry_device_info(shared.registry, i);
        if (strcmp(info->backend, "opencl") != 0 || !info->available)
            continue;
        snprintf(shared.storage[shared.count], sizeof shared.storage[0], "opencl:%u", info->ordinal);
        shared.names[shared.count] = shared.storage[shared.count];
        shared.count++;
    }
    *state = &shared;
    return 0;
}

static int tear_down(void **state)
{
    fixture *shared = *state;
    iso_registry_destroy(shared->registry);
    return 0;
}

static const fixture *need_devices(void **state)
{
    const fixture *shared = *state;
    if (shared->count == 0) {
        const char *reason = "every device is unavailable";
        for (uint32_t i = 0; i < iso_registry_backend_count(shared->registry); i++) {
            const char *why = NULL;
            if (strcmp(iso_registry_backend(shared->registry, i, &why), "opencl") == 0 && why != NULL)
                reason = why;
        }
        print_message("skipped: no OpenCL device: %s\n", reason);
        skip();
    }
    return shared;
}

static iso_device *open_device(const fixture *shared, uint32_t index, bool profile)
{
    const iso_device_options options = {.validate = true, .profile = profile};
    iso_device *device = NULL;
    CHECK(iso_device_open(shared->registry, shared->names[index], &options, &device));
    return device;
}

static iso_module_source saxpy_source(void)
{
    return (iso_module_source){
        .name = "saxpy.test",
        .entry = "saxpy",
        .format = ISO_CODE_OPENCL_C,
        .code = saxpy_text,
        .code_bytes = sizeof saxpy_text - 1,
        .group_size = GROUP,
        .arg_count = 6,
        .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER, ISO_ARG_BUFFER, ISO_ARG_BUFFER, ISO_ARG_F32, ISO_ARG_U32},
    };
}

static iso_module_source in_place_source(const char *entry, const char *text)
{
    return (iso_module_source){
        .name = entry,
        .entry = entry,
        .format = ISO_CODE_OPENCL_C,
        .code = text,
        .code_bytes = strlen(text),
        .group_size = GROUP,
        .arg_count = 2,
        .arg_kinds = {ISO_ARG_U32, ISO_ARG_BUFFER},
    };
}

static iso_arg buffer_arg(const iso_buffer *buffer, uint64_t offset, uint64_t range)
{
    return (iso_arg){.kind = ISO_ARG_BUFFER,
                     .memory = iso_buffer_memory(buffer),
                     .offset_bytes = offset,
                     .range_bytes = range};
}

static iso_arg u32_arg(uint32_t value)
{
    return (iso_arg){.kind = ISO_ARG_U32, .value.u32 = value};
}

static iso_arg f32_arg(float value)
{
    return (iso_arg){.kind = ISO_ARG_F32, .value.f32 = value};
}

// x, y and z in one buffer, each at its own aligned offset with at least one alignment step between them.
typedef struct saxpy_run {
    iso_buffer *arena;
    iso_module *module;
    iso_list *list;
    uint64_t stride;
} saxpy_run;

static iso_status saxpy_create(iso_device *device, saxpy_run *run)
{
    const uint64_t alignment = iso_device_get_info(device)->buffer_alignment_bytes;
    const iso_module_source source = saxpy_source();
    memset(run, 0, sizeof *run);
    run->stride = (ARRAY_BYTES + 2 * alignment - 1) / alignment * alignment;
    ISO_TRY(iso_buffer_create(device, 3 * run->stride, &run->arena));
    ISO_TRY(iso_module_create(device, &source, &run->module));
    ISO_TRY(iso_list_create(device, &run->list));
    iso_dispatch dispatch = {
        .label = source.name, .groups = {(COUNT + GROUP - 1) / GROUP, 1, 1}, .arg_count = 6};
    dispatch.args[0] = u32_arg(COUNT);
    for (uint32_t i = 0; i < 3; i++)
        dispatch.args[1 + i] = buffer_arg(run->arena, i * run->stride, ARRAY_BYTES);
    dispatch.args[4] = f32_arg(2.0f);
    dispatch.args[5] = u32_arg(5);
    ISO_TRY(iso_list_dispatch(run->list, run->module, &dispatch));
    return iso_list_finish(run->list);
}

static void saxpy_destroy(saxpy_run *run)
{
    iso_list_destroy(run->list);
    iso_module_destroy(run->module);
    iso_buffer_release(run->arena);
}

// One replay with inputs made from `seed`; small whole numbers, so that the answer is exact. False: see the
// status record, or `*out_wrong`, the number of elements that are not what they must be (space between arrays
// included).
static bool saxpy_step(saxpy_run *run, uint32_t seed, uint32_t *out_wrong)
{
    float x[COUNT], y[COUNT], z[COUNT];
    uint32_t guard = 0;
    *out_wrong = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        x[i] = (float)((i + seed) % 101);
        y[i] = (float)((i * 7 + seed) % 53);
    }
    if (iso_buffer_fill(run->arena, 0, 3 * run->stride, 0xa5a5a5a5u) != ISO_OK ||
        iso_buffer_write(run->arena, 0, x, sizeof x) != ISO_OK ||
        iso_buffer_write(run->arena, run->stride, y, sizeof y) != ISO_OK ||
        iso_list_submit(run->list) != ISO_OK ||
        iso_buffer_read(run->arena, 2 * run->stride, z, sizeof z) != ISO_OK)
        return false;
    for (uint32_t i = 0; i < COUNT; i++)
        *out_wrong += z[i] != 2.0f * x[i] + y[i] + 5.0f;
    for (uint32_t i = 0; i < 3; i++) {
        if (iso_buffer_read(run->arena, i * run->stride + ARRAY_BYTES, &guard, sizeof guard) != ISO_OK)
            return false;
        *out_wrong += guard != 0xa5a5a5a5u;
    }
    return *out_wrong == 0;
}

// ---- facts ----

static void test_facts(void **state)
{
    const fixture *shared = need_devices(state);
    for (uint32_t i = 0; i < iso_registry_device_count(shared->registry); i++) {
        const iso_device_info *info = iso_registry_device_info(shared->registry, i);
        if (strcmp(info->backend, "opencl") != 0)
            continue;
        assert_true(info->name[0] != '\0');
        assert_int_equal(info->available, info->reason[0] == '\0');
        if (!info->available)
            continue;
        print_message("opencl:%u %s | %s | align %u, args %u, group %u, local %u, features %#x\n",
                      info->ordinal, info->name, info->driver, info->buffer_alignment_bytes,
                      info->max_argument_bytes, info->max_group_size, info->local_memory_bytes,
                      info->features);
        assert_true(info->driver[0] != '\0');
        assert_int_equal(info->code_formats[0], ISO_CODE_OPENCL_C);
        assert_int_equal(info->code_formats[1], ISO_CODE_NONE);
        assert_true(info->max_allocation_bytes > 0 && info->max_allocation_bytes <= info->memory_bytes);
        assert_true(info->buffer_alignment_bytes >= 4 && info->buffer_alignment_bytes <= 65536);
        assert_true(info->max_group_size >= GROUP);
        assert_true(info->local_memory_bytes >= 16384);
        assert_true(info->max_argument_bytes >= 256);
        assert_true((info->features & ISO_FEATURE_INT64) != 0);
    }
}

// ---- running ----

static void test_replay(void **state)
{
    const fixture *shared = need_devices(state);
    for (uint32_t d = 0; d < shared->count; d++) {
        iso_device *device = open_device(shared, d, false);
        saxpy_run run;
        CHECK(saxpy_create(device, &run));
        for (uint32_t seed = 1; seed <= 3; seed++) {
            uint32_t wrong = 0;
            bool right = saxpy_step(&run, seed, &wrong);
            if (!right)
                print_error("%s seed %u: %u wrong; %s\n", shared->names[d], seed, wrong,
                            iso_status_last()->text);
            assert_true(right);
        }
        saxpy_destroy(&run);
        iso_device_close(device);
    }
}

// Each dispatch needs the one before: finds a queue that is not in order, and offsets applied to one part
// only.
static void test_chain(void **state)
{
    const fixture *shared = need_devices(state);
    for (uint32_t d = 0; d < shared->count; d++) {
        iso_device *device = open_device(shared, d, false);
        const uint64_t alignment = iso_device_get_info(device)->buffer_alignment_bytes;
        const iso_module_source source = in_place_source("advance", advance_text);
        iso_buffer *buffer = NULL;
        iso_module *module = NULL;
        iso_list *list = NULL;
        CHECK(iso_buffer_create(device, alignment + ARRAY_BYTES, &buffer));
        CHECK(iso_module_create(device, &source, &module));
        CHECK(iso_list_create(device, &list));
        for (uint32_t i = 0; i < 20; i++) {
            iso_dispatch dispatch = {
                .label = "advance", .groups = {(COUNT + GROUP - 1) / GROUP, 1, 1}, .arg_count = 2};
            dispatch.args[0] = u32_arg(COUNT);
            dispatch.args[1] = buffer_arg(buffer, alignment, ARRAY_BYTES);
            CHECK(iso_list_dispatch(list, module, &dispatch));
            CHECK(iso_list_barrier(list));
        }
        CHECK(iso_list_finish(list));
        CHECK(iso_buffer_fill(buffer, 0, alignment + ARRAY_BYTES, 1));
        CHECK(iso_list_submit(list));
        CHECK(iso_list_submit(list));
        CHECK(iso_device_wait(device));
        uint32_t result[COUNT], before = 0;
        CHECK(iso_buffer_read(buffer, alignment, result, sizeof result));
        CHECK(iso_buffer_read(buffer, alignment - 4, &before, sizeof before));
        assert_int_equal(before, 1);
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t want = 1;
            for (uint32_t k = 0; k < 40; k++)
                want = want * 3 + i;
            assert_int_equal(result[i], want);
        }
        // A list may go while it runs.
        CHECK(iso_list_submit(list));
        iso_list_destroy(list);
        iso_module_destroy(module);
        CHECK(iso_device_wait(device));
        iso_buffer_release(buffer);
        iso_device_close(device);
    }
}

static void test_group_ids(void **state)
{
    const fixture *shared = need_devices(state);
    enum { X = 3, Y = 4, Z = 2, TOTAL = X * Y * Z * GROUP };
    for (uint32_t d = 0; d < shared->count; d++) {
        iso_device *device = open_device(shared, d, false);
        const iso_module_source source = in_place_source("ids", ids_text);
        iso_buffer *buffer = NULL;
        iso_module *module = NULL;
        iso_list *list = NULL;
        CHECK(iso_buffer_create(device, TOTAL * 4, &buffer));
        CHECK(iso_module_create(device, &source, &module));
        CHECK(iso_list_create(device, &list));
        iso_dispatch dispatch = {.label = "ids", .groups = {X, Y, Z}, .arg_count = 2};
        dispatch.args[0] = u32_arg(TOTAL);
        dispatch.args[1] = buffer_arg(buffer, 0, TOTAL * 4);
        CHECK(iso_list_dispatch(list, module, &dispatch));
        CHECK(iso_list_finish(list));
        CHECK(iso_list_submit(list));
        uint32_t result[TOTAL];
        CHECK(iso_buffer_read(buffer, 0, result, sizeof result));
        for (uint32_t i = 0; i < TOTAL; i++) {
            uint32_t group = i / GROUP;
            assert_int_equal(result[i],
                             group % X + 16 * (group / X % Y) + 256 * (group / X / Y) + 4096 * GROUP);
        }
        iso_list_destroy(list);
        iso_module_destroy(module);
        iso_buffer_release(buffer);
        iso_device_close(device);
    }
}

static void test_times(void **state)
{
    const fixture *shared = need_devices(state);
    for (uint32_t d = 0; d < shared->count; d++) {
        uint64_t ns[4] = {0};
        uint32_t count = 4, wrong = 0;
        saxpy_run run;
        iso_device *device = open_device(shared, d, false);
        CHECK(saxpy_create(device, &run));
        assert_int_equal(iso_list_times(run.list, ns, &count), ISO_INVALID_ARGUMENT);
        assert_non_null(strstr(iso_status_last()->text, "profil"));
        saxpy_destroy(&run);
        iso_device_close(device);

        device = open_device(shared, d, true);
        CHECK(saxpy_create(device, &run));
        count = 4;
        assert_int_equal(iso_list_times(run.list, ns, &count), ISO_INVALID_ARGUMENT); // not submitted yet
        for (uint32_t seed = 1; seed <= 2; seed++) {
            assert_true(saxpy_step(&run, seed, &wrong));
            count = 4;
            CHECK(iso_list_times(run.list, ns, &count));
            assert_int_equal(count, 1);
            assert_true(ns[0] > 0 && ns[0] < UINT64_C(60000000000));
        }
        saxpy_destroy(&run);
        iso_device_close(device);
    }
}

// ---- several devices at once ----

typedef struct worker {
    pthread_t thread;
    iso_device *device;
    bool right;
} worker;

static void *work(void *worker_)
{
    worker *self = worker_;
    saxpy_run run;
    uint32_t wrong = 0;
    self->right = saxpy_create(self->device, &run) == ISO_OK;
    for (uint32_t seed = 0; self->right && seed < 20; seed++)
        self->right = saxpy_step(&run, seed, &wrong);
    saxpy_destroy(&run);
    return NULL;
}

static void test_all_at_once(void **state)
{
    const fixture *shared = need_devices(state);
    worker workers[MAX_DEVICES] = {0};
    for (uint32_t d = 0; d < shared->count; d++)
        workers[d].device = open_device(shared, d, false);
    for (uint32_t d = 0; d < shared->count; d++)
        assert_int_equal(pthread_create(&workers[d].thread, NULL, work, &workers[d]), 0);
    for (uint32_t d = 0; d < shared->count; d++)
        pthread_join(workers[d].thread, NULL);
    for (uint32_t d = 0; d < shared->count; d++) {
        assert_true(workers[d].right);
        iso_device_close(workers[d].device);
    }
}

// ---- building ----

static void test_build_failures(void **state)
{
    const fixture *shared = need_devices(state);
    static const char wrong_text[] =
        "__kernel void saxpy(uint count, __global float *x)\n{ x[0] = no_such_name; }\n";
    for (uint32_t d = 0; d < shared->count; d++) {
        iso_device *device = open_device(shared, d, false);
        iso_module *module = NULL;

        iso_module_source source = in_place_source("saxpy", wrong_text);
        source.name = "saxpy.broken";
        assert_int_equal(iso_module_create(device, &source, &module), ISO_BUILD_FAILED);
        print_message("%s\n", iso_status_last()->text);
        assert_null(module);
        assert_non_null(strstr(iso_status_last()->text, "saxpy.broken"));
        assert_non_null(strstr(iso_status_last()->text, shared->names[d]));
        assert_non_null(strstr(iso_status_last()->text, "no_such_name")); // the driver's own words

        source = saxpy_source();
        source.arg_count = 5;
        assert_int_equal(iso_module_create(device, &source, &module), ISO_BUILD_FAILED);
        assert_non_null(strstr(iso_status_last()->text, "6 arguments"));

        source = saxpy_source();
        source.entry = "absent";
        assert_int_equal(iso_module_create(device, &source, &module), ISO_BUILD_FAILED);
        assert_non_null(strstr(iso_status_last()->text, "'absent'"));
        iso_device_close(device);
    }
}

// The one entry of the folder; its inode changes whenever it is published anew. 0 when there is not exactly
// one.
static ino_t only_entry(const char *folder, char *out_path, size_t path_bytes)
{
    ino_t inode = 0;
    uint32_t count = 0;
    DIR *listing = opendir(folder);
    if (listing == NULL)
        return 0;
    for (struct dirent *at; (at = readdir(listing)) != NULL;) {
        if (at->d_name[0] == '.')
            continue;
        inode = at->d_ino;
        count++;
        snprintf(out_path, path_bytes, "%s/%s", folder, at->d_name);
    }
    closedir(listing);
    return count == 1 ? inode : 0;
}

static void build_and_run(iso_device *device)
{
    saxpy_run run;
    uint32_t wrong = 0;
    CHECK(saxpy_create(device, &run));
    assert_true(saxpy_step(&run, 9, &wrong));
    saxpy_destroy(&run);
}

static void test_cache(void **state)
{
    const fixture *shared = need_devices(state);
    char home[128];
    snprintf(home, sizeof home, "%s", getenv("XDG_CACHE_HOME"));
    for (uint32_t d = 0; d < shared->count; d++) {
        char cache[256], folder[300], path[600] = "";
        snprintf(cache, sizeof cache, "%s/cache-%u", home, d);
        snprintf(folder, sizeof folder, "%s/isomer/kernels", cache);
        assert_int_equal(mkdir(cache, 0700), 0);
        setenv("XDG_CACHE_HOME", cache, 1);
        iso_device *device = open_device(shared, d, false);
        build_and_run(device);
        ino_t first = only_entry(folder, path, sizeof path);
        assert_true(first != 0);
        build_and_run(device);
        assert_int_equal(only_entry(folder, path, sizeof path), first); // read, not written again

        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        assert_int_equal(fseek(file, -5, SEEK_END), 0);
        assert_int_equal(fwrite("DAMAGE", 1, 5, file), 5);
        fclose(file);
        build_and_run(device);
        assert_true(only_entry(folder, path, sizeof path) != 0);
        iso_device_close(device);
    }
    setenv("XDG_CACHE_HOME", home, 1);
}

// ---- memory ----

static void test_too_large(void **state)
{
    const fixture *shared = need_devices(state);
    for (uint32_t d = 0; d < shared->count; d++) {
        iso_device *device = open_device(shared, d, false);
        uint64_t largest = iso_device_get_info(device)->max_allocation_bytes;
        char number[32];
        snprintf(number, sizeof number, "%llu", (unsigned long long)largest + 1);
        iso_buffer *buffer = NULL;
        assert_int_equal(iso_buffer_create(device, largest + 1, &buffer), ISO_UNSUPPORTED);
        assert_null(buffer);
        assert_non_null(strstr(iso_status_last()->text, number));
        iso_device_close(device);
    }
}

static uint64_t address_space_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%llu", &pages) != 1)
            pages = 0;
        fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// The driver itself runs out of memory: named at the allocation, and the device is still good afterwards.
static void test_out_of_memory(void **state)
{
    const fixture *shared = need_devices(state);
    if (SANITIZED || getenv("ISOMER_OPENCL_LIBRARY") != NULL) {
        print_message("skipped: sanitizers and simulators end the process when memory runs out\n");
        skip();
    }
    for (uint32_t d = 0; d < shared->count; d++) {
        iso_device *device = open_device(shared, d, false);
        uint64_t bytes = iso_device_get_info(device)->max_allocation_bytes;
        if (bytes > UINT64_C(1) << 30)
            bytes = UINT64_C(1) << 30;
        char number[32];
        snprintf(number, sizeof number, "%llu", (unsigned long long)bytes);
        build_and_run(device);
        struct rlimit limit, small;
        assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
        small = limit;
        small.rlim_cur = address_space_bytes() + (bytes >> 2);
        assert_int_equal(setrlimit(RLIMIT_AS, &small), 0);
        iso_buffer *buffer = NULL;
        iso_status status = iso_buffer_create(device, bytes, &buffer);
        assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
        print_message("%s\n", status == ISO_OK ? "no failure" : iso_status_last()->text);
        assert_int_equal(status, ISO_OUT_OF_MEMORY);
        assert_non_null(strstr(iso_status_last()->text, number));
        build_and_run(device);
        iso_device_close(device);
    }
}

typedef struct failing_allocator {
    long until_failure, living;
} failing_allocator;

static void *failing_resize(void *context, void *memory, size_t bytes)
{
    failing_allocator *self = context;
    if (self->until_failure-- == 0)
        return NULL;
    self->living += memory == NULL;
    return realloc(memory, bytes);
}

static void failing_release(void *context, void *memory)
{
    failing_allocator *self = context;
    self->living -= memory != NULL;
    free(memory);
}

// Everything from loading to a replay. The table itself: the registry would load the other backends as well.
static iso_status whole_life(const iso_allocator *allocator, uint32_t ordinal)
{
    const iso_backend *backend = &iso_opencl_backend;
    const iso_device_options options = {.allocator = allocator, .profile = true};
    const iso_module_source source = in_place_source("advance", advance_text);
    void *driver = NULL, *device = NULL, *module = NULL, *list = NULL;
    iso_memory memory = {0};
    iso_dispatch dispatch = {.label = "advance", .groups = {1, 1, 1}, .arg_count = 2};
    dispatch.args[0] = u32_arg(1);
    dispatch.args[1] = (iso_arg){.kind = ISO_ARG_BUFFER, .memory = &memory, .range_bytes = 4};
    iso_status status;
    ISO_TRY(backend->load(allocator, NULL, &driver));
    ISO_TRY_GOTO(backend->open_device(driver, ordinal, &options, &device), unload);
    ISO_TRY_GOTO(backend->alloc(device, 256, &memory), close);
    ISO_TRY_GOTO(backend->module_create(device, &source, &module), close);
    ISO_TRY_GOTO(backend->list_create(device, &list), close);
    ISO_TRY_GOTO(backend->list_dispatch(list, module, &dispatch), close);
    ISO_TRY_GOTO(backend->list_finish(list), close);
    ISO_TRY_GOTO(backend->submit(device, list), close);
    ISO_TRY_GOTO(backend->wait(device), close);
close:
    backend->list_destroy(list);
    backend->module_destroy(device, module);
    backend->free(device, &memory);
    backend->close_device(device);
unload:
    backend->unload(driver);
    return status;
}

static void test_failing_allocations(void **state)
{
    const fixture *shared = need_devices(state);
    for (uint32_t d = 0; d < shared->count; d++) {
        uint32_t ordinal = (uint32_t)atoi(strchr(shared->names[d], ':') + 1);
        iso_status status = ISO_OUT_OF_MEMORY;
        long n = 0;
        // The driver's binary and the build cache are optional: a failure there does not stop the run.
        uint32_t failures = 0;
        for (bool reached = true; reached; n++) {
            failing_allocator failing = {.until_failure = n};
            const iso_allocator allocator = {&failing, failing_resize, failing_release};
            status = whole_life(&allocator, ordinal);
            reached = failing.until_failure < 0;
            assert_int_equal(failing.living, 0);
            assert_true(status == ISO_OK || status == ISO_OUT_OF_MEMORY);
            failures += status != ISO_OK;
            assert_true(n < 500);
        }
        assert_int_equal(status, ISO_OK);
        assert_true(failures >= 10);
        print_message("%s: %ld allocations, %u of them needed\n", shared->names[d], n - 1, failures);
    }
}

// ---- all ----

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *at)
{
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

int main(void)
{
    char cache[] = "/tmp/isomer-opencl-test-XXXXXX";
    if (mkdtemp(cache) == NULL)
        return 1;
    setenv("XDG_CACHE_HOME", cache, 1);
    setenv("RUSTICL_ENABLE", "llvmpipe", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_group_ids),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_build_failures),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_failing_allocations),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    (void)nftw(cache, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
