// SPDX-License-Identifier: MIT
//
// The sim backend: its table, the chip files that ISOMER_SIM_CHIPS names (files or folders, ':' between
// them), and the facts about each chip. A file that cannot be used becomes a device that says why. Devices
// share nothing but the parsed chips, which nobody changes.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/sim/shell.h"
#include "runtime/base/strings.h"

#define CHIPS_VARIABLE "ISOMER_SIM_CHIPS"
#define FILE_EXTENSION ".chip"
#define MAX_FILE_BYTES (1 << 20)
#define MAX_PATH_BYTES 4096
#define SHARED_BYTES   32768
#define ARGUMENT_BYTES 128

typedef struct sim_entry {
    sim_chip chip;
    char reason[256]; // why it cannot be used; "" otherwise
} sim_entry;

typedef struct sim_driver {
    const iso_allocator *allocator;
    sim_entry *entries;
    size_t count, capacity;
} sim_driver;

// ---- chip files ----

static iso_status read_text(const iso_allocator *allocator, const char *path, char **out_text)
{
    *out_text = NULL;
    FILE *file = fopen(path, "re");
    if (!file)
        return iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    iso_status status = ISO_OK;
    size_t bytes = 0;
    ISO_TRY_GOTO(ISO_NEW(allocator, MAX_FILE_BYTES + 1, out_text), done);
    bytes = fread(*out_text, 1, MAX_FILE_BYTES + 1, file);
    if (ferror(file))
        status = iso_fail(ISO_IO, "%s: %s", path, strerror(errno));
    else if (bytes > MAX_FILE_BYTES)
        status =
            iso_fail(ISO_INVALID_ARGUMENT, "%s: the chip file is longer than %d bytes", path, MAX_FILE_BYTES);
    else if (memchr(*out_text, '\0', bytes))
        status = iso_fail(ISO_INVALID_ARGUMENT, "%s: the chip file holds a zero byte; it must be text", path);
    else
        (*out_text)[bytes] = '\0';
done:
    fclose(file);
    if (status != ISO_OK) {
        iso_free(allocator, *out_text);
        *out_text = NULL;
    }
    return status;
}

// Out of host memory fails the whole backend; anything else is the file's own failure.
static iso_status add_file(sim_driver *driver, const char *path)
{
    ISO_TRY(iso_grow(driver->allocator, sizeof *driver->entries, driver->count + 1, (void **)&driver->entries,
                     &driver->capacity));
    sim_entry *entry = &driver->entries[driver->count];
    memset(entry, 0, sizeof *entry);
    char *text;
    iso_status status = read_text(driver->allocator, path, &text);
    if (status == ISO_OK)
        status = iso_sim_chip_parse(text, path, &entry->chip);
    iso_free(driver->allocator, text);
    if (status == ISO_OUT_OF_MEMORY)
        return status;
    if (status != ISO_OK) {
        iso_copy_text(entry->reason, sizeof entry->reason, iso_status_last()->text);
        if (!entry->chip.name[0])
            iso_copy_text(entry->chip.name, sizeof entry->chip.name - sizeof SIM_NAME_SUFFIX,
                          strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    }
    driver->count++;
    return ISO_OK;
}

static int is_chip_file(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name), tail = strlen(FILE_EXTENSION);
    return length > tail && strcmp(entry->d_name + length - tail, FILE_EXTENSION) == 0;
}

static iso_status add_folder(sim_driver *driver, const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, is_chip_file, alphasort);
    if (count < 0)
        return iso_fail(ISO_UNAVAILABLE, "%s: %s", folder, strerror(errno));
    iso_status status =
        count == 0 ? iso_fail(ISO_UNAVAILABLE, "%s holds no file *" FILE_EXTENSION, folder) : ISO_OK;
    for (int i = 0; i < count; i++) {
        char path[MAX_PATH_BYTES + sizeof names[i]->d_name];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (status == ISO_OK)
            status = add_file(driver, path);
        free(names[i]);
    }
    free(names);
    return status;
}

static iso_status add_list(sim_driver *driver, const char *list)
{
    while (*list) {
        size_t length = strcspn(list, ":");
        char path[MAX_PATH_BYTES];
        if (length >= sizeof path)
            return iso_fail(ISO_UNAVAILABLE,
                            "a path in " CHIPS_VARIABLE " has %zu bytes; allowed: at most %d", length,
                            MAX_PATH_BYTES - 1);
        memcpy(path, list, length);
        path[length] = '\0';
        struct stat facts;
        if (length > 0 && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode))
            ISO_TRY(add_folder(driver, path));
        else if (length > 0)
            ISO_TRY(add_file(driver, path));
        list += length + (list[length] == ':');
    }
    return ISO_OK;
}

