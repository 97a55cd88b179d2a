// SPDX-License-Identifier: MIT
//
// The summary as JSON, both ways (record.h): the device's facts in the driver's own words, the numerics that
// the bounds were computed with, and the verdicts. The order of the members is fixed.
#include "conformance/report/record.h"

#include <string.h>

#include "conformance/report/fields.h"

static const char *const code_format_names[ISO_CODE_FORMAT_COUNT] = {
    [ISO_CODE_NATIVE] = "native", [ISO_CODE_SPIRV] = "spirv", [ISO_CODE_OPENCL_C] = "opencl-c",
    [ISO_CODE_PTX] = "ptx",       [ISO_CODE_CUBIN] = "cubin", [ISO_CODE_HSACO] = "hsaco",
    [ISO_CODE_CUDA_C] = "cuda-c",
};

static json_t *info_json(const iso_device_info *info)
{
    json_t *object = NULL, *formats = json_array();
    conform_writer writer = conform_writer_make();
    conform_put_text(&writer, "backend", info->backend);
    conform_put_count(&writer, "ordinal", info->ordinal);
    conform_put_text(&writer, "name", info->name);
    conform_put_text(&writer, "driver", info->driver);
    conform_put_text(&writer, "arch", info->arch);
    conform_put(&writer, "available", json_boolean(info->available));
    conform_put_text(&writer, "reason", info->reason);
    conform_put_wide(&writer, "memory_bytes", info->memory_bytes);
    conform_put_wide(&writer, "max_allocation_bytes", info->max_allocation_bytes);
    conform_put_count(&writer, "buffer_alignment_bytes", info->buffer_alignment_bytes);
    conform_put_count(&writer, "max_group_size", info->max_group_size);
    conform_put_count(&writer, "local_memory_bytes", info->local_memory_bytes);
    conform_put_count(&writer, "subgroup_size", info->subgroup_size);
    conform_put_count(&writer, "compute_units", info->compute_units);
    conform_put_count(&writer, "max_argument_bytes", info->max_argument_bytes);
    conform_put_wide(&writer, "features", info->features);
    for (int i = 0; i < ISO_MAX_CODE_FORMATS && info->code_formats[i] != ISO_CODE_NONE; i++)
        if ((unsigned)info->code_formats[i] >= ISO_CODE_FORMAT_COUNT ||
            json_array_append_new(formats, json_string(code_format_names[info->code_formats[i]])) != 0)
            writer.failed = true;
    conform_put(&writer, "code_formats", formats);
    return conform_writer_end(&writer, &object) == ISO_OK ? object : NULL;
}

static iso_status take_code_formats(conform_reader *reader, iso_device_info *out)
{
    json_t *array = conform_take(reader, "code_formats");
    if (!json_is_array(array) || json_array_size(array) > ISO_MAX_CODE_FORMATS)
        return iso_fail(ISO_CORRUPT, "%s: \"code_formats\" is wrong; wanted: an array of at most %d texts",
                        reader->what, ISO_MAX_CODE_FORMATS);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = json_string_value(json_array_get(array, i));
        int format = ISO_CODE_FORMAT_COUNT - 1;
        while (format > 0 && (!name || strcmp(name, code_format_names[format]) != 0))
            format--;
        if (format == 0)
            return iso_fail(ISO_CORRUPT,
                            "%s: code_formats has \"%.40s\"; allowed: native, spirv, opencl-c, "
                            "ptx, cubin, hsaco, cuda-c",
                            reader->what, name ? name : "no text");
        out->code_formats[i] = (iso_code_format)format;
    }
    return ISO_OK;
}

