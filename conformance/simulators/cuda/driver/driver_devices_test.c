// SPDX-License-Identifier: MIT
//
// Three devices of three chips, of which the first two may have access to each other: what each has of its
// own, work and copies between them, the end of one; and each use of what belongs to another, to be refused
// or named.
#include "driver_test.h"

#include <pthread.h>

enum { DEVICES = 3, COUNT = 1024, BYTES = COUNT * 4 };

typedef struct place {
    CUcontext context;
    CUmodule module;
    CUfunction add_one, stop;
    CUstream stream;
    CUevent event;
    CUdeviceptr x;
    float *pinned;
} place;

static place places[DEVICES];

static place *at(int device)
{
    OK(cu.cuCtxSetCurrent(places[device].context));
    return &places[device];
}

static void make_place(int device)
{
    place *p = &places[device];
    OK(cu.cuDevicePrimaryCtxRetain(&p->context, device));
    at(device);
    OK(cu.cuModuleLoadData(&p->module, test_kernels));
    OK(cu.cuModuleGetFunction(&p->add_one, p->module, "add_one"));
    OK(cu.cuModuleGetFunction(&p->stop, p->module, "stop"));
    OK(cu.cuStreamCreate(&p->stream, CU_STREAM_NON_BLOCKING));
    OK(cu.cuEventCreate(&p->event, 0));
    OK(cu.cuMemAlloc_v2(&p->x, BYTES));
    OK(cu.cuMemsetD32_v2(p->x, 0, COUNT));
    OK(cu.cuMemHostAlloc((void **)&p->pinned, BYTES, 0));
    OK(cu.cuCtxSynchronize());
}

static void begin(void)
{
    OK(cu.cuInit(0));
    for (int i = 0; i < DEVICES; i++)
        make_place(i);
}

static void end_place(int device)
{
    place *p = at(device);
    if (p->x)
        OK(cu.cuMemFree_v2(p->x));
    if (p->module)
        OK(cu.cuModuleUnload(p->module));
    OK(cu.cuMemFreeHost(p->pinned));
    OK(cu.cuEventDestroy_v2(p->event));
    OK(cu.cuStreamDestroy_v2(p->stream));
    OK(cu.cuDevicePrimaryCtxRelease_v2(device));
}

static int end(void)
{
    for (int i = 0; i < DEVICES; i++) {
        at(i);
        OK(cu.cuCtxSynchronize());
    }
    for (int i = 0; i < DEVICES; i++)
        end_place(i);
    return 0;
}

static CUresult launch(CUfunction function, CUdeviceptr x, CUstream stream)
{
    unsigned count = COUNT;
    void *params[] = {&x, &count};
    return cu.cuLaunchKernel(function, COUNT / 256, 1, 1, 256, 1, 1, 0, stream, params, NULL);
}

// The first element, by a copy that waits.
static float first_of(int device)
{
    float value;
    OK(cu.cuMemcpyDtoH_v2(&value, at(device)->x, sizeof value));
    return value;
}

// ---- each its own ----

static int enumerate(void)
{
    static const int major[DEVICES] = {8, 8, 9}, minor[DEVICES] = {0, 9, 0};
    CUuuid uuids[DEVICES];
    char names[DEVICES][64], ids[DEVICES][16];
    CUdevice device;
    int count, value;
    OK(cu.cuDeviceGetCount(&count));
    REQUIRE(count == DEVICES);
    IS(CUDA_ERROR_INVALID_DEVICE, cu.cuDeviceGet(&device, DEVICES));
    IS(CUDA_ERROR_INVALID_DEVICE, cu.cuDeviceGet(&device, -1));
    for (int i = 0; i < DEVICES; i++) {
        OK(cu.cuDeviceGet(&device, i));
        OK(cu.cuDeviceGetUuid_v2(&uuids[i], device));
        OK(cu.cuDeviceGetName(names[i], sizeof names[i], device));
        OK(cu.cuDeviceGetPCIBusId(ids[i], sizeof ids[i], device));
        OK(cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device));
        REQUIRE(value == major[i]);
        OK(cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device));
        REQUIRE(value == minor[i]);
        OK(cu.cuDeviceGetByPCIBusId(&device, ids[i]));
        REQUIRE(device == i);
        OK(cu.cuDeviceGetByPCIBusId(&device, ids[i] + 5)); // without its domain
        REQUIRE(device == i);
        at(i);
        OK(cu.cuCtxGetDevice(&device));
        REQUIRE(device == i);
        OK(cu.cuPointerGetAttribute(&value, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, places[i].x));
        REQUIRE(value == i);
        for (int j = 0; j < i; j++)
            REQUIRE(memcmp(&uuids[i], &uuids[j], sizeof uuids[i]) && strcmp(names[i], names[j]) &&
                    strcmp(ids[i], ids[j]) && places[i].context != places[j].context);
    }
    IS(CUDA_ERROR_INVALID_DEVICE, cu.cuDeviceGetByPCIBusId(&device, "0000:7f:00.0"));
    return end();
}

