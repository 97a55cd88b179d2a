// SPDX-License-Identifier: MIT
//
// SHA-256 of bytes, files and links of a chain (files.h), by libsodium.
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "conformance/report/files.h"

iso_status conform_sodium(void)
{
    return sodium_init() >= 0 ? ISO_OK : iso_fail(ISO_UNAVAILABLE, "libsodium cannot be started");
}

static void as_text(const unsigned char hash[CONFORM_SHA256_BYTES], char out[65])
{
    sodium_bin2hex(out, 65, hash, CONFORM_SHA256_BYTES);
}

iso_status conform_sha256(const void *data, size_t bytes, char out[65])
{
    unsigned char hash[CONFORM_SHA256_BYTES];
    ISO_TRY(conform_sodium());
    crypto_hash_sha256(hash, data, bytes);
    as_text(hash, out);
    return ISO_OK;
}

iso_status conform_sha256_chain(const char previous[65], const char *text, size_t bytes, char out[65])
{
    unsigned char hash[CONFORM_SHA256_BYTES];
    crypto_hash_sha256_state state;
    ISO_TRY(conform_sodium());
    if (sodium_hex2bin(hash, sizeof hash, previous, strlen(previous), NULL, NULL, NULL) != 0)
        return iso_fail(ISO_INTERNAL, "the hash before is \"%.70s\"; wanted: 64 hexadecimal digits",
                        previous);
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, hash, sizeof hash);
    crypto_hash_sha256_update(&state, (const unsigned char *)text, bytes);
    crypto_hash_sha256_final(&state, hash);
    as_text(hash, out);
    return ISO_OK;
}

iso_status conform_sha256_file(const char *path, char out[65], uint64_t *out_bytes)
{
    unsigned char hash[CONFORM_SHA256_BYTES], chunk[16384];
    crypto_hash_sha256_state state;
    size_t got;
    *out_bytes = 0;
    ISO_TRY(conform_sodium());
    FILE *stream = fopen(path, "rbe");
    if (!stream)
        return iso_fail(errno == ENOENT ? ISO_NOT_FOUND : ISO_IO, "cannot open %s: %s", path,
                        strerror(errno));
    crypto_hash_sha256_init(&state);
    while ((got = fread(chunk, 1, sizeof chunk, stream)) > 0) {
        crypto_hash_sha256_update(&state, chunk, got);
        *out_bytes += got;
    }
    iso_status status =
        ferror(stream) ? iso_fail(ISO_IO, "cannot read %s: %s", path, strerror(errno)) : ISO_OK;
    fclose(stream);
    crypto_hash_sha256_final(&state, hash);
    as_text(hash, out);
    return status;
}
