// SPDX-License-Identifier: MIT
// MLA over the paged cache on tensor cores, in the manner of FlashMLA and Flash-Decoding (Dao and others 2023): one staged
// tile of the cache is keys and values at once.
//
// A group of 8 warps has 16 heads of one token and walks the context in tiles of 16 keys.
//
//              576 columns = 36 steps of 16                    512 columns = 32 pairs of 8
//            ┌───────────────────────────┐                   ┌───────────────────────────┐
//   queries  │ step s: warp s % 8,       │  x tile = scores  │ pair p: warp p % 8        │ += weights x tile
//   16 heads │ in registers all the time │  (16 x 16)        │ float, in registers       │
//            └───────────────────────────┘                   └───────────────────────────┘
//
// One tile:
//   1  wait for the tile; BARRIER; start the copy of the next one into the other stage (cp.async, 16 threads a row)
//   2  each warp multiplies its steps: 16 x 16 partial scores into shared memory; BARRIER
//   3  each thread has one (head, key): adds the 8 partials, running maximum and sum over the 16 threads of its head,
//      weight p = exp(score - maximum) as three BF16 terms into shared memory; BARRIER
//   4  each warp: its columns = columns x shrink + weights x tile
//
// Shared memory, 47.7 KiB:
//   tile      2 x 16 rows x 72 chunks of 16 bytes; chunk c of row r lies at c ^ (r & 7), so that the 8 rows of a matrix are
//             read from different banks. Columns past the cache's width up to a whole step, and rows past the token's
//             position, are zeros that nobody reads from memory: what the cache holds there may be NaN, and 0 x NaN counts.
//   partial   8 warps x 16 heads x 16 keys of float, rows 20 apart
//   weight    3 terms x 16 heads x 2 chunks; chunk c of head h lies at c ^ (h >> 2 & 1)
//
// The weights. BF16 has 8 bits, a weight of float 24: p = high + middle + low, cut off, is exact, and the three products are
// summed from the smallest up, in a sum of the tile's own. Only then are they added to the columns: a tensor core that
// cuts off does so relative to one tile, and not to the whole sum at each tile.
//
// The context. A token's keys are cut into segments of SEGMENT keys, or of so many times as many that there are at most
// MAX_SEGMENTS: a rule of its own position alone. Each segment starts from nothing, and the segments are folded in ascending
// order. With `slots` each segment has a group of its own, and the second launch folds what they leave in `partials`. Without,
// one group walks all segments and folds at the end of each. `fold_weight`, `fold` and exp_fixed have their roundings fixed, so
// that both ways give the same bits. Groups of segments beyond a token's position end at once; nobody reads their slot.
#include "cuda_sm80.kh"

#undef LAUNCH_BOUNDS // two groups on a multiprocessor: 128 registers a thread
#define LAUNCH_BOUNDS(group) __launch_bounds__(group, 2)

#define TILE 16u         // keys
#define CHUNKS 72u       // of 16 bytes, in a row of 576 columns
#define STAGE_BYTES (16u * TILE * CHUNKS)
#define STEPS 5u         // of 16 columns, a warp's at most
#define PAIRS 4u         // of 8 columns, a warp's at most
#define PARTIAL_ROW 20u  // floats
#define SEGMENT 256u     // keys
#define MAX_SEGMENTS 16u
#define NO_SCORE -3.0e38f

struct alignas(16) chunk {
    uint word[4];
};

// Of one head, over the keys so far: the largest score, and the sum of weights relative to it.
struct softmax {
    float top, total;
};

FUNC uint keys_of(int owner, int position)
{
    return owner < 0 ? 0u : TO_UINT(position) + 1u;
}

FUNC uint keys_of_segment(uint keys)
{
    return SEGMENT * MAX((keys + SEGMENT * MAX_SEGMENTS - 1u) / (SEGMENT * MAX_SEGMENTS), 1u);
}

