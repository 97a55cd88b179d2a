// SPDX-License-Identifier: MIT
//
// Launches as calls: sizes against the device and the kernel, and the parameters taken over at the call.
#include "calls.h"

#include <stdlib.h>

static CUresult check_sizes(const sim_launch_call *call, const sim_function *function)
{
    const sim_device *device = function->object.context->device;
    uint64_t threads = 1, blocks = 1;
    bool known;
    for (int i = 0; i < 3; i++) {
        uint32_t most_threads =
            (uint32_t)sim_attribute(device, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X + i, &known);
        uint32_t most_blocks =
            (uint32_t)sim_attribute(device, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X + i, &known);
        if (!call->block[i] || call->block[i] > most_threads || !call->grid[i] || call->grid[i] > most_blocks)
            return CUDA_ERROR_INVALID_VALUE;
        threads *= call->block[i];
        blocks *= call->grid[i];
    }
    if (threads > function->info.max_threads || call->shared_bytes > function->dynamic_shared_max) {
        sim_report(
            SIM_PARAMETERS_FINDING, sim.call,
            "kernel %s: %llu threads of a block, %u allowed; %u bytes of dynamic shared memory, %u allowed",
            function->info.name, (unsigned long long)threads, function->info.max_threads, call->shared_bytes,
            function->dynamic_shared_max);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (blocks >= 1u << 29)
        return CUDA_ERROR_NOT_SUPPORTED; // the interpreter numbers blocks in 29 bits
    int sms = sim_attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &known), resident = 0;
    if (!call->cooperative)
        return CUDA_SUCCESS;
    CUresult result = sim_occupancy(&resident, call->function, (int)threads, call->shared_bytes);
    return result                                        ? result
           : blocks > (uint64_t)sms * (uint64_t)resident ? CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE
                                                         : result;
}

static CUresult take_list(const sim_function *function, void **params, uint8_t *out)
{
    for (uint32_t i = 0; i < function->info.param_count; i++) {
        const ptx_param *param = &function->info.params[i];
        if (!params[i]) {
            sim_report(SIM_PARAMETERS_FINDING, sim.call, "kernel %s: parameter %u of %u is a null pointer",
                       function->info.name, i, function->info.param_count);
            return CUDA_ERROR_INVALID_VALUE;
        }
        memcpy(out + param->offset, params[i], param->bytes);
    }
    return CUDA_SUCCESS;
}

static CUresult take_buffer(const sim_function *function, void **extra, uint8_t *out)
{
    const void *buffer = NULL;
    const size_t *bytes = NULL;
    for (uint32_t i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE)
            bytes = extra[i + 1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (!buffer || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (*bytes != function->info.param_bytes) {
        sim_report(SIM_PARAMETERS_FINDING, sim.call, "kernel %s: %zu bytes of parameters given, it has %u",
                   function->info.name, *bytes, function->info.param_bytes);
        return CUDA_ERROR_INVALID_VALUE;
    }
    memcpy(out, buffer, *bytes);
    return CUDA_SUCCESS;
}

static CUresult take_params(const sim_launch_call *call, const sim_function *function, void *out)
{
    if (call->params && call->extra)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function->info.param_bytes)
        return CUDA_SUCCESS;
    if (call->params)
        return take_list(function, call->params, out);
    if (call->extra)
        return take_buffer(function, call->extra, out);
    sim_report(SIM_PARAMETERS_FINDING, sim.call, "kernel %s: no parameters given, it has %u bytes",
               function->info.name, function->info.param_bytes);
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_launch_prepare(const sim_launch_call *call, sim_work *out)
{
    sim_function *function = sim_handle_get(SIM_FUNCTION, call->function);
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = check_sizes(call, function);
    if (result)
        return result;
    *out = (sim_work){.kind = SIM_LAUNCH,
                      .call = sim.call,
                      .u.launch = {.function = function,
                                   .function_handle = call->function,
                                   .shared_bytes = call->shared_bytes,
                                   .cooperative = call->cooperative}};
    memcpy(out->u.launch.grid, call->grid, sizeof call->grid);
    memcpy(out->u.launch.block, call->block, sizeof call->block);
    out->u.launch.params = sim_new(function->info.param_bytes + 8u);
    if (!out->u.launch.params)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = take_params(call, function, out->u.launch.params);
    if (result)
        sim_work_release(out);
    return result;
}

// The kernel, the stream and the thread must be at the same context.
static CUresult check_place(const sim_launch_call *call, uint32_t slot)
{
    const sim_function *function = sim_handle_get(SIM_FUNCTION, call->function);
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    if (sim_is_foreign(function->object.context, "a kernel") ||
        sim_is_foreign(sim.slots[slot].context, "a stream"))
        return CUDA_ERROR_INVALID_HANDLE;
    return CUDA_SUCCESS;
}

CUresult sim_launch(const sim_launch_call *call, CUstream stream)
{
    uint32_t slot;
    sim_work work;
    CUresult result = sim_slot_of(stream, &slot);
    if (!result)
        result = check_place(call, slot);
    if (!result)
        result = sim_launch_prepare(call, &work);
    return result ? result : sim_put(slot, &work);
}

CUresult sim_launch_config(const CUlaunchConfig *config, CUfunction function, void **params, void **extra)
{
    if (!config || (config->numAttrs && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    sim_launch_call call = {.function = function,
                            .grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                            .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                            .shared_bytes = config->sharedMemBytes,
                            .params = params,
                            .extra = extra};
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const CUlaunchAttribute *attribute = &config->attrs[i];
        if (attribute->id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
            call.cooperative = attribute->value.cooperative != 0;
        else if (attribute->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION &&
                 (uint64_t)attribute->value.clusterDim.x * attribute->value.clusterDim.y *
                         attribute->value.clusterDim.z >
                     1)
            return CUDA_ERROR_NOT_SUPPORTED; // the interpreter has no clusters
    }
    return sim_launch(&call, config->hStream);
}

CUresult sim_launch_host(CUstream stream, CUhostFn function, void *user)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    if (result)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    sim_work work = {.kind = SIM_HOST_CALL, .call = sim.call, .u.host = {function, user}};
    return sim_put(slot, &work);
}
