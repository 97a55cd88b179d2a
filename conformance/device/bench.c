// SPDX-License-Identifier: MIT
//
// Counting, and the step kernel on device and host. Judges nothing by itself.
#include "conformance/device/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPORTED_FAILURES 3

static void send(device_bench *bench, const conform_result *result)
{
    if (bench->context->report)
        bench->context->report(bench->context, result);
    else
        json_decref(result->more);
}

bool device_expect(device_bench *bench, bool right, const char *format, ...)
{
    bench->checks++;
    if (right || bench->failures++ >= REPORTED_FAILURES)
        return right;
    char text[CONFORM_DETAIL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    conform_result result = conform_result_make(CONFORM_FAIL, bench->unit, "%s", text);
    send(bench, &result);
    return false;
}

bool device_refused(device_bench *bench, iso_status status, iso_status want, iso_status or_want,
                    const char *what)
{
    return device_expect(bench,
                         (status == want || status == or_want) && iso_status_last()->code == status &&
                             iso_status_last()->text[0],
                         "%s gives %s; it must give %s, with a text", what, iso_status_name(status),
                         iso_status_name(want));
}

void device_skip(device_bench *bench, const char *format, ...)
{
    char text[CONFORM_DETAIL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    conform_result result = conform_result_make(CONFORM_SKIP, bench->unit, "%s", text);
    send(bench, &result);
}

void device_pattern(uint8_t *bytes, size_t count, uint32_t salt)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(conform_random(salt, 77, i / 8) >> i % 8 * 8);
}

// ---- steps ----

static uint32_t rounds_of(const device_step *step)
{
    return step->rounds ? step->rounds : 1;
}

static iso_arg words_arg(const iso_buffer *buffer, uint64_t offset_bytes, uint32_t count)
{
    return (iso_arg){.kind = ISO_ARG_BUFFER,
                     .memory = iso_buffer_memory(buffer),
                     .offset_bytes = offset_bytes,
                     .range_bytes = 4 * (uint64_t)count};
}

static iso_arg word_arg(uint32_t value)
{
    return (iso_arg){.kind = ISO_ARG_U32, .value.u32 = value};
}

// `count` is what the kernel is told; the arguments reach as far as the step says.
static iso_status record(device_bench *bench, iso_list *list, const device_step *step, uint32_t count)
{
    iso_module *module;
    ISO_TRY(conform_lab_module(&bench->lab, CONFORM_PROBE_STEP, &module));
    const iso_dispatch dispatch = {
        .label = conform_probe_name(CONFORM_PROBE_STEP),
        .groups = {(count + CONFORM_GROUP - 1) / CONFORM_GROUP, 1, 1},
        .arg_count = 6,
        .args = {word_arg(count), words_arg(step->x, step->x_offset, step->count),
                 words_arg(step->y, step->y_offset, step->count), word_arg(step->multiplier),
                 word_arg(step->addend), word_arg(rounds_of(step))},
    };
    return iso_list_dispatch(list, module, &dispatch);
}

iso_status device_record_step(device_bench *bench, iso_list *list, const device_step *step)
{
    return record(bench, list, step, step->count);
}

iso_status device_record_beyond(device_bench *bench, iso_list *list, const device_step *step)
{
    return record(bench, list, step, step->count + 100000);
}

void device_apply_step(const device_step *step, const uint32_t *x, uint32_t *y)
{
    for (uint32_t i = 0; i < step->count; i++) {
        uint32_t v = x[i];
        for (uint32_t r = 0; r < rounds_of(step); r++)
            v = v * step->multiplier + step->addend;
        y[i] = v;
    }
}

iso_status device_step_list(device_bench *bench, const device_step *step, iso_list **out_list)
{
    iso_status status;
    ISO_TRY(iso_list_create(bench->device, out_list));
    ISO_TRY_GOTO(device_record_step(bench, *out_list, step), fail);
    ISO_TRY_GOTO(iso_list_finish(*out_list), fail);
    return ISO_OK;
fail:
    iso_list_destroy(*out_list);
    *out_list = NULL;
    return status;
}

iso_status device_words(iso_device *device, const uint32_t *words, uint32_t count, iso_buffer **out_buffer)
{
    ISO_TRY(iso_buffer_create(device, 4 * (uint64_t)count, out_buffer));
    iso_status status = iso_buffer_write(*out_buffer, 0, words, 4 * (uint64_t)count);
    if (status != ISO_OK) {
        iso_buffer_release(*out_buffer);
        *out_buffer = NULL;
    }
    return status;
}

iso_status device_compare(device_bench *bench, const iso_buffer *buffer, const uint32_t *want, uint32_t count,
                          const char *what)
{
    uint32_t *got;
    ISO_TRY(ISO_NEW(NULL, count, &got));
    iso_status status = iso_buffer_read(buffer, 0, got, 4 * (uint64_t)count);
    uint32_t wrong = 0, first = 0;
    for (uint32_t i = count; status == ISO_OK && i-- > 0;)
        if (got[i] != want[i]) {
            wrong++;
            first = i;
        }
    if (status == ISO_OK)
        device_expect(bench, wrong == 0, "%s: %u of %u words differ; word %u is 0x%08x instead of 0x%08x",
                      what, wrong, count, first, got[first], want[first]);
    iso_free(NULL, got);
    return status;
}

iso_status device_works_on(device_bench *bench, const char *after)
{
    uint32_t x[100], want[100];
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    for (uint32_t i = 0; i < 100; i++)
        x[i] = 17 * i;
    ISO_TRY(device_words(bench->device, x, 100, &buffer));
    device_step step = {.x = buffer, .y = buffer, .count = 100, .multiplier = 5, .addend = 9};
    device_apply_step(&step, x, want);
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    status = device_compare(bench, buffer, want, 100, after);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}
