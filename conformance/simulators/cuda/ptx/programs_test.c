// SPDX-License-Identifier: MIT
//
// Random programs with branches and loops inside one another, against an evaluation of the same program one
// thread at a time that knows no warps. Each is run under several orders; where ptxas is installed, some are
// given to it.
//   programs_test [COUNT [SEED]]
#include "ptx_test.h"

#include <math.h>
#include <stdarg.h>
#include <unistd.h>

#define THREADS   96
#define REGISTERS 10

typedef enum operation {
    ADD,
    SUB,
    MUL,
    MULHI,
    AND,
    OR,
    XOR,
    SHL,
    SHR,
    SAR,
    MINS,
    MAXU,
    MAD,
    LOP3,
    BFE,
    POPC,
    CLZ,
    DIV,
    REM,
    SELECT,
    FADD,
    FMUL,
    FMA,
    FROM_INT,
    TO_INT,
    OPERATIONS
} operation;

typedef struct node {
    enum { OPERATION, BRANCH, LOOP } kind;
    operation operation;
    uint32_t d, a, b, c, number;
    struct node *inside, *otherwise, *next;
} node;

static node nodes[4096];
static uint32_t node_count, label_count;
static char text[1 << 18];
static size_t used;

// ---- making one ----

static node *make(uint64_t *seed, unsigned depth, unsigned length)
{
    node *first = NULL, **last = &first;
    for (unsigned i = 0; i < length && node_count < 4000; i++) {
        node *n = &nodes[node_count++];
        uint64_t r = next_random(seed);
        *n = (node){.kind = depth && r % 5 == 0    ? BRANCH
                            : depth && r % 11 == 0 ? LOOP
                                                   : OPERATION,
                    .operation = (operation)(next_random(seed) % OPERATIONS),
                    .d = (uint32_t)(r >> 8) % REGISTERS,
                    .a = (uint32_t)(r >> 16) % REGISTERS,
                    .b = (uint32_t)(r >> 24) % REGISTERS,
                    .c = (uint32_t)(r >> 32) % REGISTERS,
                    .number = (uint32_t)(r >> 40)};
        if (n->kind != OPERATION)
            n->inside = make(seed, depth - 1, 1 + r % 4);
        if (n->kind == BRANCH && r & 32)
            n->otherwise = make(seed, depth - 1, 1 + r % 3);
        *last = n;
        last = &n->next;
    }
    return first;
}

// ---- writing it ----

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    used += (size_t)vsnprintf(text + used, sizeof text - used, format, arguments);
    va_end(arguments);
}

static void write_operation(const node *n)
{
    static const char *const plain[] = {
        [ADD] = "add.u32", [SUB] = "sub.s32", [MUL] = "mul.lo.s32", [MULHI] = "mul.hi.u32",
        [AND] = "and.b32", [OR] = "or.b32",   [XOR] = "xor.b32",    [SHL] = "shl.b32",
        [SHR] = "shr.u32", [SAR] = "shr.s32", [MINS] = "min.s32",   [MAXU] = "max.u32",
        [DIV] = "div.u32", [REM] = "rem.u32"};
    unsigned d = n->d, a = n->a, b = n->b, c = n->c;
    switch (n->operation) {
    case MAD:
        put("mad.lo.u32 %%r%u, %%r%u, %%r%u, %%r%u;\n", d, a, b, c);
        break;
    case LOP3:
        put("lop3.b32 %%r%u, %%r%u, %%r%u, %%r%u, %u;\n", d, a, b, c, n->number & 255);
        break;
    case BFE:
        put("bfe.u32 %%r%u, %%r%u, %u, %u;\n", d, a, n->number & 31, n->number >> 5 & 15);
        break;
    case POPC:
    case CLZ:
        put("%s.b32 %%r%u, %%r%u;\n", n->operation == POPC ? "popc" : "clz", d, a);
        break;
    case SELECT:
        put("setp.lt.s32 %%p0, %%r%u, %%r%u;\nselp.b32 %%r%u, %%r%u, %u, %%p0;\n", a, b, d, c, n->number);
        break;
    case FADD:
    case FMUL:
    case FMA:
        put("mov.b32 %%f0, %%r%u;\nmov.b32 %%f1, %%r%u;\nmov.b32 %%f2, %%r%u;\n", a, b, c);
        put("%s;\nmov.b32 %%r%u, %%f3;\n",
            n->operation == FADD   ? "add.rn.f32 %f3, %f0, %f1"
            : n->operation == FMUL ? "mul.rn.f32 %f3, %f0, %f1"
                                   : "fma.rn.f32 %f3, %f0, %f1, %f2",
            d);
        break;
    case FROM_INT:
        put("cvt.rn.f32.s32 %%f0, %%r%u;\nmov.b32 %%r%u, %%f0;\n", a, d);
        break;
    case TO_INT:
        put("mov.b32 %%f0, %%r%u;\ncvt.rzi.s32.f32 %%r%u, %%f0;\n", a, d);
        break;
    default:
        put("%s %%r%u, %%r%u, %%r%u;\n", plain[n->operation], d, a, b);
        break;
    }
}

