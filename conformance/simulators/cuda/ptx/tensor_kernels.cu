// SPDX-License-Identifier: MIT
//
// What kernels for tensor cores are made of, said as such kernels say it: inline PTX in CUDA C++ for clang, which
// tensor_test makes to PTX for several targets, runs and checks. Knows no op of Isomer's.
#define KERNEL extern "C" __global__

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

static __device__ __forceinline__ u32 shared_address(const void *p)
{
    u64 at;
    asm("cvta.to.shared.u64 %0, %1;" : "=l"(at) : "l"(p));
    return (u32)at;
}

static __device__ __forceinline__ void copy_async(u32 to, const void *from, u32 bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
#define COMMIT()   asm volatile("cp.async.commit_group;" ::: "memory")
#define WAIT(left) asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory")
#define BARRIER()  asm volatile("bar.sync 0;" ::: "memory")

static __device__ __forceinline__ void load_matrix(u32 (&r)[4], u32 at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

static __device__ __forceinline__ void load_turned(u32 (&r)[4], u32 at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

static __device__ __forceinline__ void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- a matrix product in bf16: two stages of cp.async, ldmatrix, mma ----

#define TILE_M 64
#define TILE_N 64
#define TILE_K 32

// y[m, n] f32 = x[m, k] bf16 * w[k, n] bf16; 128 threads, dynamic shared memory for two stages. k and n are multiples
// of 8; rows beyond m and what is beyond k and n are copied as zeros by the size of the copy.
KERNEL void gemm_bf16(const u16 *x, const u16 *w, float *y, u32 m, u32 n, u32 k)
{
    extern __shared__ __attribute__((aligned(128))) u8 stage[];
    const u32 stage_bytes = TILE_M * TILE_K * 2 + TILE_K * TILE_N * 2, a_bytes = TILE_M * TILE_K * 2;
    u32 base = shared_address(stage), t = threadIdx.x, lane = t % 32, warp = t / 32;
    u32 m0 = blockIdx.y * TILE_M, n0 = blockIdx.x * TILE_N, steps = (k + TILE_K - 1) / TILE_K;
    float sum[8][4] = {};
    for (u32 s = 0; s <= steps; s++) {
        if (s < steps) {
            u32 to = base + s % 2 * stage_bytes, k0 = s * TILE_K;
            for (u32 i = t; i < TILE_M * TILE_K / 8; i += 128) { // 4 pieces of 8 a row
                u32 row = i / 4, col = i % 4;
                bool in = m0 + row < m && k0 + col * 8 < k;
                const u16 *from = x + (in ? (u64)(m0 + row) * k + k0 + col * 8 : 0);
                copy_async(to + row * 64 + (col ^ (row >> 1 & 3)) * 16, from, in ? 16 : 0);
            }
            for (u32 i = t; i < TILE_K * TILE_N / 8; i += 128) { // 8 pieces of 8 a row
                u32 row = i / 8, col = i % 8;
                bool in = k0 + row < k && n0 + col * 8 < n;
                const u16 *from = w + (in ? (u64)(k0 + row) * n + n0 + col * 8 : 0);
                copy_async(to + a_bytes + row * 128 + (col ^ (row & 7)) * 16, from, in ? 16 : 0);
            }
        }
        COMMIT();
        if (s == 0)
            continue;
        WAIT(1);
        BARRIER();
        u32 at = base + (s - 1) % 2 * stage_bytes;
        for (u32 kk = 0; kk < TILE_K; kk += 16) {
            u32 a[4], row = warp * 16 + lane % 16, piece = kk / 8 + lane / 16;
            load_matrix(a, at + row * 64 + (piece ^ (row >> 1 & 3)) * 16);
            for (u32 pair = 0; pair < 4; pair++) {
                u32 b[4], krow = kk + lane % 16, col = pair * 2 + lane / 16;
                load_turned(b, at + a_bytes + krow * 128 + (col ^ (krow & 7)) * 16);
                mma_bf16(sum[pair * 2], a, b[0], b[1]);
                mma_bf16(sum[pair * 2 + 1], a, b[2], b[3]);
            }
        }
        BARRIER();
    }
    for (u32 tile = 0; tile < 8; tile++)
        for (u32 i = 0; i < 4; i++) {
            u32 row = m0 + warp * 16 + lane / 4 + i / 2 * 8, col = n0 + tile * 8 + lane % 4 * 2 + i % 2;
            if (row < m && col < n)
                y[(u64)row * n + col] = sum[tile][i];
        }
}

#if __CUDA_ARCH__ >= 890
// d[16, 8] f32 = a[16, 32] e4m3 * b[8, 32] e4m3 transposed, by one warp; a and b are made of f32 here.
KERNEL void mma_e4m3(const float *a, const float *b, float *d)
{
    u32 lane = threadIdx.x, ar[4], br[2];
    float sum[4] = {};
    for (u32 r = 0; r < 6; r++) {
        const float *from = r < 4 ? a + (lane / 4 + r % 2 * 8) * 32 + lane % 4 * 4 + r / 2 * 16
                                  : b + lane / 4 * 32 + lane % 4 * 4 + (r - 4) * 16;
        u16 low, high;
        asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(from[1]), "f"(from[0]));
        asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(from[3]), "f"(from[2]));
        (r < 4 ? ar[r] : br[r - 4]) = low | (u32)high << 16;
    }
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(ar[0]), "r"(ar[1]), "r"(ar[2]), "r"(ar[3]), "r"(br[0]), "r"(br[1]));
    for (u32 i = 0; i < 4; i++)
        d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sum[i];
}
#endif

