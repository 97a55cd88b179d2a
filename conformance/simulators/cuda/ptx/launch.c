// SPDX-License-Identifier: MIT
//
// A launch: blocks over the host's threads. Each thread runs a block to its end, and begins another beside it
// when one takes so long that it may be waiting for a block that has not begun.
#include "exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SLICE       (1u << 16) // warp instructions before other blocks get their turn
#define RESIDENT    64         // blocks at once on one thread of the host
#define MAX_THREADS 64

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- a block ----

static void destroy_block(ptx_block *block)
{
    if (!block)
        return;
    for (uint32_t w = 0; block->warps && w < block->warp_count; w++) {
        free(block->warps[w].base[0]);
        free(block->warps[w].local);
        free(block->warps[w].pending);
    }
    free(block->warps);
    free(block->shared);
    free(block->state);
    free(block->shared_w);
    free(block);
}

static ptx_block *create_block(ptx_run_state *run)
{
    const ptx_launch *launch = run->launch;
    const ptx_kernel *kernel = run->kernel;
    ptx_block *block = calloc(1, sizeof *block);
    if (!block)
        return NULL;
    block->run = run;
    block->threads = launch->block[0] * launch->block[1] * launch->block[2];
    block->warp_count = (block->threads + 31) / 32;
    block->shared_limit = run->window_bytes;
    block->warps = calloc(block->warp_count, sizeof *block->warps);
    // 64 bytes more, so that looking at a whole vector at the end stays inside
    block->shared = calloc(1, run->window_bytes + 64);
    block->state = calloc(1, run->window_bytes + 64);
    uint32_t words = (run->window_bytes + 64) / 4;
    block->shared_w = calloc(3ull * words, 4);
    bool ok = block->warps && block->shared && block->state && block->shared_w;
    for (uint32_t w = 0; ok && w < block->warp_count; w++) {
        ptx_warp *warp = &block->warps[w];
        warp->base[0] = aligned_alloc(64, (kernel->register_bytes + 63) & ~63u);
        warp->base[1] = kernel->constants;
        warp->local = kernel->local_bytes ? calloc(PTX_LANES, kernel->local_bytes) : NULL;
        ok = warp->base[0] && (warp->local || !kernel->local_bytes);
    }
    if (!ok) {
        destroy_block(block);
        return NULL;
    }
    block->shared_r1 = block->shared_w + words;
    block->shared_r2 = block->shared_w + 2 * words;
    return block;
}

static uint32_t special_value(const ptx_warp *warp, ptx_special special, uint32_t lane)
{
    const ptx_block *block = warp->block;
    const ptx_launch *launch = block->run->launch;
    uint32_t thread = warp->index * 32 + lane, bit = 1u << lane;
    switch (special) {
    case PTX_SR_TID_X:
        return thread % launch->block[0];
    case PTX_SR_TID_Y:
        return thread / launch->block[0] % launch->block[1];
    case PTX_SR_TID_Z:
        return thread / launch->block[0] / launch->block[1];
    case PTX_SR_NTID_X:
    case PTX_SR_NTID_Y:
    case PTX_SR_NTID_Z:
        return launch->block[special - PTX_SR_NTID_X];
    case PTX_SR_CTAID_X:
    case PTX_SR_CTAID_Y:
    case PTX_SR_CTAID_Z:
        return block->id[special - PTX_SR_CTAID_X];
    case PTX_SR_NCTAID_X:
    case PTX_SR_NCTAID_Y:
    case PTX_SR_NCTAID_Z:
        return launch->grid[special - PTX_SR_NCTAID_X];
    case PTX_SR_LANEID:
        return lane;
    case PTX_SR_WARPID:
        return warp->index;
    case PTX_SR_NWARPID:
        return block->warp_count;
    case PTX_SR_NSMID:
        return 1;
    case PTX_SR_LANEMASK_EQ:
        return bit;
    case PTX_SR_LANEMASK_LE:
        return bit | (bit - 1);
    case PTX_SR_LANEMASK_LT:
        return bit - 1;
    case PTX_SR_LANEMASK_GE:
        return ~(bit - 1);
    case PTX_SR_LANEMASK_GT:
        return ~(bit | (bit - 1));
    case PTX_SR_DYNAMIC_SMEM:
        return launch->dynamic_shared_bytes;
    case PTX_SR_TOTAL_SMEM:
        return block->run->kernel->shared_bytes + launch->dynamic_shared_bytes;
    default:
        return 0;
    }
}

