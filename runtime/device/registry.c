// SPDX-License-Identifier: MIT
//
// The registry: loads every backend of backends/backends.def, asks each for its devices, keeps the reasons of
// those that are absent, and finds a device by name. This is the only place outside backends/ that knows the
// list of backends, and it knows no more of them than their names.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/strings.h"
#include "runtime/device/device_internal.h"

#define ISO_BACKEND(name) extern const iso_backend iso_##name##_backend;
#include "backends/backends.def"
#undef ISO_BACKEND

static const iso_backend *const backend_tables[] = {
#define ISO_BACKEND(name) &iso_##name##_backend,
#include "backends/backends.def"
#undef ISO_BACKEND
};

#define BACKEND_COUNT (sizeof backend_tables / sizeof backend_tables[0])

static void name_device(iso_registry_device_entry *device)
{
    // The host itself needs no number: there is one.
    if (strcmp(device->backend->table->name, "cpu") == 0 && device->info.ordinal == 0)
        iso_copy_text(device->name, sizeof device->name, "cpu");
    else
        snprintf(device->name, sizeof device->name, "%.15s:%u", device->backend->table->name,
                 device->info.ordinal);
}

static iso_status add_devices(iso_registry *registry, iso_registry_backend_entry *backend, size_t *capacity)
{
    for (uint32_t ordinal = 0;; ordinal++) {
        ISO_TRY(iso_grow(registry->allocator, sizeof *registry->devices, (size_t)registry->device_count + 1,
                         (void **)&registry->devices, capacity));
        iso_registry_device_entry *device = &registry->devices[registry->device_count];
        memset(device, 0, sizeof *device);
        device->backend = backend;
        device->info.struct_bytes = sizeof device->info;
        iso_status status = backend->table->device_info(backend->driver, ordinal, &device->info);
        if (status == ISO_NOT_FOUND)
            return ISO_OK;
        registry->device_count++;
        if (status != ISO_OK) {
            device->info.available = false;
            iso_copy_text(device->info.reason, sizeof device->info.reason, iso_status_last()->text);
        }
        iso_copy_text(device->info.backend, sizeof device->info.backend, backend->table->name);
        device->info.ordinal = ordinal;
        name_device(device);
    }
}

// Whether the device name `name` begins with the backend's.
static bool belongs_to(const char *name, const iso_backend *backend)
{
    size_t length = strlen(backend->name);
    return strncmp(name, backend->name, length) == 0 && (name[length] == ':' || name[length] == '\0');
}

static bool belongs_to_any(const char *name)
{
    for (uint32_t i = 0; i < BACKEND_COUNT; i++)
        if (belongs_to(name, backend_tables[i]))
            return true;
    return false;
}

static bool is_asked_for(const iso_backend *backend, const char *const *names, uint32_t name_count)
{
    bool asked = !names;
    for (uint32_t i = 0; i < name_count && !asked; i++)
        asked = belongs_to(names[i], backend) || !belongs_to_any(names[i]);
    return asked;
}

static iso_status check_libraries(const iso_registry_options *options)
{
    for (uint32_t i = 0; i < options->library_count; i++) {
        const iso_backend_library *library = &options->libraries[i];
        bool known = false;
        for (uint32_t b = 0; library->backend && b < BACKEND_COUNT; b++)
            known = known || strcmp(library->backend, backend_tables[b]->name) == 0;
        if (!known)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "libraries[%u] is for the backend \"%.64s\", which is not here", i,
                            library->backend ? library->backend : "");
        if (!library->path || library->path[0] == '\0')
            return iso_fail(ISO_INVALID_ARGUMENT, "libraries[%u], for %s, has no path", i, library->backend);
    }
    return ISO_OK;
}

// The last one named for it; NULL: none.
static const char *library_of(const iso_registry_options *options, const iso_backend *backend)
{
    const char *path = NULL;
    for (uint32_t i = 0; i < options->library_count; i++)
        if (strcmp(options->libraries[i].backend, backend->name) == 0)
            path = options->libraries[i].path;
    return path;
}

