// SPDX-License-Identifier: MIT
//
// An ordinary program on the driver API: sums the rows of a matrix with shuffles and dynamic shared memory,
// by launches, by streams and events, by a graph and by a captured stream, and compares with the host's sums.
// Takes the library's path, so it runs on libcuda.so.1 too; knows nothing of the simulator but that its name
// says so.
#include "driver_test.h"

#include <math.h>

enum { ROWS = 7, COLUMNS = 1000, THREADS = 128 };

static float matrix[ROWS * COLUMNS];
static CUfunction sum_rows, add_one, set_to;
static CUmodule module;
static CUcontext context;

static float host_sum(int row, float scale, float each)
{
    double sum = 0;
    for (int i = 0; i < COLUMNS; i++)
        sum += (double)(matrix[row * COLUMNS + i] + each) * scale;
    return (float)sum;
}

static int wrong_sums(const float *sums, float scale, float each)
{
    int wrong = 0;
    for (int r = 0; r < ROWS; r++) {
        float wanted = host_sum(r, scale, each) + (float)(r % 4);
        if (!(fabsf(sums[r] - wanted) <= 1e-3f * (1 + fabsf(wanted)))) {
            printf("row %d: %g, not %g\n", r, (double)sums[r], (double)wanted);
            wrong++;
        }
    }
    return wrong;
}

static void set_up(void)
{
    char name[128], info[512] = "", error[512] = "";
    int major = 0, minor = 0, version = 0, count = 0;
    size_t total = 0, bytes = 0;
    CUdevice device;
    CUdeviceptr bias;
    OK(cu.cuInit(0));
    OK(cu.cuDriverGetVersion(&version));
    OK(cu.cuDeviceGetCount(&count));
    OK(cu.cuDeviceGet(&device, 0));
    OK(cu.cuDeviceGetName(name, sizeof name, device));
    OK(cu.cuDeviceTotalMem_v2(&total, device));
    OK(cu.cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device));
    OK(cu.cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device));
    printf("%s, compute capability %d.%d, driver %d, %zu bytes\n", name, major, minor, version, total);
    OK(cu.cuDevicePrimaryCtxRetain(&context, device));
    OK(cu.cuCtxSetCurrent(context));
    CUjit_option options[] = {CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {info, (void *)sizeof info, error, (void *)sizeof error};
    OK(cu.cuModuleLoadDataEx(&module, test_kernels, 4, options, values));
    OK(cu.cuModuleGetFunction(&sum_rows, module, "sum_rows"));
    OK(cu.cuModuleGetFunction(&add_one, module, "add_one"));
    OK(cu.cuModuleGetFunction(&set_to, module, "set_to"));
    OK(cu.cuModuleGetGlobal_v2(&bias, &bytes, module, "bias"));
    REQUIRE(bytes == 4 * sizeof(float));
    OK(cu.cuMemcpyHtoD_v2(bias, (float[]){0, 1, 2, 3}, bytes));
    int blocks = 0;
    OK(cu.cuFuncSetAttribute(sum_rows, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 60000));
    OK(cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, sum_rows, THREADS, THREADS / 8));
    REQUIRE(blocks > 0);
}

static void launch_sum(CUdeviceptr x, CUdeviceptr sums, float scale, CUstream stream)
{
    unsigned columns = COLUMNS;
    void *params[] = {&x, &sums, &columns, &scale};
    OK(cu.cuLaunchKernel(sum_rows, ROWS, 1, 1, THREADS, 1, 1, THREADS / 32 * sizeof(float), stream, params,
                         NULL));
}

static int plain(void)
{
    CUdeviceptr x, sums;
    float out[ROWS];
    OK(cu.cuMemAlloc_v2(&x, sizeof matrix));
    OK(cu.cuMemAlloc_v2(&sums, sizeof out));
    OK(cu.cuMemcpyHtoD_v2(x, matrix, sizeof matrix));
    launch_sum(x, sums, 0.5f, NULL);
    OK(cu.cuCtxSynchronize());
    OK(cu.cuMemcpyDtoH_v2(out, sums, sizeof out));
    OK(cu.cuMemFree_v2(x));
    OK(cu.cuMemFree_v2(sums));
    return wrong_sums(out, 0.5f, 0);
}

