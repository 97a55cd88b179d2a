// SPDX-License-Identifier: MIT
//
// run, logits, compare and bench from outside: the built-in model's answers, placements over several drivers,
// files against what the library gives directly, verdicts and exit codes, and bad input.
#include "conformance/unit/program.h"

#include <math.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "isomer/generate.h"

#define V2_LITE     ISOMER_SOURCE_DIR "/conformance/golden/models/v2-lite"
#define V3_BF16     ISOMER_SOURCE_DIR "/conformance/golden/models/v3-bf16"
#define HELD_OUT    ISOMER_SOURCE_DIR "/model/tiny-r1/heldout.jsonl"
#define QUESTION    "What is 347 + 285?"
#define IDS         "0,5,17,44,45,46,47,48,49,50"
#define ID_COUNT    10
#define CHECK(expr) assert_string_equal((expr) == ISO_OK ? "" : iso_status_last()->text, "")

static const int32_t id_list[ID_COUNT] = {0, 5, 17, 44, 45, 46, 47, 48, 49, 50};

// ---- the model, directly ----

typedef struct direct {
    iso_registry *registry;
    iso_device *device;
    iso_model *model;
    iso_runner *runner;
} direct;

static void direct_open(direct *d, const char *model, const iso_build_options *build)
{
    const char *names[] = {"cpu"};
    *d = (direct){0};
    CHECK(iso_registry_create_for(NULL, names, 1, &d->registry));
    CHECK(iso_device_open(d->registry, "cpu", &(iso_device_options){0}, &d->device));
    CHECK(iso_model_open(model, NULL, &d->model));
    iso_runner_options options = {
        .devices = &d->device, .device_count = 1, .all_rows = true, .build = *build};
    CHECK(iso_runner_create(d->model, &options, &d->runner));
}

static void direct_close(direct *d)
{
    iso_runner_destroy(d->runner);
    iso_model_close(d->model);
    iso_device_close(d->device);
    iso_registry_destroy(d->registry);
}

// Whether a usable device goes by this name, and ISOMER_TEST_DEVICES (names, commas between) does not leave
// it out; prints what is missing otherwise.
static bool has_device(const char *name)
{
    const char *list = getenv("ISOMER_TEST_DEVICES");
    if (list && !strstr(list, name)) {
        printf("skipped: ISOMER_TEST_DEVICES leaves out %s\n", name);
        return false;
    }
    iso_registry *registry;
    uint32_t index;
    CHECK(iso_registry_create(NULL, &registry));
    bool found = iso_registry_find(registry, name, &index) == ISO_OK &&
                 iso_registry_device_info(registry, index)->available;
    if (!found)
        printf("skipped: no device %s: %s\n", name, iso_status_last()->text);
    iso_registry_destroy(registry);
    return found;
}

// ---- run ----

static void known_sum_is_answered_alone(void **state)
{
    (void)state;
    run_result result = expect_success(RUN("run", "tiny-r1", "--chat", "--prompt", QUESTION));
    assert_string_equal(result.out, "The answer is 632.\n");
    release(&result);
}

// Whether the text ends in this number, a full stop aside.
static bool ends_in_number(const char *text, long long number)
{
    char wanted[32];
    size_t length = strlen(text);
    while (length && strchr(".\n", text[length - 1]))
        length--;
    size_t digits = (size_t)snprintf(wanted, sizeof wanted, "%lld", number);
    return length >= digits && strncmp(text + length - digits, wanted, digits) == 0 &&
           (length == digits || text[length - digits - 1] == ' ');
}

static void held_out_questions_are_answered(void **state)
{
    (void)state;
    FILE *file = fopen(HELD_OUT, "r");
    char line[512];
    int right = 0, asked = 0;
    assert_non_null(file);
    while (asked < 20 && fgets(line, sizeof line, file)) {
        json_t *entry = json_loads(line, 0, NULL);
        run_result result = expect_success(RUN("run", "tiny-r1", "--chat", "--prompt",
                                               json_string_value(json_object_get(entry, "question"))));
        right += ends_in_number(result.out, json_integer_value(json_object_get(entry, "answer")));
        asked++;
        release(&result);
        json_decref(entry);
    }
    fclose(file);
    assert_int_equal(asked, 20);
    assert_in_range(right, 18, 20);
}

