// SPDX-License-Identifier: MIT
// Router for warps: one warp a token, 4 tokens a group, no shared memory and no barrier.
//
//   expert   0 … 31   32 … 63   …   480 … 511      lane l has experts l, l + 32, l + 64, …: its slots 0 … 15,
//   slot        0        1               15        in registers; with groups of 32, slot g is group g
//
// Scores, softmax's sum and the sum of the chosen are butterflies over the warp: a fixed order, whatever the other tokens.
//
// Keys are ordered by (key, lower index first): k times the warp finds the best of what is left, each lane the best of its
// own and five shuffles the best of the lanes. What a lane has chosen is a bit a slot; a ballot a slot then tells how many
// chosen experts stand before one's own, which is where it is written: ascending, without sorting.
#include "cuda_sm75.kh"

#define SLOTS 16u
#define GROUPS 16u
#define LOWEST -3.0e38f // of a key that may be chosen
#define MASKED -3.3e38f // of an expert whose group is not kept
#define TAKEN -3.4e38f  // of one that was chosen, or does not exist

FUNC bool is_nan(float value)
{
    return (AS_UINT(value) & 0x7fffffffu) > 0x7f800000u;
}

// Before the division by softmax's sum; `top` is the largest logit.
FUNC float raw_score(float logit, bool sigmoid, float top)
{
    return sigmoid ? 1.0f / (1.0f + exp_fixed(-logit)) : exp_fixed(logit - top);
}

// The best of the warp's (key, index): the larger key, on ties the lower index.
FUNC uint best_index(float key, uint index)
{
    for (uint lanes = 16u; lanes > 0u; lanes >>= 1) {
        float other_key = shuffle_xor(key, lanes);
        uint other = shuffle_xor(index, lanes);
        if (other_key > key || (other_key == key && other < index)) {
            key = other_key;
            index = other;
        }
    }
    return index;
}

// The key of a group of experts: the largest of its keys, or the sum of the two largest.
FUNC float group_key(const float key[SLOTS], uint first, uint size, bool top2)
{
    uint lane = LOCAL_ID & 31u;
    float best = LOWEST;
    float second = LOWEST;
    UNROLL
    for (uint slot = 0u; slot < SLOTS; slot++) {
        if (32u * slot + 32u <= first || 32u * slot >= first + size)
            continue; // the same for all lanes
        float k = 32u * slot + lane - first < size ? key[slot] : LOWEST; // below first it wraps
        second = FMAX(second, FMIN(best, k));
        best = FMAX(best, k);
    }
    for (uint lanes = 16u; lanes > 0u; lanes >>= 1) {
        float other_best = shuffle_xor(best, lanes);
        float other_second = shuffle_xor(second, lanes);
        second = FMAX(FMIN(best, other_best), FMAX(second, other_second));
        best = FMAX(best, other_best);
    }
    return top2 ? best + second : best;
}

// Masks the keys of all groups but the `keep` best.
FUNC void keep_groups(float key[SLOTS], uint experts, uint groups, uint keep, bool top2)
{
    uint lane = LOCAL_ID & 31u;
    uint size = experts / groups;
    float mine = LOWEST; // lane g has group g's
    for (uint g = 0u; g < groups; g++) {
        float k = group_key(key, g * size, size, top2);
        if (lane == g)
            mine = k;
    }
    uint before = 0u;
    for (uint g = 0u; g < groups; g++) {
        float other = shuffle_from(mine, g);
        before += other > mine || (other == mine && g < lane) ? 1u : 0u;
    }
    uint kept = warp_ballot(lane < groups && before < keep);
    UNROLL
    for (uint slot = 0u; slot < SLOTS; slot++)
        if (32u * slot + lane < experts && (kept >> ((32u * slot + lane) / size) & 1u) == 0u)
            key[slot] = MASKED;
}

// Takes the `chosen` best keys. Returns this lane's: a bit a slot.
FUNC uint choose(float key[SLOTS], uint chosen)
{
    uint lane = LOCAL_ID & 31u;
    uint mine = 0u;
    for (uint n = 0u; n < chosen; n++) {
        float best = key[0];
        uint index = lane;
        UNROLL
        for (uint slot = 1u; slot < SLOTS; slot++)
            if (key[slot] > best) {
                best = key[slot];
                index = 32u * slot + lane;
            }
        index = best_index(best, index);
        UNROLL
        for (uint slot = 0u; slot < SLOTS; slot++)
            if (index == 32u * slot + lane) {
                key[slot] = TAKEN;
                mine |= 1u << slot;
            }
    }
    return mine;
}

