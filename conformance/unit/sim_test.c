// SPDX-License-Identifier: MIT
//
// The simulated chips: chip files good and bad, the limits of a chip, replay, and each kind of fault on a
// kernel small enough to know every number: y = a + b.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/sim/sim.h"
#include "isomer/device.h"
#include "isomer/ops.h"

#define WIDTH    70 // more than one subgroup's pairs, and not a multiple of them
#define VARIABLE "ISOMER_SIM_CHIPS"

static char folder[64];

static void assert_text_has(const char *fragment)
{
    if (!strstr(iso_status_last()->text, fragment))
        fail_msg("\"%s\" is not in \"%s\"", fragment, iso_status_last()->text);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

// ---- devices ----

static void test_absent_without_the_variable(void **state)
{
    (void)state;
    iso_registry *registry;
    uint32_t index;
    unsetenv(VARIABLE);
    assert_int_equal(iso_registry_create(NULL, &registry), ISO_OK);
    for (uint32_t i = 0; i < iso_registry_device_count(registry); i++)
        assert_string_not_equal(iso_registry_device_info(registry, i)->backend, "sim");
    assert_int_equal(iso_registry_find(registry, "sim:0", &index), ISO_NOT_FOUND);
    assert_text_has(VARIABLE);
    iso_registry_destroy(registry);
}

static void test_files_and_folders(void **state)
{
    (void)state;
    iso_registry *registry;
    iso_device *device;
    char list[512], path[128];
    write_file("b.chip", "name Bee\nfeature subgroup 8\n");
    write_file("a.chip", "name Ant\nfeature wings 2\n");
    write_file("notes.txt", "not a chip\n");
    snprintf(list, sizeof list, "%s:%s/b.chip:/nowhere/c.chip", folder, folder);
    assert_int_equal(setenv(VARIABLE, list, 1), 0);
    assert_int_equal(iso_registry_create_for(NULL, (const char *const[]){"sim:0"}, 1, &registry), ISO_OK);
    assert_int_equal(iso_registry_device_count(registry), 4);
    const iso_device_info *ant = iso_registry_device_info(registry, 0),
                          *bee = iso_registry_device_info(registry, 1);
    assert_string_equal(ant->name, "Ant (simulated)");
    assert_false(ant->available);
    assert_non_null(strstr(ant->reason, "a.chip:2: \"wings\" is no feature"));
    assert_string_equal(bee->name, "Bee (simulated)");
    assert_true(bee->available);
    assert_int_equal(bee->subgroup_size, 8);
    assert_string_equal(iso_registry_device_info(registry, 3)->name, "c.chip (simulated)");
    assert_non_null(strstr(iso_registry_device_info(registry, 3)->reason, "No such file"));
    assert_int_equal(iso_device_open(registry, "sim:0", NULL, &device), ISO_UNAVAILABLE);
    assert_int_equal(iso_device_open(registry, "sim:2", NULL, &device), ISO_OK);
    iso_device_close(device);
    iso_registry_destroy(registry);

    snprintf(path, sizeof path, "%s/empty", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(setenv(VARIABLE, path, 1), 0);
    assert_int_equal(iso_registry_create_for(NULL, (const char *const[]){"sim:0"}, 1, &registry), ISO_OK);
    uint32_t index;
    assert_int_equal(iso_registry_find(registry, "sim:0", &index), ISO_NOT_FOUND);
    assert_text_has("holds no file *.chip");
    iso_registry_destroy(registry);
}

// ---- running y = a + b ----

typedef struct bench {
    iso_registry *registry;
    iso_device *device;
    iso_module *module;
    iso_buffer *a, *b, *y;
    iso_list *list;
    float sent_a[WIDTH], sent_b[WIDTH], got[WIDTH];
} bench;

static iso_device *open_chip(iso_registry **out_registry, const char *lines)
{
    char path[128], text[1024];
    iso_device *device;
    snprintf(text, sizeof text, "name Test\n%s\n", lines);
    write_file("test.chip", text);
    snprintf(path, sizeof path, "%s/test.chip", folder);
    assert_int_equal(setenv(VARIABLE, path, 1), 0);
    assert_int_equal(iso_registry_create_for(NULL, (const char *const[]){"sim:0"}, 1, out_registry), ISO_OK);
    if (iso_device_open(*out_registry, "sim:0", &(iso_device_options){.validate = true, .profile = true},
                        &device))
        fail_msg("%s: %s", lines, iso_status_last()->text);
    return device;
}

static const iso_kernel *find_kernel(const char *name)
{
    for (uint32_t o = 0; o < iso_ops()->count; o++)
        for (uint32_t k = 0; k < iso_ops()->ops[o]->kernel_count; k++)
            if (strcmp(iso_ops()->ops[o]->kernels[k]->name, name) == 0)
                return iso_ops()->ops[o]->kernels[k];
    fail_msg("no kernel is called %s", name);
    return NULL;
}

// The arguments of add.k and silu_mul.k: count, two inputs, an output, seven numbers.
static iso_module_source describe(const char *name)
{
    const iso_kernel *kernel = find_kernel(name);
    iso_module_source source = {.name = kernel->name,
                                .entry = "main",
                                .format = ISO_CODE_SPIRV,
                                .code = kernel->codes[0].code,
                                .code_bytes = kernel->codes[0].code_bytes,
                                .group_size = kernel->group_size,
                                .arg_count = 11};
    assert_int_equal(kernel->codes[0].format, ISO_CODE_SPIRV);
    for (uint32_t i = 0; i < source.arg_count; i++)
        source.arg_kinds[i] = i >= 1 && i <= 3 ? ISO_ARG_BUFFER : ISO_ARG_U32;
    return source;
}

// `width` elements of each of `rows` rows, which lie WIDTH / rows apart.
static void record_rows(iso_list *list, iso_module *module, iso_buffer *const buffers[3], uint32_t width,
                        uint32_t rows)
{
    const uint32_t pitch = WIDTH / rows;
    const uint32_t numbers[11] = {rows, 0, 0, 0, width, 0, pitch, 0, pitch, 0, pitch};
    iso_dispatch dispatch = {.label = "add", .groups = {1, rows, 1}, .arg_count = 11};
    for (uint32_t i = 0; i < 11; i++) {
        dispatch.args[i] = (iso_arg){.kind = ISO_ARG_U32, .value.u32 = numbers[i]};
        if (i >= 1 && i <= 3)
            dispatch.args[i] = (iso_arg){.kind = ISO_ARG_BUFFER,
                                         .memory = iso_buffer_memory(buffers[i - 1]),
                                         .range_bytes = WIDTH * sizeof(float)};
    }
    assert_int_equal(iso_list_dispatch(list, module, &dispatch), ISO_OK);
}

static void record(iso_list *list, iso_module *module, iso_buffer *const buffers[3])
{
    record_rows(list, module, buffers, WIDTH, 1);
}

static void send(bench *t, float a, float b)
{
    for (int i = 0; i < WIDTH; i++) {
        t->sent_a[i] = a + (float)i;
        t->sent_b[i] = b * (float)i;
    }
    assert_int_equal(iso_buffer_write(t->a, 0, t->sent_a, sizeof t->sent_a), ISO_OK);
    assert_int_equal(iso_buffer_write(t->b, 0, t->sent_b, sizeof t->sent_b), ISO_OK);
}

static void bench_open(bench *t, const char *lines)
{
    *t = (bench){0};
    t->device = open_chip(&t->registry, lines);
    const iso_module_source source = describe("add.portable.f32_none_f32");
    if (iso_module_create(t->device, &source, &t->module) != ISO_OK)
        fail_msg("%s: %s", lines, iso_status_last()->text);
    assert_int_equal(iso_buffer_create(t->device, sizeof t->got, &t->a), ISO_OK);
    assert_int_equal(iso_buffer_create(t->device, sizeof t->got, &t->b), ISO_OK);
    assert_int_equal(iso_buffer_create(t->device, sizeof t->got + 8, &t->y), ISO_OK);
    assert_int_equal(iso_list_create(t->device, &t->list), ISO_OK);
    record(t->list, t->module, (iso_buffer *const[3]){t->a, t->b, t->y});
    assert_int_equal(iso_list_finish(t->list), ISO_OK);
    send(t, 1, 2);
}

static void run(bench *t)
{
    assert_int_equal(iso_list_submit(t->list), ISO_OK);
    assert_int_equal(iso_device_wait(t->device), ISO_OK);
    assert_int_equal(iso_buffer_read(t->y, 0, t->got, sizeof t->got), ISO_OK);
}

static void bench_close(bench *t)
{
    iso_list_destroy(t->list);
    iso_module_destroy(t->module);
    iso_buffer_release(t->a);
    iso_buffer_release(t->b);
    iso_buffer_release(t->y);
    assert_int_equal(iso_device_allocated_bytes(t->device, NULL), 0);
    iso_device_close(t->device);
    iso_registry_destroy(t->registry);
}

// How many elements are not a + b; *out_first is the first one.
static uint32_t count_wrong(const bench *t, uint32_t *out_first)
{
    uint32_t count = 0;
    *out_first = WIDTH;
    for (uint32_t i = 0; i < WIDTH; i++)
        if (t->got[i] != t->sent_a[i] + t->sent_b[i] && count++ == 0)
            *out_first = i;
    return count;
}

static void assert_wrong(const bench *t, const char *lines, uint32_t count, uint32_t first)
{
    uint32_t got_first, got = count_wrong(t, &got_first);
    if (got != count || got_first != first)
        fail_msg("%s: %u elements are wrong from %u on; expected %u from %u on", lines, got, got_first, count,
                 first);
}

static void test_honest_run_and_replay(void **state)
{
    (void)state;
    bench t;
    bench_open(&t, "");
    run(&t);
    assert_wrong(&t, "plain", 0, WIDTH);
    send(&t, 7, 0.5f);
    for (int i = 0; i < 3; i++)
        run(&t);
    assert_wrong(&t, "replay", 0, WIDTH);
    uint64_t ns[2] = {0};
    uint32_t count = 2;
    assert_int_equal(iso_list_times(t.list, ns, &count), ISO_OK);
    assert_int_equal(count, 1);
    assert_true(ns[0] > 0);
    bench_close(&t);
}

// Faults in the kernel's text: how many elements they change, and the first.
static void test_faults_in_the_text(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint32_t count, first;
    } cases[] = {
        {"fault add store low add 1", WIDTH / 2, 0},
        {"fault add store high mul 2 when lane == 3", 1, 7},
        {"fault add store low add 1 when lane == last", 0, WIDTH},
        {"fault add store low add 1 when lane == last; store high add 1 when lane == 34", 1, 69},
        {"fault add write y drop when index == last", 1, WIDTH - 1},
        {"fault add write y drop when index % 10 == 9", WIDTH / 10, 9},
        {"fault add index a add 1 when index <= 3", 4, 0},
        {"fault add index b xor 0x1", WIDTH, 0},
        {"fault add read a xor 0x400000 when index == 5", 1, 5},
        {"fault add read b swap16 when index == 9", 1, 9},
        {"fault add result fadd add 1 when value >= 208", 1, 69},
        {"fault add load width add -2", 2, WIDTH - 2},
        {"fault add store low add 1 when arg width >= 71", 0, WIDTH},
        {"fault add store low add 1 when arg width <= 70 and value == 1", 1, 0},
        {"fault linear store sum add 1", 0, WIDTH},
        {"fault *_f32 store low round e4m3 when value >= 100", 18, 34},
        {"fault add compare 0 drop", WIDTH, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench t;
        bench_open(&t, cases[i].line);
        run(&t);
        assert_wrong(&t, cases[i].line, cases[i].count, cases[i].first);
        bench_close(&t);
    }
}

static void test_past_the_end(void **state)
{
    (void)state;
    bench t;
    float after;
    bench_open(&t, "fault add read a past");
    run(&t);
    assert_wrong(&t, "read past", 1, WIDTH - 1);
    assert_true(isnan(t.got[WIDTH - 1]));
    bench_close(&t);

    bench_open(&t, "fault add write y past");
    assert_int_equal(iso_buffer_fill(t.y, WIDTH * sizeof(float), 8, 0), ISO_OK);
    run(&t);
    assert_wrong(&t, "write past", 0, WIDTH);
    assert_int_equal(iso_buffer_read(t.y, WIDTH * sizeof(float), &after, sizeof after), ISO_OK);
    assert_true(after != 0);
    bench_close(&t);
}

static void test_unknown_names_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "fault add store lo add 1",
        "fault add index c add 1",
        "fault add launch clobber c",
        "fault add barrier 0 drop",
        "fault add compare 99 flip",
        "fault add launch drop when arg eps >= 1",
        "fault add store low add 1 when arg eps >= 1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        iso_registry *registry;
        iso_module *module;
        iso_device *device = open_chip(&registry, lines[i]);
        const iso_module_source source = describe("add.portable.f32_none_f32");
        if (iso_module_create(device, &source, &module) != ISO_BUILD_FAILED)
            fail_msg("%s is not refused", lines[i]);
        assert_text_has("a fault");
        iso_device_close(device);
        iso_registry_destroy(registry);
    }
}

