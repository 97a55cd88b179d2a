// SPDX-License-Identifier: MIT
//
// Printing what a bisect found (bisect_print.h).
#include "tools/isomer/bisect_print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/isomer/device_names.h"
#include "tools/isomer/output.h"

static const iso_graph *graph_of(const bisect_report *report)
{
    return report->options->subject->graph;
}

static const char *name_of(const bisect_report *report, uint32_t node)
{
    return conform_node_name(graph_of(report), node);
}

static const char *op_of(const bisect_report *report, uint32_t node)
{
    return conform_node_op(graph_of(report), node)->name;
}

static uint32_t heir_count(const conform_bisection *found)
{
    uint32_t count = 0;
    for (uint32_t node = 0; node < found->op_count; node++)
        count += found->inherits[node];
    return count;
}

// When it shows, in words.
static const char *when(const conform_guilty *guilty)
{
    if (guilty->hidden && guilty->late)
        return "only unobserved, and not in the first step";
    if (guilty->hidden)
        return "only unobserved";
    if (guilty->late)
        return "only when its list is replayed";
    return guilty->one_size ? "only at this number of tokens" : "always";
}

static const char *score_text(double score, char out[24])
{
    snprintf(out, 24, isinf(score) ? "infinite" : "%.3g", score);
    return out;
}

// ---- text ----

static void print_guilty(const bisect_report *report, const conform_guilty *guilty)
{
    const conform_verdict *verdict = &guilty->verdict;
    char score[24];
    printf("guilty   %s  (op %s, layer %d, kernel %s)\n", name_of(report, guilty->node),
           op_of(report, guilty->node), iso_graph_node(graph_of(report), guilty->node)->layer,
           guilty->kernel ? guilty->kernel->name : "-");
    printf("  shows  %s: step %u, of %u tokens; error / bound %s; named after %u partial runs\n",
           when(guilty), guilty->step, guilty->tokens, score_text(verdict->score, score), guilty->runs);
    if (verdict->note[0])
        printf("  note   %s\n", verdict->note);
    if (!guilty->hidden && verdict->worst.bound > 0)
        printf("  worst  output %u, element %llu: got %.9g, reference %.9g, bound %.3g\n",
               verdict->worst.output, (unsigned long long)verdict->worst.index, verdict->worst.got,
               verdict->worst.want, verdict->worst.bound);
}

// Whether an earlier entry has this kernel.
static bool told(const conform_bisection *found, uint32_t i)
{
    for (uint32_t before = 0; before < i; before++)
        if (found->guilty[before].kernel == found->guilty[i].kernel &&
            found->guilty[before].hidden == found->guilty[i].hidden)
            return true;
    return false;
}

static void print_others(const bisect_report *report, uint32_t first)
{
    const conform_bisection *found = report->found;
    uint32_t count = 0;
    for (uint32_t i = first + 1; i < found->guilty_count; i++)
        count += found->guilty[i].kernel == found->guilty[first].kernel &&
                 found->guilty[i].hidden == found->guilty[first].hidden;
    if (count)
        printf("  also   %u more ops with this kernel\n", count);
}

static void print_devices(const conform_bisect_options *options)
{
    iso_device *const devices[] = {options->device, options->reference};
    for (uint32_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        cli_print_device(stdout, iso_device_name(devices[i]), iso_device_get_info(devices[i]));
}

void bisect_print(const bisect_report *report)
{
    const conform_bisection *found = report->found;
    printf("%s on %s, reference %s: %u ops, %u steps, %u partial runs on the device\n", report->model,
           iso_device_name(report->options->device), iso_device_name(report->options->reference),
           found->op_count, report->options->subject->step_count, found->runs);
    print_devices(report->options);
    if (found->sampled)
        printf("some calls are large: they were judged by a sample of their rows\n");
    if (found->transport[0])
        printf("transport: %s\n", found->transport);
    for (uint32_t i = 0; i < found->guilty_count; i++) {
        if (told(found, i))
            continue;
        print_guilty(report, &found->guilty[i]);
        print_others(report, i);
    }
    if (found->wild)
        printf("it was not run unobserved: a guilty op makes indices, and what reads them could touch any "
               "memory\n");
    if (heir_count(found))
        printf("inherits: %u other ops are off by more than their own bound only because of what they read\n",
               heir_count(found));
    if (report->case_path[0])
        printf("case     %s: isomer conform --case %s --device %s\n", report->case_path, report->case_path,
               iso_device_name(report->options->device));
    if (report->case_path[0] && found->guilty[0].hidden)
        printf("         (alone it may pass: this fault shows only among other ops)\n");
    if (found->unjudged)
        printf("not judged: %u calls; they read what is not finite or indices out of range, or left no "
               "element to judge\n",
               found->unjudged);
    if (found->guilty_count == 0 && !found->transport[0])
        printf(found->unjudged ? "no op is guilty of what was judged\n" : "no op is guilty\n");
}

// ---- JSON ----

// JSON has no infinity.
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : cli_json_text("infinite");
}