static int counts_apart(void)
{
    CUdeviceptr more;
    CUmemoryPool pools[2];
    uint64_t used;
    size_t left[2], total[2], now;
    for (int i = 0; i < 2; i++) {
        at(i);
        OK(cu.cuMemGetInfo_v2(&left[i], &total[i]));
        OK(cu.cuDeviceGetDefaultMemPool(&pools[i], i));
    }
    REQUIRE(total[0] != total[1] && pools[0] != pools[1]);
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuDeviceSetMemPool(0, pools[1]));
    at(1);
    OK(cu.cuMemAllocAsync(&more, 1 << 20, places[1].stream));
    OK(cu.cuMemGetInfo_v2(&now, &total[1]));
    REQUIRE(now == left[1] - (1 << 20));
    OK(cu.cuMemPoolGetAttribute(pools[1], CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    REQUIRE(used == 1 << 20);
    OK(cu.cuMemPoolGetAttribute(pools[0], CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    REQUIRE(used == 0);
    at(0);
    OK(cu.cuMemGetInfo_v2(&now, &total[0]));
    REQUIRE(now == left[0]);
    OK(cu.cuMemFreeAsync(more, places[1].stream)); // the stream says where
    return end();
}

// Waiting for one device leaves the other's work where it was.
static int waits_apart(void)
{
    CUevent events[2];
    for (int i = 0; i < 2; i++) {
        at(i);
        OK(cu.cuEventCreate(&events[i], CU_EVENT_DISABLE_TIMING));
        OK(launch(places[i].add_one, places[i].x, NULL));
        OK(cu.cuEventRecord(events[i], NULL));
    }
    at(0);
    OK(cu.cuCtxSynchronize());
    OK(cu.cuEventQuery(events[0]));
    IS(CUDA_ERROR_NOT_READY, cu.cuEventQuery(events[1])); // also from another context
    OK(cu.cuEventSynchronize(events[1]));
    REQUIRE(first_of(0) == 1 && first_of(1) == 1);
    for (int i = 0; i < 2; i++)
        OK(cu.cuEventDestroy_v2(events[i]));
    return end();
}

static void *work_on(void *argument)
{
    enum { ROUNDS = 30 };
    place *p = argument;
    OK(cu.cuCtxSetCurrent(p->context));
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++)
            p->pinned[i] = (float)(i + round);
        OK(cu.cuMemcpyHtoDAsync_v2(p->x, p->pinned, BYTES, p->stream));
        OK(launch(p->add_one, p->x, p->stream));
        OK(cu.cuMemcpyDtoHAsync_v2(p->pinned, p->x, BYTES, p->stream));
        OK(cu.cuEventRecord(p->event, p->stream));
        OK(round % 4 ? cu.cuEventSynchronize(p->event) : cu.cuCtxSynchronize());
        for (int i = 0; i < COUNT; i++)
            REQUIRE(p->pinned[i] == (float)(i + round + 1));
    }
    return NULL;
}

static int thread_each(void)
{
    pthread_t threads[DEVICES];
    for (int i = 0; i < DEVICES; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work_on, &places[i]) == 0);
    for (int i = 0; i < DEVICES; i++)
        pthread_join(threads[i], NULL);
    return end();
}