// ---- faults of launches, lists, modules and copies ----

static void test_launch_faults(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint32_t wrong[3]; // after each of three runs
    } cases[] = {
        {"fault add launch drop when launch == 1", {0, WIDTH, 0}},
        {"fault add launch cut x when launch >= 2", {0, 0, WIDTH}},
        {"fault * launch drop when arg width == 70", {WIDTH, WIDTH, WIDTH}},
        {"fault silu_mul launch drop", {0, 0, 0}},
        {"fault add list stale a", {0, WIDTH, WIDTH}},
        {"fault * list stale positions", {0, 0, 0}},
        {"fault * copy late write", {WIDTH, WIDTH, WIDTH}},
        {"fault add launch clobber b", {0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench t;
        bench_open(&t, cases[i].line);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(iso_buffer_fill(t.y, 0, sizeof t.got, 0xffffffffu), ISO_OK);
            send(&t, (float)(10 * k + 5), 2);
            run(&t);
            assert_wrong(&t, cases[i].line, cases[i].wrong[k], cases[i].wrong[k] ? 0 : WIDTH);
            float a[WIDTH]; // what the host wrote is there, whatever the launch saw
            assert_int_equal(iso_buffer_read(t.a, 0, a, sizeof a), ISO_OK);
            assert_memory_equal(a, t.sent_a, sizeof a);
        }
        bench_close(&t);
    }
}

