// SPDX-License-Identifier: MIT
//
// Host memory. Whoever allocates takes an iso_allocator; a NULL allocator means malloc/free.
#ifndef ISOMER_ALLOCATOR_H
#define ISOMER_ALLOCATOR_H

#include <stddef.h>

#include "isomer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

// Supplied by the caller; must outlive everything made with it and be safe to call from any thread.
typedef struct iso_allocator {
    void *context;
    // Resizes `memory` (NULL: allocates) to `bytes` (> 0), aligned for any type. NULL on failure, with
    // `memory` left as it was.
    void *(*resize)(void *context, void *memory, size_t bytes);
    // Accepts NULL.
    void (*release)(void *context, void *memory);
} iso_allocator;

// ---- calls ----

// Zeroed memory for `count` elements of `elem_bytes`. Sets *out to NULL on failure (and for a count of 0,
// which succeeds). ISO_OUT_OF_MEMORY when the product overflows or memory is exhausted.
ISO_API iso_status iso_alloc_array(const iso_allocator *allocator, size_t count, size_t elem_bytes,
                                   void **out) ISO_MUST_USE;

// Zeroed memory of `bytes`.
ISO_API iso_status iso_alloc(const iso_allocator *allocator, size_t bytes, void **out) ISO_MUST_USE;

// Grows *memory so that at least `needed` elements fit; *capacity counts elements. New room is not zeroed.
// On failure *memory and *capacity stay valid and unchanged.
ISO_API iso_status iso_grow(const iso_allocator *allocator, size_t elem_bytes, size_t needed, void **memory,
                            size_t *capacity) ISO_MUST_USE;

// A copy of `text` that ends in NUL.
ISO_API iso_status iso_alloc_string(const iso_allocator *allocator, const char *text,
                                    char **out) ISO_MUST_USE;

// Accepts NULL.
ISO_API void iso_free(const iso_allocator *allocator, void *memory);

// Typed zeroed allocation: ISO_NEW(allocator, count, &pointer).
#define ISO_NEW(allocator, count, out_pointer)                                                               \
    iso_alloc_array((allocator), (count), sizeof **(out_pointer), (void **)(out_pointer))

#ifdef __cplusplus
}
#endif
#endif
