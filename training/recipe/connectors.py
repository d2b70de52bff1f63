"""From the tower's patches to visual tokens: pixel shuffle with an elastic head, and QueCC."""

import torch
from torch import nn
from torch.nn import functional

NORM_EPSILON = 1e-6


class ElasticConnector(nn.Module):
    """SmolVLM's connector, trained with means of even areas of its tokens as well, to which a row is added that says how
    many they are (after Matryoshka multimodal models, arXiv 2405.17430). With all tokens it is SmolVLM's."""

    def __init__(self, width: int, hidden: int, scale: int, reduced_tokens: tuple):
        super().__init__()
        self.scale, self.reduced_tokens = scale, tuple(reduced_tokens)
        self.modality_projection = nn.ModuleDict({"proj": nn.Linear(width * scale**2, hidden, bias=False)})
        self.scale_embedding = nn.Embedding(len(self.reduced_tokens), hidden)

    def forward(self, x: torch.Tensor, tokens: int) -> torch.Tensor:
        """x: [tiles, patches, width], the tower's output -> [tiles, tokens, hidden]."""
        tiles, patches, width = x.shape
        side = round(patches**0.5)
        x = x.view(tiles, side // self.scale, self.scale, side // self.scale, self.scale, width)
        x = x.transpose(2, 3).reshape(tiles, (side // self.scale) ** 2, width * self.scale**2)
        x = self.modality_projection["proj"](x)
        if tokens == x.shape[1]:
            return x
        image = x.transpose(1, 2).unflatten(2, (side // self.scale, side // self.scale))
        pooled = functional.adaptive_avg_pool2d(image, round(tokens**0.5)).flatten(2).transpose(1, 2)
        return pooled + self.scale_embedding.weight[self.reduced_tokens.index(tokens)]


class Mixer(nn.Module):
    """Linear, GELU, Linear, layer norm; the numbers of the parts are their names."""

    def __init__(self, inputs: int, width: int, activation: nn.Module):
        super().__init__()
        self.add_module("0", nn.Linear(inputs, width))
        self.add_module("1", activation)
        self.add_module("2", nn.Linear(width, width))
        self.add_module("3", nn.LayerNorm(width, eps=NORM_EPSILON))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.children():
            x = part(x)
        return x


class RegionAttention(nn.Module):
    """One query for each region, over the region's keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            self.add_module(name, nn.Linear(width, width))

    def forward(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """query: [regions, width]; keys, values: [regions, patches, width] -> [regions, width]."""
        regions, width = query.shape
        q = self.q_proj(query).view(regions, self.heads, 1, -1)
        k = self.k_proj(keys).view(regions, -1, self.heads, width // self.heads).transpose(1, 2)
        v = self.v_proj(values).view(regions, -1, self.heads, width // self.heads).transpose(1, 2)
        return self.out_proj(functional.scaled_dot_product_attention(q, k, v).reshape(regions, width))


class QueccConnector(nn.Module):
    """Query-conditioned convolutional cross-attention: "Inference Optimal VLMs Need Only One Visual Token but Larger
    Models", arXiv 2411.03312, section 4 and figure 3. scale: patches along a side of a region, which becomes one token.
    `activation` is the paper's GELU, or "tanh" for that approximation."""

    def __init__(self, width: int, hidden: int, scale: int, heads: int, key_layers: int, activation: str = "none"):
        super().__init__()
        gelu = nn.GELU(approximate=activation)
        self.scale = scale
        self.text_projection = nn.Sequential(nn.Linear(hidden, width), nn.LayerNorm(width, eps=NORM_EPSILON))
        self.q_proj = Mixer(width, width, gelu)
        self.k_proj = Mixer(width * key_layers, width, gelu)
        self.v_proj = Mixer(width * key_layers, width, gelu)
        self.q_downsample = nn.Conv2d(width, width, scale, scale, groups=width)
        self.clip_attn = RegionAttention(width, heads)
        self.projector = nn.Sequential(nn.Linear(width, hidden), gelu, nn.Linear(hidden, hidden))

    def by_region(self, x: torch.Tensor) -> torch.Tensor:
        """[tiles, patches, width] -> [tiles * regions, scale^2, width], regions row by row."""
        tiles, patches, width = x.shape
        side = round(patches**0.5) // self.scale
        cut = x.view(tiles, side, self.scale, side, self.scale, width)
        return cut.transpose(2, 3).reshape(tiles * side * side, self.scale**2, width)

    def compress(self, x: torch.Tensor, x_multi: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """x: [tiles, patches, width]; x_multi: [tiles, patches, layers * width]; text: [1 or tiles, 1, hidden] ->
        [tiles * regions, width]."""
        tiles, patches, width = x.shape
        side = round(patches**0.5)
        asked = self.q_proj(x + self.text_projection(text))
        query = self.q_downsample(asked.transpose(1, 2).reshape(tiles, width, side, side))
        query = query.flatten(2).transpose(1, 2).reshape(-1, width)
        return self.clip_attn(query, self.by_region(self.k_proj(x_multi)), self.by_region(self.v_proj(x_multi)))

    def forward(self, x: torch.Tensor, x_multi: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """-> [tiles, regions, hidden]."""
        return self.projector(self.compress(x, x_multi, text)).view(len(x), -1, self.projector[2].out_features)
