// SPDX-License-Identifier: MIT
//
// Which function executes an instruction: the arithmetic is compiled once for each kind of host, as
// PTX_VARIANTS says.
#include "exec.h"

#include <stdlib.h>

#define DECLARE(variant)                                                                                     \
    ptx_run *ptx_select_alu_##variant(const ptx_insn *insn);                                                 \
    ptx_run *ptx_select_float_##variant(const ptx_insn *insn);                                               \
    ptx_run *ptx_select_approximate_##variant(const ptx_insn *insn);                                         \
    ptx_run *ptx_select_convert_##variant(const ptx_insn *insn);                                             \
    ptx_run *ptx_select_compare_##variant(const ptx_insn *insn);                                             \
    ptx_run *ptx_select_memory_##variant(const ptx_insn *insn);                                              \
    ptx_run *ptx_select_matrix_##variant(const ptx_insn *insn);                                              \
    static ptx_run *from_##variant(const ptx_insn *insn)                                                     \
    {                                                                                                        \
        ptx_run *run = ptx_select_alu_##variant(insn);                                                       \
        run = run ? run : ptx_select_float_##variant(insn);                                                  \
        run = run ? run : ptx_select_approximate_##variant(insn);                                            \
        run = run ? run : ptx_select_convert_##variant(insn);                                                \
        run = run ? run : ptx_select_compare_##variant(insn);                                                \
        run = run ? run : ptx_select_memory_##variant(insn);                                                 \
        return run ? run : ptx_select_matrix_##variant(insn);                                                \
    }

DECLARE(plain)
#ifdef __x86_64__
DECLARE(avx2)
DECLARE(avx512)
#endif

#ifdef __x86_64__
// PTX_HOST=plain, avx2 or avx512 takes no other kind than this: for tests of all of them on one machine.
static bool allows(const char *kind)
{
    const char *only = getenv("PTX_HOST");
    return !only || strcmp(only, kind) == 0;
}
#endif

static void run_control(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    // bra, brx, exit and trap are executed by the warp itself (exec_warp.c)
    (void)warp, (void)insn, (void)mask;
}

ptx_run *ptx_select(const ptx_insn *insn)
{
    ptx_run *run = ptx_select_sync(insn);
    run = run ? run : ptx_select_barrier(insn);
    if (run)
        return run;
    switch (insn->op) {
    case PTX_OP_BRA:
    case PTX_OP_BRX:
    case PTX_OP_EXIT:
    case PTX_OP_TRAP:
        return run_control;
    case PTX_OP_CLOCK:
        return ptx_read_clock;
    default:
        break;
    }
#ifdef __x86_64__
    if (allows("avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return from_avx512(insn);
    if (allows("avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return from_avx2(insn);
#endif
    return from_plain(insn);
}
