// SPDX-License-Identifier: MIT
//
// Units of the device suite: devices as such. Times of a profile, one device opened twice, opened and closed
// many times without a leak, and copies between all ordered pairs of devices of the machine, through the host
// as the runtime does.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/device/bench.h"

// ---- times ----

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

enum { TIMED = 3, TIMED_WORDS = 16384 };
static const uint32_t timed_rounds[TIMED] = {10, 8000, 800};

static iso_status record_timed(device_bench *bench, iso_buffer *buffer, iso_list **out_list)
{
    ISO_TRY(iso_list_create(bench->device, out_list));
    for (uint32_t i = 0; i < TIMED; i++) {
        device_step step = {buffer, buffer, 0, 0, TIMED_WORDS, 3, 1, timed_rounds[i]};
        ISO_TRY(device_record_step(bench, *out_list, &step));
        ISO_TRY(iso_list_barrier(*out_list));
    }
    return iso_list_finish(*out_list);
}

// Takes each dispatch's least time so far: a machine that stalls only makes times longer.
static iso_status take_times(device_bench *bench, iso_list *list, uint32_t run, uint64_t least[TIMED])
{
    uint64_t times[TIMED + 1] = {0}, sum = 0;
    uint32_t count = TIMED - 1;
    uint64_t start = clock_ns();
    ISO_TRY(iso_list_submit(list));
    ISO_TRY(iso_device_wait(bench->device));
    uint64_t wall = clock_ns() - start;
    device_refused(bench, iso_list_times(list, times, &count), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "times without room for all of them");
    count = TIMED + 1;
    ISO_TRY(iso_list_times(list, times, &count));
    device_expect(bench, count == TIMED, "run %u: %u times of %d dispatches", run, count, TIMED);
    for (uint32_t i = 0; i < TIMED; i++) {
        least[i] = run == 0 || times[i] < least[i] ? times[i] : least[i];
        sum += times[i];
    }
    // Two clocks: a tenth, and a scheduler's tick, may be between them.
    device_expect(bench, sum <= wall + wall / 10 + 2000000,
                  "run %u: dispatches of %llu ns in a run of %llu ns", run, (unsigned long long)sum,
                  (unsigned long long)wall);
    return ISO_OK;
}

