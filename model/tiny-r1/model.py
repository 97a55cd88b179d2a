# SPDX-License-Identifier: MIT
"""DeepSeek-V3 in PyTorch, small enough to train on a laptop: MLA, sigmoid router with groups, YaRN, one MTP layer.

Parameters carry the names of the published checkpoints, with two exceptions that `export` and `load` undo: the experts of
a layer are stacked into one tensor, and the MTP layer shares the embedding and the head with the main model.
"""
import json
import math
import os

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

LATENT_EPS = 1e-6  # norms of the q and kv latents, whatever rms_norm_eps says
BLOCK = 128        # side of an FP8 scaling block
E4M3_MAX = 448.0


def quantize(w):
    """FP8 codes and per-block scales of w [..., out, in]; w is about code * scale."""
    out, inp = w.shape[-2:]
    rows, cols = -(-out // BLOCK), -(-inp // BLOCK)
    padded = F.pad(w, (0, cols * BLOCK - inp, 0, rows * BLOCK - out))
    blocks = padded.unflatten(-1, (cols, BLOCK)).unflatten(-3, (rows, BLOCK))
    scale = blocks.abs().amax((-3, -1)).clamp(min=1e-12) / E4M3_MAX
    codes = padded / expand(scale, *padded.shape[-2:])
    return codes[..., :out, :inp].to(torch.float8_e4m3fn), scale


def expand(scale, out, inp):
    """One factor per weight from one per block."""
    return scale.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)[..., :out, :inp]


class RoundFP8(torch.autograd.Function):
    """What the stored FP8 weight will be; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, w):
        codes, scale = quantize(w)
        return codes.to(w.dtype) * expand(scale, *w.shape[-2:])

    @staticmethod
    def backward(ctx, grad):
        return grad


class RoundBF16(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        return w.bfloat16().to(w.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Rounding:
    """While `on`, every weight is used as it would read back from the checkpoint."""
    on = False


def fp8(w):
    return RoundFP8.apply(w) if Rounding.on else w


def bf16(w):
    return RoundBF16.apply(w) if Rounding.on else w


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * bf16(weight)


class Weight(nn.Module):
    """Holds one tensor, so that its name ends in `.weight`; linear layers are FP8 unless said otherwise."""

    def __init__(self, *shape, std=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(*shape) if std is None else torch.randn(*shape) * std)

    def forward(self, x):
        return F.linear(x, fp8(self.weight))


def yarn_frequencies(cfg, dtype):
    d, base, y = cfg["qk_rope_head_dim"], cfg["rope_theta"], cfg["rope_scaling"]
    freq = base ** (-torch.arange(0, d, 2, dtype=dtype) / d)

    def correction(beta):
        return d * math.log(y["original_max_position_embeddings"] / (2 * math.pi * beta)) / (2 * math.log(base))
    low = max(math.floor(correction(y["beta_fast"])), 0)
    high = min(math.ceil(correction(y["beta_slow"])), d - 1)
    ramp = ((torch.arange(d // 2, dtype=dtype) - low) / max(high - low, 0.001)).clamp(0, 1)
    return freq / y["factor"] * ramp + freq * (1 - ramp)


def rotate(x, cos, sin):
    """Rotary embedding of adjacent pairs; x is [..., T, d]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, cfg, std):
        super().__init__()
        self.cfg = cfg
        h, n, r, v = cfg["num_attention_heads"], cfg["qk_nope_head_dim"], cfg["qk_rope_head_dim"], cfg["v_head_dim"]
        d, q, c = cfg["hidden_size"], cfg["q_lora_rank"], cfg["kv_lora_rank"]
        self.q_a_proj, self.q_a_layernorm = Weight(q, d, std=std(d)), Weight(q)
        self.q_b_proj = Weight(h * (n + r), q, std=std(q))
        self.kv_a_proj_with_mqa, self.kv_a_layernorm = Weight(c + r, d, std=std(d)), Weight(c)
        self.kv_b_proj = Weight(h * (n + v), c, std=std(c))
        self.o_proj = Weight(d, h * v, std=std(h * v) / math.sqrt(2 * cfg["num_hidden_layers"]))
        y = cfg["rope_scaling"]
        m = 0.1 * y["mscale_all_dim"] * math.log(y["factor"]) + 1
        self.scale = (n + r) ** -0.5 * m * m

    def forward(self, x, rope):
        cfg, (batch, time, _) = self.cfg, x.shape
        h, n, r, v = cfg["num_attention_heads"], cfg["qk_nope_head_dim"], cfg["qk_rope_head_dim"], cfg["v_head_dim"]
        q = self.q_b_proj(rms_norm(self.q_a_proj(x), self.q_a_layernorm.weight, LATENT_EPS))
        q_nope, q_pe = q.view(batch, time, h, n + r).transpose(1, 2).split((n, r), -1)
        latent, k_pe = self.kv_a_proj_with_mqa(x).split((cfg["kv_lora_rank"], r), -1)
        kv = self.kv_b_proj(rms_norm(latent, self.kv_a_layernorm.weight, LATENT_EPS))
        k_nope, value = kv.view(batch, time, h, n + v).transpose(1, 2).split((n, v), -1)
        k_pe = rotate(k_pe, *rope).unsqueeze(1).expand(batch, h, time, r)
        query = torch.cat((q_nope, rotate(q_pe, *rope)), -1)
        key = torch.cat((k_nope, k_pe), -1)
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=self.scale)
        return self.o_proj(out.transpose(1, 2).reshape(batch, time, h * v))


