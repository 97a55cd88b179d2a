// SPDX-License-Identifier: MIT
//
// ISOMER_CUDASIM_COUNTS: what launches executed, summed by kernel and grid, appended to a file when a context
// or the process ends. A module is named by its text's POSIX checksum and bytes, as `cksum` prints them:
// entries of many modules have one name.
#include "calls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct record {
    struct record *next;
    char name[128];
    uint32_t checksum, bytes, grid[3], block;
    uint64_t launches;
    ptx_counts counts;
} record;

static record *records, **last = &records;

static uint32_t checksum_step(uint32_t sum, uint8_t byte)
{
    sum ^= (uint32_t)byte << 24;
    for (int bit = 0; bit < 8; bit++)
        sum = sum << 1 ^ (sum >> 31 ? 0x04c11db7u : 0);
    return sum;
}

uint32_t sim_checksum(const char *text, size_t bytes, uint32_t *out_bytes)
{
    uint32_t sum = 0;
    *out_bytes = 0;
    for (size_t i = 0; i < bytes && text[i]; i++) {
        if (text[i] == '/' && i + 1 < bytes && text[i + 1] == '/')
            while (i + 1 < bytes && text[i + 1] != '\n')
                i++;
        else if (strchr(" \t\r\n", text[i]) == NULL) {
            sum = checksum_step(sum, (uint8_t)text[i]);
            ++*out_bytes;
        }
    }
    for (uint32_t rest = *out_bytes; rest; rest >>= 8)
        sum = checksum_step(sum, (uint8_t)rest);
    return ~sum;
}

static record *find(const sim_work *work)
{
    const sim_function *function = work->u.launch.function;
    const uint32_t *grid = work->u.launch.grid, *block = work->u.launch.block;
    record wanted = {.checksum = function->module->checksum,
                     .bytes = function->module->text_bytes,
                     .grid = {grid[0], grid[1], grid[2]},
                     .block = block[0] * block[1] * block[2]};
    snprintf(wanted.name, sizeof wanted.name, "%s", function->info.name);
    for (record *r = records; r; r = r->next)
        if (r->checksum == wanted.checksum && r->bytes == wanted.bytes && r->block == wanted.block &&
            memcmp(r->grid, wanted.grid, sizeof r->grid) == 0 && strcmp(r->name, wanted.name) == 0)
            return r;
    record *made = sim_new(sizeof *made);
    if (!made)
        return NULL;
    *made = wanted;
    *last = made;
    last = &made->next;
    return made;
}

ptx_counts *sim_counts_of(const sim_work *work)
{
    record *found = sim.counts_path ? find(work) : NULL;
    if (!found)
        return NULL;
    found->launches++;
    return &found->counts;
}

static void write_header(FILE *file)
{
    fprintf(file, "module\tmodule_bytes\tkernel\tgrid\tthreads\tlaunches");
    for (int c = 0; c < PTX_CLASS_COUNT; c++)
        fprintf(file, "\t%s", ptx_class_name((ptx_class)c));
    fprintf(file,
            "\ttensor_flops\ttensor_flops_8bit\tread_bytes\twritten_bytes\tread_sectors\twritten_sectors"
            "\tshared_bytes\tshared_cycles\n");
}

static void write_record(FILE *file, const record *r)
{
    const ptx_counts *n = &r->counts;
    const uint64_t sums[] = {n->tensor_flops, n->tensor_flops_8bit, n->read_bytes,   n->written_bytes,
                             n->read_sectors, n->written_sectors,   n->shared_bytes, n->shared_cycles};
    fprintf(file, "%" PRIu32 "\t%" PRIu32 "\t%s\t%" PRIu32 ",%" PRIu32 ",%" PRIu32 "\t%" PRIu32 "\t%" PRIu64,
            r->checksum, r->bytes, r->name, r->grid[0], r->grid[1], r->grid[2], r->block, r->launches);
    for (int c = 0; c < PTX_CLASS_COUNT; c++)
        fprintf(file, "\t%" PRIu64, n->warps[c]);
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++)
        fprintf(file, "\t%" PRIu64, sums[i]);
    fprintf(file, "\n");
}

void sim_counts_write(void)
{
    FILE *file = records ? fopen(sim.counts_path, "a") : NULL;
    if (records && !file)
        sim_report(SIM_SETTING_FINDING, sim.call,
                   "ISOMER_CUDASIM_COUNTS is '%.100s', which cannot be written: %s", sim.counts_path,
                   strerror(errno));
    if (file)
        write_header(file);
    while (records) {
        record *r = records;
        records = r->next;
        if (file)
            write_record(file, r);
        free(r);
    }
    last = &records;
    if (file && fclose(file))
        sim_report(SIM_SETTING_FINDING, sim.call,
                   "ISOMER_CUDASIM_COUNTS is '%.100s', which cannot be written: %s", sim.counts_path,
                   strerror(errno));
}
