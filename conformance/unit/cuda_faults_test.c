// SPDX-License-Identifier: MIT
//
// The CUDA backend where the n-th call of the driver fails, for every n of a short program, with an error
// that passes, one that stays and one that says nothing; once, and from there on. Each run ends, leaves
// nothing behind on either side, and says which error it was.
#include "conformance/unit/cuda_child.h"

enum { FLOATS = 1 << 10 };

// ---- the program ----

typedef struct program {
    iso_registry *registry;
    iso_device *device;
    iso_buffer *x, *y, *z;
    iso_module *next, *add_to;
    iso_list *list;
} program;

static bool profiling; // of this run

static iso_status open_all(program *p)
{
    const iso_device_options options = {.allocator = &child_allocator, .profile = profiling};
    float values[FLOATS];
    for (uint32_t i = 0; i < FLOATS; i++)
        values[i] = index_of(i);
    ISO_TRY(child_registry(&p->registry));
    ISO_TRY(iso_device_open(p->registry, "cuda:0", &options, &p->device));
    ISO_TRY(iso_buffer_create(p->device, sizeof values, &p->x));
    ISO_TRY(iso_buffer_create(p->device, sizeof values, &p->y));
    ISO_TRY(iso_buffer_create(p->device, sizeof values, &p->z));
    ISO_TRY(iso_buffer_write(p->x, 0, values, sizeof values));
    ISO_TRY(iso_buffer_fill(p->y, 0, sizeof values, 0));
    ISO_TRY(iso_buffer_fill(p->z, 0, sizeof values, 0));
    iso_module_source source = cuda_source("next");
    ISO_TRY(iso_module_create(p->device, &source, &p->next));
    source = cuda_source("add_to");
    return iso_module_create(p->device, &source, &p->add_to);
}

// y = 2 x + 1 and z = 4 x + 1, then z += y
static iso_status record_all(program *p)
{
    const iso_dispatch first = cuda_dispatch("first", FLOATS, p->x, p->y, 2),
                       second = cuda_dispatch("second", FLOATS, p->x, p->z, 4),
                       third = cuda_dispatch("third", FLOATS, p->y, p->z, 0);
    ISO_TRY(iso_list_create(p->device, &p->list));
    ISO_TRY(iso_list_dispatch(p->list, p->next, &first));
    ISO_TRY(iso_list_dispatch(p->list, p->next, &second));
    ISO_TRY(iso_list_barrier(p->list));
    ISO_TRY(iso_list_dispatch(p->list, p->add_to, &third));
    return iso_list_finish(p->list);
}

static iso_status run_all(program *p, float *values)
{
    uint64_t times[3];
    uint32_t count = 3;
    ISO_TRY(iso_list_submit(p->list));
    ISO_TRY(iso_device_wait(p->device));
    if (profiling)
        ISO_TRY(iso_list_times(p->list, times, &count));
    ISO_TRY(iso_buffer_read(p->z, 0, values, FLOATS * sizeof *values));
    return iso_buffer_write(p->x, 0, values, FLOATS * sizeof *values); // on its way when the end comes
}

// A device that is lost says the same again.
static void check_lost(const program *p, FILE *out)
{
    char text[1024];
    snprintf(text, sizeof text, "%s", iso_status_last()->text);
    const char *reason = strstr(text, " is lost: ");
    CHILD_REQUIRE(reason != NULL);
    float value;
    CHILD_REQUIRE(iso_device_wait(p->device) == ISO_DEVICE_LOST && strstr(iso_status_last()->text, reason));
    if (p->x)
        CHILD_REQUIRE(iso_buffer_read(p->x, 0, &value, 4) == ISO_DEVICE_LOST &&
                      strstr(iso_status_last()->text, reason));
    fprintf(out, "device-lost %s\n", text);
}

static void close_all(program *p)
{
    iso_list_destroy(p->list);
    iso_buffer_release(p->x);
    iso_buffer_release(p->y);
    iso_buffer_release(p->z);
    iso_module_destroy(p->add_to);
    iso_module_destroy(p->next);
    iso_device_close(p->device);
    iso_registry_destroy(p->registry);
}

static bool stays_open; // for counting the calls that somebody is told about

static int run_program(FILE *out)
{
    static program p; // stays reachable where it stays open
    float values[FLOATS] = {0};
    iso_status status = open_all(&p);
    if (status == ISO_OK)
        status = record_all(&p);
    if (status == ISO_OK)
        status = run_all(&p, values);
    for (uint32_t i = 0; i < FLOATS && status == ISO_OK; i++)
        CHILD_REQUIRE(values[i] == 6 * (float)i + 2);
    if (stays_open) {
        fflush(out);
        child_living = 0;
        return 0;
    }
    if (status == ISO_OK)
        status = iso_buffer_fill(p.y, 0, 4, 0); // what the last call could not say itself
    if (status == ISO_DEVICE_LOST && p.device)
        check_lost(&p, out);
    else if (status != ISO_OK)
        fprintf(out, "%s %s\n", iso_status_name(status), iso_status_last()->text);
    else
        fprintf(out, "ok\n");
    close_all(&p);
    return 0;
}

