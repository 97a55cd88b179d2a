// SPDX-License-Identifier: MIT
//
// Every kernel of a simulated CUDA chip under many orders of its warps and blocks, and with its approximate
// instructions and matrix sums off by what the ISA allows. Whatever the order: the same bits, no report of
// the simulator's, scores within the bounds. Prints the scores of the tuned kernels, exact and perturbed.
//
// What would be caught: a result that depends on who comes first (a missing barrier, a sum in order of
// arrival), a race that only some orders show, a kernel that is right only where ex2 or rsqrt is exact.
//
//     orders_test [ORDERS [PERTURBATIONS]]     50 and 3 where not given; ISOMER_CUDASIM_ARCH says which chip
//
// The simulator reads its settings once, so each run is a process of its own.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/ops/modules.h"
#include "conformance/ops/units.h"
#include "conformance/support/tally.h"
#include "runtime/plan/plan_internal.h"

#define SEED 1
enum { MAX_RUNS = 512, CASES_EACH = 3, TUNED_TERMS = 4000000 };

// A kernel over a case.
typedef struct order_run {
    char kernel[64], unit[CONFORM_UNIT_BYTES];
    bool tuned;
    conform_outcome outcome;
    double score;
    uint64_t hash;
    char detail[CONFORM_DETAIL_BYTES];
} order_run;

// All runs of one process.
typedef struct order {
    uint32_t count;
    char failure[CONFORM_DETAIL_BYTES]; // of the process as a whole; "" otherwise
    order_run runs[MAX_RUNS];
} order;

// ---- in the process that opens the device ----

// The cases of one kernel that are run: the smallest, and of a tuned one, below TUNED_TERMS, that with the
// most work and that with the most rows as well, for which tiles are chosen otherwise.
typedef struct choice {
    conform_op_case wanted[CASES_EACH];
    uint64_t merit[CASES_EACH];
} choice;

static void consider(choice *choice, const iso_kernel *kernel, const conform_op_case *wanted,
                     const conform_built *built)
{
    const iso_tensor *y = (const iso_tensor *)built->params + wanted->op->input_count;
    const uint64_t work = conform_case_work(wanted->op, built->params);
    const uint64_t merit[CASES_EACH] = {UINT64_MAX - work, work, iso_tensor_rows(y)};
    const bool is_larger_wanted = kernel->backend && work <= TUNED_TERMS;
    for (int c = 0; c < (is_larger_wanted ? CASES_EACH : 1); c++)
        if (!choice->wanted[c].op || merit[c] > choice->merit[c]) {
            choice->wanted[c] = *wanted;
            choice->merit[c] = merit[c];
        }
}

static iso_status choose(const iso_op_info *op, const iso_device_info *info, choice *choices)
{
    conform_triple triples[CONFORM_MAX_TRIPLES];
    char reason[ISO_REASON_BYTES];
    uint32_t triple_count = conform_triples(op, triples);
    for (uint32_t t = 0; t < triple_count; t++)
        for (uint32_t n = 0; n < op->case_count; n++) {
            conform_op_case wanted = {.op = op, .triple = triples[t], .number = n};
            conform_built built;
            iso_status status = conform_built_init(&built, &wanted, SEED, true);
            if (status == ISO_INVALID_ARGUMENT)
                continue; // the case is outside of the contract in these types
            ISO_TRY(status);
            for (uint32_t k = 0; k < op->kernel_count; k++)
                if (iso_plan_kernel_fits(op->kernels[k], built.params, info, reason))
                    consider(&choices[k], op->kernels[k], &wanted, &built);
            conform_built_deinit(&built);
        }
    return ISO_OK;
}

