// SPDX-License-Identifier: MIT
//
// Units of the device suite: what one command list does. The order of its calls, arguments, counts that are
// no multiple of a group, arguments at offsets, work in place, barriers between steps that depend on each
// other.
#include <stdio.h>
#include <string.h>

#include "conformance/device/bench.h"

// ---- calls in the wrong order ----

static void use_finished(device_bench *bench, iso_list *list, const device_step *step)
{
    device_refused(bench, device_record_step(bench, list, step), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "a dispatch into a finished list");
    device_refused(bench, iso_list_barrier(list), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "a barrier into a finished list");
    device_refused(bench, iso_list_finish(list), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "a second finish");
}

iso_status device_list_states(device_bench *bench)
{
    const uint32_t x[4] = {1, 2, 3, 4}, want[4] = {3, 5, 7, 9};
    uint64_t times[4];
    uint32_t room = 4;
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    ISO_TRY(device_words(bench->device, x, 4, &buffer));
    device_step step = {.x = buffer, .y = buffer, .count = 4, .multiplier = 2, .addend = 1};
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    ISO_TRY_GOTO(device_record_step(bench, list, &step), done);
    device_refused(bench, iso_list_submit(list), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "a list that is not finished");
    device_refused(bench, iso_list_times(list, times, &room), ISO_INVALID_ARGUMENT, ISO_INVALID_ARGUMENT,
                   "times of a list that is not finished");
    ISO_TRY_GOTO(iso_list_finish(list), done);
    use_finished(bench, list, &step);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, buffer, want, 4, "a list after refused calls"), done);
    // One that is never finished, and one that is never submitted.
    iso_list_destroy(list);
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    ISO_TRY_GOTO(device_record_step(bench, list, &step), done);
    iso_list_destroy(list);
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    iso_list_destroy(list);
    list = NULL;
    ISO_TRY_GOTO(device_compare(bench, buffer, want, 4, "lists that were never submitted"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

iso_status device_empty_lists(device_bench *bench)
{
    const uint32_t x[4] = {1, 2, 3, 4};
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    ISO_TRY(device_words(bench->device, x, 4, &buffer));
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    ISO_TRY_GOTO(iso_list_barrier(list), done);
    ISO_TRY_GOTO(iso_list_barrier(list), done);
    ISO_TRY_GOTO(iso_list_finish(list), done);
    for (int i = 0; i < 5; i++)
        ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(iso_device_wait(bench->device), done);
    ISO_TRY_GOTO(iso_device_wait(bench->device), done);
    ISO_TRY_GOTO(device_compare(bench, buffer, x, 4, "empty lists"), done);
    iso_list_destroy(NULL);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

// ---- arguments ----

// One argument too few and one too many; the list is used on as if nothing had been.
iso_status device_wrong_arguments(device_bench *bench)
{
    const uint32_t x[3] = {10, 20, 30}, want[3] = {71, 141, 211};
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_module *module;
    iso_status status;
    ISO_TRY(device_words(bench->device, x, 3, &buffer));
    ISO_TRY_GOTO(conform_lab_module(&bench->lab, CONFORM_PROBE_STEP, &module), done);
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    for (uint32_t count = 0; count <= 8; count++) {
        iso_dispatch dispatch = {.label = "wrong", .groups = {1, 1, 1}, .arg_count = count};
        for (uint32_t i = 0; i < count; i++)
            dispatch.args[i] = (iso_arg){.kind = ISO_ARG_U32};
        if (count != 6)
            device_refused(bench, iso_list_dispatch(list, module, &dispatch), ISO_INVALID_ARGUMENT,
                           ISO_INVALID_ARGUMENT, "a wrong number of arguments");
    }
    device_step step = {.x = buffer, .y = buffer, .count = 3, .multiplier = 7, .addend = 1};
    ISO_TRY_GOTO(device_record_step(bench, list, &step), done);
    ISO_TRY_GOTO(iso_list_finish(list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, buffer, want, 3, "a list after refused dispatches"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

// ---- counts ----

enum { MOST_WORDS = 1100, CANARIES = 70 };

// The words after the last one belong to someone else.
static iso_status one_count(device_bench *bench, uint32_t count)
{
    uint32_t x[MOST_WORDS + CANARIES], want[MOST_WORDS + CANARIES];
    iso_buffer *in = NULL, *out = NULL;
    iso_list *list = NULL;
    iso_status status;
    for (uint32_t i = 0; i < count + CANARIES; i++) {
        x[i] = 0x1000u * count + i;
        want[i] = 0xcafe0000u + i;
    }
    ISO_TRY(device_words(bench->device, x, count + CANARIES, &in));
    ISO_TRY_GOTO(device_words(bench->device, want, count + CANARIES, &out), done);
    device_step step = {.x = in, .y = out, .count = count, .multiplier = 3, .addend = count};
    device_apply_step(&step, x, want);
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, out, want, count + CANARIES, "output of an odd count"), done);
    ISO_TRY_GOTO(device_compare(bench, in, x, count + CANARIES, "input of an odd count"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(out);
    iso_buffer_release(in);
    return status;
}

iso_status device_odd_counts(device_bench *bench)
{
    static const uint32_t counts[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000, 1023, 1024, 1025};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        ISO_TRY(one_count(bench, counts[i]));
    return ISO_OK;
}

// ---- offsets ----

enum { SLOTS = 9, SLOT_WORDS = 37 };

// One buffer of slots, each at a multiple of the alignment; slot s is calculated from slot SLOTS - 1 - s of
// another.
iso_status device_argument_offsets(device_bench *bench)
{
    uint32_t align = iso_device_get_info(bench->device)->buffer_alignment_bytes;
    uint32_t pitch = (4 * SLOT_WORDS + align - 1) / align * align / 4, words = SLOTS * pitch;
    uint32_t *x, *want;
    iso_buffer *in = NULL, *out = NULL;
    iso_list *list = NULL;
    iso_status status;
    // An alignment below a word does not make words any shorter.
    pitch = pitch < SLOT_WORDS ? SLOT_WORDS : pitch;
    words = SLOTS * pitch;
    ISO_TRY(ISO_NEW(NULL, 2 * (size_t)words, &x));
    want = x + words;
    for (uint32_t i = 0; i < words; i++) {
        x[i] = 0x01010101u * i;
        want[i] = 0xbadbad00u + i;
    }
    ISO_TRY_GOTO(device_words(bench->device, x, words, &in), done);
    ISO_TRY_GOTO(device_words(bench->device, want, words, &out), done);
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    for (uint32_t s = 0; s < SLOTS; s++) {
        uint32_t from = (SLOTS - 1 - s) * pitch, to = s * pitch;
        device_step step = {in, out, 4 * (uint64_t)from, 4 * (uint64_t)to, SLOT_WORDS - s % 3, 5 + 2 * s,
                            s,  1};
        device_apply_step(&step, x + from, want + to);
        ISO_TRY_GOTO(device_record_step(bench, list, &step), done);
    }
    ISO_TRY_GOTO(iso_list_finish(list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, out, want, words, "outputs at offsets"), done);
    ISO_TRY_GOTO(device_compare(bench, in, x, words, "inputs at offsets"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(out);
    iso_buffer_release(in);
    iso_free(NULL, x);
    return status;
}

// ---- in place, and two parts of one buffer ----

iso_status device_in_place(device_bench *bench)
{
    enum { WORDS = 2048, HALF = 1024 };
    uint32_t x[WORDS];
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    for (uint32_t i = 0; i < WORDS; i++)
        x[i] = 7 * i + 3;
    ISO_TRY(device_words(bench->device, x, WORDS, &buffer));
    // In place; then from the lower half to the upper, and back.
    const device_step steps[] = {
        {buffer, buffer, 0, 0, WORDS, 3, 1, 1},
        {buffer, buffer, 0, 4 * HALF, HALF, 5, 2, 1},
        {buffer, buffer, 4 * HALF, 0, HALF - 64, 9, 4, 1},
    };
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        ISO_TRY_GOTO(device_record_step(bench, list, &steps[i]), done);
        ISO_TRY_GOTO(iso_list_barrier(list), done);
        device_apply_step(&steps[i], x + steps[i].x_offset / 4, x + steps[i].y_offset / 4);
    }
    ISO_TRY_GOTO(iso_list_finish(list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, buffer, x, WORDS, "steps within one buffer"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

// ---- barriers ----

enum { CHAIN = 48, CHAIN_WORDS = 8192 };

// A chain there and back between two buffers; each step needs all of the one before. Long steps at first,
// short ones after them, so that one which does not wait overtakes.
iso_status device_barriers(device_bench *bench)
{
    uint32_t *x;
    iso_buffer *buffers[2] = {NULL, NULL};
    iso_list *list = NULL;
    iso_status status;
    ISO_TRY(ISO_NEW(NULL, CHAIN_WORDS, &x));
    for (uint32_t i = 0; i < CHAIN_WORDS; i++)
        x[i] = i;
    ISO_TRY_GOTO(device_words(bench->device, x, CHAIN_WORDS, &buffers[0]), done);
    ISO_TRY_GOTO(iso_buffer_create(bench->device, 4 * CHAIN_WORDS, &buffers[1]), done);
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    for (uint32_t i = 0; i < CHAIN; i++) {
        device_step step = {buffers[i % 2], buffers[(i + 1) % 2], 0, 0, CHAIN_WORDS, 2 * i + 3, i,
                            i % 4 ? 1 : 300};
        if (i > 0)
            ISO_TRY_GOTO(iso_list_barrier(list), done);
        ISO_TRY_GOTO(device_record_step(bench, list, &step), done);
        device_apply_step(&step, x, x);
    }
    ISO_TRY_GOTO(iso_list_finish(list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, buffers[CHAIN % 2], x, CHAIN_WORDS, "a chain of steps with barriers"),
                 done);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffers[0]);
    iso_buffer_release(buffers[1]);
    iso_free(NULL, x);
    return status;
}

// Steps without a barrier between them that share an input and touch different buffers.
iso_status device_independent(device_bench *bench)
{
    enum { OUTPUTS = 12, WORDS = 600 };
    uint32_t x[WORDS], want[WORDS];
    iso_buffer *in = NULL, *out[OUTPUTS] = {NULL};
    iso_list *list = NULL;
    iso_status status;
    for (uint32_t i = 0; i < WORDS; i++)
        x[i] = 13 * i;
    ISO_TRY(device_words(bench->device, x, WORDS, &in));
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    for (uint32_t k = 0; k < OUTPUTS; k++) {
        ISO_TRY_GOTO(iso_buffer_create(bench->device, sizeof x, &out[k]), done);
        device_step step = {in, out[k], 0, 0, WORDS, k + 2, k, k % 3 ? 1 : 100};
        ISO_TRY_GOTO(device_record_step(bench, list, &step), done);
    }
    ISO_TRY_GOTO(iso_list_finish(list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    for (uint32_t k = 0; k < OUTPUTS; k++) {
        device_step step = {in, out[k], 0, 0, WORDS, k + 2, k, k % 3 ? 1 : 100};
        device_apply_step(&step, x, want);
        ISO_TRY_GOTO(device_compare(bench, out[k], want, WORDS, "steps that may overlap"), done);
    }
done:
    iso_list_destroy(list);
    for (uint32_t k = 0; k < OUTPUTS; k++)
        iso_buffer_release(out[k]);
    iso_buffer_release(in);
    return status;
}

// ---- wide grids ----

static iso_status one_grid(device_bench *bench, uint32_t across, uint32_t down, uint32_t deep)
{
    uint32_t groups = across * down * deep, words = groups * CONFORM_GROUP, wrong = 0, *y;
    const conform_operand operands[] = {CONFORM_WORD_VALUE(groups),
                                        {.kind = ISO_ARG_BUFFER},
                                        CONFORM_WORD_VALUE(across),
                                        CONFORM_WORD_VALUE(down)};
    conform_operand given[4];
    ISO_TRY(ISO_NEW(NULL, words, &y));
    memcpy(given, operands, sizeof given);
    given[1] = CONFORM_OUT(y, words * sizeof *y);
    iso_status status =
        conform_lab_run(&bench->lab, CONFORM_PROBE_GROUP, (const uint32_t[3]){across, down, deep}, given);
    for (uint32_t i = 0; status == ISO_OK && i < words; i++) {
        uint32_t v = 0, group = i / CONFORM_GROUP;
        for (uint32_t k = i % CONFORM_GROUP; k < CONFORM_BOARD_WORDS; k += CONFORM_GROUP)
            v = v * 31u + group * 65536u + CONFORM_BOARD_WORDS - 1 - k;
        wrong += y[i] != v;
    }
    if (status == ISO_OK)
        device_expect(bench, wrong == 0, "%u of %u threads of %u x %u x %u groups are wrong", wrong, words,
                      across, down, deep);
    iso_free(NULL, y);
    return status;
}

iso_status device_wide_grids(device_bench *bench)
{
    static const uint32_t grids[][3] = {{1, 1, 1}, {2000, 1, 1}, {1, 2000, 1}, {1, 1, 2000}, {3, 257, 5}};
    uint64_t most = iso_device_get_info(bench->device)->max_allocation_bytes;
    uint32_t words = 65535 * CONFORM_GROUP, *x;
    if (most < words * sizeof *x) {
        device_skip(bench, "a buffer of %zu bytes is needed; the device allocates %llu at once",
                    words * sizeof *x, (unsigned long long)most);
        return ISO_OK;
    }
    for (size_t i = 0; i < sizeof grids / sizeof grids[0]; i++)
        ISO_TRY(one_grid(bench, grids[i][0], grids[i][1], grids[i][2]));
    // As many groups along x as the kernels may ask for, with next to no work each.
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    ISO_TRY(ISO_NEW(NULL, words, &x));
    for (uint32_t i = 0; i < words; i++)
        x[i] = i;
    ISO_TRY_GOTO(device_words(bench->device, x, words, &buffer), done);
    device_step step = {buffer, buffer, 0, 0, words, 3, 1, 1};
    device_apply_step(&step, x, x);
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, buffer, x, words, "65535 groups"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    iso_free(NULL, x);
    return status;
}
