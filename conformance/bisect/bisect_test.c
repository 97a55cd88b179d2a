// SPDX-License-Identifier: MIT
//
// The bisect on golden models with kernels that are wrong: each fault changes what one op's kernels are
// launched with, for all or for some calls, and has to be named within log2(ops) + 3 partial runs. Sound
// kernels are named by nobody.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conformance/bisect/bisect.h"
#include "conformance/ops/case_file.h"
#include "conformance/support/golden.h"
#include "kernels/add/op.h"
#include "kernels/argmax/op.h"
#include "kernels/gather/op.h"
#include "kernels/gqa_attention/op.h"
#include "kernels/grouped_linear/op.h"
#include "kernels/head_linear/op.h"
#include "kernels/kv_write/op.h"
#include "kernels/linear/op.h"
#include "kernels/mla_attention/op.h"
#include "kernels/op_list.h"
#include "kernels/permute/op.h"
#include "kernels/rms_norm/op.h"
#include "kernels/rope/op.h"
#include "kernels/router/op.h"
#include "kernels/silu_mul/op.h"
#include "kernels/unpermute/op.h"
#include "runtime/plan/plan_internal.h"

#define TOKENS     81 // all steps: 9, 1, 1, 64, 5 and 1 tokens
#define FEW_TOKENS 11 // the first three

// ---- faults ----

typedef void (*alter_fn)(void *params);

static void wrong_eps(void *params)
{
    ((iso_rms_norm *)params)->eps += 1e-3f;
}
static void wrong_eps_at_64(void *params)
{
    if (iso_tensor_rows(&((iso_rms_norm *)params)->x) == 64)
        wrong_eps(params);
}
static void turned_too_large(void *params)
{
    ((iso_rope *)params)->scale *= 1.0001f;
}
static void wrong_mla_scale(void *params)
{
    ((iso_mla_attention *)params)->scale *= 1.01f;
}
static void wrong_gqa_scale(void *params)
{
    ((iso_gqa_attention *)params)->scale *= 1.01f;
}
static void last_column_not_written(void *params)
{
    iso_linear *p = params;
    p->y.dims[p->y.rank - 1]--;
    p->weight.dims[0]--;
}
static void row_beside(void *params)
{
    iso_head_linear *p = params;
    p->row_offset += p->row_offset ? -1u : 1u;
}
static void wrong_expert_weights(void *params)
{
    ((iso_router *)params)->scaling *= 1.0001f;
}
static void inverse_permutation(void *params)
{
    iso_permute *p = params;
    iso_tensor row = p->row;
    p->row = p->slot;
    p->slot = row;
}
static void gate_and_up_exchanged(void *params)
{
    iso_silu_mul *p = params;
    iso_tensor gate = p->gate;
    p->gate = p->up;
    p->up = gate;
}
static void shared_expert_forgotten(void *params)
{
    ((iso_unpermute *)params)->base = (iso_tensor){0};
}
static void cache_row_cut(void *params)
{
    iso_kv_write *p = params;
    p->x.dims[p->x.rank - 1]--;
}
static void beside_the_table_row(void *params)
{
    // Never outside of the table: what lies there may be the output.
    ((iso_gather *)params)->table.row_stride--;
}
static void experts_overlap(void *params)
{
    iso_grouped_linear *p = params;
    p->y.dims[2]--;
    p->weight.dims[1]--;
}
static void half_the_vocabulary(void *params)
{
    ((iso_argmax *)params)->x.dims[1] /= 2;
}
static void one_addend_twice(void *params)
{
    iso_add *p = params;
    p->b = p->a;
}
// Wrong where the output lies below the input in the same memory, which happens only where memory is shared.
static void wrong_when_memory_is_shared(void *params)
{
    iso_silu_mul *p = params;
    if (p->y.memory == p->gate.memory && p->y.offset_bytes < p->gate.offset_bytes)
        gate_and_up_exchanged(params);
}

// ---- broken kernels ----

#define MAX_KERNELS 32