static void write_nodes(const node *n, unsigned depth)
{
    for (; n; n = n->next) {
        unsigned label = label_count++;
        if (n->kind == OPERATION) {
            write_operation(n);
        } else if (n->kind == BRANCH) {
            // the two sides lie in either order
            bool turned = n->number & 1;
            put("setp.%s.s32 %%p1, %%r%u, %%r%u;\n@%%p1 bra L%u;\n", turned ? "lt" : "ge", n->a, n->b, label);
            write_nodes(turned ? n->otherwise : n->inside, depth + 1);
            put("bra E%u;\nL%u:\n", label, label);
            write_nodes(turned ? n->inside : n->otherwise, depth + 1);
            put("E%u:\n", label);
        } else {
            put("and.b32 %%n%u, %%r%u, 3;\nbra T%u;\nB%u:\n", depth, n->a, label, label);
            write_nodes(n->inside, depth + 1);
            put("sub.u32 %%n%u, %%n%u, 1;\nT%u:\nsetp.ne.u32 %%p1, %%n%u, 0;\n@%%p1 bra B%u;\n", depth, depth,
                label, depth, label);
        }
    }
}

static void write_program(const node *program)
{
    used = label_count = 0;
    put(HEADER ".visible .entry k(.param .u64 p0, .param .u64 p1)\n{\n.reg .pred %%p<4>;\n.reg .b32 "
               "%%r<%u>;\n.reg .b32 %%n<16>;\n"
               ".reg .f32 %%f<4>;\n.reg .b32 %%t<4>;\n.reg .b64 %%rd<8>;\n",
        REGISTERS);
    put("ld.param.u64 %%rd0, [p0];\nmov.u32 %%t0, %%tid.x;\nmul.wide.u32 %%rd1, %%t0, %u;\nadd.u64 %%rd0, "
        "%%rd0, %%rd1;\n",
        REGISTERS * 4);
    for (unsigned i = 0; i < REGISTERS; i++)
        put("ld.global.u32 %%r%u, [%%rd0+%u];\n", i, i * 4);
    write_nodes(program, 0);
    for (unsigned i = 0; i < REGISTERS; i++)
        put("st.global.u32 [%%rd0+%u], %%r%u;\n", i * 4, i);
    put("ret;\n}\n");
}

// ---- evaluating it, one thread at a time ----

static float as_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t as_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return f != f ? 0x7fffffffu : u;
}

static uint32_t evaluate_operation(const node *n, const uint32_t *r)
{
    uint32_t a = r[n->a], b = r[n->b], c = r[n->c], result = 0;
    float f = as_float(a);
    switch (n->operation) {
    case ADD:
        return a + b;
    case SUB:
        return a - b;
    case MUL:
        return a * b;
    case MULHI:
        return (uint32_t)((uint64_t)a * b >> 32);
    case AND:
        return a & b;
    case OR:
        return a | b;
    case XOR:
        return a ^ b;
    case SHL:
        return b > 31 ? 0 : a << b;
    case SHR:
        return b > 31 ? 0 : a >> b;
    case SAR:
        return (uint32_t)((int64_t)(int32_t)a >> (b > 31 ? 31 : b));
    case MINS:
        return (int32_t)a < (int32_t)b ? a : b;
    case MAXU:
        return a > b ? a : b;
    case MAD:
        return a * b + c;
    case LOP3:
        for (int i = 0; i < 32; i++)
            result |= (n->number >> ((a >> i & 1) * 4 + (b >> i & 1) * 2 + (c >> i & 1)) & 1) << i;
        return result;
    case BFE:
        return (uint32_t)((uint64_t)a >> (n->number & 31)) & ((1u << (n->number >> 5 & 15)) - 1);
    case POPC:
        return (uint32_t)__builtin_popcount(a);
    case CLZ:
        return a ? (uint32_t)__builtin_clz(a) : 32;
    case DIV:
        return b ? a / b : 0xffffffffu;
    case REM:
        return b ? a % b : a;
    case SELECT:
        return (int32_t)a < (int32_t)b ? c : n->number;
    case FADD:
        return as_bits(f + as_float(b));
    case FMUL:
        return as_bits(f * as_float(b));
    case FMA:
        return as_bits(fmaf(f, as_float(b), as_float(c)));
    case FROM_INT:
        return as_bits((float)(int32_t)a);
    default:
        return f != f ? 0 : f >= 0x1p31f ? INT32_MAX : f <= -0x1p31f ? 0x80000000u : (uint32_t)(int32_t)f;
    }
}

