// SPDX-License-Identifier: MIT
//
// Two CUDA devices of which one is lost, cannot be used, or has a call that fails: the other goes on, the
// lost one says what happened to it alone, and nothing is left behind. Each case in a process of its own.
#include <pthread.h>
#include <stdatomic.h>

#include "conformance/unit/cuda_pair.h"

static const iso_device_options counted = {.allocator = &child_allocator};
static const char *const nothing[] = {NULL};
static const char *const kernels[] = {": kernel: ", NULL}; // what a kernel did that takes the device down

static cuda_child expect_clean(int (*body)(FILE *out), const char *variable, const char *value,
                               const char *const *allowed)
{
    char line[512];
    const cuda_setting settings[] = {{"ISOMER_CUDASIM_ARCH", "sm_80,sm_90"},
                                     {"ISOMER_CUDA_NVRTC", "off"},
                                     {variable, value},
                                     {NULL, NULL}};
    const cuda_child child = cuda_run_child(body, settings);
    const char *finding = child_finding(&child, allowed, line);
    if (!child_ended_well(&child) || finding)
        fail_msg("%s=%s: status %d, finding %s, said %s", variable ? variable : "nothing", value ? value : "",
                 child.status, finding ? finding : "none", child.said);
    return child;
}

static iso_status run_side(const pair *p, int side, int round, uint32_t *out_wrong)
{
    *out_wrong = 0;
    ISO_TRY(pair_write(&p->sides[side], round));
    ISO_TRY(iso_list_submit(p->sides[side].list));
    return pair_read(&p->sides[side], side, round, out_wrong);
}

static bool works(const pair *p, int side, int round)
{
    uint32_t wrong;
    return run_side(p, side, round, &wrong) == ISO_OK && wrong == FLOATS;
}

// ---- lost ----

static int lost_side; // of the two, set by the parent

static bool is_lost(const pair *p, int side)
{
    const iso_device_info *info = iso_device_get_info(p->sides[side].device);
    return iso_device_wait(p->sides[side].device) == ISO_DEVICE_LOST &&
           strstr(iso_status_last()->text, info->name) != NULL &&
           strstr(iso_status_last()->text, "after a list of 2 dispatches from 'first' to 'second'") != NULL;
}

static int lose(FILE *out)
{
    pair p = {0};
    const int lost = lost_side, other = 1 - lost_side;
    CHILD_REQUIRE(child_registry(&p.registry) == ISO_OK);
    CHILD_REQUIRE(pair_open_side(&p, lost, &counted, "stop") == ISO_OK);
    CHILD_REQUIRE(pair_open_side(&p, other, &counted, "add_to") == ISO_OK);
    CHILD_REQUIRE(iso_list_submit(p.sides[lost].list) == ISO_OK);
    CHILD_REQUIRE(works(&p, other, 1));
    CHILD_REQUIRE(is_lost(&p, lost));
    CHILD_REQUIRE(works(&p, other, 2));
    CHILD_REQUIRE(!works(&p, lost, 2) && is_lost(&p, lost));

    // Everything of the other can still be made anew, and the lost one opened again beside it.
    pair_close_side(&p, other);
    CHILD_REQUIRE(pair_open_side(&p, other, &counted, "add_to") == ISO_OK);
    CHILD_REQUIRE(works(&p, other, 3));
    CHILD_REQUIRE(iso_list_submit(p.sides[other].list) == ISO_OK); // under way while the other is closed
    pair_close_side(&p, lost);
    CHILD_REQUIRE(works(&p, other, 4));
    CHILD_REQUIRE(pair_open_side(&p, lost, &counted, "add_to") == ISO_OK);
    CHILD_REQUIRE(works(&p, lost, 5) && works(&p, other, 6));
    pair_close_side(&p, 0);
    pair_close_side(&p, 1);
    iso_registry_destroy(p.registry);
    return 0;
}

static void test_lost(void **state)
{
    (void)state;
    cuda_need_simulator();
    for (lost_side = 0; lost_side < SIDES; lost_side++) {
        expect_clean(lose, NULL, NULL, kernels);
        expect_clean(lose, "ISOMER_CUDASIM_ATTRIBUTES", "115=0", kernels);
    }
}

// ---- lost while another thread works ----

static atomic_int rounds_done;

static void *work(void *argument)
{
    enum { ROUNDS = 40 };
    const pair *p = argument;
    for (int round = 0; round < ROUNDS; round++)
        rounds_done += works(p, 1 - lost_side, round);
    return NULL;
}

static int lose_beside_a_thread(FILE *out)
{
    pair p = {0};
    pthread_t thread;
    CHILD_REQUIRE(child_registry(&p.registry) == ISO_OK);
    CHILD_REQUIRE(pair_open_side(&p, 1 - lost_side, &counted, "add_to") == ISO_OK);
    CHILD_REQUIRE(pthread_create(&thread, NULL, work, &p) == 0);
    for (int i = 0; i < 3; i++) {
        CHILD_REQUIRE(pair_open_side(&p, lost_side, &counted, "stop") == ISO_OK);
        CHILD_REQUIRE(iso_list_submit(p.sides[lost_side].list) == ISO_OK);
        CHILD_REQUIRE(is_lost(&p, lost_side));
        pair_close_side(&p, lost_side);
    }
    pthread_join(thread, NULL);
    CHILD_REQUIRE(rounds_done == 40);
    pair_close_side(&p, 1 - lost_side);
    iso_registry_destroy(p.registry);
    return 0;
}

