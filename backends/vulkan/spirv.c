// SPDX-License-Identifier: MIT
//
// A look at SPIR-V before a driver sees it. Drivers trust it: a cut file or a capability that the device was
// not opened with ends in a crash, so both are found here. It reads the header and four instructions; whether
// the rest is valid is the compiler's business. Numbers: SPIR-V specification 1.5, sections 2.3 and 3.
#include <string.h>

#include "backends/vulkan/vulkan.h"

enum {
    MAGIC = 0x07230203,
    HEADER_WORDS = 5,
    VERSION_MOST = 0x00010500, // what Vulkan 1.2 takes
    OP_ENTRY_POINT = 15,
    OP_EXECUTION_MODE = 16,
    OP_CAPABILITY = 17,
    OP_FUNCTION = 54, // everything of interest stands before the first
    MODEL_GL_COMPUTE = 5,
    MODE_LOCAL_SIZE = 17,
};

// What a module may declare, and the feature with which it is enabled (0: with every device).
static const struct {
    uint32_t capability;
    uint32_t feature;
    const char *name;
} capabilities[] = {
    {0, 0, "Matrix"},
    {1, 0, "Shader"},
    {9, ISO_FEATURE_F16, "Float16"},
    {10, ISO_FEATURE_F64, "Float64"},
    {11, ISO_FEATURE_INT64, "Int64"},
    {22, ISO_FEATURE_STORAGE_8_16, "Int16"},
    {39, ISO_FEATURE_STORAGE_8_16, "Int8"},
    {61, ISO_FEATURE_SUBGROUPS, "GroupNonUniform"},
    {62, ISO_FEATURE_SUBGROUPS, "GroupNonUniformVote"},
    {63, ISO_FEATURE_SUBGROUPS, "GroupNonUniformArithmetic"},
    {64, ISO_FEATURE_SUBGROUPS, "GroupNonUniformBallot"},
    {4433, ISO_FEATURE_STORAGE_8_16, "StorageBuffer16BitAccess"},
    {4448, ISO_FEATURE_STORAGE_8_16, "StorageBuffer8BitAccess"},
    {5347, 0, "PhysicalStorageBufferAddresses"},
};

static iso_status check_capability(uint32_t capability, uint32_t features)
{
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++) {
        if (capabilities[i].capability != capability)
            continue;
        if ((capabilities[i].feature & ~features) == 0)
            return ISO_OK;
        return iso_fail(ISO_BUILD_FAILED, "its SPIR-V wants the capability %s, which the device lacks",
                        capabilities[i].name);
    }
    return iso_fail(ISO_BUILD_FAILED, "its SPIR-V wants the capability %u, which is not among those in use",
                    capability);
}

// OpEntryPoint: model, id, name (NUL-terminated, padded to words), interface.
static bool is_main(const uint32_t *op, uint32_t length)
{
    static const char name[] = "main";
    return length >= 5 && op[1] == MODEL_GL_COMPUTE && memcmp(&op[3], name, sizeof name) == 0;
}

static iso_status check_header(const uint32_t *words, size_t count)
{
    if (count < HEADER_WORDS)
        return iso_fail(ISO_BUILD_FAILED, "its SPIR-V has %zu words, a header alone has %d", count,
                        HEADER_WORDS);
    if (words[0] != MAGIC)
        return iso_fail(ISO_BUILD_FAILED, "its SPIR-V begins with 0x%08x instead of 0x%08x",
                        (unsigned)words[0], (unsigned)MAGIC);
    if (words[1] > VERSION_MOST)
        return iso_fail(ISO_BUILD_FAILED, "its SPIR-V has version 0x%08x, at most 0x%08x is taken",
                        (unsigned)words[1], (unsigned)VERSION_MOST);
    return ISO_OK;
}

iso_status iso_vulkan_check_spirv(const uint32_t *words, size_t count, uint32_t group_size, uint32_t features)
{
    ISO_TRY(check_header(words, count));
    bool has_main = false;
    bool in_functions = false;
    for (size_t at = HEADER_WORDS; at < count;) {
        const uint32_t *op = words + at;
        const uint32_t length = op[0] >> 16;
        const uint32_t code = op[0] & 0xffff;
        if (length == 0 || length > count - at)
            return iso_fail(ISO_BUILD_FAILED,
                            "its SPIR-V is damaged or cut: word %zu of %zu begins an instruction of "
                            "%u words",
                            at, count, (unsigned)length);
        in_functions = in_functions || code == OP_FUNCTION;
        at += length;
        if (in_functions)
            continue;
        if (code == OP_CAPABILITY && length >= 2)
            ISO_TRY(check_capability(op[1], features));
        else if (code == OP_ENTRY_POINT)
            has_main = has_main || is_main(op, length);
        else if (code == OP_EXECUTION_MODE && length >= 6 && op[2] == MODE_LOCAL_SIZE &&
                 (op[3] != group_size || op[4] != 1 || op[5] != 1))
            return iso_fail(ISO_BUILD_FAILED,
                            "its SPIR-V has groups of %u x %u x %u threads, group_size says %u",
                            (unsigned)op[3], (unsigned)op[4], (unsigned)op[5], (unsigned)group_size);
    }
    if (!has_main || !in_functions)
        return iso_fail(ISO_BUILD_FAILED, "its SPIR-V has no compute entry point \"main\"");
    return ISO_OK;
}
