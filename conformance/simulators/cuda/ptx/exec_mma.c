// SPDX-License-Identifier: MIT
//
// mma. A register of a fragment, read as its elements in memory's order, is a matrix of eight rows: element e
// of lane l is at row l / 4, column l % 4 * elements + e (PTX ISA 9.1, 9.7.14.5). So tiles are read and
// written a register at a time.
//
// The ISA leaves the order and the rounding of the sum open. Formed here in one of three ways, as ptx.h says:
// in double precision, rounded once; rounded to single precision after every product; or as chips do it. That
// last one is a model of what was measured: products are exact, the products of a block and the accumulator
// are shifted to the largest exponent among them and cut off after some bits, their sum is exact and cut off
// to the result's format (to nearest for halves). From Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior
// of NVIDIA tensor cores", PeerJ Computer Science 7:e330, 2021; Khattak, Mikaitis, "Accurate Models of NVIDIA
// Tensor Cores", arXiv:2512.07004, 2025; Xie et al., "MMA-Sim", arXiv:2511.10909, 2025. A block holds 128
// bits of a row up to sm_89, 256 from sm_90; 24 bits behind the leading one are kept up to sm_89, 25 from
// sm_90. Of FP8 on sm_89 13 are kept, and the result has no more either (SageAttention2, arXiv:2411.10958:
// an accumulator of 8 bits of exponent and 13 of fraction). Not modelled: the limits below exponents of -132.
//
// sm_90 has FP8 in wgmma alone, to which the 14 bits of the DeepSeek-V3 technical report (3.3.2) belong; its
// mma of FP8 is a product of halves. So says NVIDIA (cutlass issue 1986, 4 March 2025), and so does what
// ptxas 12.4 and 13.0 make of it for sm_90a (sm_89: one QMMA): the bytes of each pair of a register become
// halves, HMMA sums the products of the low pairs, HMMA those of the high pairs, FADD or HADD2 adds the
// accumulator, to nearest. The second HMMA begins with the sum of the first, as 13.0 has it; 12.4 begins
// again with zero and adds the two.
#include "lanes.h"
#include "numbers.h"

#undef a
#undef b
#undef c

// What is summed at once: rows of the result, each of them in vectors of the host's width.
#if defined __AVX512F__
enum { WIDE = 64, ROWS = 8, PARTS = 64 / WIDE };
#elif defined __AVX2__
enum { WIDE = 32, ROWS = 4, PARTS = 64 / WIDE };
#else
enum { WIDE = 16, ROWS = 2, PARTS = 64 / WIDE };
#endif
typedef f64 vector __attribute__((vector_size(WIDE), may_alias));

typedef struct tile {
    _Alignas(64) f64 b[32][8];     // [k][n]
    _Alignas(64) f64 c[16][8];     // [m][n]
    _Alignas(64) f64 a[4][8 * 16]; // registers: eight rows of `width`
    u32 depth, rows, width, down;  // down: registers of A that lie one below the other
} tile;

// ---- reading ----

static f64 from_e4m3(u32 x)
{
    f32 size = ptx_float((x & 0x7f) << 20) * 0x1p120f; // the exponent's bias is 7, not 127
    return ptx_float(((x & 0x7f) == 0x7f ? PTX_NAN : ptx_bits(size)) | (x & 0x80) << 24);
}

static f64 from_half(u32 x)
{
    u32 size = x & 0x7fff;
    f32 value = ptx_float(size << 13) * 0x1p112f;
    return ptx_float((size >= 0x7c00 ? 0x7f800000 | size << 13 : ptx_bits(value)) | (x & 0x8000) << 16);
}

#define READ(type, count, expression)                                                                        \
    for (u32 i = 0; i < (count); i++) {                                                                      \
        type x = ((const type *)place)[i];                                                                   \
        out[i] = (expression);                                                                               \
    }                                                                                                        \
    break

