// SPDX-License-Identifier: MIT
//
// What a backend is: one table of at most 20 entries. A backend opens its driver at run time, never knows
// which op or model it runs, and trusts its inputs: the callers in runtime/device/ have checked them.
//
// The way of one step:  write inputs -> submit a recorded command list -> read outputs.
// A device has one in-order queue. write, read and fill are ordered with the submitted lists and block until
// the host memory may be reused; submit does not block. A failure that happens while a list runs is kept by
// the device and comes back from the next wait or read.
//
// Threads: a device is used by one thread at a time; different devices may be used by different threads.
#ifndef ISOMER_BACKEND_H
#define ISOMER_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isomer/allocator.h"
#include "isomer/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- types ----

#define ISO_MAX_KERNEL_ARGS  24
#define ISO_MAX_CODE_FORMATS 8

// In what form a module's code comes. A device lists the ones it takes, best first.
typedef enum iso_code_format {
    ISO_CODE_NONE = 0,
    ISO_CODE_NATIVE,   // iso_native_kernel, a function of this process
    ISO_CODE_SPIRV,    // SPIR-V 1.3+ for Vulkan: arguments in one push-constant block, entry point "main"
    ISO_CODE_OPENCL_C, // OpenCL C 1.2 text, NUL-terminated
    ISO_CODE_PTX,      // PTX text, NUL-terminated
    ISO_CODE_CUBIN,    // CUDA fat binary or cubin
    ISO_CODE_CUDA_C,   // CUDA C++ text for a compiler at run time, NUL-terminated
    ISO_CODE_HSACO,    // AMD code object
    ISO_CODE_FORMAT_COUNT
} iso_code_format;

// What a device can do; kernels ask for these in `supports`.
typedef enum iso_feature {
    ISO_FEATURE_NATIVE_AVX2 = 1u << 0,   // runs native kernels compiled for AVX2 and FMA
    ISO_FEATURE_NATIVE_AVX512 = 1u << 1, // runs native kernels compiled for AVX-512 F, BW, VL, DQ
    ISO_FEATURE_F16 = 1u << 2,           // 16-bit float arithmetic in kernels
    ISO_FEATURE_F64 = 1u << 3,           // 64-bit float arithmetic in kernels
    ISO_FEATURE_INT64 = 1u << 4,         // 64-bit integers in kernels
    ISO_FEATURE_STORAGE_8_16 = 1u << 5,  // 8- and 16-bit loads and stores
    ISO_FEATURE_SUBGROUPS = 1u << 6,     // subgroup operations
    ISO_FEATURE_HOST_VISIBLE = 1u << 7,  // buffers live in host memory (iso_buffer_host works)
} iso_feature;

// Facts about one device. Filled by the backend's enumerate.
typedef struct iso_device_info {
    size_t struct_bytes;
    char backend[16];      // "vulkan"
    uint32_t ordinal;      // position within its backend: "vulkan:1" has 1
    char name[128];        // the device's own name, e.g. "llvmpipe (LLVM 15.0.6, 256 bits)"
    char driver[128];      // driver or platform name and version, e.g. "Portable Computing Language 3.1"
    char arch[32];         // what kernels are tuned by, e.g. "x86-64", "sm_90"; "" where unknown
    bool available;        // false: it was found but can't be used; `reason` says why
    char reason[256];      // why it is not available; "" otherwise
    uint64_t memory_bytes; // all of the device's memory
    uint64_t max_allocation_bytes;
    uint32_t buffer_alignment_bytes; // offsets of kernel arguments into a buffer are multiples of it
    uint32_t max_group_size;         // threads of one group
    uint32_t max_groups[3];          // of one dispatch along each axis; 0: no limit is known
    uint32_t local_memory_bytes;     // shared memory of one group
    uint32_t subgroup_size;          // 0 where unknown
    uint32_t compute_units;          // 0 where unknown
    uint32_t max_argument_bytes;     // kernel arguments in all, pointers counted as 8 bytes
    uint32_t features;               // iso_feature bits
    iso_code_format code_formats[ISO_MAX_CODE_FORMATS]; // best first, ISO_CODE_NONE after the last
    // Version of what takes each of code_formats, 1000 x major + 10 x minor: it takes code that needs no
    // later one (iso_kernel_code.needs_version). 0: it takes all.
    uint32_t code_versions[ISO_MAX_CODE_FORMATS];
} iso_device_info;

