// SPDX-License-Identifier: MIT
//
// Batch invariance of the ops that have kernels of several paths: on every device and with every kernel, the
// first rows of a result have the same bits whether they are computed alone or with more rows behind them. A
// kernel that takes another path or another order of summation for one row, for a tile that is not full, for
// a second tile, or for a launch that splits the context fails here. In the same way, where NaN of x and of
// weights goes. Also the refusals of the contract checks that name what is wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/support/fleet.h"
#include "isomer/ops.h"
#include "kernels/case.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/head_linear/op.h"
#include "kernels/linear/op.h"
#include "kernels/mla_attention/op.h"
#include "kernels/op_list.h"
#include "kernels/rms_norm/op.h"
#include "kernels/router/op.h"
#include "runtime/plan/plan_internal.h"

#define ALL_ROWS 37

static const uint32_t row_counts[] = {1, 2, 3, 4, 5, 8, 9, 16, 33};

typedef struct subject {
    const iso_op_info *op;
    uint32_t numbers[8];
    iso_dtype dtypes[8][3]; // until ISO_DTYPE_NONE
    void (*shorten)(void *params, uint32_t rows);
} subject;

typedef struct bound_case {
    iso_case_builder builder;
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_buffer *buffers[ISO_MAX_OPERANDS];
    uint64_t bytes[ISO_MAX_OPERANDS];
} bound_case;

static fleet devices;

static int open_devices(void **state)
{
    (void)state;
    return fleet_open(&devices);
}

static int close_devices(void **state)
{
    (void)state;
    fleet_close(&devices);
    return 0;
}

static void shorten_linear(void *params, uint32_t rows)
{
    iso_linear *p = params;
    p->x.dims[0] = p->y.dims[0] = rows;
    if (iso_tensor_present(&p->x_scale))
        p->x_scale.dims[0] = rows;
}

static void shorten_head_linear(void *params, uint32_t rows)
{
    iso_head_linear *p = params;
    p->x.dims[0] = p->y.dims[0] = rows;
}

static void shorten_rms_norm(void *params, uint32_t rows)
{
    iso_rms_norm *p = params;
    p->x.dims[0] = p->y.dims[0] = rows;
}

static void shorten_router(void *params, uint32_t rows)
{
    iso_router *p = params;
    p->logits.dims[0] = p->index.dims[0] = p->weight.dims[0] = rows;
}

static void shorten_mla_attention(void *params, uint32_t rows)
{
    iso_mla_attention *p = params;
    p->q_latent.dims[0] = p->q_rope.dims[0] = p->y.dims[0] = rows;
    p->positions.dims[0] = p->positions.row_stride = rows;
    p->sequence.dims[0] = p->sequence.row_stride = rows;
}

// One expert has all rows, in their order: full tiles, then the rest.
static void shorten_grouped_linear(void *params, uint32_t rows)
{
    iso_grouped_linear *p = params;
    p->x.dims[0] = p->row.dims[0] = p->tiles.dims[0] = p->y.dims[0] = rows;
    if (iso_tensor_present(&p->x_scale))
        p->x_scale.dims[0] = rows;
    int32_t *tiles = p->tiles.host;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t first = i * 8, left = first < rows ? rows - first : 0;
        const int32_t tile[4] = {left ? 0 : -1, (int32_t)first, (int32_t)(left < 8 ? left : 8), 0};
        memcpy(tiles + (size_t)4 * i, tile, sizeof tile);
    }
}

static iso_tensor *operands(bound_case *c)
{
    return (iso_tensor *)c->params;
}

static void bind(const subject *s, const iso_dtype dtypes[3], iso_device *device, bound_case *c)
{
    *c = (bound_case){.builder.seed = 11};
    memcpy(c->builder.dtypes, dtypes, sizeof c->builder.dtypes);
    assert_int_equal(s->op->build_case(s->numbers, &c->builder, c->params), ISO_OK);
    assert_int_equal(s->op->check(c->params), ISO_OK);
    for (uint32_t i = 0; i < s->op->input_count + s->op->output_count; i++) {
        iso_tensor *t = &operands(c)[i];
        if (!iso_tensor_present(t))
            continue;
        c->bytes[i] = iso_tensor_elems(t) * iso_dtype_bytes(t->dtype);
        assert_int_equal(c->bytes[i] % 4, 0);
        assert_int_equal(iso_buffer_create(device, c->bytes[i], &c->buffers[i]), ISO_OK);
        assert_int_equal(iso_buffer_write(c->buffers[i], 0, t->host, c->bytes[i]), ISO_OK);
        t->memory = iso_buffer_memory(c->buffers[i]);
    }
}

