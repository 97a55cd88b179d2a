// SPDX-License-Identifier: MIT
//
// Printing, and finding out whether it arrived.
#include "tools/isomer/output.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

iso_status cli_print_json(json_t *json)
{
    if (!json)
        return iso_fail(ISO_OUT_OF_MEMORY, "no memory for the JSON answer");
    // A failed write is found by cli_output_finish.
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(json);
    return ISO_OK;
}

void cli_json_put(json_t **object, const char *key, json_t *value)
{
    if (json_object_set_new(*object, key, value) != 0) {
        json_decref(*object);
        *object = NULL;
    }
}

void cli_json_add(json_t **array, json_t *value)
{
    if (json_array_append_new(*array, value) != 0) {
        json_decref(*array);
        *array = NULL;
    }
}

json_t *cli_json_text(const char *text)
{
    char clean[512];
    if (!text)
        return json_null();
    json_t *string = json_string(text);
    if (string)
        return string;
    size_t at = 0;
    for (; text[at] && at + 1 < sizeof clean; at++)
        clean[at] = (unsigned char)text[at] < 0x80 ? text[at] : '?';
    clean[at] = '\0';
    return json_string(clean);
}

json_t *cli_json_count(uint64_t count)
{
    return json_integer((json_int_t)count);
}

// The largest unit of which there is at least one.
static const char *format_scaled(uint64_t amount, double base, const char *const *units, int unit_count,
                                 char *out)
{
    double scaled = (double)amount;
    int unit = 0;
    for (; scaled >= base && unit + 1 < unit_count; unit++)
        scaled /= base;
    if (unit == 0)
        snprintf(out, CLI_SIZE_BYTES, "%" PRIu64 "%s%s", amount, units[0][0] ? " " : "", units[0]);
    else
        snprintf(out, CLI_SIZE_BYTES, "%.1f %s", scaled, units[unit]);
    return out;
}

const char *cli_format_bytes(uint64_t bytes, char out[CLI_SIZE_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return format_scaled(bytes, 1024.0, units, 5, out);
}

const char *cli_format_count(uint64_t count, char out[CLI_SIZE_BYTES])
{
    static const char *const units[] = {"", "K", "M", "B", "T"};
    return format_scaled(count, 1000.0, units, 5, out);
}

const char *cli_format_flops(uint64_t flops, char out[CLI_SIZE_BYTES])
{
    static const char *const units[] = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"};
    return format_scaled(flops, 1000.0, units, 5, out);
}

void cli_clean_text(const char *text, char *out, size_t out_bytes)
{
    size_t at = 0;
    for (; text[at] && at + 1 < out_bytes; at++) {
        unsigned char byte = (unsigned char)text[at];
        out[at] = byte < 0x20 || byte == 0x7f ? '?' : text[at];
    }
    out[at] = '\0';
}

bool cli_output_broken(void)
{
    return ferror(stdout) != 0;
}

iso_status cli_output_finish(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return ISO_OK;
    int reason = errno;
    // An earlier write may have failed and its reason be gone; a pipe without a reader still says so.
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    bool closed = reason == EPIPE || (poll(&output, 1, 0) == 1 && (output.revents & POLLERR));
    if (closed)
        return iso_fail(ISO_IO, "%s", "");
    return iso_fail(ISO_IO, "standard output cannot be written: %s; the answer above is not whole",
                    reason ? strerror(reason) : "the disk is full, or the device failed");
}
