// SPDX-License-Identifier: MIT
//
// Unit tests of runtime/graph: shapes under symbols, views, what building and finishing refuse and in which
// words, names at their limit, the text and DOT dumps, and that a failed allocation at any point leaves
// nothing behind. The graphs of the published configs are built too: their names must be unique.
#include "conformance/unit/plan_fixture.h"
#include "isomer/model.h"
#include "kernels/gather/op.h"
#include "kernels/linear/op.h"
#include "kernels/rms_norm/op.h"
#include "runtime/graph/graph_internal.h"

#define NAME_63 "a23456789b123456789c123456789d123456789e123456789f123456789g123"

// ---- shapes ----

static void symbols_are_replaced(void **state)
{
    (void)state;
    const iso_dim_values dims = {{7, 3, 11, 2, 5}};
    iso_graph *graph = new_graph();
    iso_value a = iso_graph_add_value(graph, ISO_VALUE_ACTIVATION, "a", ISO_DTYPE_BF16,
                                      TEST_SHAPE(ISO_DIM_TOKENS, 4, 6));
    iso_value rows =
        iso_graph_add_value(graph, ISO_VALUE_INPUT, "rows", ISO_DTYPE_I32, TEST_SHAPE(ISO_DIM_ROWS));
    iso_value table = iso_graph_add_value(graph, ISO_VALUE_INPUT, "table", ISO_DTYPE_I32,
                                          TEST_SHAPE(ISO_DIM_SEQUENCES, ISO_DIM_SEQUENCE_PAGES));
    iso_value cache = iso_graph_add_value(graph, ISO_VALUE_CACHE, "cache", ISO_DTYPE_F8_E4M3,
                                          TEST_SHAPE(ISO_DIM_PAGES, 64, 3));
    assert_ok(iso_graph_finish(graph));
    iso_tensor t = iso_graph_tensor(graph, a, &dims);
    assert_int_equal(t.rank, 3);
    assert_int_equal(t.dims[0], 7);
    assert_int_equal(t.dims[3], 1);
    assert_int_equal(t.row_stride, 6);
    assert_int_equal(iso_tensor_rows(&t), 28);
    assert_int_equal(iso_graph_storage_bytes(graph, a, &dims), 7 * 4 * 6 * 2);
    t = iso_graph_tensor(graph, rows, &dims);
    assert_int_equal(t.dims[0], 3);
    assert_int_equal(t.row_stride, 3); // a symbolic row is as wide as it turns out to be
    t = iso_graph_tensor(graph, table, &dims);
    assert_int_equal(t.row_stride, 5);
    assert_int_equal(iso_graph_storage_bytes(graph, table, &dims), 2 * 5 * 4);
    assert_int_equal(iso_graph_storage_bytes(graph, cache, &dims), 11 * 64 * 3);
    assert_int_equal(iso_graph_tensor(graph, ISO_NO_VALUE, &dims).dtype, ISO_DTYPE_NONE);
    assert_int_equal(iso_graph_storage_bytes(graph, ISO_NO_VALUE, &dims), 0);
    assert_int_equal(iso_graph_find(graph, "table"), table);
    assert_int_equal(iso_graph_find(graph, "tabl"), ISO_NO_VALUE);
    iso_graph_destroy(graph);
}

// DeepSeek-V3's experts have 3.76e9 elements a matrix, and a cache can have more rows than 32 bits count.
static void large_values_do_not_wrap(void **state)
{
    (void)state;
    iso_dim_values dims = {{1, 1, 1, 1, 1}};
    iso_graph *graph = new_graph();
    iso_value experts =
        iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "experts", ISO_DTYPE_BF16, TEST_SHAPE(256, 7168, 2048));
    iso_value cache = iso_graph_add_value(graph, ISO_VALUE_CACHE, "cache", ISO_DTYPE_F32,
                                          TEST_SHAPE(ISO_DIM_PAGES, 64, 8, 128));
    assert_ok(iso_graph_finish(graph));
    assert_true(iso_graph_storage_bytes(graph, experts, &dims) == UINT64_C(7516192768));
    dims.value[-ISO_DIM_PAGES - 1] = 8388607;
    assert_ok(iso_graph_check_sizes(graph, &dims));
    assert_true(iso_graph_storage_bytes(graph, cache, &dims) == UINT64_C(8388607) * 64 * 8 * 128 * 4);
    dims.value[-ISO_DIM_PAGES - 1] = 8388608; // 2^32 rows
    assert_refused(iso_graph_check_sizes(graph, &dims), ISO_LIMIT,
                   "cache would have more than 4294967295 rows");
    dims.value[-ISO_DIM_PAGES - 1] = 0;
    assert_refused(iso_graph_check_sizes(graph, &dims), ISO_INVALID_ARGUMENT,
                   "cache: dimension 0 is the number of pages, which is 0");
    iso_graph_destroy(graph);
}

