// SPDX-License-Identifier: MIT
//
// Writes a conversation as the recognised template would, statement by statement, with the quirks of the
// published texts. Which things differ between templates, and by which words they are known, is in
// chat_features.def.
#include "isomer/chat.h"

#include <string.h>

#include "model/text/chat_form.h"
#include "runtime/base/strings.h"

#define USER          "<｜User｜>"
#define ASSISTANT     "<｜Assistant｜>"
#define END_OF_ANSWER "<｜end▁of▁sentence｜>" // written out in every template but V2's
#define CALLS_BEGIN   "<｜tool▁calls▁begin｜>"
#define CALLS_END     "<｜tool▁calls▁end｜>"
#define CALL_BEGIN    "<｜tool▁call▁begin｜>"
#define CALL_END      "<｜tool▁call▁end｜>"
#define CALL_SEP      "<｜tool▁sep｜>"
#define OUTPUTS_BEGIN "<｜tool▁outputs▁begin｜>"
#define OUTPUTS_END   "<｜tool▁outputs▁end｜>"
#define OUTPUT_BEGIN  "<｜tool▁output▁begin｜>"
#define OUTPUT_END    "<｜tool▁output▁end｜>"
#define THINK         "<think>"
#define END_THINK     "</think>"

// The flags have the names that the templates give them.
typedef struct rendering {
    const iso_chat_form *form;
    const iso_conversation *conversation;
    const char *eos;
    iso_text *out;
    bool is_first;        // a tool call was written, so the block is open
    bool is_tool;         // the latest message was a tool's result
    bool is_output_first; // no result was written yet
    bool is_last_user;    // the latest message was the user's
} rendering;

// Appends the texts up to NULL.
static iso_status put(rendering *r, const char *const *texts)
{
    for (; *texts; texts++)
        ISO_TRY(iso_text_append_bytes(r->out, *texts, strlen(*texts)));
    return ISO_OK;
}

#define PUT(r, ...) ISO_TRY(put((r), (const char *const[]){__VA_ARGS__, NULL}))

static size_t index_of(const rendering *r, const iso_chat_message *message)
{
    return (size_t)(message - r->conversation->messages);
}

static iso_status need_content(const rendering *r, const iso_chat_message *message)
{
    if (message->content)
        return ISO_OK;
    return iso_fail(ISO_INVALID_ARGUMENT,
                    "messages[%zu].content is null; this template needs a text for the role \"%s\"",
                    index_of(r, message), message->role);
}

static iso_status without_tools(const rendering *r, const iso_chat_message *message)
{
    return iso_fail(
        ISO_UNSUPPORTED,
        "messages[%zu] calls a tool or is a tool's result, which this chat_template does not know",
        index_of(r, message));
}

static const char *kept_part(const rendering *r, const char *answer)
{
    const char *kept = answer;
    if (r->form->answer_cut == 0)
        return kept;
    for (const char *at = strstr(answer, END_THINK); at; at = strstr(kept, END_THINK)) {
        kept = at + strlen(END_THINK);
        if (r->form->answer_cut == ISO_CHAT_CUT_FIRST_THINK)
            break;
    }
    return kept;
}

