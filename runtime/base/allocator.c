// SPDX-License-Identifier: MIT
//
// Host memory behind isomer/allocator.h: overflow checks, zeroing and the failure text in one place. It knows
// nothing of what the memory holds or for whom it is.
#include "isomer/allocator.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_GROWTH 8

static iso_status out_of_memory(size_t count, size_t elem_bytes)
{
    return iso_fail(ISO_OUT_OF_MEMORY, "out of host memory: %zu elements of %zu bytes wanted", count,
                    elem_bytes);
}

iso_status iso_alloc_array(const iso_allocator *allocator, size_t count, size_t elem_bytes, void **out)
{
    *out = NULL;
    size_t bytes;
    if (__builtin_mul_overflow(count, elem_bytes, &bytes))
        return out_of_memory(count, elem_bytes);
    if (bytes == 0)
        return ISO_OK;
    void *memory;
    if (allocator) {
        memory = allocator->resize(allocator->context, NULL, bytes);
        if (memory)
            memset(memory, 0, bytes);
    } else {
        memory = calloc(1, bytes); // leaves large blocks unmapped until they are touched
    }
    if (!memory)
        return out_of_memory(count, elem_bytes);
    *out = memory;
    return ISO_OK;
}

iso_status iso_alloc(const iso_allocator *allocator, size_t bytes, void **out)
{
    return iso_alloc_array(allocator, bytes, 1, out);
}

iso_status iso_grow(const iso_allocator *allocator, size_t elem_bytes, size_t needed, void **memory,
                    size_t *capacity)
{
    if (needed <= *capacity)
        return ISO_OK;
    size_t wanted = needed < SMALLEST_GROWTH ? SMALLEST_GROWTH : needed;
    size_t half_more;
    if (!__builtin_add_overflow(*capacity, *capacity / 2, &half_more) && half_more > wanted)
        wanted = half_more;
    size_t bytes;
    if (__builtin_mul_overflow(wanted, elem_bytes, &bytes) || bytes == 0)
        return out_of_memory(wanted, elem_bytes);
    void *grown = allocator ? allocator->resize(allocator->context, *memory, bytes) : realloc(*memory, bytes);
    if (!grown)
        return out_of_memory(wanted, elem_bytes);
    *memory = grown;
    *capacity = wanted;
    return ISO_OK;
}

iso_status iso_alloc_string(const iso_allocator *allocator, const char *text, char **out)
{
    *out = NULL;
    size_t bytes = strlen(text) + 1;
    void *copy;
    ISO_TRY(iso_alloc(allocator, bytes, &copy));
    memcpy(copy, text, bytes);
    *out = copy;
    return ISO_OK;
}

void iso_free(const iso_allocator *allocator, void *memory)
{
    if (allocator)
        allocator->release(allocator->context, memory);
    else
        free(memory);
}
