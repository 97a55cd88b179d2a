// SPDX-License-Identifier: MIT
//
// The library's one state: settings from the environment, handles, reports, and what is said and released at
// exit.
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REPORTS_MAX 1000 // lines; findings beyond are counted

sim_state sim = {.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

// ---- reports ----

// A whole line at once, so that processes that share the file do not cut each other's.
static void write_line(const char *line, size_t bytes)
{
    if (!sim.quiet && write(STDERR_FILENO, line, bytes) < 0)
        return;
    if (!sim.report_path)
        return;
    int file = open(sim.report_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0)
        return;
    ssize_t written = write(file, line, bytes);
    (void)written; // nowhere left to say it
    close(file);
}

static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;

// The device that a report is about: its chip alone where there is but one, and all chips where none is
// known.
static void name_device(char *text, size_t bytes)
{
    const sim_context *context = sim.subject ? sim.subject : sim_current();
    if (!context || sim.device_count < 2)
        snprintf(text, bytes, "%s", sim.archs[0] ? sim.archs : "none");
    else
        snprintf(text, bytes, "sm_%u, device %d", context->device->arch, context->device->ordinal);
}

void sim_report(sim_finding finding, const char *call, const char *format, ...)
{
    static const char *const names[] = {
#define SIM_FINDING(name, text) text,
#include "findings.def"
#undef SIM_FINDING
    };
    char line[PTX_MESSAGE_BYTES + 512], device[sizeof sim.archs];
    name_device(device, sizeof device);
    int used = snprintf(line, sizeof line, "cuda (simulated %s): %s: %s: ", device, names[finding],
                        call ? call : "exit");
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    size_t length = (size_t)used + (size_t)(more < 0 ? 0 : more);
    length = length > sizeof line - 2 ? sizeof line - 2 : length;
    line[length++] = '\n';
    pthread_mutex_lock(&report_lock);
    if (++sim.findings <= REPORTS_MAX)
        write_line(line, length);
    pthread_mutex_unlock(&report_lock);
}

static void report_summary(void)
{
    char line[384];
    int length =
        snprintf(line, sizeof line,
                 "cuda (simulated %s): summary: %llu calls, %llu launches, %llu warp instructions, "
                 "%llu findings%s%s\n",
                 sim.archs, (unsigned long long)sim.calls, (unsigned long long)sim.launches,
                 (unsigned long long)sim.instructions, (unsigned long long)sim.findings,
                 sim.failed_call ? ", told to fail from " : "", sim.failed_call ? sim.failed_call : "");
    if (sim.report_path || sim.findings)
        write_line(line, (size_t)length);
}

// ---- settings ----

static bool parse_number(const char *text, uint64_t *out, const char **out_end)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    *out_end = end;
    return end != text && errno == 0 && *text >= '0' && *text <= '9';
}

static void refuse(const char *name, const char *text, const char *allowed)
{
    sim_report(SIM_SETTING_FINDING, sim.call, "%s is '%.100s'; %s allowed: not used", name, text, allowed);
}

static uint64_t number_setting(const char *name, uint64_t otherwise, uint64_t most)
{
    const char *text = getenv(name), *end;
    uint64_t value;
    if (!text || !*text)
        return otherwise;
    if (parse_number(text, &value, &end) && !*end && value <= most)
        return value;
    refuse(name, text, "a whole number");
    return otherwise;
}

// One element a device; the last is also for those that have none.
static const char *element(const char *list, uint32_t index, size_t *out_length)
{
    for (const char *comma; index && (comma = strchr(list, ',')); index--)
        list = comma + 1;
    *out_length = strcspn(list, ",");
    return list;
}

static bool parse_bytes(const char *text, size_t length, uint64_t *out_bytes)
{
    const char *end, *units = "KMGT";
    uint64_t value;
    if (!parse_number(text, &value, &end))
        return false;
    const char *unit = end < text + length ? strchr(units, *end) : NULL;
    uint32_t shift = unit ? 10 * (uint32_t)(unit - units + 1) : 0;
    *out_bytes = value << shift;
    return end + (unit != NULL) == text + length && value && value <= UINT64_MAX >> shift;
}

static void memory_setting(void)
{
    const char *name = "ISOMER_CUDASIM_MEMORY", *text = getenv(name);
    for (uint32_t i = 0; text && *text && i < sim.device_count; i++) {
        size_t length;
        const char *at = element(text, i, &length);
        if (!parse_bytes(at, length, &sim.devices[i].memory_limit)) {
            refuse(name, text, "bytes, or a number with K, M, G or T, for each device,");
            for (i = 0; i < sim.device_count; i++)
                sim.devices[i].memory_limit = 0;
        }
    }
}

