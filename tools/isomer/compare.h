// SPDX-License-Identifier: MIT
//
// What `compare` finds out about one device, and the parts of the command: measuring two captures against
// each other (compare_measure.c) and printing (compare_print.c). Differences are over the RMS of what the
// reference has there.
#ifndef ISOMER_TOOLS_COMPARE_H
#define ISOMER_TOOLS_COMPARE_H

#include <jansson.h>

#include "tools/isomer/capture.h"
#include "tools/isomer/machine.h"

// How many differing tokens and routings are kept with their particulars; all are counted.
#define COMPARE_KEPT 8

#define COMPARE_PROBLEM_BYTES 512

// What devices may differ by and still agree.
typedef struct compare_limits {
    const char *applies_to;
    double worst;          // |logit difference| / RMS
    double worst_rerouted; // the same where a token went to other experts
    double rms;            // RMS of the logit differences / RMS
    bool same_experts;
} compare_limits;

typedef struct compare_layer {
    double worst; // |difference| / RMS
    uint32_t token;
} compare_layer;

// A row whose greedy choice is another one.
typedef struct compare_token {
    uint32_t token;
    int32_t reference_id, device_id;
    double margin; // reference's logit of its own choice minus that of the device's, / RMS
} compare_token;

// A token that went to another expert.
typedef struct compare_route {
    uint32_t layer, token;
    int32_t reference_expert, device_expert;
    float reference_weight, device_weight; // each where it was chosen
} compare_route;

typedef struct compare_result {
    char device[CLI_DEVICE_NAME_BYTES];
    const iso_device_info *info; // lent by the registry
    bool is_reference;
    char problem[COMPARE_PROBLEM_BYTES]; // why nothing was measured; "" otherwise
    double worst, rms;
    uint32_t worst_token;
    int32_t worst_id;
    compare_layer layers[ISO_MAX_LAYERS + 1];
    uint32_t layer_count;
    uint32_t token_differences, unexplained_tokens;
    compare_token tokens[COMPARE_KEPT];
    uint32_t route_differences; // pairs of token and layer
    compare_route routes[COMPARE_KEPT];
    bool repeats;                     // a second run gave the same bits
    double prefill_rate, decode_rate; // tokens per second of the second run
    bool agrees;
} compare_result;

// What was asked, and everything found.
typedef struct compare_report {
    const char *model;
    const char *question;         // NULL where ids were given
    const char *answer;           // the reference's text, or NULL
    uint32_t prompt_count, count; // tokens of the prompt, and with what the reference generated
    const compare_limits *limits;
    const compare_result *results; // the reference first
    uint32_t result_count;
} compare_report;

// The limits for this way of computing.
const compare_limits *compare_limits_of(const cli_machine *machine);

// Fills all that can be said from two captures of the same tokens, except the verdict.
void compare_measure(const cli_capture *reference, const cli_capture *device, compare_result *out);
// Whether two runs gave the same bits.
bool compare_same_bits(const cli_capture *a, const cli_capture *b);
bool compare_verdict(const compare_result *result, const compare_limits *limits);

void compare_print(const compare_report *report);
json_t *compare_json(const compare_report *report);

#endif