// ---- views ----

static void views_of_views_add_up(void **state)
{
    (void)state;
    const iso_dim_values dims = {{3, 3, 1, 1, 1}};
    iso_graph *graph = new_graph();
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 24);
    // [T, 2, 12] of which the last 8 of each 12, of which the first 4.
    iso_view_desc heads = {.dims = {ISO_DIM_TOKENS, 2, 8}, .rank = 3, .offset = 4, .row_stride = 12};
    iso_value a = iso_graph_add_view(graph, "a", x, &heads);
    iso_view_desc first = {.dims = {ISO_DIM_TOKENS, 2, 4}, .rank = 3, .offset = 2, .row_stride = 12};
    iso_value b = iso_graph_add_view(graph, "b", a, &first);
    iso_view_desc flat = {.dims = {ISO_DIM_TOKENS, 2, 12}, .rank = 3};
    iso_value c = iso_graph_add_view(graph, "c", x, &flat);
    assert_ok(iso_graph_finish(graph));
    assert_int_equal(iso_graph_value_info(graph, b)->base, x);
    iso_tensor t = iso_graph_tensor(graph, b, &dims);
    assert_int_equal(t.view_offset, 6);
    assert_int_equal(t.row_stride, 12);
    assert_int_equal(iso_tensor_rows(&t), 6);
    assert_int_equal(iso_graph_tensor(graph, c, &dims).row_stride, 12);
    assert_int_equal(iso_graph_storage_bytes(graph, b, &dims), 3 * 24 * 4); // of the base
    iso_graph_destroy(graph);
}

static void views_stay_within_their_base(void **state)
{
    (void)state;
    static const struct {
        iso_view_desc desc;
        const char *says;
    } cases[] = {
        {{.dims = {ISO_DIM_TOKENS, 8}, .rank = 2, .offset = 17, .row_stride = 24},
         "view v ends at element 25 of x"},
        // Fits for one token; the second row lies beyond.
        {{.dims = {ISO_DIM_TOKENS, 2, 8}, .rank = 3, .row_stride = 16}, "view v ends at element"},
        {{.dims = {ISO_DIM_TOKENS, 8}, .rank = 2, .row_stride = 7}, "8 elements wide and only 7 apart"},
        {{.dims = {ISO_DIM_TOKENS, 0}, .rank = 2}, "dimension 1 of v is 0"},
        {{.dims = {-6, 8}, .rank = 2}, "dimension 0 of v is -6"},
        {{.rank = 0}, "v has 0 dimensions; allowed: 1 to 4"},
        {{.dims = {1, 1, 1, 1}, .rank = 5}, "v has 5 dimensions; allowed: 1 to 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        iso_graph *graph = new_graph();
        iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 24);
        iso_graph_add_view(graph, "v", x, &cases[i].desc);
        assert_refused(iso_graph_finish(graph), ISO_INVALID_ARGUMENT, cases[i].says);
        iso_graph_destroy(graph);
    }
    iso_graph *graph = new_graph();
    iso_view_desc desc = {.dims = {ISO_DIM_TOKENS, 4}, .rank = 2};
    iso_graph_add_view(graph, "v", 77, &desc);
    assert_refused(iso_graph_finish(graph), ISO_INVALID_ARGUMENT, "view v is of value 77");
    iso_graph_destroy(graph);
}

// ---- refusals ----

typedef void (*build_fn)(iso_graph *graph);

static void bad_rank(iso_graph *graph)
{
    const iso_dim dims[] = {1, 1, 1, 1, 1};
    iso_graph_add_value(graph, ISO_VALUE_INPUT, "x", ISO_DTYPE_F32, dims, 5);
}

static void bad_dim(iso_graph *graph)
{
    iso_graph_add_value(graph, ISO_VALUE_INPUT, "x", ISO_DTYPE_F32, TEST_SHAPE(ISO_DIM_TOKENS, -7));
}

static void bad_dtype(iso_graph *graph)
{
    iso_graph_add_value(graph, ISO_VALUE_INPUT, "x", ISO_DTYPE_NONE, TEST_SHAPE(4));
}