static int one_fails(void)
{
    at(1);
    OK(cu.cuLaunchKernel(places[1].stop, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    IS(CUDA_ERROR_ILLEGAL_INSTRUCTION, cu.cuCtxSynchronize());
    IS(CUDA_ERROR_ILLEGAL_INSTRUCTION, cu.cuMemsetD8_v2(places[1].x, 0, 1));
    at(0);
    OK(launch(places[0].add_one, places[0].x, places[0].stream));
    OK(cu.cuStreamSynchronize(places[0].stream));
    REQUIRE(first_of(0) == 1);
    OK(cu.cuCtxSetCurrent(NULL));
    OK(cu.cuDevicePrimaryCtxReset_v2(1)); // what was in it goes without a word
    make_place(1);
    OK(launch(places[1].add_one, places[1].x, NULL));
    REQUIRE(first_of(1) == 1);
    return end();
}

// ---- from one to the other ----

static int copies(void)
{
    at(0);
    OK(launch(places[0].add_one, places[0].x, places[0].stream));
    at(2); // no access from here to there: none is needed
    OK(cu.cuMemcpyPeer(places[2].x, places[2].context, places[0].x, places[0].context, BYTES));
    OK(launch(places[2].add_one, places[2].x, places[2].stream)); // held up, though it does not wait for NULL
    OK(cu.cuStreamSynchronize(places[2].stream));
    REQUIRE(first_of(2) == 2);
    OK(cu.cuEventRecord(places[2].event, places[2].stream));
    at(1);
    OK(cu.cuStreamWaitEvent(places[1].stream, places[2].event, 0)); // of another device: allowed
    OK(cu.cuMemcpyPeerAsync(places[1].x, places[1].context, places[2].x, places[2].context, BYTES,
                            places[1].stream));
    OK(cu.cuStreamSynchronize(places[1].stream));
    REQUIRE(first_of(1) == 2);
    IS(CUDA_ERROR_INVALID_CONTEXT, cu.cuMemcpyPeer(places[2].x, NULL, places[0].x, places[0].context, 4));
    return end();
}

static int peers(void)
{
    int can;
    place *first = &places[0], *second = &places[1];
    OK(cu.cuDeviceCanAccessPeer(&can, 0, 1));
    REQUIRE(can == 1);
    OK(cu.cuDeviceCanAccessPeer(&can, 1, 2));
    REQUIRE(can == 0);
    OK(cu.cuDeviceCanAccessPeer(&can, 0, 0));
    REQUIRE(can == 0);
    IS(CUDA_ERROR_INVALID_DEVICE, cu.cuDeviceCanAccessPeer(&can, 0, DEVICES));
    OK(cu.cuDeviceGetP2PAttribute(&can, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 1, 0));
    REQUIRE(can == 1);
    IS(CUDA_ERROR_INVALID_DEVICE,
       cu.cuDeviceGetP2PAttribute(&can, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 1, 1));
    at(0);
    IS(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, cu.cuCtxEnablePeerAccess(places[2].context, 0));
    IS(CUDA_ERROR_INVALID_CONTEXT, cu.cuCtxEnablePeerAccess(first->context, 0));
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuCtxEnablePeerAccess(second->context, 1));
    IS(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, cu.cuCtxDisablePeerAccess(second->context));
    OK(cu.cuCtxEnablePeerAccess(second->context, 0));
    IS(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, cu.cuCtxEnablePeerAccess(second->context, 0));
    OK(launch(first->add_one, second->x, NULL));
    OK(cu.cuMemcpyDtoD_v2(first->x, second->x, BYTES));
    REQUIRE(first_of(0) == 1);
    OK(cu.cuCtxDisablePeerAccess(second->context));
    return end();
}

static int opens_a_pool(void)
{
    CUmemoryPool pool;
    CUdeviceptr y;
    CUmemAccessDesc access = {{1, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemAccess_flags flags;
    OK(cu.cuDeviceGetDefaultMemPool(&pool, 1));
    OK(cu.cuMemPoolSetAccess(pool, &access, 1));
    OK(cu.cuMemPoolGetAccess(&flags, pool, &access.location));
    REQUIRE(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    access.location.id = 2;
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemPoolSetAccess(pool, &access, 1));
    OK(cu.cuMemPoolGetAccess(&flags, pool, &access.location));
    REQUIRE(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
    access = (CUmemAccessDesc){{1, 1}, CU_MEM_ACCESS_FLAGS_PROT_NONE};
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemPoolSetAccess(pool, &access, 1)); // its own device
    at(0);
    OK(cu.cuMemAllocFromPoolAsync(&y, BYTES, pool, places[0].stream)); // another device's, in this stream
    OK(cu.cuMemsetD32Async(y, 0, COUNT, places[0].stream));
    OK(launch(places[0].add_one, y, places[0].stream));
    OK(cu.cuMemFreeAsync(y, places[0].stream));
    return end();
}

static int portable_memory(void)
{
    float *shared;
    CUdeviceptr mapped;
    at(0);
    OK(cu.cuMemHostAlloc((void **)&shared, BYTES, CU_MEMHOSTALLOC_PORTABLE));
    memset(shared, 0, BYTES);
    at(1);
    OK(cu.cuMemcpyHtoDAsync_v2(places[1].x, shared, BYTES, NULL));
    OK(cu.cuCtxSynchronize());
    OK(cu.cuMemHostGetDevicePointer_v2(&mapped, shared, 0));
    OK(launch(places[1].add_one, mapped, NULL));
    OK(cu.cuCtxSynchronize());
    REQUIRE(shared[COUNT - 1] == 1);
    OK(cu.cuMemFreeHost(shared));
    return end();
}

// ---- planted ----

static int fills_elsewhere(void)
{
    at(0);
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemsetD32_v2(places[1].x, 0, COUNT));
    return end();
}

static int copies_elsewhere(void)
{
    at(0);
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemcpyHtoDAsync_v2(places[1].x, places[0].pinned, 4, places[1].stream));
    return end();
}

static int copies_between(void)
{
    at(0);
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemcpyDtoD_v2(places[0].x, places[1].x, BYTES));
    return end();
}

