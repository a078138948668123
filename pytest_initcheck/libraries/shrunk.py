"""A configuration made small: few layers, narrow, a small vocabulary and image, every ratio legal.

All widths are divided by one factor, so that what had to be equal stays equal; every head is of one
small size, so that heads divide widths.  The standard deviation of the weights grows with the root of
that factor: each layer keeps its gain, and with it what a check sees.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

WIDTH = 128
HEADS = 4
HEAD_SIZE = WIDTH // HEADS
LAYERS = 4
VOCABULARY = 512
PATCHES = 4
"""Patches along a side of an image."""
IMAGE = 64
FRAMES = 4
POSITIONS = 32
"""Positions of an encoder of sound, which is fed its full length."""

_MAIN_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "emb_dim")
_WIDTHS = {
    *_MAIN_WIDTHS,
    *("embedding_size", "embedding_dim", "d_embed", "hidden_dim", "word_embed_proj_dim"),
    *("intermediate_size", "ffn_dim", "d_ff", "n_inner", "inner_dim", "d_inner", "mlp_dim", "dim_ff"),
    *("encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size", "feed_forward_size"),
    *("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "ffn_hidden_size"),
    *("shared_intermediate_size", "encoder_hidden_size", "decoder_hidden_size", "text_hidden_size"),
    *("decoder_intermediate_size", "cross_attention_hidden_size", "output_hidden_size"),
    *("out_hidden_size", "projection_dim", "pooler_output_size", "classifier_proj_size", "lru_width"),
    *("q_lora_rank", "kv_lora_rank", "conv_dim", "hidden_size_per_layer_input", "latent_dim"),
    *("projector_hidden_size", "decoder_embed_dim", "qformer_hidden_size", "projection_size"),
}
_HEADS = {
    *("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"),
    *("encoder_attention_heads", "decoder_attention_heads", "decoder_num_attention_heads"),
    *("num_encoder_attention_heads", "num_decoder_attention_heads"),
}
_SHARED_HEADS = {"num_key_value_heads", "num_kv_heads", "n_head_kv", "num_key_value_groups"}
_HEAD_SIZES = {
    *("head_dim", "d_kv", "dim_head", "d_head", "attention_head_size", "v_head_dim", "kv_channels"),
    *(
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "query_pre_attn_scalar",
        "attention_head_dim",
        "global_head_dim",
    ),
}
_FIXED: Mapping[str, int] = {
    "rotary_dim": HEAD_SIZE // 2,
    "qk_head_dim": 2 * HEAD_SIZE,
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace", "n_shared_experts"), 1),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "num_experts_per_token"), 2),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    "max_source_positions": POSITIONS,
    "num_frames": FRAMES,
    "max_length": 2 * POSITIONS,
}
"""Numbers that are at most this, whatever the rest is."""
_DEPTHS = {
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers"),
    *("num_encoder_layers", "num_decoder_layers", "depth", "decoder_num_hidden_layers"),
}
_VOCABULARIES = {"vocab_size", "n_vocab", "text_vocab_size", "decoder_vocab_size"}
_STANDARD_DEVIATIONS = {"initializer_range", "init_std"}
_RECOMPUTED = {"out_indices", "out_features", "stage_names", "_out_indices", "_out_features"}
"""What a configuration derives from the rest, and refuses where it does not fit."""
_STAGED = (
    "depths",
    "hidden_sizes",
    "num_attention_heads",
    "num_heads",
    "embed_dim",
    "encoder_hidden_dims",
)
"""Lists under these names tell an architecture with stages: it keeps its widths and loses depth."""
_OWN_WAYS: Mapping[str, Mapping[str, Any]] = {
    "reformer": {"axial_pos_shape": (4, 4), "axial_pos_embds_dim": (32, 96)},
    "funnel": {"block_sizes": [1, 1, 1], "block_repeats": None},
    "mamba": {"time_step_rank": WIDTH // 16},
    "falcon_mamba": {"time_step_rank": WIDTH // 16},
    "mamba2": {"num_heads": 8, "head_dim": HEAD_SIZE, "n_groups": 1, "chunk_size": 16},
}
"""Numbers that hang together in a way of one architecture's own."""


def shrunk(config: Any) -> Any:
    """Return a small configuration of the same class."""
    values = config.to_dict()
    parts = list(_parts(values))
    widths = [width for part in parts if not _staged(part) and (width := _main_width(part))]
    factor = max(1.0, max(widths, default=WIDTH) / WIDTH)
    renumbered = _renumbered(parts)
    return type(config).from_dict(_small(values, factor, renumbered))


