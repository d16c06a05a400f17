"""What a low-rank head saves: against the full one, and against adapters of the same rank (LoRA, as
`peft` has it).
"""

import copy
import math
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.timing import Prepared, paired
from lowrank_dynamics.data import fashion_mnist, pixels
from lowrank_dynamics.models.low_rank import low_rank

Images = tuple[Tensor, Tensor]
"""Images (N, d) and their labels (N)."""
CLASSES = 10
WIDTHS = {784: 784, 1024: 512, 4096: 4608}
"""The widths of heads, with their inputs: figure 6, and figures 7 and 15 at laptop and at paper
scale.
"""
RANKS = (2 * CLASSES, 4 * CLASSES)
BATCHES = (128, 1_000)
STEPS = 3
LEARNING_RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
TIMED_RATE = 0.1
TIMES = (2.0, 10.0)
"""Seconds of training after which accuracies are compared."""


class Saving(NamedTuple):
    """One head, rank and batch: weights that are trained, and how long a step takes relative to the
    low-rank head's.
    """

    head: str
    batch: int
    full_weights: int
    low_rank_weights: int
    adapter_weights: int
    full_step: str
    adapter_step: str

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table says; SGD with momentum remembers one number for each weight that is
        trained, Adam two.
        """
        weights = (self.full_weights, self.low_rank_weights, self.adapter_weights)
        return (
            self.head,
            str(self.batch),
            *(f"{count / 1e6:.3g}" for count in weights),
            self.full_step,
            self.adapter_step,
        )


def head(width: int, inputs: int) -> nn.Sequential:
    """Return a head of three layers with GELU, the same at every call.

    Hidden weights are 0.1 times orthonormal columns or rows, the last ones uniform as PyTorch has
    them, biases zero.
    """
    layers = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, CLASSES)
    generator = torch.Generator().manual_seed(0)
    for layer in layers:
        nn.init.zeros_(layer.bias)
    for layer in layers[:-1]:
        nn.init.orthogonal_(layer.weight, 0.1, generator=generator)
    nn.init.uniform_(layers[-1].weight, -(width**-0.5), width**-0.5, generator=generator)
    return nn.Sequential(layers[0], nn.GELU(), layers[1], nn.GELU(), layers[2])


def adapted(model: nn.Sequential, rank: int) -> nn.Module:
    """Return the head with frozen hidden layers, an adapter of this rank on each, and a last layer
    that is trained.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that peft looks for
        from peft import LoraConfig, get_peft_model

        return get_peft_model(
            model, LoraConfig(r=rank, target_modules=["0", "2"], modules_to_save=["4"])
        )


def trained(model: nn.Module) -> int:
    """Return how many weights are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def savings() -> Iterator[Saving]:
    """Yield the savings for every width, rank and batch, each measured when it is asked for."""
    for width, inputs in WIDTHS.items():
        for rank in RANKS:
            for batch in BATCHES:
                yield _saving(width, inputs, rank, batch)


def _saving(width: int, inputs: int, rank: int, batch: int) -> Saving:
    images = torch.randn(batch, inputs, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(batch) % CLASSES
    full = head(width, inputs)
    small = low_rank(full, lambda: functional.cross_entropy(full(images), labels), rank)
    adapters = adapted(head(width, inputs), rank)
    steps = [_steps(model, images, labels, STEPS) for model in (full, small, adapters)]
    against_full, against_adapters = paired(steps[0], steps[1]), paired(steps[2], steps[1])
    name = f"{inputs} - {width} - {width} - {CLASSES}, r = {rank // CLASSES}K"
    return Saving(
        name,
        batch,
        trained(full),
        trained(small),
        trained(adapters),
        f"{against_full}",
        f"{against_adapters}",
    )


def _steps(
    model: nn.Module, images: Tensor, labels: Tensor, count: int, rate: float = TIMED_RATE
) -> Prepared:
    """Return so many steps of SGD with momentum."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate, momentum=0.9)

    def step() -> None:
        for _ in range(count):
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()

    return lambda: step


def accuracies() -> Iterator[tuple[str, ...]]:
    """Yield what each network reaches of the Fashion-MNIST sample in some seconds of training, on
    all images a step.

    Of the learning rates the one that counts is that with the lowest training loss then.
    """
    with TemporaryDirectory() as folder:
        fashion_mnist.prepare(1_000, 2_000, Path(folder, "images.safetensors"))
        data = pixels.load(Path(folder, "images.safetensors"), torch.float32)
    assert data.test is not None
    train = data.train.inputs.T.contiguous(), data.train.labels
    test = data.test.inputs.T.contiguous(), data.test.labels
    full = head(784, 784)
    networks: dict[str, nn.Module] = {"full": full}
    for rank in RANKS:
        networks[f"low-rank, r = {rank // CLASSES}K"] = low_rank(
            full, partial(_loss, full, *train), rank
        )
        networks[f"LoRA, r = {rank // CLASSES}K"] = adapted(head(784, 784), rank)
    for name, network in networks.items():
        runs = [
            list(_reached(copy.deepcopy(network), rate, train, test)) for rate in LEARNING_RATES
        ]
        yield name, *(min(at_one_time)[1] for at_one_time in zip(*runs, strict=True))


def _reached(
    network: nn.Module, rate: float, train: Images, test: Images
) -> Iterator[tuple[float, str]]:
    """Train for some seconds, and yield at each time the training loss and what is said of the test
    accuracy.
    """
    step = _steps(network, *train, 1, rate)()
    count, spent = 0, 0.0
    for seconds in TIMES:
        while spent < seconds:
            began = time.process_time()
            step()
            spent += time.process_time() - began
            count += 1
        with torch.no_grad():
            loss = float(_loss(network, *train))
            correct = (network(test[0]).argmax(dim=1) == test[1]).float().mean()
        yield (
            (loss if math.isfinite(loss) else math.inf),
            f"{100 * float(correct):.1f} % (eta {rate:g}, {count:,} steps)",
        )


def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(model(images), labels)
