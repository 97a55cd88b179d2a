// SPDX-License-Identifier: MIT
//
// What one OpenCL device says of itself, turned into iso_device_info: two tables of queries (numbers and
// texts), the reasons for not using a device, and the part of the kernel cache's key that stands for device
// and driver.
#include "backends/opencl/opencl.h"

#include <stdio.h>
#include <string.h>

// ---- queries ----

// What of a device is a plain number.
typedef struct device_facts {
    cl_bool little_endian, compiler, available, unified;
    cl_uint compute_units, align_bits;
    cl_ulong memory_bytes, max_allocation_bytes, local_bytes;
    size_t max_group_size, max_argument_bytes;
    size_t max_item_sizes[8];
} device_facts;

#define FACT(param, field)                                                                                   \
    {                                                                                                        \
        param, offsetof(device_facts, field), sizeof(((device_facts *)0)->field), #param                     \
    }
static const struct {
    cl_device_info param;
    size_t offset, bytes;
    const char *name;
} fact_queries[] = {
    FACT(CL_DEVICE_ENDIAN_LITTLE, little_endian),
    FACT(CL_DEVICE_COMPILER_AVAILABLE, compiler),
    FACT(CL_DEVICE_AVAILABLE, available),
    FACT(CL_DEVICE_HOST_UNIFIED_MEMORY, unified),
    FACT(CL_DEVICE_MAX_COMPUTE_UNITS, compute_units),
    FACT(CL_DEVICE_MEM_BASE_ADDR_ALIGN, align_bits),
    FACT(CL_DEVICE_GLOBAL_MEM_SIZE, memory_bytes),
    FACT(CL_DEVICE_MAX_MEM_ALLOC_SIZE, max_allocation_bytes),
    FACT(CL_DEVICE_LOCAL_MEM_SIZE, local_bytes),
    FACT(CL_DEVICE_MAX_WORK_GROUP_SIZE, max_group_size),
    FACT(CL_DEVICE_MAX_PARAMETER_SIZE, max_argument_bytes),
    FACT(CL_DEVICE_MAX_WORK_ITEM_SIZES, max_item_sizes),
};

static const struct {
    bool of_platform;
    cl_uint param;
    const char *name;
} text_queries[ISO_CL_TEXT_COUNT] = {
    [ISO_CL_TEXT_PLATFORM_NAME] = {true, CL_PLATFORM_NAME, "CL_PLATFORM_NAME"},
    [ISO_CL_TEXT_PLATFORM_VERSION] = {true, CL_PLATFORM_VERSION, "CL_PLATFORM_VERSION"},
    [ISO_CL_TEXT_DEVICE_NAME] = {false, CL_DEVICE_NAME, "CL_DEVICE_NAME"},
    [ISO_CL_TEXT_DEVICE_VERSION] = {false, CL_DEVICE_VERSION, "CL_DEVICE_VERSION"},
    [ISO_CL_TEXT_DRIVER_VERSION] = {false, CL_DRIVER_VERSION, "CL_DRIVER_VERSION"},
    [ISO_CL_TEXT_EXTENSIONS] = {false, CL_DEVICE_EXTENSIONS, "CL_DEVICE_EXTENSIONS"},
};

static cl_int query_text(const iso_opencl_driver *driver, const iso_opencl_entry *entry, iso_opencl_text id,
                         size_t bytes, char *text, size_t *out_bytes)
{
    cl_uint param = text_queries[id].param;
    return text_queries[id].of_platform
               ? driver->api.clGetPlatformInfo(entry->platform, param, bytes, text, out_bytes)
               : driver->api.clGetDeviceInfo(entry->device, param, bytes, text, out_bytes);
}

iso_status iso_opencl_get_text(const iso_opencl_driver *driver, const iso_opencl_entry *entry,
                               iso_opencl_text id, char **out_text)
{
    size_t bytes = 0;
    *out_text = NULL;
    cl_int error = query_text(driver, entry, id, 0, NULL, &bytes);
    if (error != CL_SUCCESS)
        return iso_opencl_fail(error, "OpenCL", text_queries[id].name);
    ISO_TRY(iso_alloc(driver->allocator, bytes + 1, (void **)out_text));
    error = query_text(driver, entry, id, bytes, *out_text, NULL);
    if (error != CL_SUCCESS) {
        iso_free(driver->allocator, *out_text);
        *out_text = NULL;
        return iso_opencl_fail(error, "OpenCL", text_queries[id].name);
    }
    size_t length = strlen(*out_text);
    while (length > 0 && (unsigned char)(*out_text)[length - 1] <= ' ')
        (*out_text)[--length] = '\0';
    return ISO_OK;
}

static iso_status get_facts(const iso_opencl_driver *driver, cl_device_id device, device_facts *out_facts)
{
    *out_facts = (device_facts){0};
    for (size_t i = 0; i < sizeof fact_queries / sizeof fact_queries[0]; i++) {
        cl_int error = driver->api.clGetDeviceInfo(device, fact_queries[i].param, fact_queries[i].bytes,
                                                   (char *)out_facts + fact_queries[i].offset, NULL);
        if (error != CL_SUCCESS)
            return iso_opencl_fail(error, "OpenCL", fact_queries[i].name);
    }
    return ISO_OK;
}