static json_t *guilty_json(const bisect_report *report, const conform_guilty *guilty)
{
    json_t *object = json_object();
    cli_json_put(&object, "node", cli_json_text(name_of(report, guilty->node)));
    cli_json_put(&object, "number", cli_json_count(guilty->node));
    cli_json_put(&object, "op", cli_json_text(op_of(report, guilty->node)));
    cli_json_put(&object, "layer", json_integer(iso_graph_node(graph_of(report), guilty->node)->layer));
    cli_json_put(&object, "kernel", cli_json_text(guilty->kernel ? guilty->kernel->name : NULL));
    cli_json_put(&object, "step", cli_json_count(guilty->step));
    cli_json_put(&object, "tokens", cli_json_count(guilty->tokens));
    cli_json_put(&object, "shows", cli_json_text(when(guilty)));
    cli_json_put(&object, "hidden", json_boolean(guilty->hidden));
    cli_json_put(&object, "score", number(guilty->verdict.score));
    cli_json_put(&object, "note", cli_json_text(guilty->verdict.note));
    cli_json_put(&object, "runs", cli_json_count(guilty->runs));
    return object;
}

json_t *bisect_json(const bisect_report *report)
{
    const conform_bisection *found = report->found;
    json_t *object = json_object(), *guilty = json_array(), *heirs = json_array();
    for (uint32_t i = 0; i < found->guilty_count; i++)
        cli_json_add(&guilty, guilty_json(report, &found->guilty[i]));
    for (uint32_t node = 0; node < found->op_count; node++)
        if (found->inherits[node])
            cli_json_add(&heirs, cli_json_text(name_of(report, node)));
    cli_json_put(&object, "model", cli_json_text(report->model));
    const iso_device *device = report->options->device;
    cli_put_device(&object, iso_device_name(device), iso_device_get_info(device));
    cli_json_put(&object, "reference", cli_json_text(iso_device_name(report->options->reference)));
    cli_json_put(&object, "ops", cli_json_count(found->op_count));
    cli_json_put(&object, "runs", cli_json_count(found->runs));
    cli_json_put(&object, "sampled", json_boolean(found->sampled));
    cli_json_put(&object, "unjudged", cli_json_count(found->unjudged));
    cli_json_put(&object, "transport", cli_json_text(found->transport));
    cli_json_put(&object, "guilty", guilty);
    cli_json_put(&object, "inherits", heirs);
    cli_json_put(&object, "case", cli_json_text(report->case_path[0] ? report->case_path : NULL));
    return object;
}

// ---- swap ----

static const char *class_name(const conform_bisect_options *options, const conform_swap *swap)
{
    return iso_graph_ops(options->subject->graph)->ops[swap->op]->name;
}

void swap_print(const conform_bisect_options *options, const conform_swap *swaps, uint32_t count)
{
    printf("one class of ops on %s, all else on %s; differences of the logits over their RMS\n",
           iso_device_name(options->device), iso_device_name(options->reference));
    print_devices(options);
    printf("%-20s %6s %12s %12s %16s\n", "ops", "count", "rms", "worst", "other experts");
    for (uint32_t i = 0; i < count; i++)
        printf("%-20s %6u %12.3g %12.3g %16u\n", class_name(options, &swaps[i]), swaps[i].node_count,
               swaps[i].rms, swaps[i].worst, swaps[i].choices);
}

json_t *swap_json(const conform_bisect_options *options, const conform_swap *swaps, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *entry = json_object();
        cli_json_put(&entry, "op", cli_json_text(class_name(options, &swaps[i])));
        cli_json_put(&entry, "count", cli_json_count(swaps[i].node_count));
        cli_json_put(&entry, "rms", number(swaps[i].rms));
        cli_json_put(&entry, "worst", number(swaps[i].worst));
        cli_json_put(&entry, "other_experts", cli_json_count(swaps[i].choices));
        cli_json_add(&list, entry);
    }
    return list;
}
