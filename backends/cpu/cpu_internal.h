// SPDX-License-Identifier: MIT
//
// What the files of the CPU backend share. Work on this device is synchronous: a submitted list has run when
// submit returns, on the calling thread and the pool's workers, so read, write and free need no waiting.
#ifndef ISOMER_BACKENDS_CPU_INTERNAL_H
#define ISOMER_BACKENDS_CPU_INTERNAL_H

#include "isomer/backend.h"

#define ISO_CPU_BUFFER_ALIGNMENT 64
#define ISO_CPU_MAX_THREADS      1024

typedef struct iso_cpu_pool iso_cpu_pool;

typedef struct iso_cpu_device {
    const iso_allocator *allocator;
    iso_cpu_pool *pool;
    bool profile;
} iso_cpu_device;

// One launch, ready to run.
typedef struct iso_cpu_work {
    const iso_native_kernel *kernel;
    const iso_native_arg *args;
    uint32_t groups[3];
    uint64_t group_count; // the product
    // What all groups together cost one thread, from earlier runs; 0 where unknown. Decides whether waking
    // the workers pays; results do not depend on it, because groups are independent of each other.
    uint64_t estimate_ns;
} iso_cpu_work;

// ---- threads.c ----

// Cores that this process may run on.
uint32_t iso_cpu_core_count(void);
uint64_t iso_cpu_clock_ns(void);
// `thread_count` threads in all, the caller of iso_cpu_pool_run included.
iso_status iso_cpu_pool_create(const iso_allocator *allocator, uint32_t thread_count,
                               iso_cpu_pool **out_pool);
void iso_cpu_pool_destroy(iso_cpu_pool *pool);
// Makes the scratch of each thread at least this large. Not while work runs.
iso_status iso_cpu_pool_reserve_scratch(iso_cpu_pool *pool, uint32_t bytes);
// Runs all groups and returns when they are done; updates work->estimate_ns.
void iso_cpu_pool_run(iso_cpu_pool *pool, iso_cpu_work *work);

// ---- memory.c ----

// Memory aligned to ISO_CPU_BUFFER_ALIGNMENT, undefined content. *out_base is what iso_free takes.
iso_status iso_cpu_alloc_aligned(const iso_allocator *allocator, uint64_t bytes, void **out_base,
                                 void **out_aligned);
iso_status iso_cpu_memory_alloc(void *device, uint64_t bytes, iso_memory *out_memory);
void iso_cpu_memory_free(void *device, iso_memory *memory);
iso_status iso_cpu_memory_write(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                                uint64_t bytes);
iso_status iso_cpu_memory_read(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                               uint64_t bytes);
iso_status iso_cpu_memory_fill(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                               uint32_t pattern);

// ---- commands.c ----

iso_status iso_cpu_module_create(void *device, const iso_module_source *source, void **out_module);
void iso_cpu_module_destroy(void *device, void *module);
iso_status iso_cpu_list_create(void *device, void **out_list);
iso_status iso_cpu_list_dispatch(void *list, void *module, const iso_dispatch *dispatch);
iso_status iso_cpu_list_barrier(void *list);
iso_status iso_cpu_list_finish(void *list);
void iso_cpu_list_destroy(void *list);
iso_status iso_cpu_submit(void *device, void *list);
iso_status iso_cpu_wait(void *device);
iso_status iso_cpu_times(void *list, uint64_t *out_ns, uint32_t *inout_count);

#endif
