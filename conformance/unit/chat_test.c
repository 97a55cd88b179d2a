// SPDX-License-Identifier: MIT
//
// Tests of model/text's chat templates: the conversations of conformance/golden/tokenizer (V3) and
// conformance/golden/chat (the other forms, rendered by Jinja2), recognition in other layouts, refusal of
// unknown templates, and bad conversations.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conformance/unit/text_fixture.h"
#include "isomer/chat.h"

#define BOS "<｜begin▁of▁sentence｜>"
#define EOS "<｜end▁of▁sentence｜>"

static iso_tokenizer *small; // has BOS and EOS

static int open_tokenizer(void **state)
{
    (void)state;
    small = must_open_small(&(small_tokenizer){
        .added_tokens = "[{\"id\":300,\"content\":\"" BOS "\",\"special\":true},"
                        "{\"id\":301,\"content\":\"" EOS "\",\"special\":true}]",
        .config = "{\"bos_token\":\"" BOS "\",\"eos_token\":\"" EOS "\"}",
    });
    return 0;
}

static int close_tokenizer(void **state)
{
    (void)state;
    iso_tokenizer_close(small);
    return 0;
}

// To be freed.
static char *render(const iso_chat_form *form, const iso_tokenizer *tokenizer, const json_t *conversation)
{
    char *json = json_dumps(conversation, 0), *text = NULL;
    size_t bytes = 0;
    iso_conversation_file *file;
    if (iso_conversation_parse(json, strlen(json), "golden", NULL, &file) != ISO_OK ||
        iso_chat_render(form, tokenizer, iso_conversation_get(file), NULL, &text, &bytes) != ISO_OK)
        fail_msg("%s: %s", json, iso_status_last()->text);
    assert_int_equal(strlen(text), bytes);
    iso_conversation_destroy(file);
    free(json);
    return text;
}

static void assert_rendered(const char *what, const char *got, const char *expected)
{
    if (strcmp(got, expected) != 0)
        fail_msg("%s:\n%s\nexpected:\n%s", what, got, expected);
}

static void recognise(const char *text, const char *name, iso_chat_form *out)
{
    if (iso_chat_recognise(text, NULL, out) != ISO_OK)
        fail_msg("%s: %s", name, iso_status_last()->text);
    assert_string_equal(iso_chat_form_name(out), name);
}

// ---- golden ----

static void test_v3_golden(void **state)
{
    (void)state;
    const char *folder = v3_tokenizer_folder();
    if (!folder)
        skip();
    iso_tokenizer *v3;
    iso_chat_form form;
    assert_int_equal(iso_tokenizer_open(folder, NULL, &v3), ISO_OK);
    recognise(iso_tokenizer_chat_template(v3), "V3", &form);
    json_t *golden = load_golden("tokenizer/golden.json"), *entry;
    size_t index;
    json_array_foreach(json_object_get(golden, "chat"), index, entry)
    {
        char *text = render(&form, v3, entry);
        assert_rendered(json_string_value(json_object_get(entry, "name")), text,
                        json_string_value(json_object_get(entry, "text")));
        iso_token_list ids = {0};
        iso_encode_options options = {ISO_BOS_NEVER};
        const json_t *expected = json_object_get(entry, "ids");
        assert_int_equal(iso_tokenizer_encode(v3, text, strlen(text), &options, &ids), ISO_OK);
        assert_int_equal(ids.count, json_array_size(expected));
        for (size_t i = 0; i < ids.count; i++)
            assert_int_equal(ids.ids[i], json_integer_value(json_array_get(expected, i)));
        iso_token_list_deinit(&ids);
        free(text);
    }
    assert_true(index >= 15);
    json_decref(golden);
    iso_tokenizer_close(v3);
}

static const char *const form_names[][2] = {
    {"v2", "V2"},           {"r1", "R1"},     {"r1-distill", "R1"},
    {"r1-0528", "R1-0528"}, {"v3.1", "V3.1"}, {"tiny-r1", "R1"},
};

static void test_other_golden(void **state)
{
    (void)state;
    json_t *golden = load_golden("chat/golden.json"), *entry;
    json_t *templates = json_object_get(golden, "templates");
    size_t index, count = sizeof form_names / sizeof *form_names;
    iso_chat_form forms[sizeof form_names / sizeof *form_names];
    assert_int_equal(json_object_size(templates), count);
    for (size_t i = 0; i < count; i++)
        recognise(json_string_value(json_object_get(templates, form_names[i][0])), form_names[i][1],
                  &forms[i]);
    json_array_foreach(json_object_get(golden, "cases"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "template"));
        size_t i = 0;
        while (strcmp(form_names[i][0], name) != 0)
            i++;
        char *text = render(&forms[i], small, json_object_get(entry, "conversation"));
        assert_rendered(name, text, json_string_value(json_object_get(entry, "text")));
        free(text);
    }
    assert_true(index >= 100);
    json_decref(golden);
}

