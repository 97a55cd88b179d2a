// SPDX-License-Identifier: MIT
//
// One planted mistake of a host program each: it must be reported, by its kind and its call, and nothing else
// must be. Then programs that look like mistakes and are none: no report.
#include "driver_test.h"

enum { COUNT = 4096, BYTES = COUNT * 4 };

static CUcontext context;
static CUmodule module;
static CUfunction sum_rows, add_one, set_to;
static CUdeviceptr x, y;
static CUstream first, second;
static uint8_t *pinned;

static void begin(void)
{
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    OK(cu.cuModuleLoadData(&module, test_kernels));
    OK(cu.cuModuleGetFunction(&sum_rows, module, "sum_rows"));
    OK(cu.cuModuleGetFunction(&add_one, module, "add_one"));
    OK(cu.cuModuleGetFunction(&set_to, module, "set_to"));
    OK(cu.cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
    OK(cu.cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
    OK(cu.cuMemAlloc_v2(&x, BYTES));
    OK(cu.cuMemAlloc_v2(&y, BYTES));
    OK(cu.cuMemsetD32_v2(x, 0, COUNT));
    OK(cu.cuMemsetD32_v2(y, 0, COUNT));
    OK(cu.cuMemHostAlloc((void **)&pinned, BYTES, 0));
    memset(pinned, 0, BYTES);
    OK(cu.cuCtxSynchronize());
}

static int end(void)
{
    OK(cu.cuCtxSynchronize());
    if (x)
        OK(cu.cuMemFree_v2(x));
    if (y)
        OK(cu.cuMemFree_v2(y));
    if (pinned)
        OK(cu.cuMemFreeHost(pinned));
    OK(cu.cuStreamDestroy_v2(first));
    OK(cu.cuStreamDestroy_v2(second));
    if (module)
        OK(cu.cuModuleUnload(module));
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

static void add_to(CUdeviceptr address, unsigned count, CUstream stream)
{
    void *params[] = {&address, &count};
    OK(cu.cuLaunchKernel(add_one, (count + 255) / 256, 1, 1, 256, 1, 1, 0, stream, params, NULL));
}

static uint8_t look_at(const void *address)
{
    return *(const volatile uint8_t *)address;
}

// ---- planted ----

static int copy_beyond(void)
{
    uint8_t data[BYTES] = {0};
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemcpyHtoD_v2(x + 1, data, BYTES));
    return end();
}

static int copy_beyond_pinned(void)
{
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemcpyHtoDAsync_v2(x, pinned + 1, BYTES, first));
    return end();
}

static int copy_nowhere(void)
{
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemsetD8_v2(4096, 0, 1));
    return end();
}

static int copy_freed(void)
{
    uint8_t byte;
    CUdeviceptr dead = x;
    OK(cu.cuMemFree_v2(x));
    x = 0;
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemcpyDtoH_v2(&byte, dead, 1));
    return end();
}

static int copy_freed_in_stream(void)
{
    CUdeviceptr dead;
    OK(cu.cuMemAllocAsync(&dead, 64, first));
    OK(cu.cuMemFreeAsync(dead, first));
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemsetD8Async(dead, 0, 64, first));
    return end();
}

static int kernel_uses_freed(void)
{
    CUdeviceptr dead = x;
    OK(cu.cuMemFree_v2(x));
    x = 0;
    add_to(dead, 1, NULL);
    cu.cuCtxSynchronize();
    return end();
}

static int kernel_beyond(void)
{
    add_to(x, COUNT + 1, NULL);
    cu.cuCtxSynchronize();
    return end();
}

static int free_twice(void)
{
    OK(cu.cuMemFree_v2(x));
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemFree_v2(x));
    x = 0;
    return end();
}

static int free_inside(void)
{
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemFree_v2(x + 256));
    return end();
}

static int free_in_use(void)
{
    add_to(x, COUNT, first);
    OK(cu.cuMemFree_v2(x));
    x = 0;
    return end();
}

