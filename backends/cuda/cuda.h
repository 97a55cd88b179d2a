// SPDX-License-Identifier: MIT
//
// What the files of the CUDA backend share: the driver (library, functions, facts about devices), the device
// (one stream in the primary context) and the calls that cross files. Knows no op and no model.
//
// Work is ordered by the device's one stream. `queued` counts what was put into it, `done` how much of that
// is known to be over, so that nothing in use is released and nobody waits without need.
#ifndef ISOMER_BACKENDS_CUDA_H
#define ISOMER_BACKENDS_CUDA_H

#include "backends/cuda/api.h"
#include "isomer/backend.h"

#define ISO_CUDA_VERSION 11040 // the oldest driver that has every function of symbols.def
#define ISO_CUDA_OLDEST  75    // compute capability, times ten
#define ISO_CUDA_STAGES  2     // pinned chunks

// ---- types ----

typedef struct iso_cuda_api {
#define ISO_CUDA_SYMBOL(name, parameters)            CUresult(*name) parameters;
#define ISO_CUDA_OPTIONAL(name, version, parameters) CUresult(*name) parameters; // or NULL
#include "backends/cuda/symbols.def"
} iso_cuda_api;

typedef struct iso_nvrtc_api {
#define ISO_NVRTC_SYMBOL(name, parameters) nvrtcResult(*name) parameters;
#include "backends/cuda/symbols.def"
} iso_nvrtc_api;

// The compiler of CUDA C++ text, where there is one.
typedef struct iso_nvrtc {
    bool found;
    iso_nvrtc_api api;
    int major, minor;
    int *archs; // compute capabilities times ten, [arch_count]
    int arch_count;
    char reason[160]; // why it is not there; of these, what fits into iso_device_info.driver is told
} iso_nvrtc;

// What was learnt about one device when the driver was loaded.
typedef struct iso_cuda_entry {
    CUdevice device;
    iso_device_info info;
    int capability; // times ten
    bool has_pools;
} iso_cuda_entry;

typedef struct iso_cuda_driver {
    const iso_allocator *allocator;
    iso_cuda_api api;
    int version; // 12040 is 12.4
    iso_nvrtc nvrtc;
    iso_cuda_entry *entries;
    uint32_t entry_count;
} iso_cuda_driver;

typedef struct iso_cuda_list iso_cuda_list;

// Pinned memory on its way to or from the device.
typedef struct iso_cuda_stage {
    void *host;
    CUevent event; // after the latest transfer
    bool busy;     // the event was recorded and not waited for
} iso_cuda_stage;

typedef struct iso_cuda_device {
    const iso_allocator *allocator;
    const iso_cuda_api *api;
    const iso_cuda_entry *entry; // the driver's, which outlives the device
    const iso_nvrtc *nvrtc;
    const char *name; // the device's own, for errors
    CUcontext context;
    CUstream stream;
    CUmemoryPool pool; // NULL where the device has none
    iso_cuda_stage stages[ISO_CUDA_STAGES];
    size_t stage_bytes;
    uint32_t next_stage;
    uint64_t queued, done;
    const iso_cuda_list *latest; // submitted last, for the text of a failure; NULL once destroyed
    bool profile;
    bool lost; // latched: every later call returns ISO_DEVICE_LOST with lost_text
    char lost_text[640];
} iso_cuda_device;

typedef struct iso_cuda_module {
    CUmodule handle;
    CUfunction function;
    uint32_t group_size;
} iso_cuda_module;

// ---- calls: result.c ----

// "CUDA_ERROR_UNKNOWN"; never NULL.
const char *iso_cuda_result_name(CUresult result);
// The status that a result means; `otherwise` where it has no meaning of its own.
iso_status iso_cuda_status(CUresult result, iso_status otherwise);
// Fails with "subject: call failed: CUDA_ERROR_… (code)", for calls before a device is open.
iso_status iso_cuda_fail(CUresult result, iso_status otherwise, const char *subject, const char *call);
// The same for an open device; latches it where the error is one that stays.
iso_status iso_cuda_device_fail(iso_cuda_device *device, CUresult result, iso_status otherwise,
                                const char *subject, const char *call);
