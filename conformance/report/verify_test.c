// SPDX-License-Identifier: MIT
//
// A bundle from a real run is accepted, here and on other devices; each of the tamperings below is refused,
// and the reason names the place and what is wrong there. "Forged" bundles were made again as a whole after
// the edit, so that every hash fits: only a signature or calculating again can find them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/report/manifest.h"
#include "conformance/report/report.h"
#include "conformance/report/tamperings.h"
#include "conformance/report/temporary.h"
#include "conformance/suite/run.h"
#include "conformance/suite/verdict.h"

#define UNITS "ops/*/f32_*/[01]/normal"

static char root[256], base[512], signed_base[512], key[512];

// ---- a real bundle ----

typedef struct making {
    conform_bundle *bundle;
    conform_verdict_count count;
} making;

static iso_status keep(void *context, const conform_record *record)
{
    making *m = context;
    conform_verdict_add(&m->count, record);
    return conform_bundle_append(m->bundle, record);
}

static iso_status finish(making *m, const conform_run_facts *facts, const char *key_file)
{
    conform_summary summary = {.info = facts->device,
                               .numerics = facts->numerics,
                               .measured = facts->profile,
                               .unit_count = facts->unit_count,
                               .worker_count = facts->worker_count,
                               .seconds = facts->seconds};
    snprintf(summary.device, sizeof summary.device, "%s", facts->device_name);
    conform_date_now(summary.date);
    ISO_TRY(conform_verdict_close(&m->count, NULL, &summary));
    return conform_bundle_finish(m->bundle, &summary, key_file);
}

static void make_bundle(const char *folder, uint64_t seed, const char *key_file)
{
    making *m = calloc(1, sizeof *m);
    conform_header header;
    conform_run_facts facts;
    conform_run_options options = {.device = "cpu",
                                   .level = CONFORM_QUICK,
                                   .seed = seed,
                                   .only = UNITS,
                                   .on_record = keep,
                                   .context = m};
    assert_non_null(m);
    must(conform_header_init(&header));
    header.level = CONFORM_QUICK;
    header.seed = seed;
    snprintf(header.device, sizeof header.device, "cpu");
    snprintf(header.only, sizeof header.only, UNITS);
    must(conform_bundle_create(folder, &header, &m->bundle));
    must(conform_run(&options, &facts));
    must(finish(m, &facts, key_file));
    conform_run_facts_deinit(&facts);
    conform_bundle_close(m->bundle);
    free(m);
}

static int set_up(void **state)
{
    (void)state;
    temporary_folder(root, sizeof root);
    snprintf(base, sizeof base, "%s/base", root);
    snprintf(signed_base, sizeof signed_base, "%s/signed", root);
    snprintf(other, sizeof other, "%s/other", root);
    snprintf(key, sizeof key, "%s/key", root);
    snprintf(forger_key, sizeof forger_key, "%s/other-key", root);
    must(conform_keygen(key));
    must(conform_keygen(forger_key));
    make_bundle(base, 1, NULL);
    make_bundle(signed_base, 1, key);
    make_bundle(other, 2, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(root);
    return 0;
}

// ---- the tests ----

#define TAMPERINGS (sizeof tamperings / sizeof tamperings[0])

static conform_verify_report verify(const char *folder, const char *public_key, const char *device,
                                    uint32_t rerun)
{
    conform_verify_options options = {
        .public_key = public_key, .device = device, .rerun_count = rerun, .seed = 9};
    conform_verify_report report;
    must(conform_verify(folder, &options, &report));
    return report;
}

static const conform_finding *find_finding(const conform_verify_report *report, const char *where,
                                           const char *what)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->findings[i].problem && strstr(report->findings[i].where, where) &&
            strstr(report->findings[i].what, what))
            return &report->findings[i];
    return NULL;
}