// All elements of a register, in memory's order.
static void read_register(ptx_type type, const void *place, f64 *out)
{
    switch (type) {
    case PTX_F16:
        READ(u16, 64, from_half(x));
    case PTX_BF16:
        READ(u16, 64, ptx_float((u32)x << 16));
    case PTX_E4M3:
        READ(u8, 128, from_e4m3(x));
    case PTX_E5M2:
        READ(u8, 128, from_half((u32)x << 8));
    case PTX_S8:
        READ(s8, 128, x);
    case PTX_U8:
        READ(u8, 128, x);
    case PTX_TF32:
        READ(u32, 32, ptx_float(x & 0xffffe000u));
    case PTX_S32:
        READ(s32, 32, x);
    case PTX_F32:
        READ(f32, 32, x);
    default:
        READ(f64, 32, x);
    }
}

static u32 depth_of(const ptx_insn *insn)
{
    switch (insn->m.shape) {
    case PTX_M8N8K4:
    case PTX_M16N8K4:
        return 4;
    case PTX_M16N8K8:
        return 8;
    case PTX_M16N8K32:
        return 32;
    default:
        return 16;
    }
}

static void read_tile(ptx_warp *warp, const ptx_insn *insn, tile *t)
{
    const u32 *lists = warp->block->run->kernel->lists;
    ptx_type ct = (ptx_type)insn->type[3];
    u32 per = insn->type[1] == PTX_F64 ? 1 : 32 / ptx_types[insn->type[1]].bits;
    f64 values[128], right[64];
    t->depth = depth_of(insn);
    t->rows = insn->m.shape <= PTX_M8N8K16 ? 8 : 16;
    t->down = t->rows / 8;
    t->width = 4 * per;
    for (u32 r = 0; r < insn->n[1]; r++)
        read_register((ptx_type)insn->type[1], ptx_place(warp, lists[insn->o[1] + r]), t->a[r]);
    for (u32 r = 0; r < insn->n[2]; r++) { // rows of B's registers are its columns
        read_register((ptx_type)insn->type[2], ptx_place(warp, lists[insn->o[2] + r]), values);
        for (u32 k = 0; k < t->width; k++)
            for (u32 n = 0; n < 8; n++)
                t->b[r * t->width + k][n] = values[n * t->width + k];
    }
    for (u32 half = 0; half < t->down; half++) {
        f64 *c = t->c[8 * half];
        if (ct == PTX_F16) {
            read_register(ct, ptx_place(warp, lists[insn->o[3] + half]), c);
            continue;
        }
        read_register(ct, ptx_place(warp, lists[insn->o[3] + 2 * half]), values);
        read_register(ct, ptx_place(warp, lists[insn->o[3] + 2 * half + 1]), right);
        for (u32 l = 0; l < PTX_LANES; l++) {
            c[2 * l] = values[l];
            c[2 * l + 1] = right[l];
        }
    }
}

// ---- the sum ----

// Products are exact in double precision.
static void multiply(tile *t)
{
    for (u32 first = 0; first < t->rows; first += ROWS) {
        vector sum[ROWS][PARTS];
        memcpy(sum, t->c + first, sizeof sum);
        for (u32 k0 = 0; k0 < t->depth; k0 += t->width) {
            const f64 *left = t->a[first / 8 + k0 / t->width * t->down] + first % 8 * t->width;
            for (u32 k = 0; k < t->width; k++) {
                const vector *right = (const vector *)t->b[k0 + k];
                for (u32 m = 0; m < ROWS; m++)
                    for (u32 part = 0; part < PARTS; part++)
                        sum[m][part] += left[m * t->width + k] * right[part];
            }
        }
        memcpy(t->c + first, sum, sizeof sum);
    }
}

static void multiply_stepwise(tile *t)
{
    for (u32 m = 0; m < t->rows; m++)
        for (u32 k = 0; k < t->depth; k++) {
            f64 left = t->a[m / 8 + k / t->width * t->down][m % 8 * t->width + k % t->width];
            f32 sum[8];
            for (u32 n = 0; n < 8; n++)
                sum[n] = (f32)(t->c[m][n] + left * t->b[k][n]);
            // GCC 12 takes a vector's way to single precision and back for nothing where it sees both
            __asm__("" : "+m"(sum));
            for (u32 n = 0; n < 8; n++)
                t->c[m][n] = sum[n];
        }
}

