// SPDX-License-Identifier: MIT
//
// Contexts: each device's primary one and those created, and each thread's stack of current ones. What a
// context owns goes with it, and is reported as left behind.
#include "calls.h"

#include <stdlib.h>

#define STACK_DEPTH 64

static _Thread_local CUcontext stack[STACK_DEPTH];
static _Thread_local uint32_t depth;

sim_context *sim_current(void)
{
    return depth ? sim_handle_get(SIM_CONTEXT, stack[depth - 1]) : NULL;
}

static void leave_slots(sim_context *context)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        if (sim.slots[i].context == context) {
            sim.slots[i].context = NULL;
            sim.slots[i].used = sim.slots[i].dying = false;
        }
}

static sim_context *create(sim_device *device, unsigned flags, bool primary)
{
    sim_context *context = sim_new(sizeof *context);
    if (!context)
        return NULL;
    if (!sim_slot_take(context, false, &context->legacy) ||
        !sim_slot_take(context, false, &context->per_thread) || !sim_handle_add(SIM_CONTEXT, context)) {
        leave_slots(context);
        free(context);
        return NULL;
    }
    context->object.context = context;
    context->device = device;
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
    sim.subject = context;
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
    sim.subject = NULL;
    if (context->device->primary == context)
        context->device->primary = NULL;
    leave_slots(context);
    sim_handle_remove(context->object.handle);
    free(context);
}

// ---- the primary context ----

CUresult sim_primary_retain(CUcontext *context, CUdevice device)
{
    sim_device *found = sim_device_at(device);
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!found->primary)
        found->primary = create(found, 0, true);
    if (!found->primary)
        return CUDA_ERROR_OUT_OF_MEMORY;
    found->primary->retains++;
    *context = found->primary->object.handle;
    return CUDA_SUCCESS;
}

CUresult sim_primary_release(CUdevice device, bool reset)
{
    sim_device *found = sim_device_at(device);
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!found->primary)
        return reset ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    if (!reset && --found->primary->retains)
        return CUDA_SUCCESS;
    sim_run_context(found->primary);
    sim_context_end(found->primary, !reset);
    return CUDA_SUCCESS;
}

CUresult sim_primary_set_flags(CUdevice device, unsigned flags)
{
    const sim_device *found = sim_device_at(device);
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    if (flags > 0xff)
        return CUDA_ERROR_INVALID_VALUE;
    if (found->primary)
        found->primary->flags = flags;
    return CUDA_SUCCESS;
}

CUresult sim_primary_state(CUdevice device, unsigned *flags, int *active)
{
    const sim_device *found = sim_device_at(device);
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    *flags = found->primary ? found->primary->flags : 0;
    *active = found->primary != NULL;
    return CUDA_SUCCESS;
}

// ---- others, and which is current ----

CUresult sim_context_create(CUcontext *context, unsigned flags, CUdevice device)
{
    sim_device *found = sim_device_at(device);
    if (!context || flags > 0xff)
        return CUDA_ERROR_INVALID_VALUE;
    if (!found)
        return CUDA_ERROR_INVALID_DEVICE;
    if (depth == STACK_DEPTH)
        return CUDA_ERROR_OUT_OF_MEMORY;
    sim_context *made = create(found, flags, false);
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
    sim_run_context(dead);
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
    *device = sim_current()->device->ordinal;
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
    if (sim_is_capturing(sim_current()))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return sim_run_context(sim_current());
}