static iso_status read_info(json_t *json, iso_device_info *out)
{
    conform_reader reader;
    uint64_t features;
    *out = (iso_device_info){.struct_bytes = sizeof *out};
    ISO_TRY(conform_reader_open(&reader, json, "the device's facts"));
    ISO_TRY(conform_take_text(&reader, "backend", out->backend, sizeof out->backend));
    ISO_TRY(conform_take_u32(&reader, "ordinal", &out->ordinal));
    ISO_TRY(conform_take_text(&reader, "name", out->name, sizeof out->name));
    ISO_TRY(conform_take_text(&reader, "driver", out->driver, sizeof out->driver));
    ISO_TRY(conform_take_text(&reader, "arch", out->arch, sizeof out->arch));
    ISO_TRY(conform_take_bool(&reader, "available", &out->available));
    ISO_TRY(conform_take_text(&reader, "reason", out->reason, sizeof out->reason));
    ISO_TRY(conform_take_wide(&reader, "memory_bytes", &out->memory_bytes));
    ISO_TRY(conform_take_wide(&reader, "max_allocation_bytes", &out->max_allocation_bytes));
    ISO_TRY(conform_take_u32(&reader, "buffer_alignment_bytes", &out->buffer_alignment_bytes));
    ISO_TRY(conform_take_u32(&reader, "max_group_size", &out->max_group_size));
    ISO_TRY(conform_take_u32(&reader, "local_memory_bytes", &out->local_memory_bytes));
    ISO_TRY(conform_take_u32(&reader, "subgroup_size", &out->subgroup_size));
    ISO_TRY(conform_take_u32(&reader, "compute_units", &out->compute_units));
    ISO_TRY(conform_take_u32(&reader, "max_argument_bytes", &out->max_argument_bytes));
    ISO_TRY(conform_take_wide(&reader, "features", &features));
    if (features > UINT32_MAX)
        return iso_fail(ISO_CORRUPT, "the device's facts: features has more than 32 bits");
    out->features = (uint32_t)features;
    ISO_TRY(take_code_formats(&reader, out));
    return conform_reader_end(&reader);
}

static json_t *numerics_json(const iso_numerics *numerics)
{
    json_t *object = NULL;
    conform_writer writer = conform_writer_make();
    conform_put_double(&writer, "unit", numerics->unit);
    conform_put(&writer, "biased", json_boolean(numerics->biased));
    conform_put_double(&writer, "flush", numerics->flush);
    conform_put_double(&writer, "exp_unit", numerics->exp_unit);
    conform_put_double(&writer, "root_unit", numerics->root_unit);
    conform_put_double(&writer, "bf16_unit", numerics->bf16_unit);
    conform_put_double(&writer, "matrix_bf16_unit", numerics->matrix_units[ISO_MATRIX_BF16]);
    conform_put_double(&writer, "matrix_e4m3_unit", numerics->matrix_units[ISO_MATRIX_E4M3]);
    return conform_writer_end(&writer, &object) == ISO_OK ? object : NULL;
}

static iso_status read_numerics(json_t *json, iso_numerics *out)
{
    conform_reader reader;
    ISO_TRY(conform_reader_open(&reader, json, "numerics"));
    ISO_TRY(conform_take_double(&reader, "unit", &out->unit));
    ISO_TRY(conform_take_bool(&reader, "biased", &out->biased));
    ISO_TRY(conform_take_double(&reader, "flush", &out->flush));
    ISO_TRY(conform_take_double(&reader, "exp_unit", &out->exp_unit));
    ISO_TRY(conform_take_double(&reader, "root_unit", &out->root_unit));
    ISO_TRY(conform_take_double(&reader, "bf16_unit", &out->bf16_unit));
    ISO_TRY(conform_take_double(&reader, "matrix_bf16_unit", &out->matrix_units[ISO_MATRIX_BF16]));
    ISO_TRY(conform_take_double(&reader, "matrix_e4m3_unit", &out->matrix_units[ISO_MATRIX_E4M3]));
    return conform_reader_end(&reader);
}

