// SPDX-License-Identifier: MIT
//
// The measures of `compare`, and its verdict. A value that is not finite is infinitely wrong, in the
// reference too.
#include <float.h>
#include <math.h>
#include <string.h>

#include "tools/isomer/compare.h"

// A greedy choice may tip over where the logits were this many times the worst difference apart, or less.
#define TIPPING_MARGIN 4.0

// With f32 an ordinary run is within 2e-5 of exact, so two are within 4e-5 of each other. In bf16 a dense
// model's run is within 0.08; with experts one may be chosen differently by rounding alone, and single logits
// then move by more than their RMS while the RMS of all differences stays below 0.16 (conformance/README.md).
static const compare_limits exact_limits = {
    .applies_to = "f32", .worst = 1e-4, .worst_rerouted = 1e-4, .rms = 1e-4, .same_experts = true};
static const compare_limits coarse_limits = {
    .applies_to = "bf16, w8a8", .worst = 0.5, .worst_rerouted = HUGE_VAL, .rms = 0.25, .same_experts = false};

const compare_limits *compare_limits_of(const cli_machine *machine)
{
    return machine->activation == ISO_DTYPE_F32 && !machine->w8a8 ? &exact_limits : &coarse_limits;
}

static double difference(float a, float b)
{
    return isfinite(a) && isfinite(b) ? fabs((double)a - (double)b) : HUGE_VAL;
}

// Smallest positive where all is zero, so that a difference from nothing shows.
static double rms_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return fmax(sqrt(sum / (double)count), DBL_MIN);
}

static void measure_logits(const cli_capture *reference, const cli_capture *device, double rms,
                           compare_result *out)
{
    size_t count = (size_t)reference->count * reference->vocab, worst_at = 0;
    double worst = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double d = difference(reference->logits[i], device->logits[i]);
        squares += d * d;
        if (d > worst) {
            worst = d;
            worst_at = i;
        }
    }
    out->worst = worst / rms;
    out->rms = sqrt(squares / (double)count) / rms;
    out->worst_token = (uint32_t)(worst_at / reference->vocab);
    out->worst_id = (int32_t)(worst_at % reference->vocab);
}

static void measure_layers(const cli_capture *reference, const cli_capture *device, compare_result *out)
{
    size_t count = (size_t)reference->count * reference->width;
    out->layer_count = reference->hidden_count;
    for (uint32_t l = 0; l < reference->hidden_count; l++) {
        const float *a = reference->hidden + l * count, *b = device->hidden + l * count;
        double rms = rms_of(a, count);
        out->layers[l] = (compare_layer){0};
        for (size_t i = 0; i < count; i++) {
            double d = difference(a[i], b[i]) / rms;
            if (d > out->layers[l].worst)
                out->layers[l] = (compare_layer){.worst = d, .token = (uint32_t)(i / reference->width)};
        }
    }
}

static void measure_tokens(const cli_capture *reference, const cli_capture *device, double rms,
                           compare_result *out)
{
    for (uint32_t t = 0; t < reference->count; t++) {
        int32_t a = reference->picked[t], b = device->picked[t];
        if (a == b)
            continue;
        const float *row = reference->logits + (size_t)t * reference->vocab;
        bool known = b >= 0 && (uint32_t)b < reference->vocab;
        compare_token token = {t, a, b, known ? ((double)row[a] - (double)row[b]) / rms : HUGE_VAL};
        if (out->token_differences < COMPARE_KEPT)
            out->tokens[out->token_differences] = token;
        out->token_differences++;
        out->unexplained_tokens += !(token.margin < TIPPING_MARGIN * out->worst);
    }
}

// The first of `set` that is not in `other`; both ascend.
static uint32_t first_missing(const int32_t *set, const int32_t *other, uint32_t count)
{
    uint32_t i = 0, j = 0;
    while (i < count && j < count && other[j] <= set[i]) {
        if (set[i] == other[j])
            i++;
        j++;
    }
    return i < count ? i : 0;
}

static void measure_routing(const cli_capture *reference, const cli_capture *device, compare_result *out)
{
    uint32_t k = reference->choices;
    for (uint32_t l = 0; l < reference->routed_count; l++) {
        for (uint32_t t = 0; t < reference->count; t++) {
            size_t at = ((size_t)l * reference->count + t) * k;
            const int32_t *a = reference->experts + at, *b = device->experts + at;
            if (memcmp(a, b, k * sizeof *a) == 0)
                continue;
            if (out->route_differences < COMPARE_KEPT) {
                uint32_t i = first_missing(a, b, k), j = first_missing(b, a, k);
                out->routes[out->route_differences] = (compare_route){
                    reference->routed_layers[l],   t, a[i], b[j], reference->expert_weights[at + i],
                    device->expert_weights[at + j]};
            }
            out->route_differences++;
        }
    }
}

void compare_measure(const cli_capture *reference, const cli_capture *device, compare_result *out)
{
    double rms = rms_of(reference->logits, (size_t)reference->count * reference->vocab);
    measure_logits(reference, device, rms, out);
    measure_layers(reference, device, out);
    measure_tokens(reference, device, rms, out);
    measure_routing(reference, device, out);
}

bool compare_same_bits(const cli_capture *a, const cli_capture *b)
{
    size_t rows = a->count, routes = rows * a->routed_count * a->choices;
    return memcmp(a->logits, b->logits, rows * a->vocab * sizeof(float)) == 0 &&
           memcmp(a->picked, b->picked, rows * sizeof(int32_t)) == 0 &&
           memcmp(a->hidden, b->hidden, rows * a->hidden_count * a->width * sizeof(float)) == 0 &&
           (routes == 0 || memcmp(a->experts, b->experts, routes * sizeof(int32_t)) == 0);
}

bool compare_verdict(const compare_result *result, const compare_limits *limits)
{
    double worst = result->route_differences ? limits->worst_rerouted : limits->worst;
    return result->problem[0] == '\0' && result->worst <= worst && result->rms <= limits->rms &&
           result->repeats && result->unexplained_tokens == 0 &&
           !(limits->same_experts && result->route_differences);
}
