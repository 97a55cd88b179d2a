// SPDX-License-Identifier: MIT
//
// From a finding to a sentence that names kernel, line, thread, address and allocation; and the order between
// blocks that strong accesses to global memory make.
#include "exec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *ptx_finding_name(ptx_finding finding)
{
    static const char *const names[PTX_FINDING_COUNT] = {
        "out of bounds",
        "use after free",
        "uninitialised",
        "misaligned",
        "race",
        "barrier diverged",
        "wrong mask",
        "deadlock",
        "endless",
        "asynchronous copy not waited for",
        "write to read-only",
        "trap",
        "non-coherent read",
        "bad operand",
    };
    return (unsigned)finding < PTX_FINDING_COUNT ? names[finding] : "unknown";
}

static void thread_of(const ptx_run_state *run, uint32_t thread, uint32_t *out)
{
    const uint32_t *size = run->launch->block;
    out[0] = thread % size[0];
    out[1] = thread / size[0] % size[1];
    out[2] = thread / size[0] / size[1];
}

static void block_of(const ptx_run_state *run, uint64_t block, uint32_t *out)
{
    const uint32_t *size = run->launch->grid;
    out[0] = (uint32_t)(block % size[0]);
    out[1] = (uint32_t)(block / size[0] % size[1]);
    out[2] = (uint32_t)(block / size[0] / size[1]);
}

static void nearest_variable(const ptx_variable *list, uint32_t count, uint64_t address, ptx_report *report)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].address <= address) {
            report->allocation = list[i].name;
            report->allocation_address = list[i].address;
            report->allocation_bytes = list[i].bytes;
        }
}

static void find_allocation(const ptx_run_state *run, const ptx_fault *fault, ptx_report *report)
{
    const ptx_kernel *kernel = run->kernel;
    const ptx_allocation *a;
    switch (fault->space) {
    case PTX_SPACE_SHARED:
        nearest_variable(kernel->shared, kernel->shared_count, fault->address, report);
        if (run->launch->dynamic_shared_bytes && fault->address >= kernel->dynamic_offset) {
            report->allocation = "dynamic shared memory";
            report->allocation_address = kernel->dynamic_offset;
            report->allocation_bytes = run->launch->dynamic_shared_bytes;
        }
        break;
    case PTX_SPACE_LOCAL:
        nearest_variable(kernel->locals, kernel->locals_count, fault->address, report);
        break;
    case PTX_SPACE_PARAM:
        report->allocation = "parameters";
        report->allocation_bytes = kernel->param_bytes;
        break;
    default:
        a = ptx_memory_nearest(run->memory, fault->address);
        if (a) {
            report->allocation = a->name ? a->name : "unnamed";
            report->allocation_address = a->begin;
            report->allocation_bytes = a->bytes;
        }
        break;
    }
}

static void append(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, PTX_MESSAGE_BYTES - used, format, arguments);
    va_end(arguments);
}

static void write_sentence(ptx_report *r, const ptx_fault *fault)
{
    char *text = r->text;
    append(text, "%s: kernel %s, PTX line %u", ptx_finding_name(r->finding), r->kernel, r->ptx_line);
    if (r->source_file)
        append(text, " (%s:%u)", r->source_file, r->source_line);
    append(text, ", block (%u,%u,%u)", r->block[0], r->block[1], r->block[2]);
    if (fault->lane < PTX_LANES)
        append(text, " thread (%u,%u,%u)", r->thread[0], r->thread[1], r->thread[2]);
    if (r->space)
        append(text, ": %s of %u bytes at %s 0x%llx", fault->is_write ? "write" : "read", r->access_bytes,
               r->space, (unsigned long long)r->address);
    if (r->allocation) {
        int64_t at = (int64_t)(r->address - r->allocation_address);
        append(text, ", byte %lld of '%s' (%llu bytes)", (long long)at, r->allocation,
               (unsigned long long)r->allocation_bytes);
    }
    if (fault->has_other)
        append(text, ", against block (%u,%u,%u) thread (%u,%u,%u)", r->other_block[0], r->other_block[1],
               r->other_block[2], r->other_thread[0], r->other_thread[1], r->other_thread[2]);
    if (fault->detail)
        append(text, ": %s", fault->detail);
}

// One report for each line and kind.
static bool seen_before(ptx_run_state *run, uint32_t line, ptx_finding finding)
{
    uint64_t key = (uint64_t)line << 8 | finding;
    for (uint32_t i = 0; i < run->seen_count; i++)
        if (run->seen[i] == key)
            return true;
    if (run->seen_count == run->seen_capacity) {
        uint32_t capacity = run->seen_capacity ? run->seen_capacity * 2 : 32;
        uint64_t *seen = realloc(run->seen, capacity * sizeof *seen);
        if (!seen)
            return false;
        run->seen = seen;
        run->seen_capacity = capacity;
    }
    run->seen[run->seen_count++] = key;
    return false;
}

