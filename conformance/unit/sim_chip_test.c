// SPDX-License-Identifier: MIT
//
// Chip files of the sim backend: what is understood, and what each mistake in one is answered with. What a
// chip does is tested in sim_test.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "backends/sim/sim.h"

static void assert_text_has(const char *fragment)
{
    if (!strstr(iso_status_last()->text, fragment))
        fail_msg("\"%s\" is not in \"%s\"", fragment, iso_status_last()->text);
}

static void test_good_chip(void **state)
{
    (void)state;
    static sim_chip chip;
    const char *text =
        "# a comment\n"
        "\n"
        "  name  Some chip, 7 nm   # of the future\r\n"
        "feature contract\n"
        "feature subgroup 16\n"
        "\tfeature memory 3M\n"
        "feature link 1K\n"
        "fault linear store sum round bf16\n"
        "fault rms_norm load eps set 0; result sqrt add 1e-3\n"
        "fault linear.*_e4m3_* index weight_scale and 0xFE when index % 4 >= 2 and arg width <= 4096 and "
        "lane == last\n"
        "fault * launch cut y when launch == 3";
    assert_int_equal(iso_sim_chip_parse(text, "some.chip", &chip), ISO_OK);
    assert_string_equal(chip.name, "Some chip, 7 nm");
    assert_true(chip.features.contract);
    assert_false(chip.features.no_fp8);
    assert_int_equal(chip.features.subgroup, 16);
    assert_int_equal(chip.features.group_limit, 1024);
    assert_int_equal(chip.features.memory_bytes, 3 << 20);
    assert_int_equal(chip.features.allocation_bytes, 3 << 20);
    assert_int_equal(chip.features.link_bytes_per_second, 1024);
    assert_int_equal(chip.rule_count, 5);
    const sim_rule *rule = &chip.rules[0];
    assert_int_equal(rule->site, SIM_STORE);
    assert_string_equal(rule->target, "sum");
    assert_int_equal(rule->change, SIM_ROUND);
    assert_int_equal(rule->bits, 16);
    assert_int_equal(rule->term_count, 0);
    assert_string_equal(chip.rules[2].kernel, "rms_norm");
    assert_string_equal(chip.rules[2].target, "sqrt");
    assert_true(chip.rules[2].amount == 1e-3);
    rule = &chip.rules[3];
    assert_int_equal(rule->bits, 0xfe);
    assert_int_equal(rule->term_count, 3);
    assert_int_equal(rule->terms[0].modulus, 4);
    assert_int_equal(rule->terms[0].relation, SIM_AT_LEAST);
    assert_string_equal(rule->terms[1].arg, "width");
    assert_true(rule->terms[1].number == 4096);
    assert_true(rule->terms[2].last);
    assert_string_equal(chip.rules[4].target, "y");
    assert_int_equal(iso_sim_chip_parse("name A", "a.chip", &chip), ISO_OK);
    assert_int_equal(chip.features.subgroup, 32);
    assert_int_equal(chip.features.alignment, 16);
    assert_int_equal(chip.features.memory_bytes, 1 << 30);
    assert_int_equal(chip.features.link_bytes_per_second, 0);
    assert_int_equal(chip.rule_count, 0);
}