static int free_async_in_use(void)
{
    CUdeviceptr memory;
    OK(cu.cuMemAllocAsync(&memory, BYTES, first));
    OK(cu.cuMemsetD8Async(memory, 0, BYTES, first));
    OK(cu.cuMemFreeAsync(memory, second));
    OK(cu.cuStreamSynchronize(first));
    return end();
}

static int free_pinned_in_use(void)
{
    OK(cu.cuMemcpyHtoDAsync_v2(x, pinned, BYTES, first));
    OK(cu.cuMemFreeHost(pinned));
    pinned = NULL;
    return end();
}

static int unload_in_use(void)
{
    add_to(x, COUNT, first);
    OK(cu.cuModuleUnload(module));
    module = NULL;
    return end();
}

static int read_before_wait(void)
{
    OK(cu.cuMemcpyDtoHAsync_v2(pinned + 100, x, 4, first));
    look_at(pinned + 102);
    return end();
}

static int write_before_wait(void)
{
    OK(cu.cuMemcpyHtoDAsync_v2(x, pinned, BYTES, first));
    pinned[BYTES - 1] = 1;
    return end();
}

static int write_registered_before_wait(void)
{
    static uint8_t mine[BYTES];
    OK(cu.cuMemHostRegister_v2(mine, BYTES, 0));
    OK(cu.cuMemcpyHtoDAsync_v2(x, mine, BYTES, first));
    mine[77] = 1;
    OK(cu.cuStreamSynchronize(first));
    OK(cu.cuMemHostUnregister(mine));
    return end();
}

static int wait_for_the_wrong_stream(void)
{
    OK(cu.cuMemcpyDtoHAsync_v2(pinned, x, 4, first));
    OK(cu.cuStreamSynchronize(second));
    look_at(pinned);
    return end();
}

static int missing_stream_wait(void)
{
    OK(cu.cuMemcpyHtoDAsync_v2(x, pinned, BYTES, first));
    OK(cu.cuMemcpyDtoDAsync_v2(y, x, BYTES, second));
    return end();
}

static int missing_stream_wait_kernel(void)
{
    OK(cu.cuMemcpyHtoDAsync_v2(x, pinned, BYTES, first));
    add_to(x, COUNT, second);
    return end();
}

static int used_before_allocated(void)
{
    CUdeviceptr memory;
    OK(cu.cuMemAllocAsync(&memory, BYTES, first));
    OK(cu.cuMemsetD8Async(memory, 0, BYTES, second));
    OK(cu.cuCtxSynchronize());
    OK(cu.cuMemFreeAsync(memory, first));
    return end();
}

static int reads_nothing_written(void)
{
    CUdeviceptr fresh;
    uint8_t data[16];
    OK(cu.cuMemAlloc_v2(&fresh, 64));
    OK(cu.cuMemcpyDtoH_v2(data, fresh, sizeof data));
    OK(cu.cuMemFree_v2(fresh));
    return end();
}

static int wrong_parameter_bytes(void)
{
    struct {
        CUdeviceptr address;
        uint64_t count;
    } params = {x, COUNT};
    size_t bytes = sizeof params;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &params, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                     CU_LAUNCH_PARAM_END};
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuLaunchKernel(add_one, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, extra));
    return end();
}

static int missing_parameter(void)
{
    void *params[] = {&x, NULL};
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuLaunchKernel(add_one, 1, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
    return end();
}

static int too_much_shared(void)
{
    unsigned count = 1;
    void *params[] = {&x, &count};
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuLaunchKernel(add_one, 1, 1, 1, 32, 1, 1, 49153, NULL, params, NULL));
    return end();
}

// The second node reads what the first writes, and does not say so.
static int missing_graph_dependency(void)
{
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode node;
    CUdeviceptr fresh;
    unsigned count = 256;
    float value = 1;
    OK(cu.cuMemAlloc_v2(&fresh, count * 4));
    OK(cu.cuGraphCreate(&graph, 0));
    void *set[] = {&fresh, &count, &value}, *add[] = {&fresh, &count};
    CUDA_KERNEL_NODE_PARAMS_v1 params = {set_to, 1, 1, 1, 256, 1, 1, 0, set, NULL};
    OK(cu.cuGraphAddKernelNode(&node, graph, NULL, 0, &params));
    params.func = add_one;
    params.kernelParams = add;
    OK(cu.cuGraphAddKernelNode(&node, graph, NULL, 0, &params));
    OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cu.cuGraphLaunch(exec, first));
    OK(cu.cuStreamSynchronize(first));
    OK(cu.cuGraphExecDestroy(exec));
    OK(cu.cuGraphDestroy(graph));
    OK(cu.cuMemFree_v2(fresh));
    return end();
}

