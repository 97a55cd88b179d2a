// SPDX-License-Identifier: MIT
//
// Runs kernels tuned for CUDA once on the simulated chip, at shapes of DeepSeek-V3, and sets what they
// executed beside a model of an H100: the roofline's time, and the part of it that the counts leave. A model
// throughout: nothing is measured on a chip.
//   cuda_roofline SIMULATOR [OP]     tables in Markdown, for conformance/cuda/roofline, which says how the
//   model is made
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/ops/cases.h"
#include "conformance/ops/guarded.h"
#include "conformance/ops/trial.h"
#include "isomer/device.h"
#include "runtime/plan/plan_internal.h"

// NVIDIA H100 Tensor Core GPU data sheet, SXM: dense, half of what it gives with sparsity; and the memory.
// H800 SXM has the same four (it differs in NVLink and double precision). The clock is that of the first: 132
// * 4096 * 1.83e9.
#define FLOPS_16BIT  989.4e12
#define FLOPS_8BIT   1978.9e12
#define FLOPS_SINGLE 66.9e12
#define MEMORY_BYTES 3.35e12
#define CLOCK        1.83e9
#define SMS          132
#define ISSUE_SLOTS  4    // warp instructions of a multiprocessor and clock
#define SHARED_BYTES 128  // of a multiprocessor and clock
#define TENSOR_CLOCK 4096 // operations of a multiprocessor and clock, in 16 bits
// What mma.sync reaches of that on Hopper, where only wgmma reaches all of it: Luo et al. 2024, arXiv
// 2402.13499.
#define MMA_SYNC_PART 0.62
// On sm_90 an 8-bit m16n8k32 is made of two m16n8k16 in FP16 and a conversion for each two elements of a
// register (github.com/NVIDIA/cutlass/issues/1986): 12 conversions and one more product.
#define MMA_8BIT_FLOPS (2.0 * 16 * 8 * 32)
#define MMA_8BIT_MORE  13

typedef struct shape {
    const char *op, *kernel, *what;
    uint32_t numbers[8];
    // The number of features is of one part in so many; the others are more tiles of the same kind.
    uint32_t times;
} shape;

static const shape shapes[] = {
#define SHAPE(op, kernel, what, times, ...) {#op, #op "." kernel, what, {__VA_ARGS__}, times},
#include "conformance/cuda/roofline.def"
#undef SHAPE
};

// One line of the simulator's counts.
enum { CLASSES = 13, MOVES = 11, SUMS = 8 };
enum {
    TENSOR_FLOPS,
    TENSOR_FLOPS_8BIT,
    READ_BYTES,
    WRITTEN_BYTES,
    READ_SECTORS,
    WRITTEN_SECTORS,
    SHARED,
    SHARED_CYCLES
};

typedef struct launch {
    char kernel[64];
    uint32_t grid[3], threads, launches;
    double classes[CLASSES], sums[SUMS];
} launch;

enum { MAX_LAUNCHES = 4 };

// Of the whole shape.
static iso_status find_cost(const shape *shape, const iso_op_info *op, const iso_kernel *kernel,
                            iso_op_cost *out_cost)
{
    uint32_t numbers[8];
    conform_built built;
    memcpy(numbers, shape->numbers, sizeof numbers);
    numbers[strcmp(shape->op, "grouped_linear") == 0 ? 3 : 1] *= shape->times; // features
    const conform_op_case wanted = {
        .op = op, .triple = {kernel->dtypes, kernel->name}, .stress = ISO_STRESS_NORMAL, .numbers = numbers};
    ISO_TRY(conform_built_init(&built, &wanted, 1, true));
    op->cost(built.params, out_cost);
    conform_built_deinit(&built);
    return ISO_OK;
}

