// SPDX-License-Identifier: MIT
//
// The values of iso_chat_form, shared by the recogniser (chat_template.c, by the table chat_features.def) and
// the renderer (chat_render.c). 0 is "not done" for the aspects that may be left out.
#ifndef ISOMER_MODEL_TEXT_CHAT_FORM_H
#define ISOMER_MODEL_TEXT_CHAT_FORM_H

enum {
    ISO_CHAT_HEAD_KNOWN = 1,

    ISO_CHAT_SYSTEM_IN_PLACE = 1,
    ISO_CHAT_SYSTEM_JOINED,
    ISO_CHAT_SYSTEM_LAST,
    ISO_CHAT_SYSTEM_JOINED_FILLED,

    ISO_CHAT_ANSWER_LABEL = 1,
    ISO_CHAT_ANSWER_EACH,
    ISO_CHAT_ANSWER_WITH_USER,
    ISO_CHAT_ANSWER_AFTER_USER,

    ISO_CHAT_CUT_LAST_THINK = 1,
    ISO_CHAT_CUT_FIRST_THINK,

    ISO_CHAT_CALLS_FROM_SECOND = 1,
    ISO_CHAT_CALLS_CLOSED,
    ISO_CHAT_CALLS_ROUNDS,
    ISO_CHAT_CALLS_BARE,

    ISO_CHAT_RESULTS_NEWLINE = 1,
    ISO_CHAT_RESULTS_TIGHT,
    ISO_CHAT_RESULTS_BARE,

    ISO_CHAT_ASK_LABEL = 1,
    ISO_CHAT_ASK_PLAIN,
    ISO_CHAT_ASK_THINK,
    ISO_CHAT_ASK_UNLESS_USER,
    ISO_CHAT_ASK_FLAG,
};

#endif
