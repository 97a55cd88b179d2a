// SPDX-License-Identifier: MIT
//
// The memory sweep: a graph of one addition, planned and run like any model, so that every device is measured
// in the same way and no backend needs a path for it.
#include "isomer/ops.h"
#include "isomer/session.h"
#include "kernels/add/op.h"
#include "kernels/op_list.h"
#include "tools/isomer/bench.h"
#include "tools/isomer/clock.h"

// 64 MiB an array.
#define ROWS    4096u
#define COLUMNS 4096u
#define SWEEPS  3u

static iso_status build_graph(iso_graph **out_graph, iso_value *out_y)
{
    const iso_dim dims[] = {ROWS, COLUMNS};
    ISO_TRY(iso_graph_create(NULL, iso_ops(), out_graph));
    iso_value x = iso_graph_add_value(*out_graph, ISO_VALUE_INPUT, "x", ISO_DTYPE_F32, dims, 2);
    iso_value y = *out_y = iso_graph_add_value(*out_graph, ISO_VALUE_ACTIVATION, "y", ISO_DTYPE_F32, dims, 2);
    iso_graph_add_op(*out_graph, iso_op_add, &(iso_add){.a = {0}}, (iso_value[]){x, x, y});
    iso_graph_mark_output(*out_graph, y);
    return iso_graph_finish(*out_graph);
}

static iso_status sweep(iso_session *session, iso_value y, uint64_t *out_best_ns)
{
    float last;
    *out_best_ns = UINT64_MAX;
    // The first run warms up.
    for (uint32_t i = 0; i <= SWEEPS; i++) {
        uint64_t start = cli_now_ns();
        ISO_TRY(iso_session_run(session, 0));
        // Some drivers' waits return early; a read cannot.
        ISO_TRY(iso_session_read(session, 0, y, 0, &last, sizeof last));
        uint64_t ns = cli_now_ns() - start;
        if (i > 0 && ns < *out_best_ns)
            *out_best_ns = ns;
    }
    return ISO_OK;
}

iso_status bench_memory(iso_device *device, double *out_bytes_per_second)
{
    const uint64_t array_bytes = (uint64_t)ROWS * COLUMNS * sizeof(float);
    const iso_step_size size = {1, 1};
    iso_graph *graph = NULL;
    iso_plan *plan = NULL;
    iso_session *session = NULL;
    iso_value y;
    uint64_t best_ns = 0;
    iso_status status = ISO_OK;
    *out_bytes_per_second = 0;
    iso_plan_options options = {.devices = &device, .device_count = 1, .sizes = &size, .size_count = 1};
    for (uint32_t i = 0; i < ISO_DIM_SYMBOL_COUNT; i++)
        options.dims.value[i] = 1;
    ISO_TRY_GOTO(build_graph(&graph, &y), done);
    ISO_TRY_GOTO(iso_plan_create(graph, &options, &plan), done);
    ISO_TRY_GOTO(iso_session_create(plan, &(iso_session_options){0}, &session), done);
    ISO_TRY_GOTO(sweep(session, y, &best_ns), done);
    *out_bytes_per_second = cli_rate(2 * array_bytes, best_ns);
done:
    iso_session_destroy(session);
    iso_plan_destroy(plan);
    iso_graph_destroy(graph);
    return status;
}