static void unbind(bound_case *c)
{
    for (uint32_t i = 0; i < ISO_MAX_OPERANDS; i++)
        iso_buffer_release(c->buffers[i]);
    iso_case_end(&c->builder);
}

// The first `rows` rows of the output.
static uint8_t *run_rows(const subject *s, bound_case *c, iso_device *device, const iso_kernel *kernel,
                         uint32_t rows)
{
    s->shorten(c->params, rows);
    assert_int_equal(s->op->check(c->params), ISO_OK);
    if (s->op == iso_ops()->ops[iso_op_grouped_linear]) {
        const iso_grouped_linear *p = (const iso_grouped_linear *)c->params;
        size_t tiles = offsetof(iso_grouped_linear, tiles) / sizeof(iso_tensor);
        assert_int_equal(
            iso_buffer_write(c->buffers[tiles], 0, p->tiles.host, iso_tensor_elems(&p->tiles) * 4), ISO_OK);
    }
    uint32_t y = s->op->input_count;
    iso_program program;
    iso_list *list = NULL;
    iso_buffer *memory = NULL;
    iso_arg scratch = {.kind = ISO_ARG_BUFFER, .range_bytes = iso_kernel_scratch_bytes(kernel, c->params)};
    if (scratch.range_bytes > 0) {
        assert_int_equal(iso_buffer_create(device, scratch.range_bytes, &memory), ISO_OK);
        scratch.memory = iso_buffer_memory(memory);
    }
    assert_int_equal(iso_program_init(&program, device, kernel, c->params), ISO_OK);
    assert_int_equal(iso_buffer_fill(c->buffers[y], 0, c->bytes[y], 0xffffffffu), ISO_OK);
    assert_int_equal(iso_list_create(device, &list), ISO_OK);
    assert_int_equal(iso_program_record(&program, c->params, &scratch, list), ISO_OK);
    assert_int_equal(iso_list_finish(list), ISO_OK);
    assert_int_equal(iso_list_submit(list), ISO_OK);
    assert_int_equal(iso_device_wait(device), ISO_OK);
    uint8_t *out = malloc(c->bytes[y]);
    assert_non_null(out);
    assert_int_equal(iso_buffer_read(c->buffers[y], 0, out, c->bytes[y]), ISO_OK);
    iso_list_destroy(list);
    iso_program_deinit(&program);
    iso_buffer_release(memory);
    return out;
}

static void compare_rows(const subject *s, bound_case *c, iso_device *device, const iso_kernel *kernel)
{
    uint8_t *all = run_rows(s, c, device, kernel, s->numbers[0]);
    for (size_t i = 0; i < sizeof row_counts / sizeof row_counts[0]; i++) {
        uint8_t *some = run_rows(s, c, device, kernel, row_counts[i]);
        const iso_tensor *y = &operands(c)[s->op->input_count];
        if (memcmp(some, all, iso_tensor_elems(y) * iso_dtype_bytes(y->dtype)) != 0)
            fail_msg("%s on %s: the bits of %u rows depend on the rows behind them", kernel->name,
                     iso_device_name(device), row_counts[i]);
        free(some);
    }
    free(all);
}

enum { X, X_SCALE, WEIGHT, LINES }; // operands of linear and of grouped_linear; LINES: of each that get NaN

static const uint32_t nan_lines[][LINES] = {[X] = {1, 8, 34}, [WEIGHT] = {3, 16, 69}};

// Writes NaN near the end of some rows of an operand, in E4M3 of both signs: other types have all bits set.
static void plant_nan(bound_case *c, uint32_t operand)
{
    const iso_tensor *t = &operands(c)[operand];
    size_t bytes = iso_dtype_bytes(t->dtype), width = iso_tensor_width(t);
    for (int i = 0; i < LINES; i++) {
        uint32_t row = nan_lines[operand][i];
        bool positive = t->dtype == ISO_DTYPE_F8_E4M3 && row % 2;
        memset((uint8_t *)t->host + (row * width + width - 1 - row * 5 % 16) * bytes, positive ? 0x7f : 0xff,
               bytes);
    }
    assert_int_equal(iso_buffer_write(c->buffers[operand], 0, t->host, c->bytes[operand]), ISO_OK);
}