// Double precision: one fused step after another.
static void multiply_wide(tile *t)
{
    for (u32 m = 0; m < 8; m++)
        for (u32 k = 0; k < 4; k++)
            for (u32 n = 0; n < 8; n++)
                t->c[m][n] = __builtin_fma(t->a[0][m * 4 + k], t->b[k][n], t->c[m][n]);
}

// ---- as chips do it ----

#define NO_EXPONENT (-4000) // of zero: never the largest

typedef struct chip {
    u32 block, kept, result;       // elements; bits behind the leading one, in the sum and in a result of f32
    int least_a, least_b, least_c; // exponents of the least normal numbers
    bool halves;                   // the result is f16
    bool widens;                   // multiplies FP8 as halves
} chip;

static chip chip_of(const ptx_warp *warp, const ptx_insn *insn)
{
    const ptx_launch *launch = warp->block->run->launch;
    u32 arch = launch->chip ? launch->chip : warp->block->run->kernel->module->target;
    u32 bits = ptx_types[insn->type[1]].bits;
    bool fp8 = bits == 8, widens = fp8 && arch >= 90, few = fp8 && !widens;
    return (chip){.block = widens ? 16 : (arch < 90 ? 128 : 256) / bits,
                  .kept = few         ? 13
                          : arch < 90 ? 24
                                      : 25,
                  .result = few ? 13 : 23,
                  .least_a = widens ? -14 : ptx_format_of((ptx_type)insn->type[1])->least,
                  .least_b = widens ? -14 : ptx_format_of((ptx_type)insn->type[2])->least,
                  .least_c = insn->type[3] == PTX_F16 ? -14 : -126,
                  .halves = insn->type[0] == PTX_F16,
                  .widens = widens};
}

static int exponent(f64 x, int least)
{
    int e = (int)(ptx_bits64(x) >> 52 & 0x7ff) - 1023;
    return x == 0 ? NO_EXPONENT : e < least ? least : e;
}

static f64 power(int e)
{
    return ptx_double((u64)(e + 1023) << 52);
}

// A sum in the result's format: halves to nearest, single precision cut off.
static f64 settle(const chip *chip, f64 sum)
{
    if (chip->halves)
        return ptx_half(ptx_half_bits(ptx_to_odd(sum)));
    if (__builtin_fabs(sum) >= 0x1p128)
        return __builtin_copysign(__builtin_inf(), sum);
    if (sum == 0)
        return sum;
    f64 unit = power(exponent(sum, -126) - (int)chip->result);
    return __builtin_trunc(sum / unit) * unit;
}

static void add_block(const chip *chip, const f64 *left, const f64 (*right)[8], u32 count, f64 *c)
{
    int top[8], e;
    f64 scale[8], sum[8], plain[8];
    for (u32 n = 0; n < 8; n++)
        top[n] = exponent(c[n], chip->least_c);
    for (u32 k = 0; k < count; k++)
        for (u32 n = 0; n < 8; n++) {
            e = exponent(left[k], chip->least_a) + exponent(right[k][n], chip->least_b);
            top[n] = e > top[n] ? e : top[n];
        }
    for (u32 n = 0; n < 8; n++) {
        scale[n] = power(top[n] == NO_EXPONENT ? 0 : (int)chip->kept - top[n]);
        sum[n] = __builtin_trunc(c[n] * scale[n]);
        plain[n] = c[n];
    }
    for (u32 k = 0; k < count; k++)
        for (u32 n = 0; n < 8; n++) {
            sum[n] += __builtin_trunc(left[k] * right[k][n] * scale[n]);
            plain[n] += left[k] * right[k][n];
        }
    for (u32 n = 0; n < 8; n++)
        c[n] = __builtin_isfinite(plain[n]) ? settle(chip, sum[n] / scale[n]) : plain[n];
}

// A row of A times B, in blocks one after another.
static void add_blocks(const chip *chip, const f64 *left, const f64 (*right)[8], u32 depth, f64 *c)
{
    for (u32 k = 0; k < depth; k += chip->block)
        add_block(chip, left + k, right + k, depth - k < chip->block ? depth - k : chip->block, c);
}

