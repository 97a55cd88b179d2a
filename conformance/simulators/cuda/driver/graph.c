// SPDX-License-Identifier: MIT
//
// Graphs: nodes that hold work, and executable copies of them. A launch puts the nodes into the stream one
// after the other, of those that could be next always the one added last: a dependency that is missing shows.
#include "graph.h"

#include <stdlib.h>

typedef struct sim_exec {
    sim_object object;
    uint32_t count, ready;
    sim_work *works; // in the order in which they run
    void **nodes;    // handle of the node that each came from
} sim_exec;

// ---- nodes ----

CUresult sim_graph_add(sim_graph *graph, const uint32_t *after, uint32_t count, sim_work *work,
                       sim_node **out)
{
    sim_node *node = sim_new(sizeof *node);
    uint32_t *copy = sim_new((count + 1) * sizeof *copy);
    bool ok = node && copy;
    if (ok && graph->count == graph->capacity) {
        uint32_t capacity = graph->capacity ? graph->capacity * 2 : 16;
        void *grown = realloc(graph->nodes, capacity * sizeof(sim_node *));
        ok = grown != NULL;
        graph->nodes = ok ? grown : graph->nodes;
        graph->capacity = ok ? capacity : graph->capacity;
    }
    if (!ok || !sim_handle_add(SIM_NODE, node)) {
        sim_work_release(work);
        free(copy);
        free(node);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (count)
        memcpy(copy, after, count * sizeof *copy);
    node->graph = graph;
    node->index = graph->count;
    node->after = copy;
    node->after_count = count;
    node->work = *work;
    graph->nodes[graph->count++] = *out = node;
    return CUDA_SUCCESS;
}

static CUresult place_node(CUgraphNode *out, const sim_place *place, sim_work *work)
{
    sim_graph *graph = sim_handle_get(SIM_GRAPH, place->graph);
    CUresult result =
        !graph || !out || (place->count && !place->after) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
    if (!result && place->count > graph->count)
        result = CUDA_ERROR_INVALID_VALUE; // more than there are: at least one twice
    uint32_t *after = result ? NULL : sim_new((place->count + 1) * sizeof *after);
    for (size_t i = 0; after && i < place->count; i++) {
        const sim_node *node = sim_handle_get(SIM_NODE, place->after[i]);
        if (!node || node->graph != graph)
            result = CUDA_ERROR_INVALID_VALUE;
        else
            after[i] = node->index;
    }
    if (result || !after) {
        sim_work_release(work);
        free(after);
        return result ? result : CUDA_ERROR_OUT_OF_MEMORY;
    }
    sim_node *node = NULL;
    result = sim_graph_add(graph, after, (uint32_t)place->count, work, &node);
    free(after);
    if (!result)
        *out = node->object.handle;
    return result;
}

// ---- parameters of nodes ----

// v1 and v2 begin alike, and nothing after is used.
static CUresult kernel_work(const void *params, sim_work *out)
{
    const CUDA_KERNEL_NODE_PARAMS_v1 *p = params;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    sim_launch_call call = {.function = p->func,
                            .grid = {p->gridDimX, p->gridDimY, p->gridDimZ},
                            .block = {p->blockDimX, p->blockDimY, p->blockDimZ},
                            .shared_bytes = p->sharedMemBytes,
                            .params = p->kernelParams,
                            .extra = p->extra};
    return sim_launch_prepare(&call, out);
}

static sim_side side_of(CUcontext context, CUmemorytype type, const void *host, CUdeviceptr device, size_t at)
{
    switch (type) {
    case CU_MEMORYTYPE_HOST:
        return host ? sim_host_side((const uint8_t *)host + at) : (sim_side){0};
    case CU_MEMORYTYPE_DEVICE:
        return device ? sim_peer_side(device + at, context) : (sim_side){0};
    case CU_MEMORYTYPE_UNIFIED:
        return device ? sim_any_side(device + at) : (sim_side){0};
    default:
        return (sim_side){0};
    }
}

static CUresult copy_work(const CUDA_MEMCPY3D *p, CUcontext context, sim_work *out)
{
    if (!p || !p->WidthInBytes || !p->Height || !p->Depth || !sim_handle_get(SIM_CONTEXT, context))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->Height > 1 || p->Depth > 1 || p->srcY || p->srcZ || p->dstY || p->dstZ || p->srcLOD || p->dstLOD ||
        p->srcMemoryType == CU_MEMORYTYPE_ARRAY || p->dstMemoryType == CU_MEMORYTYPE_ARRAY)
        return CUDA_ERROR_NOT_SUPPORTED; // one row of bytes
    *out = (sim_work){
        .kind = SIM_COPY,
        .call = sim.call,
        .u.copy = {.to = side_of(context, p->dstMemoryType, p->dstHost, p->dstDevice, p->dstXInBytes),
                   .from = side_of(context, p->srcMemoryType, p->srcHost, p->srcDevice, p->srcXInBytes),
                   .bytes = p->WidthInBytes}};
    return sim_work_check(out);
}

