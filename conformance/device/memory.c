// SPDX-License-Identifier: MIT
//
// Units of the device suite: buffers. Sizes, odd offsets, fills, many at once, and memory that runs out. No
// kernels.
#include <stdio.h>
#include <string.h>

#include "conformance/device/bench.h"

// ---- sizes ----

static iso_status one_size(device_bench *bench, uint32_t bytes)
{
    uint8_t *sent, *got;
    iso_buffer *buffer = NULL;
    iso_status status;
    ISO_TRY(ISO_NEW(NULL, 2 * (size_t)bytes, &sent));
    got = sent + bytes;
    device_pattern(sent, bytes, bytes);
    ISO_TRY_GOTO(iso_buffer_create(bench->device, bytes, &buffer), done);
    device_expect(bench, iso_buffer_bytes(buffer) == bytes && iso_buffer_memory(buffer)->bytes == bytes,
                  "a buffer of %u bytes says it has %llu", bytes,
                  (unsigned long long)iso_buffer_bytes(buffer));
    ISO_TRY_GOTO(iso_buffer_write(buffer, 0, sent, bytes), done);
    ISO_TRY_GOTO(iso_buffer_read(buffer, 0, got, bytes), done);
    device_expect(bench, memcmp(sent, got, bytes) == 0, "%u bytes do not come back as written", bytes);
done:
    iso_buffer_release(buffer);
    iso_free(NULL, sent);
    return status;
}

iso_status device_alloc_sizes(device_bench *bench)
{
    static const uint32_t others[] = {31,  32,   33,   63,   64,    65,    255,  256,
                                      257, 4095, 4096, 4097, 65535, 65537, 70001};
    for (uint32_t bytes = 1; bytes <= 17; bytes++)
        ISO_TRY(one_size(bench, bytes));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ISO_TRY(one_size(bench, others[i]));
    return ISO_OK;
}

// ---- refusals ----

static void refuse_range(device_bench *bench, iso_buffer *buffer, uint64_t offset, uint64_t bytes)
{
    unsigned char host[64] = {0};
    char what[96];
    snprintf(what, sizeof what, "access of %llu bytes at %llu of 32", (unsigned long long)bytes,
             (unsigned long long)offset);
    device_refused(bench, iso_buffer_write(buffer, offset, host, bytes), ISO_INVALID_ARGUMENT,
                   ISO_INVALID_ARGUMENT, what);
    device_refused(bench, iso_buffer_read(buffer, offset, host, bytes), ISO_INVALID_ARGUMENT,
                   ISO_INVALID_ARGUMENT, what);
    device_refused(bench, iso_buffer_fill(buffer, offset, bytes, 0), ISO_INVALID_ARGUMENT,
                   ISO_INVALID_ARGUMENT, what);
}

iso_status device_refuses_ranges(device_bench *bench)
{
    static const uint64_t bad[][2] = {{0, 0},  {31, 0},         {0, 36},         {32, 4},
                                      {33, 1}, {UINT64_MAX, 4}, {4, UINT64_MAX}, {UINT64_MAX - 3, 8}};
    uint8_t before[32], after[32];
    iso_buffer *buffer = NULL;
    iso_status status;
    device_refused(bench, iso_buffer_create(bench->device, 0, &buffer), ISO_INVALID_ARGUMENT,
                   ISO_INVALID_ARGUMENT, "a buffer of 0 bytes");
    device_expect(bench, buffer == NULL, "a refused buffer is not NULL");
    ISO_TRY(iso_buffer_create(bench->device, 32, &buffer));
    device_pattern(before, 32, 5);
    ISO_TRY_GOTO(iso_buffer_write(buffer, 0, before, 32), done);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse_range(bench, buffer, bad[i][0], bad[i][1]);
    device_refused(bench, iso_buffer_fill(buffer, 2, 4, 0), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "a fill at offset 2");
    device_refused(bench, iso_buffer_fill(buffer, 0, 6, 0), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "a fill of 6 bytes");
    ISO_TRY_GOTO(iso_buffer_read(buffer, 0, after, 32), done);
    device_expect(bench, memcmp(before, after, 32) == 0, "what was refused has changed the buffer");
done:
    iso_buffer_release(buffer);
    return status;
}

// ---- odd offsets ----

enum { FIELD = 96 };