// ---- every call ----

static const struct {
    const char *error;
    bool from; // it and all that follow
} ways[] = {
    {"CUDA_ERROR_OUT_OF_MEMORY", false}, {"CUDA_ERROR_ILLEGAL_ADDRESS", true},
    {"CUDA_ERROR_OUT_OF_MEMORY", true},  {"CUDA_ERROR_ILLEGAL_ADDRESS", false},
    {"CUDA_ERROR_UNKNOWN", false},       {"CUDA_ERROR_UNKNOWN", true},
};

enum { WAYS = sizeof ways / sizeof ways[0] };

typedef struct tally {
    unsigned runs, told, recovered, silent;
} tally;

// The simulator's words for what follows from a release that could not wait, because waiting failed.
static const char *const follows[] = {": freed in use: ", ": work never waited for: ", NULL};
static const char *const nothing[] = {NULL};

static void run_one(unsigned long n, bool from, const char *error, const char *attributes,
                    unsigned long told_calls, tally *tally)
{
    char setting[96], line[512];
    snprintf(setting, sizeof setting, "%lu%s:%s", n, from ? "+" : "", error);
    const cuda_setting settings[] = {{"ISOMER_CUDASIM_FAIL", setting},
                                     {"ISOMER_CUDASIM_ATTRIBUTES", attributes},
                                     {"ISOMER_CUDA_NVRTC", "off"},
                                     {NULL, NULL}};
    const cuda_child child = cuda_run_child(run_program, settings);
    const char *failed = strstr(child.report, "told to fail from "),
               *finding = child_finding(&child, from ? follows : nothing, line);
    if (!child_ended_well(&child) || !failed || finding)
        fail_msg("ISOMER_CUDASIM_FAIL=%s: status %d, finding %s, said %s, report %s", setting, child.status,
                 finding ? finding : "none", child.said, child.report);
    bool ok = strcmp(child.said, "ok\n") == 0, named = strstr(child.said, error) != NULL;
    bool may_recover = strstr(failed, "from cuMemHostAlloc") && strstr(error, "MEMORY");
    // A pool that ran out is emptied and asked once more.
    bool must_recover = strstr(failed, "from cuMemAllocFromPoolAsync") && strstr(error, "MEMORY") && !from;
    if (must_recover ? !ok : !named && !(ok && (n > told_calls || may_recover)))
        fail_msg("ISOMER_CUDASIM_FAIL=%s: %s, report %s", setting, child.said, child.report);
    tally->runs++;
    tally->told += named;
    tally->recovered += ok && n <= told_calls;
    tally->silent += ok && n > told_calls;
}

static void run_every(bool with_profile, const char *attributes)
{
    tally tally = {0};
    cuda_need_simulator();
    profiling = with_profile;
    const cuda_setting settings[] = {
        {"ISOMER_CUDASIM_ATTRIBUTES", attributes}, {"ISOMER_CUDA_NVRTC", "off"}, {NULL, NULL}};
    stays_open = true;
    cuda_child child = cuda_run_child(run_program, settings);
    assert_true(child_ended_well(&child));
    const unsigned long told_calls = child_calls(&child);
    stays_open = false;
    child = cuda_run_child(run_program, settings);
    assert_string_equal(child.said, "ok\n");
    const unsigned long calls = child_calls(&child);
    assert_true(told_calls > 60 && calls > told_calls);
    // The first program meets every way to fail, the variants of it one that passes and one that stays.
    const bool is_first = !with_profile && *attributes == '\0';
    for (unsigned long n = 1; n <= calls; n++)
        for (size_t w = 0; w < (is_first ? WAYS : 2); w++)
            if ((n + w) % SPREAD == 0)
                run_one(n, ways[w].from, ways[w].error, attributes, told_calls, &tally);
    print_message("%lu calls, %lu of them before the end: %u runs, %u told, %u recovered, %u silent\n", calls,
                  told_calls, tally.runs, tally.told, tally.recovered, tally.silent);
    assert_true(tally.recovered > 0);
}

static void test_every_call(void **state)
{
    (void)state;
    run_every(false, "");
}

static void test_every_call_profiling(void **state)
{
    (void)state;
    run_every(true, "");
}

static void test_every_call_without_pools(void **state)
{
    (void)state;
    run_every(false, "115=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call),
        cmocka_unit_test(test_every_call_profiling),
        cmocka_unit_test(test_every_call_without_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
