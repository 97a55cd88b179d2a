// SPDX-License-Identifier: MIT
//
// Records, headers and summaries as JSON, both ways (record.h). The order of the members is fixed: the same
// struct gives the same bytes.
#include "conformance/report/record.h"

#include <stdlib.h>
#include <string.h>

#include "conformance/report/fields.h"

bool conform_outcome_is_bad(conform_outcome outcome)
{
    return outcome == CONFORM_FAIL || outcome == CONFORM_UNEXPECTED_PASS || outcome == CONFORM_CRASH ||
           outcome == CONFORM_HANG;
}

iso_status conform_json_line(const json_t *json, char **out_line)
{
    *out_line = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
    return *out_line ? ISO_OK : iso_fail(ISO_OUT_OF_MEMORY, "no memory for a line of JSON");
}

// ---- enums ----

static iso_status take_level(conform_reader *reader, conform_level *out)
{
    char name[24];
    ISO_TRY(conform_take_text(reader, "level", name, sizeof name));
    for (int level = 0; level < CONFORM_LEVEL_COUNT; level++)
        if (strcmp(name, conform_level_name((conform_level)level)) == 0) {
            *out = (conform_level)level;
            return ISO_OK;
        }
    return iso_fail(ISO_CORRUPT, "%s: level is \"%s\"; allowed: quick, standard, exhaustive", reader->what,
                    name);
}

static iso_status take_outcome(conform_reader *reader, conform_outcome *out)
{
    char name[24];
    ISO_TRY(conform_take_text(reader, "outcome", name, sizeof name));
    for (int outcome = 0; outcome < CONFORM_OUTCOME_COUNT; outcome++)
        if (strcmp(name, conform_outcome_name((conform_outcome)outcome)) == 0) {
            *out = (conform_outcome)outcome;
            return ISO_OK;
        }
    return iso_fail(ISO_CORRUPT,
                    "%s: outcome is \"%s\"; allowed: pass, fail, skip, unsupported, "
                    "expected-fail, unexpected-pass, crash, hang",
                    reader->what, name);
}

// ---- a record ----

