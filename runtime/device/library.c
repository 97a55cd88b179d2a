// SPDX-License-Identifier: MIT
//
// Vendor libraries, opened at run time from a list of symbols, so that the same binary starts on any machine.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isomer/backend.h"
#include "runtime/base/strings.h"

#define REASON_BYTES 768

// Appends what the loader said, cut at the end of the room.
static void add_reason(char reason[REASON_BYTES], const char *words)
{
    size_t used = strlen(reason);
    if (used > 0 && used + 2 < REASON_BYTES) {
        memcpy(reason + used, "; ", 3);
        used += 2;
    }
    iso_copy_text(reason + used, REASON_BYTES - used, words ? words : "the loader gives no reason");
}

iso_status iso_library_open(const char *const *names, const char *const *symbols, void **out_functions,
                            void **out_library)
{
    *out_library = NULL;
    char reason[REASON_BYTES] = "";
    for (size_t n = 0; names[n]; n++) {
        void *library = dlopen(names[n], RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            add_reason(reason, dlerror());
            continue;
        }
        size_t s = 0;
        for (; symbols[s]; s++) {
            out_functions[s] = dlsym(library, symbols[s]);
            if (!out_functions[s])
                break;
        }
        if (!symbols[s]) {
            *out_library = library;
            return ISO_OK;
        }
        char words[256];
        snprintf(words, sizeof words, "%s has no %s", names[n], symbols[s]);
        add_reason(reason, words);
        dlclose(library);
    }
    for (size_t s = 0; symbols[s]; s++)
        out_functions[s] = NULL;
    return iso_fail(ISO_UNAVAILABLE, "%s", reason);
}

const char *iso_library_choose(const char *library, const char *variable, const char **out_source)
{
    const char *chosen = library ? library : getenv(variable);
    if (out_source)
        *out_source = library ? "the program" : variable;
    return chosen && chosen[0] != '\0' ? chosen : NULL;
}

iso_status iso_library_refuse(const char *backend, const char *library)
{
    if (!library)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT,
                    "the backend %s opens no library, but %s was named for it; name none", backend, library);
}

void iso_library_close(void *library)
{
    if (library)
        dlclose(library);
}
