// SPDX-License-Identifier: MIT
//
// Two CUDA devices in one process: each found as itself, used in turns from one thread and at the same time
// from two, beside a program that has one or the other current. On the simulator they are an A100 and an
// H100; on a real driver they are the first two, where there are two.
#include <pthread.h>

#include "conformance/unit/cuda_host.h"
#include "conformance/unit/cuda_pair.h"

enum { ROUNDS = 12 };

static void need_two(const iso_registry *registry)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < iso_registry_device_count(registry); i++)
        found += iso_registry_device_info(registry, i)->available;
    if (found < SIDES) {
        print_message("skipped: %u CUDA devices can be used, the test takes two\n", found);
        skip();
    }
}

// profile: of the second device alone, so that the two differ in what their lists hold.
static void open_pair(pair *p)
{
    const iso_device_options plain = {.allocator = &child_allocator, .validate = true},
                             timed = {.allocator = &child_allocator, .validate = true, .profile = true};
    *p = (pair){.registry = cuda_registry(&child_allocator)};
    need_two(p->registry);
    check(pair_open_side(p, 0, &plain, "add_to"));
    check(pair_open_side(p, 1, &timed, "add_to"));
}

static void close_pair(pair *p)
{
    pair_close_side(p, 0);
    pair_close_side(p, 1);
    iso_registry_destroy(p->registry);
    assert_int_equal(child_living, 0);
}

static void expect(const pair *p, int side, int round)
{
    uint32_t wrong;
    check(pair_read(&p->sides[side], side, round, &wrong));
    if (wrong < FLOATS)
        fail_msg("%s, round %d: element %u is wrong", pair_names[side], round, wrong);
}

// ---- each itself ----

static void test_information(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    const iso_device_info *first = iso_device_get_info(p.sides[0].device),
                          *second = iso_device_get_info(p.sides[1].device);
    for (int i = 0; i < SIDES; i++) {
        const iso_device_info *info = iso_device_get_info(p.sides[i].device);
        assert_string_equal(info->name, iso_registry_device_info(p.registry, (uint32_t)i)->name);
        assert_string_equal(info->arch, iso_registry_device_info(p.registry, (uint32_t)i)->arch);
    }
    if (strstr(first->name, "simulated")) {
        assert_string_equal(first->arch, "sm_80");
        assert_string_equal(second->arch, "sm_90");
        assert_non_null(strstr(first->name, "A100"));
        assert_non_null(strstr(second->name, "H100"));
        assert_int_equal(first->memory_bytes, 32 << 20);
        assert_int_equal(second->memory_bytes, 64 << 20);
        assert_int_not_equal(first->compute_units, second->compute_units);
        iso_device *third = NULL;
        check_fails(iso_device_open(p.registry, "cuda:2", NULL, &third), ISO_NOT_FOUND, "cuda:2");
    }
    close_pair(&p);
}

// More of the second's memory than the first has; what one holds, the other does not miss.
static void test_memory(void **state)
{
    (void)state;
    pair p;
    iso_buffer *large = NULL, *small = NULL, *more = NULL;
    open_pair(&p);
    if (iso_device_get_info(p.sides[0].device)->memory_bytes != 32 << 20) {
        close_pair(&p);
        print_message("skipped: the simulator's small memories are wanted\n");
        skip();
    }
    check(iso_buffer_create(p.sides[1].device, 48 << 20, &large));
    check(iso_buffer_create(p.sides[0].device, 24 << 20, &small));
    check_fails(iso_buffer_create(p.sides[0].device, 16 << 20, &more), ISO_OUT_OF_MEMORY,
                "of 33554432 bytes free");
    check_fails(iso_buffer_create(p.sides[1].device, 32 << 20, &more), ISO_OUT_OF_MEMORY,
                "of 67108864 bytes free");
    check(iso_buffer_fill(large, 0, 48 << 20, 1));
    check(iso_buffer_fill(small, 0, 24 << 20, 2));
    uint32_t word = 0;
    check(iso_buffer_read(large, (48 << 20) - 4, &word, 4));
    assert_int_equal(word, 1);
    check(iso_buffer_read(small, (24 << 20) - 4, &word, 4));
    assert_int_equal(word, 2);
    iso_buffer_release(small);
    iso_buffer_release(large);
    close_pair(&p);
}

// ---- in turns ----

static void use_in_turns(pair *p)
{
    uint64_t times[2];
    for (int round = 0; round < ROUNDS; round++) {
        check(pair_write(&p->sides[0], round));
        check(pair_write(&p->sides[1], round));
        check(iso_list_submit(p->sides[round % 2].list));
        check(iso_list_submit(p->sides[1 - round % 2].list));
        // Waiting for one is not waiting for the other: times can be told only once their list has run.
        if (round % 3 > 0)
            check(iso_device_wait(p->sides[round % 3 - 1].device));
        uint32_t count = 2;
        check(iso_list_times(p->sides[1].list, times, &count));
        assert_int_equal(count, 2);
        expect(p, 1, round);
        expect(p, 0, round);
    }
}

enum { WORDS = (9 << 20) / 4 }; // three pinned chunks

static void make_words(uint32_t *words, uint32_t seed)
{
    for (uint32_t i = 0; i < WORDS; i++)
        words[i] = i * 2654435761u + seed;
}

static void read_words(const iso_buffer *buffer, uint32_t *words, uint32_t seed)
{
    uint32_t wrong = 0;
    memset(words, 0, WORDS * sizeof *words);
    check(iso_buffer_read(buffer, 0, words, WORDS * sizeof *words));
    for (uint32_t i = 0; i < WORDS; i++)
        wrong += words[i] != i * 2654435761u + seed;
    assert_int_equal(wrong, 0);
}

