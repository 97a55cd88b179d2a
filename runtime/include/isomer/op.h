// SPDX-License-Identifier: MIT
//
// What an op and a kernel are to the runtime: tables of functions over a params struct. The ops themselves
// live in kernels/<op>/; the runtime knows them only through iso_op_info.
//
// A params struct begins with its tensors, inputs before outputs, as consecutive iso_tensor members (so that
// graph and plan can walk them as an array), followed by the op's attributes. It is plain memory: copied
// freely.
#ifndef ISOMER_OP_H
#define ISOMER_OP_H

#include <stdbool.h>

#include "isomer/backend.h"
#include "isomer/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

#define ISO_MAX_DIMS        4
#define ISO_MAX_OPERANDS    12
#define ISO_OP_PARAMS_BYTES 768
#define ISO_REASON_BYTES    192

// Page of the KV cache.
#define ISO_KV_PAGE_TOKENS 64

// FP8 weights carry one scale per block of this many rows and columns, FP8 activations one per row and block.
#define ISO_FP8_BLOCK 128

// A tensor, or a view of a part of each row of one. The innermost dimension is contiguous; all outer
// dimensions together count rows, each `row_stride` elements after the one before.
typedef struct iso_tensor {
    iso_dtype dtype; // ISO_DTYPE_NONE: an optional operand that is absent; all else is 0 then
    uint32_t rank;
    uint32_t dims[ISO_MAX_DIMS]; // outermost first; 1 beyond rank
    uint32_t row_stride;         // elements; dims[rank-1] when the tensor is contiguous
    uint32_t view_offset; // elements from the start of the storage to the first one; 0 unless it is a view
    // Where the storage starts. On the host (references): `host`. On a device: `memory` and `offset_bytes`,
    // bound when the plan is recorded. Element (row, column) is at view_offset + row * row_stride + column.
    void *host;
    const iso_memory *memory;
    uint64_t offset_bytes;
} iso_tensor;

// Product of all dimensions but the last; the last; their product.
static inline uint32_t iso_tensor_width(const iso_tensor *t)
{
    return t->rank == 0 ? 0 : t->dims[t->rank - 1];
}
static inline uint32_t iso_tensor_rows(const iso_tensor *t)
{
    uint32_t rows = t->rank == 0 ? 0 : 1;
    for (uint32_t i = 0; i + 1 < t->rank; i++)
        rows *= t->dims[i];
    return rows;
}
static inline uint64_t iso_tensor_elems(const iso_tensor *t)
{
    return (uint64_t)iso_tensor_rows(t) * iso_tensor_width(t);
}
static inline bool iso_tensor_present(const iso_tensor *t)
{
    return t->dtype != ISO_DTYPE_NONE;
}

// What a launch plan says: how many groups, and the kernel's arguments in the order of its text.
typedef struct iso_launch {
    uint32_t groups[3];
    uint32_t arg_count;
    iso_arg args[ISO_MAX_KERNEL_ARGS];
    iso_arg scratch; // set by the caller: where a kernel of two launches keeps what is between them
} iso_launch;

struct iso_kernel;

// Whether the kernel can do this call on this device. A "no" writes why into reason (never empty).
typedef bool (*iso_supports_fn)(const struct iso_kernel *kernel, const void *params,
                                const iso_device_info *device, char reason[ISO_REASON_BYTES]);
// Only for calls that `supports` accepted.
typedef void (*iso_launch_fn)(const struct iso_kernel *kernel, const void *params, iso_launch *out_launch);

// The device forms of one kernel; a device takes the first of its own list that is here.
typedef struct iso_kernel_code {
    iso_code_format format;
    const void *code;
    size_t code_bytes;
    const iso_native_kernel *native;
    uint32_t needs_version; // of the device's code_versions, at least; 0: any
} iso_kernel_code;

// Matrix instructions that a kernel may sum with, by what they multiply. They round as their maker saw fit,
// which is measured apart from a device's ordinary arithmetic.
typedef enum iso_matrix_kind {
    ISO_MATRIX_NONE, // ordinary float32 sums
    ISO_MATRIX_BF16,
    ISO_MATRIX_E4M3,
    ISO_MATRIX_COUNT,
} iso_matrix_kind;

