// SPDX-License-Identifier: MIT
//
// What exports.def calls: one function for each thing that the interface does, several entry points to one
// function where they differ in defaults alone. Handles are as the program gave them; every function checks
// its own.
#pragma once

#include "state.h"

typedef struct sim_launch_call {
    CUfunction function;
    uint32_t grid[3], block[3], shared_bytes;
    bool cooperative;
    void **params, **extra;
} sim_launch_call;

// Where a node goes in a graph.
typedef struct sim_place {
    CUgraph graph;
    const CUgraphNode *after;
    size_t count;
} sim_place;

typedef enum sim_copy_wait { SIM_COPY_ASYNC, SIM_COPY_WAITS } sim_copy_wait;

// device.c
CUresult sim_init(unsigned flags);
CUresult sim_version(int *version);
CUresult sim_device_get(CUdevice *device, int ordinal);
CUresult sim_device_count(int *count);
CUresult sim_device_name(char *name, int length, CUdevice device);
CUresult sim_device_uuid(CUuuid *uuid, CUdevice device);
CUresult sim_device_total(size_t *bytes, CUdevice device);
CUresult sim_device_attribute(int *value, CUdevice_attribute attribute, CUdevice device);
CUresult sim_device_capability(int *major, int *minor, CUdevice device);
CUresult sim_device_bus_id(char *text, int bytes, CUdevice device);
CUresult sim_device_by_bus_id(CUdevice *device, const char *text);

// peer.c
bool sim_can_peer(const sim_device *from, const sim_device *to);
CUresult sim_device_can_peer(int *can, CUdevice device, CUdevice peer);
CUresult sim_device_link(int *value, CUdevice_P2PAttribute attribute, CUdevice from, CUdevice to);
CUresult sim_peer_enable(CUcontext peer, unsigned flags);
CUresult sim_peer_disable(CUcontext peer);
CUresult sim_peer_copy(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                       size_t bytes);
CUresult sim_peer_copy_async(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                             size_t bytes, CUstream stream);

// context.c
CUresult sim_primary_retain(CUcontext *context, CUdevice device);
CUresult sim_primary_release(CUdevice device, bool reset);
CUresult sim_primary_set_flags(CUdevice device, unsigned flags);
CUresult sim_primary_state(CUdevice device, unsigned *flags, int *active);
CUresult sim_context_create(CUcontext *context, unsigned flags, CUdevice device);
CUresult sim_context_destroy(CUcontext context);
CUresult sim_context_set(CUcontext context);
CUresult sim_context_get(CUcontext *context);
CUresult sim_context_push(CUcontext context);
CUresult sim_context_pop(CUcontext *context);
CUresult sim_context_device(CUdevice *device);
CUresult sim_context_version(CUcontext context, unsigned *version);
CUresult sim_priority_range(int *least, int *greatest);
CUresult sim_context_synchronize(void);

// module.c
CUresult sim_module_load(CUmodule *module, const void *image, unsigned count, CUjit_option *options,
                         void **values);
CUresult sim_module_unload(CUmodule module);
CUresult sim_module_function(CUfunction *function, CUmodule module, const char *name);
CUresult sim_module_global(CUdeviceptr *address, size_t *bytes, CUmodule module, const char *name);
CUresult sim_function_attribute(int *value, CUfunction_attribute attribute, CUfunction function);
CUresult sim_function_set(CUfunction function, CUfunction_attribute attribute, int value);
CUresult sim_function_parameter(CUfunction function, size_t index, size_t *offset, size_t *bytes);
CUresult sim_function_module(CUmodule *module, CUfunction function);
CUresult sim_occupancy(int *count, CUfunction function, int block, size_t shared);
void sim_module_end(sim_module *module);

// memory.c
CUresult sim_memory_info(size_t *left, size_t *total);
CUresult sim_memory_alloc(CUdeviceptr *address, size_t bytes);
CUresult sim_memory_free(CUdeviceptr address);
CUresult sim_memory_range(CUdeviceptr *begin, size_t *bytes, CUdeviceptr address);
CUresult sim_pointer_attribute(void *value, CUpointer_attribute attribute, CUdeviceptr pointer);

// pool.c
CUresult sim_memory_alloc_async(CUdeviceptr *address, size_t bytes, sim_pool *pool, CUstream stream);
CUresult sim_memory_alloc_from(CUdeviceptr *address, size_t bytes, CUmemoryPool pool, CUstream stream);
CUresult sim_memory_free_async(CUdeviceptr address, CUstream stream);
CUresult sim_device_pool(CUmemoryPool *pool, CUdevice device, bool the_default);
CUresult sim_device_set_pool(CUdevice device, CUmemoryPool pool);
CUresult sim_pool_create(CUmemoryPool *pool, const CUmemPoolProps *props);
CUresult sim_pool_destroy(CUmemoryPool pool);
CUresult sim_pool_trim(CUmemoryPool pool, size_t keep);
CUresult sim_pool_set(CUmemoryPool pool, CUmemPool_attribute attribute, const void *value);
CUresult sim_pool_get(CUmemoryPool pool, CUmemPool_attribute attribute, void *value);
CUresult sim_pool_set_access(CUmemoryPool pool, const CUmemAccessDesc *list, size_t count);
CUresult sim_pool_get_access(CUmemAccess_flags *flags, CUmemoryPool pool, const CUmemLocation *location);
void sim_pools_release(void);

