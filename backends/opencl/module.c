// SPDX-License-Identifier: MIT
//
// Kernels from OpenCL C text: build, check against what the caller says of them, and keep the driver's binary
// in the kernel cache. A cached binary that the driver refuses is ignored: the text is built again.
// Results must be the same on each run and near the reference, so no option relaxes the driver's arithmetic.
// Must not know what a kernel computes.
#include "backends/opencl/opencl.h"

#include "runtime/base/strings.h"

#define BUILD_OPTIONS  "-cl-std=CL1.2"
#define LOG_LINE_BYTES 400

typedef struct iso_opencl_module {
    cl_program program;
    const char *name; // the kernel's, lent by the source
    char *entry;
    uint32_t group_size;
} iso_opencl_module;

// ---- build ----

static iso_status fail_build(const iso_opencl_device *device, cl_program program, cl_int error)
{
    char line[LOG_LINE_BYTES] = "the driver's build log cannot be read";
    char *log = NULL;
    size_t bytes = 0;
    const iso_opencl_api *api = device->api;
    if (api->clGetProgramBuildInfo(program, device->entry->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) ==
        CL_SUCCESS) {
        ISO_TRY(iso_alloc(device->allocator, bytes + 1, (void **)&log));
        if (api->clGetProgramBuildInfo(program, device->entry->device, CL_PROGRAM_BUILD_LOG, bytes, log,
                                       NULL) == CL_SUCCESS)
            iso_copy_error_line(line, sizeof line, log);
        iso_free(device->allocator, log);
    }
    return iso_fail(ISO_BUILD_FAILED, "%s: clBuildProgram failed: %s (%d): %s", device->name,
                    iso_opencl_error_name(error), (int)error, line);
}

static iso_status build(const iso_opencl_device *device, cl_program program)
{
    cl_int error = device->api->clBuildProgram(program, 1, &device->entry->device, BUILD_OPTIONS, NULL, NULL);
    if (error == CL_SUCCESS) {
        // Some drivers return success and say only here that it did not work.
        cl_build_status state = CL_BUILD_SUCCESS;
        error = device->api->clGetProgramBuildInfo(program, device->entry->device, CL_PROGRAM_BUILD_STATUS,
                                                   sizeof state, &state, NULL);
        if (error == CL_SUCCESS && state != CL_BUILD_SUCCESS)
            error = CL_BUILD_PROGRAM_FAILURE;
    }
    switch (error) {
    case CL_SUCCESS:
        return ISO_OK;
    case CL_OUT_OF_HOST_MEMORY:
    case CL_OUT_OF_RESOURCES:
        return iso_opencl_fail(error, device->name, "clBuildProgram");
    default:
        return fail_build(device, program, error);
    }
}

// The kernel is there and has the arguments that its source promises. CL_KERNEL_WORK_GROUP_SIZE is not asked:
// rusticl (Mesa 22.3) answers 32 for kernels that it runs in groups of 1024.
static iso_status check_kernel(const iso_opencl_device *device, cl_program program,
                               const iso_module_source *source)
{
    cl_int error = CL_SUCCESS;
    cl_kernel kernel = device->api->clCreateKernel(program, source->entry, &error);
    if (error != CL_SUCCESS) {
        (void)iso_opencl_fail(error, device->name, "clCreateKernel");
        return iso_status_prefix("entry '%s'", source->entry);
    }
    cl_uint arg_count = 0;
    error = device->api->clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof arg_count, &arg_count, NULL);
    (void)device->api->clReleaseKernel(kernel);
    if (error != CL_SUCCESS)
        return iso_opencl_fail(error, device->name, "clGetKernelInfo");
    if (arg_count != source->arg_count)
        return iso_fail(ISO_BUILD_FAILED,
                        "entry '%s' has %u arguments in its text, but %u were declared for it", source->entry,
                        arg_count, source->arg_count);
    return ISO_OK;
}