static void test_clobber_and_twice(void **state)
{
    (void)state;
    bench t;
    float b[WIDTH];
    bench_open(&t, "fault add launch clobber b");
    run(&t);
    assert_int_equal(iso_buffer_read(t.b, 0, b, sizeof b), ISO_OK);
    uint32_t changed = 0;
    for (int i = 0; i < WIDTH; i++)
        changed += b[i] != t.sent_b[i];
    assert_int_equal(changed, 1);
    bench_close(&t);

    bench_open(&t, "fault add launch twice");
    iso_list *in_place;
    assert_int_equal(iso_list_create(t.device, &in_place), ISO_OK);
    record(in_place, t.module, (iso_buffer *const[3]){t.a, t.b, t.a});
    assert_int_equal(iso_list_finish(in_place), ISO_OK);
    assert_int_equal(iso_list_submit(in_place), ISO_OK);
    assert_int_equal(iso_buffer_read(t.a, 0, t.got, sizeof t.got), ISO_OK);
    assert_true(t.got[5] == t.sent_a[5] + 2 * t.sent_b[5]);
    iso_list_destroy(in_place);
    bench_close(&t);
}

static void test_cut_of_rows(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint32_t wrong, first;
    } cases[] = {
        {"", 0, WIDTH},
        {"fault add launch cut x", WIDTH, 0},
        {"fault add launch cut y", WIDTH / 2, WIDTH / 2},
        {"fault add launch cut z", WIDTH, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench t;
        iso_list *rows;
        bench_open(&t, cases[i].line);
        assert_int_equal(iso_list_create(t.device, &rows), ISO_OK);
        record_rows(rows, t.module, (iso_buffer *const[3]){t.a, t.b, t.y}, WIDTH / 2, 2);
        assert_int_equal(iso_list_finish(rows), ISO_OK);
        assert_int_equal(iso_list_submit(rows), ISO_OK);
        assert_int_equal(iso_buffer_read(t.y, 0, t.got, sizeof t.got), ISO_OK);
        assert_wrong(&t, cases[i].line, cases[i].wrong, cases[i].first);
        iso_list_destroy(rows);
        bench_close(&t);
    }
}