// One stream copies in and prepares, another sums, with stream-ordered memory and pinned staging.
static int streams(void)
{
    CUstream first, second;
    CUevent ready, begin, end;
    CUdeviceptr x, sums;
    float *staging, *out, ms = -1;
    unsigned count = ROWS * COLUMNS;
    OK(cu.cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
    OK(cu.cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
    OK(cu.cuEventCreate(&ready, CU_EVENT_DISABLE_TIMING));
    OK(cu.cuEventCreate(&begin, 0));
    OK(cu.cuEventCreate(&end, 0));
    OK(cu.cuMemHostAlloc((void **)&staging, sizeof matrix, 0));
    OK(cu.cuMemHostAlloc((void **)&out, ROWS * sizeof(float), 0));
    memcpy(staging, matrix, sizeof matrix);
    OK(cu.cuMemAllocAsync(&x, sizeof matrix, first));
    OK(cu.cuMemAllocAsync(&sums, ROWS * sizeof(float), first));
    OK(cu.cuEventRecord(begin, first));
    OK(cu.cuMemcpyHtoDAsync_v2(x, staging, sizeof matrix, first));
    void *params[] = {&x, &count};
    OK(cu.cuLaunchKernel(add_one, (count + 255) / 256, 1, 1, 256, 1, 1, 0, first, params, NULL));
    OK(cu.cuEventRecord(ready, first));
    OK(cu.cuStreamWaitEvent(second, ready, 0));
    launch_sum(x, sums, 2, second);
    OK(cu.cuMemcpyDtoHAsync_v2(out, sums, ROWS * sizeof(float), second));
    OK(cu.cuMemFreeAsync(x, second));
    OK(cu.cuMemFreeAsync(sums, second));
    OK(cu.cuEventRecord(end, second));
    OK(cu.cuEventSynchronize(end));
    OK(cu.cuEventElapsedTime(&ms, begin, end));
    REQUIRE(ms >= 0);
    int wrong = wrong_sums(out, 2, 1);
    OK(cu.cuStreamSynchronize(first));
    REQUIRE(cu.cuStreamQuery(second) == CUDA_SUCCESS);
    OK(cu.cuMemFreeHost(staging));
    OK(cu.cuMemFreeHost(out));
    OK(cu.cuEventDestroy_v2(ready));
    OK(cu.cuEventDestroy_v2(begin));
    OK(cu.cuEventDestroy_v2(end));
    OK(cu.cuStreamDestroy_v2(first));
    OK(cu.cuStreamDestroy_v2(second));
    return wrong;
}

static CUDA_KERNEL_NODE_PARAMS_v2 kernel_params(CUfunction function, unsigned blocks, unsigned threads,
                                                void **params)
{
    return (CUDA_KERNEL_NODE_PARAMS_v2){.func = function,
                                        .gridDimX = blocks,
                                        .gridDimY = 1,
                                        .gridDimZ = 1,
                                        .blockDimX = threads,
                                        .blockDimY = 1,
                                        .blockDimZ = 1,
                                        .sharedMemBytes = threads / 32 * sizeof(float),
                                        .kernelParams = params};
}

// set_to, then sum_rows, then a copy to the host; replayed with another value.
static int graphs(void)
{
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode set, sum, copy;
    CUdeviceptr x, sums;
    CUstream stream;
    float out[ROWS], value = 0, scale = 1;
    unsigned count = ROWS * COLUMNS, columns = COLUMNS;
    int wrong = 0;
    OK(cu.cuStreamCreate(&stream, 0));
    OK(cu.cuMemAlloc_v2(&x, sizeof matrix));
    OK(cu.cuMemAlloc_v2(&sums, sizeof out));
    OK(cu.cuGraphCreate(&graph, 0));
    void *set_params[] = {&x, &count, &value}, *sum_params[] = {&x, &sums, &columns, &scale};
    CUDA_KERNEL_NODE_PARAMS_v2 set_node = kernel_params(set_to, (count + 255) / 256, 256, set_params);
    CUDA_KERNEL_NODE_PARAMS_v2 sum_node = kernel_params(sum_rows, ROWS, THREADS, sum_params);
    CUDA_MEMCPY3D copy_node = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                               .srcDevice = sums,
                               .dstMemoryType = CU_MEMORYTYPE_HOST,
                               .dstHost = out,
                               .WidthInBytes = sizeof out,
                               .Height = 1,
                               .Depth = 1};
    OK(cu.cuGraphAddKernelNode_v2(&set, graph, NULL, 0, &set_node));
    OK(cu.cuGraphAddKernelNode_v2(&sum, graph, &set, 1, &sum_node));
    OK(cu.cuGraphAddMemcpyNode(&copy, graph, &sum, 1, &copy_node, context));
    OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (int step = 1; step <= 3; step++) {
        value = (float)step;
        OK(cu.cuGraphExecKernelNodeSetParams_v2(exec, set, &set_node));
        OK(cu.cuGraphLaunch(exec, stream));
        OK(cu.cuStreamSynchronize(stream));
        for (int r = 0; r < ROWS; r++)
            wrong += out[r] != (float)(step * COLUMNS + r % 4);
    }
    OK(cu.cuGraphExecDestroy(exec));
    OK(cu.cuGraphDestroy(graph));
    OK(cu.cuMemFree_v2(x));
    OK(cu.cuMemFree_v2(sums));
    OK(cu.cuStreamDestroy_v2(stream));
    return wrong;
}

// Two launches between event nodes, the graph twice: each run's events follow one another and are waited for
// by their names; what was recorded last counts.
static int timed_graph(void)
{
    enum { NODES = 5 };
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode nodes[NODES];
    CUevent events[3], gone;
    CUdeviceptr x;
    float value = 0, one = 0, both = 0;
    OK(cu.cuMemAlloc_v2(&x, sizeof value));
    OK(cu.cuMemsetD32_v2(x, 0, 1));
    OK(cu.cuGraphCreate(&graph, 0));
    int elements = 1;
    void *params[] = {&x, &elements};
    CUDA_KERNEL_NODE_PARAMS_v2 add = kernel_params(add_one, 1, 32, params);
    for (int i = 0; i < NODES; i++) {
        const CUgraphNode *after = i ? &nodes[i - 1] : NULL;
        if (i % 2) {
            OK(cu.cuGraphAddKernelNode_v2(&nodes[i], graph, after, i > 0, &add));
            continue;
        }
        OK(cu.cuEventCreate(&events[i / 2], 0));
        OK(cu.cuGraphAddEventRecordNode(&nodes[i], graph, after, i > 0, events[i / 2]));
    }
    OK(cu.cuEventCreate(&gone, 0));
    OK(cu.cuEventDestroy_v2(gone));
    IS(CUDA_ERROR_INVALID_HANDLE, cu.cuGraphAddEventRecordNode(&nodes[0], graph, NULL, 0, gone));
    OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
    IS(CUDA_ERROR_INVALID_HANDLE, cu.cuEventElapsedTime(&one, events[0], events[1])); // not recorded yet
    OK(cu.cuGraphLaunch(exec, NULL));
    OK(cu.cuGraphLaunch(exec, NULL));
    IS(CUDA_ERROR_NOT_READY, cu.cuEventElapsedTime(&one, events[0], events[1]));
    OK(cu.cuEventSynchronize(events[2]));
    OK(cu.cuEventElapsedTime(&one, events[0], events[1]));
    OK(cu.cuEventElapsedTime(&both, events[0], events[2]));
    OK(cu.cuMemcpyDtoH_v2(&value, x, sizeof value));
    OK(cu.cuGraphExecDestroy(exec));
    OK(cu.cuGraphDestroy(graph));
    for (int i = 0; i < 3; i++)
        OK(cu.cuEventDestroy_v2(events[i]));
    OK(cu.cuMemFree_v2(x));
    printf("events in a graph: value %g, %g ms of %g ms\n", (double)value, (double)one, (double)both);
    return value != 4 || !(one > 0) || !(both > one);
}

static int parameters(void)
{
    size_t offset = 0, bytes = 0;
    static const size_t wanted[4][2] = {{0, 8}, {8, 8}, {16, 4}, {20, 4}};
    int wrong = 0;
    for (size_t i = 0; i < 4; i++) {
        OK(cu.cuFuncGetParamInfo(sum_rows, i, &offset, &bytes));
        wrong += offset != wanted[i][0] || bytes != wanted[i][1];
    }
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuFuncGetParamInfo(sum_rows, 4, &offset, &bytes));
    return wrong;
}