static void evaluate(const node *n, uint32_t *r)
{
    for (; n; n = n->next) {
        if (n->kind == OPERATION) {
            r[n->d] = evaluate_operation(n, r);
        } else if (n->kind == BRANCH) {
            evaluate((int32_t)r[n->a] < (int32_t)r[n->b] ? n->inside : n->otherwise, r);
        } else {
            for (uint32_t left = r[n->a] & 3; left; left--)
                evaluate(n->inside, r);
        }
    }
}

// ---- comparing ----

static void run_program(uint64_t number, uint64_t *seed)
{
    static uint32_t in[THREADS][REGISTERS], out[THREADS][REGISTERS], expected[THREADS][REGISTERS];
    node_count = 0;
    const node *program = make(seed, 4, 8);
    write_program(program);
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < REGISTERS; i++) {
            uint64_t r = next_random(seed);
            in[t][i] = expected[t][i] = r & 1 ? (uint32_t)(r >> 32) : (uint32_t)(r >> 58);
        }
    for (unsigned t = 0; t < THREADS; t++)
        evaluate(program, expected[t]);
    for (uint64_t order = 0; order < 3; order++) {
        char message[PTX_MESSAGE_BYTES];
        ptx_memory *memory = ptx_memory_create(0);
        ptx_module *module;
        uint64_t params[2] = {0};
        reports found = {.count = 0};
        ptx_launch_result result;
        ptx_status status = ptx_module_load(memory, text, used, message, &module);
        CHECK(status == PTX_OK, "program %llu: %s", (unsigned long long)number, message);
        if (status == PTX_OK) {
            ptx_memory_alloc(memory, sizeof in, "registers", &params[0]);
            ptx_memory_write(memory, params[0], in, sizeof in);
            ptx_launch launch = {.kernel = ptx_module_find_kernel(module, "k"),
                                 .grid = {1, 1, 1},
                                 .block = {THREADS, 1, 1},
                                 .params = params,
                                 .param_bytes = 16,
                                 .schedule_seed = order,
                                 .report = collect,
                                 .user = &found};
            status = ptx_launch_run(memory, &launch, &result);
            CHECK(status == PTX_OK && !found.count, "program %llu: %s", (unsigned long long)number,
                  found.list[0].text);
            ptx_memory_read(memory, params[0], out, sizeof out, NULL);
            CHECK(memcmp(out, expected, sizeof out) == 0, "program %llu in order %llu:\n%s",
                  (unsigned long long)number, (unsigned long long)order, failures > 2 ? "" : text);
        }
        ptx_module_destroy(module);
        ptx_memory_destroy(memory);
    }
}

static void ask_ptxas(uint64_t number)
{
    static const char program[] = "/usr/local/cuda/bin/ptxas";
    char path[] = "/tmp/programs_test_XXXXXX", command[256];
    int file = access(program, X_OK) == 0 ? mkstemp(path) : -1;
    if (file < 0)
        return;
    CHECK(write(file, text, used) == (ssize_t)used, "cannot write %s", path);
    close(file);
    snprintf(command, sizeof command, "%s -arch=sm_90a -o /dev/null %s", program, path);
    CHECK(system(command) == 0, "ptxas does not accept program %llu", (unsigned long long)number);
    unlink(path);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 1500,
             seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    for (uint64_t i = 0; i < count; i++) {
        run_program(i, &seed);
        if (i < 10)
            ask_ptxas(i);
    }
    return finish("programs");
}