// ---- single instructions: out[i] of every lane, 32 lanes; see tensor_test.c for what each must be ----

KERNEL void single(const u32 *in, u32 *out)
{
    u32 lane = threadIdx.x, v = in[lane], r = 0, low, high;
    u64 policy;
#define OUT(i) out[(i)*32 + lane] = r
    asm volatile("shfl.sync.bfly.b32 %0, %1, 5, 0x1f, 0xffffffff;" : "=r"(r) : "r"(v));
    OUT(0);
    asm volatile("shfl.sync.up.b32 %0, %1, 3, 0x0, 0xffffffff;" : "=r"(r) : "r"(v));
    OUT(1);
    asm volatile("shfl.sync.down.b32 %0, %1, 2, 0x1f, 0xffffffff;" : "=r"(r) : "r"(v));
    OUT(2);
    asm volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1807, 0xffffffff;" : "=r"(r) : "r"(v), "r"(lane + 1)); // groups of 8
    OUT(3);
    asm volatile("redux.sync.add.u32 %0, %1, 0xffffffff;" : "=r"(r) : "r"(v));
    OUT(4);
    asm volatile("redux.sync.max.s32 %0, %1, 0xffffffff;" : "=r"(r) : "r"(v));
    OUT(5);
    asm volatile("redux.sync.xor.b32 %0, %1, 0xffffffff;" : "=r"(r) : "r"(v));
    OUT(6);
    asm volatile("{ .reg .pred p; setp.lt.u32 p, %1, %2; vote.sync.ballot.b32 %0, p, 0xffffffff; }"
                 : "=r"(r)
                 : "r"(lane), "r"(7));
    OUT(7);
    asm volatile("{ .reg .pred p, q; setp.lt.u32 p, %1, 32; vote.sync.all.pred q, p, 0xffffffff; selp.u32 %0, 1, 0, q; }"
                 : "=r"(r)
                 : "r"(lane));
    OUT(8);
    asm volatile("{ .reg .pred p, q; setp.eq.u32 p, %1, 32; vote.sync.any.pred q, p, 0xffffffff; selp.u32 %0, 1, 0, q; }"
                 : "=r"(r)
                 : "r"(lane));
    OUT(9);
    asm volatile("prmt.b32 %0, %1, %2, 0x3d60;" : "=r"(r) : "r"(v), "r"(~v));
    OUT(10);
    asm volatile("lop3.b32 %0, %1, %2, %3, 0xe8;" : "=r"(r) : "r"(v), "r"(lane), "r"(0x0f0f0f0f));
    OUT(11);
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("ld.global.L1::no_allocate.L2::cache_hint.u32 %0, [%1], %2;" : "=r"(r) : "l"(in + lane), "l"(policy));
    OUT(12);
    asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r), "=r"(low), "=r"(high), "=r"(v)
                 : "l"(in + lane % 8 * 4));
    r ^= low ^ high ^ v;
    OUT(13);
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(low), "=r"(high), "=r"(v), "=r"(r)
                 : "l"(in + lane % 8 * 4));
    OUT(14);
    asm volatile("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"((float)lane + 0.001f), "f"(1.0f / 3.0f));
    OUT(15);
    asm volatile("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"((float)lane), "f"(1.0f / 3.0f));
    OUT(16);
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(r));
    OUT(17);
}

