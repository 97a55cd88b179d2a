// SPDX-License-Identifier: MIT
//
// Unit tests of the session: recorded steps against exact results on every device that runs kernels and on
// pairs of them, replays under poison, uploads that fail, and what reading and writing refuse.
#include <math.h>

#include "conformance/support/fleet.h"
#include "conformance/unit/plan_fixture.h"
#include "kernels/kv_write/op.h"
#include "runtime/device/device_internal.h"
#include "runtime/session/session_internal.h"

static fleet devices;

static int open_all(void **state)
{
    return open_test_devices(state) || fleet_open(&devices);
}

static int close_all(void **state)
{
    fleet_close(&devices);
    return close_test_devices(state);
}

// Gives every weight as `bytes` bytes of the float 1, one float at a time; the fail_at-th call fails (0:
// none).
typedef struct ones_source {
    uint64_t bytes;
    uint32_t calls, fail_at;
    uint32_t tags[8];
} ones_source;

static iso_status give_ones(void *context, uint32_t tag, const iso_weight_sink *sink)
{
    ones_source *source = context;
    const float one = 1;
    source->tags[source->calls % 8] = tag;
    if (++source->calls == source->fail_at)
        return iso_fail(ISO_CORRUPT, "weight %u is damaged", tag);
    for (uint64_t at = 0; at < source->bytes; at += sizeof one)
        ISO_TRY(sink->write(sink->context, at, &one, sizeof one));
    return ISO_OK;
}

static iso_session *make_session(const iso_plan *plan)
{
    iso_session *session = NULL;
    ones_source ones = {.bytes = 16}; // of the only size of weights here
    iso_session_options options = {.poison = true, .weights = {&ones, give_ones}};
    assert_ok(iso_session_create(plan, &options, &session));
    return session;
}

// ---- replay ----

// Inputs times `sign`: then all results are, too. Rows beyond the graph's tokens are padding: NaN.
static void write_input(const random_graph *r, iso_session *session, uint32_t step_tokens, float sign)
{
    uint32_t elems = r->tokens * r->input_width, all = step_tokens * r->input_width;
    float *data = malloc(all * sizeof(float));
    assert_non_null(data);
    for (uint32_t i = 0; i < all; i++)
        data[i] = i < elems ? sign * r->input_data[i] : (float)NAN;
    assert_ok(iso_session_write(session, r->input, 0, data, all * sizeof(float)));
    free(data);
}

static void check_outputs(const random_graph *r, iso_session *session, uint32_t size, float sign,
                          const char *on)
{
    for (uint32_t o = 0; o < r->output_count; o++) {
        uint32_t width = width_of(r, r->output_index[o]), elems = r->tokens * width;
        const float *want = r->host[r->output_index[o]];
        float *got = malloc(elems * sizeof(float));
        assert_non_null(got);
        assert_ok(iso_session_read(session, size, r->outputs[o], 0, got, elems * sizeof(float)));
        for (uint32_t i = 0; i < elems; i++)
            if (!(got[i] == sign * want[i]))
                fail_msg("%s: %s[%u] is %g, not %g", on, iso_graph_value_info(r->graph, r->outputs[o])->name,
                         i, (double)got[i], (double)(sign * want[i]));
        free(got);
    }
}

static void replay_random_graph(uint64_t seed, uint32_t ops, iso_device *const *on, uint32_t on_count)
{
    static const iso_step_size sizes[] = {{1, 1}, {3, 1}, {5, 5}, {8, 1}};
    const iso_layer_range ranges[] = {{0, 1, 0}, {2, 2, on_count - 1}, {3, 4, 0}, {5, 9, on_count - 1}};
    random_graph r;
    char name[96];
    make_random_graph(&r, seed, ops, 7);
    snprintf(name, sizeof name, "seed %llu on %s and %s", (unsigned long long)seed, iso_device_name(on[0]),
             iso_device_name(on[on_count - 1]));
    iso_plan_options options = plan_on(on, on_count, sizes, 4);
    options.ranges = ranges;
    options.range_count = 4;
    iso_plan *plan = make_plan(r.graph, &options);
    iso_session *session = make_session(plan);
    uint32_t exact, padded;
    assert_ok(iso_session_find_size(session, r.tokens, 1, &exact));
    assert_ok(iso_session_find_size(session, 8, 1, &padded));
    for (int round = 0; round < 2; round++) {
        uint32_t size = round ? padded : exact;
        for (float sign = 1; sign >= -1; sign -= 2) {
            write_input(&r, session, iso_plan_size(plan, size).tokens, sign);
            assert_ok(iso_session_run(session, size));
            check_outputs(&r, session, size, sign, name);
        }
    }
    iso_session_destroy(session);
    iso_plan_destroy(plan);
    destroy_random_graph(&r);
}

