// SPDX-License-Identifier: MIT
//
// isomer tokenize: text, a file or a conversation to token ids, and ids back to text. Needs a folder with a
// tokenizer.json and nothing else of a model. The whole text is held once; ids are printed as they are.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "isomer/chat.h"
#include "isomer/model.h"
#include "isomer/tokenizer.h"
#include "model/text/text_file.h"
#include "tools/isomer/cli.h"
#include "tools/isomer/output.h"

#define PRINT_BLOCK_BYTES 65536
#define ID_TEXT_BYTES     16

typedef struct tokenize_options {
    const char *model;
    const char *text, *file, *chat, *ids;
    uint32_t bos; // iso_bos_rule: the words below are in its order
    bool decode, json;
} tokenize_options;

static const cli_option options_table[] = {
    {.name = "MODEL",
     .help = "a folder with a tokenizer.json, or tiny-r1",
     .kind = CLI_TEXT,
     .offset = offsetof(tokenize_options, model),
     .positional = true,
     .required = true},
    {.name = "text",
     .value = "S",
     .help = "this text",
     .kind = CLI_TEXT,
     .offset = offsetof(tokenize_options, text)},
    {.name = "file",
     .value = "F",
     .help = "the content of this file; - is standard input",
     .kind = CLI_TEXT,
     .offset = offsetof(tokenize_options, file)},
    {.name = "chat",
     .value = "F",
     .help = "the conversation in this JSON file, written out by the model's chat template:\n"
             "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"add_generation_prompt\":true}",
     .kind = CLI_TEXT,
     .offset = offsetof(tokenize_options, chat)},
    {.name = "ids",
     .value = "1,2,3",
     .help = "these ids, back to text",
     .kind = CLI_TEXT,
     .offset = offsetof(tokenize_options, ids)},
    {.name = "bos",
     .value = "configured|never|always",
     .help = "begin with the BOS token: as tokenizer_config.json says, or not, or in any case\n"
             "(a chat template writes its own)",
     .otherwise = "configured",
     .kind = CLI_CHOICE,
     .offset = offsetof(tokenize_options, bos)},
    {.name = "decode",
     .help = "print the text that the ids decode to",
     .kind = CLI_FLAG,
     .offset = offsetof(tokenize_options, decode)},
    {.name = "json",
     .help = "print {\"ids\":[...]}, and \"text\" where it is asked for",
     .kind = CLI_FLAG,
     .offset = offsetof(tokenize_options, json)},
};

// ---- input ----

static iso_status open_tokenizer(const char *name, iso_tokenizer **out)
{
    struct stat info;
    *out = NULL;
    if (stat(name, &info) == 0)
        return iso_tokenizer_open(name, NULL, out);
    // Not a folder: the name of a built-in model, or nothing, which the model's message explains.
    iso_model *model;
    ISO_TRY(iso_model_open(name, NULL, &model));
    iso_status status = iso_tokenizer_open(iso_model_folder(model), NULL, out);
    iso_model_close(model);
    return status;
}

static iso_status read_input(const char *path, iso_text *out)
{
    return iso_text_read_file(out, strcmp(path, "-") == 0 ? "/dev/stdin" : path);
}

static iso_status encode_conversation(iso_tokenizer *tokenizer, const char *path, iso_token_list *ids)
{
    iso_text json = {0};
    iso_conversation_file *file = NULL;
    iso_chat_form form;
    char *text = NULL;
    size_t bytes;
    iso_status status = ISO_OK;
    ISO_TRY_GOTO(read_input(path, &json), done);
    ISO_TRY_GOTO(iso_conversation_parse(iso_text_get(&json), json.length, path, NULL, &file), done);
    ISO_TRY_GOTO(iso_chat_recognise(iso_tokenizer_chat_template(tokenizer), NULL, &form), done);
    ISO_TRY_GOTO(iso_chat_render(&form, tokenizer, iso_conversation_get(file), NULL, &text, &bytes), done);
    ISO_TRY_GOTO(iso_tokenizer_encode(tokenizer, text, bytes, &(iso_encode_options){ISO_BOS_NEVER}, ids),
                 done);
done:
    iso_free(NULL, text);
    iso_conversation_destroy(file);
    iso_text_deinit(&json);
    return status;
}

static iso_status encode_file(iso_tokenizer *tokenizer, const char *path, const iso_encode_options *options,
                              iso_token_list *ids)
{
    iso_text text = {0};
    iso_status status = read_input(path, &text);
    if (status == ISO_OK)
        status = iso_tokenizer_encode(tokenizer, text.data, text.length, options, ids);
    iso_text_deinit(&text);
    return status;
}

