// SPDX-License-Identifier: MIT
//
// A checkpoint of one or many safetensors files: opens and maps them, checks the index against them, and
// finds tensors by name through one hash table. It knows the files' names that Hugging Face uses; what a
// tensor is for, or what shape a model wants, it must not know.
#include "isomer/checkpoint.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "model/checkpoint/file.h"
#include "model/checkpoint/safetensors.h"

#define NO_ENTRY UINT32_MAX

static const char single_file_name[] = "model.safetensors";
static const char index_file_name[] = "model.safetensors.index.json";

typedef struct shard {
    char *path;
    const char *name; // as in the index; lent by the index while it is being read, else NULL
    iso_mapped_file map;
    iso_safetensors_header header;
} shard;

// A tensor that can be found: entry `entry` of shard `shard`.
typedef struct tensor_ref {
    const char *name; // lent by the index until the shard with the entry is open, then by that shard's header
    uint32_t shard;
    uint32_t entry;
} tensor_ref;

struct iso_checkpoint {
    const iso_allocator *allocator;
    char *path;
    shard *shards;
    uint32_t shard_count;
    tensor_ref *refs;
    uint32_t ref_count;
    // Open addressing over names: index into refs plus 1; 0 is free. At most half full.
    uint32_t *slots;
    uint32_t slot_mask;
    uint32_t unindexed_count;
};

static iso_status create_slots(iso_checkpoint *c, uint32_t capacity)
{
    uint64_t slot_count = 8;
    while (slot_count < 2 * (uint64_t)capacity)
        slot_count *= 2;
    c->slot_mask = (uint32_t)(slot_count - 1);
    return ISO_NEW(c->allocator, slot_count, &c->slots);
}

// The slot that holds `name`, or the free one where it belongs.
static uint32_t *find_slot(const iso_checkpoint *c, const char *name)
{
    uint32_t at = (uint32_t)XXH3_64bits(name, strlen(name)) & c->slot_mask;
    while (c->slots[at] != 0 && strcmp(c->refs[c->slots[at] - 1].name, name) != 0)
        at = (at + 1) & c->slot_mask;
    return &c->slots[at];
}

static void add_ref(iso_checkpoint *c, const char *name, uint32_t shard_index, uint32_t entry)
{
    c->refs[c->ref_count++] = (tensor_ref){.name = name, .shard = shard_index, .entry = entry};
    *find_slot(c, name) = c->ref_count;
}

static const tensor_ref *find_ref(const iso_checkpoint *c, const char *name)
{
    uint32_t slot = *find_slot(c, name);
    return slot == 0 ? NULL : &c->refs[slot - 1];
}

// The shard takes `path`.
static iso_status open_shard(iso_checkpoint *c, shard *s, char *path)
{
    s->path = path;
    ISO_TRY(iso_mapped_file_open(path, &s->map));
    return iso_safetensors_parse(s->map.data, s->map.bytes, path, c->allocator, &s->header);
}

static iso_status open_single(iso_checkpoint *c, char *path)
{
    iso_status status = ISO_NEW(c->allocator, 1, &c->shards);
    if (status != ISO_OK) {
        iso_free(c->allocator, path);
        return status;
    }
    c->shard_count = 1;
    ISO_TRY(open_shard(c, &c->shards[0], path));
    const iso_safetensors_header *header = &c->shards[0].header;
    ISO_TRY(ISO_NEW(c->allocator, header->count, &c->refs));
    ISO_TRY(create_slots(c, header->count));
    for (uint32_t i = 0; i < header->count; i++)
        add_ref(c, header->entries[i].name, 0, i);
    return ISO_OK;
}

