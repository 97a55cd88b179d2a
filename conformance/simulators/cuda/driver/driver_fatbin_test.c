// SPDX-License-Identifier: MIT
//
// Fat binaries, built here byte by byte: which entry is executed, LZ4 blocks, the wrapper structure, what has
// no usable text, and damaged images, each with one field wrong. The image ends where a page ends that is
// followed by one without access, so that reading beyond it ends the test.
#include "driver_test.h"

#include <stdint.h>
#include <sys/mman.h>

enum { PTX = 1, CUBIN = 2, LZ4 = 0x2000, ZSTD = 0x8000, CHIP_ALONE = 0x100000 };
#define AREA (1u << 16)

static uint8_t *area; // AREA bytes, then no access
static uint8_t image[AREA];
static size_t used;

static void put(size_t at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        image[at + i] = (uint8_t)(value >> 8 * i);
}

static void begin_image(void)
{
    memset(image, 0, sizeof image);
    put(0, 0xba55ed50u, 4);
    put(4, 1, 2);
    put(6, 16, 2);
    used = 16;
}

// Where the entry begins.
static size_t add_entry(unsigned kind, unsigned arch, uint64_t flags, const void *data, size_t bytes)
{
    size_t at = used, padded = (bytes + 8) & ~(size_t)7; // a text ends with a zero
    REQUIRE(used + 64 + padded <= sizeof image);
    put(at, kind, 2);
    put(at + 2, 0x0101, 2);
    put(at + 4, 64, 4);
    put(at + 8, padded, 8);
    put(at + 16, bytes, 4);
    put(at + 28, arch, 4);
    put(at + 40, flags, 8);
    memcpy(image + at + 64, data, bytes);
    used += 64 + padded;
    put(8, used - 16, 8);
    return at;
}

// A text whose one kernel adds `value`: which text was executed shows in the result.
static const char *text_for(unsigned arch, const char *suffix, unsigned value)
{
    static char text[4][1024];
    static unsigned next;
    char *to = text[next++ % 4];
    snprintf(to, sizeof text[0],
             ".version 8.5\n.target sm_%u%s\n.address_size 64\n"
             ".visible .entry add(.param .u64 p)\n{\n"
             ".reg .b32 %%r<3>;\n.reg .b64 %%rd<3>;\n"
             "ld.param.u64 %%rd1, [p];\ncvta.to.global.u64 %%rd2, %%rd1;\n"
             "ld.global.u32 %%r1, [%%rd2];\nadd.s32 %%r2, %%r1, %u;\nst.global.u32 [%%rd2], %%r2;\nret;\n}\n",
             arch, suffix, value);
    return to;
}

static void add_text(unsigned arch, const char *suffix, unsigned value)
{
    const char *text = text_for(arch, suffix, value);
    add_entry(PTX, arch, *suffix ? CHIP_ALONE : 0, text, strlen(text));
}

// ---- a small LZ4 writer: the longest earlier match of four bytes and more, looked for one by one ----

static size_t write_length(uint8_t *out, size_t length)
{
    size_t n = 0;
    for (length -= 15; length >= 255; length -= 255)
        out[n++] = 255;
    out[n++] = (uint8_t)length;
    return n;
}

static size_t pack_lz4(const uint8_t *in, size_t bytes, uint8_t *out)
{
    size_t n = 0, begin = 0, at = 0;
    while (at <= bytes) {
        size_t best = 0, back = 0;
        for (size_t from = 0; from < at && at + 12 < bytes; from++) {
            size_t length = 0;
            while (at + length + 5 < bytes && in[from + length] == in[at + length])
                length++;
            if (length >= best) {
                best = length;
                back = at - from;
            }
        }
        if (best < 4 && at < bytes) {
            at++;
            continue;
        }
        size_t run = at - begin, copy = best >= 4 ? best - 4 : 0;
        out[n++] = (uint8_t)((run < 15 ? run : 15) << 4 | (copy < 15 ? copy : 15));
        n += run >= 15 ? write_length(out + n, run) : 0;
        memcpy(out + n, in + begin, run);
        n += run;
        if (at == bytes)
            break;
        out[n++] = (uint8_t)back;
        out[n++] = (uint8_t)(back >> 8);
        n += copy >= 15 ? write_length(out + n, copy) : 0;
        begin = at += best;
    }
    return n;
}

static size_t add_packed(unsigned arch, unsigned value)
{
    static uint8_t packed[2048];
    const char *text = text_for(arch, "", value);
    size_t bytes = pack_lz4((const uint8_t *)text, strlen(text) + 1, packed), at;
    REQUIRE(bytes < strlen(text));
    at = add_entry(PTX, arch, LZ4, packed, bytes);
    put(at + 56, strlen(text) + 1, 8);
    return at;
}