// Folds a segment into `all`. Returns what the columns so far (keep) and the segment's (add) are multiplied by.
FUNC void fold_weight(softmax *all, softmax segment, float *keep, float *add)
{
    float top = FMAX(all->top, segment.top);
    *keep = exp_fixed(all->top - top);
    *add = exp_fixed(segment.top - top);
    all->total = fused(segment.total, *add, product(all->total, *keep));
    all->top = top;
}

FUNC float fold(float all, float keep, float segment, float add)
{
    return fused(segment, add, product(all, keep));
}

// Over the 16 threads that have one head.
FUNC float head_max(float value)
{
    for (uint lanes = 8u; lanes > 0u; lanes >>= 1)
        value = FMAX(value, shuffle_xor(value, lanes));
    return value;
}

FUNC float head_sum(float value)
{
    for (uint lanes = 8u; lanes > 0u; lanes >>= 1)
        value += shuffle_xor(value, lanes);
    return value;
}

// How many of `count` things, dealt out to `players` in turn, number `player` gets.
FUNC uint share_of(uint count, uint player, uint players)
{
    return (count + players - 1u - player) / players;
}

// Where chunk `column` of row `key` of a tile lies, in bytes. Chunk column + 16 i lies at that + 256 i.
FUNC uint chunk_at(uint key, uint column)
{
    return 16u * (key * CHUNKS + (column ^ (key & 7u)));
}

// Keys first … first + here - 1 of a page (16 of them at most), all columns. Where nothing is read, the address is one that
// nobody looks at.
FUNC void copy_tile(uint tile, const uint *cache, uint page, uint first, uint here, uint width)
{
    uint thread = anew(LOCAL_ID);
    uint key = thread >> 4;
    uint column = thread & 15u;
    const uint *from = cache + (unsigned long long)(page * 64u + (first & 63u) + key) * (width / 2u) + 4u * column;
    uint to = tile + chunk_at(key, column);
    uint filled = share_of((width + 15u) / 16u * 2u, column, 16u);
    uint existing = key < here ? share_of(width / 8u, column, 16u) : 0u;
    UNROLL
    for (uint i = 0u; i < STEPS; i++) {
        if (i < filled)
            copy16_async(to + 256u * i, from + 64u * i, i < existing ? 16u : 0u);
    }
    copy_commit();
}

// The pair of elements at an even column of a head's query: latent, then rope key, then zeros.
FUNC uint query_word(const uint *q_latent, const uint *q_rope, uint column, uint latent, uint rope)
{
    if (column < latent)
        return q_latent[column / 2u];
    return column - latent < rope ? q_rope[(column - latent) / 2u] : 0u;
}

// This warp's part of the scores of a tile.
FUNC void score_tile(uint tile, const uint query[STEPS][4], uint steps, float *partial)
{
    uint thread = anew(LOCAL_ID);
    uint lane = thread & 31u;
    uint warp = thread >> 5;
    // Matrices: keys 0-7 and 8-15, each of the step's two chunks.
    uint from = tile + chunk_at((lane & 7u) + (lane >> 4) * 8u, 2u * warp + (lane >> 3 & 1u));
    float score[2][4] = {};
    UNROLL
    for (uint i = 0u; i < STEPS; i++) {
        if (i < steps) {
            uint k[4];
            load_matrices(k, from + 256u * i);
            mma_bf16(score[0], query[i], k[0], k[1]);
            mma_bf16(score[1], query[i], k[2], k[3]);
        }
    }
    UNROLL
    for (uint n = 0u; n < 2u; n++) {
        float *at = partial + (warp * 16u + lane / 4u) * PARTIAL_ROW + 8u * n + 2u * (lane & 3u);
        at[0] = score[n][0];
        at[1] = score[n][1];
        at[8u * PARTIAL_ROW] = score[n][2];
        at[8u * PARTIAL_ROW + 1u] = score[n][3];
    }
}