static uint32_t parse_arch(const char *text, size_t length)
{
    static const uint32_t known[] = {75, 80, 89, 90};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "sm_%u", known[i]);
        if (length == strlen(name) && strncmp(text, name, length) == 0)
            return known[i];
    }
    return 0;
}

static void add_device(uint32_t arch)
{
    sim_device *device = &sim.devices[sim.device_count];
    size_t used = strlen(sim.archs);
    snprintf(sim.archs + used, sizeof sim.archs - used, "%ssm_%u", used ? "," : "", arch);
    *device = (sim_device){.ordinal = (CUdevice)sim.device_count++, .arch = arch};
    snprintf(device->foreign, sizeof device->foreign,
             "memory of another context, on device %d, without peer access", device->ordinal);
}

static void arch_setting(void)
{
    const char *text = getenv("ISOMER_CUDASIM_ARCH"), *at = text;
    if (!text || !*text) {
        add_device(90);
        return;
    }
    for (size_t length;; at += length + 1) {
        length = strcspn(at, ",");
        uint32_t arch = sim.device_count < SIM_DEVICES ? parse_arch(at, length) : 0;
        if (!arch) {
            refuse("ISOMER_CUDASIM_ARCH", text,
                   "sm_75, sm_80, sm_89 or sm_90, or up to 8 of them with ',' between,");
            sim.device_count = 0;
            sim.archs[0] = '\0';
            return;
        }
        add_device(arch);
        if (!at[length])
            return;
    }
}

static ptx_mma mma_setting(void)
{
    static const char *const names[] = {
        [PTX_MMA_EXACT] = "exact", [PTX_MMA_STEPS] = "steps", [PTX_MMA_CHIP] = "chip"};
    const char *text = getenv("ISOMER_CUDASIM_MMA");
    if (!text || !*text)
        return PTX_MMA_BY_SEED;
    for (size_t i = PTX_MMA_EXACT; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0)
            return (ptx_mma)i;
    refuse("ISOMER_CUDASIM_MMA", text, "exact, steps or chip");
    return PTX_MMA_BY_SEED;
}

// n, n+ (that and all that follow), each with :CUDA_ERROR_NAME
static void fail_setting(void)
{
    const char *text = getenv("ISOMER_CUDASIM_FAIL"), *end;
    uint64_t value;
    if (!text || !*text)
        return;
    sim.fail_error = CUDA_ERROR_UNKNOWN;
    bool right = parse_number(text, &value, &end) && value > 0;
    bool from = right && *end == '+';
    end += from;
    if (right && *end == ':')
        right = (sim.fail_error = sim_parse_error(end + 1)) != CUDA_SUCCESS;
    else
        right = right && !*end;
    if (!right) {
        refuse("ISOMER_CUDASIM_FAIL", text, "N, N+, N:CUDA_ERROR_NAME or N+:CUDA_ERROR_NAME");
        return;
    }
    sim.fail_call = value;
    sim.fail_from = from;
}

// Pairs attribute=value, ',' between, by the interface's numbers; before a pair perhaps DEVICE: for that one
// alone.
static void changed_setting(void)
{
    const char *text = getenv("ISOMER_CUDASIM_ATTRIBUTES"), *at = text;
    while (at && *at) {
        uint64_t device = 0, attribute, value;
        bool right = parse_number(at, &attribute, &at), of_one = right && *at == ':';
        if (of_one) {
            device = attribute;
            right = device < sim.device_count && parse_number(at + 1, &attribute, &at);
        }
        right = right && attribute <= INT32_MAX && *at == '=' && parse_number(at + 1, &value, &at) &&
                value <= INT32_MAX && (*at == ',' || !*at) && sim.changed_count < SIM_CHANGED;
        if (!right) {
            refuse("ISOMER_CUDASIM_ATTRIBUTES", text,
                   "up to 8 pairs NUMBER=NUMBER or DEVICE:NUMBER=NUMBER, ',' between,");
            sim.changed_count = 0;
            return;
        }
        sim.changed[sim.changed_count].device = of_one ? (int)device : -1;
        sim.changed[sim.changed_count].attribute = (int)attribute;
        sim.changed[sim.changed_count++].value = (int)value;
        at += *at == ',';
    }
}

