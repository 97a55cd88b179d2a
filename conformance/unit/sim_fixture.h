// SPDX-License-Identifier: MIT
//
// One shipped kernel on one simulated chip, without a device in between: what the tests of the interpreter
// share. Arguments are given in the order of the kernel's text.
#ifndef ISOMER_CONFORMANCE_UNIT_SIM_FIXTURE_H
#define ISOMER_CONFORMANCE_UNIT_SIM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/sim/shell.h"
#include "isomer/ops.h"

#define UNWRITTEN 0x7fdeadbeu // what outputs hold before

typedef struct bench {
    const iso_kernel *kernel;
    sim_chip chip;
    sim_device device;
    sim_program *program;
    sim_work work;
    iso_memory memories[ISO_MAX_KERNEL_ARGS];
} bench;

static inline const iso_kernel *find_kernel(const char *name)
{
    for (uint32_t o = 0; o < iso_ops()->count; o++)
        for (uint32_t k = 0; k < iso_ops()->ops[o]->kernel_count; k++)
            if (strcmp(iso_ops()->ops[o]->kernels[k]->name, name) == 0)
                return iso_ops()->ops[o]->kernels[k];
    fail_msg("no kernel %s", name);
    return NULL;
}

static inline const iso_kernel_code *spirv_of(const iso_kernel *kernel)
{
    for (const iso_kernel_code *code = kernel->codes; code->format != ISO_CODE_NONE; code++)
        if (code->format == ISO_CODE_SPIRV)
            return code;
    return NULL;
}

// `chip_text`: lines of a chip file behind its name.
static inline void bench_begin(bench *b, const char *kernel, const char *chip_text)
{
    char text[1024];
    memset(b, 0, sizeof *b);
    b->kernel = find_kernel(kernel);
    snprintf(text, sizeof text, "name Bench\n%s", chip_text);
    if (iso_sim_chip_parse(text, "bench", &b->chip) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    b->device.chip = &b->chip;
    assert_int_equal(iso_sim_state_create(&b->device), ISO_OK);
    b->work.label = b->kernel->name;
    b->work.groups[0] = b->work.groups[1] = b->work.groups[2] = 1;
}

static inline void bench_end(bench *b)
{
    iso_sim_program_destroy(b->program);
    for (uint32_t i = 0; i < b->work.arg_count; i++)
        if (b->work.args[i].kind == ISO_ARG_BUFFER)
            iso_sim_memory_free(&b->device, &b->memories[i]);
    iso_sim_state_destroy(&b->device);
}

static inline void give_u32(bench *b, uint32_t value)
{
    b->work.args[b->work.arg_count++] = (iso_arg){.kind = ISO_ARG_U32, .value.u32 = value};
}

static inline void give_f32(bench *b, float value)
{
    b->work.args[b->work.arg_count++] = (iso_arg){.kind = ISO_ARG_F32, .value.f32 = value};
}

// A buffer of `count` words, of which the kernel may touch `range`; NULL: unwritten ones.
static inline uint32_t *give_range(bench *b, const void *words, uint32_t count, uint32_t range)
{
    const uint32_t i = b->work.arg_count++;
    iso_memory *memory = &b->memories[i];
    memory->bytes = (uint64_t)count * 4;
    assert_int_equal(iso_sim_memory_alloc(&b->device, memory->bytes, memory), ISO_OK);
    uint32_t *data = (uint32_t *)(void *)iso_sim_memory_data(memory);
    for (uint32_t k = 0; k < count; k++)
        data[k] = UNWRITTEN;
    if (words)
        memcpy(data, words, memory->bytes);
    b->work.args[i] = (iso_arg){.kind = ISO_ARG_BUFFER, .memory = memory, .range_bytes = (uint64_t)range * 4};
    return data;
}

static inline uint32_t *give_words(bench *b, const void *words, uint32_t count)
{
    return give_range(b, words, count, count);
}

// Decodes `code`, or what ships where it is NULL.
static inline iso_status bench_decode(bench *b, const void *code, size_t bytes)
{
    const iso_kernel_code *shipped = spirv_of(b->kernel);
    iso_module_source source = {.name = b->kernel->name,
                                .entry = "main",
                                .format = ISO_CODE_SPIRV,
                                .code = code ? code : shipped->code,
                                .code_bytes = code ? bytes : shipped->code_bytes,
                                .group_size = b->kernel->group_size,
                                .arg_count = b->work.arg_count};
    for (uint32_t i = 0; i < b->work.arg_count; i++)
        source.arg_kinds[i] = b->work.args[i].kind;
    iso_sim_program_destroy(b->program);
    iso_status status = iso_sim_program_create(NULL, &b->chip, &source, &b->program);
    b->work.program = b->program;
    return status;
}

static inline iso_status bench_run(bench *b)
{
    if (!b->program)
        assert_int_equal(bench_decode(b, NULL, 0), ISO_OK);
    return iso_sim_execute(&b->device, &b->work);
}

static inline void assert_failed_with(iso_status status, iso_status wanted, const char *fragment)
{
    assert_int_equal(status, wanted);
    if (!strstr(iso_status_last()->text, fragment))
        fail_msg("\"%s\" is not in \"%s\"", fragment, iso_status_last()->text);
}

static inline float as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t as_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#endif