static void thinking_never_reaches_standard_output(void **state)
{
    (void)state;
    run_result result = RUN("run", "tiny-r1", "--chat", "--show-thinking", "--prompt", QUESTION);
    assert_int_equal(result.exit_code, 0);
    assert_string_equal(result.out, "The answer is 632.\n");
    expect_contains(&result, result.err, "7+5=12 carry 1");
    release(&result);
    result = RUN("run", "tiny-r1", "--chat", "--show-thinking", "--quiet", "--prompt", QUESTION);
    assert_string_equal(result.err, "");
    release(&result);
}

static void json_splits_thinking_and_answer(void **state)
{
    (void)state;
    json_t *json = expect_json(RUN("run", "tiny-r1", "--chat", "--json", "--prompt", QUESTION), 0);
    assert_string_equal(json_string_value(json_object_get(json, "text")), "The answer is 632.");
    assert_non_null(strstr(json_string_value(json_object_get(json, "thinking")), "7+5=12 carry 1"));
    assert_string_equal(json_string_value(json_object_get(json, "stop")), "end");
    assert_int_equal(json_array_size(json_object_get(json, "ids")),
                     json_integer_value(json_object_get(json, "generated_tokens")));
    json_decref(json);
}

static void prompt_comes_from_standard_input(void **state)
{
    (void)state;
    test_folder_write(&folder, "prompt", QUESTION "\n", strlen(QUESTION) + 1);
    const char *path = test_folder_file(&folder, "prompt");
    run_result result =
        expect_success(RUN_WITH(&((run_streams){.input = path, .output = -1}), "run", "tiny-r1", "--chat"));
    assert_string_equal(result.out, "The answer is 632.\n");
    release(&result);
    test_folder_write(&folder, "prompt", "a\0b", 3);
    expect_failure(RUN_WITH(&((run_streams){.input = test_folder_file(&folder, "prompt"), .output = -1}),
                            "run", "tiny-r1"),
                   3, "zero byte");
    expect_failure(RUN("run", "tiny-r1"), 2, "standard input is empty");
}

// The ids of --json against the library's own, and the sum of both ends of max_tokens.
static void continuation_is_the_librarys(void **state)
{
    (void)state;
    direct d;
    iso_tokenizer *tokenizer;
    iso_token_list prompt = {0};
    int32_t ids[12];
    iso_generate_result made;
    direct_open(&d, "tiny-r1", &(iso_build_options){0});
    CHECK(iso_tokenizer_open(iso_model_folder(d.model), NULL, &tokenizer));
    CHECK(iso_prompt_encode(tokenizer, "12 + 30", false, NULL, &prompt));
    iso_generate_options options = {
        .prompt_ids = prompt.ids, .prompt_count = prompt.count, .max_tokens = 12, .out_ids = ids};
    CHECK(iso_generate(d.runner, tokenizer, &options, &made));
    json_t *json =
        expect_json(RUN("run", "tiny-r1", "--json", "--max-tokens", "12", "--prompt", "12 + 30"), 0);
    json_t *list = json_object_get(json, "ids");
    assert_int_equal(json_array_size(list), made.generated_tokens);
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_int_equal(json_integer_value(json_array_get(list, i)), ids[i]);
    json_decref(json);
    iso_token_list_deinit(&prompt);
    iso_tokenizer_close(tokenizer);
    direct_close(&d);
}

