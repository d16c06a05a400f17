"""What our training is compared with: a plain PyTorch loop with the same data and initial weights,
and the matrix products alone.
"""

import torch
from torch import nn

from benchmarks.timing import Prepared
from lowrank_dynamics.training.build import Setup


def plain_loop(setup: Setup) -> Prepared:
    """Return the loop as one would write it: one trial after another, with an SVD of every layer at
    every step.
    """
    training, data, full = setup.job.cell_settings.training, setup.data.train, setup.mlp

    def one(trial: int) -> list[float]:
        modules: list[nn.Module] = []
        for weight in full.weights:
            layer = nn.Linear(weight.shape[2], weight.shape[1], bias=False, dtype=weight.dtype)
            layer.weight.data.copy_(weight[trial])
            modules += [layer, nn.ELU()]
        model = nn.Sequential(*modules[:-1])
        optimizer = torch.optim.SGD(model.parameters(), lr=training.learning_rate)
        inputs, targets = data.inputs[trial].mT.contiguous(), data.targets[trial].mT.contiguous()
        losses, spectra = [], []
        for _ in range(training.steps):
            loss = (model(inputs) - targets).square().sum() / 2
            losses.append(loss.item())
            with torch.no_grad():
                spectra.append([torch.linalg.svd(layer.weight) for layer in modules[:-1:2]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return losses

    def all_trials() -> list[list[float]]:
        return [one(trial) for trial in range(full.trials)]

    return lambda: all_trials


def bare_products(setup: Setup) -> Prepared:
    """Return the matrix products of a training, forward and backward, and nothing else.

    There is one gradient more than steps: that at the last iterate, which may be observed.
    """
    training, data = setup.job.cell_settings.training, setup.data.train
    weights = [weight.detach() for weight in setup.mlp.weights]
    inputs = data.inputs.expand(len(weights[0]), *data.inputs.shape[-2:])
    features = [
        inputs,
        *(
            weight @ inputs.new_ones(len(weight), weight.shape[2], inputs.shape[-1])
            for weight in weights
        ),
    ]

    @torch.no_grad()
    def products() -> None:
        for _ in range(training.steps + 1):
            for layer, weight in enumerate(weights):
                weight @ features[layer]  # forward
                features[layer + 1] @ features[layer].mT  # the gradient of the weight
                if layer:
                    weight.mT @ features[layer + 1]  # that of the features

    return lambda: products
