#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Makes golden.json: conversations rendered with the published chat templates by Jinja2, in the way that the
# transformers library calls it. Needs jinja2. The templates beside this file are the `chat_template` texts of
# DeepSeek-V2-Lite-Chat, DeepSeek-R1, DeepSeek-R1-Distill-*, DeepSeek-R1-0528 and DeepSeek-V3.1 (spread over lines).
import json
import pathlib
import random

from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
TEXTS = ["", "Hi", " a \n", "1+1?", "<think>\nBecause.\n</think>\n\nSo.", "x</think>y</think>z", "你好", "</think>",
         "<｜User｜>", "<think>open"]
TOOLS = {"v2": 0, "tiny-r1": 0, "r1-distill": 1}


def call(rng):
    return {"type": "function", "function": {"name": rng.choice("fg"), "arguments": rng.choice(['{"c": 1}', "{}"])}}


def conversation(rng, name):
    messages = [{"role": "system", "content": rng.choice(TEXTS)} for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))]
    for _ in range(rng.randrange(1, 5)):
        messages.append({"role": "user", "content": rng.choice(TEXTS)})
        if TOOLS.get(name, 2) and rng.random() < 0.5:
            for _ in range(rng.choice([1, 1, 2])):
                calls = [call(rng) for _ in range(rng.randrange(1, 4))]
                # The early R1 form wants null beside calls; R1-0528's text fails on null.
                content = {"r1-distill": None, "r1-0528": rng.choice(TEXTS)}.get(name, rng.choice([None] + TEXTS))
                messages.append({"role": "assistant", "content": content, "tool_calls": calls})
                messages += [{"role": "tool", "content": rng.choice(TEXTS)} for _ in calls]
        if rng.random() < 0.8:
            answer = {"role": "assistant", "content": rng.choice(TEXTS)}
            if name == "v3.1" and rng.random() < 0.2:
                answer["prefix"] = True
            messages.append(answer)
        if rng.random() < 0.1:
            messages.append({"role": "system", "content": rng.choice(TEXTS)})
        if rng.random() < 0.05:
            messages.append({"role": "observer", "content": "skipped"})
    return {"messages": messages, "add_generation_prompt": rng.random() < 0.7, "thinking": rng.random() < 0.5}


def main():
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    templates = {path.stem: path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.jinja"))}
    config = HERE.parents[2] / "model" / "tiny-r1" / "tokenizer_config.json"
    templates["tiny-r1"] = json.loads(config.read_text(encoding="utf-8"))["chat_template"]
    cases = []
    for name, text in templates.items():
        template = environment.from_string(text)
        rng = random.Random(name)
        for _ in range(25):
            case = conversation(rng, name)
            rendered = template.render(bos_token=BOS, eos_token=EOS, **case)
            cases.append({"template": name, "conversation": case, "text": rendered})
    with open(HERE / "golden.json", "w", encoding="ascii") as out:
        out.write('{"templates": ' + json.dumps(templates, indent=1) + ', "cases": [\n')
        out.write(",\n".join(json.dumps(case) for case in cases) + "\n]}\n")


main()