// Dependent ops in one list: a barrier too few, memory used again too early, or a list that keeps state
// shows.
static void replays_give_exact_results(void **state)
{
    (void)state;
    for (uint32_t d = 0; d < devices.count; d++)
        for (uint64_t seed = 1; seed <= 6; seed++)
            replay_random_graph(seed, 60, &devices.devices[d], 1);
}

// Layers alternate between two devices, and in-place ops write what lives on the other one.
static void pairs_of_devices_give_exact_results(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        replay_random_graph(seed, 80, test_cpu, 2);
    for (uint32_t d = 1; d < devices.count; d++) {
        iso_device *pair[] = {devices.devices[0], devices.devices[d]};
        for (uint64_t seed = 21; seed <= 24; seed++)
            replay_random_graph(seed, 40, pair, 2);
    }
}

// Ops without a barrier between them name far more operands than the tracker remembers; then all of their
// results are read.
static void the_hazard_tracker_overflows_safely(void **state)
{
    (void)state;
    enum { SUMS = 70, WIDTH = 8 };
    static const iso_step_size size[] = {{2, 1}};
    for (uint32_t d = 0; d < devices.count; d++) {
        iso_graph *graph = new_graph();
        iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", WIDTH), sums[SUMS];
        char name[16];
        for (uint32_t i = 0; i < SUMS; i++) {
            snprintf(name, sizeof name, "sum%u", i);
            sums[i] = new_sum(graph, name, in, in);
        }
        iso_value total = new_sum(graph, "total", sums[0], sums[1]);
        for (uint32_t i = 2; i < SUMS; i++)
            op_add(graph, total, sums[i], total);
        iso_graph_mark_output(graph, total);
        assert_ok(iso_graph_finish(graph));
        iso_plan_options options = plan_on(&devices.devices[d], 1, size, 1);
        iso_plan *plan = make_plan(graph, &options);
        iso_session *session = make_session(plan);
        float data[2 * WIDTH];
        for (int i = 0; i < 2 * WIDTH; i++)
            data[i] = (float)i;
        assert_ok(iso_session_write(session, in, 0, data, sizeof data));
        assert_ok(iso_session_run(session, 0));
        assert_ok(iso_session_read(session, 0, total, 0, data, sizeof data));
        for (int i = 0; i < 2 * WIDTH; i++)
            assert_true(data[i] == (float)(2 * SUMS * i));
        iso_session_destroy(session);
        iso_plan_destroy(plan);
        iso_graph_destroy(graph);
    }
}

