// SPDX-License-Identifier: MIT
//
// Opening golden models and comparing with them.
#include "conformance/support/golden.h"

#include <math.h>
#include <stdio.h>

int golden_open(golden *out, const char *name)
{
    char path[512];
    *out = (golden){.name = name};
    snprintf(path, sizeof path, GOLDEN_MODELS "%s", name);
    iso_status status = iso_model_open(path, NULL, &out->model);
    if (status == ISO_OK) {
        out->config = iso_model_get_config(out->model);
        snprintf(path, sizeof path, GOLDEN_MODELS "%s/expected.safetensors", name);
        status = iso_checkpoint_open(path, NULL, &out->expected);
    }
    if (status == ISO_OK)
        return 0;
    printf("FAILED: %s: %s\n", name, iso_status_last()->text);
    golden_close(out);
    return 1;
}

void golden_close(golden *golden)
{
    iso_checkpoint_close(golden->expected);
    iso_model_close(golden->model);
}

iso_tensor_view golden_tensor(const golden *golden, const char *format, ...)
{
    char name[64];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    iso_tensor_view view = {0};
    if (iso_checkpoint_has(golden->expected, name) &&
        iso_checkpoint_find(golden->expected, name, &view) != ISO_OK)
        view = (iso_tensor_view){0};
    return view;
}

uint32_t golden_ids(const iso_tensor_view *view, int32_t *out, uint32_t capacity)
{
    uint32_t count = view->data ? (uint32_t)(view->bytes / sizeof(int32_t)) : 0;
    for (uint32_t i = 0; i < count && i < capacity; i++)
        out[i] = (int32_t)iso_load_element(view->data, ISO_DTYPE_I32, i);
    return count < capacity ? count : capacity;
}

double golden_rms(const iso_tensor_view *view)
{
    double sum = 0;
    uint64_t count = view->bytes / sizeof(float);
    for (uint64_t i = 0; i < count; i++)
        sum += pow(iso_load_element(view->data, ISO_DTYPE_F32, i), 2);
    return sqrt(sum / (double)count);
}

double golden_distance(const iso_tensor_view *want, uint64_t row, const float *got, double *out_rms)
{
    double worst = 0, sum = 0;
    uint64_t width = want->dims[1];
    for (uint64_t i = 0; i < width; i++) {
        double error = fabs((double)got[i] - iso_load_element(want->data, ISO_DTYPE_F32, row * width + i));
        error = isnan(error) ? INFINITY : error;
        worst = error > worst ? error : worst;
        sum += error * error;
    }
    if (out_rms)
        *out_rms = sqrt(sum / (double)width);
    return worst;
}
