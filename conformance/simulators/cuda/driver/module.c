// SPDX-License-Identifier: MIT
//
// Modules from PTX text, plain or out of a fat binary; their functions and variables, and what the driver
// says of a function.
#include "calls.h"
#include "fatbin.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX    ((size_t)256 << 20)
#define OPTIONS_MAX 64 // more than there are

typedef struct jit_logs {
    char *info, *error;
    size_t info_bytes, error_bytes;
    void **info_used, **error_used;
} jit_logs;

static CUresult read_options(unsigned count, const CUjit_option *options, void **values, jit_logs *out)
{
    *out = (jit_logs){0};
    if (count && (!options || !values || count > OPTIONS_MAX))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
        if ((unsigned)options[i] > CU_JIT_SPLIT_COMPILE)
            return CUDA_ERROR_INVALID_VALUE;
        if (options[i] == CU_JIT_INFO_LOG_BUFFER)
            out->info = values[i];
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
            out->error = values[i];
        if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES) {
            out->info_bytes = (unsigned)(uintptr_t)values[i];
            out->info_used = &values[i];
        }
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) {
            out->error_bytes = (unsigned)(uintptr_t)values[i];
            out->error_used = &values[i];
        }
    }
    return CUDA_SUCCESS;
}

// The size's place takes how much of the buffer was used.
static void write_log(char *buffer, size_t bytes, void **used, const char *text)
{
    size_t length = 0;
    if (buffer && bytes) {
        snprintf(buffer, bytes, "%s", text);
        length = strnlen(buffer, bytes);
    }
    if (used)
        *used = (void *)(uintptr_t)length; // NOLINT
}

static bool is_elf(const uint8_t *image)
{
    // One byte after the other: the image may end anywhere.
    return image[0] == 0x7f && image[1] == 'E' && image[2] == 'L' && image[3] == 'F';
}