static void test_lost_beside_a_thread(void **state)
{
    (void)state;
    cuda_need_simulator();
    for (lost_side = 0; lost_side < SIDES; lost_side++)
        expect_clean(lose_beside_a_thread, NULL, NULL, kernels);
}

// ---- one that cannot be used, one that is older ----

static int open_what_there_is(FILE *out)
{
    pair p = {0};
    CHILD_REQUIRE(child_registry(&p.registry) == ISO_OK);
    for (int i = 0; i < SIDES; i++) {
        const iso_device_info *info = iso_registry_device_info(p.registry, (uint32_t)i);
        iso_status status = pair_open_side(&p, i, &counted, "add_to");
        fprintf(out, "%d: %s; %s\n", i, iso_status_name(status),
                info->available ? "available" : info->reason);
        CHILD_REQUIRE(status != ISO_OK || works(&p, i, 1));
        pair_close_side(&p, i);
    }
    iso_registry_destroy(p.registry);
    return 0;
}

static void expect_devices(const char *attributes, const char *said)
{
    const cuda_child child =
        expect_clean(open_what_there_is, "ISOMER_CUDASIM_ATTRIBUTES", attributes, nothing);
    assert_string_equal(child.said, said);
}

static void test_unlike_devices(void **state)
{
    (void)state;
    cuda_need_simulator();
    expect_devices("0:75=7,0:76=0",
                   "0: unavailable; the device has compute capability 7.0, at least 7.5 is needed\n"
                   "1: ok; available\n");
    expect_devices("1:20=2",
                   "0: ok; available\n1: unavailable; the device's compute mode is 'prohibited'; set it "
                   "by nvidia-smi --compute-mode=DEFAULT\n");
    expect_devices("1:115=0", "0: ok; available\n1: ok; available\n"); // pools on one alone
}

// ---- every call fails, once ----

// Opens both, runs both in turns, and says how each did.
static int run_both(FILE *out)
{
    pair p = {0};
    uint32_t wrong[SIDES] = {0};
    iso_status status[SIDES] = {ISO_OK, ISO_OK};
    CHILD_REQUIRE(child_registry(&p.registry) == ISO_OK);
    if (iso_registry_device_count(p.registry) < SIDES) {
        fprintf(out, "no devices\n");
        iso_registry_destroy(p.registry);
        return 0;
    }
    for (int i = 0; i < SIDES; i++)
        status[i] = pair_open_side(&p, i, &counted, "add_to");
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < SIDES; i++)
            if (status[i] == ISO_OK) {
                status[i] = run_side(&p, i, round, &wrong[i]);
                CHILD_REQUIRE(status[i] != ISO_OK || wrong[i] == FLOATS);
            }
    for (int i = 0; i < SIDES; i++)
        fprintf(out, "%s%s", iso_status_name(status[i]), i == 0 ? " " : "\n");
    for (int i = 0; i < SIDES; i++)
        pair_close_side(&p, i);
    iso_registry_destroy(p.registry);
    return 0;
}

static void test_every_call(void **state)
{
    (void)state;
    static const char *const errors[] = {"CUDA_ERROR_ILLEGAL_ADDRESS", "CUDA_ERROR_OUT_OF_MEMORY"};
    unsigned failed[SIDES] = {0}, nowhere = 0;
    cuda_need_simulator();
    cuda_child child = expect_clean(run_both, NULL, NULL, nothing);
    assert_string_equal(child.said, "ok ok\n");
    const unsigned long count = child_calls(&child);
    assert_true(count > 100);
    for (unsigned long n = 1; n <= count; n += SPREAD) {
        char setting[64];
        snprintf(setting, sizeof setting, "%lu:%s", n, errors[n / 2 % 2]);
        child = expect_clean(run_both, "ISOMER_CUDASIM_FAIL", setting, nothing);
        bool first = strncmp(child.said, "ok ", 3) != 0, second = strstr(child.said, " ok\n") == NULL;
        bool none = strcmp(child.said, "no devices\n") == 0;
        if (first && second && !none)
            fail_msg("ISOMER_CUDASIM_FAIL=%s: both devices fail: %s", setting, child.said);
        failed[0] += first && !none;
        failed[1] += second && !none;
        nowhere += !first && !second;
    }
    print_message("%lu calls: %u fail the first device, %u the second, %u neither\n", count, failed[0],
                  failed[1], nowhere);
    assert_true(failed[0] > 20 && failed[1] > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_lost_beside_a_thread),
        cmocka_unit_test(test_unlike_devices),
        cmocka_unit_test(test_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
