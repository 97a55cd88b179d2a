// SPDX-License-Identifier: MIT
//
// The thread pool of the CPU backend: one launch at a time, its groups handed out in chunks from a shared
// counter. It knows nothing of what a kernel computes.
//
// A token's step is some 150 launches, most of them tiny. So a launch with little work (measured in earlier
// runs) stays on the calling thread, and workers spin for a moment before they sleep, so that the next launch
// finds them awake.
//
// How a launch is shared: the caller fills `work`, then sets `open` to a new ticket. A worker that sees a
// ticket it has not served counts itself into `active`, looks at `open` again, and only when it is still set
// touches `work`. The caller, out of groups, sets `open` to 0 and waits until `active` is 0. All of these are
// sequentially consistent, so either the worker sees the 0 or the caller sees the worker: nobody reads `work`
// while it is rewritten, and a worker that wakes late costs nothing.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backends/cpu/cpu_internal.h"

// Below this much work for one thread, waking others costs more than it saves (a wake-up takes 5 to 50 us).
#define INLINE_NS 8000
// How long an idle thread looks for work before it sleeps.
#define SPIN_NS 30000
// Looks at the clock once in so many looks at the flag.
#define LOOKS_PER_CLOCK 64
// Chunks handed to each thread of a launch, so that uneven groups even out.
#define CHUNKS_PER_THREAD 8

#define CACHE_LINE 64

typedef struct pool_thread {
    iso_cpu_pool *pool;
    pthread_t handle;
    void *scratch_base; // what iso_free takes
    void *scratch;
} pool_thread;

struct iso_cpu_pool {
    const iso_allocator *allocator;
    uint32_t thread_count;  // the caller is thread 0
    uint32_t started_count; // workers to join
    uint32_t scratch_bytes;
    uint64_t spin_ns; // 0 with more threads than cores: spinning would take the core from who has work
    pool_thread *threads;
    pthread_mutex_t mutex;
    pthread_cond_t work_ready;
    pthread_cond_t workers_left;
    // The launch that is shared: written while `open` is 0 and nobody is active.
    iso_cpu_work *work;
    uint64_t chunk;
    uint64_t last_ticket;
    // Padding keeps what every thread writes away from what every thread reads.
    char padding_0[CACHE_LINE];
    atomic_uint_fast64_t open; // ticket of the launch that takes workers, or 0
    atomic_uint_fast32_t sleepers;
    atomic_bool stop;
    char padding_1[CACHE_LINE];
    atomic_uint_fast64_t next_group;
    atomic_uint_fast64_t busy_ns; // of all threads together, without the time to wake up
    char padding_2[CACHE_LINE];
    atomic_uint_fast32_t active;
    atomic_bool caller_sleeps;
};

uint32_t iso_cpu_core_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

uint64_t iso_cpu_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// ---- running groups ----

// Takes chunks until none is left.
static void run_groups(iso_cpu_pool *pool, const iso_cpu_work *work, uint64_t chunk, void *scratch)
{
    uint64_t start_ns = iso_cpu_clock_ns();
    iso_native_group group = {.scratch = scratch};
    memcpy(group.count, work->groups, sizeof group.count);
    uint64_t width = work->groups[0];
    uint64_t plane = width * work->groups[1];
    for (;;) {
        uint64_t first = atomic_fetch_add(&pool->next_group, chunk);
        if (first >= work->group_count)
            break;
        uint64_t end = work->group_count - first < chunk ? work->group_count : first + chunk;
        for (uint64_t i = first; i < end; i++) {
            group.id[0] = (uint32_t)(i % width);
            group.id[1] = (uint32_t)(i % plane / width);
            group.id[2] = (uint32_t)(i / plane);
            work->kernel->run(&group, work->args);
        }
    }
    atomic_fetch_add(&pool->busy_ns, iso_cpu_clock_ns() - start_ns);
}

// ---- workers ----

// Whether there is something new for a worker that served `seen` last.
static bool has_news(iso_cpu_pool *pool, uint64_t seen)
{
    uint64_t open = atomic_load(&pool->open);
    return (open != 0 && open != seen) || atomic_load(&pool->stop);
}