static void empty_name(iso_graph *graph)
{
    new_f32(graph, ISO_VALUE_INPUT, "", 4);
}

static void long_name(iso_graph *graph)
{
    iso_graph_scope(graph, 0, "layers.%u", 12u);
    new_f32(graph, ISO_VALUE_INPUT, NAME_63, 4);
}

static void long_scope(iso_graph *graph)
{
    iso_graph_scope(graph, 0, "%s.%s", NAME_63, NAME_63);
}

static void bad_op(iso_graph *graph)
{
    iso_graph_add_op(graph, ISO_OP_COUNT, &(iso_add){0}, (iso_value[]){0, 0, 0});
}

static void bad_operand(iso_graph *graph)
{
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 4);
    op_add(graph, x, 9, x);
}

static void absent_output(iso_graph *graph)
{
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 4);
    op_add(graph, x, x, ISO_NO_VALUE);
}

static void written_weight(iso_graph *graph)
{
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 4);
    iso_value w = iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "w", ISO_DTYPE_F32, TEST_SHAPE(4));
    op_add(graph, x, x, w);
}

static void broken_contract(iso_graph *graph)
{
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 4);
    iso_value z = new_f32(graph, ISO_VALUE_INPUT, "z", 6);
    iso_graph_scope(graph, 3, "layers.3");
    new_sum(graph, "sum", x, z);
}

static void absent_input(iso_graph *graph)
{
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 4);
    new_sum(graph, "sum", x, ISO_NO_VALUE);
}

static void read_before_written(iso_graph *graph)
{
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 4);
    iso_value y = new_f32(graph, ISO_VALUE_ACTIVATION, "y", 4);
    new_sum(graph, "sum", x, y);
    op_add(graph, x, x, y);
}

static void own_failure(iso_graph *graph)
{
    iso_graph_set_failure(graph, iso_fail(ISO_CORRUPT, "the first of two"));
    iso_graph_set_failure(graph, iso_fail(ISO_IO, "the second of two"));
    bad_rank(graph);
}

static void building_is_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        build_fn build;
        iso_status status;
        const char *says;
    } cases[] = {
        {bad_rank, ISO_INVALID_ARGUMENT, "x has 5 dimensions; allowed: 1 to 4"},
        {bad_dim, ISO_INVALID_ARGUMENT, "dimension 1 of x is -7; allowed: above 0, or a symbol"},
        {bad_dtype, ISO_INVALID_ARGUMENT, "x has no element type"},
        {empty_name, ISO_INVALID_ARGUMENT, "has 0 characters; allowed: 1 to 63"},
        {long_name, ISO_INVALID_ARGUMENT, "has 73 characters; allowed: 1 to 63"},
        {long_scope, ISO_INVALID_ARGUMENT, "has 127 characters; allowed: up to 63"},
        {bad_op, ISO_INVALID_ARGUMENT, "op 16 of 16"},
        {bad_operand, ISO_INVALID_ARGUMENT, "operand 1 of add is value 9 of 2"},
        {absent_output, ISO_INVALID_ARGUMENT, "add writes -; allowed: activations and caches"},
        {written_weight, ISO_INVALID_ARGUMENT, "add writes w; allowed: activations and caches"},
        {broken_contract, ISO_INVALID_ARGUMENT, "graph, op that writes layers.3.sum: add: "},
        {absent_input, ISO_INVALID_ARGUMENT, "graph, op that writes sum: add: "},
        {read_before_written, ISO_INVALID_ARGUMENT, "add, which writes sum, reads y before any op wrote it"},
        {own_failure, ISO_CORRUPT, "the first of two"},
    };
    _Static_assert(ISO_OP_COUNT == 16, "the case of bad_op says how many ops there are");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        iso_graph *graph = new_graph();
        cases[i].build(graph);
        assert_refused(iso_graph_finish(graph), cases[i].status, cases[i].says);
        // The failure stays, and building on does nothing.
        uint32_t values = iso_graph_value_count(graph);
        assert_int_equal(new_f32(graph, ISO_VALUE_INPUT, "later", 4), ISO_NO_VALUE);
        iso_graph_mark_output(graph, 1);
        assert_int_equal(iso_graph_value_count(graph), values);
        assert_refused(iso_graph_finish(graph), cases[i].status, cases[i].says);
        iso_graph_destroy(graph);
    }
}