// One op of a table with kernels that are changed before they are launched.
typedef struct broken_op {
    iso_op_info info;
    iso_kernel kernels[MAX_KERNELS];
    const iso_kernel *list[MAX_KERNELS];
    alter_fn alter;
} broken_op;

typedef struct broken_table {
    broken_op broken[2];
    uint32_t count;
    const iso_op_info *ops[ISO_OP_COUNT];
    iso_op_table table;
} broken_table;

static broken_table current;

static void launch_broken(const iso_kernel *kernel, const void *params, iso_launch *out)
{
    for (uint32_t i = 0; i < current.count; i++)
        for (uint32_t k = 0; k < current.broken[i].info.kernel_count; k++) {
            if (kernel != &current.broken[i].kernels[k])
                continue;
            uint8_t changed[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8)));
            memcpy(changed, params, sizeof changed);
            current.broken[i].alter(changed);
            const iso_kernel *sound = iso_ops()->ops[iso_op_add]->kernels[0];
            for (uint32_t op = 0; op < ISO_OP_COUNT; op++)
                if (strcmp(iso_ops()->ops[op]->name, kernel->op) == 0)
                    sound = iso_ops()->ops[op]->kernels[k];
            sound->launch(sound, changed, out);
            return;
        }
}

static void break_nothing(void)
{
    current = (broken_table){.table = *iso_ops()};
    memcpy(current.ops, iso_ops()->ops, sizeof current.ops);
    current.table.ops = current.ops;
}

static void break_op(iso_op op, alter_fn alter)
{
    broken_op *b = &current.broken[current.count++];
    b->info = *iso_ops()->ops[op];
    b->alter = alter;
    assert_true(b->info.kernel_count <= MAX_KERNELS);
    for (uint32_t k = 0; k < b->info.kernel_count; k++) {
        b->kernels[k] = *b->info.kernels[k];
        b->kernels[k].launch = launch_broken;
        b->list[k] = &b->kernels[k];
    }
    b->info.kernels = b->list;
    current.ops[op] = &b->info;
}

// ---- the machine ----

typedef struct fixture {
    iso_registry *registry;
    iso_device *device;
    golden golden;
    int32_t ids[TOKENS];
    conform_subject subject;
} fixture;

static void open_subject(fixture *f, const char *model, uint32_t tokens)
{
    assert_int_equal(golden_open(&f->golden, model), 0);
    iso_tensor_view view = golden_tensor(&f->golden, "prompt2.input_ids");
    uint32_t count = golden_ids(&view, f->ids, TOKENS);
    for (uint32_t i = count; i < TOKENS; i++)
        f->ids[i] = f->ids[i % count];
    conform_subject_options options = {.device = f->device,
                                       .build = {.mtp = f->golden.config->mtp_layer_count > 0},
                                       .ids = f->ids,
                                       .id_count = tokens};
    assert_int_equal(conform_subject_create(f->golden.model, &options, &f->subject), ISO_OK);
}

static void close_subject(fixture *f)
{
    conform_subject_destroy(&f->subject);
    golden_close(&f->golden);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    return iso_registry_create(NULL, &f->registry) != ISO_OK ||
           iso_device_open(f->registry, "cpu", NULL, &f->device) != ISO_OK;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    iso_device_close(f->device);
    iso_registry_destroy(f->registry);
    free(f);
    return 0;
}

static conform_bisection bisect(const fixture *f)
{
    conform_bisection found;
    conform_bisect_options options = {.subject = &f->subject,
                                      .device = f->device,
                                      .reference = f->device,
                                      .device_ops = &current.table,
                                      .numerics = &iso_numerics_ieee,
                                      .reference_numerics = &iso_numerics_ieee};
    if (conform_bisect(&options, &found) != ISO_OK)
        fail_msg("%s", iso_status_last()->text);
    return found;
}

static const char *op_of(const fixture *f, const conform_guilty *guilty)
{
    return conform_node_op(f->subject.graph, guilty->node)->name;
}

static void assert_few_runs(const conform_bisection *found)
{
    for (uint32_t i = 0; i < found->guilty_count; i++)
        if (!found->guilty[i].hidden || i == 0)
            assert_true(found->guilty[i].runs <= log2(found->op_count) + 3);
}