static void wait_for_news(iso_cpu_pool *pool, uint64_t seen)
{
    if (pool->spin_ns > 0) {
        uint64_t start_ns = iso_cpu_clock_ns();
        do {
            for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
                if (has_news(pool, seen))
                    return;
                relax();
            }
        } while (iso_cpu_clock_ns() - start_ns < pool->spin_ns);
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1); // before the last look: the caller looks at it after opening
    while (!has_news(pool, seen))
        pthread_cond_wait(&pool->work_ready, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument)
{
    pool_thread *thread = argument;
    iso_cpu_pool *pool = thread->pool;
    uint64_t seen = 0;
    for (;;) {
        wait_for_news(pool, seen);
        if (atomic_load(&pool->stop))
            return NULL;
        atomic_fetch_add(&pool->active, 1);
        uint64_t open = atomic_load(&pool->open);
        if (open != 0) {
            seen = open;
            run_groups(pool, pool->work, pool->chunk, thread->scratch);
        }
        if (atomic_fetch_sub(&pool->active, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->workers_left);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

// ---- the caller ----

static void open_work(iso_cpu_pool *pool, iso_cpu_work *work)
{
    pool->work = work;
    uint64_t chunk = work->group_count / ((uint64_t)pool->thread_count * CHUNKS_PER_THREAD);
    pool->chunk = chunk > 0 ? chunk : 1;
    atomic_store(&pool->open, ++pool->last_ticket);
    if (atomic_load(&pool->sleepers) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->work_ready);
    pthread_mutex_unlock(&pool->mutex);
}

static void close_work(iso_cpu_pool *pool)
{
    atomic_store(&pool->open, 0);
    if (pool->spin_ns > 0) {
        uint64_t start_ns = iso_cpu_clock_ns();
        do {
            for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
                if (atomic_load(&pool->active) == 0)
                    return;
                relax();
            }
        } while (iso_cpu_clock_ns() - start_ns < pool->spin_ns);
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->active) != 0)
        pthread_cond_wait(&pool->workers_left, &pool->mutex);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->mutex);
}

void iso_cpu_pool_run(iso_cpu_pool *pool, iso_cpu_work *work)
{
    bool known_small = work->estimate_ns > 0 && work->estimate_ns < INLINE_NS;
    bool shared = work->group_count > 1 && pool->thread_count > 1 && !known_small;
    atomic_store(&pool->next_group, 0);
    atomic_store(&pool->busy_ns, 0);
    if (shared)
        open_work(pool, work);
    run_groups(pool, work, shared ? pool->chunk : work->group_count, pool->threads[0].scratch);
    if (shared)
        close_work(pool);
    work->estimate_ns = atomic_load(&pool->busy_ns) + 1;
}

// ---- the pool ----

// Workers block all signals: they belong to the program's own threads.
static int start_worker(pool_thread *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread->handle, NULL, worker_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

iso_status iso_cpu_pool_create(const iso_allocator *allocator, uint32_t thread_count, iso_cpu_pool **out_pool)
{
    *out_pool = NULL;
    void *memory;
    ISO_TRY(iso_alloc(allocator, sizeof(iso_cpu_pool), &memory));
    iso_cpu_pool *pool = memory;
    pool->allocator = allocator;
    pool->thread_count = thread_count;
    pool->spin_ns = thread_count <= iso_cpu_core_count() ? SPIN_NS : 0;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work_ready, NULL);
    pthread_cond_init(&pool->workers_left, NULL);
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(ISO_NEW(allocator, thread_count, &pool->threads), fail);
    for (uint32_t i = 0; i < thread_count; i++)
        pool->threads[i].pool = pool;
    for (uint32_t i = 1; i < thread_count; i++) {
        int error = start_worker(&pool->threads[i]);
        if (error != 0) {
            status = iso_fail(ISO_LIMIT, "thread %u of %u cannot be started (%s); ask for fewer threads",
                              i + 1, thread_count, strerror(error));
            goto fail;
        }
        pool->started_count++;
    }
    *out_pool = pool;
    return ISO_OK;
fail:
    iso_cpu_pool_destroy(pool);
    return status;
}

void iso_cpu_pool_destroy(iso_cpu_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work_ready);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 1; i <= pool->started_count; i++)
        pthread_join(pool->threads[i].handle, NULL);
    for (uint32_t i = 0; pool->threads && i < pool->thread_count; i++)
        iso_free(pool->allocator, pool->threads[i].scratch_base);
    iso_free(pool->allocator, pool->threads);
    pthread_cond_destroy(&pool->workers_left);
    pthread_cond_destroy(&pool->work_ready);
    pthread_mutex_destroy(&pool->mutex);
    iso_free(pool->allocator, pool);
}

iso_status iso_cpu_pool_reserve_scratch(iso_cpu_pool *pool, uint32_t bytes)
{
    if (bytes <= pool->scratch_bytes)
        return ISO_OK;
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        pool_thread *thread = &pool->threads[i];
        void *base, *aligned;
        ISO_TRY(iso_cpu_alloc_aligned(pool->allocator, bytes, &base, &aligned));
        iso_free(pool->allocator, thread->scratch_base);
        thread->scratch_base = base;
        thread->scratch = aligned;
    }
    pool->scratch_bytes = bytes;
    return ISO_OK;
}
