// SPDX-License-Identifier: MIT
//
// Buffers of a simulated chip: host memory behind a link, with the chip's limits, and the faults of copies.
// Fresh memory holds NaN with a number that differs from allocation to allocation, so that what is read
// before it was written is neither a number nor the same twice.
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "backends/sim/shell.h"

#define FRESH 0x7fc00000u // NaN as F32 and, in the upper half, as BF16
// Larger memory is made NaN at both ends only, so that what nobody touches stays only promised.
#define FRESH_BYTES (UINT64_C(4) << 20)

unsigned char *iso_sim_memory_data(const iso_memory *memory)
{
    return ((sim_memory *)memory->handle)->data;
}

// ---- allocation ----

static void freshen(unsigned char *first, uint64_t bytes, uint32_t pattern)
{
    for (uint64_t at = 0; at + sizeof pattern <= bytes; at += sizeof pattern)
        memcpy(first + at, &pattern, sizeof pattern);
}

iso_status iso_sim_memory_alloc(void *device, uint64_t bytes, iso_memory *out_memory)
{
    sim_device *sim = device;
    const sim_features *features = &sim->chip->features;
    uint64_t left = features->memory_bytes - sim->allocated_bytes;
    if (bytes > features->allocation_bytes || bytes > left)
        return iso_fail(ISO_OUT_OF_MEMORY,
                        "out of device memory: %" PRIu64 " bytes wanted, %" PRIu64 " of %" PRIu64
                        " are free, one allocation has at most %" PRIu64,
                        bytes, left, features->memory_bytes, features->allocation_bytes);
    sim_memory *memory;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(sim->allocator, 1, &memory));
    // Data begins at a multiple of the alignment; slack lies on both sides.
    uint64_t alignment = features->alignment > SIM_SLACK_BYTES ? features->alignment : SIM_SLACK_BYTES;
    uint64_t room = (bytes + 3) / 4 * 4 + 2 * SIM_SLACK_BYTES + alignment;
    size_t capacity = 0;
    // Growing from nothing is the call that leaves the content undefined.
    ISO_TRY_GOTO(iso_grow(sim->allocator, 1, room, &memory->base, &capacity), fail);
    uintptr_t first = (uintptr_t)memory->base + SIM_SLACK_BYTES;
    memory->data = (unsigned char *)((first + alignment - 1) / alignment * alignment);
    memory->bytes = bytes;
    uint32_t pattern = FRESH | (++sim_state_of(sim)->allocation_count & 0xffffu);
    unsigned char *base = memory->base;
    freshen(base, room > FRESH_BYTES ? FRESH_BYTES : room, pattern);
    if (room > FRESH_BYTES)
        freshen(base + (room - FRESH_BYTES) / 4 * 4, FRESH_BYTES + room % 4, pattern);
    sim->allocated_bytes += bytes;
    out_memory->handle = memory;
    out_memory->address = (uint64_t)(uintptr_t)memory->data;
    return ISO_OK;
fail:
    iso_free(sim->allocator, memory);
    return status;
}

// Takes the memory out of what the copies' faults remember.
static void forget(sim_device *sim, sim_memory *memory)
{
    sim_state *state = sim_state_of(sim);
    size_t kept = 0;
    for (size_t i = 0; i < state->late_count; i++) {
        if (state->late[i].memory == memory)
            iso_free(sim->allocator, state->late[i].content);
        else
            state->late[kept++] = state->late[i];
    }
    state->late_count = kept;
    for (sim_memory **at = &state->with_before; *at; at = &(*at)->next) {
        if (*at == memory) {
            *at = memory->next;
            break;
        }
    }
    iso_free(sim->allocator, memory->before);
}

void iso_sim_memory_free(void *device, iso_memory *memory)
{
    sim_device *sim = device;
    sim_memory *own = memory->handle;
    forget(sim, own);
    sim->allocated_bytes -= own->bytes;
    iso_free(sim->allocator, own->base);
    iso_free(sim->allocator, own);
}

// ---- copies ----

