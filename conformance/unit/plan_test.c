// SPDX-License-Identifier: MIT
//
// Unit tests of the plan: its options, element types and quantised inputs, kernels and the reasons of those
// refused, dumps, and failed allocations. Devices, transfers and the arena are place_test.c; nothing runs
// before session_test.c.
#include "conformance/unit/plan_fixture.h"
#include "kernels/case.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/linear/op.h"

static const iso_step_size one_size[] = {{4, 2}};

static const char *op_name(const iso_plan *plan, uint32_t node)
{
    const iso_graph *graph = iso_plan_graph(plan);
    return iso_graph_ops(graph)->ops[iso_graph_node(graph, node)->op]->name;
}

static const char *operand_name(const iso_plan *plan, uint32_t node, uint32_t operand)
{
    const iso_graph *graph = iso_plan_graph(plan);
    return iso_graph_value_info(graph, iso_graph_node(graph, node)->operands[operand])->name;
}

// ---- options ----

static void options_are_checked(void **state)
{
    (void)state;
    static const iso_step_size many_rows[] = {{4, 5}}, no_rows[] = {{4, 0}},
                               equal[] = {{1, 1}, {4, 2}, {4, 2}}, falling[] = {{4, 1}, {2, 2}};
    static const iso_layer_range unknown_device[] = {{0, 3, 2}}, late[] = {{1, 3, 0}},
                                 gap[] = {{0, 1, 0}, {3, 4, 1}}, overlap[] = {{0, 2, 0}, {2, 4, 1}},
                                 backwards[] = {{0, 2, 0}, {3, 2, 1}};
    iso_device *devices[] = {test_cpu[0], test_cpu[1]};
    const iso_plan_options good = plan_on(devices, 2, one_size, 1);
    iso_graph *graph = new_graph();
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 8);
    new_sum(graph, "y", x, x);
    assert_ok(iso_graph_finish(graph));
#define WITH(member, new_value)                                                                              \
    ({                                                                                                       \
        iso_plan_options changed = good;                                                                     \
        changed.member = new_value;                                                                          \
        changed;                                                                                             \
    })
    const struct {
        iso_plan_options options;
        const char *says;
    } cases[] = {
        {WITH(device_count, 0), "0 devices; allowed: 1 to 8"},
        {WITH(device_count, 9), "9 devices; allowed: 1 to 8"},
        {WITH(size_count, 0), "0 step sizes; allowed: 1 to 12"},
        {WITH(size_count, 13), "13 step sizes; allowed: 1 to 12"},
        {WITH(sizes, many_rows), "step size 0 has 4 tokens and 5 rows"},
        {WITH(sizes, no_rows), "step size 0 has 4 tokens and 0 rows"},
        {WITH(fallback_device, 3), "fallback device 2 of 2"},
        {WITH(activation, ISO_DTYPE_F16), "activation type is f16; allowed: f32, bf16"},
        {WITH(ranges, unknown_device), "0 layer ranges; allowed: 1 or more"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        iso_plan *plan = (iso_plan *)&plan;
        assert_refused(iso_plan_create(graph, &cases[i].options, &plan), ISO_INVALID_ARGUMENT, cases[i].says);
        assert_null(plan);
    }
    const struct {
        const iso_layer_range *ranges;
        uint32_t count;
        const char *says;
    } ranges[] = {
        {unknown_device, 1, "range 0 names device 2 of 2"},
        {late, 1, "range 0 is layers 1 to 3; it must begin at 0"},
        {gap, 2, "range 1 is layers 3 to 4; it must begin at 2"},
        {overlap, 2, "range 1 is layers 2 to 4; it must begin at 3"},
        {backwards, 2, "range 1 is layers 3 to 2; it must begin at 3 and may not end before"},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        iso_plan_options options = good;
        options.ranges = ranges[i].ranges;
        options.range_count = ranges[i].count;
        iso_plan *plan;
        assert_refused(iso_plan_create(graph, &options, &plan), ISO_INVALID_ARGUMENT, ranges[i].says);
    }
    iso_plan_options options = good;
    iso_plan *plan;
    options.size_count = 3;
    options.sizes = equal;
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_INVALID_ARGUMENT,
                   "must ascend; size 2 does not");
    options.size_count = 2;
    options.sizes = falling;
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_INVALID_ARGUMENT,
                   "must ascend; size 1 does not");
    iso_graph_destroy(graph);
}

