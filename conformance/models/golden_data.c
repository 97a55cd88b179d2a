// SPDX-License-Identifier: MIT
//
// Exact answers, and distances from them (golden_data.h).
#include "conformance/models/golden_data.h"

#include <math.h>
#include <stdio.h>

iso_status conform_golden_open(const char *name, conform_golden *out)
{
    char path[512];
    iso_status status = ISO_OK;
    *out = (conform_golden){0};
    snprintf(path, sizeof path, CONFORM_GOLDEN_FOLDER "%s", name);
    ISO_TRY_GOTO(iso_model_open(path, NULL, &out->model), fail);
    out->config = iso_model_get_config(out->model);
    snprintf(path, sizeof path, CONFORM_GOLDEN_FOLDER "%s/expected.safetensors", name);
    ISO_TRY_GOTO(iso_checkpoint_open(path, NULL, &out->expected), fail);
    return ISO_OK;
fail:
    conform_golden_close(out);
    return status;
}

void conform_golden_close(conform_golden *golden)
{
    iso_checkpoint_close(golden->expected);
    iso_model_close(golden->model);
    *golden = (conform_golden){0};
}

iso_tensor_view conform_golden_tensor(const conform_golden *golden, const char *format, ...)
{
    char name[64];
    va_list list;
    iso_tensor_view view = {0};
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    if (iso_checkpoint_has(golden->expected, name) &&
        iso_checkpoint_find(golden->expected, name, &view) != ISO_OK)
        view = (iso_tensor_view){0};
    return view;
}

double conform_golden_at(const iso_tensor_view *view, uint64_t index)
{
    return iso_load_element(view->data, view->dtype, index);
}

double conform_golden_rms(const iso_tensor_view *view)
{
    double sum = 0;
    uint64_t count = view->bytes / iso_dtype_bytes(view->dtype);
    for (uint64_t i = 0; i < count; i++)
        sum += pow(conform_golden_at(view, i), 2);
    return sqrt(sum / (double)count);
}

void conform_distance_add(conform_distance *distance, const iso_tensor_view *want, uint64_t row,
                          const float *got)
{
    double rms = conform_golden_rms(want);
    uint64_t width = want->dims[1];
    for (uint64_t i = 0; i < width; i++) {
        double error = fabs((double)got[i] - conform_golden_at(want, row * width + i)) / rms;
        error = isnan(error) ? (double)INFINITY : error;
        distance->worst = fmax(distance->worst, error);
        distance->square_sum += error * error;
    }
    distance->count += width;
}

double conform_distance_rms(const conform_distance *distance)
{
    return distance->count ? sqrt(distance->square_sum / (double)distance->count) : 0;
}

conform_flip conform_flip_of(double margin, double own, double allowed)
{
    if (!(own >= 0))
        return CONFORM_FLIP_IMPOSSIBLE;
    return margin <= 2 * allowed ? CONFORM_FLIP_EXPLAINED : CONFORM_FLIP_UNEXPLAINED;
}

const char *conform_flip_name(conform_flip flip)
{
    static const char *const names[] = {"the same", "explained by rounding", "unexplained", "impossible"};
    return names[flip];
}