static void begin_warp(ptx_block *block, uint32_t index)
{
    ptx_warp *warp = &block->warps[index];
    const ptx_kernel *kernel = block->run->kernel;
    uint8_t *registers = warp->base[0], *local = warp->local;
    ptx_pending *pending = warp->pending;
    uint32_t capacity = warp->pending_capacity;
    memset(warp, 0, sizeof *warp);
    warp->base[0] = registers;
    warp->base[1] = kernel->constants;
    warp->local = local;
    warp->pending = pending;
    warp->pending_capacity = capacity;
    warp->block = block;
    warp->index = index;
    warp->next_pc = UINT32_MAX;
    uint32_t lanes = block->threads - index * 32;
    warp->live = lanes >= 32 ? PTX_ALL : (1u << lanes) - 1;
    warp->clock = warp->floor = warp->warp_floor = 1;
    memset(registers, 0, kernel->register_bytes);
    if (local)
        memset(local, 0, (size_t)kernel->local_bytes * PTX_LANES);
    for (uint32_t s = 0; s < PTX_SR_FIRST_CLOCK; s++)
        for (uint32_t lane = 0; kernel->special[s] && lane < PTX_LANES; lane++)
            ptx_set(warp, kernel->special[s], s == PTX_SR_GRIDID ? 8 : 4, lane,
                    special_value(warp, (ptx_special)s, lane));
}

static void mark_shared(ptx_block *block, uint32_t from, uint64_t bytes)
{
    memset(block->state + from, PTX_BYTE_UNWRITTEN, bytes);
    memset(block->shared + from, 0xcb, bytes); // reading it unwritten gives neither zero nor luck
}

static void begin_block(ptx_block *block, uint64_t number)
{
    ptx_run_state *run = block->run;
    const ptx_kernel *kernel = run->kernel;
    const uint32_t *grid = run->launch->grid;
    block->number = number;
    block->serial = (uint32_t)(run->first_serial + number);
    block->id[0] = (uint32_t)(number % grid[0]);
    block->id[1] = (uint32_t)(number / grid[0] % grid[1]);
    block->id[2] = (uint32_t)(number / grid[0] / grid[1]);
    block->live = block->threads;
    block->clock = 1;
    block->clocks_used_up = block->stopped = block->may_wait = false;
    block->next_warp = 0;
    block->acquired = NULL;
    block->budget = run->launch->instruction_limit ? run->launch->instruction_limit : 1ull << 32;
    block->random = run->launch->schedule_seed * 0x9e3779b97f4a7c15ull + number;
    memset(&block->counts, 0, sizeof block->counts);
    memset(block->barriers, 0, sizeof block->barriers);
    memset(block->known, 0, sizeof block->known);
    memset(block->shared_w, 0, 3ull * (run->window_bytes + 64) / 4 * 4);
    memset(block->state, PTX_BYTE_OUTSIDE, run->window_bytes + 64);
    for (uint32_t i = 0; i < kernel->shared_count; i++)
        mark_shared(block, (uint32_t)kernel->shared[i].address, kernel->shared[i].bytes);
    if (run->launch->dynamic_shared_bytes)
        mark_shared(block, kernel->dynamic_offset, run->launch->dynamic_shared_bytes);
    for (uint32_t w = 0; w < block->warp_count; w++)
        begin_warp(block, w);
}

static void end_block(ptx_block *block)
{
    ptx_run_state *run = block->run;
    uint64_t executed = 0, lanes = 0;
    for (uint32_t w = 0; w < block->warp_count; w++) {
        executed += block->warps[w].executed;
        lanes += block->warps[w].lanes_executed;
    }
    pthread_mutex_lock(&run->lock);
    run->result->warp_instructions += executed;
    run->result->lane_instructions += lanes;
    if (run->launch->counts)
        ptx_counts_add(run->launch->counts, &block->counts);
    pthread_mutex_unlock(&run->lock);
}

// ---- a thread of the host ----

static void out_of_memory(ptx_run_state *run)
{
    pthread_mutex_lock(&run->lock);
    run->status = PTX_NO_MEMORY;
    run->stopped = true;
    snprintf(run->result->message, sizeof run->result->message, "no memory of the host for a block");
    pthread_mutex_unlock(&run->lock);
}

