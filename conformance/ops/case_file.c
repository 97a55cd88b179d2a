// SPDX-License-Identifier: MIT
//
// Writing standalone cases, and running one (case_file.h).
#include "conformance/ops/case_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "conformance/ops/attributes.h"
#include "conformance/ops/case_layout.h"
#include "conformance/ops/trial.h"
#include "runtime/base/strings.h"
#include "runtime/plan/plan_internal.h"

// ---- writing ----

// The first operand that lies in the same memory, or the operand itself.
static uint32_t shared_with(const iso_tensor *tensors, uint32_t operand)
{
    uint32_t first = 0;
    while (!iso_tensor_present(&tensors[first]) || tensors[first].host != tensors[operand].host)
        first++;
    return first;
}

// Elements of the storage that the file carries: none of an output that the op writes whole.
static uint64_t stored_elems(const iso_op_info *op, const iso_tensor *tensors, uint32_t operand)
{
    if (!iso_tensor_present(&tensors[operand]) || shared_with(tensors, operand) != operand ||
        (operand >= op->input_count && !guarded_keeps(op, operand - op->input_count)))
        return 0;
    uint64_t most = 0; // of the views that share it
    for (uint32_t i = operand; i < op->input_count + op->output_count; i++)
        if (iso_tensor_present(&tensors[i]) && tensors[i].host == tensors[operand].host &&
            guarded_extent(&tensors[i]) > most)
            most = guarded_extent(&tensors[i]);
    return most;
}

static json_t *describe_tensor(const iso_op_info *op, const iso_tensor *tensors, uint32_t operand)
{
    const iso_tensor *t = &tensors[operand];
    if (!iso_tensor_present(t))
        return json_pack("{s:s}", "dtype", "none");
    json_t *dims = json_array();
    for (uint32_t i = 0; i < t->rank; i++)
        json_array_append_new(dims, json_integer(t->dims[i]));
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I}", "dtype", iso_dtype_name(t->dtype), "dims", dims,
                     "row_stride", (json_int_t)t->row_stride, "view_offset", (json_int_t)t->view_offset,
                     "elements", (json_int_t)stored_elems(op, tensors, operand), "shares",
                     (json_int_t)shared_with(tensors, operand));
}

static iso_status append_block(iso_text *body, const void *data, uint64_t bytes)
{
    static const char zeros[CASE_ALIGNMENT] = {0};
    ISO_TRY(iso_text_append_bytes(body, data, bytes));
    return iso_text_append_bytes(body, zeros, case_aligned(bytes) - bytes);
}

static iso_status append_body(const conform_case *test_case, iso_text *body)
{
    const iso_op_info *op = test_case->op;
    const iso_tensor *tensors = test_case->params;
    for (uint32_t i = 0; i < op->input_count + op->output_count; i++) {
        uint64_t elems = stored_elems(op, tensors, i);
        if (elems > 0)
            ISO_TRY(append_block(body, tensors[i].host, elems * iso_dtype_bytes(tensors[i].dtype)));
    }
    for (uint32_t o = 0; o < op->output_count; o++) {
        uint64_t bytes = iso_tensor_elems(&tensors[op->input_count + o]) * sizeof(double);
        ISO_TRY(append_block(body, test_case->expected[o].value, bytes));
        ISO_TRY(append_block(body, test_case->expected[o].bound, bytes));
    }
    return ISO_OK;
}

// Drivers' words may be anything; JSON takes UTF-8 only.
static void clean(const char *text, char out[CONFORM_DETAIL_BYTES])
{
    iso_copy_text(out, CONFORM_DETAIL_BYTES, text);
    for (char *at = out; *at; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            *at = '?';
}

static json_t *describe_case(const conform_case *test_case, const iso_text *body)
{
    const iso_op_info *op = test_case->op;
    const iso_tensor *tensors = test_case->params;
    char hash[17], seed[24], detail[CONFORM_DETAIL_BYTES];
    clean(test_case->detail, detail);
    snprintf(hash, sizeof hash, "%016" PRIx64, XXH3_64bits(body->data, body->length));
    snprintf(seed, sizeof seed, "%" PRIu64, test_case->seed);
    json_t *list = json_array(), *expected = json_array();
    for (uint32_t i = 0; i < op->input_count + op->output_count; i++)
        json_array_append_new(list, describe_tensor(op, tensors, i));
    for (uint32_t o = 0; o < op->output_count; o++)
        json_array_append_new(expected,
                              json_integer((json_int_t)iso_tensor_elems(&tensors[op->input_count + o])));
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "suite", CONFORM_CASE_VERSION,
                     "unit", test_case->unit, "op", op->name, "kernel", test_case->kernel, "seed", seed,
                     "detail", detail, "hash", hash, "attributes",
                     conform_attributes_get(op, test_case->params), "tensors", list, "expected", expected);
}