// All guilty ops are of this class, at least one is, and the first of that class is among them.
static void assert_named(const fixture *f, const conform_bisection *found, const char *op)
{
    if (found->guilty_count == 0)
        fail_msg("a fault in %s was not found", op);
    for (uint32_t i = 0; i < found->guilty_count; i++)
        if (strcmp(op_of(f, &found->guilty[i]), op) != 0)
            fail_msg("%s is blamed for a fault in %s: %s, step %u, hidden %d, beneath %d, score %g, %s",
                     op_of(f, &found->guilty[i]), op,
                     conform_node_name(f->subject.graph, found->guilty[i].node), found->guilty[i].step,
                     found->guilty[i].hidden, found->guilty[i].beneath, found->guilty[i].verdict.score,
                     found->guilty[i].verdict.note);
    assert_few_runs(found);
}

// ---- tests ----

static void sound_kernels_are_not_guilty(void **state)
{
    static const char *const models[] = {"v3-bf16", "r1-distill-qwen", "v3-fp8"};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        open_subject(f, models[i], i == 0 ? TOKENS : FEW_TOKENS);
        break_nothing();
        conform_bisection found = bisect(f);
        assert_int_equal(found.guilty_count, 0);
        assert_int_equal(found.runs, 2);
        assert_false(found.sampled);
        assert_int_equal(found.unjudged, 0);
        conform_bisection_destroy(&found);
        close_subject(f);
    }
}

// However little of a call is judged, it is never nothing.
static void samples_are_never_empty(void **state)
{
    fixture *f = *state;
    conform_bisect_options options = {.subject = &f->subject,
                                      .device = f->device,
                                      .reference = f->device,
                                      .numerics = &iso_numerics_ieee,
                                      .reference_numerics = &iso_numerics_ieee,
                                      .flops_limit = 1};
    conform_bisection found;
    open_subject(f, "v3-bf16", FEW_TOKENS);
    assert_int_equal(conform_bisect(&options, &found), ISO_OK);
    assert_int_equal(found.guilty_count, 0);
    assert_true(found.sampled);
    assert_int_equal(found.unjudged, 0);
    conform_bisection_destroy(&found);
    close_subject(f);
}