// 48 KiB of static shared memory, all of it written and read back in another order.
KERNEL void all_static(u32 *out)
{
    __shared__ u32 all[12288];
    for (u32 i = threadIdx.x; i < 12288; i += 256)
        all[i] = i * 7;
    BARRIER();
    u32 sum = 0;
    for (u32 i = threadIdx.x; i < 12288; i += 256)
        sum += all[12287 - i];
    out[threadIdx.x] = sum;
}

// ---- for the measure of speed: many instructions of one kind ----

KERNEL void speed_mma(float *out, u32 rounds)
{
    u32 a[4] = {0x3f803f80, 0x3f803f80, 0x3f803f80, 0x3f803f80};
    float sum[4] = {};
    for (u32 i = 0; i < rounds; i++)
        mma_bf16(sum, a, 0x3c003c00, 0x3c003c00);
    out[blockIdx.x * 128 + threadIdx.x] = sum[0] + sum[1] + sum[2] + sum[3];
}

KERNEL void speed_ldmatrix(u32 *out, u32 rounds)
{
    __shared__ __attribute__((aligned(16))) u32 tile[512 * 4];
    u32 r[4], sum = 0;
    for (u32 i = threadIdx.x; i < 512 * 4; i += 128)
        tile[i] = i;
    BARRIER();
    u32 at = shared_address(tile) + threadIdx.x * 16;
    for (u32 i = 0; i < rounds; i++) {
        load_matrix(r, at + (i & 3) * 2048);
        sum += r[0] ^ r[1] ^ r[2] ^ r[3];
    }
    out[blockIdx.x * 128 + threadIdx.x] = sum;
}

KERNEL void speed_copy(const u32 *in, u32 *out, u32 rounds)
{
    __shared__ __attribute__((aligned(16))) u32 tile[512 * 4];
    u32 at = shared_address(tile) + threadIdx.x * 16, sum = 0;
    for (u32 i = 0; i < rounds; i++) {
        for (u32 part = 0; part < 4; part++)
            copy_async(at + part * 2048, in + (part * 128 + threadIdx.x) * 4, 16);
        COMMIT();
        WAIT(0);
        BARRIER();
        sum += tile[(i * 4 + threadIdx.x) % 2048];
        BARRIER();
    }
    out[blockIdx.x * 128 + threadIdx.x] = sum;
}

// y[m, n] = x[m, k] * w[k, n], all multiples of 64 and 16: 256 threads, 4 times 4 elements each.
KERNEL void speed_f32(const float *x, const float *w, float *y, u32 n, u32 k)
{
    __shared__ float xs[16][64], ws[16][64];
    u32 t = threadIdx.x, row = t / 16 * 4, col = t % 16 * 4, m0 = blockIdx.y * 64, n0 = blockIdx.x * 64;
    float sum[4][4] = {};
    for (u32 k0 = 0; k0 < k; k0 += 16) {
        for (u32 i = t; i < 1024; i += 256) {
            xs[i % 16][i / 16] = x[(m0 + i / 16) * k + k0 + i % 16];
            ws[i / 64][i % 64] = w[(k0 + i / 64) * n + n0 + i % 64];
        }
        BARRIER();
        for (u32 kk = 0; kk < 16; kk++)
            for (u32 i = 0; i < 4; i++)
                for (u32 j = 0; j < 4; j++)
                    sum[i][j] += xs[kk][row + i] * ws[kk][col + j];
        BARRIER();
    }
    for (u32 i = 0; i < 4; i++)
        for (u32 j = 0; j < 4; j++)
            y[(m0 + row + i) * n + n0 + col + j] = sum[i][j];
}