static void an_unfit_graph_is_refused(void **state)
{
    (void)state;
    iso_plan *plan;
    iso_plan_options options = plan_on(test_cpu, 1, one_size, 1);
    iso_graph *graph = new_graph();
    new_f32(graph, ISO_VALUE_INPUT, "", 8);
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_INVALID_ARGUMENT, "not fit for use");
    iso_graph_destroy(graph);

    graph = new_graph();
    iso_graph_add_value(graph, ISO_VALUE_CACHE, "cache", ISO_DTYPE_F32, TEST_SHAPE(ISO_DIM_PAGES, 64, 8));
    assert_ok(iso_graph_finish(graph));
    options.dims.value[-ISO_DIM_PAGES - 1] = 0;
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_INVALID_ARGUMENT,
                   "plan: cache: dimension 0 is the number of pages, which is 0");
    options.dims.value[-ISO_DIM_PAGES - 1] = UINT32_MAX;
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_LIMIT, "plan: cache would have more than");
    iso_graph_destroy(graph);
}

// The largest step has fewer rows than one before it.
static void inputs_hold_every_step_size(void **state)
{
    (void)state;
    static const iso_step_size sizes[] = {{1, 1}, {8, 8}, {64, 1}};
    iso_plan_options options = plan_on(test_cpu, 1, sizes, 3);
    iso_graph *graph = new_graph();
    iso_graph_add_value(graph, ISO_VALUE_INPUT, "ids", ISO_DTYPE_I32, TEST_SHAPE(ISO_DIM_TOKENS));
    iso_graph_add_value(graph, ISO_VALUE_INPUT, "rows", ISO_DTYPE_I32, TEST_SHAPE(ISO_DIM_ROWS));
    assert_ok(iso_graph_finish(graph));
    iso_plan *plan = make_plan(graph, &options);
    iso_plan_memory memory;
    iso_plan_get_memory(plan, 0, &memory);
    assert_int_equal(memory.input_bytes, 64 * 4 + 8 * 4);
    assert_int_equal(memory.arena_bytes + memory.weight_bytes + memory.cache_bytes, 0);
    assert_int_equal(iso_plan_size(plan, 1).rows, 8);
    iso_plan_destroy(plan);
    iso_plan_destroy(NULL);
    iso_graph_destroy(graph);
}

// ---- legalise ----

static iso_value new_activation(iso_graph *graph, const char *name, iso_dim width)
{
    return iso_graph_add_value(graph, ISO_VALUE_ACTIVATION, name, ISO_DTYPE_ACTIVATION,
                               TEST_SHAPE(ISO_DIM_TOKENS, width));
}

static void op_linear(iso_graph *graph, const char *y, iso_value x, iso_value weight, iso_value scale)
{
    iso_dim features = iso_graph_value_info(graph, weight)->dims[0];
    iso_graph_add_op(graph, iso_op_linear, &(iso_linear){0},
                     (iso_value[]){x, 0, weight, scale, 0, new_activation(graph, y, features)});
}

typedef struct fp8_weight {
    iso_value weight, scale;
} fp8_weight;

static fp8_weight new_fp8(iso_graph *graph, iso_dim features, iso_dim width)
{
    fp8_weight w = {
        iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "w", ISO_DTYPE_F8_E4M3, TEST_SHAPE(features, width)),
        iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "w.scale", ISO_DTYPE_F32,
                            TEST_SHAPE((features + 127) / 128, (width + 127) / 128)),
    };
    return w;
}