static void seed_decides_the_draws(void **state)
{
    (void)state;
    char *texts[3];
    const char *seeds[] = {"1", "1", "2"};
    for (int i = 0; i < 3; i++) {
        run_result result = expect_success(RUN("run", "tiny-r1", "--prompt", "12", "--temperature", "3",
                                               "--top-p", "0.99", "--max-tokens", "40", "--seed", seeds[i]));
        texts[i] = strdup(result.out);
        release(&result);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
}

static void missing_answer_is_no(void **state)
{
    (void)state;
    run_result result = RUN("run", "tiny-r1", "--chat", "--max-tokens", "3", "--prompt", QUESTION);
    assert_int_equal(result.exit_code, 1);
    assert_string_equal(result.out, "");
    expect_contains(&result, result.err, "no answer");
    release(&result);
}

static void full_context_stops(void **state)
{
    (void)state;
    expect_failure(RUN("run", "tiny-r1", "--chat", "--context", "8", "--prompt", QUESTION), 3,
                   "the context holds 8");
    json_t *json =
        expect_json(RUN("run", "tiny-r1", "--chat", "--json", "--context", "20", "--prompt", QUESTION), 1);
    assert_string_equal(json_string_value(json_object_get(json, "stop")), "context");
    assert_int_equal(json_integer_value(json_object_get(json, "prompt_tokens")) +
                         json_integer_value(json_object_get(json, "generated_tokens")),
                     21);
    json_decref(json);
    expect_failure(RUN("run", "tiny-r1", "--context", "2561", "--prompt", "1"), 3, "2560");
}

static void long_prompt_is_refused(void **state)
{
    (void)state;
    char *text = malloc(9001);
    assert_non_null(text);
    memset(text, '7', 9000);
    text[9000] = '\0';
    expect_failure(RUN("run", "tiny-r1", "--prompt", text), 3, "the model's limit is 2560");
    free(text);
}

static void unknown_devices_are_refused(void **state)
{
    (void)state;
    expect_failure(RUN("run", "tiny-r1", "--device", "abacus:0", "--prompt", "1"), 3, "cpu");
    expect_failure(RUN("logits", "tiny-r1", "--ids", "1", "--device", "cpu:9", "--out", "never"), 3, "cpu:9");
    expect_failure(RUN("compare", "tiny-r1", "--devices", "abacus:0"), 3, "abacus:0");
    expect_failure(RUN("compare", "tiny-r1", "--reference", "null:0"), 3, "runs no kernels");
    expect_failure(RUN("bench", "tiny-r1", "--devices", "cpu,,cpu"), 2, "--devices");
}

static void pieces_equal_the_whole(void **state)
{
    (void)state;
    static const char *const places[] = {"cpu=0-1,opencl:0=2,vulkan:0=3-", "opencl:0=0-1,cpu=2-",
                                         "cpu=0,vulkan:0=1-2,cpu=3"};
    if (!has_device("opencl:0") || !has_device("vulkan:0"))
        skip();
    json_t *whole = expect_json(RUN("run", "tiny-r1", "--chat", "--json", "--prompt", QUESTION), 0);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        json_t *pieces = expect_json(
            RUN("run", "tiny-r1", "--chat", "--json", "--prompt", QUESTION, "--place", places[i]), 0);
        if (!json_equal(json_object_get(whole, "ids"), json_object_get(pieces, "ids")))
            printf("%s differs\n", places[i]);
        assert_true(json_equal(json_object_get(whole, "ids"), json_object_get(pieces, "ids")));
        json_decref(pieces);
    }
    json_decref(whole);
}

static void unused_fallback_is_silent(void **state)
{
    (void)state;
    run_result result =
        expect_success(RUN("run", "tiny-r1", "--chat", "--fallback", "cpu", "--prompt", QUESTION));
    assert_string_equal(result.out, "The answer is 632.\n");
    release(&result);
}

static void unwritable_cache_is_noted(void **state)
{
    (void)state;
    // PoCL keeps a cache of its own, without which it has no device; Mesa's rusticl builds each kernel at
    // each launch.
    if (!has_device("opencl:pocl"))
        skip();
    const char *home = getenv("XDG_CACHE_HOME");
    char *before = home ? strdup(home) : NULL;
    setenv("POCL_CACHE_DIR", folder.path, 1);
    setenv("XDG_CACHE_HOME", "/proc", 1);
    run_result result = RUN("run", "tiny-r1", "--device", "opencl:pocl", "--chat", "--prompt", QUESTION);
    if (before)
        setenv("XDG_CACHE_HOME", before, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    unsetenv("POCL_CACHE_DIR");
    free(before);
    if (result.exit_code != 0)
        show(&result, "an answer");
    assert_int_equal(result.exit_code, 0);
    assert_string_equal(result.out, "The answer is 632.\n");
    expect_contains(&result, result.err, "isomer: the kernel cache is off: cannot make /proc/");
    release(&result);
}

// ---- logits ----

static const char *logits_file(void)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/out.safetensors", folder.path);
    return path;
}

static iso_tensor_view expect_tensor(const iso_checkpoint *file, const char *name, iso_dtype dtype,
                                     uint64_t rows, uint64_t columns)
{
    iso_tensor_view view;
    CHECK(iso_checkpoint_find(file, name, &view));
    assert_int_equal(view.dtype, dtype);
    assert_int_equal(view.rank, 2);
    assert_int_equal(view.dims[0], rows);
    assert_int_equal(view.dims[1], columns);
    return view;
}