static void cross_link(const sim_device *sim, uint64_t bytes)
{
    uint64_t speed = sim->chip->features.link_bytes_per_second;
    if (speed == 0)
        return;
    double seconds = (double)bytes / (double)speed;
    struct timespec pause = {.tv_sec = (time_t)seconds};
    pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
    while (nanosleep(&pause, &pause) != 0)
        continue;
}

// Copies as the chip's copy faults leave it: which bytes move, and where to.
static void bend(const sim_device *sim, const char *what, uint64_t word, uint64_t *offset_bytes,
                 uint64_t *bytes)
{
    if (iso_sim_find_rule(sim, SIM_COPY, SIM_ALIGN, what))
        *offset_bytes -= *offset_bytes % word;
    if (iso_sim_find_rule(sim, SIM_COPY, SIM_CUT, what))
        *bytes -= word == 4 ? *bytes % word : 4;
}

static iso_status write_late(sim_device *sim, sim_memory *memory, uint64_t offset_bytes, const void *source,
                             uint64_t bytes)
{
    sim_state *state = sim_state_of(sim);
    ISO_TRY(iso_grow(sim->allocator, sizeof *state->late, state->late_count + 1, (void **)&state->late,
                     &state->late_capacity));
    sim_late_write *late = &state->late[state->late_count];
    *late = (sim_late_write){.memory = memory, .offset_bytes = offset_bytes, .bytes = bytes};
    ISO_TRY(ISO_NEW(sim->allocator, bytes, &late->content));
    memcpy(late->content, source, bytes);
    state->late_count++;
    return ISO_OK;
}

void iso_sim_late_arrive(sim_device *sim)
{
    sim_state *state = sim_state_of(sim);
    for (size_t i = 0; i < state->late_count; i++) {
        const sim_late_write *late = &state->late[i];
        memcpy(late->memory->data + late->offset_bytes, late->content, late->bytes);
        iso_free(sim->allocator, late->content);
    }
    state->late_count = 0;
}

void iso_sim_before_forget(sim_device *sim)
{
    sim_state *state = sim_state_of(sim);
    while (state->with_before) {
        sim_memory *memory = state->with_before;
        state->with_before = memory->next;
        iso_free(sim->allocator, memory->before);
        memory->before = NULL;
        memory->next = NULL;
    }
}

iso_status iso_sim_before_keep(sim_device *sim, sim_memory *memory)
{
    sim_state *state = sim_state_of(sim);
    if (memory->before)
        return ISO_OK;
    ISO_TRY(ISO_NEW(sim->allocator, memory->bytes, &memory->before));
    memcpy(memory->before, memory->data, memory->bytes);
    memory->next = state->with_before;
    state->with_before = memory;
    return ISO_OK;
}

iso_status iso_sim_memory_write(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                                uint64_t bytes)
{
    sim_device *sim = device;
    sim_memory *own = memory->handle;
    cross_link(sim, bytes);
    bend(sim, "write", 4, &offset_bytes, &bytes);
    own->host_writes++;
    if (bytes == 0)
        return ISO_OK;
    if (iso_sim_find_rule(sim, SIM_COPY, SIM_LATE, "write"))
        return write_late(sim, own, offset_bytes, source, bytes);
    memcpy(own->data + offset_bytes, source, bytes);
    return ISO_OK;
}

iso_status iso_sim_memory_read(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                               uint64_t bytes)
{
    sim_device *sim = device;
    const sim_memory *own = memory->handle;
    iso_sim_late_arrive(sim);
    ISO_TRY(iso_sim_take_failure(sim));
    cross_link(sim, bytes);
    bend(sim, "read", 4, &offset_bytes, &bytes);
    memcpy(target, (own->before ? own->before : own->data) + offset_bytes, bytes);
    return ISO_OK;
}

iso_status iso_sim_memory_fill(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                               uint32_t pattern)
{
    sim_device *sim = device;
    sim_memory *own = memory->handle;
    iso_sim_late_arrive(sim);
    bend(sim, "fill", 16, &offset_bytes, &bytes);
    own->host_writes++;
    for (uint64_t at = 0; at < bytes; at += sizeof pattern)
        memcpy(own->data + offset_bytes + at, &pattern, sizeof pattern);
    return ISO_OK;
}