// In-place ops read and write one value, and a value may be written in parts.
static void what_models_do_is_accepted(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 8);
    iso_value w = iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "w", ISO_DTYPE_F32, TEST_SHAPE(8));
    iso_value y = new_sum(graph, "y", x, x);
    iso_graph_add_op(graph, iso_op_rms_norm, &(iso_rms_norm){.eps = 1e-6f}, (iso_value[]){y, w, y});
    iso_value joined = new_f32(graph, ISO_VALUE_ACTIVATION, "joined", 16);
    op_add(graph, x, y, new_slice(graph, "joined.low", joined, 0, 8));
    op_add(graph, y, x, new_slice(graph, "joined.high", joined, 8, 8));
    iso_value sum = new_sum(graph, "sum", joined, joined);
    iso_graph_mark_output(graph, new_slice(graph, "part", sum, 4, 8));
    iso_graph_mark_output(graph, ISO_NO_VALUE);
    assert_ok(iso_graph_finish(graph));
    assert_true(iso_graph_value_info(graph, sum)->output); // kept for its part
    assert_false(iso_graph_value_info(graph, joined)->output);
    iso_graph_destroy(graph);
}

static void longest_names_are_kept(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, NAME_63, 4);
    iso_graph_scope(graph, 0, "%s", "scope");
    iso_value y = new_f32(graph, ISO_VALUE_INPUT, &NAME_63[6], 4);
    assert_ok(iso_graph_finish(graph));
    assert_string_equal(iso_graph_value_info(graph, x)->name, NAME_63);
    assert_int_equal(strlen(iso_graph_value_info(graph, y)->name), 63);
    iso_value_info info = *iso_graph_value_info(graph, x);
    iso_graph_suffix_name(&info, ".qs");
    iso_graph_suffix_name(&info, "@7");
    assert_string_equal(info.name, NAME_63 ".qs@7");
    iso_graph_suffix_name(&info, "@too much");
    assert_int_equal(strlen(info.name), ISO_VALUE_NAME_BYTES - 1);
    iso_graph_destroy(graph);
}

// ---- dumps ----

static iso_graph *graph_to_dump(void)
{
    iso_graph *graph = new_graph();
    iso_value ids =
        iso_graph_add_value(graph, ISO_VALUE_INPUT, "ids", ISO_DTYPE_I32, TEST_SHAPE(ISO_DIM_TOKENS));
    iso_value table =
        iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "table", ISO_DTYPE_BF16, TEST_SHAPE(32, 8));
    iso_value x = iso_graph_add_value(graph, ISO_VALUE_ACTIVATION, "x", ISO_DTYPE_ACTIVATION,
                                      TEST_SHAPE(ISO_DIM_TOKENS, 8));
    iso_graph_add_op(graph, iso_op_gather, (uint8_t[256]){0}, (iso_value[]){table, ids, x});
    iso_graph_scope(graph, 5, "layers.5");
    iso_value y = new_sum(graph, "y", x, x);
    iso_graph_add_op(graph, iso_op_linear, &(iso_linear){0},
                     (iso_value[]){new_slice(graph, "part", y, 0, 8), 0, table, 0, 0,
                                   iso_graph_add_value(graph, ISO_VALUE_ACTIVATION, "z", ISO_DTYPE_F32,
                                                       TEST_SHAPE(ISO_DIM_TOKENS, 32))});
    assert_ok(iso_graph_finish(graph));
    return graph;
}

static void text_is_one_line_an_op(void **state)
{
    (void)state;
    iso_graph *graph = graph_to_dump();
    char *text, *again;
    assert_ok(iso_graph_dump_text(graph, NULL, &text));
    assert_ok(iso_graph_dump_text(graph, NULL, &again));
    assert_string_equal(text, again);
    assert_string_equal(text, "graph of 3 ops\n"
                              "input ids [T] i32\n"
                              "weight table [32, 8] bf16\n"
                              "x [T, 8] activation = gather(table, ids)\n"
                              "layers.5.y [T, 8] activation = add(x, x)\n"
                              "layers.5.z [T, 32] f32 = linear(layers.5.part, -, table, -, -)\n");
    iso_free(NULL, text);
    iso_free(NULL, again);
    iso_graph_destroy(graph);
}