void ptx_report_fault(ptx_warp *warp, const ptx_insn *insn, const ptx_fault *fault)
{
    static const char *const spaces[] = {NULL, "constant", "global", "local", "parameter", "shared"};
    ptx_run_state *run = warp->block->run;
    const ptx_module *module = run->kernel->module;
    pthread_mutex_lock(&run->lock);
    run->result->findings[fault->finding]++;
    if (!seen_before(run, insn->line, fault->finding) && run->launch->report) {
        ptx_report report = {.finding = fault->finding,
                             .kernel = run->kernel->name,
                             .ptx_line = insn->line,
                             .address = fault->address,
                             .access_bytes = fault->bytes,
                             .space = spaces[fault->space]};
        memcpy(report.block, warp->block->id, sizeof report.block);
        if (fault->lane < PTX_LANES)
            thread_of(run, warp->index * 32 + fault->lane, report.thread);
        if (insn->loc && module->locs[insn->loc].file < module->file_count) {
            report.source_file = module->files[module->locs[insn->loc].file];
            report.source_line = module->locs[insn->loc].line;
        }
        if (fault->space)
            find_allocation(run, fault, &report);
        if (fault->has_other) {
            block_of(run, fault->other_block, report.other_block);
            thread_of(run, fault->other_thread, report.other_thread);
        }
        write_sentence(&report, fault);
        run->launch->report(run->launch->user, &report);
    }
    pthread_mutex_unlock(&run->lock);
}

void ptx_stop(ptx_warp *warp, const ptx_insn *insn, const ptx_fault *fault)
{
    ptx_run_state *run = warp->block->run;
    ptx_report_fault(warp, insn, fault);
    pthread_mutex_lock(&run->lock);
    warp->block->stopped = true;
    if (run->status == PTX_OK) {
        run->status = PTX_LAUNCH_FAILED;
        snprintf(run->result->message, sizeof run->result->message, "%s in kernel %s, PTX line %u%s%s",
                 ptx_finding_name(fault->finding), run->kernel->name, insn->line, fault->detail ? ": " : "",
                 fault->detail ? fault->detail : "");
    }
    __atomic_store_n(&run->stopped, true, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&run->lock);
}

// ---- order between blocks ----

// A block that has written to a word strongly; whoever reads the word so later comes after it, and after
// whomever it came after. Fences are not asked for: their absence is missed, never invented.
typedef struct ptx_release {
    struct ptx_release *before, *acquired;
    uint64_t address;
    uint32_t serial, visit;
    struct ptx_release *bucket;
} ptx_release;

#define RELEASE_BUCKETS 4096

static ptx_release **bucket_of(ptx_run_state *run, uint64_t address)
{
    return &run->releases[(address >> 2) * 0x9e3779b97f4a7c15ull >> 52];
}

void ptx_release_acquire(ptx_warp *warp, uint64_t address, bool releases, bool acquires)
{
    ptx_block *block = warp->block;
    ptx_run_state *run = block->run;
    if (!run->check_races || run->block_count == 1)
        return;
    pthread_mutex_lock(&run->lock);
    ptx_release **bucket = bucket_of(run, address), **at = bucket;
    while (*at && (*at)->address != address)
        at = &(*at)->bucket;
    ptx_release *head = *at;
    if (acquires && head && !(block->acquired && block->acquired->acquired == head)) {
        // keeps what was acquired before by way of a link of its own
        ptx_release *link = ptx_arena_alloc(run->arena, sizeof *link);
        if (link)
            *link = (ptx_release){.before = block->acquired, .acquired = head, .serial = head->serial};
        block->acquired = link ? link : block->acquired;
    }
    if (releases && (!head || head->serial != block->serial)) {
        ptx_release *node = ptx_arena_alloc(run->arena, sizeof *node);
        if (node) {
            *node = (ptx_release){.before = head,
                                  .acquired = block->acquired,
                                  .address = address,
                                  .serial = block->serial,
                                  .bucket = head ? head->bucket : NULL};
            *at = node;
        }
    }
    pthread_mutex_unlock(&run->lock);
}

static bool reaches(const ptx_release *from, uint32_t serial, uint32_t *steps)
{
    for (; from && ++*steps < 1u << 16; from = from->before) {
        if (from->serial == serial)
            return true;
        if (from->acquired && from->acquired != from->before && reaches(from->acquired, serial, steps))
            return true;
    }
    return from != NULL; // given up: no alarm
}

bool ptx_ordered_over_blocks(ptx_block *block, uint32_t serial)
{
    uint32_t steps = 0;
    pthread_mutex_lock(&block->run->lock);
    bool ordered = reaches(block->acquired, serial, &steps);
    pthread_mutex_unlock(&block->run->lock);
    return ordered;
}