static CUresult fill_work(const CUDA_MEMSET_NODE_PARAMS *p, CUcontext context, sim_work *out)
{
    if (!p || !p->width || !sim_handle_get(SIM_CONTEXT, context) ||
        (p->elementSize != 1 && p->elementSize != 2 && p->elementSize != 4))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->height > 1 && p->pitch != p->width * p->elementSize)
        return CUDA_ERROR_NOT_SUPPORTED; // rows with gaps
    uint64_t rows = p->height ? p->height : 1, row = (uint64_t)p->width * p->elementSize;
    if (p->width > UINT64_MAX / p->elementSize || rows > UINT64_MAX / row)
        return CUDA_ERROR_INVALID_VALUE;
    *out = (sim_work){.kind = SIM_FILL,
                      .call = sim.call,
                      .u.fill = {.address = p->dst,
                                 .bytes = rows * row,
                                 .value = p->value,
                                 .unit_bytes = p->elementSize,
                                 .context = context}};
    return sim_work_check(out);
}

CUresult sim_graph_kernel(CUgraphNode *node, const sim_place *place, const void *params)
{
    sim_work work;
    CUresult result = kernel_work(params, &work);
    return result ? result : place_node(node, place, &work);
}

CUresult sim_graph_copy(CUgraphNode *node, const sim_place *place, const CUDA_MEMCPY3D *params,
                        CUcontext context)
{
    sim_work work;
    CUresult result = copy_work(params, context, &work);
    return result ? result : place_node(node, place, &work);
}

CUresult sim_graph_fill(CUgraphNode *node, const sim_place *place, const CUDA_MEMSET_NODE_PARAMS *params,
                        CUcontext context)
{
    sim_work work;
    CUresult result = fill_work(params, context, &work);
    return result ? result : place_node(node, place, &work);
}

CUresult sim_graph_host(CUgraphNode *node, const sim_place *place, const CUDA_HOST_NODE_PARAMS_v1 *params)
{
    if (!params || !params->fn)
        return CUDA_ERROR_INVALID_VALUE;
    sim_work work = {.kind = SIM_HOST_CALL, .call = sim.call, .u.host = {params->fn, params->userData}};
    return place_node(node, place, &work);
}

CUresult sim_graph_empty(CUgraphNode *node, const sim_place *place)
{
    sim_work work = {.kind = SIM_EMPTY, .call = sim.call};
    return place_node(node, place, &work);
}

CUresult sim_graph_record(CUgraphNode *node, const sim_place *place, CUevent event)
{
    if (!sim_handle_get(SIM_EVENT, event))
        return CUDA_ERROR_INVALID_HANDLE;
    sim_work work = {.kind = SIM_RECORD, .call = sim.call, .u.event_handle = event};
    return place_node(node, place, &work);
}

// ---- graphs ----

CUresult sim_graph_create(CUgraph *graph, unsigned flags)
{
    if (!graph || flags)
        return CUDA_ERROR_INVALID_VALUE;
    *graph = NULL;
    sim_graph *made = sim_new(sizeof *made);
    if (!made || !sim_handle_add(SIM_GRAPH, made)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *graph = made->object.handle;
    return CUDA_SUCCESS;
}

void sim_graph_end(sim_graph *graph)
{
    for (uint32_t i = 0; i < graph->count; i++) {
        sim_work_release(&graph->nodes[i]->work);
        sim_handle_remove(graph->nodes[i]->object.handle);
        free(graph->nodes[i]->after);
        free(graph->nodes[i]);
    }
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        if (sim.slots[i].capture == graph)
            sim_capture_leave(&sim.slots[i]);
    free(graph->nodes);
    sim_handle_remove(graph->object.handle);
    free(graph);
}

CUresult sim_graph_destroy(CUgraph graph)
{
    sim_graph *found = sim_handle_get(SIM_GRAPH, graph);
    if (!found)
        return CUDA_ERROR_INVALID_VALUE;
    sim_graph_end(found);
    return CUDA_SUCCESS;
}

CUresult sim_graph_nodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
    const sim_graph *found = sim_handle_get(SIM_GRAPH, graph);
    if (!found || !count)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; nodes && i < *count; i++)
        nodes[i] = i < found->count ? found->nodes[i]->object.handle : NULL;
    *count = !nodes || found->count < *count ? found->count : *count;
    return CUDA_SUCCESS;
}

// ---- executable graphs ----

static void end_exec(sim_exec *exec)
{
    for (uint32_t i = 0; exec->works && i < exec->ready; i++)
        sim_work_release(&exec->works[i]);
    free(exec->works);
    free(exec->nodes);
    sim_handle_remove(exec->object.handle);
    free(exec);
}