// The built-in model's file, as it is now, is the one that the golden cases were made from.
static void test_built_in_template(void **state)
{
    (void)state;
    json_t *golden = load_golden("chat/golden.json");
    json_t *config = json_load_file(ISOMER_SOURCE_DIR "/model/tiny-r1/tokenizer_config.json", 0, NULL);
    assert_non_null(config);
    assert_string_equal(json_string_value(json_object_get(config, "chat_template")),
                        json_string_value(json_object_get(json_object_get(golden, "templates"), "tiny-r1")));
    json_decref(config);
    json_decref(golden);
}

// ---- recognition ----

static void test_layout_does_not_matter(void **state)
{
    (void)state;
    json_t *golden = load_golden("chat/golden.json");
    const char *text = json_string_value(json_object_get(json_object_get(golden, "templates"), "r1"));
    iso_chat_form form, other;
    recognise(text, "R1", &form);
    // Every "{%-" as "{%", and every "%}" with a line behind it.
    char *changed = malloc(strlen(text) * 2 + 1), *to = changed;
    for (const char *from = text; *from; from++) {
        if (*from == '-' && from[-1] == '%')
            continue;
        *to++ = *from;
        if (*from == '}' && from[-1] == '%') {
            *to++ = '\n';
            *to++ = ' ';
        }
    }
    *to = '\0';
    recognise(changed, "R1", &other);
    assert_memory_equal(&form, &other, sizeof form);
    free(changed);
    json_decref(golden);
}

static void test_unknown_templates(void **state)
{
    (void)state;
    iso_chat_form form;
    assert_int_equal(iso_chat_recognise(NULL, NULL, &form), ISO_NOT_FOUND);
    assert_int_equal(iso_chat_recognise("", NULL, &form), ISO_UNSUPPORTED);
    assert_int_equal(iso_chat_recognise("-", NULL, &form), ISO_UNSUPPORTED);
    assert_int_equal(
        iso_chat_recognise("{% for m in messages %}{{'<|im_start|>' + m.role}}{% endfor %}", NULL, &form),
        ISO_UNSUPPORTED);
    assert_error_has("R1 distills");
    assert_error_has("token ids");
    assert_string_equal(iso_chat_form_name(&form), "none");
    // A known template with one thing done otherwise is not that template.
    static const char *const changes[][2] = {
        {"{{ bos_token }}{{ ns.system_prompt }}", "{{ bos_token }}{{ 'Be kind.' }}{{ ns.system_prompt }}"},
        {"<think>\\n'", "<think>\\n\\n'"},
        {"'\\n\\n' + message['content'] %}", "'\\n' + message['content'] %}"},
        {"{{'<｜Assistant｜>' + content", "{{'<｜Assistant｜>\\n' + content"},
    };
    json_t *golden = load_golden("chat/golden.json");
    const char *r1 = json_string_value(json_object_get(json_object_get(golden, "templates"), "r1"));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *at = strstr(r1, changes[i][0]);
        assert_non_null(at);
        char *changed;
        assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - r1), r1, changes[i][1],
                             at + strlen(changes[i][0])) > 0);
        if (iso_chat_recognise(changed, NULL, &form) != ISO_UNSUPPORTED)
            fail_msg("recognised with %s", changes[i][1]);
        free(changed);
    }
    // Two templates in one contradict each other.
    char *both;
    const char *v31 = json_string_value(json_object_get(json_object_get(golden, "templates"), "v3.1"));
    assert_true(asprintf(&both, "%s%s", r1, v31) > 0);
    assert_int_equal(iso_chat_recognise(both, NULL, &form), ISO_UNSUPPORTED);
    assert_error_has("contradicts");
    free(both);
    json_decref(golden);
}

// ---- conversations ----

typedef struct bad_conversation {
    const char *json;
    const char *fragment;
} bad_conversation;

