"""SmolVLM (Idefics3) in PyTorch, with the parameter names of Hugging Face's checkpoints."""

import math

import torch
from torch import nn
from torch.nn import functional

from recipe.connectors import ElasticConnector, QueccConnector
from recipe.render import CHARACTERS
from recipe.settings import Connector, Decoder, Settings

ROPE_BASE = 10000.0
RMS_EPSILON = 1e-5
LAYER_EPSILON = 1e-6
QUECC_HEADS = 8


class TowerAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self.add_module(name, nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tiles, patches, width = x.shape
        q, k, v = (part(x).view(tiles, patches, self.heads, -1).transpose(1, 2)
                   for part in (self.q_proj, self.k_proj, self.v_proj))
        attended = functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(attended.transpose(1, 2).reshape(tiles, patches, width))


class TowerMlp(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))


class TowerLayer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.self_attn, self.mlp = TowerAttention(width, heads), TowerMlp(width, inner)
        self.layer_norm1 = nn.LayerNorm(width, eps=LAYER_EPSILON)
        self.layer_norm2 = nn.LayerNorm(width, eps=LAYER_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Tower(nn.Module):
    def __init__(self, settings: Settings):
        super().__init__()
        width = settings.vision.width
        self.embeddings = nn.ModuleDict({
            "patch_embedding": nn.Conv2d(3, width, settings.patch, settings.patch),
            "position_embedding": nn.Embedding(settings.grid**2, width),
        })
        layers = [TowerLayer(width, settings.vision.heads, settings.vision.mlp) for _ in range(settings.vision.layers)]
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        self.post_layernorm = nn.LayerNorm(width, eps=LAYER_EPSILON)

    def forward(self, pixels: torch.Tensor) -> list:
        """pixels: [tiles, 3, side, side] in -1 to 1 -> hidden states: what the first layer gets, what each layer leaves,
        and at last the output."""
        x = self.embeddings["patch_embedding"](pixels).flatten(2).transpose(1, 2)
        states = [x + self.embeddings["position_embedding"].weight]
        for layer in self.encoder["layers"]:
            states.append(layer(states[-1]))
        return [*states, self.post_layernorm(states[-1])]


class DecoderAttention(nn.Module):
    def __init__(self, shape: Decoder):
        super().__init__()
        self.shape, head = shape, shape.width // shape.heads
        for name, heads in (("q_proj", shape.heads), ("k_proj", shape.kv_heads), ("v_proj", shape.kv_heads)):
            self.add_module(name, nn.Linear(shape.width, heads * head, bias=False))
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: torch.Tensor, rotation: tuple) -> torch.Tensor:
        rows, length, width = x.shape
        q, k, v = (part(x).view(rows, length, -1, width // self.shape.heads).transpose(1, 2)
                   for part in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, *rotation), rotate(k, *rotation)
        k, v = (part.repeat_interleave(self.shape.heads // self.shape.kv_heads, 1) for part in (k, v))
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(attended.transpose(1, 2).reshape(rows, length, width))


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat((-second, first), -1) * sine


class DecoderMlp(nn.Module):
    def __init__(self, shape: Decoder):
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.mlp, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.mlp, bias=False)
        self.down_proj = nn.Linear(shape.mlp, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    def __init__(self, shape: Decoder):
        super().__init__()
        self.self_attn, self.mlp = DecoderAttention(shape), DecoderMlp(shape)
        self.input_layernorm = nn.RMSNorm(shape.width, eps=RMS_EPSILON)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=RMS_EPSILON)

    def forward(self, x: torch.Tensor, rotation: tuple) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation)
        return x + self.mlp(self.post_attention_layernorm(x))


class TextModel(nn.Module):
    def __init__(self, vocabulary: int, shape: Decoder):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, shape.width)
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=RMS_EPSILON)
        head = shape.width // shape.heads
        inverse = ROPE_BASE ** (-torch.arange(0, head, 2).float() / head)
        self.register_buffer("inverse_frequency", inverse, persistent=False)

    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """x: [rows, length, width] embeddings; positions: [rows, length] -> hidden states after the final norm."""
        angles = positions[..., None].float() * self.inverse_frequency
        angles = torch.cat((angles, angles), -1)[:, None]
        rotation = (angles.cos().to(x.dtype), angles.sin().to(x.dtype))
        for layer in self.layers:
            x = layer(x, rotation)
        return self.norm(x)


