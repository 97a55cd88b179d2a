// SPDX-License-Identifier: MIT
//
// What the files of the link suite share: the bench that a unit works on, placements of the model over two
// devices, and how their logits are judged. suite_links.c says which placements there are and what is
// demanded of them.
#ifndef ISOMER_CONFORMANCE_LINKS_BENCH_H
#define ISOMER_CONFORMANCE_LINKS_BENCH_H

#include "conformance/links/link_model.h"
#include "conformance/suite/suite.h"

#define LINK_NO_LIMIT UINT32_MAX

typedef struct link_bench {
    conform_context *context;
    const char *unit;
    link_model model;
    iso_registry *registry; // with all backends
    iso_device *own;        // the context's device, opened a second time in that registry
    iso_device *cpu;
    float *logits[4];   // [LINK_ROWS, vocab], by the names below
    uint32_t most_cuts; // of a pair
} link_bench;

enum { LINK_ALONE, LINK_BY_CPU, LINK_MIXED, LINK_AGAIN };

// The worst of the placements judged so far.
typedef struct link_worst {
    double score;
    char where[96];
    conform_sample sample;
    uint32_t runs, failed, most_transfers;
} link_worst;

// Runs it on `first` up to position `cut`, then on `second` up to `back`, then on `first` again.
typedef struct link_cut {
    iso_device *first, *second;
    uint32_t cut, back; // back: LINK_NO_LIMIT: never
    iso_dtype activation;
} link_cut;

void link_send(link_bench *bench, conform_result *result);
size_t link_logit_count(const link_bench *bench);
// Of the logits in a slot.
double link_rms(const link_bench *bench, uint32_t slot);
// Slot `got` against slot `want`, each logit within `bound`; 0 demands the same bits.
void link_judge(const link_bench *bench, uint32_t got, uint32_t want, double bound, const char *where,
                link_worst *worst);
void link_send_worst(link_bench *bench, const char *check, const link_worst *worst);

// Runs into bench->logits[slot].
iso_status link_run_alone(link_bench *bench, iso_device *device, iso_dtype activation,
                          uint32_t slot) ISO_MUST_USE;
iso_status link_run_cut(link_bench *bench, const link_cut *cut, uint32_t slot,
                        link_worst *worst) ISO_MUST_USE;
// Every position on the other device than the one before, into LINK_MIXED; of the cut only devices and
// activation count.
iso_status link_run_zigzag(link_bench *bench, const link_cut *cut, link_worst *worst) ISO_MUST_USE;
// Cut `number` of `count`: all, or spread over the model with the ends of layers among them.
uint32_t link_choose_cut(const link_bench *bench, uint32_t number, uint32_t count);
void link_name_cut(const link_bench *bench, const link_cut *cut, char out[96]);

#endif
