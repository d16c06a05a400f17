"""What our training is compared with: a plain PyTorch loop, and JAX, on the same data and initial
weights.
"""

import os
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.timing import Prepared
from lowrank_dynamics.training.build import Setup


def plain_loop(setup: Setup) -> Prepared:
    """Return the loop as one would write it: one trial after another, with an SVD of every layer at
    every step.
    """
    training, data, full = setup.job.experiment.training, setup.data.train, setup.mlp

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


def jax_loop(setup: Setup) -> Prepared:
    """Return the same training by JAX: trials by vmap, all steps in one compiled loop, nothing
    observed.
    """
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    training, data = setup.job.experiment.training, setup.data.train
    weights = [jnp.asarray(weight.detach().numpy()) for weight in setup.mlp.weights]
    inputs, targets = (jnp.asarray(tensor.numpy()) for tensor in (data.inputs, data.targets))

    def loss(weights: list[Any], x: Any, y: Any) -> Any:
        *hidden, last = weights
        for weight in hidden:
            x = jax.nn.elu(weight @ x)
        return jnp.square(last @ x - y).sum() / 2

    def step(_: int, weights: list[Any], x: Any, y: Any) -> list[Any]:
        gradients = jax.grad(loss)(weights, x, y)
        return [
            weight - training.learning_rate * gradient
            for weight, gradient in zip(weights, gradients, strict=True)
        ]

    def train(weights: list[Any], x: Any, y: Any) -> list[Any]:
        return jax.lax.fori_loop(0, training.steps, partial(step, x=x, y=y), weights)

    compiled = jax.jit(jax.vmap(train))
    return lambda: lambda: jax.block_until_ready(compiled(weights, inputs, targets))


def bare_products(setup: Setup) -> Prepared:
    """Return the matrix products of a training, forward and backward, and nothing else.

    There is one gradient more than steps: that at the last iterate, which may be observed.
    """
    training, data = setup.job.experiment.training, setup.data.train
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