static void expect_rows(const iso_checkpoint *file, const char *name, iso_runner *runner, iso_value value,
                        uint64_t columns)
{
    float *wanted = malloc(ID_COUNT * columns * sizeof *wanted);
    assert_non_null(wanted);
    iso_tensor_view view = expect_tensor(file, name, ISO_DTYPE_F32, ID_COUNT, columns);
    CHECK(iso_runner_read_rows(runner, value, ID_COUNT, wanted));
    assert_memory_equal(view.data, wanted, view.bytes);
    free(wanted);
}

static void step_all(direct *d, uint32_t sequence, int32_t last_next_id, iso_step_result *results)
{
    iso_step_token tokens[ID_COUNT];
    for (uint32_t i = 0; i < ID_COUNT; i++)
        tokens[i] = (iso_step_token){.id = id_list[i],
                                     .sequence = sequence,
                                     .want_logits = true,
                                     .next_id = i + 1 < ID_COUNT ? id_list[i + 1] : last_next_id};
    CHECK(iso_runner_step(d->runner, tokens, ID_COUNT, results));
}

static void logits_file_is_what_the_library_gives(void **state)
{
    (void)state;
    direct d;
    uint32_t sequence;
    iso_step_result results[ID_COUNT];
    iso_checkpoint *file;
    int32_t experts[ID_COUNT * 4];
    run_result result = expect_success(
        RUN("logits", "tiny-r1", "--ids", IDS, "--hidden", "--routing", "--out", logits_file()));
    release(&result);
    direct_open(&d, "tiny-r1", &(iso_build_options){.expose_hidden = true, .expose_routing = true});
    const iso_model_config *config = iso_runner_config(d.runner);
    const iso_model_values *values = iso_runner_values(d.runner);
    CHECK(iso_runner_open_sequence(d.runner, &sequence));
    step_all(&d, sequence, 0, results);
    CHECK(iso_checkpoint_open(logits_file(), NULL, &file));
    iso_tensor_view logits = expect_tensor(file, "logits", ISO_DTYPE_F32, ID_COUNT, config->vocab_size);
    for (uint32_t i = 0; i < ID_COUNT; i++)
        assert_memory_equal((const float *)logits.data + i * config->vocab_size, results[i].logits,
                            config->vocab_size * sizeof(float));
    for (uint32_t l = 0; l <= config->layer_count; l++) {
        char name[32];
        snprintf(name, sizeof name, "hidden.%u", l);
        expect_rows(file, name, d.runner, values->hidden[l], config->hidden_size);
    }
    for (uint32_t l = config->first_dense_layers; l < config->layer_count; l++) {
        char name[32];
        snprintf(name, sizeof name, "experts.%u", l);
        iso_tensor_view view = expect_tensor(file, name, ISO_DTYPE_I32, ID_COUNT, config->experts_per_token);
        CHECK(iso_runner_read_indices(d.runner, values->experts[l], ID_COUNT, experts));
        assert_memory_equal(view.data, experts, view.bytes);
        snprintf(name, sizeof name, "expert_weights.%u", l);
        expect_rows(file, name, d.runner, values->expert_weights[l], config->experts_per_token);
    }
    iso_checkpoint_close(file);
    direct_close(&d);
}

// The token after the last is the greedy choice: a last row made with another token would differ.
static void mtp_follows_the_greedy_choice(void **state)
{
    (void)state;
    direct d;
    uint32_t sequence;
    iso_step_result results[ID_COUNT];
    iso_checkpoint *file;
    run_result result =
        expect_success(RUN("logits", "tiny-r1", "--ids", IDS, "--mtp", "--out", logits_file()));
    release(&result);
    direct_open(&d, "tiny-r1", &(iso_build_options){.mtp = true});
    uint32_t vocab = iso_runner_config(d.runner)->vocab_size;
    CHECK(iso_runner_open_sequence(d.runner, &sequence));
    step_all(&d, sequence, 0, results);
    int32_t next = results[ID_COUNT - 1].picked;
    CHECK(iso_runner_truncate(d.runner, sequence, 0));
    step_all(&d, sequence, next, results);
    CHECK(iso_checkpoint_open(logits_file(), NULL, &file));
    const float *rows = expect_tensor(file, "mtp_logits", ISO_DTYPE_F32, ID_COUNT, vocab).data;
    for (uint32_t i = 0; i < ID_COUNT; i++)
        for (uint32_t v = 0; v < vocab; v++)
            assert_true(fabsf(rows[i * vocab + v] - results[i].mtp_logits[v]) < 1e-3f);
    iso_checkpoint_close(file);
    direct_close(&d);
}