typedef struct iso_kernel {
    const char *name; // "op.backend.variant", the same string in logs, benches and expectation lists
    const char *op;
    // Whose devices a tuned kernel is for, and from which architecture on, as iso_device_info has them; NULL:
    // any.
    const char *backend;
    const char *arch;
    iso_dtype
        dtypes[3]; // portable kernels: the types of x, weight and y they were compiled for; NONE: not used
    uint32_t group_size;
    // Whose instructions the kernel sums products with, and after how many terms of K at most it adds that
    // sum to a float32 of its own; 0: at the end, or it does not say.
    iso_matrix_kind matrix;
    uint32_t matrix_terms;
    iso_supports_fn supports;
    iso_launch_fn launch;
    // A kernel of two launches: the first leaves partial results in scratch memory, the second, after a
    // barrier, combines them. Its code has this entry point beside the op's; NULL where there is one launch.
    // combine_launch says groups[0] = 0 where a call has nothing to combine: then it is not recorded.
    const char *combine_entry;
    uint32_t combine_group_size;
    iso_launch_fn combine_launch;
    uint64_t (*scratch_bytes)(const struct iso_kernel *kernel, const void *params); // > 0
    iso_kernel_code codes[ISO_MAX_CODE_FORMATS]; // ISO_CODE_NONE after the last
} iso_kernel;

// The kernel's code in the best format that the device takes; NULL where there is none, and why not in
// reason.
const iso_kernel_code *iso_kernel_find_code(const iso_kernel *kernel, const iso_device_info *device,
                                            char reason[ISO_REASON_BYTES]);

// Work of one call, for benches and reports.
typedef struct iso_op_cost {
    uint64_t flops;
    uint64_t read_bytes;
    uint64_t written_bytes;
} iso_op_cost;

// How a device rounds, as measured (conformance/profile) or as IEEE 754 has it: what error bounds are made
// of.
typedef struct iso_numerics {
    double unit;      // largest relative error of one float32 operation: 2^-24 to nearest, 2^-23 cut off
    bool biased;      // roundings are all to one side, so that they add up instead of averaging out
    double flush;     // smaller magnitudes may be taken for 0, of operands and of results
    double exp_unit;  // largest relative error of exp
    double root_unit; // of a square root, and of a division
    double bf16_unit; // of storing as BF16: 2^-8 to nearest
    // What matrix instructions cut off each term, relative to the largest of the terms, the accumulator and
    // their sums; 0: they round no worse than ordinary float32 sums.
    double matrix_units[ISO_MATRIX_COUNT];
    // Of one kernel (iso_kernel_numerics); a device's own are 0.
    double matrix_unit;
    uint32_t matrix_terms;
} iso_numerics;

// A reference result: one double and one error bound for each element of the op's first `output_count`
// outputs, rows packed (stride = width). `bound` is the largest |error| that an honest float32-accumulating
// kernel may make on a device with these numerics, rounding to the output's dtype included; 0 demands
// equality.
typedef struct iso_reference_output {
    double *value;
    double *bound;
} iso_reference_output;

struct iso_case_builder;

typedef struct iso_op_info {
    const char *name;
    uint32_t input_count;
    uint32_t output_count;
    size_t params_bytes;
    const char *bound; // the formula of the reference's error bound, as derived in kernels/<op>/bound.md
    uint32_t bound_version;
    // Checks shapes, dtypes and attributes against the op's contract; names the field and the value.
    iso_status (*check)(const void *params);
    // Double precision, plain, on host tensors; rows are independent of each other.
    iso_status (*reference)(const void *params, const iso_numerics *numerics,
                            const iso_reference_output *outputs);
    void (*cost)(const void *params, iso_op_cost *out_cost);
    // Builds the inputs of test case `numbers` (the values of an ISO_CASE line) into params.
    iso_status (*build_case)(const uint32_t *numbers, struct iso_case_builder *builder, void *params);
    const uint32_t (*cases)[8];
    uint32_t case_count;
    const iso_kernel *const *kernels; // best first
    uint32_t kernel_count;
} iso_op_info;

// An op whose FP8 form takes quantised activations: `input` may become E4M3 with its scales in `input_scale`
// where `weight` is E4M3. The plan's legalise pass uses these when W8A8 is asked for.
typedef struct iso_quantise_rule {
    uint32_t op;
    uint32_t input, input_scale, weight; // operand numbers
} iso_quantise_rule;

// Every op that was built in; the index is the op's number.
typedef struct iso_op_table {
    const iso_op_info *const *ops;
    uint32_t count;
    uint32_t quantise_op; // [..., K] activation -> [..., K] E4M3 and [..., ceil(K/128)] F32
    const iso_quantise_rule *quantise_rules;
    uint32_t quantise_rule_count;
} iso_op_table;

#ifdef __cplusplus
}
#endif
#endif