// Ops that one device refuses run on the other, in place and with a cache between them.
static void fallback_gives_exact_results(void **state)
{
    (void)state;
    static const iso_step_size size[] = {{4, 1}};
    iso_device *both[] = {test_cpu[1], test_cpu[0]};
    iso_graph *graph = NULL;
    assert_ok(iso_graph_create(NULL, picky_ops(iso_op_add), &graph));
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 4);
    iso_value slots =
        iso_graph_add_value(graph, ISO_VALUE_INPUT, "slots", ISO_DTYPE_I32, TEST_SHAPE(ISO_DIM_TOKENS));
    iso_value ones = iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "ones", ISO_DTYPE_F32, TEST_SHAPE(4));
    iso_value x = new_f32(graph, ISO_VALUE_ACTIVATION, "x", 4);
    iso_value cache =
        iso_graph_add_value(graph, ISO_VALUE_CACHE, "cache", ISO_DTYPE_F32, TEST_SHAPE(ISO_DIM_PAGES, 64, 4));
    iso_value rows = iso_graph_add_view(graph, "rows", cache, &(iso_view_desc){.dims = {64, 4}, .rank = 2});
    iso_value twice =
        iso_graph_add_value(graph, ISO_VALUE_ACTIVATION, "twice", ISO_DTYPE_F32, TEST_SHAPE(64, 4));
    // A row of equal elements is all 1 after its norm.
    iso_graph_add_op(graph, iso_op_rms_norm, &(iso_rms_norm){.eps = 1e-30f}, (iso_value[]){in, ones, x});
    op_add(graph, x, in, x);
    iso_graph_add_op(graph, iso_op_kv_write, &(iso_kv_write){0}, (iso_value[]){x, slots, cache});
    op_add(graph, rows, rows, twice);
    iso_graph_mark_output(graph, x);
    iso_graph_mark_output(graph, twice);
    assert_ok(iso_graph_finish(graph));
    iso_plan_options options = plan_on(both, 2, size, 1);
    options.fallback_device = 2;
    iso_plan *plan = make_plan(graph, &options);
    assert_int_equal(iso_graph_node(iso_plan_graph(plan), 0)->device, 0);
    iso_session *session = make_session(plan);
    float data[4][4], got[64][4];
    const int32_t slot_of[4] = {7, -1, 0, 63};
    for (int i = 0; i < 16; i++)
        data[i / 4][i % 4] = (float)(4 << i / 4);
    assert_ok(iso_session_write(session, in, 0, data, sizeof data));
    assert_ok(iso_session_write(session, slots, 0, slot_of, sizeof slot_of));
    assert_ok(iso_session_run(session, 0));
    assert_ok(iso_session_read(session, 0, x, 0, got, sizeof data));
    for (int i = 0; i < 16; i++)
        assert_true(got[i / 4][i % 4] == data[i / 4][i % 4] + 1);
    assert_ok(iso_session_read(session, 0, twice, 0, got, sizeof got));
    for (int i = 0; i < 64; i++) {
        float want = i == 7 ? 10 : i == 0 ? 34 : i == 63 ? 66 : 0;
        assert_true(got[i][0] == want && got[i][3] == want);
    }
    iso_session_destroy(session);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// ---- barriers ----

// Stands between the runtime and the CPU backend and notes, for each dispatch, how many barriers came before
// it.
#define MAX_NOTED 512
static uint32_t noted_epochs[MAX_NOTED], noted_dispatches, noted_barriers;
static const iso_backend *watched;

static iso_status note_dispatch(void *list, void *module, const iso_dispatch *dispatch)
{
    assert_true(noted_dispatches < MAX_NOTED);
    noted_epochs[noted_dispatches++] = noted_barriers;
    return watched->list_dispatch(list, module, dispatch);
}

static iso_status note_barrier(void *list)
{
    noted_barriers++;
    return watched->list_barrier(list);
}

typedef struct bytes_range {
    uint64_t begin, end;
} bytes_range;

static bytes_range arena_range(const iso_plan *plan, iso_value v)
{
    iso_value root = plan->graph->values[v].base;
    uint64_t begin = plan->sizes[0].offsets[root];
    return (bytes_range){begin, begin + iso_graph_storage_bytes(plan->graph, root, &plan->sizes[0].dims)};
}

// Whether the two ops may not overlap in time: one writes what the other reads or writes. The input is read
// only.
static bool depend(const iso_plan *plan, const iso_node *a, const iso_node *b)
{
    uint32_t inputs = plan->graph->ops->ops[a->op]->input_count;
    for (uint32_t i = 0; i < a->operand_count; i++)
        for (uint32_t j = 0; j < b->operand_count; j++) {
            if (plan->graph->values[plan->graph->values[a->operands[i]].base].kind == ISO_VALUE_INPUT ||
                plan->graph->values[plan->graph->values[b->operands[j]].base].kind == ISO_VALUE_INPUT)
                continue;
            bytes_range x = arena_range(plan, a->operands[i]), y = arena_range(plan, b->operands[j]);
            if ((i >= inputs || j >= inputs) && x.begin < y.end && y.begin < x.end)
                return true;
        }
    return false;
}