static json_t *samples_json(const conform_result *result)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < result->sample_count && i < CONFORM_SAMPLES; i++) {
        const conform_sample *sample = &result->samples[i];
        json_t *one = NULL;
        conform_writer writer = conform_writer_make();
        conform_put_count(&writer, "output", sample->output);
        conform_put_count(&writer, "index", sample->index);
        conform_put_double(&writer, "got", sample->got);
        conform_put_double(&writer, "want", sample->want);
        conform_put_double(&writer, "bound", sample->bound);
        if (conform_writer_end(&writer, &one) != ISO_OK || json_array_append_new(array, one) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

iso_status conform_record_to_json(const conform_record *record, json_t **out_json)
{
    const conform_result *result = &record->result;
    conform_writer writer = conform_writer_make();
    conform_put_text(&writer, "unit", record->unit);
    conform_put_text(&writer, "suite", record->suite);
    conform_put_text(&writer, "device", record->device);
    conform_put_text(&writer, "level", conform_level_name(record->level));
    conform_put_text(&writer, "check", result->check);
    conform_put_text(&writer, "op", result->op);
    conform_put_text(&writer, "outcome", conform_outcome_name(result->outcome));
    conform_put_text(&writer, "detail", result->detail);
    conform_put_double(&writer, "score", result->score);
    conform_put_wide(&writer, "input_hash", result->input_hash);
    conform_put_wide(&writer, "output_hash", result->output_hash);
    conform_put(&writer, "samples", samples_json(result));
    conform_put(&writer, "more", result->more ? json_incref(result->more) : json_null());
    conform_put_double(&writer, "seconds", record->seconds);
    conform_put_count(&writer, "tries", record->tries);
    conform_put_count(&writer, "failures", record->failures);
    return conform_writer_end(&writer, out_json);
}

static iso_status take_samples(conform_reader *reader, conform_result *out)
{
    json_t *array = conform_take(reader, "samples");
    if (!json_is_array(array) || json_array_size(array) > CONFORM_SAMPLES)
        return iso_fail(ISO_CORRUPT, "%s: \"samples\" is wrong; wanted: an array of at most %d", reader->what,
                        CONFORM_SAMPLES);
    out->sample_count = (uint32_t)json_array_size(array);
    for (uint32_t i = 0; i < out->sample_count; i++) {
        conform_reader one;
        conform_sample *sample = &out->samples[i];
        ISO_TRY(conform_reader_open(&one, json_array_get(array, i), "a sample"));
        ISO_TRY(conform_take_u32(&one, "output", &sample->output));
        ISO_TRY(conform_take_count(&one, "index", INT64_MAX, &sample->index));
        ISO_TRY(conform_take_double(&one, "got", &sample->got));
        ISO_TRY(conform_take_double(&one, "want", &sample->want));
        ISO_TRY(conform_take_double(&one, "bound", &sample->bound));
        ISO_TRY(conform_reader_end(&one));
    }
    return ISO_OK;
}

static iso_status take_more(conform_reader *reader, json_t **out)
{
    json_t *more = conform_take(reader, "more");
    if (!json_is_object(more) && !json_is_null(more))
        return iso_fail(ISO_CORRUPT, "%s: \"more\" is wrong; wanted: an object or null", reader->what);
    *out = json_is_object(more) ? more : NULL;
    return ISO_OK;
}

static iso_status read_record(conform_reader *reader, conform_record *out)
{
    conform_result *result = &out->result;
    ISO_TRY(conform_take_text(reader, "unit", out->unit, sizeof out->unit));
    ISO_TRY(conform_take_text(reader, "suite", out->suite, sizeof out->suite));
    ISO_TRY(conform_take_text(reader, "device", out->device, sizeof out->device));
    ISO_TRY(take_level(reader, &out->level));
    ISO_TRY(conform_take_text(reader, "check", result->check, sizeof result->check));
    ISO_TRY(conform_take_text(reader, "op", result->op, sizeof result->op));
    ISO_TRY(take_outcome(reader, &result->outcome));
    ISO_TRY(conform_take_text(reader, "detail", result->detail, sizeof result->detail));
    ISO_TRY(conform_take_double(reader, "score", &result->score));
    ISO_TRY(conform_take_wide(reader, "input_hash", &result->input_hash));
    ISO_TRY(conform_take_wide(reader, "output_hash", &result->output_hash));
    ISO_TRY(take_samples(reader, result));
    ISO_TRY(take_more(reader, &result->more));
    ISO_TRY(conform_take_double(reader, "seconds", &out->seconds));
    ISO_TRY(conform_take_u32(reader, "tries", &out->tries));
    ISO_TRY(conform_take_u32(reader, "failures", &out->failures));
    return conform_reader_end(reader);
}

iso_status conform_record_from_json(json_t *json, conform_record *out)
{
    conform_reader reader;
    *out = (conform_record){0};
    iso_status status = conform_reader_open(&reader, json, "a record");
    if (status == ISO_OK)
        status = read_record(&reader, out);
    if (status == ISO_OK)
        json_incref(out->result.more);
    else
        *out = (conform_record){0};
    return status;
}

void conform_record_deinit(conform_record *record)
{
    json_decref(record->result.more);
    record->result.more = NULL;
}

// ---- the header ----

iso_status conform_header_to_json(const conform_header *header, json_t **out_json)
{
    conform_writer writer = conform_writer_make();
    conform_put_count(&writer, "version", CONFORM_BUNDLE_VERSION);
    conform_put_text(&writer, "program", header->program);
    conform_put_text(&writer, "suite", header->suite);
    conform_put_text(&writer, "kernels", header->kernels);
    conform_put_text(&writer, "binary", header->binary);
    conform_put_text(&writer, "device", header->device);
    conform_put_text(&writer, "level", conform_level_name(header->level));
    conform_put_text(&writer, "profile", header->profile);
    conform_put_text(&writer, "only", header->only);
    conform_put_wide(&writer, "seed", header->seed);
    conform_put_text(&writer, "date", header->date);
    conform_put_text(&writer, "host", header->host);
    return conform_writer_end(&writer, out_json);
}

iso_status conform_header_from_json(json_t *json, conform_header *out)
{
    conform_reader reader;
    uint64_t version;
    *out = (conform_header){0};
    ISO_TRY(conform_reader_open(&reader, json, "the header"));
    ISO_TRY(conform_take_count(&reader, "version", INT32_MAX, &version));
    if (version != CONFORM_BUNDLE_VERSION)
        return iso_fail(ISO_UNSUPPORTED, "the bundle has format version %llu; this program reads %d",
                        (unsigned long long)version, CONFORM_BUNDLE_VERSION);
    ISO_TRY(conform_take_text(&reader, "program", out->program, sizeof out->program));
    ISO_TRY(conform_take_text(&reader, "suite", out->suite, sizeof out->suite));
    ISO_TRY(conform_take_text(&reader, "kernels", out->kernels, sizeof out->kernels));
    ISO_TRY(conform_take_text(&reader, "binary", out->binary, sizeof out->binary));
    ISO_TRY(conform_take_text(&reader, "device", out->device, sizeof out->device));
    ISO_TRY(take_level(&reader, &out->level));
    ISO_TRY(conform_take_text(&reader, "profile", out->profile, sizeof out->profile));
    ISO_TRY(conform_take_text(&reader, "only", out->only, sizeof out->only));
    ISO_TRY(conform_take_wide(&reader, "seed", &out->seed));
    ISO_TRY(conform_take_text(&reader, "date", out->date, sizeof out->date));
    ISO_TRY(conform_take_text(&reader, "host", out->host, sizeof out->host));
    return conform_reader_end(&reader);
}