static iso_status run_once(iso_device *device, const shape *shape, const iso_op_info *op,
                           const iso_kernel *kernel)
{
    const conform_op_case wanted = {.op = op,
                                    .triple = {kernel->dtypes, kernel->name},
                                    .stress = ISO_STRESS_NORMAL,
                                    .numbers = shape->numbers};
    conform_built built;
    guarded buffers = {0};
    iso_program program = {0};
    iso_buffer *scratch = NULL;
    iso_list *list = NULL;
    char reason[ISO_REASON_BYTES] = "";
    iso_arg argument = {.kind = ISO_ARG_BUFFER};
    ISO_TRY(conform_built_init(&built, &wanted, 1, false));
    iso_status status = ISO_OK;
    if (!iso_plan_kernel_fits(kernel, built.params, iso_device_get_info(device), reason))
        status = iso_fail(ISO_UNSUPPORTED, "%s refuses '%s': %s", kernel->name, shape->what, reason);
    if (status == ISO_OK)
        status = guarded_init(&buffers, op, built.params, device);
    if (status == ISO_OK)
        status = guarded_upload(&buffers, GUARD_WILD, false);
    if (status == ISO_OK)
        status = iso_program_init(&program, device, kernel, buffers.params);
    if (status == ISO_OK)
        argument.range_bytes = iso_kernel_scratch_bytes(kernel, buffers.params);
    if (argument.range_bytes > 0) {
        status = iso_buffer_create(device, (argument.range_bytes + 3) / 4 * 4, &scratch);
        argument.memory = status == ISO_OK ? iso_buffer_memory(scratch) : NULL;
    }
    if (status == ISO_OK)
        status = conform_list_create(device, &program, buffers.params, &argument, &list);
    if (status == ISO_OK)
        status = iso_list_submit(list);
    if (status == ISO_OK)
        status = iso_device_wait(device);
    iso_list_destroy(list);
    iso_program_deinit(&program);
    iso_buffer_release(scratch);
    guarded_deinit(&buffers);
    conform_built_deinit(&built);
    return status;
}

// ---- counts ----

static bool read_line(char *line, launch *out)
{
    char *at = NULL;
    uint32_t column = 0;
    *out = (launch){.threads = 0};
    for (char *field = strtok_r(line, "\t\n", &at); field; field = strtok_r(NULL, "\t\n", &at), column++) {
        if (column == 2)
            snprintf(out->kernel, sizeof out->kernel, "%s", field);
        else if (column == 3 && sscanf(field, "%" SCNu32 ",%" SCNu32 ",%" SCNu32, &out->grid[0],
                                       &out->grid[1], &out->grid[2]) != 3)
            return false;
        else if (column == 4)
            out->threads = (uint32_t)strtoul(field, NULL, 10);
        else if (column == 5)
            out->launches = (uint32_t)strtoul(field, NULL, 10);
        else if (column >= 6 && column < 6 + CLASSES)
            out->classes[column - 6] = strtod(field, NULL);
        else if (column >= 6 + CLASSES && column < 6 + CLASSES + SUMS)
            out->sums[column - 6 - CLASSES] = strtod(field, NULL);
    }
    return column == 6 + CLASSES + SUMS;
}

// The launches of kernels of the op; others (a backend may fill memory by one) are left out.
static uint32_t read_counts(const char *path, const char *op, launch out[MAX_LAUNCHES])
{
    static char line[4096];
    uint32_t count = 0;
    FILE *file = fopen(path, "r");
    while (file && count < MAX_LAUNCHES && fgets(line, sizeof line, file))
        if (strncmp(line, "module\t", 7) != 0 && read_line(line, &out[count]) &&
            strncmp(out[count].kernel, op, strlen(op)) == 0)
            count++;
    if (file)
        fclose(file);
    return count;
}

// ---- the model ----

typedef struct model {
    double roofline, issue, tensor, shared, memory; // seconds
} model;

static double blocks_of(const launch *l)
{
    return (double)l->grid[0] * l->grid[1] * l->grid[2];
}

static double sum_classes(const launch *l)
{
    double sum = MMA_8BIT_MORE * l->sums[TENSOR_FLOPS_8BIT] / MMA_8BIT_FLOPS;
    for (int c = 0; c < CLASSES; c++)
        sum += c == MOVES ? 0 : l->classes[c];
    return sum;
}