static iso_status parse_ids(const iso_tokenizer *tokenizer, const char *text, iso_token_list *ids)
{
    int32_t size = iso_tokenizer_vocab_size(tokenizer);
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || (*end != ',' && *end != '\0') || errno || id < 0 || id >= size)
            return iso_fail(ISO_INVALID_ARGUMENT,
                            "tokenize: --ids holds \"%.*s\"; allowed: ids from 0 to %d, commas between",
                            (int)strcspn(at, ",") < 32 ? (int)strcspn(at, ",") : 32, at, size - 1);
        ISO_TRY(iso_token_list_append(ids, (int32_t)id));
        at = end;
        if (*at == '\0')
            return ISO_OK;
    }
}

static iso_status get_ids(iso_tokenizer *tokenizer, const tokenize_options *options, iso_token_list *ids)
{
    iso_encode_options encode = {.bos = (iso_bos_rule)options->bos};
    if (options->ids)
        return parse_ids(tokenizer, options->ids, ids);
    if (options->chat)
        return encode_conversation(tokenizer, options->chat, ids);
    if (options->file)
        return encode_file(tokenizer, options->file, &encode, ids);
    return iso_tokenizer_encode(tokenizer, options->text, strlen(options->text), &encode, ids);
}

// ---- output ----

// Millions of ids: printf would take longer than the tokenizer.
static size_t write_id(int32_t id, char *out)
{
    char reversed[ID_TEXT_BYTES];
    size_t digits = 0, at = 0;
    uint32_t rest = (uint32_t)id;
    do {
        reversed[digits++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    while (digits)
        out[at++] = reversed[--digits];
    return at;
}

static void print_ids(const iso_token_list *ids, char separator)
{
    char block[PRINT_BLOCK_BYTES];
    size_t at = 0;
    for (size_t i = 0; i < ids->count && !cli_output_broken(); i++) {
        if (i)
            block[at++] = separator;
        at += write_id(ids->ids[i], block + at);
        if (at > sizeof block - ID_TEXT_BYTES) {
            fwrite(block, 1, at, stdout);
            at = 0;
        }
    }
    fwrite(block, 1, at, stdout);
}

static iso_status print_json_text(const char *text, size_t bytes)
{
    json_t *string = json_stringn(text, bytes);
    if (!string)
        return iso_fail(ISO_OUT_OF_MEMORY, "no memory for the JSON answer");
    (void)json_dumpf(string, stdout, JSON_ENCODE_ANY);
    json_decref(string);
    return ISO_OK;
}

static iso_status print_result(const iso_tokenizer *tokenizer, const tokenize_options *options,
                               const iso_token_list *ids)
{
    char *text = NULL;
    size_t bytes = 0;
    iso_status status = ISO_OK;
    bool want_text = options->decode || options->ids;
    if (want_text)
        ISO_TRY(iso_tokenizer_decode(tokenizer, ids->ids, ids->count, NULL, &text, &bytes));
    if (options->json) {
        fputs("{\"ids\":[", stdout);
        print_ids(ids, ',');
        fputs("]", stdout);
        if (want_text) {
            fputs(",\"text\":", stdout);
            status = print_json_text(text, bytes);
        }
        fputs("}", stdout);
    } else if (want_text) {
        fwrite(text, 1, bytes, stdout);
    } else {
        print_ids(ids, ' ');
    }
    putchar('\n');
    iso_free(NULL, text);
    return status;
}

static iso_status run(const void *opaque, bool *out_yes)
{
    const tokenize_options *options = opaque;
    iso_tokenizer *tokenizer = NULL;
    iso_token_list ids = {0};
    iso_status status = ISO_OK;
    (void)out_yes;
    int inputs = !!options->text + !!options->file + !!options->chat + !!options->ids;
    if (inputs != 1)
        return iso_fail(ISO_INVALID_ARGUMENT,
                        "tokenize: %d of --text, --file, --chat and --ids are given; needed: one", inputs);
    ISO_TRY_GOTO(open_tokenizer(options->model, &tokenizer), done);
    ISO_TRY_GOTO(get_ids(tokenizer, options, &ids), done);
    ISO_TRY_GOTO(print_result(tokenizer, options, &ids), done);
done:
    iso_token_list_deinit(&ids);
    iso_tokenizer_close(tokenizer);
    return status;
}

const cli_command cli_command_tokenize = {
    .synopsis = "MODEL --text S | --file F | --chat F | --ids 1,2,3 [--decode] [--json]",
    .about = "Prints the ids on one line. Special tokens that are written out in the text become their ids.",
    .examples =
        "  isomer tokenize tiny-r1 --text '12 + 34'\n"
        "  isomer tokenize tiny-r1 --ids 12,34,56\n"
        "  isomer tokenize DeepSeek-R1 --chat conversation.json --decode   the prompt that the model gets\n"
        "  cat book.txt | isomer tokenize DeepSeek-R1 --file - --json\n",
    CLI_OPTIONS(options_table),
    .options_bytes = sizeof(tokenize_options),
    .run = run,
};
