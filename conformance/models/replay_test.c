// SPDX-License-Identifier: MIT
//
// The replay path: from the first step on nothing allocates, opens a file, reads the environment, or compares
// names.
//
// Two ways of counting. Everything is created with an allocator that counts. And this program has its own
// malloc, strcmp, open and so on, which count the calls that come from its own code (Isomer is linked into it
// as a static library) before they pass them on; what a driver does in its shared library is the driver's. On
// a device that needs no driver the whole process counts, the C library included.
//
// What would be caught: a scratch array made per step, a list recorded again, a step size or kernel chosen by
// name, a look into the kernel cache, a first step that finishes what creation left undone.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/support/fleet.h"
#include "conformance/support/golden.h"
#include "conformance/support/tally.h"

#define CHUNK   32
#define PROMPT  70 // over a page
#define CONTEXT 192

// Sanitizers have a malloc of their own, which must not be replaced.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INTERPOSED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define INTERPOSED 0
#endif
#endif
#ifndef INTERPOSED
#define INTERPOSED 1
#endif

// ---- counting ----

enum watched {
    ALLOCATOR,
    MALLOC,
    CALLOC,
    REALLOC,
    ALIGNED,
    STRCMP,
    STRNCMP,
    GETENV,
    OPEN,
    FOPEN,
    WATCHED_COUNT
};

static const char *const watched_names[WATCHED_COUNT] = {"the allocator", "malloc", "calloc",  "realloc",
                                                         "aligned_alloc", "strcmp", "strncmp", "getenv",
                                                         "open",          "fopen"};

static atomic_uint counts_of[WATCHED_COUNT];
static atomic_bool watching, whole_process;

static void count(enum watched what)
{
    if (atomic_load(&watching))
        atomic_fetch_add(&counts_of[what], 1);
}

#if INTERPOSED
extern const char __executable_start, etext; // set by the linker
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

#define HERE __attribute__((visibility("default"), noinline))

static void count_call(enum watched what, const void *caller)
{
    if (atomic_load(&whole_process) ||
        ((const char *)caller >= &__executable_start && (const char *)caller < &etext))
        count(what);
}

HERE void *malloc(size_t bytes)
{
    count_call(MALLOC, __builtin_return_address(0));
    return __libc_malloc(bytes);
}

HERE void *calloc(size_t elems, size_t bytes)
{
    count_call(CALLOC, __builtin_return_address(0));
    return __libc_calloc(elems, bytes);
}

HERE void *realloc(void *memory, size_t bytes)
{
    count_call(REALLOC, __builtin_return_address(0));
    return __libc_realloc(memory, bytes);
}

HERE void *aligned_alloc(size_t alignment, size_t bytes)
{
    count_call(ALIGNED, __builtin_return_address(0));
    return __libc_memalign(alignment, bytes);
}

HERE int posix_memalign(void **out_memory, size_t alignment, size_t bytes)
{
    count_call(ALIGNED, __builtin_return_address(0));
    *out_memory = __libc_memalign(alignment, bytes);
    return *out_memory ? 0 : 12; // ENOMEM
}

// Ordinary loops: this is about who calls, not about speed.
static int compare(const char *a, const char *b, size_t most)
{
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    while (most && *x && *x == *y) {
        x++;
        y++;
        most--;
    }
    return most ? *x - *y : 0;
}

HERE int strcmp(const char *a, const char *b)
{
    count_call(STRCMP, __builtin_return_address(0));
    return compare(a, b, SIZE_MAX);
}

HERE int strncmp(const char *a, const char *b, size_t most)
{
    count_call(STRNCMP, __builtin_return_address(0));
    return compare(a, b, most);
}

HERE char *getenv(const char *name)
{
    static char *(*next)(const char *);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "getenv");
    count_call(GETENV, __builtin_return_address(0));
    return next(name);
}

HERE int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    count_call(OPEN, __builtin_return_address(0));
    return openat(AT_FDCWD, path, flags, mode);
}