// Every block is the average one; the multiprocessor with the most of them is the last to end. A warp issues
// one instruction a clock at most, so that few warps leave slots empty.
static void add_launch(const shape *shape, const launch *l, model *m)
{
    double blocks = blocks_of(l) * shape->times, busiest = ceil(blocks / SMS),
           each = busiest / blocks_of(l) / CLOCK;
    double warps = busiest * ceil(l->threads / 32.0), slots = warps < ISSUE_SLOTS ? warps : ISSUE_SLOTS;
    m->issue += sum_classes(l) * each / slots;
    m->tensor += l->sums[TENSOR_FLOPS] * each / (TENSOR_CLOCK * MMA_SYNC_PART);
    m->shared += l->sums[SHARED_CYCLES] * each;
}

static double largest(const model *m)
{
    return fmax(fmax(m->issue, m->tensor), fmax(m->shared, m->memory));
}

static const char *limit(const model *m)
{
    double most = largest(m);
    return most == m->memory ? "memory" : most == m->issue ? "issue" : most == m->tensor ? "mma" : "shared";
}

// ---- what is printed ----

static const char *const heads[CLASSES] = {"global ld", "st",   "shared ld", "st",      "atomic",
                                           "cp.async",  "mma",  "special",   "barrier", "float",
                                           "convert",   "move", "other"};

static void print_counts(const shape *shape, const launch *launches, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const launch *l = &launches[i];
        double blocks = blocks_of(l);
        printf("| %s%s, %s | %.0f x %" PRIu32 " |", shape->kernel + strlen(shape->op) + 1,
               i ? ", second launch" : "", shape->what, blocks * shape->times, l->threads);
        for (int c = 0; c < CLASSES; c++)
            printf(" %.0f |", l->classes[c] / blocks);
        printf(" %.1f | %.1f |\n", (l->sums[READ_BYTES] + l->sums[WRITTEN_BYTES]) / blocks / 1024,
               l->sums[SHARED] / blocks / 1024);
    }
}

static void print_model(const shape *shape, const iso_op_cost *cost, const launch *launches, uint32_t count,
                        bool fp8)
{
    double flops = (double)cost->flops, moved = 0, requested = 0;
    double bytes = (double)(cost->read_bytes + cost->written_bytes);
    bool tensor = false;
    model m = {.memory = bytes / MEMORY_BYTES};
    for (uint32_t i = 0; i < count; i++) {
        add_launch(shape, &launches[i], &m);
        tensor = tensor || launches[i].sums[TENSOR_FLOPS] > 0;
        moved += 32 * (launches[i].sums[READ_SECTORS] + launches[i].sums[WRITTEN_SECTORS]) * shape->times;
        requested += launches[i].sums[TENSOR_FLOPS] * shape->times;
    }
    double peak = !tensor ? FLOPS_SINGLE : fp8 ? FLOPS_8BIT : FLOPS_16BIT;
    m.roofline = fmax(flops / peak, m.memory);
    const double figures[] = {flops * 1e-9,   requested * 1e-9, bytes * 0x1p-20, moved * 0x1p-20,
                              flops / bytes,  m.roofline * 1e6, m.issue * 1e6,   m.tensor * 1e6,
                              m.shared * 1e6, m.memory * 1e6};
    printf("| %s, %s |", shape->kernel + strlen(shape->op) + 1, shape->what);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        printf(" %.3g |", figures[i]);
    printf(" %s | %.1f %% |\n", limit(&m), 100 * m.roofline / largest(&m));
}