// ---- one device ----

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static uint32_t clamp_u32(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

// "platform 1.2.3 (platform version)"; what a platform says of itself beyond a double space is build options.
static void describe_driver(iso_device_info *info, char *const texts[ISO_CL_TEXT_COUNT])
{
    const char *version = texts[ISO_CL_TEXT_PLATFORM_VERSION];
    const char *end = strstr(version, "  ");
    int length = end != NULL ? (int)(end - version) : (int)strlen(version);
    snprintf(info->driver, sizeof info->driver, "%s %s (%.*s)", texts[ISO_CL_TEXT_PLATFORM_NAME],
             texts[ISO_CL_TEXT_DRIVER_VERSION], length, version);
}

static void set_reason(iso_device_info *info, const device_facts *facts, const char *version)
{
    unsigned major = 0, minor = 0;
    if (sscanf(version, "OpenCL %u.%u", &major, &minor) != 2)
        major = 0;
    if (!facts->available)
        snprintf(info->reason, sizeof info->reason, "the driver says that the device is not available now");
    else if (!facts->compiler)
        snprintf(info->reason, sizeof info->reason, "the driver has no compiler for OpenCL C");
    else if (!facts->little_endian)
        snprintf(info->reason, sizeof info->reason,
                 "the device is big-endian; only little-endian is supported");
    else if (major < 1 || (major == 1 && minor < 2))
        snprintf(info->reason, sizeof info->reason, "the device has '%.64s'; OpenCL 1.2 or later is needed",
                 version);
    info->available = info->reason[0] == '\0';
}

static void set_info(iso_opencl_entry *entry, const device_facts *facts, char *const texts[ISO_CL_TEXT_COUNT])
{
    iso_device_info *info = &entry->info;
    const char *extensions = texts[ISO_CL_TEXT_EXTENSIONS];
    snprintf(info->name, sizeof info->name, "%s", texts[ISO_CL_TEXT_DEVICE_NAME]);
    describe_driver(info, texts);
    set_reason(info, facts, texts[ISO_CL_TEXT_DEVICE_VERSION]);
    size_t group_size = facts->max_group_size;
    if (facts->max_item_sizes[0] < group_size)
        group_size = facts->max_item_sizes[0];
    entry->unified_memory = facts->unified;
    info->memory_bytes = facts->memory_bytes;
    info->max_allocation_bytes = facts->max_allocation_bytes;
    info->buffer_alignment_bytes = facts->align_bits < 32 ? 4 : facts->align_bits / 8;
    info->max_group_size = clamp_u32(group_size);
    info->local_memory_bytes = clamp_u32(facts->local_bytes);
    info->compute_units = facts->compute_units;
    info->max_argument_bytes = clamp_u32(facts->max_argument_bytes);
    // 64-bit integers and loads and stores of 8 and 16 bits are part of OpenCL C 1.2 itself.
    info->features = ISO_FEATURE_INT64 | ISO_FEATURE_STORAGE_8_16;
    if (has_word(extensions, "cl_khr_fp16"))
        info->features |= ISO_FEATURE_F16;
    if (has_word(extensions, "cl_khr_fp64"))
        info->features |= ISO_FEATURE_F64;
    if (has_word(extensions, "cl_khr_subgroups"))
        info->features |= ISO_FEATURE_SUBGROUPS;
    info->code_formats[0] = ISO_CODE_OPENCL_C;
    // The whole texts, not the shortened ones: the kernel cache must tell any two drivers apart.
    for (int i = 0; i < ISO_CL_TEXT_COUNT; i++)
        if (i != ISO_CL_TEXT_EXTENSIONS)
            iso_cache_key_add(&entry->key, texts[i], strlen(texts[i]) + 1);
}

iso_status iso_opencl_describe(const iso_opencl_driver *driver, iso_opencl_entry *entry)
{
    char *texts[ISO_CL_TEXT_COUNT] = {NULL};
    device_facts facts;
    iso_status status = ISO_OK;
    for (int i = 0; i < ISO_CL_TEXT_COUNT && status == ISO_OK; i++)
        status = iso_opencl_get_text(driver, entry, (iso_opencl_text)i, &texts[i]);
    if (status == ISO_OK)
        status = get_facts(driver, entry->device, &facts);
    if (status == ISO_OK) {
        set_info(entry, &facts, texts);
    } else if (status != ISO_OUT_OF_MEMORY) {
        snprintf(entry->info.name, sizeof entry->info.name, "%s",
                 texts[ISO_CL_TEXT_DEVICE_NAME] ? texts[ISO_CL_TEXT_DEVICE_NAME] : "unknown");
        snprintf(entry->info.reason, sizeof entry->info.reason, "%.200s", iso_status_last()->text);
        status = ISO_OK;
    }
    for (int i = 0; i < ISO_CL_TEXT_COUNT; i++)
        iso_free(driver->allocator, texts[i]);
    return status;
}