// The low pairs of the registers, then the high ones; the accumulator at the end.
static void add_widened(const chip *chip, const f64 *left, const f64 (*right)[8], u32 depth, f64 *c)
{
    f64 sum[8] = {0}, x[16] = {0}, y[16][8] = {0};
    for (u32 high = 0; high < 2; high++) {
        for (u32 i = 0; i < depth / 2; i++) {
            u32 k = i / 2 * 4 + high * 2 + i % 2;
            x[i] = left[k];
            memcpy(y[i], right[k], sizeof y[i]);
        }
        add_blocks(chip, x, y, depth / 2, sum);
    }
    for (u32 n = 0; n < 8; n++)
        c[n] = chip->halves ? ptx_half(ptx_half_bits(ptx_to_odd(c[n] + sum[n]))) : (f32)(c[n] + sum[n]);
}

static void multiply_chip(const ptx_warp *warp, const ptx_insn *insn, tile *t)
{
    chip chip = chip_of(warp, insn);
    for (u32 m = 0; m < t->rows; m++) {
        f64 left[32];
        for (u32 k = 0; k < t->depth; k++)
            left[k] = t->a[m / 8 + k / t->width * t->down][m % 8 * t->width + k % t->width];
        (chip.widens ? add_widened : add_blocks)(&chip, left, t->b, t->depth, t->c[m]);
    }
}

// ---- writing ----

static u64 result_bits(const ptx_insn *insn, f64 value)
{
    switch ((ptx_type)insn->type[0]) {
    case PTX_S32: // exact in a double
        if (insn->m.sat)
            return (u32)(s32)(value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value);
        return (u32)(s64)value;
    case PTX_F64:
        return ptx_bits64(value);
    default:
        return ptx_half_bits(ptx_to_odd(value));
    }
}

static void write_tile(ptx_warp *warp, const ptx_insn *insn, const tile *t)
{
    const u32 *list = warp->block->run->kernel->lists + insn->o[0];
    for (u32 half = 0; half < t->down; half++) {
        const f64 *c = t->c[8 * half];
        if (insn->type[0] == PTX_F32) {
            f32 *left = ptx_place(warp, list[2 * half]), *right = ptx_place(warp, list[2 * half + 1]);
            for (u32 l = 0; l < PTX_LANES; l++) {
                left[l] = ptx_clean((f32)c[2 * l]);
                right[l] = ptx_clean((f32)c[2 * l + 1]);
            }
            continue;
        }
        for (u32 l = 0; l < PTX_LANES; l++) {
            u64 left = result_bits(insn, c[2 * l]), right = result_bits(insn, c[2 * l + 1]);
            if (insn->type[0] == PTX_F16) {
                ptx_set(warp, list[half], 4, l, left | right << 16);
            } else {
                ptx_set(warp, list[2 * half], insn->lane[0], l, left);
                ptx_set(warp, list[2 * half + 1], insn->lane[0], l, right);
            }
        }
    }
}

static void run_mma(ptx_warp *warp, const ptx_insn *insn, uint32_t mask)
{
    if (!ptx_gather_members(warp, insn, mask, UINT32_MAX))
        return;
    tile t;
    const ptx_launch *launch = warp->block->run->launch;
    ptx_mma mode = launch->mma;
    if (mode == PTX_MMA_BY_SEED)
        mode = launch->approximation_seed ? PTX_MMA_STEPS : PTX_MMA_EXACT;
    read_tile(warp, insn, &t);
    if (insn->type[0] == PTX_F64)
        multiply_wide(&t);
    else if (insn->type[0] == PTX_S32 || mode == PTX_MMA_EXACT)
        multiply(&t);
    else if (mode == PTX_MMA_STEPS)
        multiply_stepwise(&t);
    else
        multiply_chip(warp, insn, &t);
    write_tile(warp, insn, &t);
}

ptx_run *PTX_VARIANT_OF(ptx_select_mma)(const ptx_insn *insn)
{
    return insn->op == PTX_OP_MMA ? run_mma : NULL;
}
