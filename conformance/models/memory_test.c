// SPDX-License-Identifier: MIT
//
// Peak host memory while a checkpoint of 1.5 B parameters (R1-Distill-Qwen-1.5B in BF16, 3.55 GB) is loaded
// on the CPU and takes its first step: at most 1.15 times the file. On this device the device's copy is host
// memory too, so the mapped file must leave as the copy grows.
//
// The checkpoint is made here: a real header over a file of holes, which costs no disk. Its pages read as
// zeros; a page of the mapping that was read counts as resident (VmHWM includes file pages) although the disk
// never had it, and a page of the copy counts once it is written, with zeros as with anything. So the figure
// is that of the real file.
//
// What would be caught: a second copy of the weights, a conversion that keeps both forms, pages of the file
// that are not let go.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/support/tally.h"
#include "isomer/runner.h"

#define CONFIG            ISOMER_SOURCE_DIR "/conformance/golden/configs/r1-distill-qwen-1.5b/config.json"
#define MOST_OF_FILE      1.15
#define NEEDED_BYTES      (UINT64_C(6) << 30)
#define HEADER_BYTES      (1 << 17)
#define CONTEXT_TOKENS    1024
#define SANITIZED_MESSAGE "a sanitizer's own memory would be measured"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

// ---- the checkpoint ----

typedef struct header {
    char text[HEADER_BYTES];
    size_t length;
    uint64_t data_bytes;
} header;

static void add_tensor(header *h, const char *name, uint32_t rows, uint32_t columns)
{
    uint64_t bytes = (uint64_t)rows * (columns ? columns : 1) * 2;
    char shape[32];
    snprintf(shape, sizeof shape, columns ? "%u,%u" : "%u", rows, columns);
    h->length += (size_t)snprintf(
        h->text + h->length, sizeof h->text - h->length,
        "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%s],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
        h->length > 1 ? "," : "", name, shape, h->data_bytes, h->data_bytes + bytes);
    h->data_bytes += bytes;
}

static void add_layer(header *h, uint32_t layer, const iso_model_config *c)
{
    uint32_t q = c->head_count * c->head_dim, kv = c->kv_head_count * c->head_dim;
    const struct {
        const char *name;
        uint32_t rows, columns;
    } tensors[] = {
        {"input_layernorm.weight", c->hidden_size, 0},
        {"self_attn.q_proj.weight", q, c->hidden_size},
        {"self_attn.q_proj.bias", q, 0},
        {"self_attn.k_proj.weight", kv, c->hidden_size},
        {"self_attn.k_proj.bias", kv, 0},
        {"self_attn.v_proj.weight", kv, c->hidden_size},
        {"self_attn.v_proj.bias", kv, 0},
        {"self_attn.o_proj.weight", c->hidden_size, q},
        {"post_attention_layernorm.weight", c->hidden_size, 0},
        {"mlp.gate_proj.weight", c->intermediate_size, c->hidden_size},
        {"mlp.up_proj.weight", c->intermediate_size, c->hidden_size},
        {"mlp.down_proj.weight", c->hidden_size, c->intermediate_size},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%u.%s", layer, tensors[i].name);
        add_tensor(h, name, tensors[i].rows, tensors[i].columns);
    }
}

// Writes the header and leaves the rest to be a hole; 0 when it cannot be written.
static uint64_t write_checkpoint(const char *path, const iso_model_config *c)
{
    static header h;
    h.length = (size_t)snprintf(h.text, sizeof h.text, "{");
    add_tensor(&h, "model.embed_tokens.weight", c->vocab_size, c->hidden_size);
    for (uint32_t layer = 0; layer < c->layer_count; layer++)
        add_layer(&h, layer, c);
    add_tensor(&h, "model.norm.weight", c->hidden_size, 0);
    add_tensor(&h, "lm_head.weight", c->vocab_size, c->hidden_size);
    h.length += (size_t)snprintf(h.text + h.length, sizeof h.text - h.length, "}");
    uint64_t length = h.length;
    FILE *file = fopen(path, "wb");
    if (!file)
        return 0;
    // The length is little-endian, as this test's machines are.
    bool written = fwrite(&length, sizeof length, 1, file) == 1 && fwrite(h.text, h.length, 1, file) == 1 &&
                   fflush(file) == 0 && ftruncate(fileno(file), (off_t)(8 + h.length + h.data_bytes)) == 0;
    written = fclose(file) == 0 && written;
    return written ? 8 + h.length + h.data_bytes : 0;
}

// ---- the measurement ----

// A line of a /proc file in bytes, such as "VmHWM:".
static uint64_t proc_bytes(const char *path, const char *key)
{
    char line[256];
    uint64_t kib = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoull(line + strlen(key), NULL, 10);
    if (file)
        fclose(file);
    return kib * 1024;
}

