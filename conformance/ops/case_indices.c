// SPDX-License-Identifier: MIT
//
// The integers of each op's inputs (case_indices.h).
#include "conformance/ops/case_indices.h"

#include <string.h>

#include "kernels/attention.h"
#include "kernels/gqa_attention/op.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/kv_write/op.h"
#include "kernels/mla_attention/op.h"
#include "kernels/permute/op.h"
#include "kernels/rope/op.h"
#include "kernels/unpermute/op.h"

static iso_status check_range(const char *operand, const iso_tensor *t, int64_t least, int64_t most)
{
    for (uint64_t i = 0; i < iso_tensor_elems(t); i++) {
        int64_t value = iso_index_at(t, i);
        if (value < least || value > most)
            return iso_fail(ISO_CORRUPT, "%s[%llu] is %lld; allowed: %lld to %lld", operand,
                            (unsigned long long)i, (long long)value, (long long)least, (long long)most);
    }
    return ISO_OK;
}

static iso_status check_paged(const iso_paging *paging, const iso_tensor *cache)
{
    const iso_tensor *table = paging->block_table;
    ISO_TRY(check_range("sequence", paging->sequence, -1, (int64_t)table->dims[0] - 1));
    ISO_TRY(check_range("positions", paging->positions, 0, (int64_t)table->dims[1] * ISO_KV_PAGE_TOKENS - 1));
    for (uint32_t t = 0; t < paging->positions->dims[0]; t++)
        for (uint32_t at = 0, keys = iso_key_count(paging, t); at < keys; at += ISO_KV_PAGE_TOKENS) {
            size_t entry =
                (size_t)iso_index_at(paging->sequence, t) * table->dims[1] + at / ISO_KV_PAGE_TOKENS;
            int32_t page = iso_index_at(table, entry);
            if (page < 0 || (uint32_t)page >= cache->dims[0])
                return iso_fail(ISO_CORRUPT, "block_table[%zu] is %d; the cache has %u pages", entry, page,
                                cache->dims[0]);
        }
    return ISO_OK;
}

static iso_status check_gqa_attention(const void *params)
{
    const iso_gqa_attention *p = params;
    return check_paged(&(iso_paging){&p->block_table, &p->positions, &p->sequence}, &p->k_cache);
}

static iso_status check_mla_attention(const void *params)
{
    const iso_mla_attention *p = params;
    return check_paged(&(iso_paging){&p->block_table, &p->positions, &p->sequence}, &p->cache);
}

static iso_status check_grouped_linear(const void *params)
{
    const iso_grouped_linear *p = params;
    int64_t rows = (int64_t)iso_tensor_rows(&p->y), experts = p->weight.dims[0];
    ISO_TRY(check_range("row", &p->row, 0, rows - 1));
    for (uint32_t t = 0; t < iso_tensor_rows(&p->tiles); t++) {
        int64_t expert = iso_index_at(&p->tiles, 4 * (size_t)t),
                first = iso_index_at(&p->tiles, 4 * (size_t)t + 1),
                count = iso_index_at(&p->tiles, 4 * (size_t)t + 2);
        if (expert < -1 || expert >= experts || first < 0 || count < 0 || count > ISO_PERMUTE_TILE_ROWS ||
            first + count > rows)
            return iso_fail(
                ISO_CORRUPT,
                "tiles[%u] is expert %lld, rows %lld and %lld on; allowed: %lld experts, 8 of %lld rows", t,
                (long long)expert, (long long)first, (long long)count, (long long)experts, (long long)rows);
    }
    return ISO_OK;
}

static iso_status check_kv_write(const void *params)
{
    const iso_kv_write *p = params;
    return check_range("slots", &p->slots, INT32_MIN, (int64_t)p->cache.dims[0] * ISO_KV_PAGE_TOKENS - 1);
}

static iso_status check_permute(const void *params)
{
    const iso_permute *p = params;
    return check_range("index", &p->index, 0, (int64_t)p->expert_count - 1);
}

static iso_status check_rope(const void *params)
{
    const iso_rope *p = params;
    return check_range("positions", &p->positions, 0, INT32_MAX);
}

static iso_status check_unpermute(const void *params)
{
    const iso_unpermute *p = params;
    return check_range("slot", &p->slot, 0, (int64_t)iso_tensor_rows(&p->x) - 1);
}

// The other ops have no integers, or take any (gather, router).
static const struct {
    const char *op;
    iso_status (*check)(const void *params);
} checks[] = {
    {"gqa_attention", check_gqa_attention},
    {"mla_attention", check_mla_attention},
    {"grouped_linear", check_grouped_linear},
    {"kv_write", check_kv_write},
    {"permute", check_permute},
    {"rope", check_rope},
    {"unpermute", check_unpermute},
};

iso_status conform_indices_check(const iso_op_info *op, const void *params)
{
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (strcmp(checks[i].op, op->name) == 0)
            return checks[i].check(params);
    return ISO_OK;
}
