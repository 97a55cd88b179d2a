// SPDX-License-Identifier: MIT
//
// Units of the device suite: the queue. Replays, writes, reads and fills between submissions, many lists,
// lists in flight while other things go. The host never waits here unless the contract says that a call does.
#include <stdio.h>
#include <string.h>

#include "conformance/device/bench.h"

enum { WORDS = 1000, FEW_WORDS = 64, SLOW_WORDS = 4096, SLOW_ROUNDS = 20000 };

static void count_up(uint32_t *words, uint32_t count, uint32_t factor)
{
    for (uint32_t i = 0; i < count; i++)
        words[i] = factor * i + 1;
}

// ---- replays ----

static iso_status replay(device_bench *bench, iso_list *list, const device_step *step, uint32_t times,
                         uint32_t *x)
{
    for (uint32_t i = 0; i < times; i++) {
        ISO_TRY(iso_list_submit(list));
        device_apply_step(step, x, x);
    }
    return device_compare(bench, step->y, x, WORDS, "a list that was submitted again");
}

// A step in place, hundreds of times over: compared after 1, 2, and then every so often.
iso_status device_replays(device_bench *bench)
{
    static const uint32_t times[] = {1, 1, 5, 93, 200};
    uint32_t x[WORDS];
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    count_up(x, WORDS, 3);
    ISO_TRY(device_words(bench->device, x, WORDS, &buffer));
    device_step step = {buffer, buffer, 0, 0, WORDS, 5, 7, 1};
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        ISO_TRY_GOTO(replay(bench, list, &step, times[i], x), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

// ---- between submissions ----

// The step's input is written anew for each submission, while the one before may still run: each must see its
// own.
static iso_status write_and_submit(device_bench *bench, iso_buffer *in, iso_buffer *sums, iso_list *list)
{
    uint32_t x[WORDS], want[WORDS] = {0};
    for (uint32_t round = 0; round < 30; round++) {
        count_up(x, WORDS, round + 2);
        ISO_TRY(iso_buffer_write(in, 0, x, sizeof x));
        ISO_TRY(iso_list_submit(list));
        // The host's memory may be reused at once.
        memset(x, 0xee, sizeof x);
    }
    device_step step = {.count = WORDS, .multiplier = 11, .addend = 5, .rounds = 2000};
    count_up(x, WORDS, 29 + 2);
    device_apply_step(&step, x, want);
    return device_compare(bench, sums, want, WORDS, "the last of many writes and submissions");
}

// Each submission's output is read at once; a stale input or a stale output shows.
static iso_status write_submit_read(device_bench *bench, iso_buffer *in, iso_buffer *out, iso_list *list)
{
    uint32_t x[WORDS], want[WORDS];
    device_step step = {.count = WORDS, .multiplier = 11, .addend = 5, .rounds = 2000};
    for (uint32_t round = 0; round < 20; round++) {
        count_up(x, WORDS, 100 + round);
        device_apply_step(&step, x, want);
        ISO_TRY(iso_buffer_write(in, 0, x, sizeof x));
        ISO_TRY(iso_list_submit(list));
        ISO_TRY(device_compare(bench, out, want, WORDS, "a write, a submission and a read"));
    }
    return ISO_OK;
}

iso_status device_write_order(device_bench *bench)
{
    uint32_t x[WORDS] = {0};
    iso_buffer *in = NULL, *out = NULL;
    iso_list *list = NULL;
    iso_status status;
    ISO_TRY(device_words(bench->device, x, WORDS, &in));
    ISO_TRY_GOTO(device_words(bench->device, x, WORDS, &out), done);
    device_step step = {in, out, 0, 0, WORDS, 11, 5, 2000};
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    ISO_TRY_GOTO(write_submit_read(bench, in, out, list), done);
    ISO_TRY_GOTO(write_and_submit(bench, in, out, list), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(out);
    iso_buffer_release(in);
    return status;
}

// A long step, then a read without a wait; and a write after a long step, which must not reach it.
iso_status device_read_waits(device_bench *bench)
{
    uint32_t x[SLOW_WORDS], want[SLOW_WORDS], later[SLOW_WORDS];
    iso_buffer *in = NULL, *out = NULL;
    iso_list *list = NULL;
    iso_status status;
    count_up(x, SLOW_WORDS, 9);
    count_up(later, SLOW_WORDS, 4);
    ISO_TRY(device_words(bench->device, x, SLOW_WORDS, &in));
    ISO_TRY_GOTO(device_words(bench->device, later, SLOW_WORDS, &out), done);
    device_step step = {in, out, 0, 0, SLOW_WORDS, 13, 3, SLOW_ROUNDS};
    device_apply_step(&step, x, want);
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(device_compare(bench, out, want, SLOW_WORDS, "a read right after a long step"), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    ISO_TRY_GOTO(iso_buffer_write(in, 0, later, sizeof later), done);
    ISO_TRY_GOTO(device_compare(bench, out, want, SLOW_WORDS, "a long step whose input is written after it"),
                 done);
    ISO_TRY_GOTO(device_compare(bench, in, later, SLOW_WORDS, "the input that was written after a long step"),
                 done);
done:
    iso_list_destroy(list);
    iso_buffer_release(out);
    iso_buffer_release(in);
    return status;
}

iso_status device_fill_order(device_bench *bench)
{
    uint32_t x[SLOW_WORDS], want[SLOW_WORDS];
    iso_buffer *buffer = NULL, *out = NULL;
    iso_list *list = NULL;
    iso_status status;
    ISO_TRY(iso_buffer_create(bench->device, sizeof x, &buffer));
    ISO_TRY_GOTO(iso_buffer_create(bench->device, sizeof x, &out), done);
    device_step step = {buffer, out, 0, 0, SLOW_WORDS, 3, 1, SLOW_ROUNDS / 10};
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t i = 0; i < SLOW_WORDS; i++)
            x[i] = 1000 + round;
        device_apply_step(&step, x, want);
        ISO_TRY_GOTO(iso_buffer_fill(buffer, 0, sizeof x, 1000 + round), done);
        ISO_TRY_GOTO(iso_list_submit(list), done);
        ISO_TRY_GOTO(iso_buffer_fill(buffer, 0, sizeof x, 0xffffffffu), done);
        ISO_TRY_GOTO(device_compare(bench, out, want, SLOW_WORDS, "a step between two fills"), done);
    }
done:
    iso_list_destroy(list);
    iso_buffer_release(out);
    iso_buffer_release(buffer);
    return status;
}

// ---- many ----

enum { LISTS = 64, ROUNDS = 4 };

// Lists over one buffer, all alive, submitted in an order of their own: multiplications and additions do not
// commute.
iso_status device_many_lists(device_bench *bench)
{
    uint32_t x[WORDS];
    iso_buffer *buffer = NULL;
    iso_list *lists[LISTS] = {NULL};
    iso_status status;
    count_up(x, WORDS, 21);
    ISO_TRY(device_words(bench->device, x, WORDS, &buffer));
    for (uint32_t i = 0; i < LISTS; i++) {
        device_step step = {buffer, buffer, 0, 0, WORDS, 2 * i + 3, i * i, 1 + i % 5};
        ISO_TRY_GOTO(device_step_list(bench, &step, &lists[i]), done);
    }
    for (uint32_t n = 0; n < ROUNDS * LISTS; n++) {
        uint32_t i = (n * 29 + n / LISTS * 7) % LISTS;
        device_step step = {buffer, buffer, 0, 0, WORDS, 2 * i + 3, i * i, 1 + i % 5};
        ISO_TRY_GOTO(iso_list_submit(lists[i]), done);
        device_apply_step(&step, x, x);
    }
    ISO_TRY_GOTO(device_compare(bench, buffer, x, WORDS, "many lists in an order of their own"), done);
done:
    for (uint32_t i = 0; i < LISTS; i++)
        iso_list_destroy(lists[i]);
    iso_buffer_release(buffer);
    return status;
}

// A thousand submissions without a wait.
iso_status device_deep_queue(device_bench *bench)
{
    enum { DEPTH = 1000, FEW = 100 };
    uint32_t x[FEW];
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    count_up(x, FEW, 2);
    ISO_TRY(device_words(bench->device, x, FEW, &buffer));
    device_step step = {buffer, buffer, 0, 0, FEW, 3, 1, 1};
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    for (uint32_t i = 0; i < DEPTH; i++) {
        ISO_TRY_GOTO(iso_list_submit(list), done);
        device_apply_step(&step, x, x);
    }
    ISO_TRY_GOTO(iso_device_wait(bench->device), done);
    ISO_TRY_GOTO(device_compare(bench, buffer, x, FEW, "a thousand submissions"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

// ---- in flight ----

// A long list is destroyed right after its submission, its buffers after it; their memory is given out again
// at once.
static iso_status drop_in_flight(device_bench *bench, uint32_t round)
{
    uint32_t x[SLOW_WORDS];
    iso_buffer *lost = NULL, *fresh = NULL;
    iso_list *list = NULL;
    iso_status status;
    count_up(x, SLOW_WORDS, round);
    ISO_TRY(device_words(bench->device, x, SLOW_WORDS, &lost));
    device_step step = {lost, lost, 0, 0, SLOW_WORDS, 3, 1, SLOW_ROUNDS / 4};
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    iso_list_destroy(list);
    list = NULL;
    iso_buffer_release(lost);
    lost = NULL;
    ISO_TRY_GOTO(device_words(bench->device, x, SLOW_WORDS, &fresh), done);
    ISO_TRY_GOTO(device_compare(bench, fresh, x, SLOW_WORDS, "a buffer made while an old list ended"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(lost);
    iso_buffer_release(fresh);
    return status;
}

// Buffers that a running list does not use come and go beside it.
static iso_status free_beside(device_bench *bench)
{
    uint32_t x[SLOW_WORDS], want[SLOW_WORDS];
    iso_buffer *used = NULL, *other = NULL;
    iso_list *list = NULL;
    iso_status status;
    count_up(x, SLOW_WORDS, 5);
    ISO_TRY(device_words(bench->device, x, SLOW_WORDS, &other));
    ISO_TRY_GOTO(device_words(bench->device, x, SLOW_WORDS, &used), done);
    device_step step = {used, used, 0, 0, SLOW_WORDS, 7, 2, SLOW_ROUNDS};
    device_apply_step(&step, x, want);
    ISO_TRY_GOTO(device_step_list(bench, &step, &list), done);
    ISO_TRY_GOTO(iso_list_submit(list), done);
    for (uint32_t i = 0; i < 10; i++) {
        iso_buffer_release(other);
        other = NULL;
        ISO_TRY_GOTO(iso_buffer_create(bench->device, 1000 + 5000 * (uint64_t)i, &other), done);
    }
    ISO_TRY_GOTO(device_compare(bench, used, want, SLOW_WORDS, "a long step while other buffers go"), done);
done:
    iso_list_destroy(list);
    iso_buffer_release(used);
    iso_buffer_release(other);
    return status;
}

iso_status device_frees_in_flight(device_bench *bench)
{
    for (uint32_t round = 1; round <= 8; round++)
        ISO_TRY(drop_in_flight(bench, round));
    return free_beside(bench);
}

// ---- a device that fails ----

// A step far beyond its arguments: the simulator ends it as a driver ends a lost device.
static iso_status break_device(device_bench *bench)
{
    uint32_t x[FEW_WORDS];
    iso_buffer *buffer = NULL;
    iso_list *list = NULL;
    iso_status status;
    count_up(x, FEW_WORDS, 1);
    ISO_TRY(device_words(bench->device, x, FEW_WORDS, &buffer));
    device_step step = {buffer, buffer, 0, 0, FEW_WORDS, 3, 1, 1};
    ISO_TRY_GOTO(iso_list_create(bench->device, &list), done);
    ISO_TRY_GOTO(device_record_beyond(bench, list, &step), done);
    ISO_TRY_GOTO(iso_list_finish(list), done);
    iso_status failed = iso_list_submit(list);
    failed = failed == ISO_OK ? iso_device_wait(bench->device) : failed;
    device_expect(bench, failed != ISO_OK && iso_status_last()->text[0],
                  "a list that failed is reported neither by its submission nor by the next wait");
    // Whether it works on is its own affair; that each call returns is not.
    for (int i = 0; i < 3; i++) {
        iso_status again = iso_buffer_read(buffer, 0, x, sizeof x);
        device_expect(bench, again == ISO_OK || iso_status_last()->code == again,
                      "a read of a failed device");
    }
done:
    iso_list_destroy(list);
    iso_buffer_release(buffer);
    return status;
}

// Only a simulated chip can be broken without harm, and only one of its own.
iso_status device_lost(device_bench *bench)
{
    const iso_device_options options = {.validate = true};
    device_bench own = *bench;
    if (strcmp(iso_device_get_info(bench->device)->backend, "sim") != 0) {
        device_skip(
            bench,
            "a kernel that is made to fail may take the machine with it; simulated chips alone are asked");
        return ISO_OK;
    }
    ISO_TRY(iso_device_open(bench->context->registry, iso_device_name(bench->device), &options, &own.device));
    own.lab = (conform_lab){.device = own.device};
    iso_status status = break_device(&own);
    conform_lab_deinit(&own.lab);
    iso_device_close(own.device);
    bench->checks = own.checks;
    bench->failures = own.failures;
    return status == ISO_OK ? device_works_on(bench, "a device beside one that failed") : status;
}