class MLP(nn.Module):
    def __init__(self, cfg, width, std):
        super().__init__()
        d = cfg["hidden_size"]
        self.gate_proj, self.up_proj = Weight(width, d, std=std(d)), Weight(width, d, std=std(d))
        self.down_proj = Weight(d, width, std=std(width) / math.sqrt(2 * cfg["num_hidden_layers"]))

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    def __init__(self, cfg, std):
        super().__init__()
        e, w, d = cfg["n_routed_experts"], cfg["moe_intermediate_size"], cfg["hidden_size"]
        self.gate_proj, self.up_proj = Weight(e, w, d, std=std(d)), Weight(e, w, d, std=std(d))
        self.down_proj = Weight(e, d, w, std=std(w) / math.sqrt(2 * cfg["num_hidden_layers"]))

    def forward(self, x, chosen, weights):
        """x [N, d]; chosen, weights [N, k]. Rows are sorted by expert, so each expert runs once."""
        k = chosen.shape[1]
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=self.gate_proj.weight.shape[0])
        token = order // k
        gate, up, down = (fp8(p.weight) for p in (self.gate_proj, self.up_proj, self.down_proj))
        rows = []
        for expert, part in enumerate(x.index_select(0, token).split(counts.tolist())):
            rows.append((F.silu(part @ gate[expert].T) * (part @ up[expert].T)) @ down[expert].T)
        y = torch.cat(rows) * weights.flatten()[order].unsqueeze(1)
        return torch.zeros_like(x).index_add(0, token, y)


class Gate(Weight):
    def __init__(self, cfg, std):
        super().__init__(cfg["n_routed_experts"], cfg["hidden_size"], std=std)
        self.cfg = cfg
        self.register_buffer("e_score_correction_bias", torch.zeros(cfg["n_routed_experts"]))
        self.register_buffer("load", torch.zeros(cfg["n_routed_experts"]), persistent=False)

    def forward(self, x):
        cfg = self.cfg
        groups, kept, k = cfg["n_group"], cfg["topk_group"], cfg["num_experts_per_tok"]
        score = torch.sigmoid(F.linear(x, bf16(self.weight)))
        with torch.no_grad():  # the bias takes part in the selection only
            biased = (score + self.e_score_correction_bias).unflatten(1, (groups, -1))
            best = biased.topk(2, -1).values.sum(-1).topk(kept, -1).indices
            hidden = torch.ones_like(biased[..., 0], dtype=torch.bool).scatter(1, best, False)
            chosen = biased.masked_fill(hidden.unsqueeze(-1), -math.inf).flatten(1).topk(k, -1).indices
            if self.training:
                self.load += torch.bincount(chosen.flatten(), minlength=score.shape[1])
        weights = score.gather(1, chosen)
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20) * cfg["routed_scaling_factor"]
        return chosen, weights

    @torch.no_grad()
    def balance(self, gamma):
        """Auxiliary-loss-free balancing: overloaded experts become a little less likely to be selected."""
        self.e_score_correction_bias += gamma * torch.sign(self.load.mean() - self.load)
        self.load.zero_()


class MoE(nn.Module):
    def __init__(self, cfg, std):
        super().__init__()
        self.gate = Gate(cfg, 0.02)
        self.experts = Experts(cfg, std)
        self.shared_experts = MLP(cfg, cfg["n_shared_experts"] * cfg["moe_intermediate_size"], std)

    def forward(self, x):
        flat = x.flatten(0, 1)
        return self.experts(flat, *self.gate(flat)).view_as(x) + self.shared_experts(x)


class Layer(nn.Module):
    def __init__(self, cfg, index, std):
        super().__init__()
        self.eps = cfg["rms_norm_eps"]
        self.input_layernorm = Weight(cfg["hidden_size"])
        self.self_attn = Attention(cfg, std)
        self.post_attention_layernorm = Weight(cfg["hidden_size"])
        dense = index < cfg["first_k_dense_replace"]
        self.mlp = MLP(cfg, cfg["intermediate_size"], std) if dense else MoE(cfg, std)

    def forward(self, x, rope):
        x = x + self.self_attn(rms_norm(x, self.input_layernorm.weight, self.eps), rope)
        return x + self.mlp(rms_norm(x, self.post_attention_layernorm.weight, self.eps))