static json_t *verdicts_json(const conform_summary *summary)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < summary->verdict_count && i < CONFORM_MAX_PROFILES; i++) {
        json_t *one = NULL;
        conform_writer writer = conform_writer_make();
        conform_put_text(&writer, "profile", summary->verdicts[i].profile);
        conform_put_text(&writer, "verdict", summary->verdicts[i].verdict);
        conform_put_text(&writer, "missing", summary->verdicts[i].missing);
        if (conform_writer_end(&writer, &one) != ISO_OK || json_array_append_new(array, one) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static iso_status take_verdicts(conform_reader *reader, conform_summary *out)
{
    json_t *array = conform_take(reader, "verdicts");
    if (!json_is_array(array) || json_array_size(array) > CONFORM_MAX_PROFILES)
        return iso_fail(ISO_CORRUPT, "%s: \"verdicts\" is wrong; wanted: an array of at most %d",
                        reader->what, CONFORM_MAX_PROFILES);
    out->verdict_count = (uint32_t)json_array_size(array);
    for (uint32_t i = 0; i < out->verdict_count; i++) {
        conform_reader one;
        conform_verdict *verdict = &out->verdicts[i];
        ISO_TRY(conform_reader_open(&one, json_array_get(array, i), "a verdict"));
        ISO_TRY(conform_take_text(&one, "profile", verdict->profile, sizeof verdict->profile));
        ISO_TRY(conform_take_text(&one, "verdict", verdict->verdict, sizeof verdict->verdict));
        ISO_TRY(conform_take_text(&one, "missing", verdict->missing, sizeof verdict->missing));
        ISO_TRY(conform_reader_end(&one));
    }
    return ISO_OK;
}

iso_status conform_summary_to_json(const conform_summary *summary, json_t **out_json)
{
    conform_writer writer = conform_writer_make();
    conform_put_text(&writer, "device", summary->device);
    conform_put(&writer, "info", info_json(&summary->info));
    conform_put(&writer, "numerics", numerics_json(&summary->numerics));
    conform_put(&writer, "measured", summary->measured ? json_incref(summary->measured) : json_null());
    conform_put(&writer, "verdicts", verdicts_json(summary));
    conform_put_count(&writer, "unit_count", summary->unit_count);
    conform_put_count(&writer, "worker_count", summary->worker_count);
    conform_put_double(&writer, "seconds", summary->seconds);
    conform_put_text(&writer, "date", summary->date);
    return conform_writer_end(&writer, out_json);
}

static iso_status read_summary(conform_reader *reader, conform_summary *out)
{
    ISO_TRY(conform_take_text(reader, "device", out->device, sizeof out->device));
    ISO_TRY(read_info(conform_take(reader, "info"), &out->info));
    ISO_TRY(read_numerics(conform_take(reader, "numerics"), &out->numerics));
    json_t *measured = conform_take(reader, "measured");
    if (!json_is_object(measured) && !json_is_null(measured))
        return iso_fail(ISO_CORRUPT, "the summary: \"measured\" is wrong; wanted: an object or null");
    ISO_TRY(take_verdicts(reader, out));
    ISO_TRY(conform_take_u32(reader, "unit_count", &out->unit_count));
    ISO_TRY(conform_take_u32(reader, "worker_count", &out->worker_count));
    ISO_TRY(conform_take_double(reader, "seconds", &out->seconds));
    ISO_TRY(conform_take_text(reader, "date", out->date, sizeof out->date));
    ISO_TRY(conform_reader_end(reader));
    out->measured = json_is_object(measured) ? json_incref(measured) : NULL;
    return ISO_OK;
}

iso_status conform_summary_from_json(json_t *json, conform_summary *out)
{
    conform_reader reader;
    *out = (conform_summary){0};
    iso_status status = conform_reader_open(&reader, json, "the summary");
    if (status == ISO_OK)
        status = read_summary(&reader, out);
    if (status != ISO_OK)
        *out = (conform_summary){0};
    return status;
}

void conform_summary_deinit(conform_summary *summary)
{
    json_decref(summary->measured);
    summary->measured = NULL;
}