static void check_nan(const iso_tensor *y, const uint8_t *clean, const uint8_t *got, uint32_t operand)
{
    size_t bytes = iso_dtype_bytes(y->dtype);
    for (uint32_t i = 0; i < iso_tensor_elems(y); i++) {
        uint32_t row = i / iso_tensor_width(y), feature = i % iso_tensor_width(y);
        bool nan = false;
        for (int j = 0; j < LINES; j++)
            nan = nan || nan_lines[operand][j] == (operand == X ? row : feature);
        if (nan ? !isnan(iso_load_element(got, y->dtype, i))
                : memcmp(got + i * bytes, clean + i * bytes, bytes))
            fail_msg("row %u, feature %u: %s", row, feature,
                     nan ? "not NaN" : "bits changed by NaN elsewhere");
    }
}

// NaN of a weight comes out in its feature of all rows, NaN of x in all features of its row, and nowhere
// else: with all rows, and without the last one that has it.
static void compare_nan(const subject *s, bound_case *c, iso_device *device, const iso_kernel *kernel)
{
    const uint32_t row_counts[] = {s->numbers[0], nan_lines[X][LINES - 1]};
    uint8_t *clean = run_rows(s, c, device, kernel, s->numbers[0]);
    for (uint32_t operand = X; operand <= WEIGHT; operand += WEIGHT - X) {
        void *host = operands(c)[operand].host, *saved = malloc(c->bytes[operand]);
        assert_non_null(saved);
        memcpy(saved, host, c->bytes[operand]);
        plant_nan(c, operand);
        for (int i = 0; i < 2; i++) {
            uint8_t *got = run_rows(s, c, device, kernel, row_counts[i]);
            check_nan(&operands(c)[s->op->input_count], clean, got, operand);
            free(got);
        }
        memcpy(host, saved, c->bytes[operand]);
        assert_int_equal(iso_buffer_write(c->buffers[operand], 0, saved, c->bytes[operand]), ISO_OK);
        free(saved);
    }
    free(clean);
}

static void run_subject(const subject *s)
{
    for (uint32_t d = 0; d < devices.count; d++) {
        iso_device *device = devices.devices[d];
        for (uint32_t t = 0; s->dtypes[t][0] != ISO_DTYPE_NONE; t++) {
            bound_case c;
            bind(s, s->dtypes[t], device, &c);
            uint32_t ran = 0;
            for (uint32_t k = 0; k < s->op->kernel_count; k++) {
                char reason[ISO_REASON_BYTES];
                if (!iso_plan_kernel_fits(s->op->kernels[k], c.params, iso_device_get_info(device), reason))
                    continue;
                compare_rows(s, &c, device, s->op->kernels[k]);
                if (s->op == iso_ops()->ops[iso_op_linear] || s->op == iso_ops()->ops[iso_op_grouped_linear])
                    compare_nan(s, &c, device, s->op->kernels[k]);
                ran++;
            }
            assert_true(ran > 0);
            unbind(&c);
        }
    }
}

#define F32  ISO_DTYPE_F32
#define F16  ISO_DTYPE_F16
#define BF16 ISO_DTYPE_BF16
#define E4M3 ISO_DTYPE_F8_E4M3

static void linear_rows(void **state)
{
    (void)state;
    run_subject(&(subject){
        .op = iso_ops()->ops[iso_op_linear],
        .numbers = {ALL_ROWS, 70, 548, 0, 1, 0},
        .dtypes =
            {{F32, BF16, F32}, {F32, F32, F32}, {BF16, F16, BF16}, {F32, E4M3, F32}, {E4M3, E4M3, BF16}},
        .shorten = shorten_linear,
    });
    // Rows that copies of 16 bytes can address, several stages of K: kernels tuned for one kind of device
    // take these.
    run_subject(&(subject){
        .op = iso_ops()->ops[iso_op_linear],
        .numbers = {ALL_ROWS, 70, 1168, 0, 1, 0},
        .dtypes = {{BF16, BF16, BF16}, {BF16, BF16, F32}, {BF16, E4M3, F32}, {E4M3, E4M3, F32}},
        .shorten = shorten_linear,
    });
}

static void grouped_linear_rows(void **state)
{
    (void)state;
    run_subject(&(subject){
        .op = iso_ops()->ops[iso_op_grouped_linear],
        .numbers = {ALL_ROWS, 1, 1, 70, 276, 1, 0},
        .dtypes = {{F32, BF16, F32}, {E4M3, E4M3, F32}},
        .shorten = shorten_grouped_linear,
    });
    // Few rows of an expert are tiles of their own, many are put together.
    run_subject(&(subject){
        .op = iso_ops()->ops[iso_op_grouped_linear],
        .numbers = {81, 1, 1, 70, 1168, 1, 0},
        .dtypes = {{BF16, BF16, BF16}, {BF16, E4M3, BF16}, {E4M3, E4M3, F32}},
        .shorten = shorten_grouped_linear,
    });
}