// What a launch wrote is never stale: only what the host writes is missed.
static void test_stale_is_of_the_host(void **state)
{
    (void)state;
    bench t;
    iso_list *in_place;
    bench_open(&t, "fault add list stale a");
    assert_int_equal(iso_list_create(t.device, &in_place), ISO_OK);
    record(in_place, t.module, (iso_buffer *const[3]){t.a, t.b, t.a});
    assert_int_equal(iso_list_finish(in_place), ISO_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(iso_list_submit(in_place), ISO_OK);
    assert_int_equal(iso_buffer_read(t.a, 0, t.got, sizeof t.got), ISO_OK);
    assert_true(t.got[7] == t.sent_a[7] + 3 * t.sent_b[7]);
    iso_list_destroy(in_place);
    bench_close(&t);
}

// A list of two launches, the second of which reads what the first writes.
static void test_early_launch(void **state)
{
    (void)state;
    for (int faulty = 0; faulty < 2; faulty++) {
        bench t;
        bench_open(&t, faulty ? "fault add launch early" : "");
        iso_list *two;
        assert_int_equal(iso_list_create(t.device, &two), ISO_OK);
        record(two, t.module, (iso_buffer *const[3]){t.a, t.b, t.y});
        assert_int_equal(iso_list_barrier(two), ISO_OK);
        record(two, t.module, (iso_buffer *const[3]){t.y, t.b, t.a});
        assert_int_equal(iso_list_finish(two), ISO_OK);
        assert_int_equal(iso_buffer_fill(t.y, 0, sizeof t.got, 0), ISO_OK);
        assert_int_equal(iso_list_submit(two), ISO_OK);
        assert_int_equal(iso_buffer_read(t.a, 0, t.got, sizeof t.got), ISO_OK);
        assert_true(t.got[5] == (faulty ? t.sent_b[5] : t.sent_a[5] + 2 * t.sent_b[5]));
        iso_list_destroy(two);
        bench_close(&t);
    }
}

static void test_other_module(void **state)
{
    (void)state;
    for (int faulty = 0; faulty < 2; faulty++) {
        bench t;
        iso_module *silu;
        bench_open(&t, faulty ? "fault silu_mul module other" : "");
        const iso_module_source source = describe("silu_mul.portable.f32_none_f32");
        assert_int_equal(iso_module_create(t.device, &source, &silu), ISO_OK);
        iso_module_destroy(t.module); // the code lives on where it is used
        t.module = silu;
        iso_list_destroy(t.list);
        assert_int_equal(iso_list_create(t.device, &t.list), ISO_OK);
        record(t.list, silu, (iso_buffer *const[3]){t.a, t.b, t.y});
        assert_int_equal(iso_list_finish(t.list), ISO_OK);
        run(&t);
        uint32_t first;
        assert_int_equal(count_wrong(&t, &first) == 0, faulty);
        bench_close(&t);
    }
}

// The code before is only taken where the arguments are the same.
static void test_other_arguments(void **state)
{
    (void)state;
    iso_registry *registry;
    iso_module *argmax, *add;
    iso_device *device = open_chip(&registry, "fault * module other");
    iso_module_source source = describe("argmax.portable.f32_none_none");
    source.arg_count = 6; // count, x, y, three numbers
    source.arg_kinds[3] = ISO_ARG_U32;
    if (iso_module_create(device, &source, &argmax) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    source = describe("add.portable.f32_none_f32");
    assert_int_equal(iso_module_create(device, &source, &add), ISO_OK);
    iso_buffer *buffers[3];
    float numbers[WIDTH] = {1, 2, 3};
    iso_list *list;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(iso_buffer_create(device, sizeof numbers, &buffers[i]), ISO_OK);
        assert_int_equal(iso_buffer_write(buffers[i], 0, numbers, sizeof numbers), ISO_OK);
    }
    assert_int_equal(iso_list_create(device, &list), ISO_OK);
    record(list, add, buffers);
    assert_int_equal(iso_list_finish(list), ISO_OK);
    assert_int_equal(iso_list_submit(list), ISO_OK);
    assert_int_equal(iso_buffer_read(buffers[2], 0, numbers, sizeof numbers), ISO_OK);
    assert_true(numbers[2] == 6);
    iso_list_destroy(list);
    for (int i = 0; i < 3; i++)
        iso_buffer_release(buffers[i]);
    iso_module_destroy(argmax);
    iso_module_destroy(add);
    iso_device_close(device);
    iso_registry_destroy(registry);
}

static void test_copy_faults(void **state)
{
    (void)state;
    static const unsigned char sent[11] = "0123456789";
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"", "@@@01234567@"},
        {"fault * copy cut write", "@@@01234567@"},
        {"fault * copy align write", "01234567@@@@"},
        {"fault * copy cut fill", "@@@01234567@"},
        {"fault * copy late write", "@@@01234567@"}, // a read waits for it
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        iso_registry *registry;
        iso_buffer *buffer;
        unsigned char got[12];
        iso_device *device = open_chip(&registry, cases[i].line);
        assert_int_equal(iso_buffer_create(device, sizeof got, &buffer), ISO_OK);
        assert_int_equal(iso_buffer_fill(buffer, 0, 12, 0x40404040), ISO_OK);
        bool cut_fill = strstr(cases[i].line, "fill") != NULL;
        if (cut_fill) { // the last word is as fresh memory is
            assert_int_equal(iso_buffer_read(buffer, 0, got, 12), ISO_OK);
            assert_memory_equal(got, "@@@@@@@@", 8);
            assert_memory_not_equal(got + 8, "@@@@", 4);
        } else {
            assert_int_equal(iso_buffer_write(buffer, 3, sent, 8), ISO_OK);
            assert_int_equal(iso_buffer_read(buffer, 0, got, 12), ISO_OK);
            assert_memory_equal(got, cases[i].want, 12);
            assert_int_equal(iso_buffer_write(buffer, 0, sent, 7), ISO_OK);
            assert_int_equal(iso_buffer_read(buffer, 0, got, 12), ISO_OK);
            bool cut = strstr(cases[i].line, "cut") != NULL;
            assert_int_equal(got[5], cut ? cases[i].want[5] : '5');
        }
        iso_buffer_release(buffer);
        iso_device_close(device);
        iso_registry_destroy(registry);
    }
}