typedef enum iso_arg_kind { ISO_ARG_BUFFER, ISO_ARG_U32, ISO_ARG_F32 } iso_arg_kind;

// Device memory as a backend sees it. The runtime owns the struct and counts its references.
typedef struct iso_memory {
    uint64_t bytes;
    void *host;       // the memory itself where ISO_FEATURE_HOST_VISIBLE and the backend maps it, else NULL
    void *handle;     // the backend's own
    uint64_t address; // device address where the backend has such a thing, else 0
} iso_memory;

// One kernel argument. The order of the arguments is the order in the kernel's text.
typedef struct iso_arg {
    iso_arg_kind kind;
    const iso_memory *memory; // ISO_ARG_BUFFER
    uint64_t offset_bytes;    // ISO_ARG_BUFFER; a multiple of buffer_alignment_bytes
    uint64_t range_bytes;     // ISO_ARG_BUFFER; the part that the kernel may touch, > 0
    union {
        uint32_t u32;
        float f32;
    } value;
} iso_arg;

// One launch: groups.x * y * z groups of the module's group size.
typedef struct iso_dispatch {
    const char *label; // kernel name for errors and profiles; outlives the list
    uint32_t groups[3];
    uint32_t arg_count;
    iso_arg args[ISO_MAX_KERNEL_ARGS];
} iso_dispatch;

// What a module is made of. All pointers are borrowed for the call only, except `native` and `name`.
typedef struct iso_module_source {
    const char *name;  // kernel name for errors: "linear.portable.f32_bf16_f32"; must outlive the module
    const char *entry; // entry point: the op's name ("main" inside SPIR-V)
    iso_code_format format;
    const void *code;                       // text or binary; unused for NATIVE
    size_t code_bytes;                      // without the NUL of a text
    const struct iso_native_kernel *native; // NATIVE only
    uint32_t group_size;                    // threads along x; y and z are 1
    uint32_t arg_count;
    iso_arg_kind arg_kinds[ISO_MAX_KERNEL_ARGS];
} iso_module_source;

// A kernel that runs on the host: called once per group, from several threads at once. args[i] is the
// argument's value: `pointer` for a buffer.
typedef union iso_native_arg {
    void *pointer;
    uint32_t u32;
    float f32;
} iso_native_arg;

typedef struct iso_native_group {
    uint32_t id[3];
    uint32_t count[3]; // groups of the launch
    void *scratch; // of this thread, iso_native_kernel.scratch_bytes long, 64-byte aligned, undefined content
} iso_native_group;

typedef struct iso_native_kernel {
    void (*run)(const iso_native_group *group, const iso_native_arg *args);
    uint32_t scratch_bytes; // per thread, fixed
} iso_native_kernel;

// How one device is opened.
typedef struct iso_device_options {
    const iso_allocator *allocator; // outlives the device; NULL: malloc
    uint32_t thread_count;          // host threads for a CPU device; 0: one per core
    bool validate;                  // deep checks of every call (runtime/device/validation.c)
    bool profile;                   // record time stamps around each dispatch
} iso_device_options;