static int swaps_contexts(void)
{
    at(0);
    IS(CUDA_ERROR_INVALID_VALUE,
       cu.cuMemcpyPeer(places[0].x, places[1].context, places[1].x, places[0].context, BYTES));
    return end();
}

static int pinned_elsewhere(void)
{
    at(1);
    OK(cu.cuMemcpyHtoDAsync_v2(places[1].x, places[0].pinned, BYTES, places[1].stream));
    return end();
}

static int mapped_elsewhere(void)
{
    CUdeviceptr mapped;
    at(0);
    IS(CUDA_ERROR_INVALID_VALUE, cu.cuMemHostGetDevicePointer_v2(&mapped, places[1].pinned, 0));
    return end();
}

static int kernel_of_another(void)
{
    at(0);
    IS(CUDA_ERROR_INVALID_HANDLE, launch(places[1].add_one, places[1].x, NULL));
    return end();
}

static int stream_of_another(void)
{
    at(0);
    IS(CUDA_ERROR_INVALID_HANDLE, launch(places[0].add_one, places[0].x, places[1].stream));
    return end();
}

static int event_of_another(void)
{
    at(0);
    IS(CUDA_ERROR_INVALID_HANDLE, cu.cuEventRecord(places[1].event, places[0].stream));
    return end();
}

static int time_between(void)
{
    float ms;
    for (int i = 0; i < 2; i++) {
        at(i);
        OK(cu.cuEventRecord(places[i].event, places[i].stream));
        OK(cu.cuStreamSynchronize(places[i].stream));
    }
    IS(CUDA_ERROR_INVALID_HANDLE, cu.cuEventElapsedTime(&ms, places[0].event, places[1].event));
    return end();
}

