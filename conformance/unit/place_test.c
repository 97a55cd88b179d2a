// SPDX-License-Identifier: MIT
//
// Unit tests of where a plan puts things: ops and values on devices, copies, transfers by their rule (the
// latest content, and no more), and activations in the arena, over random graphs.
#include "conformance/unit/plan_fixture.h"
#include "kernels/kv_write/op.h"

static const iso_step_size one_size[] = {{4, 2}};

// ---- place ----

static void layers_go_to_their_devices(void **state)
{
    (void)state;
    static const iso_layer_range ranges[] = {{0, 1, 0}, {2, 2, 1}, {3, 3, 0}};
    iso_graph *graph = layered_graph();
    iso_plan_options options = plan_on(test_cpu, 2, one_size, 1);
    options.ranges = ranges;
    options.range_count = 3;
    iso_plan *plan = make_plan(graph, &options);
    assert_int_equal(plan->segment_count, 3);
    assert_int_equal(plan->segments[0].node_count, 5); // with layer -1
    assert_int_equal(plan->segments[1].first_node, 5);
    assert_int_equal(plan->segments[1].device, 1);
    assert_int_equal(plan->segments[2].node_count, 3); // with layer 4
    assert_transfers(plan, "1.sum>1.sum@1:1 2.sum>2.sum@0:2");
    assert_int_equal(info_of(plan, "2.norm")->device, 1);
    assert_int_equal(info_of(plan, "w@1")->device, 1);
    assert_int_equal(info_of(plan, "w@1")->tag, info_of(plan, "w")->tag);
    assert_int_equal(info_of(plan, "w@1")->origin, find(plan, "w"));
    assert_int_equal(iso_graph_find(iso_plan_graph(plan), "in@1"), ISO_NO_VALUE); // not read there
    iso_plan_memory memory;
    iso_plan_get_memory(plan, 1, &memory);
    assert_int_equal(memory.weight_bytes, 8 * 4);
    assert_int_equal(memory.input_bytes, 0);
    char *text;
    assert_ok(iso_plan_dump(plan, "place", NULL, &text));
    assert_string_equal(text, "segment 0 on cpu: layers -1 to 1, 5 ops\n"
                              "transfer 1.sum from cpu to cpu, 32 bytes a token\n"
                              "segment 1 on cpu: layers 2 to 2, 2 ops\n"
                              "transfer 2.sum from cpu to cpu, 32 bytes a token\n"
                              "segment 2 on cpu: layers 3 to 4, 3 ops\n");
    iso_free(NULL, text);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

static iso_plan *plan_halves(const iso_graph *graph)
{
    static const iso_layer_range halves[] = {{0, 0, 0}, {1, 9, 1}};
    iso_plan_options options = plan_on(test_cpu, 2, one_size, 1);
    options.ranges = halves;
    options.range_count = 2;
    return make_plan(graph, &options);
}

// Read twice on the other device: one transfer. Rewritten at home in between: another one. Rewritten there:
// none, and one back.
static void transfers_follow_the_latest_content(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 8);
    iso_graph_scope(graph, 0, "%s", "");
    iso_value x = new_sum(graph, "x", in, in);
    iso_graph_scope(graph, 1, "%s", "");
    new_sum(graph, "a", x, x);
    iso_value b = new_sum(graph, "b", x, x);
    iso_graph_scope(graph, 0, "%s", "");
    new_sum(graph, "c", x, x);
    op_add(graph, x, in, x);
    iso_graph_scope(graph, 1, "%s", "");
    op_add(graph, x, b, x);
    new_sum(graph, "d", x, b);
    iso_graph_scope(graph, 0, "%s", "");
    new_sum(graph, "e", x, x);
    iso_graph_scope(graph, 1, "%s", "");
    new_sum(graph, "f", x, x);
    assert_ok(iso_graph_finish(graph));
    iso_plan *plan = plan_halves(graph);
    assert_transfers(plan, "x>x@1:1 x>x@1:3 x@1>x:4");
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

static void outputs_come_home(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 8);
    iso_graph_scope(graph, 0, "%s", "");
    iso_value x = new_sum(graph, "x", in, in);
    iso_value y = new_sum(graph, "y", in, in);
    iso_graph_scope(graph, 1, "%s", "");
    op_add(graph, x, in, x);
    op_add(graph, y, in, y);
    iso_graph_mark_output(graph, x);
    assert_ok(iso_graph_finish(graph));
    iso_plan *plan = plan_halves(graph);
    assert_transfers(plan, "x>x@1:1 y>y@1:1 x@1>x:2");
    assert_true(info_of(plan, "x")->output);
    assert_false(info_of(plan, "x@1")->output);
    char *text;
    assert_ok(iso_plan_dump(plan, "place", NULL, &text));
    assert_non_null(strstr(text, "2 ops\ntransfer x@1 from cpu to cpu"));
    iso_free(NULL, text);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// A view crosses as a view of its base's copy; a part that is written there needs the rest of the base first.
static void views_cross_with_their_base(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 8);
    iso_value in_low = new_slice(graph, "in.low", in, 0, 4);
    iso_graph_scope(graph, 0, "%s", "");
    iso_value x = new_sum(graph, "x", in, in), low = new_slice(graph, "x.low", x, 0, 4);
    iso_value joined = new_f32(graph, ISO_VALUE_ACTIVATION, "joined", 8);
    iso_value left = new_slice(graph, "left", joined, 0, 4), right = new_slice(graph, "right", joined, 4, 4);
    op_add(graph, low, low, left);
    iso_graph_scope(graph, 1, "%s", "");
    op_add(graph, low, in_low, right);
    iso_value sum = new_sum(graph, "sum", joined, joined);
    iso_graph_mark_output(graph, new_slice(graph, "sum.low", sum, 0, 4));
    assert_ok(iso_graph_finish(graph));
    iso_plan *plan = plan_halves(graph);
    assert_transfers(plan, "x>x@1:1 joined>joined@1:1");
    assert_int_equal(info_of(plan, "x.low@1")->base, find(plan, "x@1"));
    assert_int_equal(info_of(plan, "right@1")->base, find(plan, "joined@1"));
    assert_int_equal(info_of(plan, "right@1")->view_offset, 4);
    assert_int_equal(info_of(plan, "in.low@1")->base, find(plan, "in@1"));
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

static iso_graph *cached_graph(const iso_op_table *ops)
{
    iso_graph *graph = NULL;
    assert_ok(iso_graph_create(NULL, ops, &graph));
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 8);
    iso_value slots =
        iso_graph_add_value(graph, ISO_VALUE_INPUT, "slots", ISO_DTYPE_I32, TEST_SHAPE(ISO_DIM_TOKENS));
    iso_graph_scope(graph, 0, "%s", "");
    iso_value cache =
        iso_graph_add_value(graph, ISO_VALUE_CACHE, "cache", ISO_DTYPE_F32, TEST_SHAPE(ISO_DIM_PAGES, 64, 8));
    iso_graph_add_op(graph, iso_op_kv_write, &(iso_kv_write){0}, (iso_value[]){in, slots, cache});
    iso_value other = new_sum(graph, "other", in, in);
    // Reads the cache where it cannot be read by another op: as 64 rows of a page.
    iso_view_desc rows = {.dims = {64, 8}, .rank = 2};
    iso_value row = iso_graph_add_view(graph, "cache.rows", cache, &rows);
    iso_value y = iso_graph_add_value(graph, ISO_VALUE_ACTIVATION, "y", ISO_DTYPE_F32, TEST_SHAPE(64, 8));
    iso_graph_scope(graph, 1, "%s", "");
    op_add(graph, row, row, y);
    new_sum(graph, "last", other, other);
    assert_ok(iso_graph_finish(graph));
    return graph;
}

