// SPDX-License-Identifier: MIT
//
// Everything of Isomer's library. The way of a program that runs a model:
//
//   iso_registry_create      what devices this machine has
//   iso_device_open          one of them, by name
//   iso_model_open           a checkpoint as published, or "tiny-r1"
//   iso_tokenizer_open       its tokenizer
//   iso_runner_create        graph, plan, upload, recorded steps
//   iso_prompt_encode        a question to token ids
//   iso_generate             tokens out, piece by piece
//   … and the same in reverse: iso_runner_destroy, iso_tokenizer_close, iso_model_close, iso_device_close,
//   iso_registry_destroy
//
// The library does not print, exit or abort; does not read the network; does not start a driver that no named
// device needs (iso_registry_create_for); does not keep global state but the thread's latest failure and the
// kernel cache.
#ifndef ISOMER_ISOMER_H
#define ISOMER_ISOMER_H

#include "isomer/allocator.h"
#include "isomer/backend.h"
#include "isomer/chat.h"
#include "isomer/checkpoint.h"
#include "isomer/config.h"
#include "isomer/device.h"
#include "isomer/dtype.h"
#include "isomer/generate.h"
#include "isomer/graph.h"
#include "isomer/model.h"
#include "isomer/op.h"
#include "isomer/ops.h"
#include "isomer/plan.h"
#include "isomer/runner.h"
#include "isomer/sampler.h"
#include "isomer/session.h"
#include "isomer/status.h"
#include "isomer/tokenizer.h"

#endif