// Writes `bytes` at `offset` from a host address that is `shift` past an aligned one; the rest must stay.
static iso_status one_write(device_bench *bench, iso_buffer *buffer, uint32_t offset, uint32_t bytes)
{
    uint8_t want[FIELD], got[FIELD], source[64], shift = (uint8_t)((offset + bytes) % 16);
    device_pattern(want, FIELD, 1000 * offset + bytes);
    ISO_TRY(iso_buffer_write(buffer, 0, want, FIELD));
    device_pattern(source, sizeof source, 31 * offset + bytes);
    memcpy(want + offset, source + shift, bytes);
    ISO_TRY(iso_buffer_write(buffer, offset, source + shift, bytes));
    ISO_TRY(iso_buffer_read(buffer, 0, got, FIELD));
    device_expect(
        bench, memcmp(want, got, FIELD) == 0, "a write of %u bytes at offset %u puts %s", bytes, offset,
        memcmp(want + offset, got + offset, bytes) == 0 ? "something beside, too" : "other bytes there");
    return ISO_OK;
}

iso_status device_write_offsets(device_bench *bench)
{
    iso_buffer *buffer;
    iso_status status = ISO_OK;
    ISO_TRY(iso_buffer_create(bench->device, FIELD, &buffer));
    for (uint32_t offset = 0; offset < 32 && status == ISO_OK; offset++)
        for (uint32_t bytes = 1; bytes <= 17 && status == ISO_OK; bytes++)
            status = one_write(bench, buffer, offset, bytes);
    // The last byte.
    if (status == ISO_OK)
        status = one_write(bench, buffer, FIELD - 1, 1);
    iso_buffer_release(buffer);
    return status;
}

static iso_status one_read(device_bench *bench, const iso_buffer *buffer, const uint8_t *content,
                           uint32_t offset, uint32_t bytes)
{
    uint8_t target[64], shift = (uint8_t)((offset + 3 * bytes) % 16);
    bool beside = true;
    memset(target, 0xcd, sizeof target);
    ISO_TRY(iso_buffer_read(buffer, offset, target + shift, bytes));
    for (uint32_t i = 0; i < sizeof target; i++)
        beside &= (i >= shift && i < shift + bytes) || target[i] == 0xcd;
    device_expect(bench, memcmp(target + shift, content + offset, bytes) == 0,
                  "a read of %u bytes at offset %u is wrong", bytes, offset);
    device_expect(bench, beside, "a read of %u bytes at offset %u writes beside its target", bytes, offset);
    return ISO_OK;
}

iso_status device_read_offsets(device_bench *bench)
{
    uint8_t content[FIELD];
    iso_buffer *buffer;
    iso_status status;
    device_pattern(content, FIELD, 9);
    ISO_TRY(iso_buffer_create(bench->device, FIELD, &buffer));
    ISO_TRY_GOTO(iso_buffer_write(buffer, 0, content, FIELD), done);
    for (uint32_t offset = 0; offset < 32; offset++)
        for (uint32_t bytes = 1; bytes <= 17; bytes++)
            ISO_TRY_GOTO(one_read(bench, buffer, content, offset, bytes), done);
    ISO_TRY_GOTO(one_read(bench, buffer, content, FIELD - 1, 1), done);
done:
    iso_buffer_release(buffer);
    return status;
}

// ---- fills ----

static iso_status one_fill(device_bench *bench, iso_buffer *buffer, uint32_t first, uint32_t count)
{
    enum { WORDS = 40 };
    uint32_t want[WORDS], pattern = 0x80ff7f01u + first + 256 * count;
    device_pattern((uint8_t *)want, sizeof want, first + 100 * count);
    ISO_TRY(iso_buffer_write(buffer, 0, want, sizeof want));
    for (uint32_t i = first; i < first + count; i++)
        want[i] = pattern;
    ISO_TRY(iso_buffer_fill(buffer, 4 * (uint64_t)first, 4 * (uint64_t)count, pattern));
    return device_compare(bench, buffer, want, WORDS, "fill");
}

iso_status device_fill_ranges(device_bench *bench)
{
    iso_buffer *buffer;
    iso_status status = ISO_OK;
    ISO_TRY(iso_buffer_create(bench->device, 160, &buffer));
    for (uint32_t first = 0; first < 17 && status == ISO_OK; first++)
        for (uint32_t count = 1; count <= 17 && status == ISO_OK; count += 2)
            status = one_fill(bench, buffer, first, count);
    if (status == ISO_OK)
        status = one_fill(bench, buffer, 39, 1);
    if (status == ISO_OK)
        status = one_fill(bench, buffer, 0, 40);
    iso_buffer_release(buffer);
    return status;
}

