// SPDX-License-Identifier: MIT
//
// Asks the built-in model a question on one device:  example DEVICE "12 + 30 = ?"
// Built by tools/check against the installed library, as a user would; README.md shows it.
#include <isomer/device.h>
#include <isomer/generate.h>
#include <stdio.h>

static iso_status print_answer(void *context, const char *text, size_t bytes, bool thinking)
{
    (void)context;
    if (!thinking)
        fwrite(text, 1, bytes, stdout);
    return ISO_OK;
}

static iso_status ask(const char *device_name, const char *question)
{
    iso_registry *registry = NULL;
    iso_device *device = NULL;
    iso_model *model = NULL;
    iso_tokenizer *tokenizer = NULL;
    iso_runner *runner = NULL;
    iso_token_list prompt = {0};
    iso_generate_result result;
    iso_status status;

    ISO_TRY_GOTO(iso_registry_create(NULL, &registry), done);
    ISO_TRY_GOTO(iso_device_open(registry, device_name, NULL, &device), done);
    ISO_TRY_GOTO(iso_model_open("tiny-r1", NULL, &model), done);
    ISO_TRY_GOTO(iso_tokenizer_open(iso_model_folder(model), NULL, &tokenizer), done);
    ISO_TRY_GOTO(iso_prompt_encode(tokenizer, question, true, NULL, &prompt), done);
    iso_runner_options on_device = {.devices = &device, .device_count = 1};
    ISO_TRY_GOTO(iso_runner_create(model, &on_device, &runner), done);
    iso_generate_options options = {
        .prompt_ids = prompt.ids, .prompt_count = prompt.count, .sink = print_answer};
    ISO_TRY_GOTO(iso_generate(runner, tokenizer, &options, &result), done);
    printf("\n");
done:
    iso_runner_destroy(runner);
    iso_token_list_deinit(&prompt);
    iso_tokenizer_close(tokenizer);
    iso_model_close(model);
    iso_device_close(device);
    iso_registry_destroy(registry);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s DEVICE QUESTION\n", argv[0]);
        return 2;
    }
    if (ask(argv[1], argv[2]) != ISO_OK) {
        fprintf(stderr, "%s\n", iso_status_last()->text);
        return 3;
    }
    return 0;
}
