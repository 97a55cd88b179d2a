// SPDX-License-Identifier: MIT
//
// Pinned host memory, and its guard: the pages that pending copies touch are taken from the program (writing
// only, or both), and a fault there is a host access before synchronisation. The access is reported, then let
// through, and sees what a slow device would show. The simulator itself uses another mapping of the same
// pages.
#include "calls.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <ucontext.h>
#endif

static uint64_t page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

sim_host *sim_host_at(const void *address)
{
    uint64_t at = (uint64_t)(uintptr_t)address;
    for (sim_host *host = sim.hosts; host; host = host->next)
        if (at - (uint64_t)(uintptr_t)host->user < host->bytes)
            return host;
    return NULL;
}

// ---- the guard ----

#define WATCHED_MAX 4096 // guarded allocations at once

static struct sigaction previous;
static bool is_watching;
// Looked at without the lock: a fault that is not ours, perhaps in a thread of the interpreter, must not wait
// for it.
static struct {
    _Atomic uint64_t begin, end;
} watched[WATCHED_MAX];

static bool is_watched(const void *address)
{
    uint64_t at = (uint64_t)(uintptr_t)address;
    for (uint32_t i = 0; i < WATCHED_MAX; i++)
        if (at >= watched[i].begin && at < watched[i].end)
            return true;
    return false;
}

static bool add_watched(sim_host *host)
{
    for (uint32_t i = 0; i < WATCHED_MAX; i++)
        if (!watched[i].end) {
            watched[i].begin = (uint64_t)(uintptr_t)host->user;
            watched[i].end = watched[i].begin + host->bytes;
            host->watched = i;
            return true;
        }
    return false;
}