static iso_status times_of(device_bench *bench)
{
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    uint64_t least[TIMED] = {0};
    ISO_TRY(iso_buffer_create(bench->device, 4 * TIMED_WORDS, &buffer));
    ISO_TRY_GOTO(iso_buffer_fill(buffer, 0, 4 * TIMED_WORDS, 1), done);
    ISO_TRY_GOTO(record_timed(bench, buffer, &list), done);
    for (uint32_t run = 0; run < 3; run++)
        ISO_TRY_GOTO(take_times(bench, list, run, least), done);
    // Above that of ten rounds is above 0, too, which those may take by a coarse clock.
    device_expect(bench, least[1] > least[0], "%u rounds took %llu ns at least, %u took %llu ns",
                  timed_rounds[0], (unsigned long long)least[0], timed_rounds[1],
                  (unsigned long long)least[1]);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

// A second bench on a device of its own; counts and modules come back to the first.
static iso_status on_own_device(device_bench *bench, iso_registry *registry,
                                const iso_device_options *options, iso_status (*work)(device_bench *bench))
{
    device_bench own = *bench;
    ISO_TRY(iso_device_open(registry, iso_device_name(bench->device), options, &own.device));
    own.lab = (conform_lab){.device = own.device};
    iso_status status = work(&own);
    conform_lab_deinit(&own.lab);
    if (status == ISO_OK)
        device_expect(&own, iso_device_allocated_bytes(own.device, NULL) == 0,
                      "buffers are left on a closed device");
    iso_device_close(own.device);
    bench->checks = own.checks;
    bench->failures = own.failures;
    return status;
}

iso_status device_times(device_bench *bench)
{
    const iso_device_options options = {.profile = true, .validate = true};
    return on_own_device(bench, bench->context->registry, &options, times_of);
}

// ---- two at once ----

static bool has_kernels(const iso_device *device)
{
    iso_module_source source;
    return conform_probe_source(iso_device_get_info(device), CONFORM_PROBE_STEP, &source) == ISO_OK;
}

// Twins take turns, each with memory and modules of its own, of the same content.
static iso_status take_turns(device_bench *twins)
{
    enum { WORDS = 500 };
    uint32_t x[2][WORDS];
    iso_buffer *buffers[2] = {NULL, NULL};
    iso_list *lists[2] = {NULL, NULL};
    iso_status status = ISO_OK;
    for (uint32_t t = 0; t < 2; t++) {
        for (uint32_t i = 0; i < WORDS; i++)
            x[t][i] = i + 1000 * t;
        ISO_TRY_GOTO(device_words(twins[t].device, x[t], WORDS, &buffers[t]), done);
        device_expect(&twins[0], iso_device_allocated_bytes(twins[t].device, NULL) == sizeof x[t],
                      "twin %u counts %llu bytes, it has %zu", t,
                      (unsigned long long)iso_device_allocated_bytes(twins[t].device, NULL), sizeof x[t]);
        device_step step = {buffers[t], buffers[t], 0, 0, WORDS, 3 + t, 7 - t, 50};
        if (has_kernels(twins[t].device))
            ISO_TRY_GOTO(device_step_list(&twins[t], &step, &lists[t]), done);
    }
    for (uint32_t n = 0; n < 20; n++) {
        uint32_t t = n % 3 == 0;
        device_step step = {buffers[t], buffers[t], 0, 0, WORDS, 3 + t, 7 - t, 50};
        if (!lists[t])
            continue;
        ISO_TRY_GOTO(iso_list_submit(lists[t]), done);
        device_apply_step(&step, x[t], x[t]);
    }
    for (uint32_t t = 0; t < 2; t++)
        ISO_TRY_GOTO(device_compare(&twins[0], buffers[t], x[t], WORDS, "one of two devices at once"), done);
done:
    for (uint32_t t = 0; t < 2; t++) {
        iso_list_destroy(lists[t]);
        iso_buffer_release(buffers[t]);
    }
    return status;
}

// A module of the one in a list of the other: refused where the device validates.
static iso_status cross_modules(device_bench *twins)
{
    iso_module *foreign;
    iso_list *list = NULL;
    iso_buffer *buffer = NULL;
    iso_status status;
    ISO_TRY(conform_lab_module(&twins[1].lab, CONFORM_PROBE_STEP, &foreign));
    ISO_TRY(iso_buffer_create(twins[0].device, 64, &buffer));
    ISO_TRY_GOTO(iso_list_create(twins[0].device, &list), done);
    const iso_arg words = {.kind = ISO_ARG_BUFFER, .memory = iso_buffer_memory(buffer), .range_bytes = 64};
    const iso_arg number = {.kind = ISO_ARG_U32, .value.u32 = 1};
    const iso_dispatch dispatch = {.label = "foreign",
                                   .groups = {1, 1, 1},
                                   .arg_count = 6,
                                   .args = {number, words, words, number, number, number}};
    device_refused(&twins[0], iso_list_dispatch(list, foreign, &dispatch), ISO_INVALID_ARGUMENT,
                   ISO_INVALID_ARGUMENT, "a module of another device");
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

static iso_status with_twins(device_bench *twins)
{
    ISO_TRY(take_turns(twins));
    return has_kernels(twins[0].device) ? cross_modules(twins) : ISO_OK;
}

iso_status device_two_at_once(device_bench *bench)
{
    const iso_device_options options = {.validate = true};
    const char *name = iso_device_name(bench->device);
    device_bench twins[2] = {*bench, *bench};
    iso_status status;
    twins[0].device = twins[1].device = NULL;
    for (int t = 0; t < 2; t++) {
        ISO_TRY_GOTO(iso_device_open(bench->context->registry, name, &options, &twins[t].device), done);
        twins[t].lab = (conform_lab){.device = twins[t].device};
    }
    status = with_twins(twins);
    conform_lab_deinit(&twins[0].lab);
    conform_lab_deinit(&twins[1].lab);
    // The first goes; the second works on.
    iso_device_close(twins[0].device);
    twins[0].device = NULL;
    twins[1].checks = twins[0].checks;
    twins[1].failures = twins[0].failures;
    if (status == ISO_OK && has_kernels(twins[1].device))
        status = device_works_on(&twins[1], "one device after its twin was closed");
    conform_lab_deinit(&twins[1].lab);
    bench->checks = twins[1].checks;
    bench->failures = twins[1].failures;
done:
    iso_device_close(twins[0].device);
    iso_device_close(twins[1].device);
    return status;
}

// ---- open and close ----

// Counts what is not given back. Each block carries its size before it.
typedef struct counting {
    uint64_t bytes, blocks;
} counting;

#define BLOCK_HEAD 64

static void *counting_resize(void *context, void *memory, size_t bytes)
{
    counting *c = context;
    char *old = memory ? (char *)memory - BLOCK_HEAD : NULL;
    size_t before = 0;
    if (old)
        memcpy(&before, old, sizeof before);
    char *block = bytes > SIZE_MAX - BLOCK_HEAD ? NULL : realloc(old, bytes + BLOCK_HEAD);
    if (!block)
        return NULL;
    memcpy(block, &bytes, sizeof bytes);
    __atomic_fetch_add(&c->bytes, bytes - before, __ATOMIC_RELAXED);
    __atomic_fetch_add(&c->blocks, old ? 0 : 1, __ATOMIC_RELAXED);
    return block + BLOCK_HEAD;
}

static void counting_release(void *context, void *memory)
{
    counting *c = context;
    if (!memory)
        return;
    char *block = (char *)memory - BLOCK_HEAD;
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    __atomic_fetch_sub(&c->bytes, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&c->blocks, 1, __ATOMIC_RELAXED);
    free(block);
}

static iso_status some_work(device_bench *bench)
{
    uint8_t sent[300], got[300];
    iso_buffer *buffer;
    if (has_kernels(bench->device))
        return device_works_on(bench, "a device that was opened again");
    device_pattern(sent, sizeof sent, bench->checks);
    ISO_TRY(iso_buffer_create(bench->device, sizeof sent, &buffer));
    iso_status status = iso_buffer_write(buffer, 0, sent, sizeof sent);
    if (status == ISO_OK)
        status = iso_buffer_read(buffer, 0, got, sizeof got);
    iso_buffer_release(buffer);
    device_expect(bench, status == ISO_OK && memcmp(sent, got, sizeof sent) == 0,
                  "memory of a device opened again");
    return status;
}

iso_status device_reopened(device_bench *bench)
{
    counting counts = {0};
    const iso_allocator allocator = {&counts, counting_resize, counting_release};
    const iso_device_options options = {.allocator = &allocator, .validate = true};
    for (uint32_t i = 0; i < 20; i++) {
        ISO_TRY(on_own_device(bench, bench->context->registry, &options, some_work));
        device_expect(bench, counts.blocks == 0 && counts.bytes == 0,
                      "after closing it %u times: %llu bytes in %llu blocks are not given back", i + 1,
                      (unsigned long long)counts.bytes, (unsigned long long)counts.blocks);
    }
    return ISO_OK;
}

// ---- copies ----

enum { COPY_BYTES = 70000 };

// `bytes` at one offset of one device to another offset of the other, and what is beside must stay.
static iso_status copy_part(device_bench *bench, iso_buffer *const pair[2], uint8_t *const content[2],
                            const uint32_t part[3])
{
    uint8_t *host;
    ISO_TRY(iso_alloc(NULL, COPY_BYTES, (void **)&host));
    iso_status status = iso_buffer_read(pair[0], part[0], host, part[2]);
    if (status == ISO_OK)
        status = iso_buffer_write(pair[1], part[1], host, part[2]);
    memcpy(content[1] + part[1], content[0] + part[0], part[2]);
    if (status == ISO_OK)
        status = iso_buffer_read(pair[1], 0, host, COPY_BYTES);
    if (status == ISO_OK)
        device_expect(bench, memcmp(host, content[1], COPY_BYTES) == 0,
                      "a copy of %u bytes from offset %u to offset %u", part[2], part[0], part[1]);
    iso_free(NULL, host);
    return status;
}

static iso_status copy_both_ways(device_bench *bench, iso_device *const devices[2], uint8_t *const content[2])
{
    static const uint32_t parts[][3] = {
        {0, 0, COPY_BYTES}, {1, 2, 17},       {3, 64, 4096}, {4096, 13, 65536 - 13},
        {65537, 5, 1},      {2, 65530, 4097}, {16, 16, 4}};
    iso_buffer *pair[2] = {NULL, NULL};
    iso_status status = ISO_OK;
    for (int side = 0; side < 2; side++) {
        device_pattern(content[side], COPY_BYTES, 40 + (uint32_t)side);
        ISO_TRY_GOTO(iso_buffer_create(devices[side], COPY_BYTES, &pair[side]), done);
        ISO_TRY_GOTO(iso_buffer_write(pair[side], 0, content[side], COPY_BYTES), done);
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (int from = 0; from < 2; from++) {
            iso_buffer *const way[2] = {pair[from], pair[!from]};
            uint8_t *const bytes[2] = {content[from], content[!from]};
            ISO_TRY_GOTO(copy_part(bench, way, bytes, parts[i]), done);
        }
done:
    iso_buffer_release(pair[0]);
    iso_buffer_release(pair[1]);
    return status;
}

static iso_status copy_between(device_bench *bench, iso_device *first, iso_device *second)
{
    uint8_t *memory;
    ISO_TRY(iso_alloc(NULL, 2 * (size_t)COPY_BYTES, (void **)&memory));
    iso_status status = copy_both_ways(bench, (iso_device *const[2]){first, second},
                                       (uint8_t *const[2]){memory, memory + COPY_BYTES});
    iso_free(NULL, memory);
    return status;
}

// Whether copies within the other device alone are right: otherwise its faults would be put down to this one.
static bool is_sound(device_bench *bench, iso_device *other)
{
    conform_context quiet = *bench->context;
    device_bench trial = *bench;
    quiet.report = NULL;
    trial.context = &quiet;
    trial.checks = trial.failures = 0;
    return copy_between(&trial, other, other) == ISO_OK && trial.failures == 0;
}

static iso_status copy_with(device_bench *bench, iso_device *other)
{
    uint32_t before = bench->failures;
    if (strcmp(iso_device_name(other), iso_device_name(bench->device)) != 0 && !is_sound(bench, other)) {
        device_skip(bench, "copies with %s: it does not copy right within itself", iso_device_name(other));
        return ISO_OK;
    }
    ISO_TRY(copy_between(bench, bench->device, other));
    device_expect(bench, bench->failures == before, "copies between %s and %s are wrong",
                  iso_device_name(bench->device), iso_device_name(other));
    return ISO_OK;
}

// Every device that can be opened here, a second opening of the device itself included; all drivers are
// loaded for it. Simulated chips are no partners: each stands for a machine of its own.
iso_status device_copies(device_bench *bench)
{
    const iso_device_options options = {.validate = true};
    const iso_device_info *own = iso_device_get_info(bench->device);
    iso_registry *registry;
    iso_status status = ISO_OK;
    ISO_TRY(iso_registry_create(NULL, &registry));
    for (uint32_t i = 0; i < iso_registry_device_count(registry) && status == ISO_OK; i++) {
        const iso_device_info *info = iso_registry_device_info(registry, i);
        char name[32];
        iso_device *other;
        snprintf(name, sizeof name, "%.15s:%u", info->backend, info->ordinal);
        bool is_itself = strcmp(info->backend, own->backend) == 0 && info->ordinal == own->ordinal;
        if (!info->available || (strcmp(info->backend, "sim") == 0 && !is_itself))
            continue;
        status = iso_device_open(registry, name, &options, &other);
        if (status != ISO_OK && !is_itself) { // for its own run to say
            device_skip(bench, "copies with %s: %s", name, iso_status_last()->text);
            status = ISO_OK;
            continue;
        }
        if (status != ISO_OK)
            break;
        status = copy_with(bench, other);
        iso_device_close(other);
    }
    iso_registry_destroy(registry);
    return status;
}
