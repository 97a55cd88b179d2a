// SPDX-License-Identifier: MIT
//
// What the tests of graph, plan and session share: a heap that fails at a chosen allocation, two CPU devices
// and the null device, short forms for building graphs, and random graphs of additions with their exact
// results.
#ifndef ISOMER_CONFORMANCE_PLAN_FIXTURE_H
#define ISOMER_CONFORMANCE_PLAN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isomer/ops.h"
#include "isomer/session.h"
#include "kernels/add/op.h"
#include "kernels/op_list.h"
#include "kernels/rms_norm/op.h"
#include "runtime/plan/plan_internal.h"

// ---- allocator ----

// Counts what lives; the fail_at-th allocation from now on (1 is the next) fails, 0: none.
typedef struct test_heap {
    int living;
    long fail_at;
} test_heap;

static inline void *heap_resize(void *context, void *memory, size_t bytes)
{
    test_heap *heap = context;
    if (heap->fail_at > 0 && --heap->fail_at == 0)
        return NULL;
    void *resized = realloc(memory, bytes);
    if (!memory && resized) {
        memset(resized, 0xa5, bytes);
        heap->living++;
    }
    return resized;
}

static inline void heap_release(void *context, void *memory)
{
    test_heap *heap = context;
    if (memory)
        heap->living--;
    free(memory);
}

// ---- failures ----

static inline void assert_refused(iso_status status, iso_status want, const char *fragment)
{
    if (status != want || !strstr(iso_status_last()->text, fragment))
        fail_msg("%s (%s), not %s with \"%s\"", iso_status_name(status), iso_status_last()->text,
                 iso_status_name(want), fragment);
}

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        if ((expr) != ISO_OK)                                                                                \
            fail_msg("%s: %s", #expr, iso_status_last()->text);                                              \
    } while (0)

// ---- devices ----

// Two registries, so that the two CPU devices have facts of their own (kernels may tell them apart).
static iso_registry *test_registries[2];
static iso_device *test_cpu[2], *test_null;

static inline int open_test_devices(void **state)
{
    (void)state;
    iso_device_options options = {.thread_count = 2, .validate = true, .profile = true};
    for (int i = 0; i < 2; i++)
        if (iso_registry_create_for(NULL, (const char *const[]){"cpu", "null:0"}, 2, &test_registries[i]) !=
                ISO_OK ||
            iso_device_open(test_registries[i], "cpu", &options, &test_cpu[i]) != ISO_OK)
            return 1;
    return iso_device_open(test_registries[0], "null:0", &options, &test_null) != ISO_OK;
}

static inline int close_test_devices(void **state)
{
    (void)state;
    iso_device_close(test_cpu[0]);
    iso_device_close(test_cpu[1]);
    iso_device_close(test_null);
    iso_registry_destroy(test_registries[0]);
    iso_registry_destroy(test_registries[1]);
    return 0;
}

// ---- an op that one device cannot run ----

#define PICKY_MAX_KERNELS 32

static iso_kernel picky_kernels[PICKY_MAX_KERNELS];
static const iso_kernel *picky_originals[PICKY_MAX_KERNELS], *picky_list[PICKY_MAX_KERNELS];
static iso_op_info picky_op;
static const iso_op_info *picky_infos[ISO_OP_COUNT];
static iso_op_table picky_table;

static inline bool picky_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                                  char reason[ISO_REASON_BYTES])
{
    if (device == iso_device_get_info(test_cpu[1])) {
        snprintf(reason, ISO_REASON_BYTES, "refused by the test");
        return false;
    }
    const iso_kernel *original = picky_originals[kernel - picky_kernels];
    return original->supports(original, params, device, reason);
}

// The built-in ops, but test_cpu[1] has no kernel for `op`.
static inline const iso_op_table *picky_ops(uint32_t op)
{
    picky_table = *iso_ops();
    memcpy(picky_infos, picky_table.ops, sizeof picky_infos);
    picky_op = *picky_infos[op];
    assert_true(picky_op.kernel_count <= PICKY_MAX_KERNELS);
    for (uint32_t k = 0; k < picky_op.kernel_count; k++) {
        picky_originals[k] = picky_op.kernels[k];
        picky_kernels[k] = *picky_op.kernels[k];
        picky_kernels[k].supports = picky_supports;
        picky_list[k] = &picky_kernels[k];
    }
    picky_op.kernels = picky_list;
    picky_infos[op] = &picky_op;
    picky_table.ops = picky_infos;
    return &picky_table;
}

// ---- graphs ----

#define TEST_SHAPE(...)                                                                                      \
    (const iso_dim[]){__VA_ARGS__}, (uint32_t)(sizeof((iso_dim[]){__VA_ARGS__}) / sizeof(iso_dim))

static inline iso_graph *new_graph(void)
{
    iso_graph *graph = NULL;
    assert_ok(iso_graph_create(NULL, iso_ops(), &graph));
    return graph;
}