// host.c
CUresult sim_host_alloc(void **address, size_t bytes, unsigned flags);
CUresult sim_host_free(void *address, bool registered);
CUresult sim_host_register(void *address, size_t bytes, unsigned flags);
CUresult sim_host_device(CUdeviceptr *device, void *host, unsigned flags);
CUresult sim_host_flags(unsigned *flags, void *host);
void sim_hosts_release(const sim_context *context, bool report);

// copy.c
sim_side sim_device_side(CUdeviceptr address);
sim_side sim_peer_side(CUdeviceptr address, CUcontext context);
sim_side sim_host_side(const void *address);
sim_side sim_any_side(CUdeviceptr address);
CUresult sim_copy(sim_side to, sim_side from, size_t bytes, CUstream stream, sim_copy_wait wait);
CUresult sim_fill(CUdeviceptr to, uint32_t value, uint32_t unit_bytes, size_t count, CUstream stream);

// stream.c
CUresult sim_stream_create(CUstream *stream, unsigned flags, int priority);
CUresult sim_stream_destroy(CUstream stream);
CUresult sim_stream_synchronize(CUstream stream);
CUresult sim_stream_query(CUstream stream);
CUresult sim_stream_wait(CUstream stream, CUevent event, unsigned flags);
CUresult sim_stream_flags(CUstream stream, unsigned *flags);
CUresult sim_stream_priority(CUstream stream, int *priority);
CUresult sim_stream_context(CUstream stream, CUcontext *context);
CUresult sim_event_create(CUevent *event, unsigned flags);
CUresult sim_event_record(CUevent event, CUstream stream);
// The event is where the slot's queue ends now.
void sim_event_place(sim_event *event, uint32_t slot);
CUresult sim_event_query(CUevent event);
CUresult sim_event_synchronize(CUevent event);
CUresult sim_event_destroy(CUevent event);
CUresult sim_event_elapsed(float *ms, CUevent from, CUevent to);
void sim_stream_end(sim_stream *stream);

// launch.c
CUresult sim_launch(const sim_launch_call *call, CUstream stream);
CUresult sim_launch_config(const CUlaunchConfig *config, CUfunction function, void **params, void **extra);
CUresult sim_launch_host(CUstream stream, CUhostFn function, void *user);
// Checks the call and copies its parameters.
CUresult sim_launch_prepare(const sim_launch_call *call, sim_work *out);

// graph.c
CUresult sim_graph_create(CUgraph *graph, unsigned flags);
CUresult sim_graph_destroy(CUgraph graph);
CUresult sim_graph_kernel(CUgraphNode *node, const sim_place *place, const void *params);
CUresult sim_graph_copy(CUgraphNode *node, const sim_place *place, const CUDA_MEMCPY3D *params,
                        CUcontext context);
CUresult sim_graph_fill(CUgraphNode *node, const sim_place *place, const CUDA_MEMSET_NODE_PARAMS *params,
                        CUcontext context);
CUresult sim_graph_host(CUgraphNode *node, const sim_place *place, const CUDA_HOST_NODE_PARAMS_v1 *params);
CUresult sim_graph_empty(CUgraphNode *node, const sim_place *place);
CUresult sim_graph_record(CUgraphNode *node, const sim_place *place, CUevent event);
CUresult sim_graph_nodes(CUgraph graph, CUgraphNode *nodes, size_t *count);
CUresult sim_graph_instantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags);
CUresult sim_graph_instantiate_log(CUgraphExec *exec, CUgraph graph, CUgraphNode *node, char *log,
                                   size_t log_bytes);
CUresult sim_exec_kernel(CUgraphExec exec, CUgraphNode node, const void *params);
CUresult sim_exec_copy(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D *params, CUcontext context);
CUresult sim_exec_fill(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *params,
                       CUcontext context);
CUresult sim_graph_upload(CUgraphExec exec, CUstream stream);
CUresult sim_graph_launch(CUgraphExec exec, CUstream stream);
CUresult sim_exec_destroy(CUgraphExec exec);
void sim_graph_object_end(sim_object *object);

// capture.c
CUresult sim_capture_begin(CUstream stream, CUstreamCaptureMode mode);
CUresult sim_capture_end(CUstream stream, CUgraph *graph);
// An event recorded in a stream under capture is a place in the graph; waiting for it takes the waiting
// stream in.
CUresult sim_capture_record(sim_event *event, uint32_t slot);
CUresult sim_capture_wait(const sim_event *event, uint32_t slot);
void sim_capture_leave(sim_slot *slot);
CUresult sim_capture_status(CUstream stream, CUstreamCaptureStatus *status);