static iso_status build_from_text(const iso_opencl_device *device, const iso_module_source *source,
                                  cl_program *out_program)
{
    const char *text = source->code;
    cl_int error = CL_SUCCESS;
    *out_program =
        device->api->clCreateProgramWithSource(device->context, 1, &text, &source->code_bytes, &error);
    if (error != CL_SUCCESS)
        return iso_opencl_fail(error, device->name, "clCreateProgramWithSource");
    ISO_TRY(build(device, *out_program));
    return check_kernel(device, *out_program, source);
}

// ---- cache ----

static iso_cache_key make_key(const iso_opencl_device *device, const iso_module_source *source)
{
    iso_cache_key key = device->entry->key;
    iso_cache_key_add(&key, BUILD_OPTIONS, sizeof BUILD_OPTIONS);
    iso_cache_key_add(&key, source->code, source->code_bytes);
    return key;
}

// NULL where there is no entry, or none that this driver takes. Some drivers end the process on a binary that
// is cut or foreign: the cache's checksum and a key of all that makes a driver keep such a one from getting
// here.
static cl_program build_from_cache(const iso_opencl_device *device, const iso_module_source *source,
                                   const iso_cache_key *key)
{
    void *binary = NULL;
    size_t bytes = 0;
    if (iso_kernel_cache_load(device->allocator, key, &binary, &bytes) != ISO_OK)
        return NULL;
    const unsigned char *binaries = binary;
    cl_int error = CL_SUCCESS, state = CL_SUCCESS;
    cl_program program = device->api->clCreateProgramWithBinary(device->context, 1, &device->entry->device,
                                                                &bytes, &binaries, &state, &error);
    iso_free(device->allocator, binary);
    bool usable = error == CL_SUCCESS && state == CL_SUCCESS && build(device, program) == ISO_OK &&
                  check_kernel(device, program, source) == ISO_OK;
    if (!usable && program != NULL) {
        (void)device->api->clReleaseProgram(program);
        program = NULL;
    }
    return program;
}

// Best effort: a driver that gives no binary builds from the text each time.
static void store_binary(const iso_opencl_device *device, const iso_cache_key *key, cl_program program)
{
    size_t bytes = 0;
    unsigned char *binary = NULL;
    if (device->api->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) !=
            CL_SUCCESS ||
        bytes == 0 || iso_alloc(device->allocator, bytes, (void **)&binary) != ISO_OK)
        return;
    if (device->api->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) ==
        CL_SUCCESS)
        iso_kernel_cache_store(key, binary, bytes);
    iso_free(device->allocator, binary);
}

// ---- module ----

void iso_opencl_module_destroy(void *device_, void *module_)
{
    iso_opencl_device *device = device_;
    iso_opencl_module *module = module_;
    if (module == NULL)
        return;
    if (module->program != NULL)
        (void)device->api->clReleaseProgram(module->program);
    iso_free(device->allocator, module->entry);
    iso_free(device->allocator, module);
}

iso_status iso_opencl_module_create(void *device_, const iso_module_source *source, void **out_module)
{
    iso_opencl_device *device = device_;
    iso_opencl_module *module = NULL;
    iso_status status;
    *out_module = NULL;
    ISO_TRY(ISO_NEW(device->allocator, 1, &module));
    module->name = source->name;
    module->group_size = source->group_size;
    ISO_TRY_GOTO(iso_alloc_string(device->allocator, source->entry, &module->entry), fail);

    const iso_cache_key key = make_key(device, source);
    module->program = build_from_cache(device, source, &key);
    if (module->program == NULL) {
        ISO_TRY_GOTO(build_from_text(device, source, &module->program), fail);
        store_binary(device, &key, module->program);
    }
    *out_module = module;
    return ISO_OK;
fail:
    iso_opencl_module_destroy(device, module);
    return status;
}

iso_status iso_opencl_module_kernel(const iso_opencl_device *device, const void *module_,
                                    cl_kernel *out_kernel, uint32_t *out_group_size)
{
    const iso_opencl_module *module = module_;
    cl_int error = CL_SUCCESS;
    *out_group_size = module->group_size;
    *out_kernel = device->api->clCreateKernel(module->program, module->entry, &error);
    return error == CL_SUCCESS ? ISO_OK : iso_opencl_fail(error, module->name, "clCreateKernel");
}
