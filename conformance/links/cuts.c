// SPDX-License-Identifier: MIT
//
// Placements of the golden model over two devices, and judging what they give. Demands nothing by itself.
#include "conformance/links/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void link_send(link_bench *bench, conform_result *result)
{
    if (bench->context->report)
        bench->context->report(bench->context, result);
    else
        json_decref(result->more);
}

size_t link_logit_count(const link_bench *bench)
{
    return (size_t)LINK_ROWS * bench->model.vocab;
}

// ---- judging ----

double link_rms(const link_bench *bench, uint32_t slot)
{
    double sum = 0;
    for (size_t i = 0; i < link_logit_count(bench); i++)
        sum += (double)bench->logits[slot][i] * (double)bench->logits[slot][i];
    return sqrt(sum / (double)link_logit_count(bench));
}

void link_judge(const link_bench *bench, uint32_t got_slot, uint32_t want_slot, double bound,
                const char *where, link_worst *worst)
{
    const float *got = bench->logits[got_slot], *want = bench->logits[want_slot];
    double score = 0;
    conform_sample sample = {0};
    for (size_t i = 0; i < link_logit_count(bench); i++) {
        bool same = memcmp(&got[i], &want[i], sizeof *got) == 0;
        double error = fabs((double)got[i] - (double)want[i]), s = same ? 0 : error / bound;
        if (s <= score)
            continue;
        score = isnan(s) ? (double)INFINITY : s;
        sample = (conform_sample){0, i, (double)got[i], (double)want[i], bound};
    }
    worst->runs++;
    worst->failed += !(score <= 1);
    if (score < worst->score || (score == worst->score && worst->where[0]))
        return;
    worst->score = score;
    worst->sample = sample;
    snprintf(worst->where, sizeof worst->where, "%s", where);
}

void link_send_worst(link_bench *bench, const char *check, const link_worst *worst)
{
    conform_result result =
        worst->failed
            ? conform_result_make(
                  CONFORM_FAIL, check,
                  "%u of %u placements; the worst: %s, logit %llu is %.9g instead of %.9g, allowed: "
                  "%.3g",
                  worst->failed, worst->runs, worst->where, (unsigned long long)worst->sample.index,
                  worst->sample.got, worst->sample.want, worst->sample.bound)
            : conform_result_make(CONFORM_PASS, check, "%u placements, up to %u values cross over in a step",
                                  worst->runs, worst->most_transfers);
    result.score = worst->score;
    result.samples[0] = worst->sample;
    result.sample_count = 1;
    link_send(bench, &result);
}

// ---- placements ----

iso_status link_run_cut(link_bench *bench, const link_cut *cut, uint32_t slot, link_worst *worst)
{
    int32_t last = (int32_t)bench->model.positions - 1;
    int32_t back = cut->back == LINK_NO_LIMIT ? last : (int32_t)cut->back;
    const iso_layer_range ranges[] = {
        {0, (int32_t)cut->cut, 0}, {(int32_t)cut->cut + 1, back, 1}, {back + 1, last, 0}};
    link_placement placement = {.devices = {cut->first, cut->second},
                                .device_count = 2,
                                .ranges = ranges,
                                .range_count = back < last ? 3 : 2,
                                .activation = cut->activation};
    uint32_t transfers;
    ISO_TRY(link_model_run(&bench->model, &placement, bench->logits[slot], &transfers));
    if (transfers > worst->most_transfers)
        worst->most_transfers = transfers;
    // A cut that nothing crosses would test nothing.
    return transfers ? ISO_OK : iso_fail(ISO_INTERNAL, "a cut after position %u moves no value", cut->cut);
}

iso_status link_run_zigzag(link_bench *bench, const link_cut *cut, link_worst *worst)
{
    iso_layer_range *ranges;
    ISO_TRY(ISO_NEW(NULL, bench->model.positions, &ranges));
    for (uint32_t p = 0; p < bench->model.positions; p++)
        ranges[p] = (iso_layer_range){(int32_t)p, (int32_t)p, p % 2};
    link_placement placement = {.devices = {cut->first, cut->second},
                                .device_count = 2,
                                .ranges = ranges,
                                .range_count = bench->model.positions,
                                .activation = cut->activation};
    uint32_t transfers = 0;
    iso_status status = link_model_run(&bench->model, &placement, bench->logits[LINK_MIXED], &transfers);
    if (transfers > worst->most_transfers)
        worst->most_transfers = transfers;
    iso_free(NULL, ranges);
    return status;
}

iso_status link_run_alone(link_bench *bench, iso_device *device, iso_dtype activation, uint32_t slot)
{
    link_placement placement = {.devices = {device}, .device_count = 1, .activation = activation};
    return link_model_run(&bench->model, &placement, bench->logits[slot], NULL);
}

// The cuts that are run: all, or as many as are asked for, spread over the model with the ends of layers
// among them.
uint32_t link_choose_cut(const link_bench *bench, uint32_t number, uint32_t count)
{
    uint32_t all = bench->model.positions - 1;
    if (count >= all)
        return number;
    if (number < bench->model.layers - 1 && number < count / 2)
        return bench->model.layer_ends[number];
    return (uint32_t)((uint64_t)(2 * number + 1) * all / (2 * count));
}

void link_name_cut(const link_bench *bench, const link_cut *cut, char out[96])
{
    size_t at =
        (size_t)snprintf(out, 96, "%s, %s after position %u (%s)", iso_device_name(cut->first),
                         iso_device_name(cut->second), cut->cut, link_model_op(&bench->model, cut->cut));
    if (cut->back != LINK_NO_LIMIT && at < 96)
        snprintf(out + at, 96 - at, ", back after %u", cut->back);
}
