// SPDX-License-Identifier: MIT
//
// The attributes of every op, one line each (attributes.h).
#include "conformance/ops/attributes.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/gqa_attention/op.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/head_linear/op.h"
#include "kernels/mla_attention/op.h"
#include "kernels/permute/op.h"
#include "kernels/rms_norm/op.h"
#include "kernels/rope/op.h"
#include "kernels/router/op.h"

typedef enum attribute_kind { ATTRIBUTE_U32, ATTRIBUTE_F32, ATTRIBUTE_BOOL } attribute_kind;

typedef struct attribute {
    const char *op, *name;
    size_t offset;
    attribute_kind kind;
} attribute;

#define ATTRIBUTE(op, field, kind)                                                                           \
    {                                                                                                        \
#op, #field, offsetof(iso_##op, field), ATTRIBUTE_##kind                                             \
    }

static const attribute attributes[] = {
    ATTRIBUTE(gqa_attention, scale, F32),
    ATTRIBUTE(grouped_linear, rows_per_token, U32),
    ATTRIBUTE(head_linear, head_rows, U32),
    ATTRIBUTE(head_linear, row_offset, U32),
    ATTRIBUTE(head_linear, transposed, BOOL),
    ATTRIBUTE(mla_attention, scale, F32),
    ATTRIBUTE(permute, expert_count, U32),
    ATTRIBUTE(rms_norm, eps, F32),
    ATTRIBUTE(rope, scale, F32),
    ATTRIBUTE(rope, interleaved, BOOL),
    ATTRIBUTE(router, sigmoid, BOOL),
    ATTRIBUTE(router, group_count, U32),
    ATTRIBUTE(router, group_keep, U32),
    ATTRIBUTE(router, group_top2, BOOL),
    ATTRIBUTE(router, normalise, BOOL),
    ATTRIBUTE(router, scaling, F32),
};

#define ATTRIBUTE_COUNT (sizeof attributes / sizeof attributes[0])

static json_t *get_one(const attribute *attribute, const void *params)
{
    const uint8_t *at = (const uint8_t *)params + attribute->offset;
    uint32_t u32;
    float f32;
    bool flag;
    switch (attribute->kind) {
    case ATTRIBUTE_U32:
        memcpy(&u32, at, sizeof u32);
        return json_integer(u32);
    case ATTRIBUTE_F32:
        memcpy(&f32, at, sizeof f32);
        return json_real((double)f32);
    case ATTRIBUTE_BOOL:
        memcpy(&flag, at, sizeof flag);
        return json_boolean(flag);
    }
    return NULL;
}

json_t *conform_attributes_get(const iso_op_info *op, const void *params)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < ATTRIBUTE_COUNT; i++) {
        if (strcmp(attributes[i].op, op->name) != 0)
            continue;
        if (json_object_set_new(object, attributes[i].name, get_one(&attributes[i], params)) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

static iso_status set_one(const attribute *attribute, const json_t *value, void *params)
{
    uint8_t *at = (uint8_t *)params + attribute->offset;
    if (attribute->kind == ATTRIBUTE_U32 && json_is_integer(value) && json_integer_value(value) >= 0 &&
        json_integer_value(value) <= UINT32_MAX) {
        uint32_t u32 = (uint32_t)json_integer_value(value);
        memcpy(at, &u32, sizeof u32);
    } else if (attribute->kind == ATTRIBUTE_F32 && json_is_number(value) &&
               fabs(json_number_value(value)) <= 0x1.fffffep127) {
        float f32 = (float)json_number_value(value);
        memcpy(at, &f32, sizeof f32);
    } else if (attribute->kind == ATTRIBUTE_BOOL && json_is_boolean(value)) {
        bool flag = json_is_true(value);
        memcpy(at, &flag, sizeof flag);
    } else {
        static const char *const allowed[] = {"an integer from 0 to 4294967295", "a float32 number",
                                              "true or false"};
        return iso_fail(ISO_CORRUPT, "attributes.%s is missing or wrong; op %s needs %s", attribute->name,
                        attribute->op, allowed[attribute->kind]);
    }
    return ISO_OK;
}

iso_status conform_attributes_set(const iso_op_info *op, const json_t *object, void *params)
{
    size_t known = 0;
    if (!json_is_object(object))
        return iso_fail(ISO_CORRUPT, "attributes is missing or no object");
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (strcmp(attributes[i].op, op->name) != 0)
            continue;
        ISO_TRY(set_one(&attributes[i], json_object_get(object, attributes[i].name), params));
        known++;
    }
    if (known != json_object_size(object))
        return iso_fail(ISO_CORRUPT, "attributes has %zu fields; op %s has %zu", json_object_size(object),
                        op->name, known);
    return ISO_OK;
}
