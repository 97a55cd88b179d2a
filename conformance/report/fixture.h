// SPDX-License-Identifier: MIT
//
// Made-up runs for the tests of the report: every kind of record that a suite can give, with names that try
// to be markup, from a fixed generator. Nothing here was measured.
#ifndef ISOMER_CONFORMANCE_REPORT_FIXTURE_H
#define ISOMER_CONFORMANCE_REPORT_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/report/report.h"

typedef struct fixture {
    conform_record *records;
    size_t count, capacity;
    uint64_t state; // of the generator
} fixture;

static inline double fixture_uniform(fixture *f)
{
    f->state = f->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(f->state >> 11) / 0x1p53;
}

// ISO_OK or the test program ends: it has no memory.
static inline conform_record *fixture_add(fixture *f, const char *suite, conform_outcome outcome,
                                          const char *check)
{
    if (iso_grow(NULL, sizeof *f->records, f->count + 1, (void **)&f->records, &f->capacity) != ISO_OK)
        exit(1);
    conform_record *record = &f->records[f->count++];
    *record = (conform_record){.level = CONFORM_STANDARD, .seconds = 0.01 + 0.05 * fixture_uniform(f)};
    snprintf(record->suite, sizeof record->suite, "%s", suite);
    snprintf(record->device, sizeof record->device, "opencl:0");
    record->result = conform_result_make(outcome, check, "%s", "");
    record->tries = 1;
    return record;
}

static inline void fixture_ops(fixture *f)
{
    static const char *const ops[] = {"add",         "argmax",   "gather", "grouped_linear",
                                      "head_linear", "kv_write", "linear", "mla_attention",
                                      "rms_norm",    "rope",     "router", "silu_mul"};
    static const char *const types[] = {"f32_bf16_f32",   "f32_f32_f32",    "f32_e4m3_f32",
                                        "bf16_bf16_bf16", "bf16_e4m3_bf16", "e4m3_e4m3_f32"};
    static const char *const stresses[] = {"normal", "cancel", "tiny", "integer"};
    for (size_t o = 0; o < sizeof ops / sizeof ops[0]; o++)
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
            for (int c = 0; c < 6 * 4; c++) {
                bool refused = t == 5 && o % 3 != 0, bad = o == 7 && t == 3 && c >= 20;
                conform_record *r = fixture_add(f, "ops",
                                                refused ? CONFORM_UNSUPPORTED
                                                : bad   ? CONFORM_FAIL
                                                        : CONFORM_PASS,
                                                "");
                snprintf(r->unit, sizeof r->unit, "ops/%s/%s/%d/%s", ops[o], types[t], c / 4,
                         stresses[c % 4]);
                snprintf(r->result.check, sizeof r->result.check, "%s.portable.%s", ops[o], types[t]);
                snprintf(r->result.op, sizeof r->result.op, "%s", ops[o]);
                if (refused) {
                    snprintf(r->result.detail, sizeof r->result.detail,
                             "width %d: the device has no FP8; wanted: 8-bit storage", 64 << c % 7);
                    continue;
                }
                double k = pow(2, 4 + floor(fixture_uniform(f) * 9));
                r->result.score = c % 4 == 3 ? 0
                                             : 0.6 * pow(10, -2.5 * fixture_uniform(f) * fixture_uniform(f)) *
                                                   pow(k / 4096, 0.25);
                if (bad) {
                    r->result.score = 1.7 + c;
                    r->failures = r->tries = 3;
                    snprintf(r->result.detail, sizeof r->result.detail,
                             "output 0 [3, %d]: got 1.25, reference 1.0, bound 0.03", c);
                }
                r->result.input_hash = r->result.output_hash = f->state;
                r->result.more = json_pack("{s:i}", "k", (int)k);
                r->result.samples[0] =
                    (conform_sample){.index = 7, .got = 1 + 0.01 * r->result.score, .want = 1, .bound = 0.01};
                r->result.sample_count = 1;
            }
}

static inline void fixture_model(fixture *f, const char *model, int layers)
{
    json_t *curve = json_array();
    double error = 2e-7;
    for (int l = 0; l < layers; l++) {
        error *= 1.02 + 0.15 * fixture_uniform(f);
        json_array_append_new(curve,
                              json_pack("{s:i,s:f,s:f}", "layer", l, "worst", error, "rms", error / 9));
    }
    conform_record *r = fixture_add(f, "model", CONFORM_PASS, "hidden states");
    snprintf(r->unit, sizeof r->unit, "model/%s/forced", model);
    r->result.more = json_pack("{s:o}", "layers", curve);
    r->result.score = 0.3;
    r->seconds = 4.5;
}