static void check_barriers(const iso_plan *plan, uint64_t seed)
{
    uint32_t count = (uint32_t)plan->graph->node_count;
    assert_int_equal(noted_dispatches, count);
    for (uint32_t n = 1; n < count; n++) {
        bool needed = false;
        uint32_t operands = 0;
        for (uint32_t m = n; m-- > 0 && noted_epochs[m] + 1 >= noted_epochs[n];) {
            bool dependent = depend(plan, &plan->graph->nodes[m], &plan->graph->nodes[n]);
            if (dependent && noted_epochs[m] == noted_epochs[n])
                fail_msg("seed %llu: no barrier between ops %u and %u", (unsigned long long)seed, m, n);
            needed = needed || dependent;
            operands += 3;
        }
        // A barrier that no dependency asks for is only there because the tracker was full.
        bool after_barrier = noted_epochs[n] != noted_epochs[n - 1];
        if (after_barrier && !needed && operands < 90)
            fail_msg("seed %llu: a barrier before op %u that nothing needs", (unsigned long long)seed, n);
    }
}

static void dependent_ops_are_kept_apart(void **state)
{
    (void)state;
    static const iso_step_size size[] = {{8, 1}};
    watched = test_cpu[0]->backend;
    iso_backend noting = *watched;
    noting.list_dispatch = note_dispatch;
    noting.list_barrier = note_barrier;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        random_graph r;
        make_random_graph(&r, seed, 80, 1);
        iso_plan_options options = plan_on(test_cpu, 1, size, 1);
        iso_plan *plan = make_plan(r.graph, &options);
        noted_dispatches = noted_barriers = 0;
        test_cpu[0]->backend = &noting;
        iso_session *session = make_session(plan);
        test_cpu[0]->backend = watched;
        check_barriers(plan, seed);
        iso_session_destroy(session);
        iso_plan_destroy(plan);
        destroy_random_graph(&r);
    }
}

// Many ops that could all overlap: the tracker forgets none of them, so there are barriers, but few.
static void a_full_tracker_costs_few_barriers(void **state)
{
    (void)state;
    enum { SUMS = 100 };
    static const iso_step_size size[] = {{1, 1}};
    watched = test_cpu[0]->backend;
    iso_backend noting = *watched;
    noting.list_dispatch = note_dispatch;
    noting.list_barrier = note_barrier;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 4);
    for (uint32_t i = 0; i < SUMS; i++)
        iso_graph_mark_output(graph, new_sum(graph, "sum", in, in));
    assert_ok(iso_graph_finish(graph));
    iso_plan_options options = plan_on(test_cpu, 1, size, 1);
    iso_plan *plan = make_plan(graph, &options);
    noted_dispatches = noted_barriers = 0;
    test_cpu[0]->backend = &noting;
    iso_session *session = make_session(plan);
    test_cpu[0]->backend = watched;
    assert_int_equal(noted_dispatches, SUMS);
    assert_in_range(noted_barriers, 1, 6);
    iso_session_destroy(session);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// ---- small graphs ----

// Two layers on two devices: out = (in * 2 normed) + in. "in" and "w" are read on both.
typedef struct small {
    iso_graph *graph;
    iso_plan *plan;
    iso_value in, sum, part, out, weight, cache;
} small;

static const iso_step_size small_sizes[] = {{1, 1}, {4, 2}, {4, 4}};

static small make_small(const iso_allocator *allocator, iso_device *const *on)
{
    static const iso_layer_range halves[] = {{0, 0, 0}, {1, 1, 1}};
    small s = {.graph = new_graph()};
    s.in = new_f32(s.graph, ISO_VALUE_INPUT, "in", 4);
    s.weight = iso_graph_add_value(s.graph, ISO_VALUE_WEIGHT, "w", ISO_DTYPE_F32, TEST_SHAPE(4));
    iso_graph_set_tag(s.graph, s.weight, 42);
    s.cache = iso_graph_add_value(s.graph, ISO_VALUE_CACHE, "cache", ISO_DTYPE_F32,
                                  TEST_SHAPE(ISO_DIM_PAGES, 64, 4));
    iso_graph_scope(s.graph, 0, "%s", "");
    iso_value norm = new_f32(s.graph, ISO_VALUE_ACTIVATION, "norm", 4);
    iso_graph_add_op(s.graph, iso_op_rms_norm, &(iso_rms_norm){.eps = 1e-30f},
                     (iso_value[]){s.in, s.weight, norm});
    s.sum = new_sum(s.graph, "sum", s.in, norm);
    iso_graph_scope(s.graph, 1, "%s", "");
    iso_graph_add_op(s.graph, iso_op_rms_norm, &(iso_rms_norm){.eps = 1e-30f},
                     (iso_value[]){s.sum, s.weight, norm});
    s.out = new_sum(s.graph, "out", norm, s.in);
    s.part = new_slice(s.graph, "part", s.out, 2, 2);
    iso_graph_mark_output(s.graph, s.part);
    assert_ok(iso_graph_finish(s.graph));
    iso_plan_options options = plan_on(on, 2, small_sizes, 3);
    options.ranges = halves;
    options.range_count = 2;
    options.allocator = allocator;
    s.plan = make_plan(s.graph, &options);
    return s;
}