HERE FILE *fopen(const char *path, const char *mode)
{
    static FILE *(*next)(const char *, const char *);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "fopen");
    count_call(FOPEN, __builtin_return_address(0));
    return next(path, mode);
}
#else
#define __libc_realloc realloc
#endif

static void *counting_resize(void *context, void *memory, size_t bytes)
{
    (void)context;
    count(ALLOCATOR);
    return __libc_realloc(memory, bytes);
}

static void counting_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

static const iso_allocator counting = {NULL, counting_resize, counting_release};

static void start_watching(bool all_of_it)
{
    for (int i = 0; i < WATCHED_COUNT; i++)
        atomic_store(&counts_of[i], 0);
    atomic_store(&whole_process, all_of_it);
    atomic_store(&watching, true);
}

static void stop_watching(void)
{
    atomic_store(&watching, false);
}

// ---- a run ----

typedef struct trial {
    tally *counts;
    const char *label;
    iso_runner *runner;
    int32_t ids[PROMPT];
    uint32_t length;
    float *rows;
    iso_step_token tokens[CHUNK];
    iso_step_result results[CHUNK];
} trial;

static iso_status decode(trial *t, uint32_t first, uint32_t second, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        t->tokens[0] = (iso_step_token){.id = t->ids[i], .sequence = first, .want_logits = true};
        t->tokens[1] = (iso_step_token){.id = t->ids[i + 1], .sequence = second, .want_logits = true};
        ISO_TRY(iso_runner_step(t->runner, t->tokens, i % 3 ? 2 : 1, t->results));
    }
    return ISO_OK;
}

// All that a served model does after it was loaded: sequences come and go, prefill in chunks, decode, drafts
// rejected, outputs read, and a step that is refused.
static iso_status serve(trial *t)
{
    uint32_t first, second;
    iso_step_result last;
    const iso_model_values *values = iso_runner_values(t->runner);
    ISO_TRY(iso_runner_open_sequence(t->runner, &first));
    ISO_TRY(iso_runner_open_sequence(t->runner, &second));
    ISO_TRY(iso_runner_prefill(t->runner, first, t->ids, t->length, &last));
    ISO_TRY(iso_runner_prefill(t->runner, second, t->ids, 5, &last));
    ISO_TRY(decode(t, first, second, 6));
    for (uint32_t i = 0; i < CHUNK; i++) // prefill of one and decode of the other in one step
        t->tokens[i] = (iso_step_token){
            .id = t->ids[i % t->length], .sequence = i == 7 ? first : second, .want_logits = i % 31 == 7};
    ISO_TRY(iso_runner_step(t->runner, t->tokens, CHUNK, t->results));
    ISO_TRY(iso_runner_read_rows(t->runner, values->hidden[1], CHUNK, t->rows));
    ISO_TRY(iso_runner_truncate(t->runner, second, 3));
    iso_runner_close_sequence(t->runner, first);
    ISO_TRY(iso_runner_open_sequence(t->runner, &first));
    ISO_TRY(iso_runner_prefill(t->runner, first, t->ids, 9, &last));
    return decode(t, first, second, 3);
}

static void check_counts(trial *t)
{
    for (int i = 0; i < WATCHED_COUNT; i++)
        tally_check(t->counts, counts_of[i] == 0, "%s: %u calls of %s while steps ran", t->label,
                    (unsigned)counts_of[i], watched_names[i]);
}