// This thread's (head, key), of the `here` keys of a tile: writes the weight's terms, and what older columns of the head
// shrink by.
FUNC void weigh_key(const float *partial, uint here, float scale, softmax *state, unsigned short *weight, float *shrink)
{
    uint thread = anew(LOCAL_ID);
    uint head = thread >> 4;
    uint key = thread & 15u;
    float part[8];
    UNROLL
    for (uint warp = 0u; warp < 8u; warp++)
        part[warp] = partial[(warp * 16u + head) * PARTIAL_ROW + key];
    float sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
    float score = key < here ? product(sum, scale) : NO_SCORE;
    float top = FMAX(state->top, head_max(score));
    float p = key < here ? exp_fixed(score - top) : 0.0f;
    float older = exp_fixed(state->top - top);
    state->total = fused(state->total, older, head_sum(p));
    state->top = top;
    if (key == 0u)
        shrink[head] = older;

    weight += head * 16u + ((key >> 3) ^ (head >> 2 & 1u)) * 8u + (key & 7u);
    UNROLL
    for (uint term = 0u; term < 3u; term++) {
        uint bits = AS_UINT(p) & 0xffff0000u;
        weight[term * 256u] = (unsigned short)(bits >> 16);
        p -= AS_FLOAT(bits);
    }
}

// This warp's columns.
FUNC void add_values(uint tile, uint weight, const float *shrink, uint pairs, float column[PAIRS][2][4])
{
    uint thread = anew(LOCAL_ID);
    uint lane = thread & 31u;
    uint warp = thread >> 5;
    uint row = (lane & 7u) + (lane >> 3 & 1u) * 8u; // of the weights: a head; of the tile: a key
    uint p[3][4];
    UNROLL
    for (uint term = 0u; term < 3u; term++)
        load_matrices(p[term], weight + 16u * (term * 32u + row * 2u + ((lane >> 4) ^ (row >> 2 & 1u))));
    uint from = tile + chunk_at(row, 2u * warp + (lane >> 4));
    float shrink_low = shrink[lane / 4u];
    float shrink_high = shrink[lane / 4u + 8u];
    UNROLL
    for (uint i = 0u; i < PAIRS; i++) {
        if (i < pairs) {
            uint v[4];
            load_matrices_transposed(v, from + 256u * i);
            UNROLL
            for (uint n = 0u; n < 2u; n++) {
                float sum[4] = {};
                UNROLL
                for (int term = 2; term >= 0; term--)
                    mma_bf16(sum, p[term], v[2u * n], v[2u * n + 1u]);
                UNROLL
                for (uint e = 0u; e < 4u; e++)
                    column[i][n][e] = fused(column[i][n][e], e < 2u ? shrink_low : shrink_high, sum[e]);
            }
        }
    }
}

// A group's token, and the first of its 16 heads.
struct block {
    uint token, head;
};

FUNC block block_of(uint group, uint heads)
{
    uint blocks = (heads + 15u) / 16u;
    block here = {group / blocks, group % blocks * 16u};
    return here;
}

// Scores and columns are summed over different counts: 0.
KERNEL_MATRIX(BF16, NONE, BF16, 0)

KERNEL_BEGIN(mla_attention, 256)
    IN(u32, q_latent)     // [count, heads, latent] bf16
    IN(u32, q_rope)       // [count, heads, rope] bf16
    IN(u32, cache)        // [pages, 64, latent + rope] bf16
    IN(i32, block_table)  // [sequences, max_pages]
    IN(i32, positions)    // [count]
    IN(i32, sequence)     // [count]
    OUT(u32, y)           // [count, heads, latent] bf16
    VALUE(uint, heads)
    VALUE(uint, latent)
    VALUE(uint, rope)
    VALUE(uint, max_pages)
    VALUE(uint, latent_offset)
    VALUE(uint, latent_stride)
    VALUE(uint, rope_offset)
    VALUE(uint, rope_stride)
    VALUE(uint, y_offset)
    VALUE(uint, y_stride)
    VALUE(float, scale)
    OUT(f32, partials)    // [count, heads, slots, latent + 2]: columns, maximum, sum
    VALUE(uint, slots)    // segments that have a group of their own; 0: a group walks all of them