static iso_status load_backend(iso_registry *registry, iso_registry_backend_entry *backend,
                               const iso_registry_options *options, size_t *capacity)
{
    iso_status status =
        backend->table->load(registry->allocator, library_of(options, backend->table), &backend->driver);
    if (status == ISO_INVALID_ARGUMENT)
        return status;
    if (status != ISO_OK) {
        iso_copy_text(backend->reason, sizeof backend->reason, iso_status_last()->text);
        return ISO_OK;
    }
    backend->loaded = true;
    return add_devices(registry, backend, capacity);
}

iso_status iso_registry_create(const iso_allocator *allocator, iso_registry **out_registry)
{
    return iso_registry_create_for(allocator, NULL, 0, out_registry);
}

iso_status iso_registry_create_for(const iso_allocator *allocator, const char *const *names,
                                   uint32_t name_count, iso_registry **out_registry)
{
    const iso_registry_options options = {.allocator = allocator, .names = names, .name_count = name_count};
    return iso_registry_create_with(&options, out_registry);
}

iso_status iso_registry_create_with(const iso_registry_options *options, iso_registry **out_registry)
{
    const iso_allocator *allocator = options->allocator;
    *out_registry = NULL;
    ISO_TRY(check_libraries(options));
    iso_registry *registry = NULL;
    iso_status status = ISO_OK;
    size_t capacity = 0;
    ISO_TRY_GOTO(ISO_NEW(allocator, 1, &registry), fail);
    registry->allocator = allocator;
    ISO_TRY_GOTO(ISO_NEW(allocator, BACKEND_COUNT, &registry->backends), fail);
    registry->backend_count = BACKEND_COUNT;
    for (uint32_t i = 0; i < registry->backend_count; i++) {
        iso_registry_backend_entry *backend = &registry->backends[i];
        backend->table = backend_tables[i];
        if (is_asked_for(backend->table, options->names, options->name_count))
            ISO_TRY_GOTO(load_backend(registry, backend, options, &capacity), fail);
        else
            iso_copy_text(backend->reason, sizeof backend->reason, "no device of it was asked for");
    }
    *out_registry = registry;
    return ISO_OK;
fail:
    iso_registry_destroy(registry);
    return status;
}

void iso_registry_destroy(iso_registry *registry)
{
    if (!registry)
        return;
    for (uint32_t i = 0; i < registry->backend_count; i++)
        if (registry->backends[i].loaded)
            registry->backends[i].table->unload(registry->backends[i].driver);
    iso_free(registry->allocator, registry->devices);
    iso_free(registry->allocator, registry->backends);
    iso_free(registry->allocator, registry);
}

uint32_t iso_registry_backend_count(const iso_registry *registry)
{
    return registry->backend_count;
}

const char *iso_registry_backend(const iso_registry *registry, uint32_t index, const char **out_reason)
{
    if (out_reason)
        *out_reason = NULL;
    if (index >= registry->backend_count)
        return NULL;
    const iso_registry_backend_entry *backend = &registry->backends[index];
    if (out_reason && !backend->loaded)
        *out_reason = backend->reason;
    return backend->table->name;
}

uint32_t iso_registry_device_count(const iso_registry *registry)
{
    return registry->device_count;
}

const iso_device_info *iso_registry_device_info(const iso_registry *registry, uint32_t index)
{
    return index < registry->device_count ? &registry->devices[index].info : NULL;
}

// ---- finding ----

// A device's name taken apart: "vulkan:llvmpipe" is backend "vulkan" and fragment "llvmpipe".
typedef struct device_query {
    char backend[ISO_DEVICE_NAME_BYTES];
    const char *fragment; // NULL: only the backend was named
    bool is_ordinal;
    uint64_t ordinal;
} device_query;