class MTPLayer(Layer):
    """Drafts token t+2 from the state at t and the embedding of token t+1 (the embedding is the first half)."""

    def __init__(self, cfg, index, std):
        super().__init__(cfg, index, std)
        d = cfg["hidden_size"]
        self.enorm, self.hnorm = Weight(d), Weight(d)
        self.eh_proj = Weight(d, 2 * d, std=std(2 * d))
        self.shared_head = nn.Module()
        self.shared_head.norm = Weight(d)

    def forward(self, state, embedding, rope):
        both = torch.cat((rms_norm(embedding, self.enorm.weight, self.eps), rms_norm(state, self.hnorm.weight, self.eps)), -1)
        x = super().forward(F.linear(both, bf16(self.eh_proj.weight)), rope)
        return rms_norm(x, self.shared_head.norm.weight, self.eps)


class Model(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        vocab, d, layers = cfg["vocab_size"], cfg["hidden_size"], cfg["num_hidden_layers"]

        def std(fan_in):
            return 0.7 * fan_in ** -0.5
        self.model = nn.Module()
        self.model.embed_tokens = Weight(vocab, d, std=0.1)
        self.model.layers = nn.ModuleList(
            (Layer if i < layers else MTPLayer)(cfg, i, std) for i in range(layers + cfg["num_nextn_predict_layers"]))
        self.model.norm = Weight(d)
        self.lm_head = Weight(vocab, d, std=0.02)

    def rope(self, time):
        dtype = self.lm_head.weight.dtype
        angle = torch.outer(torch.arange(time, dtype=dtype), yarn_frequencies(self.cfg, dtype))
        return angle.cos(), angle.sin()

    def embed(self, ids):
        return F.embedding(ids, bf16(self.model.embed_tokens.weight))

    def head(self, x):
        return F.linear(x, bf16(self.lm_head.weight))

    def forward(self, ids):
        """The state after model.norm, [B, T, d]; `head` turns it into logits."""
        x, rope = self.embed(ids), self.rope(ids.shape[1])
        for layer in self.model.layers[:self.cfg["num_hidden_layers"]]:
            x = layer(x, rope)
        return rms_norm(x, self.model.norm.weight, self.cfg["rms_norm_eps"])

    def draft(self, state, next_ids):
        """States of the MTP layer: state [B, T, d] of the main model, next_ids [B, T] the token after each position."""
        return self.model.layers[-1](state, self.embed(next_ids), self.rope(next_ids.shape[1]))

    def gates(self):
        return [m for m in self.modules() if isinstance(m, Gate)]


def is_fp8(name):
    return "_proj" in name and "eh_proj" not in name


def mtp_prefix(cfg):
    return f"model.layers.{cfg['num_hidden_layers']}."


def export(model, path):
    """Writes a checkpoint as DeepSeek-V3 is published: FP8 with 128x128 blocks, BF16 for the rest."""
    tensors = {}
    for name, value in model.state_dict().items():
        if ".experts." in name:
            prefix, suffix = name.split(".experts.")
            for i, one in enumerate(value):
                tensors[f"{prefix}.experts.{i}.{suffix}"] = one
        else:
            tensors[name] = value
    if model.cfg["num_nextn_predict_layers"]:
        tensors[mtp_prefix(model.cfg) + "embed_tokens.weight"] = model.model.embed_tokens.weight.detach().clone()
        tensors[mtp_prefix(model.cfg) + "shared_head.head.weight"] = model.lm_head.weight.detach().clone()
    stored = {}
    for name, value in tensors.items():
        if is_fp8(name):
            codes, scale = quantize(value.float())
            stored[name], stored[name + "_scale_inv"] = codes.contiguous(), scale.contiguous()
        else:
            stored[name] = value.float().contiguous() if name.endswith("bias") else value.bfloat16().contiguous()
    save_file(stored, path + ".tmp", metadata={"format": "pt"})
    os.chmod(path + ".tmp", 0o644)
    os.replace(path + ".tmp", path)


def load(folder, dtype=torch.float32):
    """A model from a published checkpoint (FP8 or BF16), dequantised to dtype."""
    with open(os.path.join(folder, "config.json")) as f:
        cfg = json.load(f)
    stored = load_file(os.path.join(folder, "model.safetensors"))
    weights = {}
    for name, value in stored.items():
        scale = stored.get(name + "_scale_inv")
        if not name.endswith("_scale_inv"):
            weights[name] = value.to(dtype) if scale is None else value.to(dtype) * expand(scale.to(dtype), *value.shape)
    model = Model(cfg).to(dtype)
    state = {}
    for name in model.state_dict():
        if ".experts." in name:
            prefix, suffix = name.split(".experts.")
            state[name] = torch.stack([weights[f"{prefix}.experts.{i}.{suffix}"] for i in range(cfg["n_routed_experts"])])
        else:
            state[name] = weights[name]
    model.load_state_dict(state)
    return model.eval()
