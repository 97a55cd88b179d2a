// SPDX-License-Identifier: MIT
//
// What the shell of the sim backend shares among its own files: reading chip files (chip.c, rules.c), buffers
// and the link (memory.c), modules (module.c), lists, and the faults that act on whole launches, lists and
// copies (commands.c). Knows of programs only what sim.h declares.
#ifndef ISOMER_BACKENDS_SIM_SHELL_H
#define ISOMER_BACKENDS_SIM_SHELL_H

#include "backends/sim/sim.h"

// ---- words of a chip file (words.c) ----

#define SIM_MAX_WORDS  96
#define SIM_LINE_BYTES 1024

// One line, taken apart at blanks; ';' is a word of its own, '#' ends the line.
typedef struct sim_words {
    const char *file;
    uint32_t line;
    char text[2 * SIM_LINE_BYTES];
    const char *words[SIM_MAX_WORDS];
    uint32_t count;
    uint32_t at; // the next one
} sim_words;

iso_status iso_sim_words_split(sim_words *words, const char *line, size_t length) ISO_MUST_USE;
// The next word or NULL; `next` moves on.
const char *iso_sim_words_peek(const sim_words *words);
const char *iso_sim_words_next(sim_words *words);
// Fails with file, line, the word (or the end of the line) and what is allowed there.
iso_status iso_sim_words_fail(const sim_words *words, const char *word, const char *what,
                              const char *allowed) ISO_MUST_USE;
// Numbers: a finite decimal; 0x and hexadecimal digits, 32 bits; a whole number of at least `least` and at
// most `most`.
iso_status iso_sim_words_number(sim_words *words, const char *what, double *out) ISO_MUST_USE;
iso_status iso_sim_words_hex(sim_words *words, const char *what, uint32_t *out) ISO_MUST_USE;
iso_status iso_sim_words_whole(sim_words *words, const char *what, const uint64_t range[2],
                               uint64_t *out) ISO_MUST_USE;

// ---- faults (rules.c) ----

// Parses what follows the word "fault" and appends the rules to the chip.
iso_status iso_sim_rules_parse(sim_words *words, sim_chip *chip) ISO_MUST_USE;
// Whether the rule acts in the kernel's text: the interpreter binds it; the others are the shell's.
bool iso_sim_rule_is_inside(const sim_rule *rule);

// ---- memory (memory.c) ----

typedef struct sim_memory {
    void *base; // what iso_free takes
    unsigned char *data;
    uint64_t bytes;
    uint64_t host_writes;    // writes and fills so far, for SIM_STALE
    unsigned char *before;   // content before the last submission, for SIM_LATE of a read; else NULL
    struct sim_memory *next; // of those with `before`
} sim_memory;

// A write that has not arrived yet (SIM_LATE).
typedef struct sim_late_write {
    sim_memory *memory;
    uint64_t offset_bytes, bytes;
    unsigned char *content;
} sim_late_write;

// ---- device state (module.c) ----

// How often a kernel was launched on this device.
typedef struct sim_launch_count {
    char kernel[SIM_NAME_BYTES];
    uint32_t count;
} sim_launch_count;

// A decoded module, counted: under SIM_OTHER another module may run it.
typedef struct sim_code {
    sim_program *program;
    uint32_t references;
    uint32_t arg_count;
    iso_arg_kind arg_kinds[ISO_MAX_KERNEL_ARGS];
} sim_code;

// A rule of whole launches, lists or modules, for one module.
typedef struct sim_bound_rule {
    sim_rule rule;
    int argument; // of stale and clobber
} sim_bound_rule;

typedef struct sim_module {
    sim_device *device;
    const char *name;
    sim_code *code;
    uint32_t count_place; // into sim_state.launches
    uint32_t rule_count;
    sim_bound_rule rules[SIM_MAX_RULES];
} sim_module;

typedef struct sim_state {
    sim_code *newest; // of the module created last
    sim_launch_count *launches;
    size_t launch_count, launch_capacity;
    sim_late_write *late;
    size_t late_count, late_capacity;
    sim_memory *with_before;
    iso_status failure; // kept for the next wait or read
    char failure_text[512];
    uint32_t allocation_count;
} sim_state;

static inline sim_state *sim_state_of(const sim_device *device)
{
    return device->state;
}

iso_status iso_sim_state_create(sim_device *device) ISO_MUST_USE;
void iso_sim_state_destroy(sim_device *device);
// The chip's rule for this site and change, and for `target` where it is not NULL; NULL: there is none.
const sim_rule *iso_sim_find_rule(const sim_device *device, sim_site site, sim_change change,
                                  const char *target);
// Lets the late writes arrive.
void iso_sim_late_arrive(sim_device *device);
// Forgets what reads would have seen before the last submission.
void iso_sim_before_forget(sim_device *device);
// Keeps the content of a buffer as it is now, for reads that come too early.
iso_status iso_sim_before_keep(sim_device *device, sim_memory *memory) ISO_MUST_USE;
// What failed since the last call, once.
iso_status iso_sim_take_failure(sim_device *device) ISO_MUST_USE;

iso_status iso_sim_memory_alloc(void *device, uint64_t bytes, iso_memory *out_memory);
void iso_sim_memory_free(void *device, iso_memory *memory);
iso_status iso_sim_memory_write(void *device, iso_memory *memory, uint64_t offset_bytes, const void *source,
                                uint64_t bytes);
iso_status iso_sim_memory_read(void *device, const iso_memory *memory, uint64_t offset_bytes, void *target,
                               uint64_t bytes);
iso_status iso_sim_memory_fill(void *device, iso_memory *memory, uint64_t offset_bytes, uint64_t bytes,
                               uint32_t pattern);

iso_status iso_sim_module_create(void *device, const iso_module_source *source, void **out_module);
void iso_sim_module_destroy(void *device, void *module);
iso_status iso_sim_list_create(void *device, void **out_list);
iso_status iso_sim_list_dispatch(void *list, void *module, const iso_dispatch *dispatch);
iso_status iso_sim_list_barrier(void *list);
iso_status iso_sim_list_finish(void *list);
void iso_sim_list_destroy(void *list);
iso_status iso_sim_submit(void *device, void *list);
iso_status iso_sim_wait(void *device);
iso_status iso_sim_times(void *list, uint64_t *out_ns, uint32_t *inout_count);

#endif
