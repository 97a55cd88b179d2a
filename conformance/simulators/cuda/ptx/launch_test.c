// SPDX-License-Identifier: MIT
//
// Launches that a kernel's directives or the chip's limits do not allow are refused with what is wrong, and
// nothing of them is executed; those at the limit are run.
#include "ptx_test.h"

static const char text[] = HEADER
    ".visible .entry any(.param .u64 p)\n{\nret;\n}\n"
    ".visible .entry most(.param .u64 p)\n.maxntid 8, 4\n{\nret;\n}\n"
    ".visible .entry required(.param .u64 p)\n.reqntid 8, 4\n{\nret;\n}\n"
    ".visible .entry shares(.param .u64 p)\n{\n.shared .b8 x[1024];\n.reg .b32 r;\nmov.u32 r, x;\nret;\n}\n";

typedef struct launched {
    const char *kernel;
    uint32_t grid[3], block[3], shared_bytes, param_bytes;
    const char *refusal; // what the message begins with; NULL: it runs
} launched;

#define SHARED_MOST (232u * 1024)
static const launched launches[] = {
    {"any", {1, 1, 1}, {1024, 1, 1}, 0, 8, NULL},
    {"any", {1, 1, 1}, {1, 1, 64}, 0, 8, NULL},
    {"any", {1, 1, 1}, {1025, 1, 1}, 0, 8, "a block's extent is 1025"},
    {"any", {1, 1, 1}, {1, 1, 65}, 0, 8, "a block's extent is 65"},
    {"any", {1, 1, 1}, {512, 2, 2}, 0, 8, "threads of a block is 2048"},
    {"any", {1, 1, 1}, {32, 0, 1}, 0, 8, "a block's extent is 0"},
    {"any", {1, 65536, 1}, {1, 1, 1}, 0, 8, "the grid's extent is 65536"},
    {"any", {0, 1, 1}, {1, 1, 1}, 0, 8, "the grid's extent is 0"},
    {"any", {1, 1, 1}, {1, 1, 1}, 0, 4, "bytes of parameters is 4"},
    {"most", {1, 1, 1}, {32, 1, 1}, 0, 8, NULL},
    {"most", {1, 1, 1}, {1, 33, 1}, 0, 8, "threads of a block is 33"},
    {"required", {2, 1, 1}, {8, 4, 1}, 0, 8, NULL},
    {"required", {1, 1, 1}, {32, 1, 1}, 0, 8, "a block's extent, which .reqntid fixes, is 32"},
    {"required", {1, 1, 1}, {8, 2, 1}, 0, 8, "a block's extent, which .reqntid fixes, is 2"},
    {"required", {1, 1, 1}, {8, 4, 2}, 0, 8, "a block's extent, which .reqntid fixes, is 2"},
    {"any", {1, 1, 1}, {1, 1, 1}, SHARED_MOST - 1024, 8, NULL},
    {"any", {1, 1, 1}, {1, 1, 1}, SHARED_MOST + 1, 8, "bytes of shared memory is"},
    {"shares", {1, 1, 1}, {1, 1, 1}, SHARED_MOST - 1023, 8, "bytes of shared memory is 237569"},
};

static void run_launch(ptx_memory *memory, const ptx_module *module, const launched *l)
{
    uint64_t param = 0;
    reports found = {.count = 0};
    ptx_launch_result result;
    ptx_launch launch = {.kernel = ptx_module_find_kernel(module, l->kernel),
                         .grid = {l->grid[0], l->grid[1], l->grid[2]},
                         .block = {l->block[0], l->block[1], l->block[2]},
                         .dynamic_shared_bytes = l->shared_bytes,
                         .params = &param,
                         .param_bytes = l->param_bytes,
                         .report = collect,
                         .user = &found};
    ptx_status status = ptx_launch_run(memory, &launch, &result);
    CHECK(!found.count, "%s: %s", l->kernel, found.list[0].text);
    if (l->refusal)
        CHECK(status == PTX_BAD_ARGUMENT && !strncmp(result.message, l->refusal, strlen(l->refusal)) &&
                  !result.warp_instructions,
              "%s: status %d, '%s', not '%s'", l->kernel, status, result.message, l->refusal);
    else
        CHECK(status == PTX_OK && result.warp_instructions, "%s: status %d, %s", l->kernel, status,
              result.message);
}

int main(void)
{
    char message[PTX_MESSAGE_BYTES];
    ptx_memory *memory = ptx_memory_create(0);
    ptx_module *module;
    ptx_status status = ptx_module_load(memory, text, sizeof text - 1, message, &module);
    CHECK(status == PTX_OK, "%s", message);
    for (size_t i = 0; status == PTX_OK && i < sizeof launches / sizeof *launches; i++)
        run_launch(memory, module, &launches[i]);
    ptx_module_destroy(module);
    ptx_memory_destroy(memory);
    return finish("launch");
}
