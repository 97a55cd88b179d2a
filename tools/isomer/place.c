// SPDX-License-Identifier: MIT
//
// The parser of --place.
#include "tools/isomer/place.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_LAYER_DIGITS 9

static bool read_layer(const char **at, const char *end, uint32_t *out)
{
    uint32_t digits = 0;
    *out = 0;
    for (; *at < end && **at >= '0' && **at <= '9' && digits < MAX_LAYER_DIGITS; (*at)++, digits++)
        *out = *out * 10 + (uint32_t)(**at - '0');
    return digits > 0;
}

// "N", "N-M" or "N-".
static bool read_range(const char *at, const char *end, uint32_t layer_count, cli_place_range *out)
{
    if (!read_layer(&at, end, &out->first_layer))
        return false;
    out->last_layer = out->first_layer;
    if (at == end)
        return true;
    if (*at++ != '-')
        return false;
    if (at == end) {
        out->last_layer = out->first_layer < layer_count ? layer_count - 1 : out->first_layer;
        return true;
    }
    return read_layer(&at, end, &out->last_layer) && at == end;
}

static iso_status read_entry(const char *entry, size_t length, uint32_t layer_count, cli_place_range *out)
{
    const char *equals = memchr(entry, '=', length), *end = entry + length;
    int shown = length < 64 ? (int)length : 64;
    if (!equals || equals == entry || (size_t)(equals - entry) >= sizeof out->device)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "--place: \"%.*s\" is no DEVICE=LAYERS; write e.g. cpu=0-1,vulkan:0=2-", shown,
                        entry);
    snprintf(out->device, sizeof out->device, "%.*s", (int)(equals - entry), entry);
    if (!read_range(equals + 1, end, layer_count, out))
        return iso_fail(
            ISO_INVALID_ARGUMENT,
            "--place: the layers of \"%.*s\" are not N, N-M or N-; write e.g. cpu=0-1,vulkan:0=2-", shown,
            entry);
    if (out->first_layer > out->last_layer || out->last_layer >= layer_count)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "--place: \"%.*s\" is layers %u to %u; allowed: rising, from 0 to %u", shown, entry,
                        out->first_layer, out->last_layer, layer_count - 1);
    return ISO_OK;
}

static void insert_sorted(cli_place *place, const cli_place_range *range)
{
    uint32_t at = place->range_count++;
    for (; at > 0 && place->ranges[at - 1].first_layer > range->first_layer; at--)
        place->ranges[at] = place->ranges[at - 1];
    place->ranges[at] = *range;
}

static iso_status check_cover(const cli_place *place, uint32_t layer_count)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < place->range_count; i++) {
        const cli_place_range *range = &place->ranges[i];
        if (range->first_layer < next)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "--place: layer %u is given to both %s and %s; name it once", range->first_layer,
                            place->ranges[i - 1].device, range->device);
        if (range->first_layer > next)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "--place: no device for layers %u to %u; the model has 0 to %u", next,
                            range->first_layer - 1, layer_count - 1);
        next = range->last_layer + 1;
    }
    if (next < layer_count)
        return iso_fail(ISO_INVALID_ARGUMENT, "--place: no device for layers %u to %u; the model has 0 to %u",
                        next, layer_count - 1, layer_count - 1);
    return ISO_OK;
}

iso_status cli_place_parse(const char *text, uint32_t layer_count, cli_place *out)
{
    out->range_count = 0;
    for (const char *entry = text;; entry++) {
        size_t length = strcspn(entry, ",");
        cli_place_range range;
        ISO_TRY(read_entry(entry, length, layer_count, &range));
        if (out->range_count == CLI_MAX_RANGES)
            return iso_fail(ISO_INVALID_ARGUMENT, "--place: more than %d entries; join neighbouring layers",
                            CLI_MAX_RANGES);
        insert_sorted(out, &range);
        entry += length;
        if (*entry == '\0')
            return check_cover(out, layer_count);
    }
}