KERNEL_SHARED
    SHARED(chunk, staged, 2 * 16 * 72 + 3 * 16 * 2) // two stages of a tile, then the weights
    SHARED(float, partial, 8 * 16 * 20)
    SHARED(float, factor, 3 * 16) // of each head: what the columns shrink by; keep and add of a fold
    SHARED(softmax, all, 16)       // of each head: the segments before
KERNEL_BODY
    uint lane = LOCAL_ID & 31u; // in fragments: rows (heads) lane / 4 and that + 8
    uint warp = LOCAL_ID >> 5;
    uint width = latent + rope;
    uint steps = share_of((width + 15u) / 16u, warp, 8u); // this warp's
    uint pairs = share_of((latent + 15u) / 16u, warp, 8u);
    block here = block_of(GROUP_ID, heads);
    int owner = AT(sequence, here.token);
    uint keys = keys_of(owner, AT(positions, here.token));
    uint segment = keys_of_segment(keys);
    uint first = slots > 0u ? GROUP_ID_Y * segment : 0u;
    uint end = slots > 0u ? MIN(keys, first + segment) : keys;
    if (slots > 0u && first >= keys)
        return;

    const int *pages = block_table + (owner < 0 ? 0u : TO_UINT(owner) * max_pages);
    uint stages = shared_address(staged);
    uint stage = 0u; // in bytes: this tile's
    uint page = 0u;  // of the next tile to copy
    if (first < end) {
        copy_tile(stages, cache, TO_UINT(pages[first / 64u]), first, end - first, width);
        if (first + TILE < end)
            page = TO_UINT(pages[(first + TILE) / 64u]);
    }

    uint query[STEPS][4];
    UNROLL
    for (uint j = 0u; j < 2u; j++) {
        uint head = here.head + lane / 4u + 8u * j;
        uint row = here.token * heads + head;
        bool exists = head < heads;
        const uint *latent_row = q_latent + (exists ? (latent_offset + row * latent_stride) / 2u : 0u);
        const uint *rope_row = q_rope + (exists ? (rope_offset + row * rope_stride) / 2u : 0u);
        UNROLL
        for (uint i = 0u; i < STEPS; i++) {
            uint column = 16u * (warp + 8u * i) + 2u * (lane & 3u);
            query[i][j] = exists ? query_word(latent_row, rope_row, column, latent, rope) : 0u;
            query[i][j + 2u] = exists ? query_word(latent_row, rope_row, column + 8u, latent, rope) : 0u;
        }
    }

    softmax state = {NO_SCORE, 0.0f}; // of head LOCAL_ID / 16 of the block
    if ((LOCAL_ID & 15u) == 0u)
        all[LOCAL_ID / 16u] = state;
    float column[PAIRS][2][4] = {};
    float all_column[PAIRS][2][4] = {};
    uint segment_end = first + segment;
    for (uint start = first; start < end; start += TILE) {
        copy_wait<0>();
        BARRIER(); // the tile is here, and everyone has left the other stage
        if (start + TILE < end) {
            copy_tile(anew(stages) + STAGE_BYTES - stage, cache, page, start + TILE, anew(end) - start - TILE, anew(width));
            if (start + 2u * TILE < end)
                page = TO_UINT(pages[(start + 2u * TILE) / 64u]);
        }
        score_tile(stages + stage, query, steps, partial);
        BARRIER();
        weigh_key(partial, anew(end) - start, scale, &state, (unsigned short *)(staged + 2u * TILE * CHUNKS), factor);
        BARRIER();
        add_values(stages + stage, anew(stages) + 2u * STAGE_BYTES, factor, pairs, column);
        stage = STAGE_BYTES - stage;

        if (slots == 0u && (start + TILE == segment_end || start + TILE >= end)) {
            uint thread = anew(LOCAL_ID);
            if ((thread & 15u) == 0u)
                fold_weight(all + thread / 16u, state, factor + thread / 16u + 16u, factor + thread / 16u + 32u);
            BARRIER();
            const float *keep = factor + (thread & 31u) / 4u + 16u;
            const float *add = keep + 16u;
            UNROLL
            for (uint i = 0u; i < PAIRS * 8u; i++) {
                float *now = &column[i / 8u][i / 4u % 2u][i % 4u];
                float *before = &all_column[i / 8u][i / 4u % 2u][i % 4u];
                *before = fold(*before, keep[(i & 2u) * 4u], *now, add[(i & 2u) * 4u]);
                *now = 0.0f;
            }
            state.top = NO_SCORE;
            state.total = 0.0f;
            segment_end += keys_of_segment(anew(end));
        }
    }

    uint thread = anew(LOCAL_ID);
    here = block_of(anew(GROUP_ID), heads);
    if (slots == 0u) {
        if ((thread & 15u) == 0u) // a padding token's columns are 0
            factor[thread / 16u] = end > 0u ? 1.0f / all[thread / 16u].total : 0.0f;
        BARRIER();
    } else if ((thread & 15u) == 0u && here.head + thread / 16u < heads) {
        uint row = here.token * heads + here.head + thread / 16u;
        float *to = partials + (row * slots + GROUP_ID_Y) * (latent + 2u) + latent;
        to[0] = state.top;
        to[1] = state.total;
    }
    UNROLL
    for (uint half = 0u; half < 2u; half++) {
        uint head = here.head + (thread & 31u) / 4u + 8u * half;
        uint row = here.token * heads + head;
        float inverse = factor[head - here.head];
        UNROLL
        for (uint i = 0u; i < PAIRS * 2u; i++) { // two columns each
            uint at = 16u * (thread / 32u + 8u * (i / 2u)) + 8u * (i % 2u) + 2u * (thread & 3u);
            const float *walked = &all_column[i / 2u][i % 2u][2u * half];
            const float *only = &column[i / 2u][i % 2u][2u * half];
            float *partial_at = partials + (row * slots + GROUP_ID_Y) * (latent + 2u) + at;
            if (head >= heads || at >= latent)
                continue;
            if (slots == 0u) {
                AT(y, (y_offset + row * y_stride + at) >> 1) = bf16_pair(walked[0] * inverse, walked[1] * inverse);
            } else {
                partial_at[0] = only[0];
                partial_at[1] = only[1];
            }
        }
    }