static CUresult find_text(const void *image, char *message, sim_fatbin_text *out)
{
    const uint8_t *bytes = image;
    if (sim_fatbin_is(image))
        return sim_fatbin_find(image, sim_current()->device->arch, message, out);
    if (is_elf(bytes)) {
        snprintf(message, PTX_MESSAGE_BYTES,
                 "the image is a cubin; the simulator executes PTX only, by itself or in a fat binary");
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    if ((bytes[0] < ' ' && bytes[0] != '\n' && bytes[0] != '\t' && bytes[0] != '\r') || bytes[0] > '~') {
        snprintf(message, PTX_MESSAGE_BYTES, "the image is neither PTX text nor a binary of a known kind");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *out = (sim_fatbin_text){image, strnlen(image, TEXT_MAX), NULL};
    return CUDA_SUCCESS;
}

// The CUDA release whose driver was the first to take this version of PTX (PTX ISA, release notes), as
// cuDriverGetVersion counts.
static uint32_t first_driver_of(uint32_t ptx_version)
{
    static const struct {
        uint32_t ptx, cuda;
    } first[] = {{60, 9000},  {61, 9010},  {62, 9020},  {63, 10000}, {64, 10010}, {65, 10020},
                 {70, 11000}, {80, 12000}, {86, 12070}, {87, 12080}, {88, 12090}, {90, 13000}};
    uint32_t cuda = 0;
    // Between two lines both count up by one.
    for (size_t i = 0; i < sizeof first / sizeof first[0] && first[i].ptx <= ptx_version; i++)
        cuda = first[i].cuda + (ptx_version - first[i].ptx) * 10;
    return cuda;
}

static CUresult load_text(sim_module *module, const sim_fatbin_text *text, char *message)
{
    sim_device *device = sim_current()->device;
    uint64_t used = ptx_memory_used_bytes(sim.memory), left = sim_left_bytes(device);
    ptx_memory_set_owner(sim.memory, sim_current()->object.number);
    ptx_status status = ptx_module_load(sim.memory, text->text, text->bytes, message, &module->ptx);
    if (status)
        return status == PTX_NO_MEMORY ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_PTX;
    module->device = device;
    module->variable_bytes = ptx_memory_used_bytes(sim.memory) - used;
    device->used_bytes += module->variable_bytes;
    if (module->variable_bytes > left)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint32_t version = ptx_module_version(module->ptx), needs = first_driver_of(version);
    if (needs > sim.version) {
        snprintf(message, PTX_MESSAGE_BYTES, "PTX %u.%u needs a driver for CUDA %u.%u; this is one for %u.%u",
                 version / 10, version % 10, needs / 1000, needs % 1000 / 10, sim.version / 1000,
                 sim.version % 1000 / 10);
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    }
    if (ptx_module_target(module->ptx) > device->arch) {
        snprintf(message, PTX_MESSAGE_BYTES, "the PTX is for sm_%u, the device is sm_%u",
                 ptx_module_target(module->ptx), device->arch);
        return CUDA_ERROR_INVALID_PTX;
    }
    if (sim.counts_path)
        module->checksum = sim_checksum(text->text, text->bytes, &module->text_bytes);
    snprintf(message, PTX_MESSAGE_BYTES, "%u kernels for sm_%u", ptx_module_kernel_count(module->ptx),
             ptx_module_target(module->ptx));
    module->functions = sim_new((ptx_module_kernel_count(module->ptx) + 1) * sizeof(sim_function *));
    return module->functions && sim_handle_add(SIM_MODULE, module) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult load(sim_module *module, const void *image, char *message)
{
    sim_fatbin_text text = {0};
    CUresult result = find_text(image, message, &text);
    if (!result)
        result = load_text(module, &text, message);
    free(text.made);
    return result;
}

static void destroy(sim_module *module)
{
    for (uint32_t i = 0; module->functions && i < ptx_module_kernel_count(module->ptx); i++) {
        if (module->functions[i])
            sim_handle_remove(module->functions[i]->object.handle);
        free(module->functions[i]);
    }
    free(module->functions);
    if (module->device)
        module->device->used_bytes -= module->variable_bytes;
    ptx_module_destroy(module->ptx);
    free(module);
}

CUresult sim_module_load(CUmodule *module, const void *image, unsigned count, CUjit_option *options,
                         void **values)
{
    char message[PTX_MESSAGE_BYTES] = "";
    jit_logs logs;
    CUresult result = read_options(count, options, values, &logs);
    if (result || !module || !image)
        return CUDA_ERROR_INVALID_VALUE;
    *module = NULL;
    sim_module *made = sim_new(sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = load(made, image, message);
    write_log(logs.info, logs.info_bytes, logs.info_used, result ? "" : message);
    write_log(logs.error, logs.error_bytes, logs.error_used, result ? message : "");
    if (result) {
        destroy(made);
        return result;
    }
    *module = made->object.handle;
    return CUDA_SUCCESS;
}

void sim_module_end(sim_module *module)
{
    sim_handle_remove(module->object.handle);
    destroy(module);
}

CUresult sim_module_unload(CUmodule module)
{
    sim_module *found = sim_handle_get(SIM_MODULE, module);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    (void)sim_is_foreign(found->object.context, "a module"); // goes in any case
    CUresult result = CUDA_SUCCESS;
    if (sim_pending_function(found)) {
        sim_report(SIM_FREED_IN_USE_FINDING, sim.call,
                   "a module by %s (object %llu) is unloaded while its kernels have not "
                   "been waited for",
                   found->object.made_by, (unsigned long long)found->object.number);
        result = sim_run_all();
    }
    sim_module_end(found);
    return result;
}

CUresult sim_module_function(CUfunction *function, CUmodule module, const char *name)
{
    sim_module *found = sim_handle_get(SIM_MODULE, module);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!function || !name)
        return CUDA_ERROR_INVALID_VALUE;
    *function = NULL;
    const ptx_kernel *kernel = ptx_module_find_kernel(found->ptx, name);
    if (!kernel)
        return CUDA_ERROR_NOT_FOUND;
    uint32_t index = 0;
    while (ptx_module_kernel(found->ptx, index) != kernel)
        index++;
    sim_function *made = found->functions[index];
    if (!made) {
        made = sim_new(sizeof *made);
        if (!made || !sim_handle_add(SIM_FUNCTION, made)) {
            free(made);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        bool known;
        made->object.context = found->object.context;
        uint32_t standard =
            (uint32_t)sim_attribute(found->device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, &known);
        made->module = found;
        made->kernel = kernel;
        made->info = ptx_kernel_describe(kernel);
        made->dynamic_shared_max =
            made->info.shared_bytes < standard ? standard - made->info.shared_bytes : 0;
        found->functions[index] = made;
    }
    *function = made->object.handle;
    return CUDA_SUCCESS;
}

CUresult sim_module_global(CUdeviceptr *address, size_t *bytes, CUmodule module, const char *name)
{
    const sim_module *found = sim_handle_get(SIM_MODULE, module);
    uint64_t at, size;
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!name || (!address && !bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (ptx_module_find_variable(found->ptx, name, &at, &size) != PTX_OK)
        return CUDA_ERROR_NOT_FOUND;
    if (address)
        *address = at;
    if (bytes)
        *bytes = size;
    return CUDA_SUCCESS;
}

// ---- functions ----

CUresult sim_function_module(CUmodule *module, CUfunction function)
{
    const sim_function *found = sim_handle_get(SIM_FUNCTION, function);
    if (!found || !module)
        return found ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    *module = found->module->object.handle;
    return CUDA_SUCCESS;
}

CUresult sim_function_attribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    const sim_function *found = sim_handle_get(SIM_FUNCTION, function);
    if (!found || !value)
        return found ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    uint32_t registers = found->info.registers;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = (int)found->info.max_threads;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *value = (int)found->info.shared_bytes;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *value = (int)found->info.local_bytes;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: // virtual ones: a chip's compiler decides otherwise
        *value = (int)(registers > 255 ? 255 : registers);
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
        *value = (int)ptx_module_target(found->module->ptx);
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = (int)found->module->device->arch;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = (int)found->dynamic_shared_max;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = -1;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
        *value = 0;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult sim_function_parameter(CUfunction function, size_t index, size_t *offset, size_t *bytes)
{
    const sim_function *found = sim_handle_get(SIM_FUNCTION, function);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!offset || index >= found->info.param_count)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = found->info.params[index].offset;
    if (bytes)
        *bytes = found->info.params[index].bytes;
    return CUDA_SUCCESS;
}

CUresult sim_function_set(CUfunction function, CUfunction_attribute attribute, int value)
{
    sim_function *found = sim_handle_get(SIM_FUNCTION, function);
    bool known;
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT)
        return value < -1 || value > 100 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
        return CUDA_ERROR_INVALID_VALUE;
    int most =
        sim_attribute(found->module->device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &known) -
        (int)found->info.shared_bytes;
    if (value < 0 || value > most)
        return CUDA_ERROR_INVALID_VALUE;
    found->dynamic_shared_max = (uint32_t)value;
    return CUDA_SUCCESS;
}

// By threads, blocks and shared memory. Registers are left out: how many a chip's compiler would use is not
// known here.
CUresult sim_occupancy(int *count, CUfunction function, int block, size_t shared)
{
    const sim_function *found = sim_handle_get(SIM_FUNCTION, function);
    bool known;
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!count || block <= 0 || block > (int)found->info.max_threads)
        return CUDA_ERROR_INVALID_VALUE;
    const sim_device *device = found->module->device;
    uint64_t warps = ((uint64_t)block + 31) / 32;
    uint64_t most =
        (uint64_t)sim_attribute(device, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, &known) /
        (warps * 32);
    uint64_t blocks =
        (uint64_t)sim_attribute(device, CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, &known);
    uint64_t bytes =
        shared + found->info.shared_bytes +
        (uint64_t)sim_attribute(device, CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, &known);
    uint64_t room =
        (uint64_t)sim_attribute(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, &known);
    most = blocks < most ? blocks : most;
    if (shared > found->dynamic_shared_max)
        most = 0;
    else if (bytes && room / bytes < most)
        most = room / bytes;
    *count = (int)most;
    return CUDA_SUCCESS;
}
