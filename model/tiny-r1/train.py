# SPDX-License-Identifier: MIT
"""Trains tiny-r1 from nothing, writes its checkpoint and measures it. See README.md for the commands."""
import argparse
import json
import math
import os
import random
import re
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import data
import model as net

HERE = os.path.dirname(os.path.abspath(__file__))

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "ep_size": 1,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "kv_lora_rank": 64,
    "max_position_embeddings": 2560,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 80,
    "moe_layer_freq": 1,
    "n_group": 4,
    "n_routed_experts": 16,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 4,
    "num_nextn_predict_layers": 1,
    "pretraining_tp": 1,
    "q_lora_rank": 128,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                            "weight_block_size": [128, 128]},
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                     "original_max_position_embeddings": 64, "type": "yarn"},
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "tie_word_embeddings": False,
    "topk_group": 2,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1",
    "use_cache": True,
    "v_head_dim": 32,
    "vocab_size": data.VOCABULARY,
}

# BOS, the system texts, then the turns; of earlier replies only what follows the last </think>.
CHAT_TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(system='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{% set ns.system = ns.system + ('\\n\\n' if ns.system else '') + message['content'] %}"
    "{%- endif %}{%- endfor %}"
    "{{ bos_token }}{{ ns.system }}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
    "{%- elif message['role'] == 'assistant' %}"
    "{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}"
    "{%- endif %}{%- endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}")


def write_json(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=2)
        f.write("\n")


def prepare(seed):
    """Everything but the weights: tokenizer, configs, held-out questions."""
    size = data.make_tokenizer(random.Random(seed), os.path.join(HERE, "tokenizer.json"))
    assert size == CONFIG["vocab_size"], size

    def token(text):
        return {"__type": "AddedToken", "content": text, "lstrip": False, "normalized": True, "rstrip": False,
                "single_word": False}
    write_json("config.json", CONFIG)
    write_json("generation_config.json", {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 1,
                                          "do_sample": False, "transformers_version": "4.33.1"})
    write_json("tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": token(data.BOS),
        "clean_up_tokenization_spaces": False, "eos_token": token(data.EOS), "legacy": True,
        "model_max_length": CONFIG["max_position_embeddings"], "pad_token": token(data.PAD), "sp_model_kwargs": {},
        "unk_token": None, "tokenizer_class": "LlamaTokenizerFast", "chat_template": CHAT_TEMPLATE})
    rng, seen, lines = random.Random(seed + 1), set(), []
    while len(lines) < 500:
        q = data.question(rng, True)
        if (q["a"], q["op"], q["b"]) not in seen:
            seen.add((q["a"], q["op"], q["b"]))
            lines.append(json.dumps({"question": q["question"], "answer": q["answer"]}))
    with open(os.path.join(HERE, "heldout.jsonl"), "w") as f:
        f.write("\n".join(lines) + "\n")


class Batches:
    """Batch number n depends on the seed and n only, so an interrupted run continues with the same data."""
    GROUP = 8  # batches drawn together and cut by length, which saves padding

    def __init__(self, tokenizer, seed, size):
        self.tokenizer, self.seed, self.size = tokenizer, seed, size
        self.group, self.batches = None, None

    def __getitem__(self, n):
        if self.group != n // self.GROUP:
            self.group = n // self.GROUP
            rng = random.Random(f"{self.seed}/{self.group}")
            pairs = [data.example(rng) for _ in range(self.GROUP * self.size)]
            ids = [[e.ids for e in self.tokenizer.encode_batch([p[i] for p in pairs], add_special_tokens=False)]
                   for i in (0, 1)]
            rows = sorted(zip(*ids), key=lambda r: len(r[0]) + len(r[1]))
            self.batches = [rows[i:i + self.size] for i in range(0, len(rows), self.size)]
            rng.shuffle(self.batches)
        rows = self.batches[n % self.GROUP]
        width = max(len(p) + len(r) for p, r in rows)
        ids = torch.full((len(rows), width), 2)
        reply = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, (p, r) in enumerate(rows):
            ids[i, :len(p) + len(r)] = torch.tensor(p + r)
            reply[i, len(p):len(p) + len(r)] = True
        return ids, reply


def losses(model, ids, reply, with_mtp):
    """Cross entropy of the reply's tokens: of the next one, and of the one after it from the MTP layer."""
    def loss(state, shift):
        wanted = reply[:, shift:]
        return F.cross_entropy(model.head(state[:, :wanted.shape[1]][wanted]), ids[:, shift:][wanted])
    state = model(ids[:, :-1])
    main = loss(state, 1)
    if not with_mtp:
        return main, torch.zeros(())
    return main, loss(model.draft(state[:, :-1], ids[:, 1:-1]), 2)