// What one device gives the other, through the host.
static void hand_over(pair *p)
{
    iso_buffer *from = NULL, *to = NULL;
    uint32_t *words = malloc(WORDS * sizeof *words);
    assert_non_null(words);
    make_words(words, 0);
    for (int side = 0; side < SIDES; side++) {
        check(iso_buffer_create(p->sides[side].device, WORDS * sizeof *words, &from));
        check(iso_buffer_create(p->sides[1 - side].device, WORDS * sizeof *words, &to));
        check(iso_buffer_write(from, 0, words, WORDS * sizeof *words));
        read_words(from, words, 0);
        check(iso_buffer_write(to, 0, words, WORDS * sizeof *words));
        iso_buffer_release(from);
        read_words(to, words, 0);
        iso_buffer_release(to);
    }
    free(words);
}

// What is queued on one runs while the other's things are released and made.
static void release_while_the_other_works(pair *p)
{
    for (int side = 0; side < SIDES; side++) {
        pair_side *other = &p->sides[1 - side];
        check(pair_write(&p->sides[side], 3));
        check(iso_list_submit(p->sides[side].list));
        check(pair_write(other, 4));
        check(iso_list_submit(other->list));
        iso_list_destroy(other->list);
        iso_module_destroy(other->add_to);
        other->list = NULL;
        other->add_to = NULL;
        const iso_module_source source = cuda_source("add_to");
        check(iso_module_create(other->device, &source, &other->add_to));
        check(pair_record(other, pair_factor(1 - side)));
        expect(p, 1 - side, 4);
        expect(p, side, 3);
    }
}

static void test_turns(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    use_in_turns(&p);
    hand_over(&p);
    release_while_the_other_works(&p);
    pair_close_side(&p, 0);
    const iso_device_options options = {.allocator = &child_allocator, .validate = true};
    check(pair_write(&p.sides[1], 1)); // the other's end takes nothing away
    check(iso_list_submit(p.sides[1].list));
    expect(&p, 1, 1);
    check(pair_open_side(&p, 0, &options, "add_to"));
    use_in_turns(&p);
    close_pair(&p);
}

// ---- at the same time ----

typedef struct worker {
    pair *pair;
    int side;
    bool opens; // the device in its own thread
    bool done;
} worker;

// Through pinned chunks, while the other thread's transfers go through the other device's.
static void transfer_much(const pair *p, int side)
{
    iso_buffer *buffer = NULL;
    uint32_t *words = malloc(WORDS * sizeof *words);
    assert_non_null(words);
    make_words(words, (uint32_t)side);
    check(iso_buffer_create(p->sides[side].device, WORDS * sizeof *words, &buffer));
    check(iso_buffer_write(buffer, 0, words, WORDS * sizeof *words));
    for (int round = 0; round < 4; round++)
        read_words(buffer, words, (uint32_t)side);
    iso_buffer_release(buffer);
    free(words);
}

static void *work(void *argument)
{
    worker *w = argument;
    const iso_device_options options = {.allocator = &child_allocator, .validate = true};
    if (w->opens)
        check(pair_open_side(w->pair, w->side, &options, "add_to"));
    for (int round = 0; round < ROUNDS; round++) {
        check(pair_write(&w->pair->sides[w->side], round));
        check(iso_list_submit(w->pair->sides[w->side].list));
        expect(w->pair, w->side, round);
    }
    transfer_much(w->pair, w->side);
    if (w->opens)
        pair_close_side(w->pair, w->side);
    w->done = true;
    return NULL;
}

static void run_workers(pair *p, bool opens)
{
    pthread_t threads[SIDES];
    worker workers[SIDES];
    for (int i = 0; i < SIDES; i++) {
        workers[i] = (worker){.pair = p, .side = i, .opens = opens};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < SIDES; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].done);
    }
}

static void test_threads(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    run_workers(&p, false);
    use_in_turns(&p); // and again by the thread that opened them
    pair_close_side(&p, 0);
    pair_close_side(&p, 1);
    run_workers(&p, true);
    close_pair(&p);
}

// ---- beside a program ----

// Whichever device the program has current, all works on both, and it is current after.
static void test_beside_a_program(void **state)
{
    (void)state;
    void *contexts[SIDES], *current = NULL;
    iso_registry *registry = cuda_registry(&child_allocator);
    need_two(registry);
    const host_program program = load_host_program();
    for (int i = 0; i < SIDES; i++)
        assert_int_equal(program.retain(&contexts[i], i), 0);
    assert_ptr_not_equal(contexts[0], contexts[1]);
    for (int i = 0; i < SIDES; i++) {
        pair p;
        assert_int_equal(program.set_current(contexts[i]), 0);
        open_pair(&p);
        use_in_turns(&p);
        hand_over(&p);
        release_while_the_other_works(&p);
        pair_close_side(&p, 0);
        pair_close_side(&p, 1);
        iso_registry_destroy(p.registry);
        assert_int_equal(program.get_current(&current), 0);
        assert_ptr_equal(current, contexts[i]);
    }
    assert_int_equal(program.set_current(NULL), 0);
    for (int i = 0; i < SIDES; i++)
        assert_int_equal(program.release(i), 0);
    iso_registry_destroy(registry);
    assert_int_equal(child_living, 0);
}

static int run_group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_information),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_beside_a_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The same without pools: memory comes from the current context then.
int main(void)
{
    setenv("ISOMER_CUDASIM_ARCH", "sm_80,sm_90", 1);
    setenv("ISOMER_CUDASIM_MEMORY", "32M,64M", 1);
    int failed = cuda_run_watched(run_group);
    setenv("ISOMER_CUDASIM_ATTRIBUTES", "115=0", 1);
    return cuda_run_watched(run_group) || failed;
}