static int frees_elsewhere(void)
{
    at(0);
    OK(cu.cuMemFree_v2(places[1].x));
    places[1].x = 0;
    return end();
}

static int unloads_elsewhere(void)
{
    at(0);
    OK(cu.cuModuleUnload(places[1].module));
    places[1].module = NULL;
    return end();
}

// A kernel of the first device at memory of the second: nothing is read or written there.
static void reach_for(CUdeviceptr address)
{
    unsigned count = 4; // a variable has no more
    void *params[] = {&address, &count};
    at(0);
    OK(cu.cuLaunchKernel(places[0].add_one, 1, 1, 1, 32, 1, 1, 0, places[0].stream, params, NULL));
    OK(cu.cuStreamSynchronize(places[0].stream));
    REQUIRE(first_of(1) == 0);
}

static int no_access(void)
{
    reach_for(places[1].x);
    return end();
}

static int one_way_access(void)
{
    at(1);
    OK(cu.cuCtxEnablePeerAccess(places[0].context, 0)); // not the way that is used
    reach_for(places[1].x);
    return end();
}

static int access_ended(void)
{
    at(0);
    OK(cu.cuCtxEnablePeerAccess(places[1].context, 0));
    OK(cu.cuCtxDisablePeerAccess(places[1].context));
    reach_for(places[1].x);
    return end();
}

static int pool_not_opened(void)
{
    CUdeviceptr y;
    at(0);
    OK(cu.cuCtxEnablePeerAccess(places[1].context, 0)); // says nothing of pools
    at(1);
    OK(cu.cuMemAllocAsync(&y, BYTES, places[1].stream));
    OK(cu.cuMemsetD32Async(y, 0, COUNT, places[1].stream));
    OK(cu.cuStreamSynchronize(places[1].stream));
    reach_for(y);
    OK(cu.cuMemFreeAsync(y, NULL));
    return end();
}

static int variable_of_another(void)
{
    CUdeviceptr bias;
    size_t bytes;
    at(1);
    OK(cu.cuModuleGetGlobal_v2(&bias, &bytes, places[1].module, "bias"));
    reach_for(bias);
    return end();
}

static int no_order(void)
{
    at(1);
    OK(launch(places[1].add_one, places[1].x, places[1].stream));
    at(0);
    OK(cu.cuMemcpyPeerAsync(places[1].x, places[1].context, places[0].x, places[0].context, BYTES,
                            places[0].stream));
    return end();
}

static int leaves_memory(void)
{
    CUdeviceptr y;
    at(1);
    OK(cu.cuMemAlloc_v2(&y, 256));
    at(0);
    return end();
}

static const test_program programs[] = {
    {"enumeration", enumerate, NULL},
    {"memory is counted apart", counts_apart, NULL},
    {"waits are apart", waits_apart, NULL},
    {"a thread a device", thread_each, NULL},
    {"one device fails", one_fails, "device 1): kernel: cuLaunchKernel: trap"},
    {"copies between devices", copies, NULL},
    {"peer access", peers, NULL},
    {"a pool opened to another device", opens_a_pool, NULL},
    {"portable memory", portable_memory, NULL},
    {"fill of another's memory", fills_elsewhere,
     "(simulated sm_80, device 0): wrong context: cuMemsetD32_v2: "},
    {"copy to another's memory", copies_elsewhere, ": wrong context: cuMemcpyHtoDAsync_v2: "},
    {"copy between devices without access", copies_between, ": wrong context: cuMemcpyDtoD_v2: "},
    {"peer copy with its contexts swapped", swaps_contexts, ": wrong context: cuMemcpyPeer: "},
    {"another's pinned memory", pinned_elsewhere, ": wrong context: cuMemcpyHtoDAsync_v2: pinned memory"},
    {"another's mapped memory", mapped_elsewhere, ": wrong context: cuMemHostGetDevicePointer_v2: "},
    {"another's kernel", kernel_of_another, ": wrong context: cuLaunchKernel: a kernel of"},
    {"another's stream", stream_of_another, ": wrong context: cuLaunchKernel: a stream of"},
    {"another's event", event_of_another, ": wrong context: cuEventRecord: "},
    {"time between devices", time_between, ": wrong context: cuEventElapsedTime: "},
    {"free in another context", frees_elsewhere, ": wrong context: cuMemFree_v2: device memory of"},
    {"unload in another context", unloads_elsewhere, ": wrong context: cuModuleUnload: a module of"},
    {"kernel at another device's memory", no_access, "memory of another context, on device 1, without"},
    {"peer access the other way", one_way_access, "memory of another context, on device 1, without"},
    {"peer access that has ended", access_ended, "memory of another context, on device 1, without"},
    {"pool that was not opened", pool_not_opened, "memory of another context, on device 1, without"},
    {"another module's variable", variable_of_another, "a variable of another context's module"},
    {"no order between devices", no_order, ": no order between streams: cuMemcpyPeerAsync: "},
    {"leaves memory on one", leaves_memory,
     "sm_89, device 1): leak: cuDevicePrimaryCtxRelease_v2: allocation"},
};

