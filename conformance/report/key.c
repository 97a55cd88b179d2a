// SPDX-License-Identifier: MIT
//
// Keys, signing and checking signatures (key.h), by libsodium. Secret bytes are wiped after use.
#include "conformance/report/key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/report/files.h"
#include "conformance/report/report.h"

#define SECRET_KIND    "isomer-ed25519-secret 1"
#define PUBLIC_KIND    "isomer-ed25519-public 1"
#define SIGNATURE_KIND "isomer-ed25519-signature 1"
#define MOST_KEY_FILE  4096
#define BASE64_BYTES   (sodium_base64_ENCODED_LEN(CONFORM_SECRET_BYTES, sodium_base64_VARIANT_ORIGINAL))

// Exactly `bytes` of base64 on line `line` (0 is the first).
static bool decode_line(const char *text, unsigned line, unsigned char *out, size_t bytes)
{
    size_t got;
    for (; line > 0; line--) {
        text = strchr(text, '\n');
        if (!text)
            return false;
        text++;
    }
    return sodium_base642bin(out, bytes, text, strcspn(text, "\n"), NULL, &got, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           got == bytes;
}

// Whether the file's first line is `kind` and it has `lines` lines, the last one ended.
static bool has_form(const char *text, const char *kind, unsigned lines)
{
    size_t length = strlen(kind);
    unsigned count = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    return strncmp(text, kind, length) == 0 && text[length] == '\n' && count == lines &&
           text[strlen(text) - 1] == '\n';
}

static iso_status load_key(const char *path, const char *kind, unsigned char *out, size_t key_bytes)
{
    char *text;
    size_t bytes;
    ISO_TRY(conform_sodium());
    ISO_TRY(conform_file_read(path, MOST_KEY_FILE, &text, &bytes));
    bool good = strlen(text) == bytes && has_form(text, kind, 2) && decode_line(text, 1, out, key_bytes);
    sodium_memzero(text, bytes);
    free(text);
    if (!good)
        return iso_fail(ISO_CORRUPT, "%s is no key; wanted: a line \"%s\" and a line of base64 for %zu bytes",
                        path, kind, key_bytes);
    return ISO_OK;
}

iso_status conform_public_key_load(const char *path, unsigned char out[CONFORM_PUBLIC_BYTES])
{
    return load_key(path, PUBLIC_KIND, out, CONFORM_PUBLIC_BYTES);
}

// ---- making a pair ----

static iso_status write_key(const char *path, int mode, const char *kind, const unsigned char *key,
                            size_t key_bytes)
{
    char base64[BASE64_BYTES], text[256];
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0)
        return iso_fail(errno == EEXIST ? ISO_INVALID_ARGUMENT : ISO_IO, "cannot create %s: %s%s", path,
                        strerror(errno), errno == EEXIST ? "; a key is never overwritten" : "");
    sodium_bin2base64(base64, sizeof base64, key, key_bytes, sodium_base64_VARIANT_ORIGINAL);
    int length = snprintf(text, sizeof text, "%s\n%s\n", kind, base64);
    iso_status status = conform_write_all(file, path, text, (size_t)length);
    if (close(file) != 0 && status == ISO_OK)
        status = iso_fail(ISO_IO, "cannot write %s: %s", path, strerror(errno));
    if (status != ISO_OK)
        unlink(path);
    sodium_memzero(base64, sizeof base64);
    sodium_memzero(text, sizeof text);
    return status;
}

iso_status conform_keygen(const char *path)
{
    unsigned char secret[CONFORM_SECRET_BYTES], public[CONFORM_PUBLIC_BYTES];
    char public_path[CONFORM_PATH_BYTES];
    int length = snprintf(public_path, sizeof public_path, "%s.pub", path);
    if (length < 0 || (size_t)length >= sizeof public_path)
        return iso_fail(ISO_INVALID_ARGUMENT, "the key's path is longer than %zu bytes", sizeof public_path);
    ISO_TRY(conform_sodium());
    crypto_sign_keypair(public, secret);
    iso_status status = write_key(public_path, 0644, PUBLIC_KIND, public, sizeof public);
    if (status == ISO_OK) {
        status = write_key(path, 0600, SECRET_KIND, secret, sizeof secret);
        if (status != ISO_OK)
            unlink(public_path); // made just now
    }
    sodium_memzero(secret, sizeof secret);
    return status;
}

iso_status conform_secret_key_check(const char *path)
{
    unsigned char secret[CONFORM_SECRET_BYTES];
    iso_status status = load_key(path, SECRET_KIND, secret, sizeof secret);
    sodium_memzero(secret, sizeof secret);
    return status;
}

// ---- signing and checking ----

iso_status conform_sign(const char *secret_key_file, const void *data, size_t bytes, char **out_text)
{
    unsigned char secret[CONFORM_SECRET_BYTES], signature[crypto_sign_BYTES];
    char key[BASE64_BYTES], base64[BASE64_BYTES];
    *out_text = NULL;
    ISO_TRY(load_key(secret_key_file, SECRET_KIND, secret, sizeof secret));
    crypto_sign_detached(signature, NULL, data, bytes, secret);
    // The second half of a secret key is the public one.
    sodium_bin2base64(key, sizeof key, secret + 32, CONFORM_PUBLIC_BYTES, sodium_base64_VARIANT_ORIGINAL);
    sodium_bin2base64(base64, sizeof base64, signature, sizeof signature, sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(secret, sizeof secret);
    if (asprintf(out_text, "%s\n%s\n%s\n", SIGNATURE_KIND, key, base64) < 0)
        return iso_fail(ISO_OUT_OF_MEMORY, "no memory for a signature");
    return ISO_OK;
}

iso_status conform_signature_check(const char *text, const void *data, size_t bytes,
                                   unsigned char out_key[CONFORM_PUBLIC_BYTES], bool *out_valid)
{
    unsigned char signature[crypto_sign_BYTES];
    *out_valid = false;
    ISO_TRY(conform_sodium());
    if (!has_form(text, SIGNATURE_KIND, 3) || !decode_line(text, 1, out_key, CONFORM_PUBLIC_BYTES) ||
        !decode_line(text, 2, signature, sizeof signature))
        return iso_fail(ISO_CORRUPT, "no signature; wanted: a line \"%s\", a key and a signature in base64",
                        SIGNATURE_KIND);
    *out_valid = crypto_sign_verify_detached(signature, data, bytes, out_key) == 0;
    return ISO_OK;
}