static iso_status load_and_step(const char *folder, uint64_t *out_loaded_bytes)
{
    static const char *const names[] = {"cpu"};
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    iso_model *model = NULL;
    iso_runner *runner = NULL;
    iso_status status = ISO_OK;
    uint32_t sequence;
    iso_step_result result;
    iso_step_token token = {.id = 1, .want_logits = true};
    ISO_TRY_GOTO(iso_registry_create_for(NULL, names, 1, &registry), done);
    ISO_TRY_GOTO(iso_device_open(registry, "cpu", NULL, &device), done);
    ISO_TRY_GOTO(iso_model_open(folder, NULL, &model), done);
    iso_runner_options options = {.devices = &device,
                                  .device_count = 1,
                                  .activation = ISO_DTYPE_BF16,
                                  .context_tokens = CONTEXT_TOKENS};
    ISO_TRY_GOTO(iso_runner_create(model, &options, &runner), done);
    *out_loaded_bytes = proc_bytes("/proc/self/status", "VmHWM:");
    ISO_TRY_GOTO(iso_runner_open_sequence(runner, &sequence), done);
    token.sequence = sequence;
    ISO_TRY_GOTO(iso_runner_step(runner, &token, 1, &result), done);
done:
    iso_runner_destroy(runner);
    iso_model_close(model);
    iso_device_close(device);
    iso_registry_destroy(registry);
    return status;
}

// Peaks in a process of its own: after loading, and after the first step.
static iso_status measure(const char *folder, uint64_t peaks[2])
{
    int channel[2];
    if (pipe(channel) != 0)
        return iso_fail(ISO_IO, "no pipe");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        uint64_t found[2] = {0};
        iso_status status = load_and_step(folder, &found[0]);
        found[1] = proc_bytes("/proc/self/status", "VmHWM:");
        if (status != ISO_OK)
            printf("%s\n", iso_status_last()->text);
        fflush(stdout);
        bool told = write(channel[1], found, sizeof found) == sizeof found;
        _exit(status == ISO_OK && told ? 0 : 1);
    }
    close(channel[1]);
    int code = 1;
    bool read_all = child > 0 && read(channel[0], peaks, 2 * sizeof *peaks) == 2 * sizeof *peaks;
    close(channel[0]);
    if (child > 0)
        waitpid(child, &code, 0);
    return read_all && code == 0 ? ISO_OK
                                 : iso_fail(ISO_INTERNAL, "the measured process ended with %d", code);
}

static void judge(tally *counts, const char *folder, const char *checkpoint)
{
    iso_model_config config;
    uint64_t peaks[2] = {0}, file_bytes;
    if (!tally_call(counts, iso_config_load(folder, &config), "config"))
        return;
    file_bytes = write_checkpoint(checkpoint, &config);
    if (!tally_check(counts, file_bytes > 0, "%s cannot be written", checkpoint) ||
        !tally_call(counts, measure(folder, peaks), "measuring"))
        return;
    double loaded = (double)peaks[0] / (double)file_bytes, stepped = (double)peaks[1] / (double)file_bytes;
    printf("file %.3f GB; peak after loading %.3f GB (%.3f of the file), after a step %.3f GB (%.3f)\n",
           (double)file_bytes * 1e-9, (double)peaks[0] * 1e-9, loaded, (double)peaks[1] * 1e-9, stepped);
    // Less than the file would mean that the weights were not all there.
    tally_check(counts, loaded >= 1.0 && loaded <= MOST_OF_FILE, "peak after loading is %.3f of the file",
                loaded);
    tally_check(counts, stepped <= MOST_OF_FILE, "peak after a step is %.3f of the file", stepped);
}

int main(void)
{
    tally counts = {0};
    char folder[] = "memory_test-XXXXXX", config[64], checkpoint[64], program[4096] = "";
    uint64_t available = proc_bytes("/proc/meminfo", "MemAvailable:");
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash = length > 0 ? strrchr(program, '/') : NULL;
    if (SANITIZED || available < NEEDED_BYTES) {
        if (SANITIZED)
            tally_skip(&counts, SANITIZED_MESSAGE);
        else
            tally_skip(&counts, "%.1f GiB of memory are available, 6 are needed", (double)available / 0x1p30);
        return tally_close(&counts, "memory");
    }
    // Beside the program: that is a disk, where /tmp may be memory.
    if (slash)
        *slash = '\0';
    if (!tally_check(&counts, slash && chdir(program) == 0 && mkdtemp(folder), "no folder in %s", program))
        return tally_close(&counts, "memory");
    snprintf(config, sizeof config, "%s/config.json", folder);
    snprintf(checkpoint, sizeof checkpoint, "%s/model.safetensors", folder);
    if (tally_check(&counts, symlink(CONFIG, config) == 0, "no link to " CONFIG))
        judge(&counts, folder, checkpoint);
    unlink(config);
    unlink(checkpoint);
    rmdir(folder);
    return tally_close(&counts, "memory");
}
