#version 450
// SPDX-License-Identifier: MIT
// Control flow that the shipped kernels do not have: what sim_lanes_test.c runs (as sim_flow.h), one result a lane. Made by
//     glslangValidator -V --target-env vulkan1.2 -S comp --vn sim_flow -o sim_flow.h sim_flow.comp
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer u32_ptr { uint at[]; };
layout(local_size_x = 48) in;
layout(push_constant, scalar) uniform Args { uint count; u32_ptr y; };
uint calls = 100u;

uint pick(uint x)
{
    switch (x % 7u) {
    case 0u:
        return 11u;
    case 1u:
        x += 5u;
    case 2u:
        x += 7u;
        break;
    case 5u:
        for (uint i = 0u; i < 9u; i++) {
            if (i == x % 4u)
                continue;
            if (i > 6u)
                return x * 3u;
            x++;
        }
        break;
    default:
        x = x * x;
    }
    return x + 1u;
}

void both(inout uint a, out uint b)
{
    b = a * 2u;
    a += 3u;
    calls++;
}

void main()
{
    uint lane = gl_LocalInvocationIndex;
    uint parts[4];
    for (uint i = 0u; i < 4u; i++)
        parts[i] = lane * i;
    uint a = lane, b;
    do {
        both(a, b);
        parts[b & 3u] += b;
    } while (a < 20u || (a & 1u) == 0u);
    uvec2 pair = uvec2(a, b) + uvec2(parts[lane & 3u], calls);
    int s = int(lane) - 20;
    uint sum = pick(lane) + pair.x * 1000u + pair.y * 7u + uint(s / 3) + uint(max(s, -5)) + uint(s >> 1);
    sum += a++ * 3u + a; // the value before, used after the store
    while (true) {
        if (sum % 5u == lane % 5u)
            break;
        sum += lane > 30u ? 1u : 3u;
    }
    y.at[lane + gl_GlobalInvocationID.x] = sum;
}
