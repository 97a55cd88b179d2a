// SPDX-License-Identifier: MIT
//
// Recognises a chat template: its text is squeezed (so that the layouts in which one template was published
// read the same) and searched for the markers of chat_features.def. Rendering is chat_render.c's.
#include "isomer/chat.h"

#include <string.h>

#include "model/text/chat_form.h"
#include "runtime/base/strings.h"

enum { V2 = 1, EACH = 2, WITH_USER = 4, AFTER_USER = 8, ALL_FAMILIES = 15 };

typedef enum chat_aspect {
    ASPECT_head,
    ASPECT_system,
    ASPECT_answer_marker,
    ASPECT_answer_cut,
    ASPECT_tool_calls,
    ASPECT_tool_results,
    ASPECT_generation,
    ASPECT_COUNT
} chat_aspect;

typedef struct chat_feature {
    chat_aspect aspect;
    uint8_t value;
    unsigned families;
    const char *marker;
} chat_feature;

static const chat_feature features[] = {
#define ISO_CHAT_FEATURE(aspect, value, families, marker) {ASPECT_##aspect, value, families, marker},
#define ISO_CHAT_DEFAULT(aspect, families)
#include "model/text/chat_features.def"
#undef ISO_CHAT_FEATURE
#undef ISO_CHAT_DEFAULT
};

// The families in which an aspect may be left out.
static const unsigned defaults[ASPECT_COUNT] = {
#define ISO_CHAT_FEATURE(aspect, value, families, marker)
#define ISO_CHAT_DEFAULT(aspect, families) [ASPECT_##aspect] = families,
#include "model/text/chat_features.def"
#undef ISO_CHAT_FEATURE
#undef ISO_CHAT_DEFAULT
};

static const char *const aspect_names[ASPECT_COUNT] = {
    "its beginning", "system messages", "the marker before an answer", "what is kept of an answer",
    "tool calls",    "tool results",    "the generation prompt",
};

#define KNOWN_FORMS "those of DeepSeek V2, V2.5, V3, R1, R1-0528, V3.1 and the R1 distills"

// Drops white space and trim dashes outside of string literals and writes newlines inside of them as \n.
// `target` has room for twice the length.
static void squeeze(const char *text, char *target)
{
    bool in_literal = false;
    char before = '\0';
    for (; *text; before = *text++) {
        if (*text == '\'')
            in_literal = !in_literal;
        if (in_literal && *text == '\n') {
            *target++ = '\\';
            *target++ = 'n';
            continue;
        }
        bool space = *text == ' ' || *text == '\n' || *text == '\r' || *text == '\t';
        // "{%-", "{{-", "-%}", "-}}"
        bool dash = *text == '-' && (text[1] == '%' || text[1] == '}' || before == '%' || before == '{');
        if (in_literal || (!space && !dash))
            *target++ = *text;
    }
    *target = '\0';
}

static iso_status unknown(const char *what, const char *aspect)
{
    return iso_fail(ISO_UNSUPPORTED,
                    "chat_template: %s %s; templates understood here: " KNOWN_FORMS
                    "; token ids and plain prompts work with every model",
                    what, aspect);
}

static iso_status find_features(const char *text, iso_chat_form *out)
{
    uint8_t values[ASPECT_COUNT] = {0};
    unsigned families[ASPECT_COUNT] = {0}, common = ALL_FAMILIES;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        const chat_feature *feature = &features[i];
        if (!strstr(text, feature->marker))
            continue;
        if (values[feature->aspect] != 0 && values[feature->aspect] != feature->value)
            return unknown("it contradicts itself in", aspect_names[feature->aspect]);
        values[feature->aspect] = feature->value;
        families[feature->aspect] |= feature->families;
    }
    for (int aspect = 0; aspect < ASPECT_COUNT; aspect++) {
        common &= values[aspect] != 0 ? families[aspect] : defaults[aspect];
        if (common == 0)
            return unknown("it is not a known one in", aspect_names[aspect]);
    }
    *out = (iso_chat_form){
        .system = values[ASPECT_system],
        .answer_marker = values[ASPECT_answer_marker],
        .answer_cut = values[ASPECT_answer_cut],
        .tool_calls = values[ASPECT_tool_calls],
        .tool_results = values[ASPECT_tool_results],
        .generation = values[ASPECT_generation],
    };
    return ISO_OK;
}

iso_status iso_chat_recognise(const char *template_text, const iso_allocator *allocator, iso_chat_form *out)
{
    *out = (iso_chat_form){0};
    if (!template_text)
        return iso_fail(ISO_NOT_FOUND, "the model has no chat_template in tokenizer_config.json and no "
                                       "chat_template.jinja; use token ids or a plain prompt");
    char *squeezed;
    size_t bytes = strlen(template_text);
    ISO_TRY(ISO_NEW(allocator, bytes * 2 + 1, &squeezed));
    squeeze(template_text, squeezed);
    iso_status status = find_features(squeezed, out);
    iso_free(allocator, squeezed);
    return status;
}

const char *iso_chat_form_name(const iso_chat_form *form)
{
    switch (form->answer_marker) {
    case ISO_CHAT_ANSWER_LABEL:
        return "V2";
    case ISO_CHAT_ANSWER_EACH:
        return form->generation == ISO_CHAT_ASK_THINK || form->answer_cut == ISO_CHAT_CUT_LAST_THINK ? "R1"
                                                                                                     : "V3";
    case ISO_CHAT_ANSWER_WITH_USER:
        return "R1-0528";
    case ISO_CHAT_ANSWER_AFTER_USER:
        return "V3.1";
    default:
        return "none";
    }
}
