// SPDX-License-Identifier: MIT
//
// tensor_kernels.cu as clang makes PTX of it for sm_80, sm_89 and sm_90a: matrix products by cp.async,
// ldmatrix and mma against double precision, single instructions against their definition, and how fast the
// interpreter is. No report may come. Without an argument there is nothing to read, and the test says so.
//   tensor_test FOLDER [SECONDS]   tensor_kernels.sm_*.ptx; with SECONDS each kind of instruction is measured
//   so long
#include "ptx_test.h"

#include <math.h>
#include <time.h>

typedef struct run {
    ptx_memory *memory;
    ptx_module *module;
    const char *target;
    uint64_t seed;
    ptx_launch_result result;
} run;

typedef struct call {
    const char *kernel;
    uint32_t grid[2], block, shared;
    uint64_t params[4]; // pointers first, then `numbers`
    uint32_t pointers, numbers[4], number_count;
} call;

static uint64_t upload(run *r, const void *data, uint64_t bytes)
{
    uint64_t address = 0;
    CHECK(ptx_memory_alloc(r->memory, bytes, "buffer", &address) == PTX_OK, "no memory");
    if (data)
        ptx_memory_write(r->memory, address, data, bytes);
    return address;
}

static void launch(run *r, const call *c)
{
    uint8_t params[64];
    reports found = {.count = 0};
    memcpy(params, c->params, 8 * c->pointers);
    memcpy(params + 8 * c->pointers, c->numbers, 4 * c->number_count);
    ptx_launch job = {.kernel = ptx_module_find_kernel(r->module, c->kernel),
                      .grid = {c->grid[0], c->grid[1], 1},
                      .block = {c->block, 1, 1},
                      .dynamic_shared_bytes = c->shared,
                      .params = params,
                      .param_bytes = 8 * c->pointers + 4 * c->number_count,
                      .schedule_seed = r->seed,
                      .report = collect,
                      .user = &found};
    CHECK(job.kernel, "%s: no kernel %s", r->target, c->kernel);
    if (!job.kernel)
        return;
    ptx_status status = ptx_launch_run(r->memory, &job, &r->result);
    CHECK(status == PTX_OK && !found.count, "%s, %s: %s%s", r->target, c->kernel, r->result.message,
          found.count ? found.list[0].text : "");
}

static void download(run *r, uint64_t address, void *data, uint64_t bytes)
{
    uint64_t unwritten = 0;
    CHECK(ptx_memory_read(r->memory, address, data, bytes, &unwritten) == PTX_OK && !unwritten,
          "%s: %llu bytes were not written", r->target, (unsigned long long)unwritten);
}

static double uniform(uint64_t *seed)
{
    return (double)(next_random(seed) >> 11) * 0x1p-52 - 1;
}

static uint16_t narrow(double v, float *out_value)
{
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(out_value, &bits, 4);
    return (uint16_t)(bits >> 16);
}

// ---- matrix products ----

enum { M_MOST = 130, N_MOST = 136, K_MOST = 104 };

static void test_bf16(run *r, uint32_t m, uint32_t n, uint32_t k)
{
    static uint16_t x[M_MOST * K_MOST], w[K_MOST * N_MOST];
    static float xv[M_MOST * K_MOST], wv[K_MOST * N_MOST], y[M_MOST * N_MOST];
    uint64_t seed = m * 1000 + n;
    for (uint32_t i = 0; i < m * k; i++)
        x[i] = narrow(uniform(&seed), &xv[i]);
    for (uint32_t i = 0; i < k * n; i++)
        w[i] = narrow(uniform(&seed), &wv[i]);
    call c = {
        .kernel = "gemm_bf16",
        .grid = {(n + 63) / 64, (m + 63) / 64},
        .block = 128,
        .shared = 2 * (64 * 32 + 32 * 64) * 2,
        .params = {upload(r, x, 2ull * m * k), upload(r, w, 2ull * k * n), upload(r, NULL, 4ull * m * n)},
        .pointers = 3,
        .numbers = {m, n, k},
        .number_count = 3};
    launch(r, &c);
    download(r, c.params[2], y, 4ull * m * n);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (uint32_t l = 0; l < k; l++) {
                sum += (double)xv[i * k + l] * (double)wv[l * n + j];
                size += fabs((double)xv[i * k + l] * (double)wv[l * n + j]);
            }
            CHECK(fabs((double)y[i * n + j] - sum) <= size * 0x1p-21,
                  "%s, gemm_bf16 of %u, %u, %u: (%u,%u) is %.9g, not %.9g", r->target, m, n, k, i, j,
                  (double)y[i * n + j], sum);
        }
}