static void destroy_small(small *s)
{
    iso_plan_destroy(s->plan);
    iso_graph_destroy(s->graph);
}

static void the_smallest_size_is_found(void **state)
{
    (void)state;
    small s = make_small(NULL, test_cpu);
    iso_session *session = make_session(s.plan);
    uint32_t size = 9;
    assert_ok(iso_session_find_size(session, 1, 1, &size));
    assert_int_equal(size, 0);
    assert_ok(iso_session_find_size(session, 2, 1, &size));
    assert_int_equal(size, 1);
    assert_ok(iso_session_find_size(session, 1, 2, &size));
    assert_int_equal(size, 1);
    assert_ok(iso_session_find_size(session, 4, 3, &size));
    assert_int_equal(size, 2);
    assert_refused(iso_session_find_size(session, 5, 1, &size), ISO_LIMIT, "a step of 5 tokens with 1 rows");
    assert_refused(iso_session_find_size(session, 1, 5, &size), ISO_LIMIT, "a step of 1 tokens with 5 rows");
    iso_session_destroy(session);
    destroy_small(&s);
}

static void inputs_reach_every_device(void **state)
{
    (void)state;
    small s = make_small(NULL, test_cpu);
    iso_session *session = make_session(s.plan);
    for (int round = 0; round < 2; round++) {
        float data[4] = {4, 4, 4, 4}, got[4];
        if (round) // in two pieces
            data[2] = data[3] = data[1] = data[0] = 8;
        assert_ok(iso_session_write(session, s.in, 0, data, 8));
        assert_ok(iso_session_write(session, s.in, 8, data + 2, 8));
        assert_ok(iso_session_run(session, 0));
        assert_ok(iso_session_read(session, 0, s.out, 0, got, sizeof got));
        for (int i = 0; i < 4; i++)
            assert_true(got[i] == data[0] + 1);
    }
    iso_session_destroy(session);
    destroy_small(&s);
}

static void writes_are_checked(void **state)
{
    (void)state;
    small s = make_small(NULL, test_cpu);
    iso_session *session = make_session(s.plan);
    float data[20] = {0};
    iso_value copy = iso_graph_find(iso_plan_graph(s.plan), "in@1");
    assert_int_not_equal(copy, ISO_NO_VALUE);
    const iso_value wrong[] = {ISO_NO_VALUE, s.out, s.weight, s.cache, s.part, copy, 4000000000u};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_refused(iso_session_write(session, wrong[i], 0, data, 4), ISO_INVALID_ARGUMENT, "is no input");
    assert_refused(iso_session_write(session, s.in, 0, data, sizeof data), ISO_INVALID_ARGUMENT,
                   "leaves its buffer");
    assert_refused(iso_session_write(session, s.in, UINT64_MAX, data, 4), ISO_INVALID_ARGUMENT,
                   "leaves its buffer");
    assert_refused(iso_session_write(session, s.in, 0, data, 0), ISO_INVALID_ARGUMENT, "0 bytes");
    iso_session_destroy(session);
    destroy_small(&s);
}