KERNEL_BEGIN(router, 128)
    IN(f32, logits)   // [count, experts]
    IN(f32, bias)     // [experts], if has_bias
    IN(i32, forced)   // [count, chosen], if has_forced
    OUT(i32, index)   // [count, chosen]
    OUT(f32, weight)  // [count, chosen]
    VALUE(uint, experts)
    VALUE(uint, chosen)
    VALUE(uint, has_bias)
    VALUE(uint, has_forced)
    VALUE(uint, sigmoid)
    VALUE(uint, groups)
    VALUE(uint, keep)
    VALUE(uint, top2)
    VALUE(uint, normalise)
    VALUE(float, scaling)
KERNEL_SHARED
KERNEL_BODY
    uint lane = LOCAL_ID & 31u;
    uint token = GROUP_ID * 4u + (LOCAL_ID >> 5);
    if (token >= count)
        return; // the whole warp
    const float *logit = logits + token * experts;

    float score[SLOTS];
    float top = -3.4e38f;
    UNROLL
    for (uint slot = 0u; slot < SLOTS; slot++) {
        bool exists = 32u * slot + lane < experts;
        score[slot] = exists ? logit[32u * slot + lane] : 0.0f;
        top = exists ? FMAX(top, score[slot]) : top;
    }
    top = warp_max(top);
    float total = 0.0f;
    UNROLL
    for (uint slot = 0u; slot < SLOTS; slot++) {
        score[slot] = 32u * slot + lane < experts ? raw_score(score[slot], sigmoid != 0u, top) : 0.0f;
        total += score[slot];
    }
    total = sigmoid != 0u ? 1.0f : warp_sum(total);

    if (has_forced != 0u) { // lane j has the j-th; it is written behind the lower ones
        uint mine = lane < chosen ? MIN(TO_UINT(forced[token * chosen + lane]), experts - 1u) : 0u;
        float s = lane < chosen ? raw_score(logit[mine], sigmoid != 0u, top) / total : 0.0f;
        uint before = 0u;
        for (uint j = 0u; j < chosen; j++) {
            uint other = shuffle_from(mine, j);
            before += other < mine || (other == mine && j < lane) ? 1u : 0u;
        }
        float divisor = normalise != 0u ? warp_sum(s) + 1.0e-20f : 1.0f;
        if (lane < chosen) {
            index[token * chosen + before] = TO_INT(mine);
            weight[token * chosen + before] = s / divisor * scaling;
        }
        return;
    }

    float key[SLOTS];
    UNROLL
    for (uint slot = 0u; slot < SLOTS; slot++) {
        uint e = 32u * slot + lane;
        score[slot] = score[slot] / total;
        float k = score[slot] + (has_bias != 0u && e < experts ? bias[e] : 0.0f);
        key[slot] = e >= experts ? TAKEN : is_nan(k) ? LOWEST : FMAX(k, LOWEST);
    }
    if (groups > 1u)
        keep_groups(key, experts, groups, keep, top2 != 0u);
    uint mine = choose(key, chosen);

    float sum = 0.0f;
    UNROLL
    for (uint slot = 0u; slot < SLOTS; slot++)
        sum += (mine >> slot & 1u) != 0u ? score[slot] : 0.0f;
    float divisor = normalise != 0u ? warp_sum(sum) + 1.0e-20f : 1.0f;
    uint before = 0u;
    UNROLL
    for (uint slot = 0u; slot < SLOTS; slot++) {
        uint here = warp_ballot((mine >> slot & 1u) != 0u);
        if ((mine >> slot & 1u) != 0u) {
            uint at = token * chosen + before + bits_set(here & ((1u << lane) - 1u));
            index[at] = TO_INT(32u * slot + lane);
            weight[at] = score[slot] / divisor * scaling;
        }
        before += bits_set(here);
    }
KERNEL_END
