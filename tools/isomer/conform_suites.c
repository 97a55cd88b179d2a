// SPDX-License-Identifier: MIT
//
// `conform` running the suites on a device: records are counted, judged and written to the bundle as they
// come.
#include <stdio.h>
#include <string.h>

#include "conformance/report/report.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/conform.h"
#include "tools/isomer/output.h"
#include "tools/isomer/progress.h"

typedef struct conform_session {
    const conform_options *options;
    conform_findings *findings;
    conform_bundle *bundle; // NULL: none asked for
    // Of a run that was interrupted.
    char old_unit[CONFORM_UNIT_BYTES]; // the latest
    uint32_t old_units;
    double old_seconds;
    json_t *old_profile;
    cli_progress progress;
} conform_session;

static iso_status keep_notable(conform_findings *findings, const conform_record *record)
{
    conform_outcome outcome = record->result.outcome;
    if (!conform_outcome_is_bad(outcome) && outcome != CONFORM_EXPECTED_FAIL)
        return ISO_OK;
    ISO_TRY(iso_grow(NULL, sizeof *findings->notable, findings->notable_count + 1,
                     (void **)&findings->notable, &findings->notable_capacity));
    conform_record *kept = &findings->notable[findings->notable_count++];
    *kept = *record;
    json_incref(kept->result.more);
    return ISO_OK;
}

static iso_status count_record(conform_findings *findings, const conform_record *record)
{
    for (uint32_t s = 0; s < conform_suite_count(); s++) {
        if (strcmp(conform_suite_at(s)->name, record->suite) != 0)
            continue;
        findings->suites[s].outcomes[record->result.outcome]++;
        findings->suites[s].seconds += record->seconds;
        if (record->result.score > findings->suites[s].worst)
            findings->suites[s].worst = record->result.score;
    }
    conform_verdict_add(&findings->count, record);
    return keep_notable(findings, record);
}

static iso_status take_record(void *context, const conform_record *record)
{
    conform_session *session = context;
    const char *profile = session->options->profile;
    if (profile && !conform_profile_wants(profile, record->unit))
        return ISO_OK;
    ISO_TRY(count_record(session->findings, record));
    return session->bundle ? conform_bundle_append(session->bundle, record) : ISO_OK;
}

// A record that an interrupted run left in the bundle.
static iso_status take_old_record(void *context, const conform_record *record)
{
    conform_session *session = context;
    json_t *measured = record->result.more ? json_object_get(record->result.more, "profile") : NULL;
    if (measured && !session->old_profile)
        session->old_profile = json_incref(measured);
    if (strcmp(session->old_unit, record->unit) != 0)
        session->old_units++;
    iso_copy_text(session->old_unit, sizeof session->old_unit, record->unit);
    session->old_seconds += record->seconds;
    return count_record(session->findings, record);
}

static void show_progress(void *context, uint32_t done, uint32_t total)
{
    conform_session *session = context;
    cli_progress_update(&session->progress, done, total);
}

static bool is_unwanted(void *context, const char *unit)
{
    const conform_session *session = context;
    const char *profile = session->options->profile;
    return (profile && !conform_profile_wants(profile, unit)) ||
           (session->bundle && conform_bundle_has(session->bundle, unit));
}

// ---- one run ----

static iso_status open_bundle(conform_session *session)
{
    const conform_options *options = session->options;
    if (!options->out)
        return ISO_OK;
    conform_header header;
    ISO_TRY(conform_header_init(&header));
    header.level = (conform_level)options->level;
    header.seed = options->seed;
    iso_copy_text(header.device, sizeof header.device, options->device);
    iso_copy_text(header.profile, sizeof header.profile, options->profile ? options->profile : "");
    iso_copy_text(header.only, sizeof header.only, options->unit ? options->unit : "");
    if (!options->resume)
        return conform_bundle_create(options->out, &header, &session->bundle);
    ISO_TRY(conform_bundle_resume(options->out, &header, &session->bundle));
    return conform_bundle_replay(session->bundle, take_old_record, session);
}

static iso_status summarise(conform_session *session)
{
    conform_findings *findings = session->findings;
    conform_summary *summary = &findings->summary;
    iso_copy_text(summary->device, sizeof summary->device, findings->facts.device_name);
    summary->info = findings->facts.device;
    summary->numerics = findings->facts.numerics;
    summary->measured = json_incref(session->old_profile ? session->old_profile : findings->facts.profile);
    summary->unit_count = findings->facts.unit_count + session->old_units;
    summary->worker_count = findings->facts.worker_count;
    summary->seconds = findings->facts.seconds + session->old_seconds;
    conform_date_now(summary->date);
    ISO_TRY(conform_verdict_close(&findings->count, session->options->profile, summary));
    return session->bundle ? conform_bundle_finish(session->bundle, summary, session->options->key) : ISO_OK;
}

static iso_status run_suites(conform_session *session)
{
    const conform_options *options = session->options;
    conform_run_options run = {
        .device = options->device,
        .level = (conform_level)options->level,
        .seed = options->seed,
        .only = options->unit,
        .case_folder = session->bundle ? conform_bundle_case_folder(session->bundle) : NULL,
        .in_process = options->in_process,
        .skip = options->profile || session->bundle ? is_unwanted : NULL,
        .on_record = take_record,
        .on_progress = show_progress,
        .context = session,
    };
    char label[64];
    snprintf(label, sizeof label, "%.40s", options->device);
    cli_progress_begin(&session->progress, label);
    iso_status status = conform_run(&run, &session->findings->facts);
    cli_progress_end(&session->progress);
    return status;
}

static bool is_passed(const conform_options *options, const conform_findings *findings)
{
    bool passed = true;
    for (int o = 0; o < CONFORM_OUTCOME_COUNT; o++)
        passed = passed && (!conform_outcome_is_bad((conform_outcome)o) || findings->count.outcomes[o] == 0);
    // A profile that was asked for by name must be whole.
    for (uint32_t i = 0; i < findings->summary.verdict_count && options->profile; i++)
        passed = passed && strcmp(findings->summary.verdicts[i].verdict, "pass") == 0;
    return passed;
}

static void release(conform_findings *findings)
{
    for (size_t i = 0; i < findings->notable_count; i++)
        conform_record_deinit(&findings->notable[i]);
    iso_free(NULL, findings->notable);
    conform_summary_deinit(&findings->summary);
    conform_run_facts_deinit(&findings->facts);
    iso_free(NULL, findings);
}

iso_status cli_conform_suites(const conform_options *options, bool *out_yes)
{
    conform_findings *findings = NULL;
    ISO_TRY(ISO_NEW(NULL, 1, &findings));
    conform_session session = {.options = options, .findings = findings};
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(conform_verdict_check_name(options->profile), done);
    // Before hours of work, not behind them.
    if (options->key)
        ISO_TRY_GOTO(conform_secret_key_check(options->key), done);
    ISO_TRY_GOTO(open_bundle(&session), done);
    ISO_TRY_GOTO(run_suites(&session), done);
    ISO_TRY_GOTO(summarise(&session), done);
    *out_yes = is_passed(options, findings);
    if (options->json)
        status = cli_print_json(cli_conform_json(options, findings));
    else
        cli_conform_print(options, findings);
done:
    conform_bundle_close(session.bundle);
    json_decref(session.old_profile);
    release(findings);
    return status;
}