static void dot_has_a_box_an_op(void **state)
{
    (void)state;
    iso_graph *graph = graph_to_dump();
    char *text;
    assert_ok(iso_graph_dump_dot(graph, NULL, &text));
    assert_string_equal(text, "digraph isomer {\n"
                              "  node [shape=box];\n"
                              "  n0 [label=\"gather\\nlayer -1\"];\n"
                              "  n1 [label=\"add\\nlayer 5\"];\n"
                              "  n0 -> n1 [label=\"x\"];\n"
                              "  n0 -> n1 [label=\"x\"];\n"
                              "  n2 [label=\"linear\\nlayer 5\"];\n"
                              "  n1 -> n2 [label=\"layers.5.part\"];\n"
                              "}\n");
    iso_free(NULL, text);
    iso_graph_destroy(graph);
}

static void empty_graph(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    char *text;
    assert_ok(iso_graph_finish(graph));
    assert_int_equal(iso_graph_value_count(graph), 1);
    assert_ok(iso_graph_dump_text(graph, NULL, &text));
    assert_string_equal(text, "graph of 0 ops\n");
    iso_free(NULL, text);
    iso_graph_destroy(graph);
    iso_graph_destroy(NULL);
}

// ---- allocations ----

static iso_status build_and_dump(const iso_allocator *allocator)
{
    iso_graph *graph = NULL;
    char *text = NULL, *dot = NULL;
    ISO_TRY(iso_graph_create(allocator, iso_ops(), &graph));
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 8);
    for (int i = 0; i < 20; i++) {
        iso_value y = new_f32(graph, ISO_VALUE_ACTIVATION, "y", 8);
        op_add(graph, x, x, y);
        x = y;
    }
    iso_status status = iso_graph_finish(graph);
    if (status == ISO_OK)
        status = iso_graph_dump_text(graph, allocator, &text);
    if (status == ISO_OK)
        status = iso_graph_dump_dot(graph, allocator, &dot);
    iso_free(allocator, text);
    iso_free(allocator, dot);
    iso_graph_destroy(graph);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_heap heap = {0};
    iso_allocator allocator = {&heap, heap_resize, heap_release};
    long n = 1;
    for (iso_status status = ISO_OUT_OF_MEMORY; status != ISO_OK; n++) {
        heap.fail_at = n;
        status = build_and_dump(&allocator);
        assert_int_equal(heap.living, 0);
        assert_true(status == ISO_OK || status == ISO_OUT_OF_MEMORY);
        assert_true(n < 1000);
    }
    assert_true(n > 6);
}

// ---- published models ----

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void published_graphs_have_unique_names(void **state)
{
    (void)state;
    static const char *const names[] = {"deepseek-v2-lite", "deepseek-v3",         "kimi-k2",
                                        "r1-0528-qwen3-8b", "r1-distill-llama-8b", "r1-distill-qwen-1.5b"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        iso_model *model;
        iso_model_graph *built;
        snprintf(path, sizeof path, ISOMER_SOURCE_DIR "/conformance/golden/configs/%s/config.json", names[i]);
        assert_ok(iso_model_open(path, NULL, &model));
        bool mtp = iso_model_get_config(model)->mtp_layer_count > 0;
        assert_ok(iso_model_graph_create(model, &(iso_build_options){.mtp = mtp}, &built));
        const iso_graph *graph = iso_model_graph_get(built);
        uint32_t count = iso_graph_value_count(graph);
        const char **sorted = calloc(count, sizeof *sorted);
        assert_non_null(sorted);
        for (uint32_t v = 1; v < count; v++)
            sorted[v - 1] = iso_graph_value_info(graph, v)->name;
        qsort(sorted, count - 1, sizeof *sorted, compare_names);
        for (uint32_t v = 1; v + 1 < count; v++)
            if (strcmp(sorted[v], sorted[v - 1]) == 0)
                fail_msg("%s: two values are called %s", names[i], sorted[v]);
        free(sorted);
        iso_model_graph_destroy(built);
        iso_model_close(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_are_replaced),         cmocka_unit_test(large_values_do_not_wrap),
        cmocka_unit_test(views_of_views_add_up),        cmocka_unit_test(views_stay_within_their_base),
        cmocka_unit_test(building_is_refused_in_words), cmocka_unit_test(what_models_do_is_accepted),
        cmocka_unit_test(longest_names_are_kept),       cmocka_unit_test(text_is_one_line_an_op),
        cmocka_unit_test(dot_has_a_box_an_op),          cmocka_unit_test(empty_graph),
        cmocka_unit_test(every_allocation_may_fail),    cmocka_unit_test(published_graphs_have_unique_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
