// SPDX-License-Identifier: MIT
//
// Building and running probe kernels. Chooses the code form; judges nothing.
#include "conformance/profile/probe.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "isomer/op.h"

#define CONFORM_PROBE(name, x, w, y, kinds)                                                                  \
    extern const iso_kernel iso_kernel_##name##_portable_##x##_##w##_##y;
#define CONFORM_TUNED_PROBE(name, target, least, x, w, y, kinds)                                             \
    extern const iso_kernel iso_kernel_##name##_##target##_##least##_##x##_##w##_##y;
#include "conformance/profile/probes/probes.def"

#ifdef CONFORM_HAVE_cuda
#define BUILT_cuda(kernel) &kernel
#else
#define BUILT_cuda(kernel) NULL
#endif

static const struct {
    const iso_kernel *kernel; // NULL: this program was built without it
    const char *name, *kinds;
    const char *backend, *least; // whose devices a tuned probe is for: "cuda" from "sm80" on; NULL: any
} probes[CONFORM_PROBE_COUNT] = {
#define CONFORM_PROBE(name, x, w, y, kinds)                                                                  \
    {&iso_kernel_##name##_portable_##x##_##w##_##y, #name, kinds, NULL, NULL},
#include "conformance/profile/probes/probes.def"
#define CONFORM_TUNED_PROBE(name, target, least, x, w, y, kinds)                                             \
    {BUILT_##target(iso_kernel_##name##_##target##_##least##_##x##_##w##_##y), #name, kinds, #target, #least},
#include "conformance/profile/probes/probes.def"
};

extern const iso_native_kernel conform_probe_cpu_generic[CONFORM_PORTABLE_PROBE_COUNT];
#ifdef CONFORM_HAVE_avx2
extern const iso_native_kernel conform_probe_cpu_avx2[CONFORM_PORTABLE_PROBE_COUNT];
#endif
#ifdef CONFORM_HAVE_avx512
extern const iso_native_kernel conform_probe_cpu_avx512[CONFORM_PORTABLE_PROBE_COUNT];
#endif

// Best first.
static const struct {
    uint32_t features;
    const iso_native_kernel *probes;
} variants[] = {
#ifdef CONFORM_HAVE_avx512
    {ISO_FEATURE_NATIVE_AVX512, conform_probe_cpu_avx512},
#endif
#ifdef CONFORM_HAVE_avx2
    {ISO_FEATURE_NATIVE_AVX2, conform_probe_cpu_avx2},
#endif
    {0, conform_probe_cpu_generic},
};

const char *conform_probe_name(conform_probe probe)
{
    return probes[probe].kernel ? probes[probe].kernel->name : probes[probe].name;
}

// The number in "sm_90" or "sm80"; 0: none.
static unsigned chip_number(const char *arch)
{
    unsigned number = 0;
    return sscanf(arch, "sm_%u", &number) == 1 || sscanf(arch, "sm%u", &number) == 1 ? number : 0;
}

bool conform_probe_fits(const iso_device_info *info, conform_probe probe)
{
    return !probes[probe].backend || (strcmp(info->backend, probes[probe].backend) == 0 &&
                                      chip_number(info->arch) >= chip_number(probes[probe].least));
}

static const iso_native_kernel *native_form(const iso_device_info *info, conform_probe probe)
{
    uint32_t v = 0;
    while ((info->features & variants[v].features) != variants[v].features)
        v++;
    return &variants[v].probes[probe];
}

static void set_arguments(const char *kinds, iso_module_source *source)
{
    source->arg_count = (uint32_t)strlen(kinds);
    for (uint32_t i = 0; i < source->arg_count; i++)
        source->arg_kinds[i] = kinds[i] == 'b' ? ISO_ARG_BUFFER : kinds[i] == 'f' ? ISO_ARG_F32 : ISO_ARG_U32;
}

iso_status conform_probe_source(const iso_device_info *info, conform_probe probe,
                                iso_module_source *out_source)
{
    const iso_kernel *kernel = probes[probe].kernel;
    if (!conform_probe_fits(info, probe))
        return iso_fail(ISO_UNSUPPORTED, "%s: the device is %s \"%s\"; the probe is for %s from %s on",
                        probes[probe].name, info->backend, info->arch, probes[probe].backend,
                        probes[probe].least);
    if (!kernel)
        return iso_fail(ISO_UNSUPPORTED, "%s: this program was built without kernels for %s",
                        probes[probe].name, probes[probe].backend);
    *out_source = (iso_module_source){.name = kernel->name, .group_size = kernel->group_size};
    set_arguments(probes[probe].kinds, out_source);
    for (uint32_t f = 0; f < ISO_MAX_CODE_FORMATS && info->code_formats[f] != ISO_CODE_NONE; f++) {
        if (info->code_formats[f] == ISO_CODE_NATIVE && !probes[probe].backend) {
            out_source->format = ISO_CODE_NATIVE;
            out_source->native = native_form(info, probe);
            out_source->entry = kernel->op;
            out_source->group_size = 1;
            return ISO_OK;
        }
        for (uint32_t c = 0; c < ISO_MAX_CODE_FORMATS && kernel->codes[c].format != ISO_CODE_NONE; c++) {
            if (kernel->codes[c].format != info->code_formats[f])
                continue;
            out_source->format = kernel->codes[c].format;
            out_source->code = kernel->codes[c].code;
            out_source->code_bytes = kernel->codes[c].code_bytes;
            out_source->entry = out_source->format == ISO_CODE_SPIRV ? "main" : kernel->op;
            return ISO_OK;
        }
    }
    return iso_fail(ISO_UNSUPPORTED,
                    "%s: the device takes no code in which there are probes (native, SPIR-V, OpenCL C)",
                    kernel->name);
}

void conform_lab_deinit(conform_lab *lab)
{
    for (uint32_t i = 0; i < CONFORM_PROBE_COUNT; i++)
        iso_module_destroy(lab->modules[i]);
    memset(lab->modules, 0, sizeof lab->modules);
}

iso_status conform_lab_module(conform_lab *lab, conform_probe probe, iso_module **out_module)
{
    *out_module = NULL;
    if (!lab->modules[probe]) {
        iso_module_source source;
        ISO_TRY(conform_probe_source(iso_device_get_info(lab->device), probe, &source));
        ISO_TRY(iso_module_create(lab->device, &source, &lab->modules[probe]));
    }
    *out_module = lab->modules[probe];
    return ISO_OK;
}

// ---- one run ----

typedef struct run_buffers {
    iso_buffer *buffers[ISO_MAX_KERNEL_ARGS];
} run_buffers;

static uint64_t whole_words(size_t bytes)
{
    return (bytes + 3) / 4 * 4;
}

static iso_status bind_operand(const conform_lab *lab, const conform_operand *operand,
                               iso_buffer **out_buffer, iso_arg *out_arg)
{
    *out_arg = (iso_arg){.kind = operand->kind};
    if (operand->kind == ISO_ARG_F32)
        out_arg->value.f32 = operand->f32;
    else if (operand->kind == ISO_ARG_U32)
        out_arg->value.u32 = operand->u32;
    if (operand->kind != ISO_ARG_BUFFER)
        return ISO_OK;
    uint64_t bytes = whole_words(operand->bytes);
    ISO_TRY(iso_buffer_create(lab->device, bytes, out_buffer));
    out_arg->memory = iso_buffer_memory(*out_buffer);
    out_arg->range_bytes = bytes;
    if (!operand->in || bytes != operand->bytes)
        ISO_TRY(iso_buffer_fill(*out_buffer, 0, bytes, 0xa5a5a5a5u));
    return operand->in ? iso_buffer_write(*out_buffer, 0, operand->in, operand->bytes) : ISO_OK;
}

static iso_status submit_once(conform_lab *lab, iso_module *module, const iso_dispatch *dispatch)
{
    iso_list *list = NULL;
    iso_status status;
    ISO_TRY(iso_list_create(lab->device, &list));
    ISO_TRY_GOTO(iso_list_dispatch(list, module, dispatch), done);
    ISO_TRY_GOTO(iso_list_finish(list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(iso_device_wait(lab->device), done);
done:
    iso_list_destroy(list);
    return status;
}

iso_status conform_lab_run(conform_lab *lab, conform_probe probe, const uint32_t groups[3],
                           const conform_operand *operands)
{
    iso_module *module;
    run_buffers used = {{0}};
    iso_status status;
    ISO_TRY(conform_lab_module(lab, probe, &module));
    iso_dispatch dispatch = {.label = conform_probe_name(probe),
                             .groups = {groups[0], groups[1] ? groups[1] : 1, groups[2] ? groups[2] : 1},
                             .arg_count = (uint32_t)strlen(probes[probe].kinds)};
    for (uint32_t i = 0; i < dispatch.arg_count; i++)
        ISO_TRY_GOTO(bind_operand(lab, &operands[i], &used.buffers[i], &dispatch.args[i]), done);
    ISO_TRY_GOTO(submit_once(lab, module, &dispatch), done);
    for (uint32_t i = 0; i < dispatch.arg_count; i++)
        if (operands[i].kind == ISO_ARG_BUFFER && operands[i].out)
            ISO_TRY_GOTO(iso_buffer_read(used.buffers[i], 0, operands[i].out, operands[i].bytes), done);
done:
    for (uint32_t i = 0; i < dispatch.arg_count; i++)
        iso_buffer_release(used.buffers[i]);
    return status;
}

// ---- one operation an element ----

#define AT_ONCE (1u << 20)

static const void *part(const void *words, uint32_t first)
{
    return (const char *)words + 4 * (size_t)first;
}

// `inputs` of a, b, c are passed; one that is absent is a.
static iso_status map_part(conform_lab *lab, conform_probe probe, const conform_map *map, uint32_t first,
                           uint32_t inputs)
{
    uint32_t count = map->count - first < AT_ONCE ? map->count - first : AT_ONCE, n = 0;
    const void *given[3] = {map->a, map->b ? map->b : map->a, map->c ? map->c : map->a};
    conform_operand operands[6];
    operands[n++] = CONFORM_WORD_VALUE(count);
    for (uint32_t i = 0; i < inputs; i++)
        operands[n++] = CONFORM_IN(part(given[i], first), 4 * (size_t)count);
    operands[n++] = CONFORM_OUT((char *)map->y + 4 * (size_t)first, 4 * (size_t)count);
    operands[n++] = CONFORM_WORD_VALUE(map->mode);
    return conform_lab_run(lab, probe, (const uint32_t[3]){(count + CONFORM_GROUP - 1) / CONFORM_GROUP, 1, 1},
                           operands);
}

static iso_status map_all(conform_lab *lab, conform_probe probe, const conform_map *map, uint32_t inputs)
{
    for (uint32_t first = 0; first < map->count; first += AT_ONCE)
        ISO_TRY(map_part(lab, probe, map, first, inputs));
    return ISO_OK;
}

iso_status conform_lab_float(conform_lab *lab, const conform_map *map)
{
    return map_all(lab, CONFORM_PROBE_FLOAT, map, 3);
}

iso_status conform_lab_word(conform_lab *lab, const conform_map *map)
{
    return map_all(lab, CONFORM_PROBE_WORD, map, 2);
}

iso_status conform_lab_turn(conform_lab *lab, const conform_map *map)
{
    return map_all(lab, CONFORM_PROBE_TURN, map, 1);
}

// ---- numbers ----

// The finaliser of splitmix64 over a counter.
uint64_t conform_random(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t z = seed * UINT64_C(0x9e3779b97f4a7c15) + stream * UINT64_C(0xd1342543de82ef95) +
                 index * UINT64_C(0xaf251af3b0f025b5) + UINT64_C(0x632be59bd9b4e019);
    for (int round = 0; round < 2; round++) {
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
    }
    return z;
}

uint32_t conform_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float conform_bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
