// SPDX-License-Identifier: MIT
//
// A look at a CUDA binary before a driver gets it. The driver is given an address and no length, and believes
// the sizes in the heads it finds there: bytes that were cut off would be read beyond their end. The fat
// binary's head is that of NVIDIA's fatbinary_section.h and fatBinaryCtl.h (magic, version, size of the head,
// size of what follows); a cubin is an ELF file of 64 bits.
#include <elf.h>
#include <string.h>

#include "backends/cuda/cuda.h"

#define FAT_MAGIC UINT32_C(0xba55ed50)

typedef struct fat_head {
    uint32_t magic;
    uint16_t version, head_bytes;
    uint64_t body_bytes;
} fat_head;

static iso_status check_fat(const void *image, size_t bytes)
{
    fat_head head;
    if (bytes < sizeof head)
        return iso_fail(ISO_BUILD_FAILED, "the fat binary has %zu bytes, its head alone has %zu", bytes,
                        sizeof head);
    memcpy(&head, image, sizeof head);
    if (head.head_bytes < sizeof head || head.head_bytes > bytes || head.body_bytes > bytes - head.head_bytes)
        return iso_fail(ISO_BUILD_FAILED, "the fat binary has %zu bytes, its head speaks of %u and %llu",
                        bytes, head.head_bytes, (unsigned long long)head.body_bytes);
    return ISO_OK;
}

static iso_status fail_part(const char *part, uint64_t index, size_t bytes)
{
    return iso_fail(ISO_BUILD_FAILED, "the cubin's %s %llu lies beyond its %zu bytes", part,
                    (unsigned long long)index, bytes);
}

static bool is_within(uint64_t offset, uint64_t length, size_t bytes)
{
    return offset <= bytes && length <= bytes - offset;
}

static iso_status check_elf(const void *image, size_t bytes)
{
    Elf64_Ehdr head;
    if (bytes < sizeof head)
        return iso_fail(ISO_BUILD_FAILED, "the cubin has %zu bytes, its head alone has %zu", bytes,
                        sizeof head);
    memcpy(&head, image, sizeof head);
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
        head.e_machine != EM_CUDA)
        return iso_fail(ISO_BUILD_FAILED,
                        "the image is an ELF file, but no cubin (class %u, machine %u; 2 and %u are wanted)",
                        head.e_ident[EI_CLASS], head.e_machine, EM_CUDA);
    for (uint64_t i = 0; i < head.e_shnum; i++) {
        Elf64_Shdr section;
        uint64_t at = head.e_shoff + i * sizeof section;
        if (head.e_shentsize != sizeof section || head.e_shoff > bytes ||
            !is_within(at, sizeof section, bytes))
            return fail_part("section head", i, bytes);
        memcpy(&section, (const char *)image + at, sizeof section);
        if (section.sh_type != SHT_NOBITS && !is_within(section.sh_offset, section.sh_size, bytes))
            return fail_part("section", i, bytes);
    }
    for (uint64_t i = 0; i < head.e_phnum; i++) {
        Elf64_Phdr segment;
        uint64_t at = head.e_phoff + i * sizeof segment;
        if (head.e_phentsize != sizeof segment || head.e_phoff > bytes ||
            !is_within(at, sizeof segment, bytes))
            return fail_part("segment head", i, bytes);
        memcpy(&segment, (const char *)image + at, sizeof segment);
        if (!is_within(segment.p_offset, segment.p_filesz, bytes))
            return fail_part("segment", i, bytes);
    }
    return ISO_OK;
}

iso_status iso_cuda_check_image(const void *image, size_t bytes)
{
    uint32_t magic = 0;
    if (bytes >= sizeof magic)
        memcpy(&magic, image, sizeof magic);
    if (magic == FAT_MAGIC)
        return check_fat(image, bytes);
    if (bytes >= SELFMAG && memcmp(image, ELFMAG, SELFMAG) == 0)
        return check_elf(image, bytes);
    return iso_fail(ISO_BUILD_FAILED,
                    "the image of %zu bytes is neither a fat binary nor a cubin: it begins with 0x%08x",
                    bytes, magic);
}