// ---- loading ----

static const void *placed(void)
{
    uint8_t *at = area + AREA - used;
    memcpy(at, image, used);
    return at;
}

static CUresult try_load(const void *from, CUmodule *module, char *log, size_t log_bytes)
{
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)log_bytes}; // NOLINT
    log[0] = '\0';
    return cu.cuModuleLoadDataEx(module, from, 2, options, values);
}

static void runs_from(const void *from, unsigned wanted, int line)
{
    char log[512];
    CUmodule module;
    CUfunction function;
    CUdeviceptr memory;
    uint32_t value = 1000;
    void *params[] = {&memory};
    CUresult result = try_load(from, &module, log, sizeof log);
    if (result)
        fprintf(stderr, "line %d: %s\n", line, log);
    require(result, CUDA_SUCCESS, "cuModuleLoadDataEx", line);
    OK(cu.cuModuleGetFunction(&function, module, "add"));
    OK(cu.cuMemAlloc_v2(&memory, 4));
    OK(cu.cuMemcpyHtoD_v2(memory, &value, 4));
    OK(cu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
    OK(cu.cuCtxSynchronize());
    OK(cu.cuMemcpyDtoH_v2(&value, memory, 4));
    if (value != 1000 + wanted)
        fprintf(stderr, "line %d: the kernel adds %u, not %u\n", line, value - 1000, wanted);
    REQUIRE(value == 1000 + wanted);
    OK(cu.cuMemFree_v2(memory));
    OK(cu.cuModuleUnload(module));
}
#define RUNS(wanted) runs_from(placed(), wanted, __LINE__)

static void refused_from(const void *from, CUresult wanted, const char *said, int line)
{
    char log[512];
    CUmodule module;
    require(try_load(from, &module, log, sizeof log), wanted, "cuModuleLoadDataEx", line);
    if (!strstr(log, said))
        fprintf(stderr, "line %d: '%s' is not in the log: %s\n", line, said, log);
    REQUIRE(strstr(log, said));
}
#define REFUSED(error, said) refused_from(placed(), error, said, __LINE__)

static const uint8_t cubin[] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0x41, 8, 0, 0, 0, 0, 0, 0, 0};

// ---- cases, on a simulated sm_80 ----

static void choice(void)
{
    begin_image();
    add_entry(CUBIN, 80, 0, cubin, sizeof cubin);
    add_text(75, "", 75);
    add_text(79, "a", 79); // for that chip alone
    RUNS(75);
    add_text(80, "", 80);
    add_text(90, "", 90);
    add_text(90, "a", 91);
    add_entry(CUBIN, 90, CHIP_ALONE, cubin, sizeof cubin);
    add_text(52, "", 52);
    RUNS(80);
    struct {
        uint32_t magic, version;
        const void *data;
        void *rest;
    } wrapper = {0x466243b1u, 1, placed(), NULL};
    runs_from(&wrapper, 80, __LINE__);
    wrapper.version = 2;
    runs_from(&wrapper, 80, __LINE__);
    wrapper.version = 3;
    refused_from(&wrapper, CUDA_ERROR_INVALID_IMAGE, "the wrapper's version is 3", __LINE__);
    wrapper.version = 1;
    wrapper.data = cubin;
    refused_from(&wrapper, CUDA_ERROR_INVALID_IMAGE, "no fat binary", __LINE__);
    wrapper.data = NULL;
    refused_from(&wrapper, CUDA_ERROR_INVALID_IMAGE, "nothing", __LINE__);
    begin_image();
    add_packed(75, 7);
    RUNS(7);
    add_packed(80, 8);
    RUNS(8);
}

static void without_text(void)
{
    refused_from(cubin, CUDA_ERROR_NO_BINARY_FOR_GPU, "executes PTX only", __LINE__);
    begin_image();
    REFUSED(CUDA_ERROR_NO_BINARY_FOR_GPU, "0 cubins, 0 PTX texts");
    add_entry(CUBIN, 80, 0, cubin, sizeof cubin);
    add_entry(CUBIN, 90, CHIP_ALONE, cubin, sizeof cubin);
    add_entry(16, 80, 0, cubin, sizeof cubin);
    REFUSED(CUDA_ERROR_NO_BINARY_FOR_GPU,
            "2 cubins, 0 PTX texts and 1 entries of other kinds; the simulator executes PTX only");
    add_text(120, "", 1);
    add_text(90, "", 1);
    REFUSED(CUDA_ERROR_NO_BINARY_FOR_GPU, "no PTX is for sm_80, the lowest is for sm_90");
    begin_image();
    add_text(75, "", 75);
    size_t at = add_packed(80, 1);
    put(at + 40, ZSTD, 8);
    REFUSED(CUDA_ERROR_NO_BINARY_FOR_GPU, "PTX for sm_80 is compressed with Zstandard");
    begin_image();
    add_text(80, "x", 1); // for this chip alone, and not PTX that the interpreter takes
    put(16 + 64 + 3, 0xff, 1);
    REFUSED(CUDA_ERROR_INVALID_PTX, "line 1");
}