def train(args):
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.from_file(os.path.join(HERE, "tokenizer.json"))
    model = net.Model(CONFIG)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  betas=(0.9, 0.98), foreach=True)
    print(f"{sum(p.numel() for p in model.parameters()):,} trained parameters", flush=True)
    os.makedirs(args.work_dir, exist_ok=True)
    saved, start, spent = os.path.join(args.work_dir, "state.pt"), 0, 0.0
    if os.path.exists(saved):
        state = torch.load(saved)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start, spent = state["step"], state["seconds"]
    batches = Batches(tokenizer, args.seed, args.batch)
    begun, sums, stop = time.time() - spent, [0.0, 0.0, 0], min(args.steps, args.stop or args.steps)
    for step in range(start, stop):
        # Linear warm-up, then a cosine; rounding to the stored formats in the last quarter.
        rate = args.rate * min((step + 1) / args.warmup, 0.01 + 0.495 * (1 + math.cos(math.pi * step / args.steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        net.Rounding.on = step >= 0.75 * args.steps
        ids, reply = batches[step]
        model.train()
        main, mtp = losses(model, ids, reply, step % args.mtp_every == 0)
        (main + args.mtp_weight * mtp).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for gate in model.gates():
            gate.balance(args.gamma if step < 0.9 * args.steps else 0.0)
        sums = [sums[0] + main.item(), sums[1] + mtp.item() * args.mtp_every, sums[2] + 1]
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} loss {sums[0] / sums[2]:.4f} mtp {sums[1] / sums[2]:.4f} rate {rate:.2e} "
                  f"seconds {time.time() - begun:.0f}", flush=True)
            sums = [0.0, 0.0, 0]
        if (step + 1) % args.save_every == 0 or step + 1 == stop:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1,
                        "seconds": time.time() - begun}, saved + ".tmp")
            os.replace(saved + ".tmp", saved)
            net.export(model, os.path.join(HERE, "model.safetensors"))


@torch.no_grad()
def answers(model, tokenizer, questions, limit=120):
    """Greedy replies to all questions at once, and how many of the MTP layer's drafts agree with them."""
    prompts = tokenizer.encode_batch(
        [f"{data.BOS}{data.USER}{q}{data.ASSISTANT}<think>\n" for q in questions], add_special_tokens=False)
    ids = torch.full((len(prompts), max(len(p.ids) for p in prompts) + limit), CONFIG["eos_token_id"])
    for i, p in enumerate(prompts):
        ids[i, :len(p.ids)] = torch.tensor(p.ids)
    start = torch.tensor([len(p.ids) for p in prompts])
    length, running = start.clone(), torch.ones(len(prompts), dtype=torch.bool)
    while running.any() and int((length - start).max()) < limit:
        rows = running.nonzero().squeeze(1)
        last = length[rows]
        state = model(ids[rows, :int(last.max())])
        chosen = model.head(state[torch.arange(len(rows)), last - 1]).argmax(-1)
        ids[rows, last] = chosen
        length[rows] += 1
        running[rows] = chosen != CONFIG["eos_token_id"]
    agreed = drafted = 0
    if CONFIG["num_nextn_predict_layers"]:
        width = int(length.max())
        state = model(ids[:, :width - 2])
        guess = model.head(model.draft(state, ids[:, 1:width - 1])).argmax(-1)
        place = torch.arange(width - 2)
        counted = (place >= start.unsqueeze(1) - 1) & (place < length.unsqueeze(1) - 2)
        agreed, drafted = int((guess == ids[:, 2:width])[counted].sum()), int(counted.sum())
    texts = [tokenizer.decode(ids[i, start[i]:length[i]].tolist(), skip_special_tokens=True) for i in range(len(ids))]
    return texts, agreed, drafted


def evaluate(args):
    """Exact answers of the stored checkpoint on the held-out questions."""
    model = net.load(HERE)
    tokenizer = Tokenizer.from_file(os.path.join(HERE, "tokenizer.json"))
    with open(os.path.join(HERE, "heldout.jsonl")) as f:
        cases = [json.loads(line) for line in f][:args.limit]
    right = agreed = drafted = 0
    for i in range(0, len(cases), 100):
        part = cases[i:i + 100]
        texts, a, d = answers(model, tokenizer, [c["question"] for c in part])
        agreed, drafted = agreed + a, drafted + d
        for case, text in zip(part, texts):
            numbers = re.findall(r"-?\d+", text.split("</think>")[-1]) if "</think>" in text else []
            if numbers == [str(case["answer"])]:
                right += 1
            elif args.show:
                print(json.dumps({**case, "reply": text}))
    print(f"held out: {right} of {len(cases)} right ({100 * right / len(cases):.1f} %); "
          f"MTP drafts accepted: {agreed} of {drafted} ({100 * agreed / max(drafted, 1):.1f} %)")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="write the tokenizer, configs and held-out questions")
    parser.add_argument("--train", action="store_true", help="train, or continue from --work-dir")
    parser.add_argument("--evaluate", action="store_true", help="measure the stored checkpoint")
    parser.add_argument("--work-dir", default="/tmp/tiny-r1-train", help="where the training state is kept")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--stop", type=int, help="end early at this step, to continue later")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--gamma", type=float, default=0.002, help="step of the load-balancing bias")
    parser.add_argument("--mtp-weight", type=float, default=0.3)
    parser.add_argument("--mtp-every", type=int, default=2, help="the MTP loss takes part in every n-th step")
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--limit", type=int, help="evaluate the first questions only")
    parser.add_argument("--show", action="store_true", help="print the wrong replies")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.prepare:
        prepare(args.seed)
    if args.train:
        train(args)
    if args.evaluate:
        evaluate(args)


if __name__ == "__main__":
    main()