static void print_heads(bool model)
{
    if (model) {
        printf("\n| kernel, shape | Gflop | by mma | MiB | touched, MiB | flop/byte | roofline, µs | issue, "
               "µs | mma, µs | "
               "shared, µs | memory, µs | limit | part of the roofline |\n"
               "| --- |%s --- | ---: |\n",
               " ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        return;
    }
    printf("| kernel, shape | tiles x threads |");
    for (int c = 0; c < CLASSES; c++)
        printf(" %s |", heads[c]);
    printf(" global KiB | shared KiB |\n| --- | ---: |");
    for (int c = 0; c < CLASSES + 2; c++)
        printf(" ---: |");
    printf("\n");
}

static const iso_kernel *find_kernel(const char *op_name, const char *name, const iso_op_info **out_op)
{
    for (uint32_t o = 0; o < iso_ops()->count; o++) {
        const iso_op_info *op = iso_ops()->ops[o];
        for (uint32_t k = 0; strcmp(op->name, op_name) == 0 && k < op->kernel_count; k++)
            if (strcmp(op->kernels[k]->name, name) == 0) {
                *out_op = op;
                return op->kernels[k];
            }
    }
    return NULL;
}

typedef struct outcome {
    launch launches[MAX_LAUNCHES];
    uint32_t count;
    iso_op_cost cost;
    bool fp8;
} outcome;

// Counts are written when the device's context ends, so each shape has a device of its own.
static iso_status measure(const shape *shape, const char *counts_path, outcome *out)
{
    const iso_op_info *op = NULL;
    const iso_kernel *kernel = find_kernel(shape->op, shape->kernel, &op);
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    if (!kernel)
        return iso_fail(ISO_NOT_FOUND, "no kernel %s; the table is conformance/cuda/roofline.def",
                        shape->kernel);
    unlink(counts_path);
    iso_status status = iso_registry_create(NULL, &registry);
    if (status == ISO_OK)
        status = iso_device_open(registry, "cuda:0", NULL, &device);
    if (status == ISO_OK)
        status = run_once(device, shape, op, kernel);
    iso_device_close(device);
    iso_registry_destroy(registry);
    if (status == ISO_OK)
        status = find_cost(shape, op, kernel, &out->cost);
    out->fp8 = kernel->dtypes[0] == ISO_DTYPE_F8_E4M3;
    out->count = read_counts(counts_path, shape->op, out->launches);
    if (status == ISO_OK && out->count == 0)
        status =
            iso_fail(ISO_INTERNAL, "%s: the simulator wrote no counts to %s", shape->kernel, counts_path);
    return status;
}

int main(int argc, char **argv)
{
    enum { SHAPES = sizeof shapes / sizeof shapes[0] };
    static outcome outcomes[SHAPES];
    char counts_path[] = "/tmp/cuda-roofline-XXXXXX";
    int shown = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: cuda_roofline SIMULATOR [OP]\n");
        return 2;
    }
    int counts = mkstemp(counts_path);
    if (counts < 0 || close(counts) != 0) {
        fprintf(stderr, "cuda_roofline: cannot write to /tmp\n");
        return 1;
    }
    setenv("ISOMER_CUDA_DRIVER", argv[1], 1);
    setenv("ISOMER_CUDA_NVRTC", "off", 1);
    setenv("ISOMER_CUDASIM_ARCH", "sm_90", 1);
    setenv("ISOMER_CUDASIM_COUNTS", counts_path, 1);
    for (int i = 0; i < SHAPES; i++) {
        if (argc > 2 && strcmp(argv[2], shapes[i].op) != 0)
            continue;
        if (measure(&shapes[i], counts_path, &outcomes[i]) != ISO_OK) {
            fprintf(stderr, "cuda_roofline: %s\n", iso_status_last()->text);
            unlink(counts_path);
            return 1;
        }
        shown++;
    }
    unlink(counts_path);
    if (!shown) {
        fprintf(stderr, "cuda_roofline: no shapes of %s in conformance/cuda/roofline.def\n", argv[2]);
        return 2;
    }
    print_heads(false);
    for (int i = 0; i < SHAPES; i++)
        print_counts(&shapes[i], outcomes[i].launches, outcomes[i].count);
    print_heads(true);
    for (int i = 0; i < SHAPES; i++)
        if (outcomes[i].count)
            print_model(&shapes[i], &outcomes[i].cost, outcomes[i].launches, outcomes[i].count,
                        outcomes[i].fp8);
    return 0;
}
