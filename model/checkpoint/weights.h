// SPDX-License-Identifier: MIT
//
// The weights that a graph uses: which stored tensors make up each graph value, checked against config and
// checkpoint when they are added, and given out piece by piece at upload. Also holds computed constants (rope
// frequencies).
//
// Without a checkpoint (a config.json alone) everything but the upload works.
#ifndef ISOMER_MODEL_WEIGHTS_H
#define ISOMER_MODEL_WEIGHTS_H

#include "isomer/checkpoint.h"
#include "isomer/session.h"

#define ISO_WEIGHT_NAME_BYTES 128

// One graph value: `part_count` stored tensors of [rows, columns], one after the other.
typedef struct iso_weight_entry {
    char name[ISO_WEIGHT_NAME_BYTES]; // tensor name, with "{expert}" where part_count > 1; a label for
                                      // constants
    uint32_t part_count;
    uint32_t rows, columns; // columns 0: a vector of `rows`
    iso_dtype dtype;        // of the graph's value
    bool positive_finite;   // FP8 scales: anything else is a damaged checkpoint
    void *constant;         // computed data, owned; NULL: from the checkpoint
} iso_weight_entry;

typedef struct iso_weight_table {
    const iso_allocator *allocator;
    const iso_checkpoint *checkpoint; // NULL: config only
    iso_weight_entry *entries;
    size_t count, capacity;
} iso_weight_table;

void iso_weight_table_init(iso_weight_table *table, const iso_allocator *allocator,
                           const iso_checkpoint *checkpoint);
void iso_weight_table_deinit(iso_weight_table *table);

// What the checkpoint stores the first part as, or `otherwise` where there is no checkpoint or no such
// tensor.
iso_dtype iso_weight_table_stored_dtype(const iso_weight_table *table, const char *name, iso_dtype otherwise);

// Checks every part's presence, shape and dtype against the checkpoint and adds the entry. A part may be
// stored in another float type than `dtype` only if `dtype` is F32. ISO_CORRUPT names the file, the tensor,
// what it is and what the config asks for.
iso_status iso_weight_table_add(iso_weight_table *table, const iso_weight_entry *entry,
                                uint32_t *out_tag) ISO_MUST_USE;

// Stored bytes of all entries, counted once.
uint64_t iso_weight_table_bytes(const iso_weight_table *table);

// An iso_weight_source over the table; lent.
iso_weight_source iso_weight_table_source(iso_weight_table *table);

#endif
