// SPDX-License-Identifier: MIT
//
// For tests of the CUDA backend with two devices: both of one registry, and a small program for each that
// gives its numbers away where it ran on the other, or waited for the other.
#ifndef ISO_CONFORMANCE_CUDA_PAIR_H
#define ISO_CONFORMANCE_CUDA_PAIR_H

#include "conformance/unit/cuda_child.h"

enum { SIDES = 2, FLOATS = 512 };

static const char *const pair_names[SIDES] = {"cuda:0", "cuda:1"};

// What one device holds; the program is y = next(x), z += y.
typedef struct pair_side {
    iso_device *device;
    iso_module *next, *add_to;
    iso_buffer *x, *y, *z;
    iso_list *list;
} pair_side;

typedef struct pair {
    iso_registry *registry;
    pair_side sides[SIDES];
} pair;

static inline float pair_factor(int side)
{
    return side == 0 ? 2 : 5;
}

static inline iso_status pair_record(pair_side *s, float factor)
{
    const iso_dispatch first = cuda_dispatch("first", FLOATS, s->x, s->y, factor),
                       second = cuda_dispatch("second", FLOATS, s->y, s->z, 0);
    ISO_TRY(iso_list_create(s->device, &s->list));
    ISO_TRY(iso_list_dispatch(s->list, s->next, &first));
    ISO_TRY(iso_list_barrier(s->list));
    ISO_TRY(iso_list_dispatch(s->list, s->add_to, &second));
    return iso_list_finish(s->list);
}

static inline iso_status pair_fill(pair_side *s, const char *second)
{
    const uint64_t bytes = FLOATS * sizeof(float);
    iso_module_source source = cuda_source("next");
    ISO_TRY(iso_buffer_create(s->device, bytes, &s->x));
    ISO_TRY(iso_buffer_create(s->device, bytes, &s->y));
    ISO_TRY(iso_buffer_create(s->device, bytes, &s->z));
    ISO_TRY(iso_buffer_fill(s->x, 0, bytes, 0));
    ISO_TRY(iso_buffer_fill(s->y, 0, bytes, 0));
    ISO_TRY(iso_buffer_fill(s->z, 0, bytes, 0));
    ISO_TRY(iso_module_create(s->device, &source, &s->next));
    source = cuda_source(second);
    return iso_module_create(s->device, &source, &s->add_to);
}

static inline iso_status pair_open_side(pair *p, int side, const iso_device_options *options,
                                        const char *second)
{
    pair_side *s = &p->sides[side];
    ISO_TRY(iso_device_open(p->registry, pair_names[side], options, &s->device));
    ISO_TRY(pair_fill(s, second));
    return pair_record(s, pair_factor(side));
}

static inline iso_status pair_write(const pair_side *s, int round)
{
    float values[FLOATS];
    for (uint32_t i = 0; i < FLOATS; i++)
        values[i] = (float)(i + (uint32_t)round);
    ISO_TRY(iso_buffer_write(s->x, 0, values, sizeof values));
    return iso_buffer_fill(s->z, 0, sizeof values, 0);
}

// *out_wrong: the first element that is not right, FLOATS where all are.
static inline iso_status pair_read(const pair_side *s, int side, int round, uint32_t *out_wrong)
{
    float values[FLOATS];
    *out_wrong = 0;
    ISO_TRY(iso_buffer_read(s->z, 0, values, sizeof values));
    while (*out_wrong < FLOATS &&
           values[*out_wrong] == pair_factor(side) * (float)(*out_wrong + (uint32_t)round) + 1)
        ++*out_wrong;
    return ISO_OK;
}

static inline void pair_close_side(pair *p, int side)
{
    pair_side *s = &p->sides[side];
    iso_list_destroy(s->list);
    iso_module_destroy(s->add_to);
    iso_module_destroy(s->next);
    iso_buffer_release(s->z);
    iso_buffer_release(s->y);
    iso_buffer_release(s->x);
    iso_device_close(s->device);
    *s = (pair_side){0};
}

#endif
