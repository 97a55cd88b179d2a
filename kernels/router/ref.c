// SPDX-License-Identifier: MIT
//
// Router: contract check, double-precision reference with its error bound, cost, and test inputs.
//
// Bound of a weight. Sigmoid: exp within EXP relative, one sum, one division. Softmax: the argument's
// rounding is at most |x - max| u, exp EXP, the sum over E terms gamma(E + 1) and the same errors again, one
// division. Normalising adds the errors of the sum of k scores and one division, scaling one product.
// Subnormal scores may be flushed: 2^-125. Chosen experts must be equal; the test inputs keep distinct keys
// apart by far more than float32's rounding.
#include "kernels/router/op.h"

#include <math.h>

#include "kernels/case.h"
#include "kernels/functions.h"

#define EXP     (4 * ISO_U_F32)
#define FLUSHED 0x1p-125

static iso_status check_attributes(const iso_router *p, uint32_t experts, uint32_t chosen)
{
    uint32_t groups = p->group_count > 1 ? p->group_count : 1, keep = p->group_count > 1 ? p->group_keep : 1;
    if (experts == 0 || experts > ISO_ROUTER_MAX_EXPERTS)
        return iso_fail(ISO_INVALID_ARGUMENT, "router: logits has %u experts; allowed: 1 to %d", experts,
                        ISO_ROUTER_MAX_EXPERTS);
    if (groups > ISO_ROUTER_MAX_GROUPS || experts % groups)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "router: group_count is %u for %u experts; allowed: divisors up to %d", groups,
                        experts, ISO_ROUTER_MAX_GROUPS);
    if (keep == 0 || keep > groups)
        return iso_fail(ISO_INVALID_ARGUMENT, "router: group_keep is %u; allowed: 1 to %u", keep, groups);
    if (groups > 1 && p->group_top2 && experts / groups < 2)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "router: groups of one expert have no two largest; use group_top2 false");
    uint32_t most = keep * (experts / groups);
    most = most < ISO_ROUTER_MAX_CHOSEN ? most : ISO_ROUTER_MAX_CHOSEN;
    if (chosen == 0 || chosen > most)
        return iso_fail(ISO_INVALID_ARGUMENT, "router: index has %u experts a token; allowed: 1 to %u",
                        chosen, most);
    return ISO_OK;
}

iso_status iso_router_check(const void *params)
{
    const iso_router *p = params;
    uint32_t tokens = p->logits.dims[0], experts = iso_tensor_width(&p->logits);
    uint32_t chosen = iso_tensor_width(&p->index);
    ISO_TRY(iso_check_dtype("router", "logits", &p->logits, 1u << ISO_DTYPE_F32));
    ISO_TRY(iso_check_dtype("router", "bias", &p->bias, 1u << ISO_DTYPE_F32 | 1u << ISO_DTYPE_NONE));
    ISO_TRY(iso_check_dtype("router", "forced", &p->forced, 1u << ISO_DTYPE_I32 | 1u << ISO_DTYPE_NONE));
    ISO_TRY(iso_check_dtype("router", "index", &p->index, 1u << ISO_DTYPE_I32));
    ISO_TRY(iso_check_dtype("router", "weight", &p->weight, 1u << ISO_DTYPE_F32));
    const uint32_t rows[] = {tokens, chosen};
    ISO_TRY(iso_check_shape("router", "logits", &p->logits, 2, p->logits.dims));
    ISO_TRY(iso_check_shape("router", "index", &p->index, 2, rows));
    ISO_TRY(iso_check_shape("router", "weight", &p->weight, 2, rows));
    ISO_TRY(iso_check_contiguous("router", "logits", &p->logits));
    ISO_TRY(iso_check_contiguous("router", "index", &p->index));
    ISO_TRY(iso_check_contiguous("router", "weight", &p->weight));
    if (iso_tensor_present(&p->bias)) {
        ISO_TRY(iso_check_shape("router", "bias", &p->bias, 1, &experts));
        ISO_TRY(iso_check_contiguous("router", "bias", &p->bias));
    }
    if (iso_tensor_present(&p->forced)) {
        ISO_TRY(iso_check_shape("router", "forced", &p->forced, 2, rows));
        ISO_TRY(iso_check_contiguous("router", "forced", &p->forced));
    }
    return check_attributes(p, experts, chosen);
}

// Scores of one token, and the relative error of each.
static void score_experts(const iso_router *p, uint32_t t, double *score, double *error)
{
    uint32_t experts = iso_tensor_width(&p->logits);
    double top = -INFINITY, sum = 0, drift = 0;
    for (uint32_t e = 0; e < experts; e++)
        top = fmax(top, iso_at(&p->logits, t, e));
    for (uint32_t e = 0; e < experts; e++) {
        double x = iso_at(&p->logits, t, e);
        score[e] = p->sigmoid ? 1 / (1 + exp(-x)) : exp(x - top);
        error[e] = EXP + iso_gamma_f32(3) + (p->sigmoid ? 0 : (top - x) * ISO_U_F32);
        sum += score[e];
        drift += score[e] * error[e];
    }
    for (uint32_t e = 0; e < experts && !p->sigmoid; e++) {
        score[e] /= sum;
        error[e] += drift / sum + iso_gamma_f32(experts + 1.0);
    }
}

// The best entry not taken yet, the lowest index on ties; NaN is worse than everything.
static uint32_t best_of(const double *key, const bool *taken, uint32_t count)
{
    uint32_t best = count;
    for (uint32_t i = 0; i < count; i++)
        if (!taken[i] && (best == count || key[i] > key[best] || (isnan(key[best]) && !isnan(key[i]))))
            best = i;
    return best;
}

