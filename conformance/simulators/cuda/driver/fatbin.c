// SPDX-License-Identifier: MIT
//
// Which text of a fat binary a chip executes. The layout is what CUDA 13.0's fatbinary writes: a header of 16
// bytes, then entries, each with a header of its own that says its kind, its target and its size. Every field
// is taken as hostile: the image's size is known from its own header alone, and nothing outside of it is
// read.
#include "fatbin.h"

#include "ptx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRAPPER_MAGIC 0x466243b1u
#define FATBIN_MAGIC  0xba55ed50u
#define HEADER_BYTES  16u
#define ENTRY_BYTES   64u // the fields of an entry's header that are looked at
#define IMAGE_MAX     ((uint64_t)4 << 30)
#define TEXT_MAX      ((uint64_t)256 << 20)

enum { KIND_PTX = 1, KIND_CUBIN = 2 };
enum { FLAG_LZ4 = 0x2000, FLAG_ZSTD = 0x8000, FLAG_CHIP_ALONE = 0x100000, FLAG_FAMILY_ALONE = 0x200000 };

typedef struct entry {
    uint32_t kind, arch, packed_bytes;
    uint64_t flags, unpacked_bytes, payload_bytes;
    const uint8_t *payload;
} entry;

// What was seen, for the message.
typedef struct seen {
    uint32_t texts, cubins, others;
    uint32_t lowest; // target of the texts that are for other chips
} seen;

// Little-endian fields at any address.
static uint64_t field(const uint8_t *at, uint32_t bytes)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

// One byte after the other: the image may end anywhere.
static bool starts_with(const uint8_t *image, uint32_t magic)
{
    for (uint32_t i = 0; i < 4; i++)
        if (image[i] != (magic >> 8 * i & 0xff))
            return false;
    return true;
}

bool sim_fatbin_is(const void *image)
{
    return starts_with(image, FATBIN_MAGIC) || starts_with(image, WRAPPER_MAGIC);
}

// ---- the image and its entries ----

static CUresult damaged(char *message, const char *what, uint64_t value, const char *wanted)
{
    snprintf(message, PTX_MESSAGE_BYTES, "the fat binary is damaged: %s is %llu, %s", what,
             (unsigned long long)value, wanted);
    return CUDA_ERROR_INVALID_IMAGE;
}