static void a_cache_lives_on_one_device(void **state)
{
    (void)state;
    static const iso_layer_range halves[] = {{0, 0, 0}, {1, 1, 1}};
    iso_graph *graph = cached_graph(iso_ops());
    iso_plan_options options = plan_on(test_cpu, 2, one_size, 1);
    options.ranges = halves;
    options.range_count = 2;
    iso_plan *plan;
    assert_refused(iso_plan_create(graph, &options, &plan), ISO_INVALID_ARGUMENT,
                   "cache is used on cpu and on cpu; a cache lives on one device");
    iso_graph_destroy(graph);

    // The op that writes the cache has a kernel on device 1, the one that reads it has not: both fall back.
    graph = cached_graph(picky_ops(iso_op_add));
    iso_device *devices[] = {test_cpu[1], test_cpu[0]};
    options = plan_on(devices, 2, one_size, 1);
    options.fallback_device = 2;
    plan = make_plan(graph, &options);
    for (uint32_t n = 0; n < iso_graph_node_count(iso_plan_graph(plan)); n++)
        assert_int_equal(iso_graph_node(iso_plan_graph(plan), n)->device, 1);
    assert_int_equal(info_of(plan, "cache")->device, 1);
    assert_int_equal(iso_graph_find(iso_plan_graph(plan), "cache@1"), ISO_NO_VALUE);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

// ---- lay out ----

// Lifetimes by their definition, written again: first to last node that names the value, transfers at the
// segment that they feed, outputs to the end.
static bool alive_at(const iso_plan *plan, iso_value root, uint32_t node)
{
    uint32_t first = UINT32_MAX, last = 0, count = iso_graph_node_count(plan->graph);
    for (uint32_t n = 0; n < count; n++)
        for (uint32_t i = 0; i < plan->graph->nodes[n].operand_count; i++)
            if (plan->graph->values[plan->graph->nodes[n].operands[i]].base == root) {
                first = n < first ? n : first;
                last = n;
            }
    for (size_t t = 0; t < plan->transfer_count; t++)
        if (plan->transfers[t].source == root || plan->transfers[t].target == root) {
            uint32_t segment = plan->transfers[t].segment;
            uint32_t at = segment < plan->segment_count ? plan->segments[segment].first_node : count;
            first = at < first ? at : first;
            last = at > last ? at : last;
        }
    if (first != UINT32_MAX && plan->graph->values[root].output)
        last = count;
    return first <= node && node <= last;
}

static void check_layout(const iso_plan *plan, uint32_t size, uint64_t seed, double *worst)
{
    const iso_sized_plan *sized = &plan->sizes[size];
    uint64_t peak[2] = {0};
    for (uint32_t n = 0; n <= plan->graph->node_count; n++) {
        uint64_t live[2] = {0};
        iso_value alive[RANDOM_MAX_VALUES * 2];
        uint32_t count = 0;
        for (iso_value v = 1; v < plan->graph->value_count; v++) {
            const iso_value_info *value = &plan->graph->values[v];
            if (value->kind != ISO_VALUE_ACTIVATION || value->base != v || !alive_at(plan, v, n))
                continue;
            uint64_t begin = sized->offsets[v], bytes = iso_graph_storage_bytes(plan->graph, v, &sized->dims);
            assert_int_equal(begin % 256, 0);
            assert_true(begin + bytes <= sized->arena_bytes[value->device]);
            live[value->device] += (bytes + 255) / 256 * 256;
            for (uint32_t i = 0; i < count; i++) {
                uint64_t other = sized->offsets[alive[i]];
                uint64_t end = other + iso_graph_storage_bytes(plan->graph, alive[i], &sized->dims);
                if (plan->graph->values[alive[i]].device == value->device && begin < end &&
                    other < begin + bytes)
                    fail_msg("seed %llu: %s and %s share memory at node %u", (unsigned long long)seed,
                             value->name, plan->graph->values[alive[i]].name, n);
            }
            alive[count++] = v;
        }
        for (int d = 0; d < 2; d++)
            peak[d] = live[d] > peak[d] ? live[d] : peak[d];
    }
    for (uint32_t d = 0; d < 2; d++)
        if (peak[d] && (double)sized->arena_bytes[d] / (double)peak[d] > *worst)
            *worst = (double)sized->arena_bytes[d] / (double)peak[d];
}

static void living_values_never_share_memory(void **state)
{
    (void)state;
    static const iso_layer_range ranges[] = {{0, 1, 0}, {2, 3, 1}, {4, 9, 0}};
    static const iso_step_size sizes[] = {{1, 1}, {5, 1}, {32, 32}};
    double worst = 0, sum = 0;
    const uint32_t seeds = 40;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        random_graph r;
        double here = 0;
        make_random_graph(&r, seed, 90, 6);
        iso_plan_options options = plan_on(test_cpu, 2, sizes, 3);
        options.ranges = seed % 2 ? ranges : NULL;
        options.range_count = 3;
        iso_plan *plan = make_plan(r.graph, &options);
        for (uint32_t size = 0; size < 3; size++)
            check_layout(plan, size, seed, &here);
        worst = here > worst ? here : worst;
        sum += here;
        iso_plan_destroy(plan);
        destroy_random_graph(&r);
    }
    print_message("arena over peak of live bytes: worst %.2f, mean %.2f\n", worst, sum / seeds);
    assert_true(worst <= 1.5);
}