// -1: cannot be known here
static int is_write_fault(const void *context)
{
#if defined(__x86_64__)
    return (((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
    (void)context;
    return -1;
#endif
}

static const sim_op *pending_touch(uint64_t address, bool only_writes)
{
    for (uint32_t i = 0; i < SIM_STREAMS; i++)
        for (const sim_op *op = sim.slots[i].first; op; op = op->next)
            if (sim_work_touches(&op->work, address, only_writes))
                return op;
    return NULL;
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    if (!is_watched(info->si_addr)) {
        // Whoever was there before takes it, or the instruction faults again and the process ends as it would
        // have.
        if (previous.sa_flags & SA_SIGINFO)
            previous.sa_sigaction(signal_number, info, context);
        else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
            previous.sa_handler(signal_number);
        else
            signal(signal_number, SIG_DFL);
        return;
    }
    pthread_mutex_lock(&sim.lock);
    const sim_host *host = sim_host_at(info->si_addr);
    if (host && !host->registered) {
        uint64_t at = (uint64_t)((uint8_t *)info->si_addr - host->user), page = page_bytes();
        int writes = is_write_fault(context);
        const sim_op *op = pending_touch(host->device + at, writes <= 0);
        if (op)
            sim_report(
                SIM_HOST_ACCESS_FINDING, op->work.call,
                "the host %s byte %llu of pinned memory %llu by %s (%p) before the copy was waited for",
                writes > 0 ? "wrote" : "read", (unsigned long long)at, (unsigned long long)host->number,
                host->made_by, info->si_addr);
        mprotect(host->user + at / page * page, page, PROT_READ | PROT_WRITE);
    }
    pthread_mutex_unlock(&sim.lock);
}

static void watch(void)
{
    if (is_watching)
        return;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    is_watching = sigaction(SIGSEGV, &action, &previous) == 0;
}

void sim_guard_end(void)
{
    if (is_watching)
        sigaction(SIGSEGV, &previous, NULL);
    is_watching = false;
}

static void protect(sim_host *host, uint64_t first, uint64_t count)
{
    uint64_t page = page_bytes();
    for (uint64_t i = first; i < first + count;) {
        const uint16_t *g = host->guards[i];
        int access = g[1] ? PROT_NONE : g[0] ? PROT_READ : PROT_READ | PROT_WRITE;
        uint64_t end = i + 1;
        while (end < first + count && (host->guards[end][1] != 0) == (g[1] != 0) &&
               (host->guards[end][0] != 0) == (g[0] != 0))
            end++;
        mprotect(host->user + i * page, (end - i) * page, access);
        i = end;
    }
}

static void change_guard(sim_host *host, const uint8_t *alias, uint64_t bytes, bool written, int by)
{
    if (!host->guards)
        return;
    watch();
    uint64_t page = page_bytes(), at = (uint64_t)(alias - host->alias);
    uint64_t first = at / page, count = (at + bytes + page - 1) / page - first;
    for (uint64_t i = first; i < first + count; i++)
        host->guards[i][written] = (uint16_t)(host->guards[i][written] + by);
    protect(host, first, count);
}

void sim_guard_add(sim_host *host, const uint8_t *alias, uint64_t bytes, bool written)
{
    change_guard(host, alias, bytes, written, 1);
}

void sim_guard_remove(sim_host *host, const uint8_t *alias, uint64_t bytes, bool written)
{
    change_guard(host, alias, bytes, written, -1);
}

// ---- allocating ----

static void destroy(sim_host *host)
{
    if (!host->registered) {
        uint64_t page = page_bytes(), mapped = (host->bytes + page - 1) / page * page;
        if (host->user)
            munmap(host->user, mapped);
        if (host->alias)
            munmap(host->alias, mapped);
    }
    if (host->guards)
        watched[host->watched].end = 0;
    free(host->guards);
    free(host);
}

static CUresult add(sim_host *host, unsigned flags)
{
    host->portable = flags & CU_MEMHOSTALLOC_PORTABLE;
    ptx_memory_set_owner(sim.memory, sim_current()->object.number);
    if (ptx_memory_register(sim.memory, host->alias, host->bytes, &host->device) != PTX_OK) {
        destroy(host);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    host->number = ++sim.numbers;
    host->context = sim_current();
    host->made_by = sim.call;
    host->next = sim.hosts;
    sim.hosts = host;
    return CUDA_SUCCESS;
}

static void *map(int file, uint64_t bytes)
{
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return address == MAP_FAILED ? NULL : address;
}

CUresult sim_host_alloc(void **address, size_t bytes, unsigned flags)
{
    if (!address || !bytes || bytes > 1ull << 40 || flags > 7)
        return CUDA_ERROR_INVALID_VALUE;
    *address = NULL;
    uint64_t page = page_bytes(), pages = (bytes + page - 1) / page;
    sim_host *host = sim_new(sizeof *host);
    int file = memfd_create("pinned", MFD_CLOEXEC);
    bool ok = host && file >= 0 && ftruncate(file, (off_t)(pages * page)) == 0;
    if (ok) {
        host->bytes = bytes;
        host->user = map(file, pages * page);
        host->alias = map(file, pages * page);
        ok = host->user && host->alias;
    }
    if (ok && sim.guard && add_watched(host)) {
        host->guards = sim_new(pages * sizeof *host->guards);
        ok = host->guards != NULL;
        watched[host->watched].end = ok ? watched[host->watched].end : 0;
    }
    if (file >= 0)
        close(file);
    if (!ok) {
        if (host)
            destroy(host);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result = add(host, flags);
    if (!result)
        *address = host->user;
    return result;
}

CUresult sim_host_register(void *address, size_t bytes, unsigned flags)
{
    if (!address || !bytes || flags > 15)
        return CUDA_ERROR_INVALID_VALUE;
    for (const sim_host *other = sim.hosts; other; other = other->next)
        if (other->user < (uint8_t *)address + bytes && (uint8_t *)address < other->user + other->bytes)
            return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    sim_host *host = sim_new(sizeof *host);
    if (!host)
        return CUDA_ERROR_OUT_OF_MEMORY;
    host->user = host->alias = address;
    host->bytes = bytes;
    host->registered = true;
    return add(host, flags);
}

static void end(sim_host *host)
{
    sim_host **link = &sim.hosts;
    while (*link != host)
        link = &(*link)->next;
    *link = host->next;
    ptx_memory_free(sim.memory, host->device);
    destroy(host);
}

CUresult sim_host_free(void *address, bool registered)
{
    sim_host *host = sim_host_at(address);
    if (!host || host->user != address || host->registered != registered) {
        sim_report(SIM_BAD_FREE_FINDING, sim.call, "%p is not the beginning of %s host memory", address,
                   registered ? "registered" : "allocated");
        return registered ? CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED : CUDA_ERROR_INVALID_VALUE;
    }
    const sim_op *use = sim_pending_use(host->device, host->device + host->bytes, SIM_STREAMS);
    CUresult result = CUDA_SUCCESS;
    if (use) {
        sim_report(
            SIM_FREED_IN_USE_FINDING, sim.call,
            "pinned memory %llu by %s (%llu bytes) is freed while a %s that uses it has not been waited for",
            (unsigned long long)host->number, host->made_by, (unsigned long long)host->bytes, use->work.call);
        result = sim_run_all();
    }
    end(host);
    return result;
}

void sim_hosts_release(const sim_context *context, bool report)
{
    sim_host *next;
    for (sim_host *host = sim.hosts; host; host = next) {
        next = host->next;
        if (host->context != context)
            continue;
        if (report)
            sim_report(SIM_LEAK_FINDING, sim.call, "pinned memory %llu by %s, %llu bytes at %p, was never %s",
                       (unsigned long long)host->number, host->made_by, (unsigned long long)host->bytes,
                       (void *)host->user, host->registered ? "unregistered" : "freed");
        end(host);
    }
}

// ---- asking ----

CUresult sim_host_device(CUdeviceptr *device, void *host, unsigned flags)
{
    const sim_host *found = sim_host_at(host);
    if (!device || flags || !found)
        return CUDA_ERROR_INVALID_VALUE;
    if (!found->portable && sim_is_foreign(found->context, "pinned memory that is not portable"))
        return CUDA_ERROR_INVALID_VALUE;
    *device = found->device + (uint64_t)((uint8_t *)host - found->user);
    return CUDA_SUCCESS;
}

CUresult sim_host_flags(unsigned *flags, void *host)
{
    if (!flags || !sim_host_at(host))
        return CUDA_ERROR_INVALID_VALUE;
    *flags = CU_MEMHOSTALLOC_DEVICEMAP;
    *flags |= sim_host_at(host)->portable ? CU_MEMHOSTALLOC_PORTABLE : 0;
    return CUDA_SUCCESS;
}