static bool has_role(const iso_chat_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static iso_status render_system(rendering *r)
{
    const iso_conversation *conversation = r->conversation;
    size_t start = r->out->length;
    bool any = false;
    for (size_t i = 0; i < conversation->message_count; i++) {
        const iso_chat_message *message = &conversation->messages[i];
        if (!has_role(message, "system"))
            continue;
        ISO_TRY(need_content(r, message));
        if (r->form->system == ISO_CHAT_SYSTEM_LAST)
            r->out->length = start;
        bool filled = r->out->length > start;
        if (r->form->system == ISO_CHAT_SYSTEM_JOINED
                ? any
                : r->form->system == ISO_CHAT_SYSTEM_JOINED_FILLED && filled)
            PUT(r, "\n\n");
        PUT(r, message->content);
        any = true;
    }
    return ISO_OK;
}

// V2: every message in its place, with labels.
static iso_status render_labelled(rendering *r, const iso_chat_message *message)
{
    if (has_role(message, "tool") || message->tool_call_count > 0)
        return without_tools(r, message);
    bool user = has_role(message, "user"), system = has_role(message, "system");
    if (!user && !system && !has_role(message, "assistant"))
        return ISO_OK;
    ISO_TRY(need_content(r, message));
    if (user)
        PUT(r, "User: ", message->content, "\n\n");
    else if (system)
        PUT(r, message->content, "\n\n");
    else
        PUT(r, "Assistant: ", message->content, r->eos);
    return ISO_OK;
}

static iso_status render_user(rendering *r, const iso_chat_message *message)
{
    ISO_TRY(need_content(r, message));
    PUT(r, USER, message->content);
    if (r->form->answer_marker == ISO_CHAT_ANSWER_WITH_USER)
        PUT(r, ASSISTANT);
    if (r->form->answer_marker != ISO_CHAT_ANSWER_EACH)
        r->is_first = false;
    r->is_tool = false;
    r->is_last_user = true;
    return ISO_OK;
}

static iso_status render_call(rendering *r, const iso_chat_tool_call *call)
{
    PUT(r, CALL_BEGIN);
    if (r->form->tool_calls == ISO_CHAT_CALLS_BARE)
        PUT(r, call->name, CALL_SEP, call->arguments, CALL_END);
    else
        PUT(r, call->type, CALL_SEP, call->name, "\n```json\n", call->arguments, "\n```", CALL_END);
    return ISO_OK;
}

// What the templates do between an answer's beginning and its first call.
static iso_status begin_calls(rendering *r)
{
    switch (r->form->tool_calls) {
    case ISO_CHAT_CALLS_ROUNDS:
        if (r->is_tool)
            PUT(r, OUTPUTS_END);
        r->is_first = false;
        r->is_output_first = true;
        break;
    case ISO_CHAT_CALLS_BARE:
        if (r->is_last_user)
            PUT(r, ASSISTANT, END_THINK);
        r->is_first = false;
        break;
    default:
        break; // V3 and R1 open the block once in a conversation
    }
    r->is_tool = false;
    r->is_last_user = false;
    return ISO_OK;
}

static iso_status render_calls(rendering *r, const iso_chat_message *message)
{
    int kind = r->form->tool_calls;
    bool in_fence = kind != ISO_CHAT_CALLS_BARE;
    const char *content = message->content ? message->content : "";
    if (kind == ISO_CHAT_CALLS_ROUNDS)
        content = kept_part(r, content);
    ISO_TRY(begin_calls(r));
    for (size_t i = 0; i < message->tool_call_count; i++) {
        bool first = !r->is_first;
        if (first && r->form->answer_marker == ISO_CHAT_ANSWER_EACH)
            PUT(r, ASSISTANT);
        if (first)
            PUT(r, content, CALLS_BEGIN);
        else if (in_fence)
            PUT(r, "\n");
        ISO_TRY(render_call(r, &message->tool_calls[i]));
        if (!first && kind == ISO_CHAT_CALLS_FROM_SECOND)
            PUT(r, CALLS_END, END_OF_ANSWER);
        r->is_first = true;
    }
    if (kind != ISO_CHAT_CALLS_FROM_SECOND)
        PUT(r, CALLS_END, END_OF_ANSWER);
    return ISO_OK;
}

static iso_status render_answer(rendering *r, const iso_chat_message *message)
{
    ISO_TRY(need_content(r, message));
    const char *content = message->content;
    switch (r->form->answer_marker) {
    case ISO_CHAT_ANSWER_EACH:
        if (r->is_tool)
            PUT(r, OUTPUTS_END, content); // whole, think block and all
        else
            PUT(r, ASSISTANT, kept_part(r, content));
        break;
    case ISO_CHAT_ANSWER_WITH_USER:
        PUT(r, r->is_tool ? OUTPUTS_END : "", kept_part(r, content));
        break;
    default: // ISO_CHAT_ANSWER_AFTER_USER
        if (r->is_last_user)
            PUT(r, ASSISTANT, message->prefix && r->conversation->thinking ? THINK : END_THINK);
        PUT(r, r->is_tool ? content : kept_part(r, content));
        break;
    }
    PUT(r, END_OF_ANSWER);
    r->is_tool = false;
    r->is_last_user = false;
    return ISO_OK;
}

static iso_status render_assistant(rendering *r, const iso_chat_message *message)
{
    // V3 goes by the content, the others by the calls.
    bool calls = r->form->tool_calls == ISO_CHAT_CALLS_FROM_SECOND
                     ? !message->content && message->has_tool_calls
                     : message->has_tool_calls;
    if (calls && r->form->tool_calls == 0)
        return without_tools(r, message);
    return calls ? render_calls(r, message) : render_answer(r, message);
}

static iso_status render_result(rendering *r, const iso_chat_message *message)
{
    if (r->form->tool_results == 0)
        return without_tools(r, message);
    ISO_TRY(need_content(r, message));
    r->is_tool = true;
    r->is_last_user = false;
    if (r->form->tool_results != ISO_CHAT_RESULTS_BARE) {
        if (r->is_output_first)
            PUT(r, OUTPUTS_BEGIN);
        else if (r->form->tool_results == ISO_CHAT_RESULTS_NEWLINE)
            PUT(r, "\n");
        r->is_output_first = false;
    }
    PUT(r, OUTPUT_BEGIN, message->content, OUTPUT_END);
    return ISO_OK;
}

static iso_status render_message(rendering *r, const iso_chat_message *message)
{
    if (r->form->answer_marker == ISO_CHAT_ANSWER_LABEL)
        return render_labelled(r, message);
    if (has_role(message, "user"))
        return render_user(r, message);
    if (has_role(message, "assistant"))
        return render_assistant(r, message);
    if (has_role(message, "tool"))
        return render_result(r, message);
    return ISO_OK; // system went first; the templates skip other roles
}

static iso_status render_end(rendering *r)
{
    int ask = r->form->generation;
    if (r->is_tool && r->form->tool_results != ISO_CHAT_RESULTS_BARE)
        PUT(r, OUTPUTS_END);
    if (!r->conversation->add_generation_prompt || r->is_tool)
        return ISO_OK;
    if (ask == ISO_CHAT_ASK_LABEL)
        PUT(r, "Assistant:");
    else if (ask == ISO_CHAT_ASK_PLAIN || (ask == ISO_CHAT_ASK_UNLESS_USER && !r->is_last_user))
        PUT(r, ASSISTANT);
    else if (ask == ISO_CHAT_ASK_THINK)
        PUT(r, ASSISTANT, THINK, "\n");
    else if (ask == ISO_CHAT_ASK_FLAG && r->is_last_user)
        PUT(r, ASSISTANT, r->conversation->thinking ? THINK : END_THINK);
    return ISO_OK;
}

static const char *token_text(const iso_tokenizer *tokenizer, int32_t id)
{
    size_t bytes;
    const char *text = iso_tokenizer_token_bytes(tokenizer, id, &bytes);
    return text ? text : "";
}

static iso_status render(rendering *r, const char *bos)
{
    PUT(r, bos);
    if (r->form->system != ISO_CHAT_SYSTEM_IN_PLACE)
        ISO_TRY(render_system(r));
    for (size_t i = 0; i < r->conversation->message_count; i++)
        ISO_TRY(render_message(r, &r->conversation->messages[i]));
    return render_end(r);
}

iso_status iso_chat_render(const iso_chat_form *form, const iso_tokenizer *tokenizer,
                           const iso_conversation *conversation, const iso_allocator *allocator,
                           char **out_text, size_t *out_bytes)
{
    *out_text = NULL;
    *out_bytes = 0;
    if (form->answer_marker == 0)
        return iso_fail(ISO_INVALID_ARGUMENT, "the chat form is empty; iso_chat_recognise fills it");
    iso_text text = {.allocator = allocator};
    rendering r = {
        .form = form,
        .conversation = conversation,
        .eos = token_text(tokenizer, iso_tokenizer_eos_id(tokenizer)),
        .out = &text,
        .is_output_first = true,
    };
    iso_status status = render(&r, token_text(tokenizer, iso_tokenizer_bos_id(tokenizer)));
    if (status != ISO_OK) {
        iso_text_deinit(&text);
        return status;
    }
    *out_text = text.data;
    *out_bytes = text.length;
    return ISO_OK;
}