// A shard's name comes from a file: it must not lead out of the folder.
static bool is_plain_file_name(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

// Fills refs from the weight map; shards get their names only. `numbers` remembers each file name's shard.
static iso_status read_weight_map(iso_checkpoint *c, json_t *map, json_t *numbers, const char *index_path)
{
    ISO_TRY(ISO_NEW(c->allocator, json_object_size(map), &c->refs));
    ISO_TRY(create_slots(c, (uint32_t)json_object_size(map)));
    size_t capacity = 0;
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (!name || !is_plain_file_name(name))
            return iso_fail(
                ISO_CORRUPT,
                "%s: weight_map[\"%s\"] must be the name of a file in the same folder; " ISO_REMEDY_DOWNLOAD,
                index_path, tensor);
        json_t *number = json_object_get(numbers, name);
        if (!number) {
            ISO_TRY(iso_grow(c->allocator, sizeof(shard), (size_t)c->shard_count + 1, (void **)&c->shards,
                             &capacity));
            c->shards[c->shard_count] = (shard){.name = name};
            number = json_integer(c->shard_count++);
            if (json_object_set_new(numbers, name, number) != 0)
                return iso_fail(ISO_OUT_OF_MEMORY, "%s: out of host memory while reading JSON", index_path);
        }
        add_ref(c, tensor, (uint32_t)json_integer_value(number), NO_ENTRY);
    }
    return ISO_OK;
}

static iso_status open_indexed_shards(iso_checkpoint *c, const char *folder, const char *index_path)
{
    for (uint32_t i = 0; i < c->shard_count; i++) {
        shard *s = &c->shards[i];
        char *path;
        ISO_TRY(iso_path_join(folder, s->name, c->allocator, &path));
        iso_status status = open_shard(c, s, path);
        if (status == ISO_NOT_FOUND)
            return iso_fail(ISO_NOT_FOUND, "%s: the shard is missing, %s names it; download it", path,
                            index_path);
        ISO_TRY(status);
        for (uint32_t e = 0; e < s->header.count; e++) {
            const char *name = s->header.entries[e].name;
            uint32_t slot = *find_slot(c, name);
            if (slot == 0 || c->refs[slot - 1].shard != i) {
                c->unindexed_count++;
                continue;
            }
            c->refs[slot - 1].name = name;
            c->refs[slot - 1].entry = e;
        }
    }
    for (uint32_t i = 0; i < c->ref_count; i++)
        if (c->refs[i].entry == NO_ENTRY)
            return iso_fail(
                ISO_CORRUPT,
                "%s: weight_map puts tensor \"%s\" into %s, which does not have it; download both again",
                index_path, c->refs[i].name, c->shards[c->refs[i].shard].path);
    return ISO_OK;
}

static iso_status read_index(iso_checkpoint *c, const char *folder, const char *index_path, json_t *root)
{
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0 || json_object_size(map) > UINT32_MAX / 4)
        return iso_fail(ISO_CORRUPT,
                        "%s: \"weight_map\" must be an object of tensor and file names; " ISO_REMEDY_DOWNLOAD,
                        index_path);
    json_t *numbers = json_object();
    if (!numbers)
        return iso_fail(ISO_OUT_OF_MEMORY, "%s: out of host memory while reading JSON", index_path);
    iso_status status = read_weight_map(c, map, numbers, index_path);
    json_decref(numbers);
    if (status == ISO_OK)
        status = open_indexed_shards(c, folder, index_path);
    for (uint32_t i = 0; i < c->shard_count; i++)
        c->shards[i].name = NULL;
    return status;
}

static iso_status open_sharded(iso_checkpoint *c, const char *folder, const char *index_path)
{
    iso_mapped_file file;
    ISO_TRY(iso_mapped_file_open(index_path, &file));
    json_t *root = NULL;
    iso_status status = iso_json_parse(file.data, file.bytes, 0, index_path, &root);
    iso_mapped_file_close(&file);
    ISO_TRY(status);
    status = read_index(c, folder, index_path, root);
    json_decref(root);
    return status;
}

static iso_status open_folder(iso_checkpoint *c, const char *folder)
{
    char *path;
    ISO_TRY(iso_path_join(folder, single_file_name, c->allocator, &path));
    if (iso_path_exists(path))
        return open_single(c, path);
    iso_free(c->allocator, path);
    ISO_TRY(iso_path_join(folder, index_file_name, c->allocator, &path));
    iso_status status =
        iso_path_exists(path)
            ? open_sharded(c, folder, path)
            : iso_fail(ISO_NOT_FOUND,
                       "%s: has neither %s nor %s; give the folder of a Hugging Face checkpoint", folder,
                       single_file_name, index_file_name);
    iso_free(c->allocator, path);
    return status;
}

static iso_status open_path(iso_checkpoint *c, const char *path)
{
    ISO_TRY(iso_alloc_string(c->allocator, path, &c->path));
    if (iso_path_is_folder(path))
        return open_folder(c, path);
    char *copy;
    ISO_TRY(iso_alloc_string(c->allocator, path, &copy));
    return open_single(c, copy);
}