static void reads_are_checked(void **state)
{
    (void)state;
    small s = make_small(NULL, test_cpu);
    iso_session *session = make_session(s.plan);
    float data[16], got[16];
    for (int i = 0; i < 16; i++)
        data[i] = (float)(i + 1);
    assert_refused(iso_session_read(session, 0, s.out, 0, got, 4), ISO_INVALID_ARGUMENT, "none, or failed");
    assert_refused(iso_session_run(session, 3), ISO_INVALID_ARGUMENT, "step size 3 of 3");
    assert_ok(iso_session_write(session, s.in, 0, data, sizeof data));
    assert_ok(iso_session_run(session, 1));
    assert_refused(iso_session_read(session, 0, s.out, 0, got, 4), ISO_INVALID_ARGUMENT, "of another size");
    assert_refused(iso_session_read(session, 7, s.out, 0, got, 4), ISO_INVALID_ARGUMENT, "of another size");
    const iso_value wrong[] = {ISO_NO_VALUE, s.sum, s.in, s.weight, 4000000000u};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_refused(iso_session_read(session, 1, wrong[i], 0, got, 4), ISO_INVALID_ARGUMENT,
                       "is no output");
    assert_refused(iso_session_read(session, 1, s.out, 0, got, 68), ISO_INVALID_ARGUMENT,
                   "68 bytes at 0 of out, which has 64");
    assert_refused(iso_session_read(session, 1, s.out, UINT64_MAX, got, 8), ISO_INVALID_ARGUMENT, "of out");
    assert_refused(iso_session_read(session, 1, s.part, 60, got, 4), ISO_INVALID_ARGUMENT,
                   "of part, which has 56");
    // A view begins at its own first element.
    assert_ok(iso_session_read(session, 1, s.out, 0, got, 64));
    assert_ok(iso_session_read(session, 1, s.part, 16, data, 8));
    assert_true(data[0] == got[6] && data[1] == got[7] && got[6] != got[4]);
    assert_int_equal(iso_session_dtype(session, s.out), ISO_DTYPE_F32);
    // Caches start at zero and can be filled.
    assert_ok(iso_session_read(session, 1, s.cache, 0, data, 4));
    assert_true(data[0] == 0);
    assert_ok(iso_session_fill_caches(session, 0x3f800000u));
    assert_ok(iso_session_read(session, 1, s.cache, 64 * 4 * 4 - 4, data, 4));
    assert_true(data[0] == 1);
    iso_session_destroy(session);
    destroy_small(&s);
}

// ---- weights ----

typedef struct progress_record {
    uint32_t calls;
    uint64_t done, total;
} progress_record;

static void record_progress(void *context, uint64_t done, uint64_t total)
{
    progress_record *record = context;
    assert_true(done > record->done);
    *record = (progress_record){record->calls + 1, done, total};
}

static void weights_go_to_every_device(void **state)
{
    (void)state;
    small s = make_small(NULL, test_cpu);
    ones_source ones = {.bytes = 16};
    progress_record record = {0};
    iso_session_options options = {
        .weights = {&ones, give_ones}, .progress = record_progress, .progress_context = &record};
    iso_session *session;
    assert_ok(iso_session_create(s.plan, &options, &session));
    assert_int_equal(ones.calls, 2);
    assert_int_equal(ones.tags[0], 42);
    assert_int_equal(ones.tags[1], 42);
    assert_int_equal(record.calls, 2);
    assert_int_equal(record.done, 32);
    assert_int_equal(record.total, 32);
    iso_session_destroy(session);
    iso_session_destroy(NULL);
    destroy_small(&s);
}

static void a_failing_source_leaves_nothing_behind(void **state)
{
    (void)state;
    static const struct {
        ones_source source;
        iso_status status;
        const char *says;
    } cases[] = {
        {{.bytes = 16, .fail_at = 1}, ISO_CORRUPT, "weight 42 is damaged"},
        {{.bytes = 16, .fail_at = 2}, ISO_CORRUPT, "weight 42 is damaged"},
        {{.bytes = 20}, ISO_INTERNAL, "weight w: 4 bytes at 16 do not fit 16"},
        {{.bytes = 12}, ISO_INTERNAL, "weight w: the source gave 12 of 16 bytes"},
    };
    test_heap heap = {0};
    iso_allocator allocator = {&heap, heap_resize, heap_release};
    small s = make_small(NULL, test_cpu);
    uint64_t before =
        iso_device_allocated_bytes(test_cpu[0], NULL) + iso_device_allocated_bytes(test_cpu[1], NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ones_source source = cases[i].source;
        iso_session_options options = {.allocator = &allocator, .weights = {&source, give_ones}};
        iso_session *session = (iso_session *)&session;
        assert_refused(iso_session_create(s.plan, &options, &session), cases[i].status, cases[i].says);
        assert_null(session);
        assert_int_equal(heap.living, 0);
        assert_int_equal(iso_device_allocated_bytes(test_cpu[0], NULL) +
                             iso_device_allocated_bytes(test_cpu[1], NULL),
                         before);
    }
    destroy_small(&s);
}

// ---- memory ----

