// SPDX-License-Identifier: MIT
//
// The entry points, made from exports.def: each takes the lock, is counted, fails when told to, and refuses
// what comes before cuInit or without a context. Also the calls that need none of this: names of errors,
// addresses of entry points.
#include "calls.h"

#include <stdio.h>

#define SIM_EXPORT  __attribute__((visibility("default")))
#define SIM_ANY     0u
#define SIM_INIT    1u
#define SIM_CURRENT 3u
#define SIM_ENDS    4u

typedef struct sim_entry {
    const char *outer; // of a call inside a call, which only a host function can make
    CUresult forced;
} sim_entry;

// Before the state is looked at: is this the call that shall fail?
static bool is_told_to_fail(void)
{
    return sim.fail_call && (sim.fail_from ? sim.calls >= sim.fail_call : sim.calls == sim.fail_call);
}

// What the call must answer without doing anything; CUDA_SUCCESS: go on.
static CUresult sim_enter(sim_entry *entry, const char *name, unsigned needs)
{
    pthread_mutex_lock(&sim.lock);
    *entry = (sim_entry){.outer = sim.call};
    sim.call = name;
    if (sim.in_host_call) {
        sim_report(SIM_PARAMETERS_FINDING, name,
                   "called from a host function, which must not call the driver");
        return CUDA_ERROR_NOT_PERMITTED;
    }
    CUresult result = sim_set_up();
    sim.is_forced = false;
    sim.calls++;
    if (result)
        return result;
    if (is_told_to_fail()) {
        entry->forced = sim.fail_error;
        sim.is_forced = true;
        if (!sim.failed_call)
            sim.failed_call = name;
        // What releases something does so, also where the context could not be made current before.
        return needs & SIM_ENDS ? CUDA_SUCCESS : sim.fail_error;
    }
    if ((needs & SIM_INIT) && !sim.initialised)
        return CUDA_ERROR_NOT_INITIALIZED;
    if ((needs & SIM_CURRENT) == SIM_CURRENT) {
        const sim_context *context = sim_current();
        if (!context)
            return CUDA_ERROR_INVALID_CONTEXT;
        if (context->error && !(needs & SIM_ENDS))
            return context->error;
    }
    return CUDA_SUCCESS;
}

static CUresult sim_leave(const sim_entry *entry, CUresult result)
{
    sim.call = entry->outer;
    pthread_mutex_unlock(&sim.lock);
    return entry->forced ? entry->forced : result;
}

#define SIM_ENTRY(name, base, since, needs, parameters, call)                                                \
    SIM_EXPORT CUresult name parameters;                                                                     \
    SIM_EXPORT CUresult name parameters                                                                      \
    {                                                                                                        \
        sim_entry entry;                                                                                     \
        CUresult result = sim_enter(&entry, #name, needs);                                                   \
        if (!result)                                                                                         \
            result = call;                                                                                   \
        return sim_leave(&entry, result);                                                                    \
    }
#include "exports.def"
#undef SIM_ENTRY

// ---- calls that are not counted ----

static const struct {
    CUresult value;
    const char *name, *text;
} errors[] = {
#define SIM_ERROR(name, value, text) {name, #name, text},
#include "errors.def"
#undef SIM_ERROR
};

#define ERROR_COUNT (sizeof errors / sizeof errors[0])

SIM_EXPORT CUresult cuGetErrorName(CUresult error, const char **name);
SIM_EXPORT CUresult cuGetErrorString(CUresult error, const char **text);
SIM_EXPORT CUresult cuGetProcAddress(const char *name, void **out, int version, uint64_t flags);
SIM_EXPORT CUresult cuGetProcAddress_v2(const char *name, void **out, int version, uint64_t flags,
                                        CUdriverProcAddressQueryResult *status);

static CUresult find_error(CUresult error, const char **out, bool name)
{
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    *out = NULL;
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (errors[i].value == error)
            *out = name ? errors[i].name : errors[i].text;
    return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult error, const char **name)
{
    return find_error(error, name, true);
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    return find_error(error, text, false);
}

CUresult sim_parse_error(const char *name)
{
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].value;
    return CUDA_SUCCESS;
}

typedef void sim_any_function(void);

static const struct {
    const char *base;
    int since;
    sim_any_function *function;
} entries[] = {
#define SIM_ENTRY(name, base, since, needs, parameters, call) {#base, since, (sim_any_function *)name},
#include "exports.def"
#undef SIM_ENTRY
    {"cuGetErrorName", 6000, (sim_any_function *)cuGetErrorName},
    {"cuGetErrorString", 6000, (sim_any_function *)cuGetErrorString},
    {"cuGetProcAddress", 11030, (sim_any_function *)cuGetProcAddress},
    {"cuGetProcAddress", 12000, (sim_any_function *)cuGetProcAddress_v2},
};

CUresult cuGetProcAddress_v2(const char *name, void **out, int version, uint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    if (!name || !out || flags > 2)
        return CUDA_ERROR_INVALID_VALUE;
    *out = NULL;
    pthread_mutex_lock(&sim.lock);
    bool lacks = sim_set_up() == CUDA_SUCCESS && sim.lacks && strcmp(sim.lacks, name) == 0;
    pthread_mutex_unlock(&sim.lock);
    // The newest form that the program's version knows.
    int best = 0;
    CUdriverProcAddressQueryResult answer = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (lacks || strcmp(entries[i].base, name) != 0)
            continue;
        if (entries[i].since > version) {
            answer = best ? answer : CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
        } else if (entries[i].since > best) {
            best = entries[i].since;
            answer = CU_GET_PROC_ADDRESS_SUCCESS;
            memcpy(out, &entries[i].function, sizeof *out);
        }
    }
    if (status)
        *status = answer;
    return *out || status ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char *name, void **out, int version, uint64_t flags)
{
    return cuGetProcAddress_v2(name, out, version, flags, NULL);
}