static CUresult unwrap(const uint8_t **image, char *message)
{
    const uint8_t *wrapper = *image;
    if (!starts_with(wrapper, WRAPPER_MAGIC))
        return CUDA_SUCCESS;
    uint64_t version = field(wrapper + 4, 4);
    if (version != 1 && version != 2)
        return damaged(message, "the wrapper's version", version, "not 1 or 2");
    memcpy(image, wrapper + 8, sizeof *image);
    if (!*image || !starts_with(*image, FATBIN_MAGIC)) {
        snprintf(message, PTX_MESSAGE_BYTES, "the fat binary is damaged: its wrapper points at %s",
                 *image ? "something that is no fat binary" : "nothing");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    return CUDA_SUCCESS;
}

static CUresult open_image(const uint8_t *image, char *message, uint64_t *out_begin, uint64_t *out_end)
{
    uint64_t version = field(image + 4, 1);
    if (version != 1 || image[5])
        return damaged(message, "the version", version, "not 1");
    *out_begin = field(image + 6, 2);
    if (*out_begin < HEADER_BYTES)
        return damaged(message, "the header's size", *out_begin, "less than 16");
    uint64_t bytes = field(image + 8, 8);
    if (bytes > IMAGE_MAX)
        return damaged(message, "the size", bytes, "more than 4 GiB");
    *out_end = *out_begin + bytes;
    return CUDA_SUCCESS;
}

static CUresult read_entry(const uint8_t *at, uint64_t left, char *message, entry *out)
{
    if (left < ENTRY_BYTES)
        return damaged(message, "what is left for an entry's header", left, "less than its 64 bytes");
    uint64_t version = field(at + 2, 2), header = field(at + 4, 4);
    if (version != 0x0101)
        return damaged(message, "an entry's version", version, "not 257");
    if (header < ENTRY_BYTES || header > left)
        return damaged(message, "the size of an entry's header", header, "not between 64 and what is left");
    *out = (entry){.kind = (uint32_t)field(at, 2),
                   .arch = (uint32_t)field(at + 28, 4),
                   .packed_bytes = (uint32_t)field(at + 16, 4),
                   .flags = field(at + 40, 8),
                   .unpacked_bytes = field(at + 56, 8),
                   .payload_bytes = field(at + 8, 8),
                   .payload = at + header};
    if (out->payload_bytes > left - header)
        return damaged(message, "an entry's size", out->payload_bytes, "more than what is left");
    return CUDA_SUCCESS;
}

static bool runs_on(const entry *e, uint32_t arch)
{
    if (e->flags & FLAG_CHIP_ALONE)
        return e->arch == arch;
    if (e->flags & FLAG_FAMILY_ALONE && e->arch / 10 != arch / 10)
        return false;
    return e->arch <= arch;
}

static void count(const entry *e, seen *s)
{
    s->texts += e->kind == KIND_PTX;
    s->cubins += e->kind == KIND_CUBIN;
    s->others += e->kind != KIND_PTX && e->kind != KIND_CUBIN;
    if (e->kind == KIND_PTX && (!s->lowest || e->arch < s->lowest))
        s->lowest = e->arch;
}

// ---- LZ4 ----

// A length that goes on in further bytes. False: the block ends before it does.
static bool longer(const uint8_t **at, const uint8_t *end, size_t *length)
{
    uint8_t more = 255;
    while (more == 255) {
        if (*at == end)
            return false;
        more = *(*at)++;
        *length += more;
    }
    return true;
}

// A block as LZ4's format description has it: runs of bytes as they are, each followed by a copy of bytes
// that came before. True: it gives exactly out_bytes.
static bool unpack_lz4(const uint8_t *at, size_t bytes, uint8_t *out, size_t out_bytes)
{
    const uint8_t *end = at + bytes;
    size_t done = 0;
    while (at < end) {
        uint8_t token = *at++;
        size_t run = token >> 4, length = token & 15;
        if (run == 15 && !longer(&at, end, &run))
            return false;
        if (run > (size_t)(end - at) || run > out_bytes - done)
            return false;
        memcpy(out + done, at, run);
        at += run;
        done += run;
        if (at == end)
            break; // the last run has no copy
        if (end - at < 2)
            return false;
        size_t back = (size_t)field(at, 2);
        at += 2;
        if (length == 15 && !longer(&at, end, &length))
            return false;
        length += 4;
        if (!back || back > done || length > out_bytes - done)
            return false;
        for (size_t i = 0; i < length; i++, done++) // may overlap with what it makes
            out[done] = out[done - back];
    }
    return done == out_bytes;
}

static CUresult unpack(const entry *e, char *message, sim_fatbin_text *out)
{
    if (e->packed_bytes > e->payload_bytes)
        return damaged(message, "an entry's compressed size", e->packed_bytes, "more than the entry's own");
    if (!e->unpacked_bytes || e->unpacked_bytes > TEXT_MAX)
        return damaged(message, "an entry's uncompressed size", e->unpacked_bytes,
                       "not between 1 and 256 MiB");
    char *made = malloc(e->unpacked_bytes);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!unpack_lz4(e->payload, e->packed_bytes, (uint8_t *)made, e->unpacked_bytes)) {
        free(made);
        return damaged(message, "an entry's LZ4 block of bytes", e->packed_bytes,
                       "and does not unpack to the size that is said");
    }
    *out = (sim_fatbin_text){made, strnlen(made, e->unpacked_bytes), made};
    return CUDA_SUCCESS;
}

// ---- choosing ----

static CUresult none_found(const seen *s, uint32_t arch, char *message)
{
    int used = snprintf(message, PTX_MESSAGE_BYTES,
                        "the fat binary holds %u cubins, %u PTX texts and %u entries of other kinds; ",
                        s->cubins, s->texts, s->others);
    size_t left = PTX_MESSAGE_BYTES - (size_t)used;
    if (s->texts)
        snprintf(message + used, left, "no PTX is for sm_%u, the lowest is for sm_%u", arch, s->lowest);
    else
        snprintf(message + used, left, "the simulator executes PTX only");
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
}

CUresult sim_fatbin_find(const void *wrapped, uint32_t arch, char *message, sim_fatbin_text *out)
{
    const uint8_t *image = wrapped;
    uint64_t at, end;
    seen s = {0};
    entry best = {0}, e;
    *out = (sim_fatbin_text){0};
    CUresult result = unwrap(&image, message);
    if (!result)
        result = open_image(image, message, &at, &end);
    if (result)
        return result;
    for (; at < end; at = (uint64_t)(e.payload - image) + e.payload_bytes) {
        result = read_entry(image + at, end - at, message, &e);
        if (result)
            return result;
        count(&e, &s);
        if (e.kind != KIND_PTX || !runs_on(&e, arch) || (best.payload && e.arch <= best.arch))
            continue;
        best = e;
    }
    if (!best.payload)
        return none_found(&s, arch, message);
    if (best.flags & FLAG_ZSTD) {
        snprintf(message, PTX_MESSAGE_BYTES,
                 "the fat binary's PTX for sm_%u is compressed with Zstandard, which the simulator does not "
                 "unpack: make it with fatbinary --compress=false or --compress-mode=speed",
                 best.arch);
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    if (best.flags & FLAG_LZ4)
        return unpack(&best, message, out);
    const char *text = (const char *)best.payload;
    *out = (sim_fatbin_text){text, strnlen(text, best.payload_bytes), NULL};
    return CUDA_SUCCESS;
}
