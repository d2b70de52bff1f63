"""A trained run as a model's folder, which Eyeshot loads, and transformers too where the connector is elastic."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from recipe import prompts
from recipe.model import LAYER_EPSILON, RMS_EPSILON, ROPE_BASE, SmolVlm
from recipe.settings import Connector, Settings

TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
    "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% elif line['type'] == 'video' %}{{ '<video>' }}"
    "{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")


def connector_keys(model: SmolVlm) -> dict:
    """Keys of our own (docs/formats.md)."""
    connector = model.connector_settings
    if connector.type == "elastic":
        return {"connector_type": "elastic", "connector_config": {"reduced_tokens": list(connector.reduced_tokens)}}
    heads = model.model["connector"].clip_attn.heads
    return {"connector_type": "quecc", "connector_config": {
        "num_attention_heads": heads, "query_layer": model.query_layer, "key_layers": model.key_layers,
        "layer_norm_eps": 1e-6, "hidden_act": "gelu"}}


def model_config(model: SmolVlm, decoder: str, ids: dict) -> dict:
    settings, shape = model.settings, model.settings.decoders[decoder]
    special = {"bos_token_id": ids[prompts.START], "eos_token_id": ids[prompts.END], "pad_token_id": ids[prompts.PAD]}
    return {
        "architectures": ["SmolVLMForConditionalGeneration"], "model_type": "smolvlm", "dtype": "bfloat16",
        "scale_factor": model.scale_factor, "image_token_id": ids[prompts.IMAGE], "tie_word_embeddings": True,
        **connector_keys(model), **special,
        "vision_config": {
            "model_type": "smolvlm_vision", "hidden_size": settings.vision.width, "image_size": settings.tile,
            "intermediate_size": settings.vision.mlp, "num_hidden_layers": settings.vision.layers,
            "num_attention_heads": settings.vision.heads, "patch_size": settings.patch,
            "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": LAYER_EPSILON},
        "text_config": {
            "model_type": "llama", "vocab_size": settings.vocabulary, "hidden_size": shape.width,
            "intermediate_size": shape.mlp, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads, "head_dim": shape.width // shape.heads,
            "rms_norm_eps": RMS_EPSILON, "rope_theta": ROPE_BASE, "max_position_embeddings": settings.positions,
            "hidden_act": "silu", "tie_word_embeddings": True, **special},
    }


def image_config(settings: Settings) -> dict:
    """Pictures are cut into as many tiles a side as the recipe has layouts for."""
    most = max(int(side) for layout in settings.layouts for side in layout.split("x"))
    half = [0.5, 0.5, 0.5]
    return {
        "do_convert_rgb": True, "do_resize": True, "size": {"longest_edge": most * settings.tile}, "resample": 1,
        "do_image_splitting": most > 1, "max_image_size": {"longest_edge": settings.tile}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": half, "image_std": half, "do_pad": True,
        "image_processor_type": "SmolVLMImageProcessor", "processor_class": "SmolVLMProcessor"}


def tokenizer_config(settings: Settings) -> dict:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": prompts.START, "eos_token": prompts.END,
        "pad_token": prompts.PAD, "unk_token": prompts.UNKNOWN, "model_max_length": settings.positions,
        "clean_up_tokenization_spaces": False, "padding_side": "left"}


def export(settings: Settings, decoder: str, connector: Connector, run: Path, tokenizer: Path, out: Path) -> None:
    """Writes the weights in bfloat16 and the files beside them."""
    model = SmolVlm(settings, decoder, connector)
    model.load_state_dict(torch.load(run / "checkpoint.pt", map_location="cpu")["model"])
    out.mkdir(parents=True, exist_ok=True)
    state = {name: value.to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()
             if name.startswith("model.")}
    save_file(state, out / "model.safetensors", {"format": "pt"})
    tokenizer_text = tokenizer.read_text(encoding="utf-8")
    ids = {token["content"]: token["id"] for token in json.loads(tokenizer_text)["added_tokens"]}
    files = {
        "config.json": model_config(model, decoder, ids),
        "generation_config.json": {"bos_token_id": ids[prompts.START], "eos_token_id": ids[prompts.END],
                                   "pad_token_id": ids[prompts.PAD], "do_sample": False, "max_new_tokens": 256},
        "preprocessor_config.json": image_config(settings),
        "processor_config.json": {"image_seq_len": model.most_tokens, "processor_class": "SmolVLMProcessor"},
        "tokenizer_config.json": tokenizer_config(settings),
    }
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (out / "tokenizer.json").write_text(tokenizer_text, encoding="utf-8")
    (out / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