// F32, so that sums of small integers are exact whatever the plan's activation type is.
static inline iso_value new_f32(iso_graph *graph, iso_value_kind kind, const char *name, iso_dim width)
{
    return iso_graph_add_value(graph, kind, name, ISO_DTYPE_F32, TEST_SHAPE(ISO_DIM_TOKENS, width));
}

static inline void op_add(iso_graph *graph, iso_value a, iso_value b, iso_value y)
{
    iso_graph_add_op(graph, iso_op_add, &(iso_add){0}, (iso_value[]){a, b, y});
}

static inline iso_value new_sum(iso_graph *graph, const char *name, iso_value a, iso_value b)
{
    const iso_value_info *info = iso_graph_value_info(graph, a);
    iso_value y = iso_graph_add_value(graph, ISO_VALUE_ACTIVATION, name, info->dtype, info->dims, info->rank);
    op_add(graph, a, b, y);
    return y;
}

// `width` elements of each row of x from `offset` on.
static inline iso_value new_slice(iso_graph *graph, const char *name, iso_value x, uint32_t offset,
                                  uint32_t width)
{
    const iso_value_info *info = iso_graph_value_info(graph, x);
    iso_view_desc desc = {.dims = {ISO_DIM_TOKENS, (iso_dim)width},
                          .rank = 2,
                          .offset = offset,
                          .row_stride = info->row_stride};
    return iso_graph_add_view(graph, name, x, &desc);
}

static inline iso_plan_options plan_on(iso_device *const *devices, uint32_t count, const iso_step_size *sizes,
                                       uint32_t size_count)
{
    return (iso_plan_options){.devices = devices,
                              .device_count = count,
                              .sizes = sizes,
                              .size_count = size_count,
                              .dims = {{0, 0, 1, 1, 1}}};
}

// Four layers of additions; the state before and after stands outside them, as embedding and head do.
static inline iso_graph *layered_graph(void)
{
    iso_graph *graph = new_graph();
    iso_graph_scope(graph, -1, "%s", "");
    iso_value in = new_f32(graph, ISO_VALUE_INPUT, "in", 8);
    iso_value w = iso_graph_add_value(graph, ISO_VALUE_WEIGHT, "w", ISO_DTYPE_F32, TEST_SHAPE(8));
    iso_value x = new_sum(graph, "first", in, in);
    for (uint32_t layer = 0; layer < 4; layer++) {
        iso_graph_scope(graph, (int32_t)layer, "%u", layer);
        iso_value y = new_f32(graph, ISO_VALUE_ACTIVATION, "norm", 8);
        iso_graph_add_op(graph, iso_op_rms_norm, &(iso_rms_norm){.eps = 1e-6f}, (iso_value[]){x, w, y});
        x = new_sum(graph, "sum", x, y);
    }
    iso_graph_scope(graph, 4, "%s", "");
    x = new_sum(graph, "last", x, in);
    iso_graph_mark_output(graph, x);
    assert_ok(iso_graph_finish(graph));
    return graph;
}

// ---- plans ----

static inline iso_plan *make_plan(const iso_graph *graph, const iso_plan_options *options)
{
    iso_plan *plan = NULL;
    assert_ok(iso_plan_create(graph, options, &plan));
    return plan;
}

static inline iso_value find(const iso_plan *plan, const char *name)
{
    iso_value value = iso_graph_find(iso_plan_graph(plan), name);
    if (value == ISO_NO_VALUE)
        fail_msg("the plan has no value %s", name);
    return value;
}

static inline const iso_value_info *info_of(const iso_plan *plan, const char *name)
{
    return iso_graph_value_info(iso_plan_graph(plan), find(plan, name));
}

// "x>x@1:1 …": source, target and segment of each transfer.
static inline void assert_transfers(const iso_plan *plan, const char *want)
{
    iso_text text = {0};
    for (size_t t = 0; t < plan->transfer_count; t++)
        assert_ok(iso_text_append(
            &text, "%s%s>%s:%u", t ? " " : "", plan->graph->values[plan->transfers[t].source].name,
            plan->graph->values[plan->transfers[t].target].name, plan->transfers[t].segment));
    assert_string_equal(iso_text_get(&text), want);
    iso_text_deinit(&text);
}

// ---- random graphs ----

#define RANDOM_MAX_VALUES 96
#define RANDOM_MAX_TOKENS 5

// A graph of additions over [T, width] values. Next to each value stands what it must be: `host` holds a
// root's rows, computed while the graph grows; additions of integers are exact in every order and on every
// device.
typedef struct random_graph {
    iso_graph *graph;
    uint64_t seed;
    uint32_t tokens;
    iso_value input;
    uint32_t input_width;
    iso_value values[RANDOM_MAX_VALUES]; // roots that were written, and may be read
    uint32_t count;
    float *host[RANDOM_MAX_VALUES]; // [tokens, width] of each
    float *input_data;
    iso_value outputs[RANDOM_MAX_VALUES];
    uint32_t output_index[RANDOM_MAX_VALUES], output_count;
} random_graph;

