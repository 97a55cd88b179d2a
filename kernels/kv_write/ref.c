// SPDX-License-Identifier: MIT
//
// KV write: contract check, reference, cost, and test inputs. The bound is 0: bits are copied.
#include "kernels/kv_write/op.h"

#include "kernels/case.h"
#include "kernels/functions.h"

iso_status iso_kv_write_check(const void *params)
{
    const iso_kv_write *p = params;
    ISO_TRY(iso_check_dtype("kv_write", "x", &p->x, ISO_DTYPES_ACTIVATION));
    ISO_TRY(iso_check_dtype("kv_write", "slots", &p->slots, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype("kv_write", "cache", &p->cache, 1u << p->x.dtype));
    if (p->x.rank < 2)
        return iso_fail(ISO_INVALID_ARGUMENT, "kv_write: x has %u dimensions; allowed: 2 or more", p->x.rank);
    if (p->x.rank > 2)
        ISO_TRY(iso_check_contiguous("kv_write", "x", &p->x));
    ISO_TRY(iso_check_shape("kv_write", "slots", &p->slots, 1, p->x.dims));
    ISO_TRY(iso_check_contiguous("kv_write", "slots", &p->slots));
    ISO_TRY(iso_check_contiguous("kv_write", "cache", &p->cache));
    if (p->cache.rank < 3 || p->cache.dims[1] != ISO_KV_PAGE_TOKENS)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "kv_write: cache has %u dimensions, %u rows a page; allowed: [pages, %d, …]",
                        p->cache.rank, p->cache.dims[1], ISO_KV_PAGE_TOKENS);
    uint32_t elems = p->cache.dims[2] * p->cache.dims[3], wanted = p->x.dims[1] * p->x.dims[2] * p->x.dims[3];
    if (elems != wanted)
        return iso_fail(ISO_INVALID_ARGUMENT, "kv_write: cache has %u elements a token; x needs %u", elems,
                        wanted);
    return ISO_OK;
}

iso_status iso_kv_write_reference(const void *params, const iso_numerics *numerics,
                                  const iso_reference_output *outputs)
{
    (void)numerics; // exact
    const iso_kv_write *p = params;
    uint64_t elems = iso_tensor_elems(&p->cache);
    size_t row_elems = (size_t)p->cache.dims[2] * p->cache.dims[3];
    size_t stride = p->x.rank == 2 ? p->x.row_stride : row_elems;
    for (uint64_t i = 0; i < elems; i++) {
        outputs[0].value[i] = iso_load_element(p->cache.host, p->cache.dtype, i);
        outputs[0].bound[i] = 0;
    }
    for (uint32_t t = 0; t < p->x.dims[0]; t++) {
        int32_t slot = iso_index_at(&p->slots, t);
        for (size_t i = 0; i < row_elems && slot >= 0; i++)
            outputs[0].value[(size_t)slot * row_elems + i] =
                iso_load_element(p->x.host, p->x.dtype, p->x.view_offset + t * stride + i);
    }
    return ISO_OK;
}

void iso_kv_write_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_kv_write *p = params;
    uint64_t bytes = iso_tensor_elems(&p->x) * iso_dtype_bytes(p->x.dtype);
    out_cost->flops = 0;
    out_cost->read_bytes = bytes + 4 * (uint64_t)p->x.dims[0];
    out_cost->written_bytes = bytes;
}

iso_status iso_kv_write_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_kv_write *p = params;
    uint32_t pages = numbers[0], heads = numbers[1], width = numbers[2], unslotted = numbers[3],
             margin = numbers[4];
    uint32_t rows = pages * ISO_KV_PAGE_TOKENS, tokens = rows - numbers[5] + unslotted;
    iso_dtype dtype = builder->dtypes[0];
    if (heads > 0) {
        ISO_TRY(iso_case_float(builder, &p->x, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, heads, width)));
        ISO_TRY(iso_case_float(builder, &p->cache, dtype, ISO_FILL_NORMAL,
                               ISO_DIMS(pages, ISO_KV_PAGE_TOKENS, heads, width)));
    } else {
        ISO_TRY(iso_case_float(builder, &p->x, dtype, ISO_FILL_NORMAL, ISO_DIMS(tokens, width + 2 * margin)));
        p->x.dims[1] = width;
        p->x.view_offset = margin;
        ISO_TRY(iso_case_float(builder, &p->cache, dtype, ISO_FILL_NORMAL,
                               ISO_DIMS(pages, ISO_KV_PAGE_TOKENS, width)));
    }
    ISO_TRY(iso_case_empty(builder, &p->slots, ISO_DTYPE_I32, ISO_DIMS(tokens)));
    // Each row at most once, in an order of its own (37 has no common factor with 64 or 3), the tokens
    // without one between.
    int32_t *slots = p->slots.host;
    for (uint32_t t = 0; t < tokens; t++)
        slots[t] = t < unslotted ? -1 : (int32_t)((t - unslotted) * 37 % rows);
    if (unslotted > 0) {
        slots[0] = slots[tokens / 2];
        slots[tokens / 2] = -1;
    }
    return ISO_OK;
}