// The node added last of those whose dependencies are placed.
static uint32_t next_ready(const sim_graph *graph, const bool *placed)
{
    for (uint32_t i = graph->count; i-- > 0;) {
        const sim_node *node = graph->nodes[i];
        bool ready = !placed[i];
        for (uint32_t d = 0; ready && d < node->after_count; d++)
            ready = placed[node->after[d]];
        if (ready)
            return i;
    }
    return UINT32_MAX;
}

static CUresult fill_exec(const sim_graph *graph, sim_exec *exec)
{
    exec->works = sim_new((graph->count + 1) * sizeof *exec->works);
    exec->nodes = sim_new((graph->count + 1) * sizeof *exec->nodes);
    bool *placed = sim_new(graph->count + 1);
    CUresult result = exec->works && exec->nodes && placed ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    while (!result && exec->ready < graph->count) {
        uint32_t index = next_ready(graph, placed);
        const sim_node *node = graph->nodes[index];
        placed[index] = true;
        result = sim_work_check(&node->work);
        if (!result)
            result = sim_work_copy(&node->work, &exec->works[exec->ready]);
        if (!result)
            exec->nodes[exec->ready++] = node->object.handle;
    }
    exec->count = exec->ready;
    free(placed);
    return result;
}

CUresult sim_graph_instantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    const sim_graph *found = sim_handle_get(SIM_GRAPH, graph);
    if (!exec || !found || flags > 15)
        return CUDA_ERROR_INVALID_VALUE;
    *exec = NULL;
    sim_exec *made = sim_new(sizeof *made);
    if (!made || !sim_handle_add(SIM_EXEC, made)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result = fill_exec(found, made);
    if (result)
        end_exec(made);
    else
        *exec = made->object.handle;
    return result;
}

CUresult sim_graph_instantiate_log(CUgraphExec *exec, CUgraph graph, CUgraphNode *node, char *log,
                                   size_t log_bytes)
{
    if (node)
        *node = NULL;
    if (log && log_bytes)
        *log = '\0';
    return sim_graph_instantiate(exec, graph, 0);
}

static sim_work *work_of(CUgraphExec exec, CUgraphNode node, sim_work_kind kind)
{
    const sim_exec *found = sim_handle_get(SIM_EXEC, exec);
    for (uint32_t i = 0; found && i < found->count; i++)
        if (found->nodes[i] == (void *)node && found->works[i].kind == kind)
            return &found->works[i];
    return NULL;
}

static CUresult replace(sim_work *at, CUresult result, const sim_work *work)
{
    if (result)
        return result;
    sim_work_release(at);
    *at = *work;
    return CUDA_SUCCESS;
}

CUresult sim_exec_kernel(CUgraphExec exec, CUgraphNode node, const void *params)
{
    sim_work *at = work_of(exec, node, SIM_LAUNCH), work;
    return at ? replace(at, kernel_work(params, &work), &work) : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_exec_copy(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D *params, CUcontext context)
{
    sim_work *at = work_of(exec, node, SIM_COPY), work;
    return at ? replace(at, copy_work(params, context, &work), &work) : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_exec_fill(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *params,
                       CUcontext context)
{
    sim_work *at = work_of(exec, node, SIM_FILL), work;
    return at ? replace(at, fill_work(params, context, &work), &work) : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_graph_upload(CUgraphExec exec, CUstream stream)
{
    uint32_t slot;
    CUresult result = sim_slot_of(stream, &slot);
    return result ? result : sim_handle_get(SIM_EXEC, exec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_graph_launch(CUgraphExec exec, CUstream stream)
{
    uint32_t slot;
    const sim_exec *found = sim_handle_get(SIM_EXEC, exec);
    CUresult result = sim_slot_of(stream, &slot);
    if (result || !found)
        return result ? result : CUDA_ERROR_INVALID_VALUE;
    if (sim.slots[slot].capture)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    // All or nothing: what a node refers to may have gone since.
    for (uint32_t i = 0; !result && i < found->count; i++)
        result = sim_work_check(&found->works[i]);
    for (uint32_t i = 0; !result && i < found->count; i++) {
        sim_work work;
        result = sim_work_copy(&found->works[i], &work);
        sim_event *event = work.kind == SIM_RECORD ? sim_handle_get(SIM_EVENT, work.u.event_handle) : NULL;
        if (!result)
            result = sim_submit(slot, &work);
        if (!result && event)
            sim_event_place(event, slot);
    }
    return result;
}

CUresult sim_exec_destroy(CUgraphExec exec)
{
    sim_exec *found = sim_handle_get(SIM_EXEC, exec);
    if (!found)
        return CUDA_ERROR_INVALID_VALUE;
    end_exec(found);
    return CUDA_SUCCESS;
}

void sim_graph_object_end(sim_object *object)
{
    if (object->kind == SIM_EXEC)
        end_exec((sim_exec *)object);
    else if (object->kind == SIM_GRAPH)
        sim_graph_end((sim_graph *)object);
}