static void ids_files_are_read(void **state)
{
    (void)state;
    static const char *const contents[] = {"{\"ids\": [0, 5, 17]}", "[0,5,17]", "0 5\n17\n"};
    iso_checkpoint *file;
    for (size_t i = 0; i < 3; i++) {
        char path[PATH_MAX];
        test_folder_write(&folder, "ids", contents[i], strlen(contents[i]));
        snprintf(path, sizeof path, "%s/ids", folder.path);
        run_result result =
            expect_success(RUN("logits", V2_LITE, "--ids-file", path, "--out", logits_file()));
        release(&result);
        CHECK(iso_checkpoint_open(logits_file(), NULL, &file));
        expect_tensor(file, "logits", ISO_DTYPE_F32, 3, 320);
        iso_checkpoint_close(file);
    }
}

// "1,3,4,5,…": `count` ids.
static void write_ids(uint32_t count, char *out, size_t out_bytes)
{
    int at = snprintf(out, out_bytes, "1");
    for (uint32_t i = 1; i < count; i++)
        at += snprintf(out + at, out_bytes - (size_t)at, ",%u", 2 + i);
}

// Prompts of 100 and of 70 tokens, both longer than a step: what the first 70 give is the same, in every
// tensor.
static void rows_depend_on_nothing_that_follows(void **state)
{
    (void)state;
    char long_ids[1024], short_ids[1024], short_path[PATH_MAX];
    iso_checkpoint *a, *b;
    iso_checkpoint_summary summary;
    write_ids(100, long_ids, sizeof long_ids);
    write_ids(70, short_ids, sizeof short_ids);
    snprintf(short_path, sizeof short_path, "%s/short.safetensors", folder.path);
    run_result result = expect_success(
        RUN("logits", V3_BF16, "--ids", long_ids, "--hidden", "--routing", "--out", logits_file()));
    release(&result);
    result = expect_success(
        RUN("logits", V3_BF16, "--ids", short_ids, "--hidden", "--routing", "--out", short_path));
    release(&result);
    CHECK(iso_checkpoint_open(logits_file(), NULL, &a));
    CHECK(iso_checkpoint_open(short_path, NULL, &b));
    iso_checkpoint_summarize(b, &summary);
    assert_int_equal(summary.tensor_count, 1 + 4 + 2 * 2); // logits, hidden.0 … 3, two layers with experts
    for (uint32_t i = 0; i < summary.tensor_count; i++) {
        iso_tensor_view x, y;
        CHECK(iso_checkpoint_tensor_at(b, i, &y));
        CHECK(iso_checkpoint_find(a, y.name, &x));
        assert_int_equal(y.dims[0], 70);
        if (memcmp(x.data, y.data, y.bytes) != 0)
            printf("%s differs\n", y.name);
        assert_memory_equal(x.data, y.data, y.bytes);
    }
    iso_checkpoint_close(a);
    iso_checkpoint_close(b);
}

