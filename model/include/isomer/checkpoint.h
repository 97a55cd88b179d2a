// SPDX-License-Identifier: MIT
//
// A checkpoint as published: one safetensors file, or many with an index. Files are mapped, so opening costs
// only the headers, and tensors are lent without a copy. Everything in a header is checked before a tensor is
// lent. The writer makes files of the same format, whole or not at all.
//
// If another process cuts a mapped file short while it is open, reading a tensor raises SIGBUS, as with any
// mapping: replace checkpoints by rename, not in place.
#ifndef ISOMER_CHECKPOINT_H
#define ISOMER_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"
#include "isomer/dtype.h"
#include "isomer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

#define ISO_CHECKPOINT_MAX_DIMS 8

typedef struct iso_checkpoint iso_checkpoint;

// One stored tensor, row-major. All pointers are lent by the checkpoint until it is closed.
typedef struct iso_tensor_view {
    const char *name;
    iso_dtype dtype;        // ISO_DTYPE_NONE: a type that Isomer does not compute with; see dtype_name
    const char *dtype_name; // as in the file: "BF16", "F8_E4M3", "I64", …
    uint32_t rank;          // 0: a single element
    uint64_t dims[ISO_CHECKPOINT_MAX_DIMS]; // outermost first; 1 beyond rank
    const void *data; // may be unaligned: the format promises nothing; read it by memcpy
    uint64_t bytes;
    const char *file; // path of the file it is in
} iso_tensor_view;

typedef struct iso_checkpoint_summary {
    uint32_t file_count;
    uint32_t tensor_count;
    uint64_t tensor_bytes;
    uint64_t hole_bytes;      // bytes of the files that no tensor covers, headers aside; 0 in honest files
    uint32_t unindexed_count; // tensors that are in a shard but not assigned to it by the index; never lent
} iso_checkpoint_summary;

typedef struct iso_safetensors_writer iso_safetensors_writer;

// ---- calls: reading ----

// Opens `path`: a .safetensors file, or a folder with model.safetensors or else model.safetensors.index.json
// and its shards. ISO_NOT_FOUND: nothing there, or a shard is missing; ISO_IO; ISO_CORRUPT: a header, an
// offset, a size or the index is wrong; ISO_UNSUPPORTED: more dimensions than ISO_CHECKPOINT_MAX_DIMS. Close
// with iso_checkpoint_close. `allocator` may be NULL. After opening, all calls may come from any thread.
ISO_API iso_status iso_checkpoint_open(const char *path, const iso_allocator *allocator,
                                       iso_checkpoint **out_checkpoint) ISO_MUST_USE;

// Accepts NULL.
ISO_API void iso_checkpoint_close(iso_checkpoint *checkpoint);

// The tensor called `name`. ISO_NOT_FOUND names the tensor and the checkpoint; *out_view is zeroed then.
ISO_API iso_status iso_checkpoint_find(const iso_checkpoint *checkpoint, const char *name,
                                       iso_tensor_view *out_view) ISO_MUST_USE;

// Whether there is such a tensor; touches no error record.
ISO_API bool iso_checkpoint_has(const iso_checkpoint *checkpoint, const char *name);

// The index-th tensor, index < tensor_count, in the order of the file or of the index. ISO_INVALID_ARGUMENT
// beyond.
ISO_API iso_status iso_checkpoint_tensor_at(const iso_checkpoint *checkpoint, uint32_t index,
                                            iso_tensor_view *out_view) ISO_MUST_USE;

ISO_API void iso_checkpoint_summarize(const iso_checkpoint *checkpoint, iso_checkpoint_summary *out_summary);

// Lets the pages that hold this tensor leave the process's memory, after its content was uploaded. The tensor
// stays readable: a later read maps them again.
ISO_API void iso_checkpoint_release_pages(const iso_checkpoint *checkpoint, const iso_tensor_view *view);

// ---- calls: writing ----

// A writer for `path`. Nothing is on disk before iso_safetensors_writer_finish.
ISO_API iso_status iso_safetensors_writer_create(const char *path, const iso_allocator *allocator,
                                                 iso_safetensors_writer **out_writer) ISO_MUST_USE;

// Adds a tensor: name, dtype (not NONE or ACTIVATION), rank, dims and data are read, the rest is ignored. The
// name is copied, the data is borrowed until finish or destroy. ISO_INVALID_ARGUMENT: no name, not UTF-8,
// added before, a dtype that cannot be stored, too many dimensions or elements.
ISO_API iso_status iso_safetensors_writer_add(iso_safetensors_writer *writer,
                                              const iso_tensor_view *tensor) ISO_MUST_USE;

// Writes everything to a new file beside `path` and renames it. ISO_IO names the path and the system's
// reason; then `path` is as it was before and nothing else is left behind. Once only.
ISO_API iso_status iso_safetensors_writer_finish(iso_safetensors_writer *writer) ISO_MUST_USE;

// Accepts NULL.
ISO_API void iso_safetensors_writer_destroy(iso_safetensors_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
