// SPDX-License-Identifier: MIT
//
// The vocabulary of config tables: what a field of config.json is, where its value goes, and what is allowed.
// The tables are model/<architecture>/config.h for what differs and model/checkpoint/config.c for what all
// share.
//
// A line says key, member of iso_model_config, need, and the range or the choices:
//
//     ISO_CONFIG_COUNT("kv_lora_rank", kv_lora_rank, REQUIRED, 1, 65536)       an integer
//     ISO_CONFIG_REAL("routed_scaling_factor", routed_scaling_factor, OR(1), 1e-6, 1e6)
//     ISO_CONFIG_FLAG("norm_topk_prob", normalise_weights, OR(true))
//     ISO_CONFIG_CHOICE("scoring_func", scoring, OR(ISO_SCORING_SIGMOID), {"sigmoid", ISO_SCORING_SIGMOID})
//     ISO_CONFIG_ALWAYS(qkv_bias, true)           no key: so it is in this architecture
//     ISO_CONFIG_FALSE("mlp_bias", "biases …")    anything but false, null or absent is not supported
//     ISO_CONFIG_ABSENT("sliding_window", "…")    anything but null or absent is not supported
//
// needs: REQUIRED; NULLABLE: the key must be there, null means 0; OR(value): absent or null means that value;
// KEEP: absent or null leaves the member as it is.
#ifndef ISOMER_MODEL_CHECKPOINT_CONFIG_FIELDS_H
#define ISOMER_MODEL_CHECKPOINT_CONFIG_FIELDS_H

#include <jansson.h>
#include <stddef.h>

#include "isomer/config.h"

#define ISO_CONFIG_MAX_CHOICES 4

typedef enum iso_config_kind {
    ISO_CONFIG_KIND_COUNT,
    ISO_CONFIG_KIND_REAL,
    ISO_CONFIG_KIND_FLAG,
    ISO_CONFIG_KIND_CHOICE,
    ISO_CONFIG_KIND_ALWAYS,
    ISO_CONFIG_KIND_FIXED, // a flag that has to be `fallback`
    ISO_CONFIG_KIND_ABSENT
} iso_config_kind;

typedef enum iso_config_need {
    ISO_CONFIG_REQUIRED,
    ISO_CONFIG_NULLABLE,
    ISO_CONFIG_OR,
    ISO_CONFIG_KEEP
} iso_config_need;

// How the member is stored.
typedef enum iso_config_store {
    ISO_CONFIG_STORE_NONE,
    ISO_CONFIG_STORE_BOOL,
    ISO_CONFIG_STORE_U32, // also enums
    ISO_CONFIG_STORE_DOUBLE
} iso_config_store;

typedef struct iso_config_choice {
    const char *name;
    uint32_t value;
} iso_config_choice;

typedef struct iso_config_field {
    const char *key;
    iso_config_kind kind;
    iso_config_need need;
    double fallback; // of NULLABLE, OR, ALWAYS and FIXED
    iso_config_store store;
    size_t offset; // of the member in iso_model_config
    double least;  // of COUNT and REAL
    double most;
    iso_config_choice choices[ISO_CONFIG_MAX_CHOICES]; // a NULL name ends them
    const char *what; // of FIXED and ABSENT: the feature that is not supported
} iso_config_field;

// Reads `count` fields of a JSON object into config, in order. `section` is "" or the object's own key and a
// dot, for messages; they name no file. ISO_CORRUPT: missing, wrong type, out of range; ISO_UNSUPPORTED: a
// choice or feature.
iso_status iso_config_read_fields(const json_t *object, const char *section, const iso_config_field *fields,
                                  size_t count, iso_model_config *config) ISO_MUST_USE;

// Fails because the value of a field is not what it must be; the text shows both.
iso_status iso_config_wrong_value(iso_status code, const char *section, const char *key, const json_t *value,
                                  const char *allowed);

// Checks the fields against each other and fills those that follow from others. The text names no file.
// ISO_CORRUPT or ISO_UNSUPPORTED.
iso_status iso_config_complete(iso_model_config *config) ISO_MUST_USE;

// What messages about a wrong field end with.
#define ISO_REMEDY_CONFIG "download config.json again or correct it"

#endif