CUresult sim_set_up(void)
{
    if (sim.memory)
        return CUDA_SUCCESS;
    const char *path = getenv("ISOMER_CUDASIM_REPORT");
    sim.report_path = path && *path ? path : NULL;
    path = getenv("ISOMER_CUDASIM_COUNTS");
    sim.counts_path = path && *path ? path : NULL;
    sim.quiet = number_setting("ISOMER_CUDASIM_QUIET", 0, 1);
    sim.guard = number_setting("ISOMER_CUDASIM_GUARD", 1, 1);
    sim.schedule_seed = number_setting("ISOMER_CUDASIM_SEED", 0, UINT64_MAX);
    sim.approximation_seed = number_setting("ISOMER_CUDASIM_APPROXIMATION", 0, UINT64_MAX);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    sim.threads = (uint32_t)number_setting("ISOMER_CUDASIM_THREADS", online > 0 ? (uint64_t)online : 1, 1024);
    sim.version = (uint32_t)number_setting("ISOMER_CUDASIM_VERSION", SIM_VERSION, INT32_MAX);
    sim.mma = mma_setting();
    sim.lacks = getenv("ISOMER_CUDASIM_LACKS");
    if (!sim.device_count)
        arch_setting();
    if (!sim.device_count)
        return CUDA_ERROR_NO_DEVICE;
    memory_setting();
    fail_setting();
    changed_setting();
    sim.memory = ptx_memory_create(0);
    return sim.memory ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

void *sim_new(size_t bytes)
{
    return calloc(1, bytes);
}

// ---- handles ----

// A handle is never an address: any value that a program passes can be looked up. Its upper half counts how
// often the place was used, so that a handle of something destroyed is not taken for its successor.
typedef struct place {
    sim_object *object;
    uint32_t uses, next_free;
} place;

static place *places;
static uint32_t place_count, place_capacity, first_free; // first_free: index + 1

static void *make_handle(uint32_t index)
{
    return (void *)(uintptr_t)((uint64_t)places[index].uses << 32 | (uint64_t)(index + 1) << 4); // NOLINT
}

static place *find_place(const void *handle)
{
    uint64_t value = (uint64_t)(uintptr_t)handle, index = (uint32_t)value >> 4;
    if (value & 15 || index == 0 || index > place_count)
        return NULL;
    place *at = &places[index - 1];
    return at->object && at->uses == value >> 32 ? at : NULL;
}

void *sim_handle_add(sim_kind kind, void *object)
{
    uint32_t index = first_free ? first_free - 1 : place_count;
    if (!first_free && place_count == place_capacity) {
        uint32_t capacity = place_capacity ? place_capacity * 2 : 256;
        place *grown = capacity <= SIM_HANDLES ? realloc(places, capacity * sizeof *places) : NULL;
        if (!grown)
            return NULL;
        places = grown;
        place_capacity = capacity;
    }
    if (first_free) {
        first_free = places[index].next_free;
    } else {
        places[index] = (place){0};
        place_count++;
    }
    places[index].object = object;
    places[index].uses++;
    void *handle = make_handle(index);
    *places[index].object = (sim_object){.kind = kind,
                                         .number = ++sim.numbers,
                                         .handle = handle,
                                         .context = sim_current(),
                                         .made_by = sim.call};
    return handle;
}

void *sim_handle_get(sim_kind kind, const void *handle)
{
    const place *at = find_place(handle);
    return at && at->object->kind == kind ? at->object : NULL;
}

void sim_handle_remove(const void *handle)
{
    place *at = find_place(handle);
    if (!at)
        return;
    at->object = NULL;
    at->next_free = first_free;
    first_free = (uint32_t)(at - places) + 1;
}

sim_object *sim_handle_first(sim_kind kind, const sim_context *context)
{
    for (uint32_t i = 0; i < place_count; i++) {
        sim_object *object = places[i].object;
        if (object && object->kind == kind && (!context || object->context == context))
            return object;
    }
    return NULL;
}

void sim_handles_release(void)
{
    free(places);
    places = NULL;
    place_count = place_capacity = first_free = 0;
}

// ---- the end ----

__attribute__((destructor)) static void sim_exit(void)
{
    pthread_mutex_lock(&sim.lock);
    if (sim.memory) {
        sim.call = NULL;
        uint64_t pending = 0;
        for (uint32_t s = 0; s < SIM_STREAMS; s++)
            pending += sim.slots[s].queued - sim.slots[s].done;
        if (pending)
            sim_report(SIM_NEVER_WAITED_FINDING, NULL, "%llu operations were queued and never waited for",
                       (unsigned long long)pending);
        sim_queue_drop();
        sim_object *context;
        while ((context = sim_handle_first(SIM_CONTEXT, NULL)))
            sim_context_end((sim_context *)context, true);
        sim_counts_write();
        sim_pools_release();
        sim_memory_release(NULL, true);
        sim_handles_release();
        sim_guard_end();
        report_summary();
        ptx_memory_destroy(sim.memory);
        sim.memory = NULL;
    }
    pthread_mutex_unlock(&sim.lock);
}