static const bad_conversation bad_conversations[] = {
    {"", "line"},
    {"[]", "an object is expected"},
    {"{}", "messages is missing"},
    {"{\"messages\":[]}", "messages is empty"},
    {"{\"messages\":{}}", "messages is an object"},
    {"{\"messages\":[3]}", "messages[0] is an integer"},
    {"{\"messages\":[{\"content\":\"a\"}]}", "messages[0].role is missing"},
    {"{\"messages\":[{\"role\":7,\"content\":\"a\"}]}", "messages[0].role is an integer"},
    {"{\"messages\":[{\"role\":\"user\"}]}", "neither a content nor tool_calls"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "messages[0].content is an array"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]}", "U+0000"},
    {"{\"messages\":[{\"role\":\"a\",\"tool_calls\":[{}]}]}",
     "messages[0].tool_calls[0].function is missing"},
    {"{\"messages\":[{\"role\":\"a\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]}]}",
     "tool_calls[0].function.arguments is an object"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"add_generation_prompt\":1}",
     "add_generation_prompt is an integer"},
};

static void test_bad_conversations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_conversations / sizeof *bad_conversations; i++) {
        iso_conversation_file *file;
        const char *json = bad_conversations[i].json;
        assert_int_equal(iso_conversation_parse(json, strlen(json), "talk.json", NULL, &file),
                         ISO_CORRUPT + (strcmp(bad_conversations[i].fragment, "U+0000") == 0
                                            ? ISO_UNSUPPORTED - ISO_CORRUPT
                                            : 0));
        assert_null(file);
        assert_error_has("talk.json");
        assert_error_has(bad_conversations[i].fragment);
    }
    iso_conversation_destroy(NULL);
}

static void test_messages_that_do_not_fit(void **state)
{
    (void)state;
    json_t *golden = load_golden("chat/golden.json"), *templates = json_object_get(golden, "templates");
    const iso_chat_tool_call call = {"function", "f", "{}"};
    const iso_chat_message calling = {
        .role = "assistant", .tool_calls = &call, .tool_call_count = 1, .has_tool_calls = true};
    const iso_chat_message result = {.role = "tool", .content = "1"};
    const iso_chat_message empty = {.role = "assistant"};
    static const char *const without_tools[] = {"v2", "tiny-r1"};
    iso_chat_form form;
    char *text;
    size_t bytes;
    for (size_t i = 0; i < 2; i++) {
        iso_conversation conversation = {.messages = &calling, .message_count = 1};
        assert_int_equal(
            iso_chat_recognise(json_string_value(json_object_get(templates, without_tools[i])), NULL, &form),
            ISO_OK);
        assert_int_equal(iso_chat_render(&form, small, &conversation, NULL, &text, &bytes), ISO_UNSUPPORTED);
        assert_null(text);
        assert_error_has("messages[0]");
        conversation.messages = &result;
        assert_int_equal(iso_chat_render(&form, small, &conversation, NULL, &text, &bytes), ISO_UNSUPPORTED);
        conversation.messages = &empty;
        assert_int_equal(iso_chat_render(&form, small, &conversation, NULL, &text, &bytes),
                         ISO_INVALID_ARGUMENT);
        assert_error_has("messages[0].content is null");
    }
    form = (iso_chat_form){0};
    assert_int_equal(iso_chat_render(&form, small, &(iso_conversation){0}, NULL, &text, &bytes),
                     ISO_INVALID_ARGUMENT);
    json_decref(golden);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    json_t *golden = load_golden("chat/golden.json");
    const char *text = json_string_value(json_object_get(json_object_get(golden, "templates"), "r1"));
    const char *json =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":"
        "[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}]}";
    bool done = false;
    for (long n = 0; !done; n++) {
        failing_heap heap = {.calls_left = n};
        iso_allocator allocator = {&heap, failing_resize, failing_release};
        iso_conversation_file *file = NULL;
        iso_chat_form form;
        char *rendered = NULL;
        size_t bytes;
        iso_status status = iso_chat_recognise(text, &allocator, &form);
        if (status == ISO_OK)
            status = iso_conversation_parse(json, strlen(json), NULL, &allocator, &file);
        if (status == ISO_OK)
            status = iso_chat_render(&form, small, iso_conversation_get(file), &allocator, &rendered, &bytes);
        if (status != ISO_OK)
            assert_int_equal(status, ISO_OUT_OF_MEMORY);
        done = status == ISO_OK;
        iso_free(&allocator, rendered);
        iso_conversation_destroy(file);
        assert_int_equal(heap.living, 0);
    }
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v3_golden),
        cmocka_unit_test(test_other_golden),
        cmocka_unit_test(test_built_in_template),
        cmocka_unit_test(test_layout_does_not_matter),
        cmocka_unit_test(test_unknown_templates),
        cmocka_unit_test(test_bad_conversations),
        cmocka_unit_test(test_messages_that_do_not_fit),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
