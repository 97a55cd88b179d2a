// SPDX-License-Identifier: MIT
//
// The CUDA backend's table. The driver is opened by loader.c, devices by context.c; what each entry does is
// in the file that its name leads to. Must not know ops or models.
#include "backends/cuda/cuda.h"

static iso_status device_info(void *driver_, uint32_t ordinal, iso_device_info *out_info)
{
    const iso_cuda_entry *entry = NULL;
    ISO_TRY(iso_cuda_find_entry(driver_, ordinal, &entry));
    size_t struct_bytes = out_info->struct_bytes;
    *out_info = entry->info;
    out_info->struct_bytes = struct_bytes;
    return ISO_OK;
}

extern const iso_backend iso_cuda_backend;

const iso_backend iso_cuda_backend = {
    .struct_bytes = sizeof(iso_backend),
    .name = "cuda",
    .load = iso_cuda_load,
    .unload = iso_cuda_unload,
    .device_info = device_info,
    .open_device = iso_cuda_open_device,
    .close_device = iso_cuda_close_device,
    .alloc = iso_cuda_alloc,
    .free = iso_cuda_free,
    .write = iso_cuda_write,
    .read = iso_cuda_read,
    .fill = iso_cuda_fill,
    .module_create = iso_cuda_module_create,
    .module_destroy = iso_cuda_module_destroy,
    .list_create = iso_cuda_list_create,
    .list_dispatch = iso_cuda_list_dispatch,
    .list_barrier = iso_cuda_list_barrier,
    .list_finish = iso_cuda_list_finish,
    .list_destroy = iso_cuda_list_destroy,
    .submit = iso_cuda_submit,
    .wait = iso_cuda_wait,
    .times = iso_cuda_times,
};