// Two streams captured into one graph.
static int capture(void)
{
    CUstream first, second;
    CUevent fork_point, join_point;
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr x, sums;
    float out[ROWS];
    size_t nodes = 0;
    OK(cu.cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
    OK(cu.cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
    OK(cu.cuEventCreate(&fork_point, CU_EVENT_DISABLE_TIMING));
    OK(cu.cuEventCreate(&join_point, CU_EVENT_DISABLE_TIMING));
    OK(cu.cuMemAlloc_v2(&x, sizeof matrix));
    OK(cu.cuMemAlloc_v2(&sums, sizeof out));
    OK(cu.cuStreamBeginCapture_v2(first, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cu.cuEventRecord(fork_point, first));
    OK(cu.cuStreamWaitEvent(second, fork_point, 0));
    OK(cu.cuMemsetD32Async(x, 0x3f800000, ROWS * COLUMNS, second));
    OK(cu.cuEventRecord(join_point, second));
    OK(cu.cuStreamWaitEvent(first, join_point, 0));
    launch_sum(x, sums, 1, first);
    OK(cu.cuStreamEndCapture(first, &graph));
    OK(cu.cuGraphGetNodes(graph, NULL, &nodes));
    REQUIRE(nodes == 2);
    OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cu.cuGraphLaunch(exec, first));
    OK(cu.cuMemcpyDtoHAsync_v2(out, sums, sizeof out, first));
    OK(cu.cuStreamSynchronize(first));
    int wrong = 0;
    for (int r = 0; r < ROWS; r++)
        wrong += out[r] != (float)(COLUMNS + r % 4);
    OK(cu.cuGraphExecDestroy(exec));
    OK(cu.cuGraphDestroy(graph));
    OK(cu.cuMemFree_v2(x));
    OK(cu.cuMemFree_v2(sums));
    OK(cu.cuEventDestroy_v2(fork_point));
    OK(cu.cuEventDestroy_v2(join_point));
    OK(cu.cuStreamDestroy_v2(first));
    OK(cu.cuStreamDestroy_v2(second));
    return wrong;
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: driver_program_test LIBRARY\n");
        return 2;
    }
    load_library(arguments[1]);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        matrix[i] = (float)(i % 17 - 8) / 4;
    set_up();
    int wrong = plain() + streams() + graphs() + timed_graph() + parameters() + capture();
    OK(cu.cuModuleUnload(module));
    OK(cu.cuDevicePrimaryCtxRelease_v2(0));
    printf("driver_program_test: %d wrong sums\n", wrong);
    return wrong != 0;
}
