// SPDX-License-Identifier: MIT
//
// Several host threads on one context, each with its stream, memory and events, and now and then the whole
// device waited for: right results, and no report.
#include "driver_test.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 40, COUNT = 1000 };

static CUcontext context;
static CUfunction add_one;

static void *work(void *argument)
{
    const int *number = argument;
    CUstream stream;
    CUevent event;
    CUdeviceptr x;
    float *pinned;
    unsigned count = COUNT;
    OK(cu.cuCtxSetCurrent(context));
    OK(cu.cuStreamCreate(&stream, *number % 2 ? CU_STREAM_NON_BLOCKING : 0));
    OK(cu.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    OK(cu.cuMemHostAlloc((void **)&pinned, COUNT * sizeof *pinned, 0));
    for (int round = 0; round < ROUNDS; round++) {
        OK(cu.cuMemAllocAsync(&x, COUNT * sizeof *pinned, stream));
        for (int i = 0; i < COUNT; i++)
            pinned[i] = (float)(i + round);
        void *params[] = {&x, &count};
        OK(cu.cuMemcpyHtoDAsync_v2(x, pinned, COUNT * sizeof *pinned, stream));
        OK(cu.cuLaunchKernel(add_one, 4, 1, 1, 256, 1, 1, 0, stream, params, NULL));
        OK(cu.cuMemcpyDtoHAsync_v2(pinned, x, COUNT * sizeof *pinned, stream));
        OK(cu.cuMemFreeAsync(x, stream));
        OK(cu.cuEventRecord(event, stream));
        OK(round % 8 ? cu.cuEventSynchronize(event) : cu.cuCtxSynchronize());
        for (int i = 0; i < COUNT; i++)
            REQUIRE(pinned[i] == (float)(i + round + 1));
    }
    OK(cu.cuMemFreeHost(pinned));
    OK(cu.cuEventDestroy_v2(event));
    OK(cu.cuStreamDestroy_v2(stream));
    return NULL;
}

static int run_threads(void)
{
    CUmodule module;
    pthread_t threads[THREADS];
    int numbers[THREADS];
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    OK(cu.cuModuleLoadData(&module, test_kernels));
    OK(cu.cuModuleGetFunction(&add_one, module, "add_one"));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        REQUIRE(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    OK(cu.cuModuleUnload(module));
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

int main(int count, char **arguments)
{
    int status;
    if (count < 2) {
        fprintf(stderr, "usage: driver_threads_test LIBRARY\n");
        return 2;
    }
    make_report_path();
    char *report = run_child(arguments[1], run_threads, &status);
    bool right = status == 0 && report && strstr(report, " 0 findings");
    printf("driver_threads_test: %d threads, status %d\n%s", THREADS, status, report ? report : "");
    free(report);
    return !right;
}