static void test_e4m3(run *r)
{
    static float a[16 * 32], b[8 * 32], d[16 * 8];
    uint64_t seed = 9;
    // numbers that e4m3 holds
    for (uint32_t i = 0; i < 16 * 32; i++)
        a[i] = (float)ldexp((double)(8 + next_random(&seed) % 8), (int)(next_random(&seed) % 6) - 5) *
               (i % 3 ? 1 : -1);
    for (uint32_t i = 0; i < 8 * 32; i++)
        b[i] = (float)ldexp((double)(8 + next_random(&seed) % 8), (int)(next_random(&seed) % 6) - 5) *
               (i % 5 ? 1 : -1);
    call c = {.kernel = "mma_e4m3",
              .grid = {1, 1},
              .block = 32,
              .params = {upload(r, a, sizeof a), upload(r, b, sizeof b), upload(r, NULL, sizeof d)},
              .pointers = 3};
    launch(r, &c);
    download(r, c.params[2], d, sizeof d);
    for (uint32_t i = 0; i < 16; i++)
        for (uint32_t j = 0; j < 8; j++) {
            double sum = 0;
            for (uint32_t l = 0; l < 32; l++)
                sum += (double)a[i * 32 + l] * (double)b[j * 32 + l];
            CHECK((double)d[i * 8 + j] == (double)(float)sum, "%s, mma_e4m3: (%u,%u) is %.9g, not %.9g",
                  r->target, i, j, (double)d[i * 8 + j], sum);
        }
}

// ---- single instructions ----

static uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) | (x & z) | (y & z);
}

static uint32_t byte_of(uint32_t low, uint32_t high, uint32_t selector)
{
    uint32_t from = selector & 4 ? high : low, byte = from >> 8 * (selector & 3) & 0xff;
    return selector & 8 ? byte & 0x80 ? 0xff : 0 : byte;
}

static void test_single(run *r)
{
    enum { COUNT = 18 };
    uint32_t in[32], out[COUNT][32], sum = 0, parity = 0, largest = 0x80000000u, right[COUNT];
    uint64_t seed = 11;
    for (uint32_t l = 0; l < 32; l++) {
        in[l] = (uint32_t)next_random(&seed);
        sum += in[l];
        parity ^= in[l];
        largest = (int32_t)in[l] > (int32_t)largest ? in[l] : largest;
    }
    call c = {.kernel = "single",
              .grid = {1, 1},
              .block = 32,
              .params = {upload(r, in, sizeof in), upload(r, NULL, sizeof out)},
              .pointers = 2};
    launch(r, &c);
    download(r, c.params[1], out, sizeof out);
    for (uint32_t l = 0; l < 32; l++) {
        const uint32_t *four = in + l % 8 * 4;
        float value, third;
        uint32_t high = narrow((double)((float)l + 0.001f), &value),
                 low = narrow((double)(1.0f / 3.0f), &third);
        right[0] = in[l ^ 5];
        right[1] = in[l >= 3 ? l - 3 : l];
        right[2] = in[l + 2 < 32 ? l + 2 : l];
        right[3] = in[(l & 24) | ((l + 1) & 7)];
        right[4] = sum;
        right[5] = largest;
        right[6] = parity;
        right[7] = 0x7f;
        right[8] = 1;
        right[9] = 0;
        right[10] = byte_of(in[l], ~in[l], 0) | byte_of(in[l], ~in[l], 6) << 8 |
                    byte_of(in[l], ~in[l], 13) << 16 | byte_of(in[l], ~in[l], 3) << 24;
        right[11] = majority(in[l], l, 0x0f0f0f0f);
        right[12] = in[l];
        right[13] = four[0] ^ four[1] ^ four[2] ^ four[3];
        right[14] = four[3];
        right[15] = high << 16 | low;
        right[16] = 0x3555; // of 1/3
        for (uint32_t bit = 0; bit < 5; bit++)
            if (l >> bit == 1)
                right[16] |= (((15 + bit) << 10) | ((l << (10 - bit)) & 0x3ff)) << 16;
        right[17] = l;
        for (uint32_t i = 0; i < COUNT; i++)
            CHECK(out[i][l] == right[i], "%s, single %u of lane %u: %08x, not %08x", r->target, i, l,
                  out[i][l], right[i]);
    }
}

static void test_static(run *r)
{
    uint32_t out[256];
    call c = {.kernel = "all_static",
              .grid = {1, 1},
              .block = 256,
              .params = {upload(r, NULL, sizeof out)},
              .pointers = 1};
    launch(r, &c);
    download(r, c.params[0], out, sizeof out);
    for (uint32_t t = 0; t < 256; t++) {
        uint32_t sum = 0;
        for (uint32_t i = t; i < 12288; i += 256)
            sum += (12287 - i) * 7;
        CHECK(out[t] == sum, "%s, all_static: thread %u has %u, not %u", r->target, t, out[t], sum);
    }
}