// Latches the device as lost: for failures of calls whose caller cannot be told.
iso_status iso_cuda_lose(iso_cuda_device *device, CUresult result, const char *subject, const char *call);
// ISO_DEVICE_LOST with the first reason when the device is lost.
iso_status iso_cuda_check_alive(const iso_cuda_device *device);

// ---- calls: context.c ----

// Makes the device's context the thread's current one, until leave; what was current before is so again then.
iso_status iso_cuda_enter(iso_cuda_device *device);
void iso_cuda_leave(iso_cuda_device *device);
// The same for what releases something: also on a device that is lost. false: it is not current, do not
// leave.
bool iso_cuda_enter_to_release(iso_cuda_device *device);
// Waits, inside enter and leave, for all that is queued; `subject` is who wants it.
iso_status iso_cuda_drain(iso_cuda_device *device, const char *subject);
// The same before something is released: there is no one to tell, so a failure is latched.
void iso_cuda_drain_to_release(iso_cuda_device *device);
iso_status iso_cuda_wait(void *device);
iso_status iso_cuda_open_device(void *driver, uint32_t ordinal, const iso_device_options *options,
                                void **out_device);
void iso_cuda_close_device(void *device);

// ---- calls: loader.c, facts.c ----

iso_status iso_cuda_load(const iso_allocator *allocator, const char *library, void **out_driver);
void iso_cuda_unload(void *driver);
// Fills the entry of the device with this number. A device that cannot be asked becomes an unavailable one.
void iso_cuda_describe(const iso_cuda_driver *driver, int ordinal, iso_cuda_entry *entry);

// ISO_NOT_FOUND where the driver has no such device.
iso_status iso_cuda_find_entry(const iso_cuda_driver *driver, uint32_t ordinal,
                               const iso_cuda_entry **out_entry) ISO_MUST_USE;

// ---- calls: nvrtc.c ----

// Looks for a compiler that this driver can take the output of; only a lack of memory is a failure.
iso_status iso_nvrtc_load(const iso_allocator *allocator, int driver_version, iso_nvrtc *out_nvrtc);
void iso_nvrtc_unload(const iso_allocator *allocator, iso_nvrtc *nvrtc);
bool iso_nvrtc_knows(const iso_nvrtc *nvrtc, int capability);
// PTX text, NUL-terminated, for the device; from the kernel cache where it was compiled before. The caller
// frees it.
iso_status iso_nvrtc_compile(const iso_cuda_device *device, const iso_module_source *source, char **out_ptx);

// ---- calls: memory.c ----

iso_status iso_cuda_stages_create(iso_cuda_device *device);
void iso_cuda_stages_destroy(iso_cuda_device *device);
iso_status iso_cuda_alloc(void *device, uint64_t bytes, iso_memory *out_memory);
void iso_cuda_free(void *device, iso_memory *memory);
iso_status iso_cuda_write(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                          uint64_t bytes);
iso_status iso_cuda_read(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                         uint64_t bytes);
iso_status iso_cuda_fill(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                         uint32_t pattern);

// ---- calls: module.c, image.c ----

// Whether the bytes are a whole fat binary or cubin, as far as their heads say: a driver is given the address
// alone and reads on from there.
iso_status iso_cuda_check_image(const void *image, size_t bytes);
iso_status iso_cuda_module_create(void *device, const iso_module_source *source, void **out_module);
void iso_cuda_module_destroy(void *device, void *module);

// ---- calls: commands.c ----

iso_status iso_cuda_list_create(void *device, void **out_list);
iso_status iso_cuda_list_dispatch(void *list, void *module, const iso_dispatch *dispatch);
iso_status iso_cuda_list_barrier(void *list);
iso_status iso_cuda_list_finish(void *list);
void iso_cuda_list_destroy(void *list);
iso_status iso_cuda_submit(void *device, void *list);
iso_status iso_cuda_times(void *list, uint64_t *out_ns, uint32_t *inout_count);
// "a list of 3 dispatches from 'a' to 'b'", for the text of a failure.
void iso_cuda_list_describe(const iso_cuda_list *list, char *out_text, size_t text_bytes);

#endif
