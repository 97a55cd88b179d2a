// SPDX-License-Identifier: MIT
//
// Which cases there are: the op's ISO_CASE lines, in every triple of types that a portable kernel is compiled
// for, under every stress that the op's contract allows. Builds one of them with its reference, and says what
// it costs. The same seed gives the same bytes on every machine. Knows no device.
#ifndef ISOMER_CONFORMANCE_CASES_H
#define ISOMER_CONFORMANCE_CASES_H

#include "conformance/suite/suite.h"
#include "kernels/case.h"

// ---- types ----

#define CONFORM_MAX_TRIPLES 24
// Kernels of an op that a unit has room for.
#define CONFORM_MAX_KERNELS 32

// A triple of types, named as its portable kernel is: "f32_bf16_f32".
typedef struct conform_triple {
    const iso_dtype *dtypes; // [3]
    const char *name;
} conform_triple;

typedef struct conform_op_case {
    const iso_op_info *op;
    conform_triple triple;
    uint32_t number; // of the op's cases
    iso_stress stress;
    const uint32_t *numbers; // [8] instead of the case's own, for its neighbours; NULL: its own
} conform_op_case;

// A case with its inputs and, after conform_case_refer, its expected outputs.
typedef struct conform_built {
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
    iso_case_builder builder;
    iso_reference_output expected[ISO_MAX_OPERANDS];
} conform_built;

// ---- calls ----

// The triples of an op; returns how many.
uint32_t conform_triples(const iso_op_info *op, conform_triple out[CONFORM_MAX_TRIPLES]);
// ISO_INTERNAL: the op has more than CONFORM_MAX_KERNELS.
iso_status conform_kernels_fit(const iso_op_info *op) ISO_MUST_USE;
// Why the op is not tried under this stress in these types, or NULL: it is.
const char *conform_stress_excluded(const iso_op_info *op, iso_stress stress, const conform_triple *triple);
// Finds what "linear/f32_bf16_f32/7/cancel" means; ISO_NOT_FOUND names the part that is not there.
iso_status conform_parse_case(const char *id, conform_op_case *out_case) ISO_MUST_USE;

// Inputs only; with `blank` shapes only. The contract's check is part of it.
iso_status conform_built_init(conform_built *built, const conform_op_case *wanted, uint64_t seed,
                              bool blank) ISO_MUST_USE;
// Adds the reference under these numerics.
iso_status conform_built_refer(conform_built *built, const conform_op_case *wanted,
                               const iso_numerics *numerics) ISO_MUST_USE;
void conform_built_deinit(conform_built *built);

// What one kernel is held to: what every kernel is (`built`), or where it sums with matrix instructions that
// cut off, an expectation of its own.
typedef struct conform_kernel_expected {
    const iso_reference_output *outputs; // lent
    iso_reference_output own[ISO_MAX_OPERANDS];
} conform_kernel_expected;
iso_status conform_kernel_expected_init(const conform_built *built, const conform_op_case *wanted,
                                        const iso_kernel *kernel, const iso_numerics *device,
                                        conform_kernel_expected *out) ISO_MUST_USE;
void conform_kernel_expected_deinit(conform_kernel_expected *expectation);

// Room for the values and bounds of a call; freed by conform_expected_deinit.
iso_status conform_expected_init(const iso_op_info *op, const void *params,
                                 iso_reference_output out[ISO_MAX_OPERANDS]) ISO_MUST_USE;
void conform_expected_deinit(iso_reference_output expected[ISO_MAX_OPERANDS]);

// Terms that the reference adds up, and bytes of all tensors: what a case costs on any device.
uint64_t conform_case_work(const iso_op_info *op, const void *params);

#endif
