// SPDX-License-Identifier: MIT
//
// What a run was made with, as hashes: the suite (cases, inputs, references and their bounds), the kernels,
// and the program's own file; and the other facts that a header begins with.
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "conformance/ops/cases.h"
#include "conformance/report/files.h"
#include "conformance/report/record.h"
#include "kernels/case.h"

static void add_text(crypto_hash_sha256_state *state, const char *text)
{
    crypto_hash_sha256_update(state, (const unsigned char *)text, strlen(text) + 1);
}

static void add_number(crypto_hash_sha256_state *state, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
    crypto_hash_sha256_update(state, bytes, sizeof bytes);
}

// 24 bits of it: the last bits of exp and its like may differ between mathematics libraries.
static void add_double(crypto_hash_sha256_state *state, double value)
{
    int exponent = 0;
    double mantissa = isfinite(value) ? frexp(value, &exponent) : 0;
    add_number(state, (uint64_t)(int64_t)(mantissa * 0x1p24));
    add_number(state, (uint64_t)(int64_t)(isfinite(value) ? exponent : isnan(value) ? 100000 : 200000));
}

static void end(crypto_hash_sha256_state *state, char out[CONFORM_SHA256_TEXT])
{
    unsigned char hash[CONFORM_SHA256_BYTES];
    crypto_hash_sha256_final(state, hash);
    sodium_bin2hex(out, CONFORM_SHA256_TEXT, hash, sizeof hash);
}

static void add_outputs(crypto_hash_sha256_state *state, const iso_op_info *op, const void *params,
                        const iso_reference_output *outputs)
{
    const iso_tensor *tensors = (const iso_tensor *)params + op->input_count;
    for (uint32_t o = 0; o < op->output_count; o++)
        for (uint64_t i = 0; i < iso_tensor_elems(&tensors[o]); i++) {
            add_double(state, outputs[o].value[i]);
            add_double(state, outputs[o].bound[i]);
        }
}

// The op's first case with these types, as its reference answers it.
static iso_status add_reference(crypto_hash_sha256_state *state, const iso_op_info *op,
                                const iso_dtype dtypes[3])
{
    uint8_t params[ISO_OP_PARAMS_BYTES] __attribute__((aligned(8))) = {0};
    iso_reference_output outputs[ISO_MAX_OPERANDS] = {{0}};
    iso_case_builder builder = {.seed = 1};
    memcpy(builder.dtypes, dtypes, sizeof builder.dtypes);
    iso_status status = op->build_case(op->cases[0], &builder, params);
    const iso_tensor *tensors = (const iso_tensor *)params + op->input_count;
    for (uint32_t o = 0; o < op->output_count && status == ISO_OK; o++) {
        size_t elems = iso_tensor_elems(&tensors[o]) ? iso_tensor_elems(&tensors[o]) : 1;
        status = ISO_NEW(NULL, elems, &outputs[o].value);
        if (status == ISO_OK)
            status = ISO_NEW(NULL, elems, &outputs[o].bound);
    }
    if (status == ISO_OK)
        status = op->reference(params, &iso_numerics_ieee, outputs);
    if (status == ISO_OK)
        add_outputs(state, op, params, outputs);
    for (uint32_t o = 0; o < ISO_MAX_OPERANDS; o++) {
        iso_free(NULL, outputs[o].value);
        iso_free(NULL, outputs[o].bound);
    }
    iso_case_end(&builder);
    return status == ISO_OK ? ISO_OK : iso_status_prefix("the reference of %s", op->name);
}

static iso_status add_op(crypto_hash_sha256_state *state, const iso_op_info *op)
{
    conform_triple triples[CONFORM_MAX_TRIPLES];
    uint32_t triple_count = conform_triples(op, triples);
    add_text(state, op->name);
    add_number(state, op->bound_version);
    for (uint32_t c = 0; c < op->case_count; c++)
        for (int n = 0; n < 8; n++)
            add_number(state, op->cases[c][n]);
    for (uint32_t t = 0; t < triple_count && op->case_count; t++)
        ISO_TRY(add_reference(state, op, triples[t].dtypes));
    return ISO_OK;
}

