// SPDX-License-Identifier: MIT
//
// Fuzz target: a config.json in memory. Whatever the bytes are, the reader says yes or no; after a yes the
// rope and softmax numbers that follow from it are finite.
#include <math.h>
#include <stdlib.h>

#include "model/checkpoint/rope_frequencies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    iso_model_config config;
    if (iso_config_parse((const char *)data, size, "fuzz", &config) != ISO_OK) {
        if (config.architecture || iso_status_last()->text[0] == '\0')
            abort();
        return 0;
    }
    if (!config.architecture || config.head_count % config.kv_head_count != 0)
        abort();
    if (!(iso_softmax_scale(&config) > 0) || !(iso_rope_scale(&config) > 0) ||
        !isfinite(iso_softmax_scale(&config)) || !isfinite(iso_rope_scale(&config)))
        abort();
    for (uint32_t pair = 0; pair < iso_rope_pair_count(&config); pair++) {
        double frequency = iso_rope_frequency(&config, pair);
        if (!(frequency > 0 && frequency <= 1))
            abort();
        (void)iso_rope_turns(&config, pair);
    }
    for (uint32_t layer = 0; layer < config.layer_count + config.mtp_layer_count; layer++)
        (void)iso_config_layer_is_moe(&config, layer);
    return 0;
}
