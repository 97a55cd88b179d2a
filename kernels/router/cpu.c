// SPDX-License-Identifier: MIT
//
// Router on the host: one group a token, k passes over the keys.
#include "kernels/cpu_vector.h"
#include "kernels/router/op.h"

enum {
    ARG_LOGITS,
    ARG_BIAS,
    ARG_FORCED,
    ARG_INDEX,
    ARG_WEIGHT,
    ARG_EXPERTS,
    ARG_CHOSEN,
    ARG_HAS_BIAS,
    ARG_HAS_FORCED,
    ARG_SIGMOID,
    ARG_GROUPS,
    ARG_KEEP,
    ARG_TOP2,
    ARG_NORMALISE,
    ARG_SCALING
};

#define LOWEST -3.0e38f // of a key that may be chosen
#define MASKED -3.3e38f // of one that may not

static void score_experts(float *score, const float *logits, uint32_t experts, bool sigmoid)
{
    float top = logits[0], total = 0;
    for (uint32_t e = 1; e < experts && !sigmoid; e++)
        top = logits[e] > top ? logits[e] : top;
    for (uint32_t e = 0; e < experts; e += ISO_LANES) {
        iso_vector x = iso_load_vector(logits, ISO_DTYPE_F32, e, experts);
        iso_vector y = sigmoid ? 1.0f / (1.0f + iso_exp_vector(-x)) : iso_exp_vector(x - top);
        iso_store_vector(score, ISO_DTYPE_F32, e, experts, y);
    }
    if (sigmoid)
        return;
    for (uint32_t e = 0; e < experts; e++)
        total += score[e];
    for (uint32_t e = 0; e < experts; e++)
        score[e] /= total;
}

// Masks the best `keep` of `count` keys by writing MASKED there and reports where they were.
static void take_best(float *key, uint32_t count, uint32_t keep, uint32_t *out_places)
{
    for (uint32_t j = 0; j < keep; j++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < count; i++)
            best = key[i] > key[best] ? i : best;
        key[best] = MASKED;
        out_places[j] = best;
    }
}

static void mask_groups(float *key, uint32_t experts, const iso_native_arg *args)
{
    uint32_t groups = args[ARG_GROUPS].u32, size = experts / groups, places[ISO_ROUTER_MAX_GROUPS];
    float group_key[ISO_ROUTER_MAX_GROUPS];
    bool kept[ISO_ROUTER_MAX_GROUPS] = {false};
    for (uint32_t g = 0; g < groups; g++) {
        float best = LOWEST, second = LOWEST;
        for (uint32_t e = g * size; e < (g + 1) * size; e++) {
            if (key[e] > best) {
                second = best;
                best = key[e];
            } else if (key[e] > second) {
                second = key[e];
            }
        }
        group_key[g] = args[ARG_TOP2].u32 ? best + second : best;
    }
    take_best(group_key, groups, args[ARG_KEEP].u32, places);
    for (uint32_t j = 0; j < args[ARG_KEEP].u32; j++)
        kept[places[j]] = true;
    for (uint32_t e = 0; e < experts; e++)
        key[e] = kept[e / size] ? key[e] : MASKED;
}

static void sort_ascending(uint32_t *places, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = i; j > 0 && places[j - 1] > places[j]; j--) {
            uint32_t other = places[j - 1];
            places[j - 1] = places[j];
            places[j] = other;
        }
}

static void run(const iso_native_group *group, const iso_native_arg *args)
{
    uint32_t experts = args[ARG_EXPERTS].u32, chosen = args[ARG_CHOSEN].u32, places[ISO_ROUTER_MAX_CHOSEN];
    size_t token = group->id[0];
    float score[ISO_ROUTER_MAX_EXPERTS], key[ISO_ROUTER_MAX_EXPERTS];
    score_experts(score, (const float *)args[ARG_LOGITS].pointer + token * experts, experts,
                  args[ARG_SIGMOID].u32);

    if (args[ARG_HAS_FORCED].u32) {
        const int32_t *forced = (const int32_t *)args[ARG_FORCED].pointer + token * chosen;
        for (uint32_t j = 0; j < chosen; j++)
            places[j] = (uint32_t)forced[j] < experts ? (uint32_t)forced[j] : experts - 1;
    } else {
        const float *bias = args[ARG_HAS_BIAS].u32 ? args[ARG_BIAS].pointer : NULL;
        for (uint32_t e = 0; e < experts; e++) {
            float k = score[e] + (bias ? bias[e] : 0.0f);
            key[e] = k > LOWEST ? k : LOWEST; // NaN compares false
        }
        if (args[ARG_GROUPS].u32 > 1)
            mask_groups(key, experts, args);
        take_best(key, experts, chosen, places);
    }
    sort_ascending(places, chosen);

    float sum = 0;
    for (uint32_t j = 0; j < chosen; j++)
        sum += score[places[j]];
    for (uint32_t j = 0; j < chosen; j++) {
        float w = args[ARG_NORMALISE].u32 ? score[places[j]] / (sum + 1e-20f) : score[places[j]];
        ((int32_t *)args[ARG_INDEX].pointer)[token * chosen + j] = (int32_t)places[j];
        ((float *)args[ARG_WEIGHT].pointer)[token * chosen + j] = w * args[ARG_SCALING].f32;
    }
}

static bool supports(const iso_kernel *kernel, const void *params, const iso_device_info *device,
                     char reason[ISO_REASON_BYTES])
{
    (void)kernel, (void)params, (void)device, (void)reason;
    return true; // every call that fits the op's contract
}

static void launch(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    (void)kernel;
    const iso_router *p = params;
    out->groups[0] = p->logits.dims[0];
    out->groups[1] = out->groups[2] = 1;
    iso_launch_tensor(out, &p->logits, NULL);
    iso_launch_tensor(out, &p->bias, &p->logits);
    iso_launch_tensor(out, &p->forced, &p->logits);
    iso_launch_tensor(out, &p->index, NULL);
    iso_launch_tensor(out, &p->weight, NULL);
    iso_launch_u32(out, p->logits.dims[1]);
    iso_launch_u32(out, p->index.dims[1]);
    iso_launch_u32(out, iso_tensor_present(&p->bias));
    iso_launch_u32(out, iso_tensor_present(&p->forced));
    iso_launch_u32(out, p->sigmoid);
    iso_launch_u32(out, p->group_count);
    iso_launch_u32(out, p->group_keep);
    iso_launch_u32(out, p->group_top2);
    iso_launch_u32(out, p->normalise);
    iso_launch_f32(out, p->scaling);
}

ISO_DEFINE_CPU_KERNEL(router, run, supports, launch, 0)