iso_status iso_checkpoint_open(const char *path, const iso_allocator *allocator,
                               iso_checkpoint **out_checkpoint)
{
    *out_checkpoint = NULL;
    iso_checkpoint *c = NULL;
    ISO_TRY(ISO_NEW(allocator, 1, &c));
    c->allocator = allocator;
    iso_status status = open_path(c, path);
    if (status != ISO_OK) {
        iso_checkpoint_close(c);
        return status;
    }
    *out_checkpoint = c;
    return ISO_OK;
}

void iso_checkpoint_close(iso_checkpoint *c)
{
    if (!c)
        return;
    const iso_allocator *allocator = c->allocator;
    for (uint32_t i = 0; i < c->shard_count; i++) {
        iso_safetensors_header_deinit(&c->shards[i].header, allocator);
        iso_mapped_file_close(&c->shards[i].map);
        iso_free(allocator, c->shards[i].path);
    }
    iso_free(allocator, c->shards);
    iso_free(allocator, c->refs);
    iso_free(allocator, c->slots);
    iso_free(allocator, c->path);
    iso_free(allocator, c);
}

static void fill_view(const iso_checkpoint *c, const tensor_ref *ref, iso_tensor_view *out_view)
{
    const shard *s = &c->shards[ref->shard];
    const iso_safetensors_entry *entry = &s->header.entries[ref->entry];
    *out_view = (iso_tensor_view){.name = entry->name,
                                  .dtype = entry->dtype,
                                  .dtype_name = entry->dtype_name,
                                  .rank = entry->rank,
                                  .data = s->map.data + entry->begin,
                                  .bytes = entry->bytes,
                                  .file = s->path};
    memcpy(out_view->dims, entry->dims, sizeof entry->dims);
}

iso_status iso_checkpoint_find(const iso_checkpoint *c, const char *name, iso_tensor_view *out_view)
{
    *out_view = (iso_tensor_view){0};
    const tensor_ref *ref = find_ref(c, name);
    if (!ref)
        return iso_fail(ISO_NOT_FOUND,
                        "%s: there is no tensor \"%s\" among its %" PRIu32
                        "; check that the checkpoint is complete and "
                        "belongs to its config.json",
                        c->path, name, c->ref_count);
    fill_view(c, ref, out_view);
    return ISO_OK;
}

bool iso_checkpoint_has(const iso_checkpoint *c, const char *name)
{
    return find_ref(c, name) != NULL;
}

iso_status iso_checkpoint_tensor_at(const iso_checkpoint *c, uint32_t index, iso_tensor_view *out_view)
{
    *out_view = (iso_tensor_view){0};
    if (index >= c->ref_count)
        return iso_fail(ISO_INVALID_ARGUMENT, "%s: tensor index %" PRIu32 " must be below %" PRIu32, c->path,
                        index, c->ref_count);
    fill_view(c, &c->refs[index], out_view);
    return ISO_OK;
}

void iso_checkpoint_summarize(const iso_checkpoint *c, iso_checkpoint_summary *out_summary)
{
    *out_summary = (iso_checkpoint_summary){
        .file_count = c->shard_count, .tensor_count = c->ref_count, .unindexed_count = c->unindexed_count};
    for (uint32_t i = 0; i < c->ref_count; i++)
        out_summary->tensor_bytes += c->shards[c->refs[i].shard].header.entries[c->refs[i].entry].bytes;
    for (uint32_t i = 0; i < c->shard_count; i++)
        out_summary->hole_bytes += c->shards[i].header.hole_bytes;
}

void iso_checkpoint_release_pages(const iso_checkpoint *c, const iso_tensor_view *view)
{
    const tensor_ref *ref = find_ref(c, view->name);
    if (!ref || view->bytes == 0)
        return;
    // Rounded outwards: the mapping is never written, so a neighbour that loses a page reads it again from
    // the file.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t map = (uintptr_t)c->shards[ref->shard].map.data;
    uintptr_t begin = ((uintptr_t)view->data - map) / page * page;
    uintptr_t end = (uintptr_t)view->data - map + view->bytes;
    // Only advice: where the system refuses it, the pages stay.
    (void)madvise((void *)(map + begin), end - begin, MADV_DONTNEED);
}
