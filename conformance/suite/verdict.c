// SPDX-License-Identifier: MIT
//
// Verdicts over profiles.def.
#include "conformance/suite/verdict.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum profile_id {
#define CONFORM_PROFILE(name, title, about) PROFILE_##name,
#define CONFORM_NEEDS(profile, pattern, what)
#include "conformance/suite/profiles.def"
#undef CONFORM_PROFILE
#undef CONFORM_NEEDS
    PROFILE_COUNT
};

static const struct {
    const char *name, *title;
} profiles[PROFILE_COUNT] = {
#define CONFORM_PROFILE(name, title, about) {#name, title},
#define CONFORM_NEEDS(profile, pattern, what)
#include "conformance/suite/profiles.def"
#undef CONFORM_PROFILE
#undef CONFORM_NEEDS
};

static const struct {
    uint32_t profile;
    const char *pattern, *what;
} needs[] = {
#define CONFORM_PROFILE(name, title, about)
#define CONFORM_NEEDS(profile, pattern, what) {PROFILE_##profile, pattern, what},
#include "conformance/suite/profiles.def"
#undef CONFORM_PROFILE
#undef CONFORM_NEEDS
};

#define NEED_COUNT (sizeof needs / sizeof needs[0])
_Static_assert(NEED_COUNT <= CONFORM_MAX_NEEDS, "profiles.def has more needs than verdicts count");
_Static_assert(PROFILE_COUNT <= CONFORM_MAX_PROFILES, "profiles.def has more profiles than a summary holds");

static bool is_called(uint32_t profile, const char *name)
{
    return strcasecmp(profiles[profile].name, name) == 0 || strcasecmp(profiles[profile].title, name) == 0;
}

void conform_verdict_add(conform_verdict_count *count, const conform_record *record)
{
    conform_outcome outcome = record->result.outcome;
    count->outcomes[outcome]++;
    for (size_t i = 0; i < NEED_COUNT; i++) {
        if (fnmatch(needs[i].pattern, record->unit, 0) != 0)
            continue;
        conform_need_count *need = &count->needs[i];
        bool refused = outcome == CONFORM_UNSUPPORTED || outcome == CONFORM_SKIP;
        need->passed += outcome == CONFORM_PASS;
        need->unsupported += outcome == CONFORM_UNSUPPORTED;
        need->skipped += outcome == CONFORM_SKIP;
        if (refused && need->reason[0] == 0)
            memcpy(need->reason, record->result.detail, sizeof need->reason);
        if (conform_outcome_is_bad(outcome) && need->bad++ == 0)
            memcpy(need->bad_unit, record->unit, sizeof need->bad_unit);
    }
}

// Appends to a verdict's text; what does not fit is cut at the end.
static void append(conform_verdict *verdict, const char *what, const char *why)
{
    size_t used = strlen(verdict->missing);
    snprintf(verdict->missing + used, sizeof verdict->missing - used, "%s%s: %s", used ? "; " : "", what,
             why);
}

static void judge_need(const conform_need_count *count, const char *what, conform_verdict *verdict)
{
    char why[CONFORM_DETAIL_BYTES + 64];
    if (count->bad > 0) {
        snprintf(why, sizeof why, "%u failed, first %s", count->bad, count->bad_unit);
        snprintf(verdict->verdict, sizeof verdict->verdict, "fail");
        append(verdict, what, why);
    } else if (count->passed == 0) {
        if (strcmp(verdict->verdict, "fail") != 0)
            snprintf(verdict->verdict, sizeof verdict->verdict, "incomplete");
        append(verdict, what, count->reason[0] ? count->reason : "nothing ran");
    }
}

iso_status conform_verdict_check_name(const char *profile)
{
    char names[256] = "";
    for (uint32_t p = 0; p < PROFILE_COUNT; p++) {
        if (!profile || is_called(p, profile))
            return ISO_OK;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", p ? ", " : "", profiles[p].title);
    }
    return iso_fail(ISO_INVALID_ARGUMENT, "no profile \"%.40s\"; profiles: %s", profile, names);
}

iso_status conform_verdict_close(const conform_verdict_count *count, const char *profile,
                                 conform_summary *out)
{
    out->verdict_count = 0;
    ISO_TRY(conform_verdict_check_name(profile));
    for (uint32_t p = 0; p < PROFILE_COUNT; p++) {
        if (profile && !is_called(p, profile))
            continue;
        conform_verdict *verdict = &out->verdicts[out->verdict_count++];
        *verdict = (conform_verdict){.verdict = "pass"};
        snprintf(verdict->profile, sizeof verdict->profile, "%s", profiles[p].title);
        for (size_t i = 0; i < NEED_COUNT; i++)
            if (needs[i].profile == p)
                judge_need(&count->needs[i], needs[i].what, verdict);
    }
    return ISO_OK;
}

bool conform_profile_wants(const char *profile, const char *unit)
{
    bool wanted = strncmp(unit, "profile/", 8) == 0;
    for (size_t i = 0; i < NEED_COUNT && !wanted; i++)
        wanted = is_called(needs[i].profile, profile) && fnmatch(needs[i].pattern, unit, 0) == 0;
    return wanted;
}