static void keep_groups(const iso_router *p, const double *key, uint32_t experts, bool *taken)
{
    uint32_t size = experts / p->group_count;
    double group_key[ISO_ROUTER_MAX_GROUPS];
    bool kept[ISO_ROUTER_MAX_GROUPS] = {false}, none[ISO_ROUTER_MAX_EXPERTS] = {false};
    for (uint32_t g = 0; g < p->group_count; g++) {
        const double *in_group = key + g * size;
        uint32_t first = best_of(in_group, none, size);
        group_key[g] = in_group[first];
        if (p->group_top2) {
            none[first] = true;
            group_key[g] += in_group[best_of(in_group, none, size)];
            none[first] = false;
        }
    }
    for (uint32_t i = 0; i < p->group_keep; i++)
        kept[best_of(group_key, kept, p->group_count)] = true;
    for (uint32_t e = 0; e < experts; e++)
        taken[e] = !kept[e / size];
}

iso_status iso_router_reference(const void *params, const iso_reference_output *outputs)
{
    const iso_router *p = params;
    uint32_t experts = iso_tensor_width(&p->logits), chosen = iso_tensor_width(&p->index);
    for (uint32_t t = 0; t < p->logits.dims[0]; t++) {
        double score[ISO_ROUTER_MAX_EXPERTS], error[ISO_ROUTER_MAX_EXPERTS], key[ISO_ROUTER_MAX_EXPERTS];
        bool taken[ISO_ROUTER_MAX_EXPERTS] = {false}, picked[ISO_ROUTER_MAX_EXPERTS] = {false};
        score_experts(p, t, score, error);
        for (uint32_t e = 0; e < experts; e++)
            key[e] = score[e] + (iso_tensor_present(&p->bias) ? iso_at(&p->bias, 0, e) : 0);
        if (p->group_count > 1)
            keep_groups(p, key, experts, taken);
        for (uint32_t j = 0; j < chosen; j++) {
            uint32_t e = best_of(key, taken, experts);
            if (iso_tensor_present(&p->forced)) {
                uint32_t given = (uint32_t)iso_index_at(&p->forced, (size_t)t * chosen + j);
                e = given < experts ? given : experts - 1;
            }
            taken[e] = picked[e] = true;
        }
        double sum = 1e-20, drift = 0;
        for (uint32_t e = 0; e < experts; e++) {
            sum += picked[e] ? score[e] : 0;
            drift += picked[e] ? score[e] * error[e] : 0;
        }
        size_t at = (size_t)t * chosen;
        for (uint32_t e = 0; e < experts; e++) {
            if (!picked[e])
                continue;
            double scaling = (double)p->scaling, weight = score[e] * scaling, relative = error[e] + ISO_U_F32;
            if (p->normalise) {
                weight /= sum;
                relative += drift / sum + iso_gamma_f32(chosen + 2.0);
            }
            outputs[0].value[at] = e;
            outputs[0].bound[at] = 0;
            outputs[1].value[at] = weight;
            outputs[1].bound[at++] = fabs(weight) * relative * 1.01 + FLUSHED;
        }
    }
    return ISO_OK;
}

void iso_router_cost(const void *params, iso_op_cost *out_cost)
{
    const iso_router *p = params;
    uint64_t elems = iso_tensor_elems(&p->logits), picked = iso_tensor_elems(&p->index);
    out_cost->flops = elems * 4 + picked * 3;
    out_cost->read_bytes = 4 * (elems + iso_tensor_elems(&p->bias) + iso_tensor_elems(&p->forced));
    out_cost->written_bytes = 8 * picked;
}

// Logits are multiples of 1/64 between -4 and 4 (of 1 when keys shall tie), biases of 1/64: equal keys are
// equal in every precision, and different ones differ by far more than a rounding, except by rare chance.
static void fill_steps(const iso_case_builder *builder, const iso_tensor *tensor, double step, double limit)
{
    float *at = tensor->host;
    for (uint64_t i = 0; i < iso_tensor_elems(tensor); i++) {
        double unit = (double)(iso_case_random(builder, i) >> 40) / 0x1p24;
        at[i] = (float)(floor((2 * unit - 1) * limit / step) * step);
    }
}

iso_status iso_router_build_case(const uint32_t *numbers, iso_case_builder *builder, void *params)
{
    iso_router *p = params;
    uint32_t tokens = numbers[0], experts = numbers[1], chosen = numbers[2], form = numbers[5];
    p->group_count = numbers[3];
    p->group_keep = numbers[4];
    p->sigmoid = form & 1;
    p->group_top2 = form & 4;
    p->normalise = form & 8;
    p->scaling = p->sigmoid ? 2.5f : 1.0f;
    ISO_TRY(iso_case_empty(builder, &p->logits, ISO_DTYPE_F32, ISO_DIMS(tokens, experts)));
    fill_steps(builder, &p->logits, form & 32 ? 1.0 : 0x1p-6, 4.0);
    if (form & 2) {
        ISO_TRY(iso_case_empty(builder, &p->bias, ISO_DTYPE_F32, ISO_DIMS(experts)));
        fill_steps(builder, &p->bias, form & 32 ? 0.25 : 0x1p-6, 0.5);
    }
    if (form & 16) {
        ISO_TRY(iso_case_empty(builder, &p->forced, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen)));
        int32_t *forced = p->forced.host; // distinct and not ascending
        for (uint32_t i = 0; i < tokens * chosen; i++)
            forced[i] = (int32_t)((experts - 1 - i % chosen * 3 + i / chosen) % experts);
    }
    ISO_TRY(iso_case_empty(builder, &p->index, ISO_DTYPE_I32, ISO_DIMS(tokens, chosen)));
    return iso_case_empty(builder, &p->weight, ISO_DTYPE_F32, ISO_DIMS(tokens, chosen));
}
