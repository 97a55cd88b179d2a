// SPDX-License-Identifier: MIT
//
// Ed25519 keys and signatures as small text files: a line that names the kind, then the bytes in base64.
//   isomer-ed25519-secret 1 / isomer-ed25519-public 1 / isomer-ed25519-signature 1 (key, then signature)
#ifndef ISOMER_CONFORMANCE_KEY_H
#define ISOMER_CONFORMANCE_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "isomer/status.h"

#define CONFORM_SIGNATURE    "manifest.sig"
#define CONFORM_SECRET_BYTES 64
#define CONFORM_PUBLIC_BYTES 32

// The content of a signature file for these bytes; released by free().
iso_status conform_sign(const char *secret_key_file, const void *data, size_t bytes,
                        char **out_text) ISO_MUST_USE;
iso_status conform_public_key_load(const char *path, unsigned char out[CONFORM_PUBLIC_BYTES]) ISO_MUST_USE;
// Reads a signature file's text and checks it against the key inside. ISO_CORRUPT where it is malformed.
iso_status conform_signature_check(const char *text, const void *data, size_t bytes,
                                   unsigned char out_key[CONFORM_PUBLIC_BYTES], bool *out_valid) ISO_MUST_USE;

#endif