static void test_bad_chips(void **state)
{
    (void)state;
    static sim_chip chip;
    static const struct {
        const char *text, *fragment;
    } cases[] = {
        {"", "no name"},
        {"feature contract\n", "no name"},
        {"name\n", "0 characters; allowed: 1 to"},
        {"name A\nname B\n", "x.chip:2: a second name"},
        {"name A\tB\n", "0x09"},
        {"name \xc3\xa4\n", "0xc3"},
        {"name A\nfeature tensor-cores\n",
         "x.chip:2: \"tensor-cores\" is no feature; allowed: contract, flush-"},
        {"name A\nfeature\n", "the line ends where feature is wanted"},
        {"name A\nfeature contract 3\n", "\"3\" is no word here; allowed: the end of the line"},
        {"name A\nfeature subgroup\n", "the line ends where subgroup is wanted; allowed: 1 to 128"},
        {"name A\nfeature subgroup 0\n", "\"0\" is no subgroup"},
        {"name A\nfeature subgroup 256\n", "\"256\" is no subgroup"},
        {"name A\nfeature subgroup 24\n", "a power of two"},
        {"name A\nfeature memory -1\n", "\"-1\" is no memory"},
        {"name A\nfeature memory 1T\n", "\"1T\" is no memory; allowed: 4096 to"},
        {"name A\nfeature memory 99999999999999999999\n", "is no memory"},
        {"name A\nfeature memory 1M\nfeature allocation 2M\n", "allocation is above memory"},
        {"name A\nfaults linear\n", "x.chip:2: \"faults\" is no line; allowed: name, feature, fault"},
        {"name A\nfault\n", "the line ends where kernel is wanted"},
        {"name A\nfault li/near launch drop\n", "\"li/near\" is no kernel"},
        {"name A\nfault linear jump\n", "\"jump\" is no site; allowed: store, load, index"},
        {"name A\nfault linear store\n", "the line ends where name is wanted"},
        {"name A\nfault linear store sum\n",
         "the line ends where change of a store is wanted; allowed: add, mul"},
        {"name A\nfault linear store sum flip\n", "\"flip\" is no change of a store"},
        {"name A\nfault linear store sum add\n", "the line ends where amount is wanted"},
        {"name A\nfault linear store sum add 1x\n", "\"1x\" is no amount; allowed: a finite number"},
        {"name A\nfault linear store sum mul inf\n", "\"inf\" is no amount"},
        {"name A\nfault linear store sum xor 12\n", "\"12\" is no bit pattern; allowed: 0x and"},
        {"name A\nfault linear store sum xor 0x123456789\n", "is no bit pattern"},
        {"name A\nfault linear store sum round bf8\n",
         "\"bf8\" is no format to round to; allowed: bf16, f16, e4m3"},
        {"name A\nfault linear barrier first drop\n", "\"first\" is no ordinal"},
        {"name A\nfault linear barrier 0 keep\n", "\"keep\" is no change of a barrier; allowed: drop"},
        {"name A\nfault linear launch cut w\n", "\"w\" is no operand; allowed: x, y, z"},
        {"name A\nfault * copy late\n", "the line ends where operand is wanted; allowed: write, read"},
        {"name A\nfault * copy late fill\n", "\"fill\" is no operand; allowed: write, read"},
        {"name A\nfault linear copy late write\n", "x.chip:2: a copy belongs to no kernel; write \"fault *"},
        {"name A\nfault * copy cut write when launch == 1\n", "x.chip:2: a copy belongs to no kernel"},
        {"name A\nfault * module other when launch == 1\n", "x.chip:2: a rule of a module has no conditions"},
        {"name A\nfault add launch drop when lane == 3\n",
         "x.chip:2: \"lane\" is no subject of a condition on a launch; allowed: launch, arg"},
        {"name A\nfault add list stale x when launch == 1 and value == 3\n",
         "\"value\" is no subject of a condition on a list"},
        {"name A\nfault add launch cut x when group == last\n",
         "\"group\" is no subject of a condition on a"},
        {"name A\nfault add launch cut x when index == 1\n", "\"index\" is no subject of a condition on a"},
        {"name A\nfault * list stale\n", "the name of an argument"},
        {"name A\nfault add store low add 1 when\n", "the line ends where subject of a condition is wanted"},
        {"name A\nfault add store low add 1 when time == 3\n",
         "\"time\" is no subject of a condition; allowed: lane"},
        {"name A\nfault add store low add 1 when lane = 3\n", "\"=\" is no relation; allowed: ==, >=, <="},
        {"name A\nfault add store low add 1 when lane % 1 == 0\n", "\"1\" is no modulus"},
        {"name A\nfault add store low add 1 when value == last\n", "\"last\" is no number"},
        {"name A\nfault add store low add 1 when arg == 3\n", "\"==\" is no argument"},
        {"name A\nfault add store low add 1 and lane == 3\n", "\"and\" is no word here"},
        {"name A\nfault add store low add 1;\n", "the line ends where site is wanted"},
        {"name A\nfault add launch drop when lane==3\n", "\"lane==3\" is no subject"},
        {"name A\nfault add launch drop when lane == 1 and lane == 1 and lane == 1 and lane == 1 and lane == "
         "1\n",
         "more than 4 conditions"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(iso_sim_chip_parse(cases[i].text, "x.chip", &chip), ISO_INVALID_ARGUMENT);
        assert_text_has("x.chip");
        assert_text_has(cases[i].fragment);
    }
}

static void test_too_many_rules(void **state)
{
    (void)state;
    static sim_chip chip;
    static char text[64 * 80] = "name A\n";
    for (int i = 0; i < SIM_MAX_RULES; i++)
        strcat(text, "fault add launch drop\n");
    assert_int_equal(iso_sim_chip_parse(text, "x.chip", &chip), ISO_OK);
    strcat(text, "fault add launch drop\n");
    assert_int_equal(iso_sim_chip_parse(text, "x.chip", &chip), ISO_INVALID_ARGUMENT);
    assert_text_has("more than 32 rules");
}

// What the repository ships is honest: features, and no fault.
static void test_shipped_chips(void **state)
{
    (void)state;
    static sim_chip chip;
    static char text[4096];
    const char *folder = ISOMER_SOURCE_DIR "/backends/sim/chips";
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    uint32_t count = 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%.200s", folder, entry->d_name);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        size_t bytes = fread(text, 1, sizeof text - 1, file);
        text[bytes] = '\0';
        fclose(file);
        if (iso_sim_chip_parse(text, path, &chip) != ISO_OK)
            fail_msg("%s", iso_status_last()->text);
        assert_int_equal(chip.rule_count, 0);
        count++;
    }
    closedir(directory);
    assert_true(count >= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_chip),
        cmocka_unit_test(test_bad_chips),
        cmocka_unit_test(test_too_many_rules),
        cmocka_unit_test(test_shipped_chips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