static void test_late_read(void **state)
{
    (void)state;
    bench t;
    uint32_t first;
    bench_open(&t, "fault * copy late read");
    run(&t); // waits before it reads
    assert_int_equal(count_wrong(&t, &first), 0);
    send(&t, 100, 1);
    assert_int_equal(iso_list_submit(t.list), ISO_OK);
    assert_int_equal(iso_buffer_read(t.y, 0, t.got, sizeof t.got), ISO_OK);
    assert_int_equal(count_wrong(&t, &first), WIDTH);
    assert_int_equal(iso_device_wait(t.device), ISO_OK);
    assert_int_equal(iso_buffer_read(t.y, 0, t.got, sizeof t.got), ISO_OK);
    assert_int_equal(count_wrong(&t, &first), 0);
    bench_close(&t);
}

static void test_devices_share_nothing(void **state)
{
    (void)state;
    bench t;
    iso_device *second;
    bench_open(&t, "fault add launch drop when launch == 0");
    assert_int_equal(iso_device_open(t.registry, "sim:0", NULL, &second), ISO_OK);
    run(&t);
    run(&t);
    assert_wrong(&t, "second launch", 0, WIDTH);
    iso_device_close(second);
    bench_close(&t);
    bench_open(&t, "fault add launch drop when launch == 0");
    uint32_t first;
    run(&t);
    assert_int_equal(count_wrong(&t, &first), WIDTH);
    bench_close(&t);
}