// ---- speed ----

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void measure(run *r, const call *c, double wanted, const char *unit, double units)
{
    double begin = seconds(), lanes = 0, spent;
    uint32_t times = 0;
    do {
        launch(r, c);
        lanes += (double)r->result.lane_instructions;
        times++;
        spent = seconds() - begin;
    } while (spent < wanted);
    printf("%-14s %8.1f million lane-instructions/s", c->kernel, lanes / spent * 1e-6);
    if (unit)
        printf(", %8.3f million %s/s", units * times / spent * 1e-6, unit);
    printf("\n");
}

static void measure_all(run *r, double wanted)
{
    enum { ROUNDS = 2000, SIZE = 128 };
    static uint32_t words[SIZE * SIZE];
    uint64_t seed = 1;
    uint64_t in = upload(r, words, sizeof words), other = upload(r, words, sizeof words),
             out = upload(r, NULL, sizeof words);
    call mma = {.kernel = "speed_mma",
                .grid = {1, 1},
                .block = 128,
                .params = {out},
                .pointers = 1,
                .numbers = {ROUNDS},
                .number_count = 1};
    measure(r, &mma, wanted, "mma", 4.0 * ROUNDS);
    call matrix = mma;
    matrix.kernel = "speed_ldmatrix";
    measure(r, &matrix, wanted, "ldmatrix.x4", 4.0 * ROUNDS);
    call copy = {.kernel = "speed_copy",
                 .grid = {1, 1},
                 .block = 128,
                 .params = {in, out},
                 .pointers = 2,
                 .numbers = {ROUNDS / 10},
                 .number_count = 1};
    measure(r, &copy, wanted, "cp.async of a warp", 16.0 * ROUNDS / 10);
    call single = {.kernel = "speed_f32",
                   .grid = {SIZE / 64, SIZE / 64},
                   .block = 256,
                   .params = {in, other, out},
                   .pointers = 3,
                   .numbers = {SIZE, SIZE},
                   .number_count = 2};
    measure(r, &single, wanted, NULL, 0);
    // 128 of each: 2 * 2 blocks, 8 steps of 16
    static uint16_t halves[SIZE * SIZE];
    float value;
    for (uint32_t i = 0; i < SIZE * SIZE; i++)
        halves[i] = narrow(uniform(&seed), &value);
    call whole = {.kernel = "gemm_bf16",
                  .grid = {2, 2},
                  .block = 128,
                  .shared = 2 * (64 * 32 + 32 * 64) * 2,
                  .params = {upload(r, halves, sizeof halves), upload(r, halves, sizeof halves), out},
                  .pointers = 3,
                  .numbers = {SIZE, SIZE, SIZE},
                  .number_count = 3};
    measure(r, &whole, wanted, "mma", 4.0 * 4 * 8 * 8);
}

// ---- files ----

static bool run_file(const char *path, const char *target, double wanted)
{
    static char text[1 << 20];
    char message[PTX_MESSAGE_BYTES];
    FILE *file = fopen(path, "rb");
    size_t bytes = file ? fread(text, 1, sizeof text, file) : 0;
    if (file)
        fclose(file);
    CHECK(bytes > 0 && bytes < sizeof text, "%s cannot be read", path);
    run r = {.memory = ptx_memory_create(0), .target = target};
    bool loaded = ptx_module_load(r.memory, text, bytes, message, &r.module) == PTX_OK;
    CHECK(loaded, "%s: %s", path, message);
    for (r.seed = 0; loaded && r.seed < 4 && wanted <= 0; r.seed++) {
        test_bf16(&r, 64, 64, 32);
        test_bf16(&r, 130, 136, 104);
        test_bf16(&r, 1, 8, 8);
        if (strcmp(target, "80"))
            test_e4m3(&r);
        test_single(&r);
        test_static(&r);
    }
    if (loaded && wanted > 0)
        measure_all(&r, wanted);
    ptx_module_destroy(r.module);
    ptx_memory_destroy(r.memory);
    return loaded;
}

int main(int argc, char **argv)
{
    static const char *const targets[] = {"80", "89", "90a"};
    double wanted = argc > 2 ? atof(argv[2]) : 0;
    if (argc < 2) {
        printf("skipped: no folder of PTX files; clang-19 was not found when this was built\n");
        return 77;
    }
    for (size_t i = wanted > 0 ? 2 : 0; i < 3; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/tensor_kernels.sm_%s.ptx", argv[1], targets[i]);
        run_file(path, targets[i], wanted);
    }
    return finish("tensor");
}