static void activations_get_their_type(void **state)
{
    (void)state;
    static const iso_dtype types[][2] = {
        {ISO_DTYPE_NONE, ISO_DTYPE_F32}, {ISO_DTYPE_F32, ISO_DTYPE_F32}, {ISO_DTYPE_BF16, ISO_DTYPE_BF16}};
    iso_graph *graph = new_graph();
    iso_value x =
        iso_graph_add_value(graph, ISO_VALUE_INPUT, "x", ISO_DTYPE_ACTIVATION, TEST_SHAPE(ISO_DIM_TOKENS, 8));
    new_sum(graph, "y", x, x);
    iso_value z = new_f32(graph, ISO_VALUE_INPUT, "z", 8);
    new_slice(graph, "part", z, 0, 4);
    iso_graph_add_value(graph, ISO_VALUE_CACHE, "cache", ISO_DTYPE_ACTIVATION,
                        TEST_SHAPE(ISO_DIM_PAGES, 64, 8));
    assert_ok(iso_graph_finish(graph));
    for (size_t i = 0; i < 3; i++) {
        iso_plan_options options = plan_on(test_cpu, 1, one_size, 1);
        options.activation = types[i][0];
        iso_plan *plan = make_plan(graph, &options);
        assert_int_equal(info_of(plan, "x")->dtype, types[i][1]);
        assert_int_equal(info_of(plan, "y")->dtype, types[i][1]);
        assert_int_equal(info_of(plan, "cache")->dtype, types[i][1]);
        assert_int_equal(info_of(plan, "z")->dtype, ISO_DTYPE_F32);
        assert_int_equal(info_of(plan, "part")->dtype, ISO_DTYPE_F32);
        iso_plan_destroy(plan);
    }
    iso_graph_destroy(graph);
}

static void inputs_are_quantised_once(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 136);
    fp8_weight w = new_fp8(graph, 8, 136);
    iso_value plain =
        iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "plain", ISO_DTYPE_BF16, TEST_SHAPE(8, 136));
    iso_value x = new_sum(graph, "x", in, in);
    op_linear(graph, "a", x, w.weight, w.scale);
    op_linear(graph, "b", x, plain, ISO_NO_VALUE);
    op_linear(graph, "c", x, w.weight, w.scale);
    op_add(graph, x, in, x);
    op_linear(graph, "d", x, w.weight, w.scale);
    assert_ok(iso_graph_finish(graph));

    iso_plan_options options = plan_on(test_cpu, 1, one_size, 1);
    iso_plan *plan = make_plan(graph, &options);
    assert_int_equal(iso_graph_node_count(iso_plan_graph(plan)), 6);
    iso_plan_destroy(plan);

    options.w8a8 = true;
    plan = make_plan(graph, &options);
    static const char *const ops[] = {"add", "quantize_activation", "linear", "linear", "linear",
                                      "add", "quantize_activation", "linear"};
    assert_int_equal(iso_graph_node_count(iso_plan_graph(plan)), 8);
    for (uint32_t n = 0; n < 8; n++)
        assert_string_equal(op_name(plan, n), ops[n]);
    assert_string_equal(operand_name(plan, 2, 0), "x.q");
    assert_string_equal(operand_name(plan, 2, 1), "x.qs");
    assert_string_equal(operand_name(plan, 3, 0), "x"); // its weight is not FP8
    assert_string_equal(operand_name(plan, 3, 1), "-");
    const iso_graph *planned = iso_plan_graph(plan);
    assert_int_equal(iso_graph_node(planned, 4)->operands[0], iso_graph_node(planned, 2)->operands[0]);
    assert_int_not_equal(iso_graph_node(planned, 7)->operands[0], iso_graph_node(planned, 2)->operands[0]);
    const iso_value_info *q = info_of(plan, "x.q"), *scale = info_of(plan, "x.qs");
    assert_int_equal(q->dtype, ISO_DTYPE_F8_E4M3);
    assert_int_equal(q->row_stride, 136);
    assert_int_equal(scale->dtype, ISO_DTYPE_F32);
    assert_int_equal(scale->dims[1], 2);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// A view is another value than its base, and writing either makes both stale.