// ---- limits and failures ----

static void test_memory_limits(void **state)
{
    (void)state;
    iso_registry *registry;
    iso_buffer *buffers[4], *more;
    iso_device *device = open_chip(&registry, "feature memory 64K\nfeature allocation 20K");
    assert_int_equal(iso_device_get_info(device)->memory_bytes, 65536);
    assert_int_equal(iso_buffer_create(device, 20481, &more), ISO_UNSUPPORTED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(iso_buffer_create(device, 20480, &buffers[i]), ISO_OK);
    assert_int_equal(iso_buffer_create(device, 4097, &more), ISO_OUT_OF_MEMORY);
    assert_text_has("4097 bytes wanted, 4096 of 65536 are free");
    assert_null(more);
    assert_int_equal(iso_buffer_create(device, 4096, &buffers[3]), ISO_OK);
    iso_buffer_release(buffers[0]);
    assert_int_equal(iso_buffer_create(device, 20480, &buffers[0]), ISO_OK);
    for (int i = 0; i < 4; i++)
        iso_buffer_release(buffers[i]);
    iso_device_close(device);
    iso_registry_destroy(registry);
}

static void test_slow_link(void **state)
{
    (void)state;
    iso_registry *registry;
    iso_buffer *buffer;
    static unsigned char data[10000];
    struct timespec before, after;
    iso_device *device = open_chip(&registry, "feature link 100K");
    assert_int_equal(iso_buffer_create(device, sizeof data, &buffer), ISO_OK);
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(iso_buffer_write(buffer, 0, data, sizeof data), ISO_OK);
    clock_gettime(CLOCK_MONOTONIC, &after);
    double seconds = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
    assert_true(seconds > 0.09);
    iso_buffer_release(buffer);
    iso_device_close(device);
    iso_registry_destroy(registry);
}

// The refusals stand before anything else, so they need no arguments.
static void test_what_a_chip_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *line, *kernel, *fragment; // NULL: it is not refused for what it is
    } cases[] = {
        {"feature no-fp8", "quantize_activation.portable.f32_none_e4m3", "the chip has no FP8"},
        {"feature fnuz-fp8", "linear.portable.e4m3_e4m3_f32", "the chip's FP8 is FNUZ"},
        {"feature no-fp8", "linear.portable.f32_bf16_f32", NULL},
        {"feature no-f16", "gather.portable.none_f16_f32", "the chip has no F16"},
        {"feature no-f16", "gather.portable.none_bf16_bf16", NULL},
        {"feature group-limit 64", "argmax.portable.f32_none_none", "argmax.portable.f32_none_none"},
        {"feature group-limit 64", "add.portable.f32_none_f32", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        iso_registry *registry;
        iso_module *module;
        iso_device *device = open_chip(&registry, cases[i].line);
        iso_module_source source = describe(cases[i].kernel);
        source.arg_count = cases[i].fragment ? 0 : source.arg_count;
        iso_status status = iso_module_create(device, &source, &module);
        if (cases[i].fragment) {
            assert_true(status == ISO_UNSUPPORTED ||
                        status == ISO_INVALID_ARGUMENT); // the latter: validation
            assert_text_has(cases[i].fragment);
        } else {
            assert_int_not_equal(status, ISO_UNSUPPORTED);
        }
        iso_module_destroy(module);
        iso_device_close(device);
        iso_registry_destroy(registry);
    }
}