static void calls_the_driver(void *user)
{
    *(CUresult *)user = cu.cuCtxSynchronize();
}

static int driver_from_host_function(void)
{
    CUresult result = CUDA_SUCCESS;
    OK(cu.cuLaunchHostFunc(first, calls_the_driver, &result));
    OK(cu.cuStreamSynchronize(first));
    REQUIRE(result == CUDA_ERROR_NOT_PERMITTED);
    return end();
}

static int trap(void)
{
    CUfunction stop;
    OK(cu.cuModuleGetFunction(&stop, module, "stop"));
    OK(cu.cuLaunchKernel(stop, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
    IS(CUDA_ERROR_ILLEGAL_INSTRUCTION, cu.cuCtxSynchronize());
    CUdeviceptr more;
    IS(CUDA_ERROR_ILLEGAL_INSTRUCTION, cu.cuMemAlloc_v2(&more, 4)); // stays
    OK(cu.cuMemFree_v2(x));
    OK(cu.cuMemFree_v2(y));
    OK(cu.cuMemFreeHost(pinned));
    OK(cu.cuStreamDestroy_v2(first));
    OK(cu.cuStreamDestroy_v2(second));
    OK(cu.cuModuleUnload(module));
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

static int leaves_memory(void)
{
    x = 0;
    return end();
}

static int leaves_pinned(void)
{
    pinned = NULL;
    return end();
}

static int leaves_module(void)
{
    module = NULL;
    return end();
}

static int leaves_event(void)
{
    CUevent event;
    OK(cu.cuEventCreate(&event, 0));
    return end();
}

static int leaves_graph(void)
{
    CUgraph graph;
    OK(cu.cuGraphCreate(&graph, 0));
    return end();
}

static int leaves_stream(void)
{
    CUstream stream;
    OK(cu.cuStreamCreate(&stream, 0));
    return end();
}

static int leaves_context(void)
{
    CUcontext primary;
    OK(cu.cuDevicePrimaryCtxRetain(&primary, 0));
    return end();
}

static int leaves_pool(void)
{
    CUmemoryPool pool;
    CUmemPoolProps props = {.allocType = 1, .location = {1, 0}};
    OK(cu.cuMemPoolCreate(&pool, &props));
    return end();
}

static int never_waits(void)
{
    CUcontext primary;
    end();
    OK(cu.cuDevicePrimaryCtxRetain(&primary, 0));
    OK(cu.cuCtxSetCurrent(primary));
    OK(cu.cuMemAlloc_v2(&x, 64));
    OK(cu.cuMemsetD8_v2(x, 0, 64));
    return 0;
}

// ---- no mistakes ----

static int halves_of_a_ring(void)
{
    OK(cu.cuMemcpyDtoHAsync_v2(pinned, x, 64, first));
    OK(cu.cuMemcpyHtoDAsync_v2(y, pinned + 64, 64, second));
    pinned[128] = 7;
    look_at(pinned + 64);
    look_at(pinned + 200);
    OK(cu.cuStreamSynchronize(first));
    look_at(pinned);
    OK(cu.cuStreamSynchronize(second));
    pinned[64] = 1;
    return end();
}

static int asks_until_done(void)
{
    CUevent event;
    CUresult result;
    OK(cu.cuEventCreate(&event, 0));
    add_to(x, COUNT, first);
    OK(cu.cuMemcpyDtoHAsync_v2(pinned, x, BYTES, first));
    OK(cu.cuEventRecord(event, first));
    while ((result = cu.cuEventQuery(event)) == CUDA_ERROR_NOT_READY)
        continue;
    OK(result);
    REQUIRE(*(float *)pinned == 1);
    OK(cu.cuEventDestroy_v2(event));
    return end();
}

static int waits_through_a_third(void)
{
    CUstream third;
    CUevent a, b;
    OK(cu.cuStreamCreate(&third, CU_STREAM_NON_BLOCKING));
    OK(cu.cuEventCreate(&a, CU_EVENT_DISABLE_TIMING));
    OK(cu.cuEventCreate(&b, CU_EVENT_DISABLE_TIMING));
    OK(cu.cuMemcpyHtoDAsync_v2(x, pinned, BYTES, first));
    OK(cu.cuEventRecord(a, first));
    OK(cu.cuStreamWaitEvent(second, a, 0));
    OK(cu.cuEventRecord(b, second));
    OK(cu.cuStreamWaitEvent(third, b, 0));
    add_to(x, COUNT, third);
    OK(cu.cuMemcpyDtoHAsync_v2(pinned, x, BYTES, third));
    OK(cu.cuStreamSynchronize(third));
    REQUIRE(*(float *)pinned == 1);
    OK(cu.cuEventDestroy_v2(a));
    OK(cu.cuEventDestroy_v2(b));
    OK(cu.cuStreamDestroy_v2(third));
    return end();
}

static void set_all(CUdeviceptr address, float value, CUstream stream)
{
    unsigned count = COUNT;
    void *params[] = {&address, &count, &value};
    OK(cu.cuLaunchKernel(set_to, COUNT / 256, 1, 1, 256, 1, 1, 0, stream, params, NULL));
}

static int default_stream_orders(void)
{
    CUstream blocking;
    float value;
    OK(cu.cuStreamCreate(&blocking, 0));
    set_all(x, 2, blocking);
    add_to(x, COUNT, NULL);
    OK(cu.cuMemcpyDtoH_v2(&value, x, 4));
    REQUIRE(value == 3);
    set_all(x, 5, NULL);
    add_to(x, COUNT, blocking);
    OK(cu.cuMemcpyDtoHAsync_v2(pinned, x, 4, blocking));
    OK(cu.cuStreamSynchronize(blocking));
    REQUIRE(*(float *)pinned == 6);
    OK(cu.cuStreamDestroy_v2(blocking));
    return end();
}

static int pageable_both_ways(void)
{
    uint8_t data[64];
    memset(data, 5, sizeof data);
    OK(cu.cuMemcpyHtoDAsync_v2(x, data, sizeof data, first));
    memset(data, 6, sizeof data); // was taken at the call
    OK(cu.cuMemcpyDtoHAsync_v2(data, x, sizeof data, first));
    REQUIRE(data[63] == 5); // was waited for in the call
    return end();
}

static int buffer_of_parameters(void)
{
    struct {
        CUdeviceptr address;
        unsigned count;
    } params = {x, COUNT};
    size_t bytes = 12;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &params, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                     CU_LAUNCH_PARAM_END};
    OK(cu.cuLaunchKernel(add_one, COUNT / 256, 1, 1, 256, 1, 1, 0, NULL, NULL, extra));
    CUlaunchConfig config = {COUNT / 256, 1, 1, 256, 1, 1, 0, NULL, NULL, 0};
    OK(cu.cuLaunchKernelEx(&config, add_one, NULL, extra));
    float value;
    OK(cu.cuMemcpyDtoH_v2(&value, x + BYTES - 4, 4));
    REQUIRE(value == 2);
    return end();
}

static int more_than_the_queue(void)
{
    float value;
    for (int i = 0; i < 5000; i++)
        add_to(x, 1, first);
    OK(cu.cuStreamSynchronize(first));
    OK(cu.cuMemcpyDtoH_v2(&value, x, 4));
    REQUIRE(value == 5000);
    return end();
}

static const test_program programs[] = {
    {"copy beyond an allocation", copy_beyond, ": out of range: cuMemcpyHtoD_v2: "},
    {"copy beyond pinned memory", copy_beyond_pinned, ": out of range: cuMemcpyHtoDAsync_v2: "},
    {"fill where nothing is", copy_nowhere, ": out of range: cuMemsetD8_v2: "},
    {"copy from freed memory", copy_freed, ": use after free: cuMemcpyDtoH_v2: "},
    {"fill after a free in the stream", copy_freed_in_stream, ": use after free: cuMemsetD8Async: "},
    {"kernel uses freed memory", kernel_uses_freed, ": kernel: cuLaunchKernel: use after free"},
    {"kernel beyond an allocation", kernel_beyond, ": kernel: cuLaunchKernel: out of bounds"},
    {"free twice", free_twice, ": bad free: cuMemFree_v2: "},
    {"free inside", free_inside, ": bad free: cuMemFree_v2: "},
    {"free in use", free_in_use, ": freed in use: cuMemFree_v2: "},
    {"free in another stream", free_async_in_use, ": freed in use: cuMemFreeAsync: "},
    {"free of pinned memory in use", free_pinned_in_use, ": freed in use: cuMemFreeHost: "},
    {"unload in use", unload_in_use, ": freed in use: cuModuleUnload: "},
    {"read before the wait", read_before_wait,
     ": host access before synchronisation: cuMemcpyDtoHAsync_v2: the host read byte 102"},
    {"write before the wait", write_before_wait,
     ": host access before synchronisation: cuMemcpyHtoDAsync_v2: the host wrote byte"},
    {"write of registered memory", write_registered_before_wait,
     ": host access before synchronisation: cuMemcpyHtoDAsync_v2: "},
    {"wait for the wrong stream", wait_for_the_wrong_stream,
     ": host access before synchronisation: cuMemcpyDtoHAsync_v2: "},
    {"no wait between streams", missing_stream_wait, ": no order between streams: cuMemcpyDtoDAsync_v2: "},
    {"no wait before a kernel", missing_stream_wait_kernel, ": no order between streams: cuLaunchKernel: "},
    {"used before allocated", used_before_allocated, ": no order between streams: cuMemsetD8Async: "},
    {"read of what nobody wrote", reads_nothing_written, ": copy of memory never written: cuMemcpyDtoH_v2: "},
    {"wrong bytes of parameters", wrong_parameter_bytes, ": wrong parameters: cuLaunchKernel: "},
    {"missing parameter", missing_parameter, ": wrong parameters: cuLaunchKernel: "},
    {"too much shared memory", too_much_shared, ": wrong parameters: cuLaunchKernel: "},
    {"missing dependency in a graph", missing_graph_dependency,
     ": kernel: cuGraphAddKernelNode: uninitialised"},
    {"driver call in a host function", driver_from_host_function, ": wrong parameters: cuCtxSynchronize: "},
    {"leaves memory", leaves_memory, ": leak: cuCtxDestroy_v2: allocation"},
    {"leaves pinned memory", leaves_pinned, ": leak: cuCtxDestroy_v2: pinned memory"},
    {"leaves a module", leaves_module, ": leak: cuCtxDestroy_v2: a module"},
    {"leaves an event", leaves_event, ": leak: cuCtxDestroy_v2: an event"},
    {"leaves a graph", leaves_graph, ": leak: cuCtxDestroy_v2: a graph"},
    {"leaves a stream", leaves_stream, ": leak: cuCtxDestroy_v2: a stream"},
    {"leaves the primary context", leaves_context, ": leak: exit: a context"},
    {"leaves a pool", leaves_pool, ": leak: exit: a memory pool"},
    {"never waits", never_waits, ": work never waited for: exit: 1 operations"},
    {"trap", trap, ": kernel: cuLaunchKernel: trap"},
    {"halves of a ring", halves_of_a_ring, NULL},
    {"asks until done", asks_until_done, NULL},
    {"waits through a third stream", waits_through_a_third, NULL},
    {"default stream orders", default_stream_orders, NULL},
    {"pageable both ways", pageable_both_ways, NULL},
    {"buffer of parameters", buffer_of_parameters, NULL},
    {"more than the queue holds", more_than_the_queue, NULL},
};

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: driver_checks_test LIBRARY\n");
        return 2;
    }
    make_report_path();
    return run_programs(arguments[1], begin, programs, sizeof programs / sizeof programs[0]) != 0;
}