static void views_are_quantised_apart(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 128);
    fp8_weight w = new_fp8(graph, 8, 128), half = new_fp8(graph, 8, 64);
    iso_value x = new_sum(graph, "x", in, in);
    iso_value high = new_slice(graph, "high", x, 64, 64), low = new_slice(graph, "low", x, 0, 64);
    op_linear(graph, "a", x, w.weight, w.scale);
    op_linear(graph, "b", high, half.weight, half.scale);
    op_linear(graph, "c", high, half.weight, half.scale);
    op_add(graph, low, new_slice(graph, "in.low", in, 0, 64), low);
    op_linear(graph, "d", high, half.weight, half.scale);
    op_linear(graph, "e", x, w.weight, w.scale);
    assert_ok(iso_graph_finish(graph));
    iso_plan_options options = plan_on(test_cpu, 1, one_size, 1);
    options.w8a8 = true;
    iso_plan *plan = make_plan(graph, &options);
    uint32_t quantised = 0;
    for (uint32_t n = 0; n < iso_graph_node_count(iso_plan_graph(plan)); n++)
        quantised += strcmp(op_name(plan, n), "quantize_activation") == 0;
    assert_int_equal(quantised, 4);
    const iso_value_info *q = info_of(plan, "high.q");
    assert_int_equal(q->base, find(plan, "high.q")); // storage of its own, contiguous
    assert_int_equal(q->view_offset, 0);
    assert_int_equal(q->row_stride, 64);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// The pass makes ops that no builder has checked.
static void quantised_inputs_are_checked(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 130);
    fp8_weight w = new_fp8(graph, 8, 130);
    op_linear(graph, "a", in, w.weight, w.scale);
    assert_ok(iso_graph_finish(graph));
    iso_plan_options options = plan_on(test_cpu, 1, one_size, 1);
    options.w8a8 = true;
    iso_plan *plan;
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_INVALID_ARGUMENT,
                   "op that writes in.q: quantize");
    iso_graph_destroy(graph);
}

// ---- select ----

static void refusals_are_listed(void **state)
{
    (void)state;
    iso_graph *graph = layered_graph();
    iso_plan_options options = plan_on(&test_null, 1, one_size, 1);
    iso_plan *plan;
    assert_refused(
        iso_plan_create(graph, &options, &plan), ISO_UNSUPPORTED,
        "device null:0 has no kernel for op add that writes first; name another device, or a fallback (");
    const iso_op_info *add = iso_ops()->ops[iso_op_add];
    for (uint32_t k = 0; k < add->kernel_count; k++)
        assert_non_null(strstr(iso_status_last()->text, add->kernels[k]->name));
    assert_non_null(strstr(iso_status_last()->text, ": no code in a format of this device)"));
    iso_graph_destroy(graph);

    // The op with the most kernels: the remedy is there whatever the reasons' length.
    graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 8);
    fp8_weight w = new_fp8(graph, 8, 8);
    op_linear(graph, "y", in, w.weight, w.scale);
    assert_ok(iso_graph_finish(graph));
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_UNSUPPORTED,
                   "name another device, or a fallback");
    iso_graph_destroy(graph);
}

// Groups of a launch, and versions of code, against what a device states.
static void limits_are_asked(void **state)
{
    (void)state;
    char reason[ISO_REASON_BYTES];
    iso_device_info info = {.struct_bytes = sizeof info,
                            .driver = "made up",
                            .max_group_size = 1024,
                            .max_groups = {1 << 20, 65535, 65535},
                            .code_formats = {ISO_CODE_SPIRV, ISO_CODE_OPENCL_C}};
    iso_kernel kernel = {0};
    const iso_op_info *op = iso_ops()->ops[iso_op_add];
    for (uint32_t k = 0; k < op->kernel_count; k++)
        if (strcmp(op->kernels[k]->name, "add.portable.f32_none_f32") == 0)
            kernel = *op->kernels[k];
    assert_non_null(kernel.name);
    iso_add params = {0};
    params.a = params.b = params.y = iso_tensor_describe(ISO_DTYPE_F32, ISO_DIMS(65535, 8));
    assert_true(iso_plan_kernel_fits(&kernel, &params, &info, reason));
    params.a = params.b = params.y = iso_tensor_describe(ISO_DTYPE_F32, ISO_DIMS(65536, 8));
    assert_false(iso_plan_kernel_fits(&kernel, &params, &info, reason));
    assert_string_equal(reason, "has 65536 groups along y, the device allows 65535");
    info.max_groups[1] = 0;
    assert_true(iso_plan_kernel_fits(&kernel, &params, &info, reason));

    // The best format whose code is old enough.
    info.code_versions[0] = 12030;
    for (int c = 0; kernel.codes[c].format != ISO_CODE_NONE; c++)
        if (kernel.codes[c].format == ISO_CODE_SPIRV)
            kernel.codes[c].needs_version = 12030;
    assert_int_equal(iso_kernel_find_code(&kernel, &info, reason)->format, ISO_CODE_SPIRV);
    info.code_versions[0] = 12020;
    assert_int_equal(iso_kernel_find_code(&kernel, &info, reason)->format, ISO_CODE_OPENCL_C);
    info.code_formats[1] = ISO_CODE_NONE;
    assert_false(iso_plan_kernel_fits(&kernel, &params, &info, reason));
    assert_string_equal(reason, "its code is for version 12.3 and later; \"made up\" takes 12.2");
}

