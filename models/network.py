"""The Qwen3 architecture in PyTorch, as small as cadet needs it. Part of the `train` extra; imports torch.

Reference: huggingface.co/Qwen/Qwen3-0.6B (config.json) and llama.cpp's qwen3 graph: RMS norm before attention and
feed-forward, normalised queries and keys per head, grouped keys and values, rotary positions (halves), SwiGLU, tied
embedding.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The dimensions of the network. All matrix widths are multiples of 256, so that every GGUF quantization fits."""

    vocabulary: int = 1536
    width: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_width: int = 64
    hidden: int = 768
    context: int = 1024
    rope_base: float = 10_000.0
    epsilon: float = 1e-6

    def as_dict(self) -> dict[str, int | float]:
        """Return the dimensions as plain values, for a checkpoint."""
        return asdict(self)


class Norm(nn.Module):  # type: ignore[misc,unused-ignore]
    """Root-mean-square normalisation with a gain."""

    def __init__(self, width: int, epsilon: float) -> None:
        """Start with a gain of one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Return x divided by its root mean square, times the gain."""
        # Written out: the fused CPU kernel does not take bfloat16 inputs with a float32 gain.
        wide = x.float()
        return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return x with rotary positions, the halves paired (NeoX order, as llama.cpp does for qwen3)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


STRIDE = 128
"""Positions that attend together: what lies beyond the last of them is not computed."""


def attend(q: Tensor, k: Tensor, v: Tensor, documents: Tensor) -> Tensor:
    """Return causal attention within documents, (batch, heads, time, head width), in the type of `v`.

    `documents` (batch, time) numbers the conversation that each position belongs to. Written out in strides and
    compiled, it takes about half the time of PyTorch's fused CPU kernel, forward and back (measured, bfloat16, 800
    positions).
    """
    time = q.shape[-2]
    places = torch.arange(time)
    mixed = []
    for start in range(0, time, STRIDE):
        end = min(start + STRIDE, time)
        scores = (q[..., start:end, :] @ k[..., :end, :].transpose(-1, -2)).float() * q.shape[-1] ** -0.5
        seen = (places[start:end, None] >= places[None, :end]) & (
            documents[:, start:end, None] == documents[:, None, :end]
        )
        shares = scores.masked_fill(~seen[:, None], -1e9).softmax(-1).to(v.dtype)
        mixed.append(shares @ v[..., :end, :])
    return torch.cat(mixed, dim=-2)


class Block(nn.Module):  # type: ignore[misc,unused-ignore]
    """One layer: attention and feed-forward, each behind a norm and added to its input."""

    def __init__(self, shape: Shape) -> None:
        """Build the matrices, without biases."""
        super().__init__()
        self.shape = shape
        queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
        self.attn_norm = Norm(shape.width, shape.epsilon)
        self.attn_q = nn.Linear(shape.width, queries, bias=False)
        self.attn_k = nn.Linear(shape.width, keys, bias=False)
        self.attn_v = nn.Linear(shape.width, keys, bias=False)
        self.attn_q_norm = Norm(shape.head_width, shape.epsilon)
        self.attn_k_norm = Norm(shape.head_width, shape.epsilon)
        self.attn_output = nn.Linear(queries, shape.width, bias=False)
        self.ffn_norm = Norm(shape.width, shape.epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, documents: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return the layer's output for x of shape (batch, time, width)."""
        batch, time, _ = x.shape
        y = self.attn_norm(x)
        q = self.attn_q(y).view(batch, time, self.shape.heads, self.shape.head_width).transpose(1, 2)
        k = self.attn_k(y).view(batch, time, self.shape.kv_heads, self.shape.head_width).transpose(1, 2)
        v = self.attn_v(y).view(batch, time, self.shape.kv_heads, self.shape.head_width).transpose(1, 2)
        q, k = rotate(self.attn_q_norm(q), cos, sin), rotate(self.attn_k_norm(k), cos, sin)
        groups = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        mixed = attend(q.to(v.dtype), k.to(v.dtype), v, documents)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, time, -1))
        y = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))


class Network(nn.Module):  # type: ignore[misc,unused-ignore]
    """The whole network: embedding, layers, last norm; the embedding also reads out the logits."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        """Build the network with normal weights of deviation 0.02, output matrices smaller by the depth."""
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.width, shape.epsilon)
        angles = torch.outer(
            torch.arange(shape.context).float(),
            shape.rope_base ** (-torch.arange(0, shape.head_width, 2).float() / shape.head_width),
        )
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = (2 * shape.layers) ** -0.5 if name.endswith(("attn_output.weight", "ffn_down.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def forward(self, tokens: Tensor, documents: Tensor) -> Tensor:
        """Return the last hidden states (batch, time, width) of token ids and the documents that they belong to."""
        x = self.token_embd(tokens)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for block in self.blk:
            x = block(x, documents, cos, sin)
        out: Tensor = self.output_norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of hidden states."""
        return functional.linear(hidden, self.token_embd.weight)