// The expectation list and the profiles: what a failure and a verdict mean.
static void add_lists(crypto_hash_sha256_state *state)
{
    static const char *const lines[][4] = {
#define CONFORM_EXPECTED(device, unit, reason)            {"expected", device, unit, reason},
#define CONFORM_UNSUPPORTED_FOREVER(device, unit, reason) {"unsupported", device, unit, reason},
#define CONFORM_PROFILE(name, title, about)               {"profile", #name, title, about},
#define CONFORM_NEEDS(profile, pattern, what)             {"needs", #profile, pattern, what},
#include "conformance/expected.def"
#include "conformance/suite/profiles.def"
#undef CONFORM_EXPECTED
#undef CONFORM_UNSUPPORTED_FOREVER
#undef CONFORM_PROFILE
#undef CONFORM_NEEDS
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        for (int part = 0; part < 4; part++)
            add_text(state, lines[i][part]);
}

static iso_status add_units(crypto_hash_sha256_state *state)
{
    conform_unit_list list = {0};
    iso_status status = ISO_OK;
    for (uint32_t s = 0; s < conform_suite_count() && status == ISO_OK; s++)
        status = conform_suite_at(s)->list(&list, NULL);
    for (size_t i = 0; i < list.count && status == ISO_OK; i++) {
        add_text(state, list.units[i].id);
        add_number(state, list.units[i].level);
    }
    conform_unit_list_deinit(&list);
    return status;
}

iso_status conform_suite_version(char out[CONFORM_SHA256_TEXT])
{
    crypto_hash_sha256_state state;
    out[0] = '\0';
    ISO_TRY(conform_sodium());
    crypto_hash_sha256_init(&state);
    add_text(&state, "isomer conformance suite " ISOMER_VERSION);
    ISO_TRY(add_units(&state));
    add_lists(&state);
    for (uint32_t i = 0; i < iso_ops()->count; i++)
        ISO_TRY(add_op(&state, iso_ops()->ops[i]));
    end(&state, out);
    return ISO_OK;
}

static void add_kernel(crypto_hash_sha256_state *state, const iso_kernel *kernel)
{
    add_text(state, kernel->name);
    add_number(state, kernel->group_size);
    for (int i = 0; i < 3; i++)
        add_number(state, (uint64_t)kernel->dtypes[i]);
    add_number(state, (uint64_t)kernel->matrix);
    add_number(state, kernel->matrix_terms);
    for (int i = 0; i < ISO_MAX_CODE_FORMATS && kernel->codes[i].format != ISO_CODE_NONE; i++) {
        const iso_kernel_code *code = &kernel->codes[i];
        add_number(state, (uint64_t)code->format);
        add_number(state, code->native ? code->native->scratch_bytes : code->code_bytes);
        if (code->code)
            crypto_hash_sha256_update(state, code->code, code->code_bytes);
    }
}

iso_status conform_kernels_hash(char out[CONFORM_SHA256_TEXT])
{
    crypto_hash_sha256_state state;
    out[0] = '\0';
    ISO_TRY(conform_sodium());
    crypto_hash_sha256_init(&state);
    for (uint32_t i = 0; i < iso_ops()->count; i++)
        for (uint32_t k = 0; k < iso_ops()->ops[i]->kernel_count; k++)
            add_kernel(&state, iso_ops()->ops[i]->kernels[k]);
    end(&state, out);
    return ISO_OK;
}

void conform_date_now(char out[32])
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

// "Linux 6.1.0 x86_64, Intel(R) Xeon(R) …"
static void describe_host(char *out, size_t bytes)
{
    struct utsname system = {0};
    char line[256], model[96] = "";
    FILE *processor = fopen("/proc/cpuinfo", "re");
    while (processor && model[0] == '\0' && fgets(line, sizeof line, processor))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':'))
            snprintf(model, sizeof model, ", %.*s", (int)strcspn(strchr(line, ':') + 2, "\n"),
                     strchr(line, ':') + 2);
    if (processor)
        fclose(processor);
    uname(&system);
    snprintf(out, bytes, "%.16s %.40s %.16s%.50s", system.sysname, system.release, system.machine, model);
}

iso_status conform_header_init(conform_header *out_header)
{
    uint64_t bytes;
    *out_header = (conform_header){.program = "isomer " ISOMER_VERSION};
    ISO_TRY(conform_suite_version(out_header->suite));
    ISO_TRY(conform_kernels_hash(out_header->kernels));
    if (conform_sha256_file("/proc/self/exe", out_header->binary, &bytes) != ISO_OK)
        out_header->binary[0] = '\0'; // no such file on this system
    conform_date_now(out_header->date);
    describe_host(out_header->host, sizeof out_header->host);
    return ISO_OK;
}