static void refused_ops_fall_back(void **state)
{
    (void)state;
    iso_graph *graph = layered_graph();
    iso_device *devices[] = {test_null, test_cpu[0]};
    iso_plan_options options = plan_on(devices, 2, one_size, 1);
    options.fallback_device = 2;
    iso_plan *plan = make_plan(graph, &options);
    assert_int_equal(plan->segment_count, 1);
    assert_transfers(plan, "");
    iso_plan_memory memory;
    iso_plan_get_memory(plan, 0, &memory);
    assert_int_equal(memory.weight_bytes + memory.cache_bytes + memory.arena_bytes + memory.input_bytes, 0);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);

    // Norms stay, additions go.
    graph = NULL;
    assert_ok(iso_graph_create(NULL, picky_ops(iso_op_add), &graph));
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 8);
    iso_value weight = iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "w", ISO_DTYPE_F32, TEST_SHAPE(8));
    iso_value x = new_f32(graph, ISO_VALUE_ACTIVATION, "x", 8);
    for (int i = 0; i < 2; i++) {
        iso_graph_add_op(graph, iso_op_rms_norm, &(iso_rms_norm){.eps = 1e-6f}, (iso_value[]){in, weight, x});
        op_add(graph, x, in, x); // in place, on the other device
    }
    iso_graph_mark_output(graph, x);
    assert_ok(iso_graph_finish(graph));
    iso_device *both[] = {test_cpu[1], test_cpu[0]};
    options = plan_on(both, 2, one_size, 1);
    iso_plan *refused;
    assert_refused(iso_plan_create(graph, &options, &refused), ISO_UNSUPPORTED, "refused by the test");
    options.fallback_device = 2;
    plan = make_plan(graph, &options);
    assert_int_equal(plan->segment_count, 4);
    assert_transfers(plan, "x>x@1:1 x>x@1:3 x@1>x:4");
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