// One field of a good image is wrong.
static void damaged_field(size_t at, uint64_t value, unsigned bytes, const char *said, int line)
{
    uint8_t kept[8];
    memcpy(kept, image + at, bytes);
    put(at, value, bytes);
    refused_from(placed(), CUDA_ERROR_INVALID_IMAGE, said, line);
    memcpy(image + at, kept, bytes);
}
#define DAMAGED(at, value, bytes, said) damaged_field(at, value, bytes, said, __LINE__)

static void damaged(void)
{
    begin_image();
    add_entry(CUBIN, 80, 0, cubin, sizeof cubin);
    size_t at = add_packed(80, 3), body = used - 16;
    RUNS(3);
    DAMAGED(4, 2, 2, "the version is 2");
    DAMAGED(4, 0x0201, 2, "the version is 1");
    DAMAGED(6, 15, 2, "the header's size is 15");
    DAMAGED(8, UINT64_MAX, 8, "the size is 18446744073709551615");
    DAMAGED(8, body - 1, 8, "an entry's size is");
    DAMAGED(8, at - 16 + 63, 8, "what is left for an entry's header is 63");
    DAMAGED(16 + 2, 0x0102, 2, "an entry's version is 258");
    DAMAGED(16 + 4, 63, 4, "an entry's header is 63");
    DAMAGED(16 + 4, UINT32_MAX, 4, "an entry's header is 4294967295");
    DAMAGED(16 + 8, UINT64_MAX - 63, 8, "an entry's size is 18446744073709551552");
    DAMAGED(at + 8, body, 8, "an entry's size is");
    DAMAGED(at + 16, 1u << 20, 4, "an entry's compressed size is 1048576");
    DAMAGED(at + 16, 9, 4, "does not unpack");
    DAMAGED(at + 56, 0, 8, "an entry's uncompressed size is 0");
    DAMAGED(at + 56, (uint64_t)1 << 40, 8, "an entry's uncompressed size is 1099511627776");
    DAMAGED(at + 56, 4096, 8, "does not unpack");
    DAMAGED(at + 56, 16, 8, "does not unpack");
    RUNS(3);
}

// Any bytes give an answer; what still loads is unloaded. Reads outside end the test.
static void mutated(void)
{
    uint64_t state = 1;
    static uint8_t good[AREA];
    begin_image();
    add_packed(80, 3);
    add_text(75, "", 75);
    memcpy(good, image, used);
    for (unsigned round = 0; round < 20000; round++) {
        char log[512];
        CUmodule module;
        memcpy(image, good, used);
        for (unsigned i = 0; i <= round % 4; i++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            size_t where = (size_t)(state >> 33) % (round % 2 ? used : 160);
            image[where] = (uint8_t)(state >> 20);
        }
        // a size beyond the image's own cannot be seen by who is not told it
        put(8, used - 16, 8);
        put(6, 16, 2);
        if (try_load(placed(), &module, log, sizeof log) == CUDA_SUCCESS)
            OK(cu.cuModuleUnload(module));
        else
            REQUIRE(log[0]);
    }
}

static int all_cases(void)
{
    CUcontext context;
    long page = sysconf(_SC_PAGESIZE);
    area = mmap(NULL, AREA + (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(area != MAP_FAILED && mprotect(area + AREA, (size_t)page, PROT_NONE) == 0);
    OK(cu.cuInit(0));
    OK(cu.cuCtxCreate_v2(&context, 0, 0));
    choice();
    without_text();
    damaged();
    mutated();
    OK(cu.cuCtxDestroy_v2(context));
    return 0;
}

int main(int count, char **arguments)
{
    int status;
    if (count < 2) {
        fprintf(stderr, "usage: driver_fatbin_test LIBRARY\n");
        return 2;
    }
    make_report_path();
    setenv("ISOMER_CUDASIM_ARCH", "sm_80", 1);
    char *report = run_child(arguments[1], all_cases, &status);
    bool right = status == 0 && report && strstr(report, " 0 findings");
    printf("driver_fatbin_test: status %d\n%s", status, report ? report : "");
    free(report);
    return !right;
}
