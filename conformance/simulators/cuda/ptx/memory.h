// SPDX-License-Identifier: MIT
//
// The table of allocations as the executor sees it. An address is never given twice; freed ranges are
// remembered, so that their use can be named.
#pragma once

#include "ptx.h"

#include <pthread.h>

// Last accesses to a word of global memory: block's serial 29 bits, thread 10, clock 20, atomic 1, bytes 4.
// 0: none.
typedef struct ptx_word_access {
    uint64_t w, r1, r2;
} ptx_word_access;

// Who has used a word in the launch, through .nc and by writing: block's serial 29 bits, thread 10, line of
// PTX 21, bytes 4. The bytes are those of all its users, the rest is one of them. 0: nobody.
typedef struct ptx_word_use {
    uint64_t nc, written;
} ptx_word_use;

typedef struct ptx_allocation {
    uint64_t begin, bytes;
    uint8_t *host;
    uint8_t *written;       // one byte for each; NULL: all written (registered host memory)
    ptx_word_access *words; // reserved when first needed
    ptx_word_use *uses;     // the same
    char *name;
    uint64_t owner;
    bool freed, registered, read_only;
} ptx_allocation;

struct ptx_memory {
    pthread_mutex_t lock;
    ptx_allocation **table; // by address
    uint32_t count, capacity, outgrown_count;
    ptx_allocation **outgrown[40];
    uint64_t next, used, limit;
    uint64_t serials; // blocks that have been given a number
    uint64_t owner;   // of what comes next
};

// The allocation at or below the address, freed or not; NULL: none.
ptx_allocation *ptx_memory_at(const ptx_memory *memory, uint64_t address);
// The allocation that holds the address, or the one that is next to it.
ptx_allocation *ptx_memory_nearest(const ptx_memory *memory, uint64_t address);
// Reserve the records, of all zeros. NULL: no memory.
ptx_word_access *ptx_memory_words(ptx_memory *memory, ptx_allocation *allocation);
ptx_word_use *ptx_memory_uses(ptx_memory *memory, ptx_allocation *allocation);
// Forgets all records, so that serials may begin again. Under the memory's lock.
void ptx_memory_forget(ptx_memory *memory);