static iso_status write_all(const char *path, const char *header, const iso_text *body)
{
    uint64_t length = strlen(header), padded = case_aligned(length);
    static const char spaces[CASE_ALIGNMENT + 1] = "        ";
    FILE *file = fopen(path, "wb");
    if (!file)
        return iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    bool written = fwrite(CASE_MAGIC, CASE_MAGIC_BYTES, 1, file) == 1 &&
                   fwrite(&padded, sizeof padded, 1, file) == 1 && fwrite(header, length, 1, file) == 1 &&
                   (padded == length || fwrite(spaces, padded - length, 1, file) == 1) &&
                   (body->length == 0 || fwrite(body->data, body->length, 1, file) == 1);
    int error = errno;
    if (fclose(file) != 0 && written) {
        written = false;
        error = errno;
    }
    return written ? ISO_OK : iso_fail(ISO_IO, "%s: %s", path, strerror(error));
}

static iso_status write_aside(const char *path, const char *header, const iso_text *body)
{
    iso_text aside = {0};
    iso_status status = iso_text_append(&aside, "%s.%ld", path, (long)getpid());
    if (status == ISO_OK)
        status = write_all(iso_text_get(&aside), header, body);
    if (status == ISO_OK && rename(iso_text_get(&aside), path) != 0)
        status = iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    if (status != ISO_OK && aside.data)
        unlink(aside.data);
    iso_text_deinit(&aside);
    return status;
}

iso_status conform_case_write_file(const char *path, const conform_case *test_case)
{
    iso_text body = {0};
    json_t *described = NULL;
    char *header = NULL;
    iso_status status;
    ISO_TRY_GOTO(append_body(test_case, &body), done);
    described = describe_case(test_case, &body);
    header = described ? json_dumps(described, JSON_COMPACT) : NULL;
    status = header ? write_aside(path, header, &body)
                    : iso_fail(ISO_INTERNAL, "case %s: its texts are no UTF-8", test_case->unit);
done:
    free(header);
    json_decref(described);
    iso_text_deinit(&body);
    return status;
}

iso_status conform_case_write(const char *folder, const conform_case *test_case, char *out_path,
                              size_t path_bytes)
{
    iso_text path = {0};
    iso_status status;
    if (out_path && path_bytes > 0)
        out_path[0] = 0;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return iso_fail(ISO_IO, "%s: %s", folder, strerror(errno));
    ISO_TRY_GOTO(iso_text_append(&path, "%s/", folder), done);
    for (const char *at = test_case->unit; *at; at++)
        ISO_TRY_GOTO(iso_text_append(&path, "%c", *at == '/' ? '_' : *at), done);
    ISO_TRY_GOTO(iso_text_append(&path, ".case"), done);
    status = conform_case_write_file(path.data, test_case);
    if (status == ISO_OK && out_path)
        iso_copy_text(out_path, path_bytes, path.data);
done:
    iso_text_deinit(&path);
    return status;
}

// ---- running ----

iso_status conform_case_judge(const conform_case *test_case, const iso_kernel *kernel, iso_device *device,
                              conform_result *out_result)
{
    const conform_trial trial = {.op = test_case->op,
                                 .kernel = kernel,
                                 .params = test_case->params,
                                 .expected = test_case->expected,
                                 .device = device,
                                 .seed = test_case->seed,
                                 .thorough = true};
    return conform_trial_run(&trial, out_result);
}

// The file's kernel where the device takes it, else the first that it takes.
static iso_status choose_kernel(const conform_case *test_case, iso_device *device,
                                const iso_kernel **out_kernel)
{
    iso_text reasons = {0};
    const iso_op_info *op = test_case->op;
    iso_status status = ISO_OK;
    *out_kernel = NULL;
    for (uint32_t k = 0; k < op->kernel_count && status == ISO_OK; k++) {
        char reason[ISO_REASON_BYTES] = "";
        const iso_kernel *kernel = op->kernels[k];
        if (iso_plan_kernel_fits(kernel, test_case->params, iso_device_get_info(device), reason)) {
            if (!*out_kernel || strcmp(kernel->name, test_case->kernel) == 0)
                *out_kernel = kernel;
        } else {
            status = iso_text_append(&reasons, "%s%s: %s", k ? "; " : "", kernel->name, reason);
        }
    }
    if (status == ISO_OK && !*out_kernel)
        status = iso_fail(ISO_UNSUPPORTED, "device %s has no kernel for this case of %s (%s)",
                          iso_device_name(device), op->name, iso_text_get(&reasons));
    iso_text_deinit(&reasons);
    return status;
}

iso_status conform_case_run(const char *path, iso_device *device, conform_result *out_result)
{
    case_content content;
    const iso_kernel *kernel;
    ISO_TRY(conform_case_read(path, &content));
    iso_status status = choose_kernel(&content.test_case, device, &kernel);
    if (status == ISO_OK)
        status = conform_case_judge(&content.test_case, kernel, device, out_result);
    conform_case_content_deinit(&content);
    return status;
}