static void each_fault_is_named(void **state)
{
    static const struct {
        iso_op op;
        alter_fn alter;
        const char *model;
    } faults[] = {
        {iso_op_rms_norm, wrong_eps, "v3-bf16"},
        {iso_op_rope, turned_too_large, "v3-bf16"},
        {iso_op_mla_attention, wrong_mla_scale, "v3-bf16"},
        {iso_op_gqa_attention, wrong_gqa_scale, "r1-distill-qwen"},
        {iso_op_linear, last_column_not_written, "v3-bf16"},
        {iso_op_head_linear, row_beside, "v3-bf16"},
        {iso_op_router, wrong_expert_weights, "v3-bf16"},
        {iso_op_permute, inverse_permutation, "v3-bf16"},
        {iso_op_silu_mul, gate_and_up_exchanged, "v3-bf16"},
        {iso_op_unpermute, shared_expert_forgotten, "v3-bf16"},
        {iso_op_kv_write, cache_row_cut, "v3-bf16"},
        {iso_op_gather, beside_the_table_row, "v3-bf16"},
        {iso_op_grouped_linear, experts_overlap, "v3-bf16"},
        {iso_op_argmax, half_the_vocabulary, "v3-bf16"},
        {iso_op_add, one_addend_twice, "v3-bf16"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        open_subject(f, faults[i].model, FEW_TOKENS);
        break_nothing();
        break_op(faults[i].op, faults[i].alter);
        conform_bisection found = bisect(f);
        assert_named(f, &found, iso_ops()->ops[faults[i].op]->name);
        conform_bisection_destroy(&found);
        close_subject(f);
    }
}

static void a_fault_at_one_token_count_is_named(void **state)
{
    fixture *f = *state;
    open_subject(f, "v3-bf16", TOKENS);
    break_nothing();
    break_op(iso_op_rms_norm, wrong_eps_at_64);
    conform_bisection found = bisect(f);
    assert_named(f, &found, "rms_norm");
    for (uint32_t i = 0; i < found.guilty_count; i++) {
        assert_int_equal(found.guilty[i].tokens, 64);
        assert_true(found.guilty[i].one_size);
    }
    conform_bisection_destroy(&found);
    close_subject(f);
}

static void two_faults_are_named(void **state)
{
    fixture *f = *state;
    bool seen[2] = {false, false};
    open_subject(f, "v3-bf16", FEW_TOKENS);
    break_nothing();
    break_op(iso_op_silu_mul, gate_and_up_exchanged);
    break_op(iso_op_head_linear, row_beside);
    conform_bisection found = bisect(f);
    for (uint32_t i = 0; i < found.guilty_count; i++) {
        bool gate = strcmp(op_of(f, &found.guilty[i]), "silu_mul") == 0;
        assert_true(gate || strcmp(op_of(f, &found.guilty[i]), "head_linear") == 0);
        seen[gate] = true;
    }
    assert_true(seen[0] && seen[1]);
    assert_few_runs(&found);
    conform_bisection_destroy(&found);
    close_subject(f);
}

// What follows a guilty op and is off only because of it is an heir, not guilty.
static void heirs_are_told_from_the_guilty(void **state)
{
    fixture *f = *state;
    uint32_t heirs = 0;
    open_subject(f, "r1-distill-qwen", FEW_TOKENS);
    break_nothing();
    break_op(iso_op_gather, beside_the_table_row);
    conform_bisection found = bisect(f);
    assert_named(f, &found, "gather");
    for (uint32_t node = 0; node < found.op_count; node++)
        heirs += found.inherits[node];
    assert_true(heirs > found.op_count / 2);
    assert_false(found.inherits[0]);
    conform_bisection_destroy(&found);
    close_subject(f);
}

// The first op, in the first step, whose output a plan of the whole model puts below its input.
static uint32_t first_sharing(const fixture *f)
{
    const conform_subject *s = &f->subject;
    const iso_graph *graph = s->graph;
    for (uint32_t step = 0; step < s->step_count; step++)
        for (uint32_t node = 0; node < iso_graph_node_count(graph); node++) {
            const iso_node *n = iso_graph_node(graph, node);
            const uint64_t *offsets = s->plan->sizes[s->steps[step].size].offsets;
            if (n->op == iso_op_silu_mul && offsets[iso_graph_value_info(graph, n->operands[2])->base] <
                                                offsets[iso_graph_value_info(graph, n->operands[0])->base])
                return node;
        }
    return UINT32_MAX;
}

static void a_fault_that_hides_from_the_observer_is_named(void **state)
{
    fixture *f = *state;
    open_subject(f, "v3-bf16", FEW_TOKENS);
    break_nothing();
    break_op(iso_op_silu_mul, wrong_when_memory_is_shared);
    conform_bisection found = bisect(f);
    assert_named(f, &found, "silu_mul");
    assert_true(found.guilty[0].hidden);
    assert_int_equal(found.guilty[0].node, first_sharing(f));
    conform_bisection_destroy(&found);
    close_subject(f);
}

// ---- simulated chips ----

// A registry with a chip of that one fault, and the chip opened.
typedef struct chip {
    char path[64];
    iso_registry *registry;
    iso_device *device;
} chip;

static chip open_chip(const char *fault)
{
    chip c = {.path = "/tmp/isomer-bisect-XXXXXX"};
    int file = mkstemp(c.path);
    assert_true(file >= 0);
    FILE *text = fdopen(file, "w");
    fprintf(text, "name Broken\n%s\n", fault);
    fclose(text);
    setenv("ISOMER_SIM_CHIPS", c.path, 1);
    if (iso_registry_create_for(NULL, (const char *const[]){"sim:0"}, 1, &c.registry) != ISO_OK ||
        iso_device_open(c.registry, "sim:0", NULL, &c.device) != ISO_OK)
        fail_msg("%s: %s", fault, iso_status_last()->text);
    return c;
}

static void close_chip(chip *c)
{
    iso_device_close(c->device);
    iso_registry_destroy(c->registry);
    unlink(c->path);
}

static conform_bisect_options options_for(const fixture *f, const chip *c)
{
    return (conform_bisect_options){.subject = &f->subject,
                                    .device = c->device,
                                    .reference = f->device,
                                    .numerics = &iso_numerics_ieee,
                                    .reference_numerics = &iso_numerics_ieee};
}

// The case of the first guilty call fails on the chip and passes on a sound device.
static void assert_case_runs_alone(const fixture *f, const conform_bisect_options *options,
                                   const conform_bisection *found)
{
    char path[80];
    conform_result on_chip = {0}, on_cpu = {0};
    snprintf(path, sizeof path, "/tmp/isomer-bisect-%d.case", (int)getpid());
    assert_int_equal(conform_bisect_write_case(options, found, &found->guilty[0], path), ISO_OK);
    assert_int_equal(conform_case_run(path, options->device, &on_chip), ISO_OK);
    assert_int_equal(conform_case_run(path, f->device, &on_cpu), ISO_OK);
    assert_int_equal(on_chip.outcome, CONFORM_FAIL);
    assert_int_equal(on_cpu.outcome, CONFORM_PASS);
    json_decref(on_chip.more);
    json_decref(on_cpu.more);
    unlink(path);
}

static void faults_of_chips_are_named(void **state)
{
    static const struct {
        const char *op, *fault;
    } faults[] = {
        {"linear", "fault linear store sum round bf16"},
        {"rms_norm", "fault rms_norm load eps mul 1000"},
        {"rope", "fault rope result sin_phase mul 1.0001"},
        {"mla_attention", "fault mla_attention load scale mul 1.01"},
        {"head_linear", "fault head_linear load row_offset set 0"},
        {"router", "fault router load normalise set 0"},
        {"silu_mul", "fault silu_mul result exp_exact mul 1.0001"},
        {"unpermute", "fault unpermute store w round bf16"},
        {"kv_write", "fault kv_write store end add -1"},
        {"grouped_linear", "fault grouped_linear store sum round f16"},
        {"permute", "fault permute write slot add 1 when index == last"},
        {"gather", "fault gather store entry and 0xf"},
    };
    fixture *f = *state;
    open_subject(f, "v3-bf16", FEW_TOKENS);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        chip c = open_chip(faults[i].fault);
        conform_bisect_options options = options_for(f, &c);
        conform_bisection found;
        if (conform_bisect(&options, &found) != ISO_OK)
            fail_msg("%s: %s", faults[i].fault, iso_status_last()->text);
        assert_named(f, &found, faults[i].op);
        assert_case_runs_alone(f, &options, &found);
        conform_bisection_destroy(&found);
        close_chip(&c);
    }
    close_subject(f);
}