static inline uint32_t draw(random_graph *r, uint32_t below)
{
    r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->seed >> 33) % below;
}

static inline uint32_t width_of(const random_graph *r, uint32_t i)
{
    return (uint32_t)iso_graph_value_info(r->graph, r->values[i])->dims[1];
}

static inline uint32_t add_random_value(random_graph *r, iso_value value, uint32_t width)
{
    r->values[r->count] = value;
    r->host[r->count] = calloc((size_t)r->tokens * width, sizeof(float));
    assert_non_null(r->host[r->count]);
    return r->count++;
}

// A part of a value, at most `width` wide: the whole where it is that wide, else a view.
typedef struct random_part {
    iso_value value;
    uint32_t index, offset;
} random_part;

static inline random_part draw_part(random_graph *r, uint32_t width, const char *name)
{
    for (;;) {
        random_part part = {.index = draw(r, r->count)};
        uint32_t whole = width_of(r, part.index);
        if (whole < width)
            continue;
        part.offset = whole > width ? draw(r, (whole - width) / 4 + 1) * 4 : 0;
        part.value = whole == width ? r->values[part.index]
                                    : new_slice(r->graph, name, r->values[part.index], part.offset, width);
        return part;
    }
}

static inline void host_add(random_graph *r, random_part a, random_part b, random_part y, uint32_t width)
{
    for (uint32_t t = 0; t < r->tokens; t++)
        for (uint32_t i = 0; i < width; i++)
            r->host[y.index][t * width_of(r, y.index) + y.offset + i] =
                r->host[a.index][t * width_of(r, a.index) + a.offset + i] +
                r->host[b.index][t * width_of(r, b.index) + b.offset + i];
}

// One more op: a new value, a new value written half by half, or an addition in place.
static inline void add_random_op(random_graph *r, uint32_t number)
{
    static const uint32_t widths[] = {4, 8, 12, 32, 64};
    char name[16];
    snprintf(name, sizeof name, "v%u", number);
    uint32_t width = widths[draw(r, 5)], form = draw(r, 5);
    random_part a = draw_part(r, width, "a");
    if (form == 0 && a.index > 0) { // in place, not into the input
        random_part b = draw_part(r, width, "b");
        if (b.index != a.index) {
            op_add(r->graph, a.value, b.value, a.value);
            host_add(r, a, b, a, width);
        }
        return;
    }
    if (form == 1 && r->count + 1 < RANDOM_MAX_VALUES) {
        iso_value y = new_f32(r->graph, ISO_VALUE_ACTIVATION, name, (iso_dim)(2 * width));
        random_part low = {.offset = 0}, high = {.offset = width};
        random_part b = draw_part(r, width, "b"), c = draw_part(r, width, "c");
        low.value = new_slice(r->graph, "low", y, 0, width);
        high.value = new_slice(r->graph, "high", y, width, width);
        op_add(r->graph, a.value, b.value, low.value);
        op_add(r->graph, b.value, c.value, high.value);
        low.index = high.index = add_random_value(r, y, 2 * width);
        host_add(r, a, b, low, width);
        host_add(r, b, c, high, width);
        return;
    }
    random_part b = draw_part(r, width, "b"), y = {0};
    y.value = new_f32(r->graph, ISO_VALUE_ACTIVATION, name, (iso_dim)width);
    op_add(r->graph, a.value, b.value, y.value);
    y.index = add_random_value(r, y.value, width);
    host_add(r, a, b, y, width);
}

// `layers`: consecutive ops get layers 0 … layers - 1.
static inline void make_random_graph(random_graph *r, uint64_t seed, uint32_t ops, uint32_t layers)
{
    *r = (random_graph){.graph = new_graph(), .seed = seed * 2654435761u + 1, .input_width = 64};
    r->tokens = 1 + draw(r, RANDOM_MAX_TOKENS);
    r->input = new_f32(r->graph, ISO_VALUE_INPUT, "input", (iso_dim)r->input_width);
    add_random_value(r, r->input, r->input_width);
    for (uint32_t i = 0; i < r->tokens * r->input_width; i++)
        r->host[0][i] = (float)((int)draw(r, 9) - 4);
    r->input_data = r->host[0];
    for (uint32_t n = 0; n < ops && r->count < RANDOM_MAX_VALUES; n++) {
        iso_graph_scope(r->graph, (int32_t)(n * layers / ops), "%s", "");
        add_random_op(r, n);
    }
    // The end of the graph and some of what lies before; not all, or no memory could be used twice.
    for (uint32_t i = 1; i < r->count; i++)
        if (i + 1 == r->count || draw(r, 6) == 0) {
            iso_graph_mark_output(r->graph, r->values[i]);
            r->output_index[r->output_count] = i;
            r->outputs[r->output_count++] = r->values[i];
        }
    assert_ok(iso_graph_finish(r->graph));
}

static inline void destroy_random_graph(random_graph *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        free(r->host[i]);
    iso_graph_destroy(r->graph);
}

#endif