// ---- large ----

static iso_status compare_large(device_bench *bench, iso_buffer *buffer, uint8_t *want, uint8_t *got,
                                uint32_t bytes)
{
    static const uint32_t places[][2] = {
        {0, 4u << 20}, {1, (4u << 20) + 1}, {(1u << 20) + 13, 6u << 20}, {7, 65536}};
    ISO_TRY(iso_buffer_write(buffer, 0, want, bytes));
    for (uint32_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        uint8_t *part = want + places[p][0];
        device_pattern(part, places[p][1], 50 + p);
        ISO_TRY(iso_buffer_write(buffer, places[p][0], part, places[p][1]));
        memset(got, 0, bytes);
        ISO_TRY(iso_buffer_read(buffer, 0, got, bytes));
        device_expect(bench, memcmp(want, got, bytes) == 0, "a write of %u bytes at offset %u", places[p][1],
                      places[p][0]);
        memset(got, 0, bytes);
        ISO_TRY(iso_buffer_read(buffer, places[p][0], got, places[p][1]));
        device_expect(bench, memcmp(part, got, places[p][1]) == 0, "a read of %u bytes at offset %u",
                      places[p][1], places[p][0]);
    }
    return ISO_OK;
}

// Larger than any block that a backend copies through, and no multiple of one.
iso_status device_large_copies(device_bench *bench)
{
    uint32_t bytes = (9u << 20) + 3;
    uint64_t most = iso_device_get_info(bench->device)->max_allocation_bytes;
    uint8_t *host;
    iso_buffer *buffer = NULL;
    iso_status status;
    if (most < bytes) {
        device_skip(bench, "a buffer of %u bytes is needed; the device allocates %llu at once", bytes,
                    (unsigned long long)most);
        return ISO_OK;
    }
    ISO_TRY(ISO_NEW(NULL, 2 * (size_t)bytes, &host));
    device_pattern(host, bytes, 3);
    ISO_TRY_GOTO(iso_buffer_create(bench->device, bytes, &buffer), done);
    ISO_TRY_GOTO(compare_large(bench, buffer, host, host + bytes, bytes), done);
done:
    iso_buffer_release(buffer);
    iso_free(NULL, host);
    return status;
}

// ---- many ----

enum { MANY = 300, MOST_BYTES = 1400 };

static iso_status create_numbered(device_bench *bench, uint32_t number, iso_buffer **out_buffer)
{
    uint8_t bytes[MOST_BYTES];
    uint32_t count = 1 + number * 37 % MOST_BYTES;
    device_pattern(bytes, count, number);
    ISO_TRY(iso_buffer_create(bench->device, count, out_buffer));
    return iso_buffer_write(*out_buffer, 0, bytes, count);
}

static iso_status compare_numbered(device_bench *bench, uint32_t number, const iso_buffer *buffer)
{
    uint8_t want[MOST_BYTES], got[MOST_BYTES];
    uint32_t count = 1 + number * 37 % MOST_BYTES;
    device_pattern(want, count, number);
    ISO_TRY(iso_buffer_read(buffer, 0, got, count));
    device_expect(bench, memcmp(want, got, count) == 0,
                  "buffer %u of %d has changed while others came and went", number, MANY);
    return ISO_OK;
}

iso_status device_many_buffers(device_bench *bench)
{
    iso_buffer *buffers[MANY] = {NULL};
    iso_status status;
    for (uint32_t i = 0; i < MANY; i++)
        ISO_TRY_GOTO(create_numbered(bench, i, &buffers[i]), done);
    for (uint32_t i = 0; i < MANY; i += 2) {
        iso_buffer_release(buffers[i]);
        buffers[i] = NULL;
    }
    for (uint32_t i = 0; i < MANY; i += 4)
        ISO_TRY_GOTO(create_numbered(bench, i, &buffers[i]), done);
    for (uint32_t i = 0; i < MANY; i++)
        if (buffers[i])
            ISO_TRY_GOTO(compare_numbered(bench, i, buffers[i]), done);
done:
    for (uint32_t i = 0; i < MANY; i++)
        iso_buffer_release(buffers[i]);
    return status;
}

// ---- counting ----