// The list of a decode step sees the positions of its first replay: right in the first such step, wrong in
// the next.
static void a_fault_of_the_second_replay_is_named(void **state)
{
    fixture *f = *state;
    open_subject(f, "v3-bf16", FEW_TOKENS);
    chip c = open_chip("fault rope list stale positions");
    conform_bisect_options options = options_for(f, &c);
    conform_bisection found;
    assert_int_equal(conform_bisect(&options, &found), ISO_OK);
    assert_named(f, &found, "rope");
    for (uint32_t i = 0; i < found.guilty_count; i++) {
        assert_int_equal(found.guilty[i].step, 2);
        assert_true(found.guilty[i].late);
    }
    conform_bisection_destroy(&found);
    close_chip(&c);
    close_subject(f);
}

static void a_sound_chip_is_not_guilty(void **state)
{
    static const char *const features[] = {"", "feature contract", "feature subgroup 16"};
    fixture *f = *state;
    open_subject(f, "v3-bf16", FEW_TOKENS);
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        chip c = open_chip(features[i]);
        conform_bisect_options options = options_for(f, &c);
        conform_bisection found;
        assert_int_equal(conform_bisect(&options, &found), ISO_OK);
        assert_int_equal(found.guilty_count, 0);
        conform_bisection_destroy(&found);
        close_chip(&c);
    }
    close_subject(f);
}

