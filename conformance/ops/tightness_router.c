// SPDX-License-Identifier: MIT
//
// The honest float32 router (tightness_models.h), written from the contract in kernels/router/op.h alone.
#include <math.h>

#include "conformance/ops/tightness_models.h"
#include "kernels/router/op.h"

static void score_experts(const float *logit, uint32_t experts, bool sigmoid, const conform_order *order,
                          float *score, const float *ones)
{
    float top = -INFINITY;
    for (uint32_t e = 0; e < experts; e++)
        top = fmaxf(top, logit[e]);
    for (uint32_t e = 0; e < experts; e++)
        score[e] = sigmoid ? 1 / (1 + conform_model_exp(order, -logit[e]))
                           : conform_model_exp(order, logit[e] - top);
    float total = sigmoid ? 1 : order->dot(score, ones, experts, order->fused);
    for (uint32_t e = 0; e < experts && !sigmoid; e++)
        score[e] /= total;
}

// The index of the largest key that is not out, NaN below all; count where all are out.
static uint32_t largest_key(const float *key, const bool *out, uint32_t count)
{
    uint32_t best = count;
    for (uint32_t i = 0; i < count; i++)
        if (!out[i] && (best == count || key[i] > key[best] || (isnan(key[best]) && !isnan(key[i]))))
            best = i;
    return best;
}

static void drop_groups(const iso_router *p, const float *key, uint32_t experts, bool *out)
{
    uint32_t size = experts / p->group_count;
    float group[ISO_ROUTER_MAX_GROUPS];
    bool kept[ISO_ROUTER_MAX_GROUPS] = {false};
    for (uint32_t g = 0; g < p->group_count; g++) {
        bool used[ISO_ROUTER_MAX_EXPERTS] = {false};
        uint32_t best = largest_key(key + (size_t)g * size, used, size);
        group[g] = key[g * size + best];
        used[best] = true;
        if (p->group_top2)
            group[g] += key[g * size + largest_key(key + (size_t)g * size, used, size)];
    }
    for (uint32_t i = 0; i < p->group_keep; i++)
        kept[largest_key(group, kept, p->group_count)] = true;
    for (uint32_t e = 0; e < experts; e++)
        out[e] = !kept[e / size];
}

static void choose(const iso_router *p, uint32_t token, const float *score, bool *chosen)
{
    uint32_t experts = iso_tensor_width(&p->logits), count = iso_tensor_width(&p->index);
    float key[ISO_ROUTER_MAX_EXPERTS];
    bool out[ISO_ROUTER_MAX_EXPERTS] = {false};
    for (uint32_t e = 0; e < experts; e++)
        key[e] = score[e] + (iso_tensor_present(&p->bias) ? (float)iso_at(&p->bias, 0, e) : 0);
    if (p->group_count > 1)
        drop_groups(p, key, experts, out);
    for (uint32_t j = 0; j < count; j++) {
        uint32_t e = largest_key(key, out, experts);
        if (iso_tensor_present(&p->forced)) {
            uint32_t given = (uint32_t)iso_index_at(&p->forced, (size_t)token * count + j);
            e = given < experts ? given : experts - 1;
        }
        out[e] = chosen[e] = true;
    }
}

void conform_model_router(const void *params, const conform_order *order, float *scratch,
                          double *const *outputs)
{
    const iso_router *p = params;
    uint32_t experts = iso_tensor_width(&p->logits), count = iso_tensor_width(&p->index);
    float *logit = scratch, *score = logit + experts, *ones = score + experts, *picked = ones + experts;
    for (uint32_t e = 0; e < experts; e++)
        ones[e] = 1;
    for (uint32_t t = 0; t < p->logits.dims[0]; t++) {
        bool chosen[ISO_ROUTER_MAX_EXPERTS] = {false};
        double *index = outputs[0] + (size_t)t * count, *weight = outputs[1] + (size_t)t * count;
        conform_model_row(&p->logits, t, logit);
        score_experts(logit, experts, p->sigmoid, order, score, ones);
        choose(p, t, score, chosen);
        uint32_t found = 0;
        for (uint32_t e = 0; e < experts; e++)
            if (chosen[e]) {
                index[found] = e;
                picked[found++] = score[e];
            }
        float sum = p->normalise ? order->dot(picked, ones, found, order->fused) + 1e-20f : 1;
        for (uint32_t j = 0; j < found; j++)
            weight[j] = (double)((p->normalise ? picked[j] / sum : picked[j]) * p->scaling);
    }
}