// A kernel that reads outside of its argument is stopped, and the device says so once. On a chip with faults
// it goes on, as it would on a real one: what lies there is read.
static void test_access_outside(void **state)
{
    (void)state;
    for (int faulty = 0; faulty < 2; faulty++) {
        bench t;
        iso_list *wide;
        bench_open(&t, faulty ? "fault linear store sum add 1" : "");
        assert_int_equal(iso_list_create(t.device, &wide), ISO_OK);
        record_rows(wide, t.module, (iso_buffer *const[3]){t.a, t.b, t.y}, WIDTH + 2, 1);
        assert_int_equal(iso_list_finish(wide), ISO_OK);
        assert_int_equal(iso_list_submit(wide), ISO_OK);
        iso_status status = iso_device_wait(t.device);
        assert_int_equal(status, faulty ? ISO_OK : ISO_DEVICE_LOST);
        if (!faulty) {
            assert_text_has("add");
            assert_text_has("sim:0");
            assert_text_has("element 70 of a");
        }
        assert_int_equal(iso_device_wait(t.device), ISO_OK);
        run(&t);
        assert_wrong(&t, "afterwards", 0, WIDTH);
        float after;
        assert_int_equal(iso_buffer_read(t.y, sizeof t.got, &after, sizeof after), ISO_OK);
        assert_true(isnan(after));
        iso_list_destroy(wide);
        bench_close(&t);
    }
}