// The class of the broken op is the only one that moves the logits much.
static void swapping_ranks_the_broken_class_first(void **state)
{
    fixture *f = *state;
    conform_swap swaps[ISO_OP_COUNT];
    uint32_t count;
    open_subject(f, "v3-bf16", FEW_TOKENS);
    chip c = open_chip("fault head_linear store sum round bf16");
    conform_bisect_options options = options_for(f, &c);
    assert_int_equal(conform_swap_run(&options, swaps, &count), ISO_OK);
    assert_true(count > 10);
    assert_int_equal(swaps[0].op, iso_op_head_linear);
    assert_true(swaps[0].rms > 100 * swaps[1].rms);
    close_chip(&c);
    close_subject(f);
}

// What the reference would read far outside of its memory is not run; the other classes are ranked.
static void swapping_survives_wild_indices(void **state)
{
    fixture *f = *state;
    conform_swap swaps[ISO_OP_COUNT];
    uint32_t count;
    open_subject(f, "v3-bf16", FEW_TOKENS);
    chip c = open_chip("fault permute write slot add 100000000");
    conform_bisect_options options = options_for(f, &c);
    assert_int_equal(conform_swap_run(&options, swaps, &count), ISO_OK);
    assert_true(count > 10);
    assert_int_equal(swaps[0].op, iso_op_permute);
    assert_true(isinf(swaps[0].rms) && swaps[1].rms < 1e-5);
    close_chip(&c);
    close_subject(f);
}

// ---- choices ----

// Four experts of which two are chosen; the second and third key differ by `gap`.
static conform_choice judge_two_of_four(float gap, const int32_t index[2])
{
    float logits[4] = {2.0f, 1.0f, 1.0f - gap, -1.0f};
    iso_router p = {.sigmoid = true, .scaling = 1};
    const iso_tensor plain = {.dtype = ISO_DTYPE_F32, .rank = 2, .dims = {1, 4, 1, 1}, .row_stride = 4};
    p.logits = p.index = p.weight = plain;
    p.logits.host = logits;
    p.index.dtype = ISO_DTYPE_I32;
    p.index.dims[1] = p.weight.dims[1] = p.index.row_stride = p.weight.row_stride = 2;
    conform_choice choice;
    assert_int_equal(conform_judge_choice(&p, index, &iso_numerics_ieee, &choice), ISO_OK);
    return choice;
}

static void choices_are_judged_by_margins(void **state)
{
    (void)state;
    static const int32_t exact[2] = {0, 1}, other[2] = {0, 2};
    assert_int_equal(judge_two_of_four(1e-1f, exact).differ, 0);
    assert_int_equal(judge_two_of_four(1.2e-7f, other).differ, 1);
    assert_true(judge_two_of_four(1.2e-7f, other).score <= 1);
    assert_true(judge_two_of_four(1e-4f, other).score > 1);
    assert_true(judge_two_of_four(1e-1f, other).score > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_kernels_are_not_guilty),
        cmocka_unit_test(samples_are_never_empty),
        cmocka_unit_test(each_fault_is_named),
        cmocka_unit_test(a_fault_at_one_token_count_is_named),
        cmocka_unit_test(two_faults_are_named),
        cmocka_unit_test(heirs_are_told_from_the_guilty),
        cmocka_unit_test(a_fault_that_hides_from_the_observer_is_named),
        cmocka_unit_test(a_sound_chip_is_not_guilty),
        cmocka_unit_test(faults_of_chips_are_named),
        cmocka_unit_test(a_fault_of_the_second_replay_is_named),
        cmocka_unit_test(swapping_ranks_the_broken_class_first),
        cmocka_unit_test(swapping_survives_wild_indices),
        cmocka_unit_test(choices_are_judged_by_margins),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