// ---- settings ----

static void begin_nothing(void)
{
}

static int has_no_device(void)
{
    IS(CUDA_ERROR_NO_DEVICE, cu.cuInit(0));
    IS(CUDA_ERROR_NO_DEVICE, cu.cuInit(0));
    return 0;
}

// 1M, 2M, 2M; the second alone has other attributes.
static int is_set_apart(void)
{
    size_t bytes;
    int count, value;
    OK(cu.cuInit(0));
    OK(cu.cuDeviceGetCount(&count));
    REQUIRE(count == DEVICES);
    for (int i = 0; i < DEVICES; i++) {
        OK(cu.cuDeviceTotalMem_v2(&bytes, i));
        REQUIRE(bytes == (size_t)(i == 0 ? 1 : 2) << 20);
        OK(cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, i));
        REQUIRE((value == 3) == (i == 1));
        OK(cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, i));
        REQUIRE(value == 16);
    }
    return 0;
}

static int is_not_set(void)
{
    size_t bytes;
    OK(cu.cuInit(0));
    OK(cu.cuDeviceTotalMem_v2(&bytes, 0));
    REQUIRE(bytes > 1 << 30);
    return 0;
}

static int run_settings(const char *library)
{
    static const struct {
        const char *variable, *value;
        test_program program;
    } cases[] = {
        {"ISOMER_CUDASIM_ARCH", "sm_80,sm_81", {"an unknown chip", has_no_device, ": setting: "}},
        {"ISOMER_CUDASIM_ARCH", "sm_80,", {"no chip after a comma", has_no_device, ": setting: "}},
        {"ISOMER_CUDASIM_ARCH",
         "sm_80,sm_80,sm_80,sm_80,sm_80,sm_80,sm_80,sm_80,sm_80",
         {"more than 8 chips", has_no_device, ": setting: "}},
        {"ISOMER_CUDASIM_MEMORY", "1M,2M", {"memory and attributes of each", is_set_apart, NULL}},
        {"ISOMER_CUDASIM_MEMORY", "1M,x", {"memory that is none", is_not_set, ": setting: "}},
        {"ISOMER_CUDASIM_ATTRIBUTES", "3:16=1", {"an attribute of no device", is_not_set, ": setting: "}},
    };
    int failures = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv("ISOMER_CUDASIM_ARCH", "sm_80,sm_89,sm_90", 1);
        setenv("ISOMER_CUDASIM_ATTRIBUTES", "1:16=3,10=16", 1);
        setenv(cases[i].variable, cases[i].value, 1);
        failures += run_programs(library, begin_nothing, &cases[i].program, 1);
        unsetenv("ISOMER_CUDASIM_MEMORY");
    }
    return failures;
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fprintf(stderr, "usage: driver_devices_test LIBRARY\n");
        return 2;
    }
    make_report_path();
    setenv("ISOMER_CUDASIM_ARCH", "sm_80,sm_89,sm_90", 1);
    int failures = run_programs(arguments[1], begin, programs, sizeof programs / sizeof programs[0]);
    return failures + run_settings(arguments[1]) != 0;
}