// ---- driver ----

static void sim_unload(void *driver)
{
    sim_driver *sim = driver;
    if (!sim)
        return;
    iso_free(sim->allocator, sim->entries);
    iso_free(sim->allocator, sim);
}

static iso_status sim_load(const iso_allocator *allocator, const char *library, void **out_driver)
{
    *out_driver = NULL;
    ISO_TRY(iso_library_refuse("sim", library));
    const char *list = getenv(CHIPS_VARIABLE);
    if (!list || !*list)
        return iso_fail(ISO_UNAVAILABLE, "no simulated chip is asked for; set " CHIPS_VARIABLE
                                         " to chip files or folders of them, ':' between");
    sim_driver *driver;
    iso_status status = ISO_OK;
    ISO_TRY(ISO_NEW(allocator, 1, &driver));
    driver->allocator = allocator;
    ISO_TRY_GOTO(add_list(driver, list), fail);
    *out_driver = driver;
    return ISO_OK;
fail:
    sim_unload(driver);
    return status;
}

static iso_status sim_device_info(void *driver, uint32_t ordinal, iso_device_info *out_info)
{
    const sim_driver *sim = driver;
    if (ordinal >= sim->count)
        return iso_fail(ISO_NOT_FOUND, "the sim backend has %zu devices, %u is not one", sim->count, ordinal);
    const sim_entry *entry = &sim->entries[ordinal];
    const sim_features *features = &entry->chip.features;
    snprintf(out_info->name, sizeof out_info->name, "%.*s" SIM_NAME_SUFFIX,
             (int)(sizeof out_info->name - sizeof SIM_NAME_SUFFIX), entry->chip.name);
    iso_copy_text(out_info->driver, sizeof out_info->driver, "SPIR-V interpreter " ISOMER_VERSION);
    iso_copy_text(out_info->arch, sizeof out_info->arch, "sim");
    out_info->available = entry->reason[0] == '\0';
    iso_copy_text(out_info->reason, sizeof out_info->reason, entry->reason);
    if (!out_info->available)
        return ISO_OK;
    out_info->memory_bytes = features->memory_bytes;
    out_info->max_allocation_bytes = features->allocation_bytes;
    out_info->buffer_alignment_bytes = features->alignment;
    out_info->max_group_size = features->group_limit;
    out_info->local_memory_bytes = SHARED_BYTES;
    out_info->subgroup_size = features->subgroup;
    out_info->compute_units = 1;
    out_info->max_argument_bytes = ARGUMENT_BYTES;
    out_info->code_formats[0] = ISO_CODE_SPIRV;
    return ISO_OK;
}

// ---- device ----

static void sim_close_device(void *device)
{
    sim_device *sim = device;
    if (!sim)
        return;
    iso_sim_state_destroy(sim);
    iso_free(sim->allocator, sim);
}

static iso_status sim_open_device(void *driver, uint32_t ordinal, const iso_device_options *options,
                                  void **out_device)
{
    const sim_driver *chips = driver;
    sim_device *device;
    iso_status status = ISO_OK;
    *out_device = NULL;
    ISO_TRY(ISO_NEW(options->allocator, 1, &device));
    device->allocator = options->allocator;
    device->chip = &chips->entries[ordinal].chip;
    device->profile = options->profile;
    ISO_TRY_GOTO(iso_sim_state_create(device), fail);
    *out_device = device;
    return ISO_OK;
fail:
    sim_close_device(device);
    return status;
}

const iso_backend iso_sim_backend = {
    .struct_bytes = sizeof(iso_backend),
    .name = "sim",
    .load = sim_load,
    .unload = sim_unload,
    .device_info = sim_device_info,
    .open_device = sim_open_device,
    .close_device = sim_close_device,
    .alloc = iso_sim_memory_alloc,
    .free = iso_sim_memory_free,
    .write = iso_sim_memory_write,
    .read = iso_sim_memory_read,
    .fill = iso_sim_memory_fill,
    .module_create = iso_sim_module_create,
    .module_destroy = iso_sim_module_destroy,
    .list_create = iso_sim_list_create,
    .list_dispatch = iso_sim_list_dispatch,
    .list_barrier = iso_sim_list_barrier,
    .list_finish = iso_sim_list_finish,
    .list_destroy = iso_sim_list_destroy,
    .submit = iso_sim_submit,
    .wait = iso_sim_wait,
    .times = iso_sim_times,
};