static void test_damaged_modules(void **state)
{
    (void)state;
    iso_registry *registry;
    iso_module *module;
    iso_device *device = open_chip(&registry, "");
    iso_module_source source = describe("add.portable.f32_none_f32");
    const size_t bytes = source.code_bytes;
    uint32_t *words = malloc(bytes);
    assert_non_null(words);
    for (size_t cut = 4; cut < bytes; cut += 4 * 37) {
        source.code_bytes = cut;
        assert_int_equal(iso_module_create(device, &source, &module), ISO_BUILD_FAILED);
        assert_null(module);
    }
    source.code_bytes = bytes;
    memcpy(words, source.code, bytes);
    words[0] ^= 1;
    source.code = words;
    assert_int_equal(iso_module_create(device, &source, &module), ISO_BUILD_FAILED);
    free(words);
    iso_device_close(device);
    iso_registry_destroy(registry);
}

// ---- set up ----

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/isomer-sim-test-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"a.chip", "b.chip", "notes.txt", "test.chip"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/empty", folder);
    rmdir(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_without_the_variable),
        cmocka_unit_test(test_files_and_folders),
        cmocka_unit_test(test_honest_run_and_replay),
        cmocka_unit_test(test_faults_in_the_text),
        cmocka_unit_test(test_past_the_end),
        cmocka_unit_test(test_unknown_names_are_refused),
        cmocka_unit_test(test_launch_faults),
        cmocka_unit_test(test_clobber_and_twice),
        cmocka_unit_test(test_cut_of_rows),
        cmocka_unit_test(test_stale_is_of_the_host),
        cmocka_unit_test(test_early_launch),
        cmocka_unit_test(test_other_module),
        cmocka_unit_test(test_other_arguments),
        cmocka_unit_test(test_copy_faults),
        cmocka_unit_test(test_late_read),
        cmocka_unit_test(test_devices_share_nothing),
        cmocka_unit_test(test_memory_limits),
        cmocka_unit_test(test_slow_link),
        cmocka_unit_test(test_what_a_chip_refuses),
        cmocka_unit_test(test_access_outside),
        cmocka_unit_test(test_damaged_modules),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
