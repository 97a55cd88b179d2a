// SPDX-License-Identifier: MIT
//
// Status codes and the thread-local error record.
//
// Every call that can fail returns iso_status; 0 is success. The text of the latest failure of the calling
// thread is kept in a thread-local record: it names the field, the value, the allowed range and the remedy.
#ifndef ISOMER_STATUS_H
#define ISOMER_STATUS_H

#include <stdarg.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Public symbols of the library; everything else is hidden.
#if defined(__GNUC__)
#define ISO_API             __attribute__((visibility("default")))
#define ISO_MUST_USE        __attribute__((warn_unused_result))
#define ISO_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#else
#define ISO_API
#define ISO_MUST_USE
#define ISO_PRINTF(fmt, va)
#endif

// ---- types ----

typedef enum iso_status {
    ISO_OK = 0,
    ISO_INVALID_ARGUMENT, // the caller passed something that can never be right
    ISO_OUT_OF_MEMORY,    // host or device memory is exhausted
    ISO_NOT_FOUND,        // a named thing (file, tensor, device, token) does not exist
    ISO_IO,               // the operating system refused a read or a write
    ISO_CORRUPT,          // a file's content contradicts itself or its format
    ISO_UNSUPPORTED,      // right, but no kernel, device or reader here can do it
    ISO_UNAVAILABLE,      // a driver or a device is absent
    ISO_DEVICE_LOST,      // the device stopped answering; close it and open it again
    ISO_BUILD_FAILED,     // a driver refused to compile a kernel
    ISO_LIMIT,            // a stated limit was reached (context length, pages, sequences)
    ISO_INTERNAL,         // a broken invariant inside Isomer: please report it
    ISO_STATUS_COUNT
} iso_status;

// The latest failure of a thread. Lent: valid until the same thread fails again.
typedef struct iso_status_record {
    iso_status code;
    const char *file; // source file that reported it
    int line;
    const char *text; // one line, no trailing newline
} iso_status_record;

// ---- calls ----

// The record of the calling thread; code is ISO_OK and text is "" before the first failure.
ISO_API const iso_status_record *iso_status_last(void);

// A short fixed name such as "out-of-memory". Never NULL.
ISO_API const char *iso_status_name(iso_status status);

// Fills the calling thread's record and returns `code`. Use through iso_fail.
ISO_API iso_status iso_status_set(iso_status code, const char *file, int line, const char *format, ...)
    ISO_PRINTF(4, 5);

// Puts "prefix: " before the text of the current record and returns its code: adds the context that only the
// caller knows (a file name, a kernel name).
ISO_API iso_status iso_status_prefix(const char *format, ...) ISO_PRINTF(1, 2);

#define iso_fail(code, ...) iso_status_set((code), __FILE__, __LINE__, __VA_ARGS__)

// Forwards a failure to the caller.
#define ISO_TRY(expr)                                                                                        \
    do {                                                                                                     \
        iso_status iso_try_status_ = (expr);                                                                 \
        if (iso_try_status_ != ISO_OK)                                                                       \
            return iso_try_status_;                                                                          \
    } while (0)

// Forwards a failure to a clean-up label; needs a local `iso_status status`.
#define ISO_TRY_GOTO(expr, label)                                                                            \
    do {                                                                                                     \
        status = (expr);                                                                                     \
        if (status != ISO_OK)                                                                                \
            goto label;                                                                                      \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