static inline void fixture_rest(fixture *f)
{
    for (int i = 0; i < 24; i++) {
        conform_record *r = fixture_add(f, "device", i == 5 ? CONFORM_EXPECTED_FAIL : CONFORM_PASS, "copies");
        snprintf(r->unit, sizeof r->unit, "device/copy/%d", i);
        snprintf(r->result.detail, sizeof r->result.detail, "%s",
                 i == 5 ? "the driver's fence signals early; see expected.def" : "");
    }
    conform_record *r = fixture_add(f, "device", CONFORM_CRASH, "module from a damaged binary");
    snprintf(r->unit, sizeof r->unit, "device/module/damaged");
    snprintf(r->result.detail, sizeof r->result.detail, "the process ended with signal 11");
    r->failures = 1;
    r = fixture_add(f, "links", CONFORM_HANG, "cpu to <u>opencl:0</u>");
    snprintf(r->unit, sizeof r->unit, "links/cpu-opencl:0/both");
    snprintf(r->result.detail, sizeof r->result.detail, "no answer for 60 s </p><script>alert(1)</script>");
    r->failures = 1;
    r = fixture_add(f, "links", CONFORM_SKIP, "vulkan:0 to cpu");
    snprintf(r->unit, sizeof r->unit, "links/vulkan:0-cpu/both");
    snprintf(r->result.detail, sizeof r->result.detail, "this machine has no second device");
    fixture_model(f, "v3-fp8", 12);
    fixture_model(f, "v2-lite", 27);
}

static inline void fixture_make(fixture *f)
{
    *f = (fixture){.state = 4};
    fixture_ops(f);
    fixture_rest(f);
}

static inline void fixture_end(fixture *f)
{
    for (size_t i = 0; i < f->count; i++)
        conform_record_deinit(&f->records[i]);
    iso_free(NULL, f->records);
}

static inline conform_header fixture_header(void)
{
    conform_header header = {.program = "isomer 0.1.0",
                             .device = "opencl:pocl",
                             .level = CONFORM_STANDARD,
                             .seed = 1,
                             .date = "2026-11-23T16:43:20Z",
                             .host = "Linux 6.1.0 x86_64, a processor"};
    memset(header.suite, 'a', 64);
    memset(header.kernels, 'b', 64);
    memset(header.binary, 'c', 64);
    return header;
}

static inline conform_summary fixture_summary(void)
{
    static const char *const names[] = {"Core",         "MLA", "MoE",   "FP8-native",
                                        "FP8-emulated", "GQA", "Mixed", "Deterministic"};
    conform_summary summary = {
        .device = "opencl:0",
        .info = {.struct_bytes = sizeof(iso_device_info),
                 .backend = "opencl",
                 .name = "pthread <img src=x onerror=alert(1)> \"AMD\" & 'EPYC'",
                 .driver = "Portable Computing Language 3.1 </title><script>x</script>",
                 .arch = "x86-64",
                 .available = true,
                 .memory_bytes = 27ull << 30,
                 .max_allocation_bytes = 8ull << 30,
                 .buffer_alignment_bytes = 128,
                 .max_group_size = 4096,
                 .local_memory_bytes = 512 << 10,
                 .compute_units = 2,
                 .max_argument_bytes = 1024,
                 .features = ISO_FEATURE_F64 | ISO_FEATURE_INT64,
                 .code_formats = {ISO_CODE_OPENCL_C}},
        .numerics = {.unit = 0x1p-24,
                     .flush = 0x1p-126,
                     .exp_unit = 1.2e-7,
                     .root_unit = 0x1p-23,
                     .bf16_unit = 0x1p-8,
                     .matrix_units = {[ISO_MATRIX_BF16] = 0x1p-23, [ISO_MATRIX_E4M3] = 0x1p-13}},
        .unit_count = 1760,
        .worker_count = 3,
        .seconds = 141.5,
        .date = "2026-11-23T16:45:42Z"};
    summary.measured = json_pack("{s:s, s:b, s:f, s:i, s:s}", "contracts", "never", "flushes_results", 1,
                                 "exp_error", 1.19e-7, "sum_bits", 24, "fp8", "none");
    for (uint32_t i = 0; i < 8; i++) {
        conform_verdict *verdict = &summary.verdicts[summary.verdict_count++];
        snprintf(verdict->profile, sizeof verdict->profile, "%s", names[i]);
        snprintf(verdict->verdict, sizeof verdict->verdict, "%s",
                 i == 1   ? "fail"
                 : i == 3 ? "incomplete"
                          : "pass");
        snprintf(verdict->missing, sizeof verdict->missing, "%s",
                 i == 1 ? "attention over latents: 4 failed, first ops/mla_attention/bf16_bf16_bf16/5/normal"
                 : i == 3 ? "E4M3 weights: width 64: the device has no FP8; wanted: 8-bit storage"
                          : "");
    }
    return summary;
}

#endif