// The next block of the grid; by a seed, they are taken in another order.
static bool take_block(ptx_run_state *run, uint64_t *out_number)
{
    pthread_mutex_lock(&run->lock);
    uint64_t number = run->next_block;
    bool any = number < run->block_count && !run->stopped;
    run->next_block += any;
    pthread_mutex_unlock(&run->lock);
    uint64_t seed = run->launch->schedule_seed;
    *out_number = seed ? (number + seed) % run->block_count : number;
    if (seed & 1)
        *out_number = run->block_count - 1 - *out_number;
    return any;
}

static void *run_blocks(void *argument)
{
    ptx_run_state *run = argument;
    ptx_block *resident[RESIDENT] = {NULL}, *idle = NULL;
    uint32_t count = 0, turn = 0;
    bool more = true, failed = false;
    uint64_t number;
    uint32_t most = run->launch->cooperative ? RESIDENT : 1;
    while (!failed && !__atomic_load_n(&run->stopped, __ATOMIC_RELAXED)) {
        while (more && count < most && (more = take_block(run, &number))) {
            ptx_block *block = idle ? idle : create_block(run);
            idle = NULL;
            if (!block) {
                out_of_memory(run);
                failed = true;
                break;
            }
            begin_block(block, number);
            resident[count++] = block;
        }
        if (!count || failed)
            break;
        turn %= count;
        resident[turn]->may_wait = false;
        if (ptx_block_step(resident[turn], count > 1 || more ? SLICE : UINT64_MAX)) {
            if (resident[turn]->may_wait && ++turn == count && most < RESIDENT)
                most++;
            continue;
        }
        end_block(resident[turn]);
        destroy_block(idle);
        idle = resident[turn];
        resident[turn] = resident[--count];
        most = run->launch->cooperative ? RESIDENT : count ? count : 1;
    }
    for (uint32_t i = 0; i < count; i++)
        destroy_block(resident[i]);
    destroy_block(idle);
    return NULL;
}

// ---- the launch ----

static ptx_status refuse(ptx_launch_result *result, const char *what, uint64_t value, uint64_t allowed)
{
    snprintf(result->message, sizeof result->message, "%s is %llu; %llu allowed", what,
             (unsigned long long)value, (unsigned long long)allowed);
    return PTX_BAD_ARGUMENT;
}

static ptx_status check_launch(const ptx_launch *launch, ptx_launch_result *result)
{
    const ptx_kernel *kernel = launch->kernel;
    uint64_t threads = 1, blocks = 1;
    for (int i = 0; i < 3; i++) {
        uint32_t most_threads = i == 2 ? 64 : 1024, most_blocks = i == 0 ? INT32_MAX : 65535;
        if (launch->block[i] == 0 || launch->block[i] > most_threads)
            return refuse(result, "a block's extent", launch->block[i], most_threads);
        if (kernel->required[i] && launch->block[i] != kernel->required[i])
            return refuse(result, "a block's extent, which .reqntid fixes,", launch->block[i],
                          kernel->required[i]);
        if (launch->grid[i] == 0 || launch->grid[i] > most_blocks)
            return refuse(result, "the grid's extent", launch->grid[i], most_blocks);
        threads *= launch->block[i];
        blocks *= launch->grid[i];
    }
    if (threads > kernel->max_threads)
        return refuse(result, "threads of a block", threads, kernel->max_threads);
    if (blocks >= 1u << 29)
        return refuse(result, "blocks of the grid", blocks, (1u << 29) - 1);
    if (launch->param_bytes != kernel->param_bytes)
        return refuse(result, "bytes of parameters", launch->param_bytes, kernel->param_bytes);
    if ((uint64_t)kernel->shared_bytes + launch->dynamic_shared_bytes > PTX_SHARED_MAX)
        return refuse(result, "bytes of shared memory",
                      (uint64_t)kernel->shared_bytes + launch->dynamic_shared_bytes, PTX_SHARED_MAX);
    if (launch->cooperative && blocks > RESIDENT)
        return refuse(result, "blocks of a cooperative launch", blocks, RESIDENT);
    return PTX_OK;
}

// Numbers that no block of an earlier launch has; when they run out, the records of all accesses are
// forgotten.
static void take_serials(ptx_run_state *run)
{
    ptx_memory *memory = run->memory;
    pthread_mutex_lock(&memory->lock);
    if (memory->serials + run->block_count >= 1u << 29) {
        ptx_memory_forget(memory);
        memory->serials = 1;
    }
    run->first_serial = memory->serials;
    memory->serials += run->block_count;
    pthread_mutex_unlock(&memory->lock);
}