// Each entry must be set; the null backend shows the smallest right answer to each. `driver` is what load
// returned, `device` what open_device returned; both are the backend's own structs.
typedef struct iso_backend {
    size_t struct_bytes;
    const char *name; // "opencl": the part before the colon of device names

    // Loads the vendor's library: the one at `library`, or for NULL the one that the backend's environment
    // variable names, or else the system's. ISO_UNAVAILABLE with the reason and the remedy where it is
    // absent; ISO_INVALID_ARGUMENT where `library` is set and the backend opens none.
    iso_status (*load)(const iso_allocator *allocator, const char *library, void **out_driver);
    void (*unload)(void *driver);
    // Facts about one device (struct_bytes set by the caller, all else 0). Ordinals count from 0 without a
    // gap; ISO_NOT_FOUND beyond the last, which is how callers learn how many there are.
    iso_status (*device_info)(void *driver, uint32_t ordinal, iso_device_info *out_info);
    iso_status (*open_device)(void *driver, uint32_t ordinal, const iso_device_options *options,
                              void **out_device);
    void (*close_device)(void *device); // everything made from it is destroyed already

    // bytes > 0 and <= max_allocation_bytes. Content undefined. ISO_OUT_OF_MEMORY names the bytes wanted.
    iso_status (*alloc)(void *device, uint64_t bytes, iso_memory *out_memory);
    void (*free)(void *device, iso_memory *memory);
    iso_status (*write)(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                        uint64_t bytes);
    iso_status (*read)(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                       uint64_t bytes);
    // offset and bytes are multiples of 4.
    iso_status (*fill)(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                       uint32_t pattern);

    // ISO_BUILD_FAILED carries the first line of the driver's log.
    iso_status (*module_create)(void *device, const iso_module_source *source, void **out_module);
    void (*module_destroy)(void *device, void *module);

    // Recording: create, any number of dispatch/copy/barrier, finish, then submit as often as wanted.
    // Commands between two barriers may overlap; a barrier makes everything before it visible to everything
    // after it; the start and the end of a list are barriers.
    iso_status (*list_create)(void *device, void **out_list);
    iso_status (*list_dispatch)(void *list, void *module, const iso_dispatch *dispatch);
    iso_status (*list_barrier)(void *list);
    iso_status (*list_finish)(void *list);
    void (*list_destroy)(void *list);
    iso_status (*submit)(void *device, void *list);

    // Blocks until the queue is empty; reports what failed since the last wait.
    iso_status (*wait)(void *device);
    // Time of each dispatch of the list's last run, in ns, in recording order; needs options.profile.
    // *inout_count: room on entry, dispatches on return.
    iso_status (*times)(void *list, uint64_t *out_ns, uint32_t *inout_count);
} iso_backend;

// ---- calls for backends ----

// A kernel's compiled form on disk (XDG cache folder), keyed by all of what makes it: texts, options, driver
// name and version, device name. Safe with several processes at once: entries are published by rename.
// A missing, damaged or unreadable entry is simply not found; a folder that cannot be written is noted once
// (iso_kernel_cache_problem) and then the cache is off.
typedef struct iso_cache_key {
    uint64_t words[2];
} iso_cache_key;

// Starts from {0} and folds `bytes` of `data` in.
ISO_API void iso_cache_key_add(iso_cache_key *key, const void *data, size_t bytes);
// ISO_NOT_FOUND where there is no entry. *out_data is released by iso_free(allocator, …).
ISO_API iso_status iso_kernel_cache_load(const iso_allocator *allocator, const iso_cache_key *key,
                                         void **out_data, size_t *out_bytes);
// Best effort: never fails the caller.
ISO_API void iso_kernel_cache_store(const iso_cache_key *key, const void *data, size_t bytes);
// Why the cache is off, or NULL.
ISO_API const char *iso_kernel_cache_problem(void);

// A vendor library from a list of names, tried in order; ISO_UNAVAILABLE names them all and the loader's
// words. `symbols` is a NULL-terminated list of names, `out_functions` an array as long: all must be found.
ISO_API iso_status iso_library_open(const char *const *names, const char *const *symbols,
                                    void **out_functions, void **out_library);
ISO_API void iso_library_close(void *library);
// The library to open in place of the system's: `library` where the program named one, else the value of
// the environment variable, else NULL. *out_source (optional): who named it, for errors.
ISO_API const char *iso_library_choose(const char *library, const char *variable, const char **out_source);
// For backends that open none: ISO_INVALID_ARGUMENT where a library was named.
ISO_API iso_status iso_library_refuse(const char *backend, const char *library);

#ifdef __cplusplus
}
#endif
#endif
