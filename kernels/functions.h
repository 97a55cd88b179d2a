// SPDX-License-Identifier: MIT
//
// The functions that every op's folder supplies, declared from ops.def: iso_<op>_check, _reference, _cost and
// _build_case in ref.c, iso_<op>_portable_supports and _portable_launch in launch.c. Meanings: isomer/op.h.
#ifndef ISOMER_KERNELS_FUNCTIONS_H
#define ISOMER_KERNELS_FUNCTIONS_H

#include "kernels/kernel.h"

#define ISO_OP(op, inputs, outputs)                                                                          \
    iso_status iso_##op##_check(const void *params) ISO_MUST_USE;                                            \
    iso_status iso_##op##_reference(const void *params, const iso_numerics *numerics,                        \
                                    const iso_reference_output *outputs_) ISO_MUST_USE;                      \
    void iso_##op##_cost(const void *params, iso_op_cost *out_cost);                                         \
    iso_status iso_##op##_build_case(const uint32_t *numbers, struct iso_case_builder *builder,              \
                                     void *params) ISO_MUST_USE;                                             \
    bool iso_##op##_portable_supports(const iso_kernel *kernel, const void *params,                          \
                                      const iso_device_info *device, char reason[ISO_REASON_BYTES]);         \
    void iso_##op##_portable_launch(const iso_kernel *kernel, const void *params, iso_launch *out_launch);
#include "kernels/ops.def"
#undef ISO_OP

// What the launch plan of a tuned kernel supplies (<op>/<target>_<arch>.c), the last two where it has a
// second launch. `stem` is iso_<op>_<target>_<arch>.
#define ISO_TUNED_PLAN(stem)                                                                                 \
    bool stem##_supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,        \
                         char reason[ISO_REASON_BYTES]);                                                     \
    void stem##_launch(const iso_kernel *kernel, const void *params, iso_launch *out_launch);                \
    void stem##_combine_launch(const iso_kernel *kernel, const void *params, iso_launch *out_launch);        \
    uint64_t stem##_scratch_bytes(const iso_kernel *kernel, const void *params);

#endif