static void bound_kernels_fit(void **state)
{
    (void)state;
    static const iso_step_size sizes[] = {{1, 1}, {4, 2}};
    iso_graph *graph = layered_graph();
    iso_plan_options options = plan_on(test_cpu, 1, sizes, 2);
    iso_plan *plan = make_plan(graph, &options);
    for (uint32_t size = 0; size < 2; size++)
        for (uint32_t n = 0; n < iso_graph_node_count(iso_plan_graph(plan)); n++)
            assert_string_equal(iso_plan_kernel(plan, size, n)->op, op_name(plan, n));
    char *text;
    assert_ok(iso_plan_dump(plan, "select", NULL, &text));
    assert_memory_equal(text, "step of 1 tokens, 1 rows\n  first on cpu: add.cpu.", 48);
    assert_non_null(strstr(text, "step of 4 tokens, 2 rows\n"));
    assert_non_null(strstr(text, ": yes]\n"));
    iso_free(NULL, text);
    assert_ok(iso_plan_dump(plan, "legalise", NULL, &text));
    assert_memory_equal(text, "graph of 10 ops\n", 16);
    iso_free(NULL, text);
    assert_refused(iso_plan_dump(plan, "record", NULL, &text), ISO_INVALID_ARGUMENT, "no pass \"record\"");
    assert_null(text);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// What each portable kernel says of tensors of the largest models: an index has 32 bits.
static void portable_kernels_know_their_index(void **state)
{
    (void)state;
    static const iso_device_info device = {.max_group_size = 1024};
    const iso_op_info *op = iso_ops()->ops[iso_op_grouped_linear];
    iso_grouped_linear v3 = {
        .x = {ISO_DTYPE_F32, 2, {1, 7168, 1, 1}, .row_stride = 7168},
        .weight = {ISO_DTYPE_F8_E4M3, 3, {256, 2048, 7168, 1}, .row_stride = 7168},
        .y = {ISO_DTYPE_F32, 3, {1, 8, 2048, 1}, .row_stride = 2048},
    };
    iso_grouped_linear kimi = v3, too_large = v3;
    kimi.weight.dims[0] = 384; // 5.6e9 elements, 1.4e9 words
    too_large.weight.dims[0] = 1171;
    bool found = false;
    for (uint32_t k = 0; k < op->kernel_count; k++) {
        char reason[ISO_REASON_BYTES];
        const iso_kernel *kernel = op->kernels[k];
        if (!strstr(kernel->name, ".portable.") || kernel->dtypes[0] != ISO_DTYPE_F32 ||
            kernel->dtypes[1] != ISO_DTYPE_F8_E4M3 || kernel->dtypes[2] != ISO_DTYPE_F32)
            continue;
        found = true;
        assert_true(kernel->supports(kernel, &v3, &device, reason));
        assert_true(kernel->supports(kernel, &kimi, &device, reason));
        assert_false(kernel->supports(kernel, &too_large, &device, reason));
        assert_string_equal(reason,
                            "weight: 17190354944 elements of f8_e4m3 are more than a 32-bit index reaches");
    }
    assert_true(found);
}

static void a_plan_without_ops(void **state)
{
    (void)state;
    static const char *const passes[] = {"legalise", "place", "select", "layout"};
    iso_graph *graph = new_graph();
    assert_ok(iso_graph_finish(graph));
    iso_plan_options options = plan_on(test_cpu, 1, one_size, 1);
    iso_plan *plan = make_plan(graph, &options);
    for (size_t i = 0; i < 4; i++) {
        char *text;
        assert_ok(iso_plan_dump(plan, passes[i], NULL, &text));
        assert_non_null(text);
        iso_free(NULL, text);
    }
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// ---- allocations ----

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const iso_layer_range halves[] = {{0, 1, 0}, {2, 9, 1}};
    test_heap heap = {0};
    iso_allocator allocator = {&heap, heap_resize, heap_release};
    iso_graph *graph = layered_graph();
    iso_plan_options options = plan_on(test_cpu, 2, one_size, 1);
    options.allocator = &allocator;
    options.ranges = halves;
    options.range_count = 2;
    options.w8a8 = true;
    long n = 1;
    for (iso_status status = ISO_OUT_OF_MEMORY; status != ISO_OK; n++) {
        iso_plan *plan = (iso_plan *)&plan;
        heap.fail_at = n;
        status = iso_plan_create(graph, &options, &plan);
        assert_true(status == ISO_OK || (status == ISO_OUT_OF_MEMORY && !plan));
        iso_plan_destroy(plan);
        assert_int_equal(heap.living, 0);
        assert_true(n < 1000);
    }
    assert_true(n > 15);
    iso_graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(an_unfit_graph_is_refused),
        cmocka_unit_test(inputs_hold_every_step_size),
        cmocka_unit_test(activations_get_their_type),
        cmocka_unit_test(inputs_are_quantised_once),
        cmocka_unit_test(views_are_quantised_apart),
        cmocka_unit_test(quantised_inputs_are_checked),
        cmocka_unit_test(refusals_are_listed),
        cmocka_unit_test(limits_are_asked),
        cmocka_unit_test(refused_ops_fall_back),
        cmocka_unit_test(bound_kernels_fit),
        cmocka_unit_test(portable_kernels_know_their_index),
        cmocka_unit_test(a_plan_without_ops),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_test_devices, close_test_devices);
}