static iso_status run_case(conform_context *context, const conform_op_case *wanted, const iso_kernel *kernel,
                           order *out)
{
    conform_built built;
    conform_result result;
    order_run *run = &out->runs[out->count];
    if (out->count == MAX_RUNS)
        return iso_fail(ISO_LIMIT, "more than %d runs", MAX_RUNS);
    snprintf(run->kernel, sizeof run->kernel, "%s", kernel->name);
    snprintf(run->unit, sizeof run->unit, "ops/%s/%s/%u", wanted->op->name, wanted->triple.name,
             wanted->number);
    run->tuned = kernel->backend != NULL;
    ISO_TRY(conform_built_init(&built, wanted, SEED, false));
    iso_status status = conform_built_refer(&built, wanted, &context->numerics);
    if (status == ISO_OK)
        status = conform_run_kernel(context, wanted, &built, kernel, run->unit, &result);
    conform_built_deinit(&built);
    ISO_TRY(status);
    run->outcome = result.outcome;
    run->score = result.score;
    run->hash = result.output_hash;
    memcpy(run->detail, result.detail, sizeof run->detail);
    json_decref(result.more);
    out->count++;
    return ISO_OK;
}

// Whether the case is chosen for another of its merits already.
static bool is_earlier(const choice *choice, int at)
{
    const conform_op_case *wanted = &choice->wanted[at];
    for (int c = 0; c < at; c++)
        if (choice->wanted[c].number == wanted->number &&
            strcmp(choice->wanted[c].triple.name, wanted->triple.name) == 0)
            return true;
    return false;
}

static iso_status run_all(iso_registry *registry, iso_device *device, order *out)
{
    conform_context context = {
        .registry = registry, .device = device, .seed = SEED, .numerics = iso_numerics_ieee};
    iso_status status = conform_modules_create(device, &context.modules);
    for (uint32_t o = 0; o < iso_ops()->count && status == ISO_OK; o++) {
        const iso_op_info *op = iso_ops()->ops[o];
        choice choices[CONFORM_MAX_KERNELS] = {0};
        status = conform_kernels_fit(op);
        if (status == ISO_OK)
            status = choose(op, iso_device_get_info(device), choices);
        for (uint32_t k = 0; k < op->kernel_count; k++)
            for (int c = 0; c < CASES_EACH && status == ISO_OK; c++)
                if (choices[k].wanted[c].op && !is_earlier(&choices[k], c))
                    status = run_case(&context, &choices[k].wanted[c], op->kernels[k], out);
    }
    conform_modules_destroy(context.modules);
    return status;
}

static void run_here(order *out)
{
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    const char *name = "cuda:0";
    iso_status status = iso_registry_create_for(NULL, &name, 1, &registry);
    if (status == ISO_OK)
        status = iso_device_open(registry, name, NULL, &device);
    if (status == ISO_OK)
        status = run_all(registry, device, out);
    if (status != ISO_OK)
        snprintf(out->failure, sizeof out->failure, "%s", iso_status_last()->text);
    iso_device_close(device);
    iso_registry_destroy(registry);
}

// ---- one process an order ----

static bool write_all(int to, const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t wrote = write(to, (const char *)data + at, bytes - at);
        if (wrote <= 0)
            return false;
        at += (size_t)wrote;
    }
    return true;
}

