// SPDX-License-Identifier: MIT
//
// The CPU backend: its table, and the facts about the host. Kernels are functions of this process; which ones
// may run is decided by the features reported here. ISOMER_CPU_ISA=generic|avx2|avx512 reports less than the
// processor has, so that one machine can test every kernel variant.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/cpu/cpu_internal.h"
#include "runtime/base/strings.h"

#define ISA_VARIABLE "ISOMER_CPU_ISA"

// Instruction sets, each one including the one before.
static const struct {
    const char *name;
    uint32_t features;
} isa_table[] = {
    {"generic", 0},
    {"avx2", ISO_FEATURE_NATIVE_AVX2},
    {"avx512", ISO_FEATURE_NATIVE_AVX2 | ISO_FEATURE_NATIVE_AVX512},
};

#define ISA_COUNT (sizeof isa_table / sizeof isa_table[0])

#if defined(__x86_64__)
#define ARCH_NAME "x86-64"
static size_t best_isa(void)
{
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return avx2 ? (avx512 ? 2 : 1) : 0;
}
#else
#if defined(__aarch64__)
#define ARCH_NAME "aarch64"
#else
#define ARCH_NAME ""
#endif
static size_t best_isa(void)
{
    return 0;
}
#endif

// The host is always there; there is nothing to load, so any address serves as the driver.
static const char cpu_driver_token;

static iso_status cpu_load(const iso_allocator *allocator, const char *library, void **out_driver)
{
    (void)allocator;
    *out_driver = NULL;
    ISO_TRY(iso_library_refuse("cpu", library));
    *out_driver = (void *)(uintptr_t)&cpu_driver_token;
    return ISO_OK;
}

static void cpu_unload(void *driver)
{
    (void)driver;
}

static void read_model_name(char *target, size_t target_bytes)
{
    iso_copy_text(target, target_bytes, "CPU");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        if (*value)
            iso_copy_text(target, target_bytes, value);
        break;
    }
    fclose(file);
}

static void choose_isa(iso_device_info *info)
{
    info->available = true;
    size_t isa = best_isa();
    const char *wanted = getenv(ISA_VARIABLE);
    if (wanted && *wanted) {
        size_t cap = 0;
        while (cap < ISA_COUNT && strcmp(isa_table[cap].name, wanted) != 0)
            cap++;
        if (cap == ISA_COUNT) {
            info->available = false;
            snprintf(info->reason, sizeof info->reason,
                     "the environment variable " ISA_VARIABLE
                     " is \"%.64s\"; it must be generic, avx2 or avx512",
                     wanted);
        } else if (cap > isa) {
            info->available = false;
            snprintf(info->reason, sizeof info->reason,
                     "the environment variable " ISA_VARIABLE " asks for %s, this processor has %s; unset it",
                     wanted, isa_table[isa].name);
        } else {
            isa = cap;
        }
    }
    info->features |= isa_table[isa].features;
    snprintf(info->driver, sizeof info->driver, "native threads, %s", isa_table[isa].name);
}

static iso_status cpu_device_info(void *driver, uint32_t ordinal, iso_device_info *out_info)
{
    (void)driver;
    if (ordinal > 0)
        return iso_fail(ISO_NOT_FOUND, "the CPU backend has one device, %u is not it", ordinal);
    iso_device_info *info = out_info;
    read_model_name(info->name, sizeof info->name);
    iso_copy_text(info->arch, sizeof info->arch, ARCH_NAME);
    info->features =
        ISO_FEATURE_F64 | ISO_FEATURE_INT64 | ISO_FEATURE_STORAGE_8_16 | ISO_FEATURE_HOST_VISIBLE;
    choose_isa(info);
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    info->memory_bytes =
        pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : UINT64_C(1) << 30;
    info->max_allocation_bytes = info->memory_bytes;
    info->buffer_alignment_bytes = 1; // of arguments; buffers themselves begin at multiples of 64
    info->max_group_size = 1024;
    info->subgroup_size = 1;
    info->compute_units = iso_cpu_core_count();
    info->max_argument_bytes = 4096;
    info->code_formats[0] = ISO_CODE_NATIVE;
    return ISO_OK;
}

static void cpu_close_device(void *device)
{
    iso_cpu_device *cpu = device;
    if (!cpu)
        return;
    iso_cpu_pool_destroy(cpu->pool);
    iso_free(cpu->allocator, cpu);
}

static iso_status cpu_open_device(void *driver, uint32_t ordinal, const iso_device_options *options,
                                  void **out_device)
{
    (void)driver;
    (void)ordinal;
    *out_device = NULL;
    uint32_t thread_count = options->thread_count;
    if (thread_count > ISO_CPU_MAX_THREADS)
        return iso_fail(ISO_INVALID_ARGUMENT, "thread_count is %u, it must be 1 to %d, or 0 for one per core",
                        thread_count, ISO_CPU_MAX_THREADS);
    if (thread_count == 0)
        thread_count = iso_cpu_core_count();
    if (thread_count > ISO_CPU_MAX_THREADS)
        thread_count = ISO_CPU_MAX_THREADS;
    iso_cpu_device *cpu;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(options->allocator, 1, &cpu));
    cpu->allocator = options->allocator;
    cpu->profile = options->profile;
    ISO_TRY_GOTO(iso_cpu_pool_create(options->allocator, thread_count, &cpu->pool), fail);
    *out_device = cpu;
    return ISO_OK;
fail:
    cpu_close_device(cpu);
    return status;
}

const iso_backend iso_cpu_backend = {
    .struct_bytes = sizeof(iso_backend),
    .name = "cpu",
    .load = cpu_load,
    .unload = cpu_unload,
    .device_info = cpu_device_info,
    .open_device = cpu_open_device,
    .close_device = cpu_close_device,
    .alloc = iso_cpu_memory_alloc,
    .free = iso_cpu_memory_free,
    .write = iso_cpu_memory_write,
    .read = iso_cpu_memory_read,
    .fill = iso_cpu_memory_fill,
    .module_create = iso_cpu_module_create,
    .module_destroy = iso_cpu_module_destroy,
    .list_create = iso_cpu_list_create,
    .list_dispatch = iso_cpu_list_dispatch,
    .list_barrier = iso_cpu_list_barrier,
    .list_finish = iso_cpu_list_finish,
    .list_destroy = iso_cpu_list_destroy,
    .submit = iso_cpu_submit,
    .wait = iso_cpu_wait,
    .times = iso_cpu_times,
};