KERNEL_END

// A group a (token, head), two columns a thread.
KERNEL_BEGIN(mla_attention_combine, 256)
    IN(f32, partials)    // [count, heads, slots, latent + 2]
    IN(i32, positions)   // [count]
    IN(i32, sequence)    // [count]
    OUT(u32, y)          // [count, heads, latent] bf16
    VALUE(uint, heads)
    VALUE(uint, latent)
    VALUE(uint, slots)
    VALUE(uint, y_offset)
    VALUE(uint, y_stride)
KERNEL_SHARED
KERNEL_BODY
    uint at = 2u * LOCAL_ID;
    uint token = GROUP_ID / heads;
    uint keys = keys_of(AT(sequence, token), AT(positions, token));
    uint segment = keys_of_segment(keys);
    const float *from = partials + GROUP_ID * slots * (latent + 2u);
    if (at >= latent)
        return;
    softmax all = {NO_SCORE, 0.0f};
    float low = 0.0f;
    float high = 0.0f;
    for (uint first = 0u; first < keys; first += segment) {
        float keep;
        float add;
        softmax state = {from[latent], from[latent + 1u]};
        fold_weight(&all, state, &keep, &add);
        low = fold(low, keep, from[at], add);
        high = fold(high, keep, from[at + 1u], add);
        from += latent + 2u;
    }
    float inverse = keys > 0u ? 1.0f / all.total : 0.0f;
    AT(y, (y_offset + GROUP_ID * y_stride + at) >> 1) = bf16_pair(low * inverse, high * inverse);
KERNEL_END