def query_layers(settings: Settings) -> tuple:
    """Hidden states that QueCC asks from and is answered from: the last but one, and four spread over the upper half, as
    the paper has 22 and 12, 16, 22, 23 of 24."""
    layers = settings.vision.layers
    return layers - 1, sorted({layers // 2, layers * 2 // 3, layers - 1, layers})


class SmolVlm(nn.Module):
    def __init__(self, settings: Settings, decoder: str, connector: Connector):
        super().__init__()
        self.settings, self.connector_settings = settings, connector
        shape = settings.decoders[decoder]
        self.query_layer, self.key_layers = query_layers(settings)
        self.model = nn.ModuleDict({
            "vision_model": Tower(settings),
            "connector": self.make_connector(shape),
            "text_model": TextModel(settings.vocabulary, shape),
        })
        # Which characters have their middle in a patch: teaches the tower to read; not exported.
        self.characters = nn.Linear(settings.vision.width, len(CHARACTERS))
        self.initialize()

    def make_connector(self, shape: Decoder) -> nn.Module:
        settings, connector = self.settings, self.connector_settings
        if connector.type == "elastic":
            return ElasticConnector(settings.vision.width, shape.width, settings.scale_factor, connector.reduced_tokens)
        heads = next(heads for heads in range(QUECC_HEADS, 0, -1) if settings.vision.width % heads == 0)
        return QueccConnector(settings.vision.width, shape.width, self.scale_factor, heads, len(self.key_layers))

    @property
    def scale_factor(self) -> int:
        if self.connector_settings.type == "elastic":
            return self.settings.scale_factor
        return self.settings.grid // round(self.connector_settings.tokens**0.5)

    @property
    def most_tokens(self) -> int:
        """Of a tile: those whose positions a prompt leaves free."""
        return (self.settings.grid // self.scale_factor) ** 2

    @property
    def token_counts(self) -> list:
        """Tokens a tile that it is trained with."""
        return [*self.connector_settings.reduced_tokens, self.most_tokens]

    def initialize(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "embedd" in name or "embed_tokens" in name:
                nn.init.normal_(parameter, std=0.02 if parameter.dim() == 2 else 0.03)
            elif parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.6 / math.sqrt(parameter[0].numel()))
                if name.endswith(("out_proj.weight", "fc2.weight", "o_proj.weight", "down_proj.weight")):
                    parameter.data.mul_(0.25)
        nn.init.constant_(self.characters.bias, -5.0)

    @torch.no_grad()
    def embed_queries(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The last token's hidden state of each question: ids [rows, length], padded behind -> [rows, 1, hidden]. As in
        the paper no gradient flows this way."""
        text = self.model["text_model"]
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        hidden = text(text.embed_tokens(ids), positions)
        return hidden[torch.arange(len(ids), device=ids.device), lengths - 1][:, None]

    def look(self, states: list, tokens: int, questions: int, queries: torch.Tensor | None) -> torch.Tensor:
        """Visual tokens: states of [pictures * tiles, patches, width] -> [pictures * questions, tiles * tokens, hidden].
        queries: [pictures * questions, 1, hidden], for QueCC."""
        connector = self.model["connector"]
        pictures = len(queries) // questions
        tiles = len(states[0]) // pictures

        def for_each_question(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(0, (pictures, tiles)).repeat_interleave(questions, 0).flatten(0, 1)

        if self.connector_settings.type == "elastic":
            visual = for_each_question(connector(states[-1], tokens))
        else:
            x_multi = torch.cat([states[i] for i in self.key_layers], -1)
            visual = connector(for_each_question(states[self.query_layer]), for_each_question(x_multi),
                               queries.repeat_interleave(tiles, 0))
        return visual.reshape(pictures * questions, tiles * tokens, -1)

    def read(self, ids: torch.Tensor, positions: torch.Tensor, visual: torch.Tensor, image_token: int) -> torch.Tensor:
        """Hidden states of prompts in which visual tokens stand where ids have the image token, in their order."""
        text = self.model["text_model"]
        x = text.embed_tokens(ids).to(visual.dtype)
        x = x.masked_scatter((ids == image_token)[..., None], visual)
        return text(x, positions)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.linear(hidden, self.model["text_model"].embed_tokens.weight.to(hidden.dtype)).float()