def _parts(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield values
    for value in values.values():
        if _is_part(value):
            yield from _parts(value)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "model_type" in value


def _main_width(part: Mapping[str, Any]) -> int:
    found = next((part[key] for key in _MAIN_WIDTHS if isinstance(part.get(key), int)), 0)
    return int(found)


def _staged(part: Mapping[str, Any]) -> bool:
    return any(isinstance(part.get(key), (list, tuple)) for key in _STAGED)


def narrowed(width: int, factor: float) -> int:
    """Return a width divided by the factor, a multiple of 16; small ones stay as they are.

    >>> narrowed(3072, 6.0), narrowed(1, 6.0)
    (512, 1)
    """
    return min(width, max(16, 16 * round(width / factor / 16)))


def _renumbered(parts: list[Mapping[str, Any]]) -> dict[int, int]:
    """Return new numbers, from the top down, for special ids that the small vocabulary has not."""
    found = {i for part in parts for key, value in part.items() for i in special_ids(key, value)}
    return {old: VOCABULARY - 1 - k for k, old in enumerate(sorted(i for i in found if i >= VOCABULARY))}


def special_ids(key: str, value: Any) -> list[int]:
    """Return the token ids that an entry of a configuration names.

    >>> special_ids("eos_token_id", [1, 2]), special_ids("hidden_size", 64)
    ([1, 2], [])
    """
    if not key.endswith(("token_id", "token_index", "token_ids", "token_idx")):
        return []
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in values if isinstance(each, int)]


def _small(part: Mapping[str, Any], factor: float, renumbered: Mapping[int, int]) -> dict[str, Any]:
    depth = next((part[key] for key in _DEPTHS if isinstance(part.get(key), int)), 0)
    one = 1.0 if _staged(part) else factor
    made: dict[str, Any] = {}
    for key, value in part.items():
        if _is_part(value):
            made[key] = _small(value, factor, renumbered)
        elif key not in _RECOMPUTED:
            made[key] = _entry(key, value, part, one, depth)
        if special_ids(key, value):
            made[key] = _each(value, lambda i: renumbered.get(i, i))
    width = _main_width(part)
    for key in _STANDARD_DEVIATIONS & set(part):
        if isinstance(part[key], float) and width:
            made[key] = part[key] * math.sqrt(width / narrowed(width, one))
    made.update(_OWN_WAYS.get(str(part.get("model_type")), {}))
    return made


def _each(value: Any, change: Callable[[int], int]) -> Any:
    """Apply a change to a number, or to each of a list; what is none stays."""
    if isinstance(value, (list, tuple)):
        return type(value)(_each(item, change) for item in value)
    return change(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _entry(key: str, value: Any, part: Mapping[str, Any], factor: float, depth: int) -> Any:
    staged = _staged(part)
    if key in _WIDTHS:
        return _each(value, lambda width: narrowed(width, factor))
    if isinstance(value, dict) and "mrope_section" in value:
        return {**value, "mrope_section": _sections(value["mrope_section"], part)}
    if key in _VOCABULARIES:
        return _each(value, lambda size: min(size, VOCABULARY))
    if key == "image_size" and "window_size" not in part:  # windows have to fit into it
        return _each(value, lambda side: _side(side, part))
    if key == "depths":
        return _each(value, lambda layers: min(layers, 2))
    if key in _FIXED:
        return _each(value, lambda number: min(number, _FIXED[key]))
    if key in _DEPTHS:
        return _each(value, lambda layers: min(layers, LAYERS))
    if isinstance(value, (list, tuple)) and depth > LAYERS and len(value) == depth:
        return value[:LAYERS]
    if staged:
        return value
    if key in _HEADS:
        return _each(value, lambda heads: min(heads, HEADS))
    if key in _SHARED_HEADS:
        return _each(value, lambda heads: _shared_heads(heads, part))
    if key in _HEAD_SIZES:
        return _each(value, lambda size: min(size, HEAD_SIZE))
    return value


def _sections(sections: list[int], part: Mapping[str, Any]) -> list[int]:
    """Scale the shares that time, height and width have in a head."""
    heads = next((part[key] for key in _HEADS if isinstance(part.get(key), int)), 1)
    size = part.get("head_dim") or _main_width(part) // heads
    return [section * HEAD_SIZE // size for section in sections]


def _shared_heads(heads: int, part: Mapping[str, Any]) -> int:
    """All heads, one, or half of them: as before."""
    queries = next((part[key] for key in _HEADS if isinstance(part.get(key), int)), heads)
    few = min(queries, HEADS)
    return few if heads == queries else min(heads, max(1, few // 2))


def _side(side: int, part: Mapping[str, Any]) -> int:
    patch = part.get("patch_size")
    patch = patch if isinstance(patch, int) else 1
    wanted = max(IMAGE, PATCHES * patch)
    return min(side, patch * math.ceil(wanted / patch))
