// SPDX-License-Identifier: MIT
//
// Unit test of kernels that have a second launch: that it is recorded where the call has one, behind the
// first, with scratch memory of its own that the plan made room for, and that times are told by node all the
// same.
#include "conformance/unit/plan_fixture.h"
#include "runtime/session/session_internal.h"

enum { TWICE_SCRATCH = 1000 };
static iso_kernel twice_kernels[PICKY_MAX_KERNELS];
static const iso_kernel *twice_originals[PICKY_MAX_KERNELS], *twice_list[PICKY_MAX_KERNELS];
static iso_op_info twice_op;
static const iso_op_info *twice_infos[ISO_OP_COUNT];
static iso_op_table twice_table;
static uint32_t scratch_seen; // second launches that were given scratch memory

static const iso_kernel *twice_original(const iso_kernel *kernel)
{
    return twice_originals[kernel - twice_kernels];
}

static bool twice_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                           char reason[ISO_REASON_BYTES])
{
    return twice_original(kernel)->supports(twice_original(kernel), params, device, reason);
}

static void twice_launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    twice_original(kernel)->launch(twice_original(kernel), params, out);
}

// The first launch once more, where the call has an even number of rows.
static void twice_combine(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    scratch_seen += out->scratch.memory && out->scratch.range_bytes == TWICE_SCRATCH;
    twice_launch(kernel, params, out);
    if (iso_tensor_rows(params) % 2)
        out->groups[0] = 0;
}

static uint64_t twice_scratch_bytes(const iso_kernel *kernel, const void *params)
{
    (void)kernel, (void)params;
    return TWICE_SCRATCH;
}

// The built-in ops, but add's kernels are launched twice. Not for sums in place.
static const iso_op_table *twice_ops(void)
{
    twice_table = *iso_ops();
    memcpy(twice_infos, twice_table.ops, sizeof twice_infos);
    twice_op = *twice_infos[iso_op_add];
    assert_true(twice_op.kernel_count <= PICKY_MAX_KERNELS);
    for (uint32_t k = 0; k < twice_op.kernel_count; k++) {
        twice_originals[k] = twice_op.kernels[k];
        twice_kernels[k] = *twice_op.kernels[k];
        twice_kernels[k].supports = twice_supports;
        twice_kernels[k].launch = twice_launch;
        twice_kernels[k].combine_entry = twice_kernels[k].op;
        twice_kernels[k].combine_group_size = twice_kernels[k].group_size;
        twice_kernels[k].combine_launch = twice_combine;
        twice_kernels[k].scratch_bytes = twice_scratch_bytes;
        twice_list[k] = &twice_kernels[k];
    }
    twice_op.kernels = twice_list;
    twice_infos[iso_op_add] = &twice_op;
    twice_table.ops = twice_infos;
    return &twice_table;
}

static void two_launches_of_a_kernel(void **state)
{
    (void)state;
    static const iso_step_size sizes[] = {{3, 1}, {4, 1}};
    iso_graph *graph = NULL;
    assert_ok(iso_graph_create(NULL, twice_ops(), &graph));
    iso_value x = new_f32(graph, ISO_VALUE_INPUT, "x", 8);
    iso_value two = new_sum(graph, "two", x, x), four = new_sum(graph, "four", two, two);
    iso_graph_mark_output(graph, four);
    iso_plan_options options = plan_on(test_cpu, 1, sizes, 2);
    iso_plan *plan = make_plan(graph, &options);
    iso_session *session = NULL;
    assert_ok(iso_session_create(plan, &(iso_session_options){.poison = true}, &session));
    assert_int_equal(scratch_seen, 2); // both nodes, at the size of 4 rows
    for (uint32_t size = 0; size < 2; size++) {
        float data[32], got[32];
        uint64_t ns[3] = {0, 0, 77};
        uint32_t elems = 8 * sizes[size].tokens;
        for (uint32_t i = 0; i < elems; i++)
            data[i] = (float)i;
        assert_ok(iso_session_write(session, x, 0, data, elems * sizeof(float)));
        assert_ok(iso_session_run(session, size));
        assert_ok(iso_session_read(session, size, four, 0, got, elems * sizeof(float)));
        for (uint32_t i = 0; i < elems; i++)
            assert_true(got[i] == 4 * (float)i);
        assert_ok(iso_session_node_times(session, size, ns));
        assert_true(ns[0] > 0 && ns[1] > 0 && ns[2] == 77);
        // Beside the values, each node's scratch memory has room; it is not alive at the same time.
        assert_true(iso_buffer_bytes(session->arenas[0]) >= 2 * elems * sizeof(float) + TWICE_SCRATCH);
    }
    iso_session_destroy(session);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_launches_of_a_kernel)};
    return cmocka_run_group_tests(tests, open_test_devices, close_test_devices);
}