static void run_threads(ptx_run_state *run)
{
    pthread_t threads[MAX_THREADS];
    uint64_t wanted = run->launch->thread_count;
    uint32_t started = 0;
    wanted = wanted > run->block_count ? run->block_count : wanted;
    wanted = wanted > MAX_THREADS ? MAX_THREADS : wanted;
    if (run->launch->cooperative)
        wanted = 1;
    for (uint32_t i = 1; i < wanted; i++)
        started += pthread_create(&threads[started], NULL, run_blocks, run) == 0;
    run_blocks(run);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

ptx_status ptx_launch_run(ptx_memory *memory, const ptx_launch *launch, ptx_launch_result *out_result)
{
    memset(out_result, 0, sizeof *out_result);
    ptx_status status = check_launch(launch, out_result);
    if (status)
        return status;
    const ptx_kernel *kernel = launch->kernel;
    ptx_run_state run = {.launch = launch, .kernel = kernel, .memory = memory, .result = out_result};
    run.block_count = (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    run.check_initialised = !launch->skip_initialised;
    run.check_races = !launch->skip_races;
    run.window_bytes = ((kernel->dynamic_offset + launch->dynamic_shared_bytes) + 63) & ~63u;
    run.params = malloc(kernel->param_bytes + 16);
    run.arena = ptx_arena_create();
    run.releases = run.arena ? ptx_arena_alloc(run.arena, 4096 * sizeof *run.releases) : NULL;
    if (!run.params || !run.releases) {
        snprintf(out_result->message, sizeof out_result->message, "no memory of the host for a launch");
        run.status = PTX_NO_MEMORY;
    } else {
        if (kernel->param_bytes)
            memcpy(run.params, launch->params, kernel->param_bytes);
        pthread_mutex_init(&run.lock, NULL);
        take_serials(&run);
        run_threads(&run);
        pthread_mutex_destroy(&run.lock);
    }
    free(run.params);
    free(run.seen);
    ptx_arena_destroy(run.arena);
    return run.status;
}

void ptx_read_clock(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    uint64_t time = now_ns(), clock = warp->executed;
    (void)insn;
    const uint32_t *special = warp->block->run->kernel->special;
    PTX_EACH_LANE (l, mask) {
        for (uint32_t s = PTX_SR_FIRST_CLOCK; s < PTX_SR_COUNT; s++) {
            uint64_t value = s >= PTX_SR_GLOBALTIMER ? time : clock;
            bool high = s == PTX_SR_CLOCK_HI || s == PTX_SR_GLOBALTIMER_HI;
            bool wide = s == PTX_SR_CLOCK64 || s == PTX_SR_GLOBALTIMER;
            if (special[s])
                ptx_set(warp, special[s], wide ? 8 : 4, l, high ? value >> 32 : value);
        }
    }
}

// ---- what a module tells ----

const ptx_kernel *ptx_module_find_kernel(const ptx_module *module, const char *name)
{
    for (uint32_t i = 0; i < module->kernel_count; i++)
        if (strcmp(module->kernels[i].name, name) == 0)
            return &module->kernels[i];
    return NULL;
}

uint32_t ptx_module_kernel_count(const ptx_module *module)
{
    return module->kernel_count;
}

const ptx_kernel *ptx_module_kernel(const ptx_module *module, uint32_t index)
{
    return index < module->kernel_count ? &module->kernels[index] : NULL;
}

uint32_t ptx_module_version(const ptx_module *module)
{
    return 10 * module->version_major + module->version_minor;
}

uint32_t ptx_module_target(const ptx_module *module)
{
    return module->target;
}

ptx_status ptx_module_find_variable(const ptx_module *module, const char *name, uint64_t *out_address,
                                    uint64_t *out_bytes)
{
    for (uint32_t i = 0; i < module->variable_count; i++)
        if (strcmp(module->variables[i].name, name) == 0) {
            *out_address = module->variables[i].address;
            *out_bytes = module->variables[i].bytes;
            return PTX_OK;
        }
    *out_address = *out_bytes = 0;
    return PTX_NOT_FOUND;
}

ptx_kernel_info ptx_kernel_describe(const ptx_kernel *kernel)
{
    return (ptx_kernel_info){
        .name = kernel->name,
        .params = kernel->params,
        .param_count = kernel->param_count,
        .param_bytes = kernel->param_bytes,
        .shared_bytes = kernel->shared_bytes,
        .local_bytes = kernel->local_bytes,
        .max_threads = kernel->max_threads,
        .registers = kernel->registers,
        .instructions = kernel->insn_count,
    };
}
