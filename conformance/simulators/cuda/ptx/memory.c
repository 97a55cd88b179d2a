// SPDX-License-Identifier: MIT
//
// Allocations, and the host's access to them. Beside the bytes it keeps which of them have been written.
#include "memory.h"
#include "ir.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GAP 65536u // between allocations, so that a step over the end meets nothing

ptx_memory *ptx_memory_create(uint64_t limit_bytes)
{
    ptx_memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        return NULL;
    memory->limit = limit_bytes ? limit_bytes : UINT64_MAX;
    memory->next = PTX_GLOBAL_BASE;
    memory->serials = 1;
    pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

static void *reserve(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static uint64_t word_count(const ptx_allocation *a)
{
    return (a->bytes + 3) / 4;
}

// The host's memory goes back; the range stays known.
static void release(ptx_allocation *a)
{
    if (a->host && !a->registered)
        munmap(a->host, a->bytes);
    if (a->written)
        munmap(a->written, a->bytes);
    if (a->words)
        munmap(a->words, word_count(a) * sizeof *a->words);
    if (a->uses)
        munmap(a->uses, word_count(a) * sizeof *a->uses);
    a->host = a->written = NULL;
    a->words = NULL;
    a->uses = NULL;
}

void ptx_memory_destroy(ptx_memory *memory)
{
    if (!memory)
        return;
    for (uint32_t i = 0; i < memory->count; i++) {
        release(memory->table[i]);
        free(memory->table[i]->name);
        free(memory->table[i]);
    }
    free(memory->table);
    for (uint32_t i = 0; i < memory->outgrown_count; i++)
        free(memory->outgrown[i]);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

ptx_allocation *ptx_memory_at(const ptx_memory *memory, uint64_t address)
{
    uint32_t count = __atomic_load_n(&memory->count, __ATOMIC_ACQUIRE), low = 0, high = count;
    ptx_allocation *const *table = __atomic_load_n(&memory->table, __ATOMIC_ACQUIRE);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (table[middle]->begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? table[low - 1] : NULL;
}

ptx_allocation *ptx_memory_nearest(const ptx_memory *memory, uint64_t address)
{
    ptx_allocation *below = ptx_memory_at(memory, address), *above = NULL;
    uint32_t count = __atomic_load_n(&memory->count, __ATOMIC_ACQUIRE);
    ptx_allocation *const *table = __atomic_load_n(&memory->table, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count && !above; i++)
        above = table[i]->begin > address ? table[i] : NULL;
    if (!below || !above || address - below->begin < below->bytes)
        return below ? below : above;
    return above->begin - address < address - below->begin - below->bytes ? above : below;
}

// Launches look into the table while the host allocates: entries are only added at its end, and a table that
// was outgrown stays until the memory goes.
static ptx_allocation *append(ptx_memory *memory)
{
    if (memory->count == memory->capacity) {
        uint32_t capacity = memory->capacity ? memory->capacity * 2 : 64;
        ptx_allocation **table = calloc(capacity, sizeof *table);
        if (!table)
            return NULL;
        if (memory->count)
            memcpy(table, memory->table, memory->count * sizeof *table);
        memory->outgrown[memory->outgrown_count++] = memory->table;
        __atomic_store_n(&memory->table, table, __ATOMIC_RELEASE);
        memory->capacity = capacity;
    }
    return calloc(1, sizeof(ptx_allocation));
}

static ptx_status add(ptx_memory *memory, void *host, uint64_t bytes, const char *name, uint64_t *out_address)
{
    *out_address = 0;
    if (bytes == 0 || bytes > 1ull << 44)
        return PTX_BAD_ARGUMENT;
    pthread_mutex_lock(&memory->lock);
    ptx_status status = PTX_NO_MEMORY;
    ptx_allocation *a = NULL;
    if (!host && (bytes > memory->limit || memory->used > memory->limit - bytes))
        goto done;
    uint8_t *data = host ? host : reserve(bytes), *written = host ? NULL : reserve(bytes);
    if (!data || (!host && !written) || !(a = append(memory))) {
        if (data && !host)
            munmap(data, bytes);
        if (written)
            munmap(written, bytes);
        goto done;
    }
    *a = (ptx_allocation){.begin = memory->next,
                          .bytes = bytes,
                          .host = data,
                          .written = written,
                          .registered = host != NULL,
                          .owner = memory->owner,
                          .name = name ? strdup(name) : NULL};
    memory->table[memory->count] = a;
    __atomic_store_n(&memory->count, memory->count + 1, __ATOMIC_RELEASE);
    memory->next += (bytes + GAP + 511) & ~(uint64_t)511;
    memory->used += host ? 0 : bytes;
    *out_address = a->begin;
    status = PTX_OK;
done:
    pthread_mutex_unlock(&memory->lock);
    return status;
}

ptx_status ptx_memory_alloc(ptx_memory *memory, uint64_t bytes, const char *name, uint64_t *out_address)
{
    return add(memory, NULL, bytes, name, out_address);
}

ptx_status ptx_memory_register(ptx_memory *memory, void *host, uint64_t bytes, uint64_t *out_address)
{
    return host ? add(memory, host, bytes, "registered host memory", out_address) : PTX_BAD_ARGUMENT;
}

ptx_status ptx_memory_free(ptx_memory *memory, uint64_t address)
{
    pthread_mutex_lock(&memory->lock);
    ptx_allocation *a = ptx_memory_at(memory, address);
    ptx_status status = a && a->begin == address && !a->freed ? PTX_OK : PTX_NOT_FOUND;
    if (status == PTX_OK) {
        memory->used -= a->registered ? 0 : a->bytes;
        a->freed = true;
        release(a);
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

// The allocation that holds the whole range.
static ptx_allocation *range(ptx_memory *memory, uint64_t address, uint64_t bytes)
{
    ptx_allocation *a = ptx_memory_at(memory, address);
    if (!a || a->freed || address - a->begin > a->bytes || bytes > a->bytes - (address - a->begin))
        return NULL;
    return a;
}

ptx_status ptx_memory_write(ptx_memory *memory, uint64_t address, const void *data, uint64_t bytes)
{
    ptx_allocation *a = range(memory, address, bytes);
    if (!a)
        return PTX_NOT_FOUND;
    memcpy(a->host + (address - a->begin), data, bytes);
    if (a->written)
        memset(a->written + (address - a->begin), 1, bytes);
    return PTX_OK;
}

ptx_status ptx_memory_read(ptx_memory *memory, uint64_t address, void *data, uint64_t bytes,
                           uint64_t *out_unwritten_bytes)
{
    ptx_allocation *a = range(memory, address, bytes);
    if (out_unwritten_bytes)
        *out_unwritten_bytes = 0;
    if (!a)
        return PTX_NOT_FOUND;
    memcpy(data, a->host + (address - a->begin), bytes);
    if (out_unwritten_bytes && a->written)
        for (uint64_t i = 0; i < bytes; i++)
            *out_unwritten_bytes += !a->written[address - a->begin + i];
    return PTX_OK;
}

ptx_status ptx_memory_copy(ptx_memory *memory, uint64_t to, uint64_t from, uint64_t bytes)
{
    ptx_allocation *a = range(memory, to, bytes), *b = range(memory, from, bytes);
    if (!a || !b)
        return PTX_NOT_FOUND;
    memmove(a->host + (to - a->begin), b->host + (from - b->begin), bytes);
    if (a->written && b->written)
        memmove(a->written + (to - a->begin), b->written + (from - b->begin), bytes);
    else if (a->written)
        memset(a->written + (to - a->begin), 1, bytes);
    return PTX_OK;
}

ptx_status ptx_memory_fill(ptx_memory *memory, uint64_t address, uint32_t value, uint32_t unit_bytes,
                           uint64_t bytes)
{
    ptx_allocation *a = range(memory, address, bytes);
    if (!a)
        return PTX_NOT_FOUND;
    if ((unit_bytes != 1 && unit_bytes != 2 && unit_bytes != 4) || bytes % unit_bytes)
        return PTX_BAD_ARGUMENT;
    uint8_t *at = a->host + (address - a->begin);
    if (unit_bytes == 1)
        memset(at, (int)(value & 0xff), bytes);
    else
        for (uint64_t i = 0; i < bytes; i += unit_bytes)
            memcpy(at + i, &value, unit_bytes);
    if (a->written)
        memset(a->written + (address - a->begin), 1, bytes);
    return PTX_OK;
}

ptx_status ptx_memory_find(ptx_memory *memory, uint64_t address, uint64_t *out_begin, uint64_t *out_bytes)
{
    ptx_allocation *a = range(memory, address, 1);
    if (!a)
        return PTX_NOT_FOUND;
    *out_begin = a->begin;
    *out_bytes = a->bytes;
    return PTX_OK;
}

uint64_t ptx_memory_used_bytes(const ptx_memory *memory)
{
    return memory->used;
}

void ptx_memory_set_owner(ptx_memory *memory, uint64_t owner)
{
    memory->owner = owner;
}

uint64_t ptx_memory_owner(ptx_memory *memory, uint64_t address)
{
    const ptx_allocation *a = range(memory, address, 1);
    return a ? a->owner : 0;
}

static void *reserve_once(ptx_memory *memory, void **place, uint64_t bytes)
{
    void *records = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (records)
        return records;
    pthread_mutex_lock(&memory->lock);
    if (!*place)
        __atomic_store_n(place, reserve(bytes), __ATOMIC_RELEASE);
    records = *place;
    pthread_mutex_unlock(&memory->lock);
    return records;
}

ptx_word_access *ptx_memory_words(ptx_memory *memory, ptx_allocation *a)
{
    return reserve_once(memory, (void **)&a->words, word_count(a) * sizeof *a->words);
}

ptx_word_use *ptx_memory_uses(ptx_memory *memory, ptx_allocation *a)
{
    return reserve_once(memory, (void **)&a->uses, word_count(a) * sizeof *a->uses);
}

void ptx_memory_forget(ptx_memory *memory)
{
    for (uint32_t i = 0; i < memory->count; i++) {
        ptx_allocation *a = memory->table[i];
        if (a->words)
            memset(a->words, 0, word_count(a) * sizeof *a->words);
        if (a->uses)
            memset(a->uses, 0, word_count(a) * sizeof *a->uses);
    }
}
