// SPDX-License-Identifier: MIT
//
// What a verification found, as text and as JSON.
#include "conformance/report/fields.h"
#include "conformance/report/report.h"

iso_status conform_verify_text(const conform_verify_report *report, iso_text *out)
{
    uint32_t shown = 0;
    for (size_t i = 0; i < report->count; i++) {
        const conform_finding *finding = &report->findings[i];
        shown += finding->problem;
        ISO_TRY(iso_text_append(out, "%s %s: %s\n", finding->problem ? "REFUSED" : "note   ", finding->where,
                                finding->what));
    }
    if (report->problem_count > shown)
        ISO_TRY(iso_text_append(out, "REFUSED and %u more\n", report->problem_count - shown));
    ISO_TRY(iso_text_append(out, "%u files, %u results; %u units made again, %u elements judged again",
                            report->file_count, report->record_count, report->rebuilt_units,
                            report->sample_count));
    if (report->rerun_units)
        ISO_TRY(
            iso_text_append(out, "; %u units run again on %s", report->rerun_units, report->rerun_device));
    ISO_TRY(iso_text_append(out, "; %s\n",
                            report->signer_trusted    ? "signed with the key named"
                            : report->signature_valid ? "signed with some key"
                                                      : "no valid signature"));
    return report->problem_count ? iso_text_append(out, "refused: %u problems\n", report->problem_count)
                                 : iso_text_append(out, "accepted\n");
}

static json_t *findings_json(const conform_verify_report *report)
{
    json_t *array = json_array();
    for (size_t i = 0; i < report->count; i++) {
        json_t *one = NULL;
        conform_writer writer = conform_writer_make();
        conform_put(&writer, "problem", json_boolean(report->findings[i].problem));
        conform_put_text(&writer, "where", report->findings[i].where);
        conform_put_text(&writer, "what", report->findings[i].what);
        if (conform_writer_end(&writer, &one) != ISO_OK || json_array_append_new(array, one) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

iso_status conform_verify_json(const conform_verify_report *report, json_t **out_json)
{
    conform_writer writer = conform_writer_make();
    conform_put(&writer, "accepted", json_boolean(report->problem_count == 0));
    conform_put_count(&writer, "problem_count", report->problem_count);
    conform_put(&writer, "signature_valid", json_boolean(report->signature_valid));
    conform_put(&writer, "signer_trusted", json_boolean(report->signer_trusted));
    conform_put_text(&writer, "signer", report->signer);
    conform_put_count(&writer, "file_count", report->file_count);
    conform_put_count(&writer, "record_count", report->record_count);
    conform_put_wide(&writer, "seed", report->seed);
    conform_put_count(&writer, "rebuilt_units", report->rebuilt_units);
    conform_put_count(&writer, "sample_count", report->sample_count);
    conform_put_count(&writer, "rerun_units", report->rerun_units);
    conform_put_text(&writer, "rerun_device", report->rerun_device);
    conform_put(&writer, "findings", findings_json(report));
    return conform_writer_end(&writer, out_json);
}