// A prompt longer than a step, and the routing of a run forced upon the next: the same logits, bit for bit.
// Other experts give others.
static void routing_can_be_forced(void **state)
{
    (void)state;
    char ids[1024], first[PATH_MAX], second[PATH_MAX];
    iso_checkpoint *a, *b;
    write_ids(100, ids, sizeof ids);
    snprintf(first, sizeof first, "%s/first.safetensors", folder.path);
    snprintf(second, sizeof second, "%s/second.safetensors", folder.path);
    run_result result = expect_success(RUN("logits", V3_BF16, "--ids", ids, "--routing", "--out", first));
    release(&result);
    result = expect_success(RUN("logits", V3_BF16, "--ids", ids, "--force-routing", first, "--out", second));
    release(&result);
    CHECK(iso_checkpoint_open(first, NULL, &a));
    CHECK(iso_checkpoint_open(second, NULL, &b));
    iso_tensor_view x, y, experts;
    CHECK(iso_checkpoint_find(a, "logits", &x));
    CHECK(iso_checkpoint_find(b, "logits", &y));
    assert_int_equal(x.dims[0], 100);
    assert_memory_equal(x.data, y.data, x.bytes);
    iso_checkpoint_close(b);
    // The same file with one expert twice.
    iso_safetensors_writer *writer;
    CHECK(iso_checkpoint_find(a, "experts.1", &experts));
    int32_t *changed = malloc(experts.bytes);
    assert_non_null(changed);
    memcpy(changed, experts.data, experts.bytes);
    changed[1] = changed[0];
    experts.data = changed;
    CHECK(iso_safetensors_writer_create(second, NULL, &writer));
    CHECK(iso_safetensors_writer_add(writer, &experts));
    CHECK(iso_safetensors_writer_finish(writer));
    iso_safetensors_writer_destroy(writer);
    free(changed);
    iso_checkpoint_close(a);
    expect_failure(RUN("logits", V3_BF16, "--ids", ids, "--force-routing", second, "--out", logits_file()), 3,
                   "twice");
}

static void bad_ids_are_refused(void **state)
{
    (void)state;
    expect_failure(RUN("logits", "tiny-r1", "--ids", "1,448", "--out", logits_file()), 3, "0 to 447");
    expect_failure(RUN("logits", "tiny-r1", "--ids", "1,-2", "--out", logits_file()), 2, "\"-2\"");
    expect_failure(RUN("logits", "tiny-r1", "--ids", "", "--out", logits_file()), 2, "at least one");
    expect_failure(RUN("logits", "tiny-r1", "--out", logits_file()), 2, "--ids-file");
    expect_failure(RUN("logits", "tiny-r1", "--ids", "1,2,3", "--context", "2", "--out", logits_file()), 3,
                   "holds 2");
    expect_failure(RUN("logits", "tiny-r1", "--ids-file", "/nowhere", "--out", logits_file()), 3, "/nowhere");
    expect_failure(RUN("compare", "tiny-r1", "--ids", "448"), 3, "0 to 447");
    expect_failure(RUN("logits", V2_LITE, "--ids", "1", "--mtp", "--out", logits_file()), 3, "");
    assert_int_equal(access(logits_file(), F_OK), -1);
}

static void unwritable_output_leaves_nothing(void **state)
{
    (void)state;
    expect_failure(RUN("logits", "tiny-r1", "--ids", "1", "--out", "/proc/x.safetensors"), 3,
                   "/proc/x.safetensors");
}

static void full_disk_leaves_nothing(void **state)
{
    (void)state;
    char disk[PATH_MAX], path[PATH_MAX + 8];
    snprintf(disk, sizeof disk, "%s/disk", folder.path);
    assert_int_equal(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=64k") != 0) {
        printf("skipped: a small disk cannot be mounted: %s\n", strerror(errno));
        rmdir(disk);
        skip();
    }
    snprintf(path, sizeof path, "%s/x.st", disk);
    // 100 rows of 448 logits are 175 KiB.
    char ids[1024];
    write_ids(100, ids, sizeof ids);
    run_result result = RUN("logits", "tiny-r1", "--ids", ids, "--out", path);
    int left = 0;
    DIR *directory = opendir(disk);
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        left += entry->d_name[0] != '.';
    closedir(directory);
    umount(disk);
    rmdir(disk);
    assert_int_equal(left, 0);
    expect_failure(result, 3, "No space left");
}

// ---- compare ----

static void devices_agree(void **state)
{
    (void)state;
    json_t *json =
        expect_json(RUN("compare", "tiny-r1", "--devices", "cpu", "--max-tokens", "60", "--json"), 0);
    json_t *device = json_array_get(json_object_get(json, "devices"), 0);
    assert_int_equal(json_array_size(json_object_get(json, "devices")), 1);
    assert_non_null(strstr(json_string_value(json_object_get(json, "answer")), "632"));
    assert_string_equal(json_string_value(json_object_get(device, "verdict")), "agrees");
    assert_true(json_is_true(json_object_get(device, "second_run_same_bits")));
    assert_true(json_number_value(json_object_get(device, "decode_tokens_per_second")) > 0);
    json_decref(json);
}

