// SPDX-License-Identifier: MIT
//
// Every golden model (conformance/golden/models) on every device, against its float64 answers:
//   f32          every position's logits within 5e-5 of the RMS, the same experts, the same 24 greedy tokens;
//   MTP too bf16         dense models: worst 0.25, RMS 0.03; mixtures of experts forced to the exact experts:
//   0.4 and 0.05
//
//     oracle_test [--table] [MODEL …]      --table prints Markdown; ISOMER_TEST_DEVICES narrows the devices
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/support/fleet.h"
#include "isomer/runner.h"

#define GOLDEN        ISOMER_SOURCE_DIR "/conformance/golden/models/"
#define PROMPTS       3
#define GREEDY_TOKENS 24
#define MAX_PROMPT    256
#define F32_BOUND     5e-5

// One model's golden data and its runner on one device.
typedef struct trial {
    const char *name;
    iso_model *model;
    const iso_model_config *config;
    iso_checkpoint *expected;
    iso_runner *runner;
    iso_step_token tokens[MAX_PROMPT];
    iso_step_result results[MAX_PROMPT];
    int32_t *forced; // [tokens, MoE layers, k]
} trial;

// What one run over all prompts showed, relative to the RMS of the exact logits.
typedef struct finding {
    double worst, rms;
    unsigned wrong_experts, wrong_tokens, mtp_rows;
    double mtp_worst;
    bool failed; // a call failed; its text was printed
} finding;

static bool call(const trial *t, iso_status status)
{
    if (status != ISO_OK)
        printf("  %s: %s\n", t->name, iso_status_last()->text);
    return status == ISO_OK;
}

static iso_tensor_view expect(const trial *t, const char *format, ...) ISO_PRINTF(2, 3);
static iso_tensor_view expect(const trial *t, const char *format, ...)
{
    char name[64];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    iso_tensor_view view = {0};
    if (iso_checkpoint_has(t->expected, name) && iso_checkpoint_find(t->expected, name, &view) != ISO_OK)
        abort();
    return view;
}

static const int32_t *forced_row(const trial *t, uint32_t prompt, uint32_t token)
{
    uint32_t moe_layers = t->config->layer_count - t->config->first_dense_layers;
    return prompt == PROMPTS - 1 && t->forced
               ? t->forced + (size_t)token * moe_layers * t->config->experts_per_token
               : NULL;
}

// Exact experts of the longest prompt, per token and MoE layer.
static void load_forced(trial *t)
{
    const iso_model_config *c = t->config;
    uint32_t k = c->experts_per_token, first = c->first_dense_layers, layers = c->layer_count - first;
    t->forced = calloc((size_t)MAX_PROMPT * layers * k, sizeof(int32_t));
    for (uint32_t l = 0; l < layers; l++) {
        iso_tensor_view view = expect(t, "router.%u.indices", first + l);
        for (uint64_t i = 0; i < view.dims[0]; i++)
            for (uint32_t j = 0; j < k; j++)
                t->forced[(i * layers + l) * k + j] =
                    (int32_t)iso_load_element(view.data, ISO_DTYPE_I32, i * k + j);
    }
}

static double rms_of(const iso_tensor_view *view)
{
    double sum = 0;
    uint64_t count = view->bytes / 4;
    for (uint64_t i = 0; i < count; i++)
        sum += pow(iso_load_element(view->data, ISO_DTYPE_F32, i), 2);
    return sqrt(sum / (double)count);
}

// Differences from one exact tensor, relative to its RMS.
typedef struct distance {
    iso_tensor_view want;
    double rms, worst, square_sum;
} distance;

static distance distance_from(iso_tensor_view want)
{
    return (distance){.want = want, .rms = want.data ? rms_of(&want) : 1};
}

