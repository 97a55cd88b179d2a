// SPDX-License-Identifier: MIT
//
// Memory that is given back all at once: everything that a module's loading allocates, so that a load may be
// abandoned at any place of a text.
#include "ir.h"

#include <stdlib.h>

typedef struct arena_block {
    struct arena_block *next;
    size_t used, bytes;
    _Alignas(64) char data[];
} arena_block;

struct ptx_arena {
    arena_block *blocks;
};

ptx_arena *ptx_arena_create(void)
{
    return calloc(1, sizeof(ptx_arena));
}

void ptx_arena_destroy(ptx_arena *arena)
{
    if (!arena)
        return;
    for (arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(arena);
}

void *ptx_arena_alloc(ptx_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + 63) & ~(size_t)63;
    arena_block *block = arena->blocks;
    if (!block || block->bytes - block->used < bytes) {
        size_t size = bytes > 65536 ? bytes : 65536;
        // calloc of a large block costs nothing until it is touched
        void *memory = calloc(1, sizeof(arena_block) + size + 64);
        if (!memory)
            return NULL;
        block = memory;
        block->bytes = size;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *result = (char *)(((uintptr_t)block->data + 63) & ~(uintptr_t)63) + block->used;
    block->used += bytes;
    return result;
}