static void head_linear_rows(void **state)
{
    (void)state;
    for (uint32_t transposed = 0; transposed < 2; transposed++)
        run_subject(&(subject){
            .op = iso_ops()->ops[iso_op_head_linear],
            .numbers = {ALL_ROWS, 2, 72, 140, 20, 8, transposed, 0},
            .dtypes = {{BF16, BF16, BF16}, {F32, E4M3, F32}},
            .shorten = shorten_head_linear,
        });
}

// Widths of one warp's, and of a group's: 2050 elements are more than a piece for each thread.
static void rms_norm_rows(void **state)
{
    (void)state;
    const uint32_t widths[] = {70, 2050};
    for (uint32_t i = 0; i < 2; i++)
        run_subject(&(subject){
            .op = iso_ops()->ops[iso_op_rms_norm],
            .numbers = {ALL_ROWS, widths[i], 0, 0},
            .dtypes = {{F32, BF16, F32}, {BF16, F32, BF16}},
            .shorten = shorten_rms_norm,
        });
}

static void router_rows(void **state)
{
    (void)state;
    run_subject(&(subject){
        .op = iso_ops()->ops[iso_op_router],
        .numbers = {ALL_ROWS, 64, 6, 8, 3, 8},
        .dtypes = {{F32, ISO_DTYPE_NONE, ISO_DTYPE_NONE}},
        .shorten = shorten_router,
    });
}

// Two segments of context. Few tokens of 49 heads are a launch that splits it, many are one that does not.
static void mla_attention_rows(void **state)
{
    (void)state;
    run_subject(&(subject){
        .op = iso_ops()->ops[iso_op_mla_attention],
        .numbers = {ALL_ROWS, 49, 16, 8, 2, 300, 0, 0},
        .dtypes = {{BF16, ISO_DTYPE_NONE, BF16}},
        .shorten = shorten_mla_attention,
    });
}

static void linear_check_names_the_fault(void **state)
{
    (void)state;
    const iso_op_info *op = iso_ops()->ops[iso_op_linear];
    const iso_linear good = {
        .x = iso_tensor_describe(F32, ISO_DIMS(3, 8)),
        .weight = iso_tensor_describe(BF16, ISO_DIMS(5, 8)),
        .y = iso_tensor_describe(F32, ISO_DIMS(3, 5)),
    };
    assert_int_equal(op->check(&good), ISO_OK);
    iso_linear bad = good;
    bad.weight = iso_tensor_describe(E4M3, ISO_DIMS(5, 8));
    assert_int_equal(op->check(&bad), ISO_INVALID_ARGUMENT);
    assert_non_null(strstr(iso_status_last()->text, "weight_scale"));
    bad = good;
    bad.weight.dims[1] = 9;
    assert_int_equal(op->check(&bad), ISO_INVALID_ARGUMENT);
    assert_non_null(strstr(iso_status_last()->text, "weight"));
    bad = good;
    bad.x = iso_tensor_describe(E4M3, ISO_DIMS(3, 8));
    assert_int_equal(op->check(&bad), ISO_INVALID_ARGUMENT);
    assert_non_null(strstr(iso_status_last()->text, "weight is bf16"));
    bad = good;
    bad.y.dims[0] = 4;
    assert_int_equal(op->check(&bad), ISO_INVALID_ARGUMENT);
    assert_non_null(strstr(iso_status_last()->text, "y is 4"));
}

static void head_linear_check_limits_the_rows(void **state)
{
    (void)state;
    const iso_op_info *op = iso_ops()->ops[iso_op_head_linear];
    iso_head_linear p = {
        .x = iso_tensor_describe(F32, ISO_DIMS(1, 2, 8)),
        .weight = iso_tensor_describe(F32, ISO_DIMS(24, 6)),
        .y = iso_tensor_describe(F32, ISO_DIMS(1, 2, 6)),
        .head_rows = 12,
        .row_offset = 4,
        .transposed = true,
    };
    assert_int_equal(op->check(&p), ISO_OK);
    p.row_offset = 5;
    assert_int_equal(op->check(&p), ISO_INVALID_ARGUMENT);
    assert_non_null(strstr(iso_status_last()->text, "row_offset 5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_rows),
        cmocka_unit_test(grouped_linear_rows),
        cmocka_unit_test(head_linear_rows),
        cmocka_unit_test(rms_norm_rows),
        cmocka_unit_test(router_rows),
        cmocka_unit_test(mla_attention_rows),
        cmocka_unit_test(linear_check_names_the_fault),
        cmocka_unit_test(head_linear_check_limits_the_rows),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
