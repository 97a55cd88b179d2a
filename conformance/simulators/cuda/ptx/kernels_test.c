// SPDX-License-Identifier: MIT
//
// The portable kernels as PTX: every file of a folder loads; several are run against a double-precision
// calculation, under several orders of warps, exact and perturbed, with one and two host threads. No report
// may come, and the bits may not depend on the order. Without an argument there is nothing to read, and the
// test says so.
//   kernels_test FOLDER   files named <op>_<x>_<w>_<y>[.anything].ptx
#include "ptx_test.h"

#include <dirent.h>
#include <math.h>

#define ROWS 11
#define K    150
#define N    130

static float x[ROWS * K], w[N * K], other[ROWS * K], out[ROWS * K], first_out[ROWS * K];
static double expected[ROWS * K], bound;

static float value(uint64_t *seed)
{
    return (float)((int64_t)(next_random(seed) % 4001) - 2000) / 1024.0f;
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

// The values have 11 bits and no small exponents: halves hold them exactly.
static uint16_t narrow(float f, bool half)
{
    uint32_t u = bits_of(f), m = u & 0x7fffffff;
    if (half)
        return (uint16_t)((u >> 16 & 0x8000) | (m ? (m - 0x38000000) >> 13 : 0));
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float widened(uint16_t bits, bool half)
{
    uint32_t m = bits & 0x7fff, u = (uint32_t)bits << 16;
    float f;
    if (half)
        u = (uint32_t)(bits & 0x8000) << 16 | (m ? (m << 13) + 0x38000000 : 0);
    memcpy(&f, &u, 4);
    return f;
}

typedef struct device {
    ptx_memory *memory;
    uint8_t params[256];
    uint32_t used;
} device;

static void number(device *d, uint32_t n)
{
    memcpy(d->params + d->used, &n, 4);
    d->used += 4;
}

static uint64_t pointer(device *d, const void *data, uint64_t bytes, const char *name)
{
    uint64_t address = 0;
    d->used = (d->used + 7) & ~7u;
    if (bytes) {
        ptx_memory_alloc(d->memory, bytes, name, &address);
        if (data)
            ptx_memory_write(d->memory, address, data, bytes);
    }
    memcpy(d->params + d->used, &address, 8);
    d->used += 8;
    return address;
}

typedef struct work {
    uint64_t out_address, out_bytes;
    uint32_t grid[3];
} work;

static work linear(device *d, const char *file)
{
    uint16_t packed[N * K];
    bool half = strstr(file, "_F16_") != NULL, full = strstr(file, "F32_F32_F32") != NULL;
    for (unsigned i = 0; i < N * K; i++)
        packed[i] = narrow(w[i], half);
    for (unsigned r = 0; r < ROWS; r++)
        for (unsigned n = 0; n < N; n++) {
            expected[r * N + n] = 0;
            for (unsigned k = 0; k < K; k++)
                expected[r * N + n] +=
                    (double)x[r * K + k] * (full ? w[n * K + k] : widened(packed[n * K + k], half));
        }
    bound = 1e-4;
    number(d, ROWS);
    pointer(d, x, sizeof x, "x");
    pointer(d, NULL, 0, NULL);
    pointer(d, full ? (void *)w : packed, full ? sizeof w : sizeof packed, "weight");
    pointer(d, NULL, 0, NULL);
    pointer(d, NULL, 0, NULL);
    work job = {.out_bytes = ROWS * N * 4, .grid = {(N + 63) / 64, (ROWS + 7) / 8, 1}};
    job.out_address = pointer(d, NULL, job.out_bytes, "y");
    uint32_t rest[] = {K, N, 0, K, full ? K : K / 2, 0, 0, N};
    for (unsigned i = 0; i < 8; i++)
        number(d, rest[i]);
    return job;
}

static work add(device *d)
{
    for (unsigned i = 0; i < ROWS * K; i++)
        expected[i] = x[i] + other[i];
    bound = 0;
    number(d, ROWS);
    pointer(d, x, sizeof x, "a");
    pointer(d, other, sizeof other, "b");
    work job = {.out_bytes = ROWS * K * 4, .grid = {1, ROWS, 1}};
    job.out_address = pointer(d, NULL, job.out_bytes, "y");
    uint32_t rest[] = {K, 0, K, 0, K, 0, K};
    for (unsigned i = 0; i < 7; i++)
        number(d, rest[i]);
    return job;
}

static work rms_norm(device *d)
{
    for (unsigned r = 0; r < ROWS; r++) {
        double sum = 0;
        for (unsigned k = 0; k < K; k++)
            sum += (double)x[r * K + k] * x[r * K + k];
        for (unsigned k = 0; k < K; k++)
            expected[r * K + k] = x[r * K + k] / sqrt(sum / K + 1e-6) * w[k];
    }
    bound = 1e-5;
    number(d, ROWS);
    pointer(d, x, sizeof x, "x");
    pointer(d, w, K * 4, "weight");
    work job = {.out_bytes = ROWS * K * 4, .grid = {ROWS, 1, 1}};
    job.out_address = pointer(d, NULL, job.out_bytes, "y");
    uint32_t rest[] = {K, 0, K, 0, K, bits_of(1e-6f)};
    for (unsigned i = 0; i < 6; i++)
        number(d, rest[i]);
    return job;
}

// ROWS tokens of one sequence, 2 heads of 16 on one of keys and values, all in one page of 64.
static work gqa_attention(device *d)
{
    enum { HEADS = 2, DIM = 16, PAGE = 64 };
    float cache[PAGE * DIM], values[PAGE * DIM];
    int32_t table = 0, positions[ROWS], sequence[ROWS] = {0};
    memset(cache, 0, sizeof cache);
    memset(values, 0, sizeof values);
    for (unsigned i = 0; i < ROWS * DIM; i++) {
        cache[i] = w[i];
        values[i] = other[i];
    }
    for (int t = 0; t < ROWS; t++) {
        positions[t] = t;
        for (int h = 0; h < HEADS; h++) {
            double weight[ROWS], total = 0;
            for (int k = 0; k <= t; k++) {
                double score = 0;
                for (int i = 0; i < DIM; i++)
                    score += (double)x[(t * HEADS + h) * DIM + i] * cache[k * DIM + i];
                total += weight[k] = exp(score * 0.25);
            }
            for (int i = 0; i < DIM; i++) {
                double *e = &expected[(t * HEADS + h) * DIM + i];
                *e = 0;
                for (int k = 0; k <= t; k++)
                    *e += weight[k] / total * values[k * DIM + i];
            }
        }
    }
    bound = 1e-5;
    number(d, ROWS);
    pointer(d, x, ROWS * HEADS * DIM * 4, "q");
    pointer(d, cache, sizeof cache, "k_cache");
    pointer(d, values, sizeof values, "v_cache");
    pointer(d, &table, 4, "block_table");
    pointer(d, positions, sizeof positions, "positions");
    pointer(d, sequence, sizeof sequence, "sequence");
    work job = {.out_bytes = ROWS * HEADS * DIM * 4, .grid = {ROWS, HEADS, 1}};
    job.out_address = pointer(d, NULL, job.out_bytes, "y");
    uint32_t rest[] = {HEADS, 1, DIM, 1, 0, DIM, 0, DIM, bits_of(0.25f)};
    for (unsigned i = 0; i < 9; i++)
        number(d, rest[i]);
    return job;
}

static void compare(const char *file, const work *job, bool first)
{
    double worst = 0;
    unsigned at = 0;
    for (unsigned i = 0; i < job->out_bytes / 4; i++) {
        double error = fabs(out[i] - expected[i]) / (1 + fabs(expected[i]));
        if (!(error <= worst)) {
            worst = error;
            at = i;
        }
    }
    CHECK(worst <= bound, "%s: element %u is %g, not %g", file, at, (double)out[at], expected[at]);
    if (first)
        memcpy(first_out, out, job->out_bytes);
}

static void run_kernel(const char *file, const char *op, const char *text, size_t bytes)
{
    for (unsigned run = 0; run < 8; run++) {
        char message[PTX_MESSAGE_BYTES];
        device d = {.memory = ptx_memory_create(0)};
        ptx_module *module;
        reports found = {.count = 0};
        ptx_launch_result result;
        work job;
        uint64_t unwritten;
        ptx_module_load(d.memory, text, bytes, message, &module);
        const ptx_kernel *kernel = module ? ptx_module_find_kernel(module, op) : NULL;
        if (!kernel) {
            CHECK(false, "%s: no kernel %s", file, op);
            ptx_module_destroy(module);
            ptx_memory_destroy(d.memory);
            return;
        }
        job = !strcmp(op, "linear")     ? linear(&d, file)
              : !strcmp(op, "add")      ? add(&d)
              : !strcmp(op, "rms_norm") ? rms_norm(&d)
                                        : gqa_attention(&d);
        ptx_launch launch = {.kernel = kernel,
                             .grid = {job.grid[0], job.grid[1], job.grid[2]},
                             .block = {64, 1, 1},
                             .params = d.params,
                             .param_bytes = d.used,
                             .thread_count = 1 + run % 2,
                             .schedule_seed = run,
                             .approximation_seed = run >= 6 ? run : 0,
                             .report = collect,
                             .user = &found};
        launch.block[0] = ptx_kernel_describe(kernel).max_threads;
        ptx_status status = ptx_launch_run(d.memory, &launch, &result);
        CHECK(status == PTX_OK, "%s: %s", file, result.message);
        CHECK(found.count == 0, "%s (order %u): %s", file, run, found.list[0].text);
        ptx_memory_read(d.memory, job.out_address, out, job.out_bytes, &unwritten);
        CHECK(unwritten == 0, "%s: %llu bytes were not written", file, (unsigned long long)unwritten);
        compare(file, &job, run == 0);
        CHECK(run >= 6 || memcmp(out, first_out, job.out_bytes) == 0, "%s: other bits in order %u", file,
              run);
        ptx_module_destroy(module);
        ptx_memory_destroy(d.memory);
    }
}

static bool is_run(const char *file, char *op)
{
    static const char *const names[] = {"linear_F32_BF16_F32",  "linear_F32_F16_F32",
                                        "linear_F32_F32_F32",   "add_F32_NONE_F32",
                                        "rms_norm_F32_F32_F32", "gqa_attention_F32_NONE_F32"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(file, names[i], strlen(names[i])) == 0) {
            const char *end = strstr(file, "_F32");
            snprintf(op, 64, "%.*s", (int)(end - file), file);
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    static char text[4 << 20];
    unsigned files = 0, runs = 0;
    uint64_t seed = 7;
    DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
    if (!folder) {
        printf("skipped: no folder of PTX files%s%s\n", argc > 1 ? ": " : "", argc > 1 ? argv[1] : "");
        return 77;
    }
    for (unsigned i = 0; i < ROWS * K; i++) {
        x[i] = value(&seed);
        other[i] = value(&seed);
    }
    for (unsigned i = 0; i < N * K; i++)
        w[i] = value(&seed);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[1024], message[PTX_MESSAGE_BYTES], op[64];
        size_t n = strlen(entry->d_name);
        if (n < 4 || strcmp(entry->d_name + n - 4, ".ptx"))
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        FILE *file = fopen(path, "rb");
        size_t bytes = file ? fread(text, 1, sizeof text, file) : 0;
        if (file)
            fclose(file);
        ptx_memory *memory = ptx_memory_create(0);
        ptx_module *module;
        CHECK(ptx_module_load(memory, text, bytes, message, &module) == PTX_OK, "%s: %s", entry->d_name,
              message);
        ptx_module_destroy(module);
        ptx_memory_destroy(memory);
        files++;
        if (is_run(entry->d_name, op)) {
            run_kernel(entry->d_name, op, text, bytes);
            runs++;
        }
    }
    closedir(folder);
    CHECK(files > 0, "no .ptx file in %s", argv[1]);
    printf("%u files loaded, %u run\n", files, runs);
    return finish("kernels");
}