static void run(tally *counts, const char *model_name, iso_device *const *devices, uint32_t device_count,
                iso_dtype activation)
{
    golden golden;
    char label[96];
    trial t = {.counts = counts, .label = label};
    iso_model *model = NULL;
    iso_layer_range ranges[] = {{0, 0, 0}, {1, 100, 1}};
    snprintf(label, sizeof label, "%s %s on %s%s%s", model_name, iso_dtype_name(activation),
             iso_device_name(devices[0]), device_count > 1 ? " and " : "",
             device_count > 1 ? iso_device_name(devices[1]) : "");
    if (golden_open(&golden, model_name)) {
        counts->failed++;
        return;
    }
    iso_tensor_view ids = golden_tensor(&golden, "prompt%d.input_ids", GOLDEN_PROMPTS - 1);
    t.length = golden_ids(&ids, t.ids, PROMPT);
    t.rows = calloc((size_t)CHUNK * golden.config->hidden_size, sizeof *t.rows);
    iso_runner_options options = {
        .allocator = &counting,
        .devices = devices,
        .device_count = device_count,
        .ranges = device_count > 1 ? ranges : NULL,
        .range_count = device_count,
        .activation = activation,
        .build = {.mtp = golden.config->mtp_layer_count > 0, .expose_hidden = true},
        .context_tokens = CONTEXT,
        .sequence_count = 2,
        .chunk_tokens = CHUNK,
    };
    start_watching(false);
    if (t.rows &&
        tally_call(counts, iso_model_open(iso_model_folder(golden.model), &counting, &model), "%s", label) &&
        tally_call(counts, iso_runner_create(model, &options, &t.runner), "%s", label)) {
        // Creation shows that the counters see what they are there for.
        tally_check(counts, counts_of[ALLOCATOR] > 100, "%s: creation used the allocator %u times", label,
                    (unsigned)counts_of[ALLOCATOR]);
        if (INTERPOSED)
            tally_check(counts, counts_of[STRCMP] && counts_of[OPEN],
                        "%s: creation compared %u names, opened %u files", label, (unsigned)counts_of[STRCMP],
                        (unsigned)counts_of[OPEN]);
        const iso_device_info *info = iso_device_get_info(devices[0]);
        start_watching(device_count == 1 && info->code_formats[0] == ISO_CODE_NATIVE);
        iso_status status = serve(&t);
        stop_watching();
        if (tally_call(counts, status, "%s", label))
            check_counts(&t);
    }
    stop_watching();
    iso_runner_destroy(t.runner);
    iso_model_close(model);
    free(t.rows);
    golden_close(&golden);
}

// The interposed malloc sees Isomer's own default allocator.
static void check_interposition(tally *counts)
{
    void *memory = NULL;
    start_watching(false);
    iso_status status = iso_alloc(NULL, 64, &memory);
    stop_watching();
    iso_free(NULL, memory);
    if (!INTERPOSED)
        printf("under a sanitizer only the allocator is counted\n");
    else if (tally_call(counts, status, "iso_alloc"))
        tally_check(counts, counts_of[CALLOC] + counts_of[MALLOC] == 1,
                    "a default allocation was counted %u times",
                    (unsigned)(counts_of[CALLOC] + counts_of[MALLOC]));
}

int main(void)
{
    tally counts = {0};
    fleet fleet;
    iso_device *devices[FLEET_MAX_DEVICES] = {NULL};
    if (fleet_open(&fleet))
        return 1;
    check_interposition(&counts);
    for (uint32_t d = 0; d < fleet.count; d++) {
        const char *name = iso_device_name(fleet.devices[d]);
        if (!tally_call(&counts,
                        iso_device_open(fleet.registry, name, &(iso_device_options){.allocator = &counting},
                                        &devices[d]),
                        "%s", name))
            continue;
        run(&counts, "v3-bf16", &devices[d], 1, ISO_DTYPE_F32);
        run(&counts, "r1-distill-qwen", &devices[d], 1, ISO_DTYPE_BF16);
        iso_device *pair[] = {devices[d], devices[0]};
        if (d > 0 && devices[0])
            run(&counts, "v3-bf16", pair, 2, ISO_DTYPE_BF16);
    }
    for (uint32_t d = 0; d < fleet.count; d++)
        iso_device_close(devices[d]);
    fleet_close(&fleet);
    return tally_close(&counts, "replay");
}