static bool read_all(int from, void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = read(from, (char *)data + at, bytes - at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

// The simulator's reports: none but its summary.
static bool check_reports(const char *path, const char *label, tally *counts)
{
    char text[1024];
    uint32_t lines = 0, clean = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return tally_check(counts, false, "%s: the simulator wrote no summary", label);
    while (fgets(text, sizeof text, file)) {
        lines++;
        if (strstr(text, ": summary: ") && strstr(text, ", 0 findings"))
            clean++;
        else
            printf("%s", text);
    }
    fclose(file);
    return tally_check(counts, lines == 1 && clean == 1, "%s: %u reports of the simulator's", label,
                       lines - clean);
}

// Runs everything with one setting of the simulator's changed.
static bool run_order(const char *setting, unsigned value, order *out, tally *counts)
{
    char label[64], number[16], report[] = "/tmp/isomer-orders-XXXXXX";
    int ends[2], status = 0, made = mkstemp(report);
    *out = (order){0};
    snprintf(label, sizeof label, "%s=%u", setting, value);
    snprintf(number, sizeof number, "%u", value);
    if (made < 0 || pipe(ends))
        return tally_check(counts, false, "%s: no temporary file or pipe", label);
    close(made);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        setenv(setting, number, 1);
        setenv("ISOMER_CUDASIM_REPORT", report, 1);
        setenv("ISOMER_CUDASIM_QUIET", "1", 1);
        run_here(out);
        exit(write_all(ends[1], out, sizeof *out) ? 0 : 1);
    }
    close(ends[1]);
    bool whole = child > 0 && read_all(ends[0], out, sizeof *out);
    close(ends[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    bool ended =
        tally_check(counts, whole && WIFEXITED(status) && WEXITSTATUS(status) == 0 && out->failure[0] == 0,
                    "%s: the run did not end well: %s", label, whole ? out->failure : "no result");
    if (ended)
        check_reports(report, label, counts);
    unlink(report);
    return ended;
}

static void check_scores(const order *order, const char *label, tally *counts)
{
    for (uint32_t i = 0; i < order->count; i++)
        tally_check(counts, order->runs[i].outcome == CONFORM_PASS, "%s, %s, %s: score %.3g: %s", label,
                    order->runs[i].unit, order->runs[i].kernel, order->runs[i].score, order->runs[i].detail);
}

static void check_bits(const order *first, const order *other, unsigned seed, tally *counts)
{
    if (!tally_check(counts, first->count == other->count, "order %u: %u runs, in order 0 %u", seed,
                     other->count, first->count))
        return;
    for (uint32_t i = 0; i < first->count; i++)
        tally_check(counts, first->runs[i].hash == other->runs[i].hash,
                    "order %u, %s, %s: output %016" PRIx64 ", in order 0 %016" PRIx64, seed,
                    first->runs[i].unit, first->runs[i].kernel, other->runs[i].hash, first->runs[i].hash);
}

static void print_scores(const order *exact, const double *perturbed)
{
    printf("%-48s %-44s %9s %9s\n", "tuned kernel", "case", "exact", "perturbed");
    for (uint32_t i = 0; i < exact->count; i++)
        if (exact->runs[i].tuned)
            printf("%-48s %-44s %9.3f %9.3f\n", exact->runs[i].kernel, exact->runs[i].unit,
                   exact->runs[i].score, perturbed[i]);
}

int main(int argc, char **argv)
{
    static order first, other;
    static double perturbed[MAX_RUNS];
    tally counts = {0};
    const char *simulator = getenv("ISOMER_CUDA_SIMULATOR");
    unsigned orders = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 50;
    unsigned perturbations = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 3;
    if (!simulator) {
        tally_skip(&counts, "ISOMER_CUDA_SIMULATOR does not name the simulator's library");
        return tally_close(&counts, "orders");
    }
    setenv("ISOMER_CUDA_DRIVER", simulator, 1);
    setenv("ISOMER_CUDA_NVRTC", "off", 1); // what ships is what is run
    if (run_order("ISOMER_CUDASIM_SEED", 0, &first, &counts)) {
        check_scores(&first, "exact", &counts);
        for (unsigned seed = 1; seed < orders; seed++)
            if (run_order("ISOMER_CUDASIM_SEED", seed, &other, &counts))
                check_bits(&first, &other, seed, &counts);
        for (unsigned seed = 1; seed <= perturbations; seed++) {
            if (!run_order("ISOMER_CUDASIM_APPROXIMATION", seed, &other, &counts))
                continue;
            check_scores(&other, "perturbed", &counts);
            for (uint32_t i = 0; i < other.count; i++)
                if (other.runs[i].score > perturbed[i])
                    perturbed[i] = other.runs[i].score;
        }
        print_scores(&first, perturbed);
        printf("%u kernels' runs, %u orders, %u perturbations\n", first.count, orders, perturbations);
    }
    return tally_close(&counts, "orders");
}