// Written, never read, and no output: it needs room while it is written.
static void unread_results_have_room(void **state)
{
    (void)state;
    iso_graph *graph = new_graph();
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 64);
    iso_value out = new_sum(graph, "out", in, in);
    iso_graph_mark_output(graph, out);
    new_sum(graph, "unread", in, in);
    new_f32(graph, ISO_VALUE_ACTIVATION, "unwritten", 64);
    assert_ok(iso_graph_finish(graph));
    iso_plan_options options = plan_on(test_cpu, 1, one_size, 1);
    iso_plan *plan = make_plan(graph, &options);
    iso_plan_memory memory;
    iso_plan_get_memory(plan, 0, &memory);
    assert_int_equal(memory.arena_bytes, 2 * 4 * 64 * 4);
    assert_int_not_equal(plan->sizes[0].offsets[find(plan, "unread")],
                         plan->sizes[0].offsets[find(plan, "out")]);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_go_to_their_devices),  cmocka_unit_test(transfers_follow_the_latest_content),
        cmocka_unit_test(outputs_come_home),           cmocka_unit_test(views_cross_with_their_base),
        cmocka_unit_test(a_cache_lives_on_one_device), cmocka_unit_test(living_values_never_share_memory),
        cmocka_unit_test(unread_results_have_room),
    };
    return cmocka_run_group_tests(tests, open_test_devices, close_test_devices);
}
