// SPDX-License-Identifier: MIT
//
// Contexts: the primary one and those created, and each thread's stack of current ones. What a context owns
// goes with it, and is reported as left behind.
#include "calls.h"

#include <stdlib.h>

#define STACK_DEPTH 64

static _Thread_local CUcontext stack[STACK_DEPTH];
static _Thread_local uint32_t depth;

sim_context *sim_current(void)
{
    return depth ? sim_handle_get(SIM_CONTEXT, stack[depth - 1]) : NULL;
}

static sim_context *create(unsigned flags, bool primary)
{
    sim_context *context = sim_new(sizeof *context);
    if (!context)
        return NULL;
    if (!sim_handle_add(SIM_CONTEXT, context)) {
        free(context);
        return NULL;
    }
    context->object.context = context;
    context->flags = flags;
    context->primary = primary;
    return context;
}

// ---- the end of a context ----

static void end_object(sim_object *object)
{
    switch (object->kind) {
    case SIM_STREAM:
        sim_stream_end((sim_stream *)object);
        break;
    case SIM_MODULE:
        sim_module_end((sim_module *)object);
        break;
    case SIM_EVENT:
        sim_handle_remove(object->handle);
        free(object);
        break;
    default:
        sim_graph_object_end(object);
        break;
    }
}

void sim_context_end(sim_context *context, bool report)
{
    static const struct {
        sim_kind kind;
        const char *name;
    } owned[] = {
        {SIM_EXEC, "an executable graph"}, {SIM_GRAPH, "a graph"},   {SIM_STREAM, "a stream"},
        {SIM_EVENT, "an event"},           {SIM_MODULE, "a module"},
    };
    sim_object *object;
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        while ((object = sim_handle_first(owned[i].kind, context))) {
            if (report)
                sim_report(SIM_LEAK_FINDING, sim.call, "%s by %s (object %llu) was never destroyed",
                           owned[i].name, object->made_by, (unsigned long long)object->number);
            end_object(object);
        }
    sim_memory_release(context, report);
    sim_hosts_release(context, report);
    sim_counts_write();
    if (report && !sim.call)
        sim_report(SIM_LEAK_FINDING, NULL, "a context by %s (object %llu) was never %s",
                   context->object.made_by, (unsigned long long)context->object.number,
                   context->primary ? "released" : "destroyed");
    if (sim.primary == context)
        sim.primary = NULL;
    sim_handle_remove(context->object.handle);
    free(context);
}

// What is queued ends, or is dropped after an error, in the context that it belongs to.
static void run_all_in(sim_context *context)
{
    CUcontext top = depth == STACK_DEPTH ? stack[--depth] : NULL;
    stack[depth++] = context->object.handle;
    sim_run_all();
    depth--;
    if (top)
        stack[depth++] = top;
}

// ---- the primary context ----

CUresult sim_primary_retain(CUcontext *context, CUdevice device)
{
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!sim.primary)
        sim.primary = create(0, true);
    if (!sim.primary)
        return CUDA_ERROR_OUT_OF_MEMORY;
    sim.primary->retains++;
    *context = sim.primary->object.handle;
    return CUDA_SUCCESS;
}

CUresult sim_primary_release(CUdevice device, bool reset)
{
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!sim.primary)
        return reset ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    if (!reset && --sim.primary->retains)
        return CUDA_SUCCESS;
    run_all_in(sim.primary);
    sim_context_end(sim.primary, !reset);
    return CUDA_SUCCESS;
}

CUresult sim_primary_set_flags(CUdevice device, unsigned flags)
{
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    if (flags > 0xff)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim.primary)
        sim.primary->flags = flags;
    return CUDA_SUCCESS;
}

CUresult sim_primary_state(CUdevice device, unsigned *flags, int *active)
{
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    *flags = sim.primary ? sim.primary->flags : 0;
    *active = sim.primary != NULL;
    return CUDA_SUCCESS;
}

// ---- others, and which is current ----

CUresult sim_context_create(CUcontext *context, unsigned flags, CUdevice device)
{
    if (!context || flags > 0xff)
        return CUDA_ERROR_INVALID_VALUE;
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    if (depth == STACK_DEPTH)
        return CUDA_ERROR_OUT_OF_MEMORY;
    sim_context *made = create(flags, false);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack[depth++] = *context = made->object.handle;
    return CUDA_SUCCESS;
}

CUresult sim_context_destroy(CUcontext context)
{
    sim_context *dead = sim_handle_get(SIM_CONTEXT, context);
    if (!dead || dead->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    run_all_in(dead);
    if (depth && stack[depth - 1] == context)
        depth--;
    sim_context_end(dead, true);
    return CUDA_SUCCESS;
}

CUresult sim_context_push(CUcontext context)
{
    if (!sim_handle_get(SIM_CONTEXT, context))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (depth == STACK_DEPTH)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult sim_context_pop(CUcontext *context)
{
    if (!depth)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context)
        *context = stack[depth];
    return CUDA_SUCCESS;
}

CUresult sim_context_set(CUcontext context)
{
    if (context && !sim_handle_get(SIM_CONTEXT, context))
        return CUDA_ERROR_INVALID_CONTEXT;
    depth -= depth > 0;
    if (context)
        stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult sim_context_get(CUcontext *context)
{
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    *context = depth ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}

CUresult sim_context_device(CUdevice *device)
{
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult sim_context_version(CUcontext context, unsigned *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    if (context && !sim_handle_get(SIM_CONTEXT, context))
        return CUDA_ERROR_INVALID_CONTEXT;
    *version = 3020;
    return CUDA_SUCCESS;
}

CUresult sim_priority_range(int *least, int *greatest)
{
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return CUDA_SUCCESS;
}

CUresult sim_context_synchronize(void)
{
    if (sim_is_capturing())
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return sim_run_all();
}
