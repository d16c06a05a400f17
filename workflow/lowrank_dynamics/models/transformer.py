"""One transformer block whose MLP is observed: a network that the theory does not cover."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowrank_dynamics.models.networks import MLP

SMALLEST_VARIANCE = 1e-5
"""What is added to the variance of a token's features before they are divided by its root."""


class TransformerBlock(MLP):
    """W_3 mean_tokens(H + W_2 phi(W_1 norm(H))), with H = E + W_O attention(norm(E)) the residual
    stream and E the embedded rows of an image, each with its place.

    `weights` holds W_1: (trials, 4w, w), W_2: (trials, w, 4w) and W_3: (trials, K, w); `around` the
    embedding: (trials, w, pixels of a row + tokens), and W_Q, W_K, W_V and W_O of one attention
    head: (trials, w, w). All are trained, and there are no biases.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        around: Sequence[Tensor],
        activation: nn.Module,
        tokens: int,
    ) -> None:
        super().__init__(weights, activation)
        embedding, query, key, value, output = around
        self.embedding = nn.Parameter(embedding.clone())
        self.query = nn.Parameter(query.clone())
        self.key = nn.Parameter(key.clone())
        self.value = nn.Parameter(value.clone())
        self.output = nn.Parameter(output.clone())
        self.tokens = tokens

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images (pixels, N) or (trials, pixels, N), row by row, to outputs (trials, K, N)."""
        first, second, last = self.weights
        embedded = self.embedding @ self._with_places(inputs)
        stream = embedded + self._attention(normalized(embedded))
        activations = self.activation(first @ normalized(stream))
        stream = stream + second @ activations
        mean = self._by_token(stream).mean(dim=-1)
        return last @ mean

    def _with_places(self, inputs: Tensor) -> Tensor:
        """Return the rows of images (..., pixels, N), each above a unit vector of its place: (...,
        pixels of a row + tokens, N tokens).
        """
        *stack, pixels, images = inputs.shape
        rows = inputs.mT.reshape(*stack, images * self.tokens, pixels // self.tokens)
        unit = torch.eye(self.tokens, dtype=inputs.dtype, device=inputs.device)
        places = unit.repeat(1, images).expand(*stack, self.tokens, images * self.tokens)
        return torch.cat([rows.mT, places], dim=-2)

    def _attention(self, features: Tensor) -> Tensor:
        """Return the output of the attention head on features (trials, w, N tokens)."""
        query = self._by_image(self.query @ features)
        key = self._by_image(self.key @ features)
        value = self._by_image(self.value @ features)
        scores = query.mT @ key / query.shape[-2] ** 0.5
        mixed = value @ scores.softmax(dim=-1).mT
        return self.output @ mixed.movedim(1, -2).flatten(-2)

    def _by_token(self, features: Tensor) -> Tensor:
        """Return features (trials, w, N tokens) as (trials, w, N, tokens)."""
        return features.unflatten(-1, (-1, self.tokens))

    def _by_image(self, features: Tensor) -> Tensor:
        """Return features (trials, w, N tokens) as (trials, N, w, tokens)."""
        return self._by_token(features).movedim(-2, 1)


def normalized(features: Tensor) -> Tensor:
    """Return features (trials, w, n) with mean 0 and variance 1 over the w of each token."""
    centered = features - features.mean(dim=-2, keepdim=True)
    variance = centered.square().mean(dim=-2, keepdim=True)
    return centered * (variance + SMALLEST_VARIANCE).rsqrt()
