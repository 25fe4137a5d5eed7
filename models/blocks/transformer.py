"""Self-attention over all pixels of a map: Dosovitskiy et al., arXiv 2010.11929, without its LayerNorms."""

from __future__ import annotations

from torch import Tensor, nn

from models.blocks.conv import Conv
from models.registry import conv_rule, register


class TransformerLayer(nn.Module):
    """Attention and a two-layer perceptron, each with a shortcut. Input and output `(pixels, N, c)`.

    It takes sequences, not maps, and so is no row of a model YAML: `TransformerBlock` is.
    """

    def __init__(self, c: int, num_heads: int) -> None:
        super().__init__()
        self.q = nn.Linear(c, c, bias=False)
        self.k = nn.Linear(c, c, bias=False)
        self.v = nn.Linear(c, c, bias=False)
        self.ma = nn.MultiheadAttention(embed_dim=c, num_heads=num_heads)
        self.fc1 = nn.Linear(c, c, bias=False)
        self.fc2 = nn.Linear(c, c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # Without the attention weights torch takes its memory-saving attention kernel.
        x = self.ma(self.q(x), self.k(x), self.v(x), need_weights=False)[0] + x
        return self.fc2(self.fc1(x)) + x


@register(rule=conv_rule)
class TransformerBlock(nn.Module):
    """`num_layers` TransformerLayers over the map `(N, c1, H, W)`; a learned linear map gives the position."""

    def __init__(self, c1: int, c2: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.conv = Conv(c1, c2) if c1 != c2 else None
        self.linear = nn.Linear(c2, c2)
        self.tr = nn.Sequential(*(TransformerLayer(c2, num_heads) for _ in range(num_layers)))

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is not None:
            x = self.conv(x)
        pixels = x.flatten(2).permute(2, 0, 1)  # (H W, N, c2)
        return self.tr(pixels + self.linear(pixels)).permute(1, 2, 0).reshape(x.shape)