iso_status device_counts_bytes(device_bench *bench)
{
    uint64_t before = iso_device_allocated_bytes(bench->device, NULL), peak;
    iso_buffer *first, *second;
    ISO_TRY(iso_buffer_create(bench->device, 1000, &first));
    iso_status status = iso_buffer_create(bench->device, 501, &second);
    if (status == ISO_OK) {
        device_expect(
            bench, iso_device_allocated_bytes(bench->device, &peak) == before + 1501 && peak >= before + 1501,
            "buffers of 1000 and 501 bytes count as %llu",
            (unsigned long long)(iso_device_allocated_bytes(bench->device, NULL) - before));
        iso_buffer_retain(second);
        iso_buffer_release(second);
        device_expect(bench, iso_device_allocated_bytes(bench->device, NULL) == before + 1501,
                      "a buffer that is held twice is gone after one release");
        iso_buffer_release(second);
    }
    iso_buffer_release(first);
    device_expect(bench, iso_device_allocated_bytes(bench->device, NULL) == before,
                  "released buffers still count as allocated");
    return status;
}

// ---- no more memory ----

enum { PIECES = 64 };

// Where the device has little enough memory that its end can be reached on a shared machine.
#define MEMORY_WORTH_FILLING (UINT64_C(4) << 30)

static iso_status small_copy(device_bench *bench, iso_device *device)
{
    uint8_t sent[64], got[64];
    iso_buffer *buffer;
    device_pattern(sent, sizeof sent, 1);
    ISO_TRY(iso_buffer_create(device, sizeof sent, &buffer));
    iso_status status = iso_buffer_write(buffer, 0, sent, sizeof sent);
    if (status == ISO_OK)
        status = iso_buffer_read(buffer, 0, got, sizeof got);
    iso_buffer_release(buffer);
    device_expect(bench, status == ISO_OK && memcmp(sent, got, sizeof sent) == 0,
                  "the device does not work on after memory was refused");
    return status;
}

iso_status device_too_large(device_bench *bench)
{
    const iso_device_info *info = iso_device_get_info(bench->device);
    const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX / 2, UINT64_C(1) << 56, info->max_allocation_bytes + 1};
    uint64_t before = iso_device_allocated_bytes(bench->device, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        iso_buffer *buffer = NULL;
        device_refused(bench, iso_buffer_create(bench->device, sizes[i], &buffer), ISO_OUT_OF_MEMORY,
                       ISO_UNSUPPORTED, "a buffer larger than the device");
        device_expect(bench, buffer == NULL, "a refused buffer is not NULL");
    }
    device_expect(bench, iso_device_allocated_bytes(bench->device, NULL) == before,
                  "a refused buffer counts as allocated");
    return small_copy(bench, bench->device);
}

// Memory that is not touched may be promised beyond its end; what is refused must be refused in order.
static iso_status fill_device(device_bench *bench, iso_device *device)
{
    const iso_device_info *info = iso_device_get_info(device);
    iso_buffer *pieces[PIECES] = {NULL};
    uint64_t bytes = info->max_allocation_bytes, asked = 0;
    iso_status status = ISO_OK;
    for (uint32_t i = 0; i < PIECES && asked <= info->memory_bytes && status == ISO_OK; i++) {
        status = iso_buffer_create(device, bytes, &pieces[i]);
        asked += bytes;
    }
    if (status != ISO_OK)
        device_refused(bench, status, ISO_OUT_OF_MEMORY, ISO_UNSUPPORTED, "memory that is not there");
    for (uint32_t i = 0; i < PIECES; i++)
        iso_buffer_release(pieces[i]);
    device_expect(bench, iso_device_allocated_bytes(device, NULL) == 0,
                  "memory that was refused counts as allocated");
    return small_copy(bench, device);
}

// On a device of its own, opened without validation: that would write all of the memory.
iso_status device_out_of_memory(device_bench *bench)
{
    const iso_device_info *info = iso_device_get_info(bench->device);
    iso_device *device;
    if (info->memory_bytes > MEMORY_WORTH_FILLING) {
        device_skip(bench, "the device has %llu MiB; its memory is only exhausted up to %llu MiB",
                    (unsigned long long)(info->memory_bytes >> 20),
                    (unsigned long long)(MEMORY_WORTH_FILLING >> 20));
        return ISO_OK;
    }
    ISO_TRY(iso_device_open(bench->context->registry, iso_device_name(bench->device), NULL, &device));
    iso_status status = fill_device(bench, device);
    iso_device_close(device);
    return status;
}