static void drivers_agree(void **state)
{
    (void)state;
    if (!has_device("opencl:0"))
        skip();
    run_result result =
        expect_success(RUN("compare", V3_BF16, "--devices", "opencl:0", "--ids", IDS, "--max-tokens", "4"));
    expect_contains(&result, result.out, "2 of 2 agree");
    release(&result);
}

// A copy of a model with a NaN in its last norm: its logits are no numbers, and no device can agree to that.
static void not_a_number_disagrees(void **state)
{
    (void)state;
    iso_checkpoint *file;
    iso_checkpoint_summary summary;
    iso_safetensors_writer *writer;
    uint16_t *norm = NULL;
    char path[PATH_MAX];
    CHECK(iso_checkpoint_open(V2_LITE "/model.safetensors", NULL, &file));
    iso_checkpoint_summarize(file, &summary);
    snprintf(path, sizeof path, "%s/model.safetensors", folder.path);
    CHECK(iso_safetensors_writer_create(path, NULL, &writer));
    for (uint32_t i = 0; i < summary.tensor_count; i++) {
        iso_tensor_view view;
        CHECK(iso_checkpoint_tensor_at(file, i, &view));
        if (strcmp(view.name, "model.norm.weight") == 0) {
            norm = malloc(view.bytes);
            assert_non_null(norm);
            memcpy(norm, view.data, view.bytes);
            norm[3] = 0x7fc0;
            view.data = norm;
        }
        CHECK(iso_safetensors_writer_add(writer, &view));
    }
    assert_non_null(norm);
    CHECK(iso_safetensors_writer_finish(writer));
    iso_safetensors_writer_destroy(writer);
    iso_checkpoint_close(file);
    free(norm);
    assert_int_equal(symlink(V2_LITE "/config.json", test_folder_file(&folder, "config.json")), 0);
    run_result result =
        RUN("compare", folder.path, "--devices", "cpu", "--ids", "1,2,3", "--max-tokens", "2");
    assert_int_equal(result.exit_code, 1);
    expect_contains(&result, result.out, "DISAGREES");
    release(&result);
}

// ---- bench ----

static void bench_gives_numbers(void **state)
{
    (void)state;
    json_t *json = expect_json(
        RUN("bench", "tiny-r1", "--devices", "cpu", "-p", "70", "-n", "3", "-r", "2", "--profile", "--json"),
        0);
    json_t *device = json_array_get(json_object_get(json, "devices"), 0);
    json_t *decode = json_object_get(device, "decode_tokens_per_second");
    assert_true(json_number_value(json_object_get(decode, "least")) > 0);
    assert_true(json_number_value(json_object_get(decode, "median")) <=
                json_number_value(json_object_get(decode, "most")));
    assert_true(json_number_value(json_object_get(device, "memory_bytes_per_second")) > 1e6);
    assert_true(json_integer_value(json_object_get(json, "weight_bytes_per_token")) > 1000000);
    assert_int_equal(json_array_size(json_object_get(json_object_get(device, "decode_profile"), "slowest")),
                     5);
    json_decref(json);
    expect_failure(RUN("bench", "tiny-r1", "-p", "2500", "-n", "61"), 3, "2560");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(known_sum_is_answered_alone),
        TEST(held_out_questions_are_answered),
        TEST(thinking_never_reaches_standard_output),
        TEST(json_splits_thinking_and_answer),
        TEST(prompt_comes_from_standard_input),
        TEST(continuation_is_the_librarys),
        TEST(seed_decides_the_draws),
        TEST(missing_answer_is_no),
        TEST(full_context_stops),
        TEST(long_prompt_is_refused),
        TEST(unknown_devices_are_refused),
        TEST(pieces_equal_the_whole),
        TEST(unused_fallback_is_silent),
        TEST(unwritable_cache_is_noted),
        TEST(logits_file_is_what_the_library_gives),
        TEST(mtp_follows_the_greedy_choice),
        TEST(ids_files_are_read),
        TEST(rows_depend_on_nothing_that_follows),
        TEST(routing_can_be_forced),
        TEST(bad_ids_are_refused),
        TEST(unwritable_output_leaves_nothing),
        TEST(full_disk_leaves_nothing),
        TEST(devices_agree),
        TEST(drivers_agree),
        TEST(not_a_number_disagrees),
        TEST(bench_gives_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
