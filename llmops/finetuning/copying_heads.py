"""Starting weights with which a small Llama can copy before it has learnt anything.

Copying from the prompt rests on induction heads (Olsson et al. 2022, arXiv:2209.11895): a head of one layer tells
each position which tokens stand just before it, and a head of the next finds where the last tokens stood before and
hands on what followed. From random weights they take more training to form than the tiny base gets in all, so it
starts with them and training does the rest.
"""

from typing import Any

# How strongly what a head writes weighs against the embeddings, and how sharply a query singles out its key.
WRITE_PREVIOUS = 2.5
WRITE_COPY = 12.0
MATCH = 3.5
OFFSET_BIAS = 6.0
BLOCK_SHARE = 0.2
EMBEDDING_SCALE = 1.0


def set_copying_heads(model: Any) -> None:
    """Overwrite two heads of the first and of the last layer of a Llama with attention biases, so that they copy.

    The model needs at least two layers and four heads. Which subspaces the heads use is drawn from torch's
    random state.
    """
    import torch

    config = model.config
    width, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    pairs = size // 2
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings *= EMBEDDING_SCALE / config.initializer_range
        model.get_output_embeddings().weight.copy_(embeddings * (config.initializer_range / EMBEDDING_SCALE))
        scale = EMBEDDING_SCALE
        for layer in model.model.layers:
            # What a block adds must not drown the embeddings that the heads read.
            layer.self_attn.o_proj.weight *= BLOCK_SHARE
            layer.mlp.down_proj.weight *= BLOCK_SHARE
        token, other, one_back, two_back = torch.linalg.qr(torch.randn(width, width))[0].split(size)[:4]
        first, second = (model.model.layers[index].self_attn for index in (0, -1))
        # Slow rotary pairs hardly turn over a message's length: there query and key meet by content alone.
        half, slow = pairs // 2, torch.arange(pairs // 2, pairs)
        slow = torch.cat([slow, slow + pairs])
        for head, (offset, write, copied) in enumerate([(1, one_back, token), (2, two_back, other)]):
            rows = slice(head * size, (head + 1) * size)
            _look_back(first, head * size, offset, pairs, config.rope_parameters["rope_theta"])
            first.v_proj.weight[rows] = token
            first.o_proj.weight[:, rows] = WRITE_PREVIOUS * scale * write.T
            # The query's own token against the key's last one, and the query's last against the key's last but one.
            seen = slice(head * half, (head + 1) * half)
            second.q_proj.weight[head * size + slow] = MATCH * torch.cat([token[seen], one_back[seen]])
            second.k_proj.weight[head * size + slow] = MATCH * torch.cat([one_back[seen], two_back[seen]])
            second.v_proj.weight[rows] = copied
            second.o_proj.weight[:, rows] = WRITE_COPY * scale * copied.T


def _look_back(attention: Any, start: int, offset: int, pairs: int, theta: float) -> None:
    """Make the head whose rows begin at `start` look `offset` tokens back, whatever stands there.

    Rotary embedding turns pair f of queries and keys by position x theta**(-f / pairs). Constant biases, the
    query's turned ahead by `offset` positions, score highest at that distance; the fast pairs tell neighbours apart.
    """
    import torch

    size, fast = 2 * pairs, min(4, pairs)
    angle = offset * theta ** (-torch.arange(fast) / pairs)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[start : start + size] *= 0.1
    attention.k_proj.bias[start : start + fast] = OFFSET_BIAS
    attention.q_proj.bias[start : start + fast] = OFFSET_BIAS * torch.cos(angle)
    attention.q_proj.bias[start + pairs : start + pairs + fast] = -OFFSET_BIAS * torch.sin(angle)