static void parse_query(const char *name, device_query *out_query)
{
    const char *colon = strchr(name, ':');
    size_t length = colon ? (size_t)(colon - name) : strlen(name);
    memset(out_query, 0, sizeof *out_query);
    // A name too long for any backend is cut and then matches none.
    if (length >= sizeof out_query->backend)
        length = sizeof out_query->backend - 1;
    memcpy(out_query->backend, name, length);
    if (!colon)
        return;
    out_query->fragment = colon + 1;
    size_t digits = strspn(out_query->fragment, "0123456789");
    out_query->is_ordinal = digits > 0 && out_query->fragment[digits] == '\0';
    if (out_query->is_ordinal)
        out_query->ordinal = strtoull(out_query->fragment, NULL, 10);
}

static bool query_fits(const device_query *query, const iso_registry_device_entry *device)
{
    if (strcmp(query->backend, device->info.backend) != 0)
        return false;
    if (!query->fragment)
        return true;
    if (query->is_ordinal)
        return query->ordinal == device->info.ordinal;
    return iso_contains_fragment(device->info.name, query->fragment) ||
           iso_contains_fragment(device->info.driver, query->fragment);
}

// Fails with `code`, `problem` and the devices that fit (all of them for a NULL query).
static iso_status fail_with_devices(const iso_registry *registry, iso_status code, const device_query *query,
                                    const char *problem)
{
    iso_text text = {.allocator = registry->allocator};
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(iso_text_append(&text, "%s: ", problem), done);
    uint32_t listed = 0;
    for (uint32_t i = 0; i < registry->device_count; i++) {
        const iso_registry_device_entry *device = &registry->devices[i];
        if (query && !query_fits(query, device))
            continue;
        ISO_TRY_GOTO(iso_text_append(&text, "%s%s (%s%s)", listed++ ? ", " : "", device->name,
                                     device->info.name, device->info.available ? "" : "; cannot be used"),
                     done);
    }
    if (listed == 0)
        ISO_TRY_GOTO(iso_text_append(&text, "none"), done);
    status = iso_fail(code, "%s", iso_text_get(&text));
done:
    iso_text_deinit(&text);
    return status;
}

static iso_status fail_not_found(const iso_registry *registry, const char *name, const device_query *query)
{
    char problem[768];
    snprintf(problem, sizeof problem, "no device is called \"%.64s\"; here are", name);
    for (uint32_t i = 0; i < registry->backend_count; i++) {
        const iso_registry_backend_entry *backend = &registry->backends[i];
        if (strcmp(backend->table->name, query->backend) == 0 && !backend->loaded)
            snprintf(problem, sizeof problem,
                     "no device \"%.64s\", because %.15s is not available (%.511s); here are", name,
                     backend->table->name, backend->reason);
    }
    return fail_with_devices(registry, ISO_NOT_FOUND, NULL, problem);
}

iso_status iso_registry_find(const iso_registry *registry, const char *name, uint32_t *out_index)
{
    *out_index = 0;
    if (!name || name[0] == '\0' || name[strlen(name) - 1] == ':')
        return fail_with_devices(
            registry, ISO_INVALID_ARGUMENT, NULL,
            "a device name is \"backend\", \"backend:number\" or \"backend:part-of-its-name\"; "
            "here are");
    device_query query;
    parse_query(name, &query);
    // Devices that cannot be used make no name ambiguous; alone they are found, and opening them says why.
    uint32_t usable = 0, unusable = 0, first_usable = 0, first_unusable = 0;
    for (uint32_t i = 0; i < registry->device_count; i++) {
        if (!query_fits(&query, &registry->devices[i]))
            continue;
        if (registry->devices[i].info.available) {
            if (usable++ == 0)
                first_usable = i;
        } else if (unusable++ == 0) {
            first_unusable = i;
        }
    }
    if (usable + unusable == 0)
        return fail_not_found(registry, name, &query);
    if (usable == 1 || (usable == 0 && unusable == 1)) {
        *out_index = usable == 1 ? first_usable : first_unusable;
        return ISO_OK;
    }
    char problem[128];
    snprintf(problem, sizeof problem, "\"%.64s\" fits %u devices, name one of them", name, usable + unusable);
    return fail_with_devices(registry, ISO_INVALID_ARGUMENT, &query, problem);
}