static void test_tamperings(void **state)
{
    char folder[512], public_key[600];
    unsigned refused = 0;
    (void)state;
    for (size_t i = 0; i < TAMPERINGS; i++) {
        const tampering *t = &tamperings[i];
        snprintf(folder, sizeof folder, "%s/tampered", root);
        copy_folder(t->is_signed ? signed_base : base, folder);
        if (t->apply)
            t->apply(folder);
        snprintf(public_key, sizeof public_key, "%s.pub", t->demand_other_key ? forger_key : key);
        conform_verify_report report =
            verify(folder, t->demand_key || t->demand_other_key ? public_key : NULL, "cpu",
                   t->run_again ? UINT32_MAX : 0);
        const conform_finding *named = find_finding(&report, t->where, t->what);
        refused += named != NULL;
        printf("%-32s %s: %s: %s\n", t->name,
               named                  ? "refused"
               : report.problem_count ? "OTHER REASON"
                                      : "ACCEPTED",
               named ? named->where : "", named ? named->what : "");
        for (size_t f = 0; f < report.count && !named; f++)
            printf("    %s: %s\n", report.findings[f].where, report.findings[f].what);
        conform_verify_report_deinit(&report);
        remove_folder(folder);
    }
    printf("%u of %zu tampered bundles refused with the reason\n", refused, TAMPERINGS);
    assert_int_equal(refused, TAMPERINGS);
}

static void accept(const char *folder, const char *public_key, const char *device)
{
    conform_verify_report report = verify(folder, public_key, device, 12);
    for (size_t i = 0; i < report.count; i++)
        printf("    %s: %s\n", report.findings[i].where, report.findings[i].what);
    printf("%s: %u units made again, %u elements judged again, %u units run again on %s\n", folder,
           report.rebuilt_units, report.sample_count, report.rerun_units, report.rerun_device);
    assert_int_equal(report.problem_count, 0);
    assert_true(report.rebuilt_units >= 20);
    assert_true(report.sample_count >= 100);
    assert_int_equal(report.rerun_units, 12);
    assert_int_equal(report.signer_trusted, public_key != NULL);
    json_t *json;
    must(conform_verify_json(&report, &json));
    assert_string_equal(json_string_value(json_object_get(json, "seed")), "0x0000000000000009");
    json_decref(json);
    conform_verify_report_deinit(&report);
}

static void test_untouched(void **state)
{
    char public_key[600];
    (void)state;
    snprintf(public_key, sizeof public_key, "%s.pub", key);
    accept(base, NULL, NULL);
    accept(signed_base, public_key, "cpu");
}

// The names of the GPU backends' devices, one a line. In a child: a driver that is loaded does not survive
// the fork of a worker.
static void list_devices(char *out, size_t out_bytes)
{
    int ends[2];
    size_t length = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        iso_registry *registry;
        if (iso_registry_create(NULL, &registry) != ISO_OK)
            _exit(1);
        for (uint32_t i = 0; i < iso_registry_device_count(registry); i++) {
            const iso_device_info *info = iso_registry_device_info(registry, i);
            if (info->available &&
                (strcmp(info->backend, "opencl") == 0 || strcmp(info->backend, "vulkan") == 0))
                dprintf(ends[1], "%s:%u\n", info->backend, info->ordinal);
        }
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got;
         length + 1 < out_bytes && (got = read(ends[0], out + length, out_bytes - 1 - length)) > 0;)
        length += (size_t)got;
    out[length] = '\0';
    close(ends[0]);
    waitpid(child, NULL, 0);
}

// Every other device that is here accepts what the CPU made.
static void test_other_devices(void **state)
{
    char names[1024], *rest = names;
    (void)state;
    list_devices(names, sizeof names);
    if (names[0] == '\0')
        skip(); // the CPU alone is here
    for (char *name; (name = strsep(&rest, "\n")) != NULL && *name;)
        accept(base, NULL, name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untouched),
        cmocka_unit_test(test_tamperings),
        cmocka_unit_test(test_other_devices),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