static void too_large_for_one_allocation(void **state)
{
    (void)state;
    static const iso_step_size size[] = {{1, 1}};
    ones_source ones = {.bytes = 16};
    iso_graph *graph = new_graph();
    iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "experts", ISO_DTYPE_F8_E4M3, TEST_SHAPE(256, 7168, 2048));
    assert_ok(iso_graph_finish(graph));
    iso_plan_options options = plan_on(&test_null, 1, size, 1);
    iso_plan *plan = make_plan(graph, &options);
    iso_session *session;
    assert_refused(iso_session_create(plan, &(iso_session_options){.weights = {&ones, give_ones}}, &session),
                   ISO_UNSUPPORTED,
                   "device null:0: experts takes 3584.0 MiB, the largest allocation there is 1024.0 MiB; "
                   "place it on another");
    assert_int_equal(ones.calls, 0);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// The devices' memory comes from the same failing heap.
static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_heap heap = {0};
    iso_allocator allocator = {&heap, heap_resize, heap_release};
    iso_device *on[2];
    iso_device_options device_options = {.allocator = &allocator, .thread_count = 1};
    assert_ok(iso_device_open(test_registries[0], "cpu", &device_options, &on[0]));
    assert_ok(iso_device_open(test_registries[1], "cpu", &device_options, &on[1]));
    small s = make_small(NULL, on);
    int living = heap.living;
    long n = 1;
    bool explained = false;
    for (iso_status status = ISO_OUT_OF_MEMORY; status != ISO_OK; n++) {
        ones_source ones = {.bytes = 16};
        iso_session_options options = {.allocator = &allocator, .weights = {&ones, give_ones}};
        iso_session *session = (iso_session *)&session;
        heap.fail_at = n;
        status = iso_session_create(s.plan, &options, &session);
        assert_true(status == ISO_OK || (status == ISO_OUT_OF_MEMORY && !session));
        if (status != ISO_OK &&
            strstr(iso_status_last()->text, "device cpu cannot hold in (this plan needs "))
            explained = true;
        heap.fail_at = 0;
        iso_session_destroy(session);
        assert_int_equal(heap.living, living);
        assert_true(n < 1000);
    }
    assert_true(n > 20);
    assert_true(explained);
    destroy_small(&s);
    iso_device_close(on[0]);
    iso_device_close(on[1]);
    assert_int_equal(heap.living, 0);
}

// ---- profile ----

static void every_node_has_a_time(void **state)
{
    (void)state;
    enum { ROWS = 2000 };
    static const iso_step_size size[] = {{ROWS, 1}};
    random_graph r;
    make_random_graph(&r, 3, 20, 7);
    const iso_layer_range ranges[] = {{0, 2, 0}, {3, 9, 1}};
    iso_plan_options options = plan_on(test_cpu, 2, size, 1);
    options.ranges = ranges;
    options.range_count = 2;
    iso_plan *plan = make_plan(r.graph, &options);
    iso_session *session = make_session(plan);
    write_input(&r, session, ROWS, 1);
    assert_ok(iso_session_run(session, 0));
    uint32_t count = iso_graph_node_count(iso_plan_graph(plan));
    uint64_t ns[2 * RANDOM_MAX_VALUES];
    memset(ns, 0xff, sizeof ns);
    assert_ok(iso_session_node_times(session, 0, ns));
    for (uint32_t n = 0; n < count; n++)
        assert_in_range(ns[n], 1, UINT64_C(60000000000));
    assert_true(ns[count] == UINT64_MAX);
    iso_session_destroy(session);
    iso_plan_destroy(plan);
    destroy_random_graph(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replays_give_exact_results),
        cmocka_unit_test(pairs_of_devices_give_exact_results),
        cmocka_unit_test(the_hazard_tracker_overflows_safely),
        cmocka_unit_test(fallback_gives_exact_results),
        cmocka_unit_test(dependent_ops_are_kept_apart),
        cmocka_unit_test(a_full_tracker_costs_few_barriers),
        cmocka_unit_test(the_smallest_size_is_found),
        cmocka_unit_test(inputs_reach_every_device),
        cmocka_unit_test(writes_are_checked),
        cmocka_unit_test(reads_are_checked),
        cmocka_unit_test(weights_go_to_every_device),
        cmocka_unit_test(a_failing_source_leaves_nothing_behind),
        cmocka_unit_test(too_large_for_one_allocation),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_node_has_a_time),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