// NaN is larger than anything.
static double larger(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

static void compare_row(distance *d, const float *got, uint64_t row)
{
    uint64_t width = d->want.dims[1];
    for (uint64_t v = 0; v < width; v++) {
        double exact = iso_load_element(d->want.data, ISO_DTYPE_F32, row * width + v);
        double error = fabs((double)got[v] - exact) / d->rms;
        if (!(error <= d->worst) && !isnan(d->worst)) // a NaN stays
            d->worst = error;
        d->square_sum += error * error;
    }
}

static unsigned count_wrong_experts(trial *t, uint32_t first_token, uint32_t count)
{
    const iso_model_values *values = iso_runner_values(t->runner);
    uint32_t k = t->config->experts_per_token;
    unsigned wrong = 0;
    for (uint32_t layer = 0; layer < t->config->layer_count; layer++) {
        int32_t got[MAX_PROMPT * 16];
        if (values->experts[layer] == ISO_NO_VALUE)
            continue;
        iso_tensor_view want = expect(t, "router.%u.indices", layer);
        if (!want.data || !call(t, iso_runner_read_indices(t->runner, values->experts[layer], count, got)))
            return UINT32_MAX;
        for (uint32_t i = 0; i < count * k; i++)
            wrong +=
                got[i] != (int32_t)iso_load_element(want.data, ISO_DTYPE_I32, (uint64_t)first_token * k + i);
    }
    return wrong;
}

// Runs a whole prompt in chunks and judges each row as it comes.
static bool run_prompt(trial *t, uint32_t prompt, bool check_experts, uint32_t sequence, finding *found)
{
    iso_tensor_view ids = expect(t, "prompt%u.input_ids", prompt), next = expect(t, "mtp.input_ids");
    distance main = distance_from(expect(t, "prompt%u.logits", prompt));
    distance mtp = distance_from(expect(t, "mtp.logits"));
    uint32_t length = (uint32_t)ids.dims[0], chunk = iso_runner_chunk_tokens(t->runner);
    bool with_mtp = iso_runner_values(t->runner)->mtp_logits != ISO_NO_VALUE && prompt == PROMPTS - 1;
    for (uint32_t done = 0; done < length;) {
        uint32_t n = length - done < chunk ? length - done : chunk;
        for (uint32_t i = 0; i < n; i++)
            t->tokens[i] = (iso_step_token){
                .id = (int32_t)iso_load_element(ids.data, ISO_DTYPE_I32, done + i),
                .sequence = sequence,
                .want_logits = true,
                .next_id = with_mtp ? (int32_t)iso_load_element(next.data, ISO_DTYPE_I32, done + i) : 0,
                .forced_experts = forced_row(t, prompt, done + i),
            };
        if (!call(t, iso_runner_step(t->runner, t->tokens, n, t->results)))
            return false;
        for (uint32_t i = 0; i < n; i++) {
            compare_row(&main, t->results[i].logits, done + i);
            if (with_mtp)
                compare_row(&mtp, t->results[i].mtp_logits, done + i);
        }
        if (check_experts && prompt == PROMPTS - 1)
            found->wrong_experts += count_wrong_experts(t, done, n);
        found->mtp_rows += with_mtp ? n : 0;
        done += n;
    }
    found->worst = larger(main.worst, found->worst);
    found->mtp_worst = larger(mtp.worst, found->mtp_worst);
    found->rms = larger(sqrt(main.square_sum / ((double)length * t->config->vocab_size)), found->rms);
    return true;
}

static bool run_greedy(trial *t, uint32_t prompt, uint32_t sequence, finding *found)
{
    iso_tensor_view want = expect(t, "prompt%u.greedy_ids", prompt);
    uint32_t last =
        (uint32_t)(expect(t, "prompt%u.input_ids", prompt).dims[0] - 1) % iso_runner_chunk_tokens(t->runner);
    int32_t picked = t->results[last].picked;
    for (uint32_t i = 0; i < GREEDY_TOKENS; i++) {
        found->wrong_tokens += picked != (int32_t)iso_load_element(want.data, ISO_DTYPE_I32, i);
        iso_step_token token = {.id = picked, .sequence = sequence, .want_logits = true};
        if (!call(t, iso_runner_step(t->runner, &token, 1, t->results)))
            return false;
        picked = t->results[0].picked;
    }
    return true;
}

static finding run_prompts(trial *t, bool greedy, uint32_t first_prompt)
{
    finding found = {0};
    for (uint32_t prompt = first_prompt; prompt < PROMPTS && !found.failed; prompt++) {
        uint32_t sequence;
        found.failed = !call(t, iso_runner_open_sequence(t->runner, &sequence)) ||
                       !run_prompt(t, prompt, greedy, sequence, &found) ||
                       (greedy && !run_greedy(t, prompt, sequence, &found));
        iso_runner_close_sequence(t->runner, sequence);
    }
    return found;
}

static bool open_runner(trial *t, iso_device *device, iso_dtype activation, iso_build_options build)
{
    iso_runner_options options = {
        .devices = &device,
        .device_count = 1,
        .activation = activation,
        .build = build,
        .context_tokens = 256,
        .all_rows = true,
        .poison = true,
    };
    return call(t, iso_runner_create(t->model, &options, &t->runner));
}

// The F32 run: logits, experts, tokens, and MTP where the model has it (MTP needs next ids, so in a run of
// its own).
static finding run_f32(trial *t, iso_device *device)
{
    finding found = {.failed = true};
    if (open_runner(t, device, ISO_DTYPE_F32, (iso_build_options){.expose_routing = true}))
        found = run_prompts(t, true, 0);
    iso_runner_destroy(t->runner);
    t->runner = NULL;
    if (!found.failed && t->config->mtp_layer_count && expect(t, "mtp.logits").data) {
        finding mtp = {.failed = true};
        if (open_runner(t, device, ISO_DTYPE_F32, (iso_build_options){.mtp = true}))
            mtp = run_prompts(t, false, PROMPTS - 1);
        iso_runner_destroy(t->runner);
        t->runner = NULL;
        found.mtp_worst = mtp.mtp_worst;
        found.mtp_rows = mtp.mtp_rows;
        found.failed = mtp.failed;
    }
    return found;
}

static finding run_bf16(trial *t, iso_device *device)
{
    bool experts = t->config->routed_expert_count > 0;
    finding found = {.failed = true};
    if (experts)
        load_forced(t);
    if (open_runner(t, device, ISO_DTYPE_BF16, (iso_build_options){.force_routing = experts}))
        found = run_prompts(t, false, experts ? PROMPTS - 1 : 0);
    iso_runner_destroy(t->runner);
    t->runner = NULL;
    free(t->forced);
    t->forced = NULL;
    return found;
}

static bool judge(const trial *t, const char *device, const finding *f32, const finding *bf16, bool table)
{
    bool experts = t->config->routed_expert_count > 0;
    bool ok = !f32->failed && f32->worst <= F32_BOUND && f32->wrong_experts == 0 && f32->wrong_tokens == 0 &&
              f32->mtp_worst <= F32_BOUND && !bf16->failed && bf16->worst <= (experts ? 0.4 : 0.25) &&
              bf16->rms <= (experts ? 0.05 : 0.03);
    if (t->config->mtp_layer_count && f32->mtp_rows == 0)
        ok = false;
    char mtp[32] = "–";
    if (f32->mtp_rows)
        snprintf(mtp, sizeof mtp, "%.1e", f32->mtp_worst);
    printf(table ? "| %s | %s | %.1e | %u | %u | %s | %.3f | %.4f | %s |\n"
                 : "%-17s %-9s f32 worst %.1e, %u wrong experts, %u wrong tokens, mtp %s; bf16 worst %.3f, "
                   "rms %.4f: %s\n",
           t->name, device, f32->worst, f32->wrong_experts, f32->wrong_tokens, mtp, bf16->worst, bf16->rms,
           ok ? "ok" : "FAIL");
    fflush(stdout);
    return ok;
}

static bool open_model(trial *t, const char *name)
{
    char path[512];
    *t = (trial){.name = name};
    snprintf(path, sizeof path, GOLDEN "%s", name);
    if (!call(t, iso_model_open(path, NULL, &t->model)))
        return false;
    t->config = iso_model_get_config(t->model);
    snprintf(path, sizeof path, GOLDEN "%s/expected.safetensors", name);
    return call(t, iso_checkpoint_open(path, NULL, &t->expected));
}

// Whether the arguments name the model, or name none.
static bool wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

// Each folder of golden models is one; a new one needs no line here.
static int is_model(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && !strchr(entry->d_name, '.');
}

static void run_model(const char *name, const fleet *fleet, bool table, unsigned *passed, unsigned *failed)
{
    static trial t;
    bool open = open_model(&t, name);
    for (uint32_t d = 0; d < fleet->count; d++) {
        bool ok = false;
        if (open) {
            finding f32 = run_f32(&t, fleet->devices[d]);
            finding bf16 = run_bf16(&t, fleet->devices[d]);
            ok = judge(&t, iso_device_name(fleet->devices[d]), &f32, &bf16, table);
        }
        *passed += ok;
        *failed += !ok;
    }
    iso_checkpoint_close(t.expected);
    iso_model_close(t.model);
}

int main(int argc, char **argv)
{
    bool table = argc > 1 && strcmp(argv[1], "--table") == 0;
    unsigned passed = 0, failed = 0;
    fleet fleet;
    struct dirent **entries;
    int count = scandir(GOLDEN, &entries, is_model, alphasort);
    if (count <= 0 || fleet_open(&fleet))
        return 1;
    if (table)
        printf("\n| model | device | f32 worst error | wrong experts | wrong tokens | MTP worst | bf16 worst "
               "| bf16 RMS | "
               "|\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (int i = 0; i < count; i++) {
        if (wanted(entries[i]->d_name, argc - 1 - table, argv + 1 + table))
            run_model(entries[i]->d_name, &fleet, table, &passed, &failed);
        free(entries[i]);
    }
    free(entries);
    fleet_close(&fleet);
    printf("oracles: %u passed, %u failed, 0 skipped\n", passed, failed);
    return failed || passed == 0;
}
