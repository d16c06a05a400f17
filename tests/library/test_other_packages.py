"""The examples of docs/library.md with transformers and Lightning, run as they stand there; and
classifiers of packages of image models.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import ROOT, refused
from lowrank_dynamics.models.low_rank import low_rank

pytestmark = pytest.mark.slow

WATCHED = """
shares = watch.metrics().frame("block_share", layer=1)
assert sorted(set(shares["step"])) == [1, 2], "of three steps; at 0 nothing has changed"
"""
LOADED = {
    "transformers": """
small.eval(), loaded.eval()
assert torch.equal(loaded(tokens).logits, small(tokens).logits)
assert loaded(tokens).logits.isfinite().all()
""",
    "lightning": """
inputs, _ = batch
assert torch.equal(loaded.head(inputs), small.head(inputs))
assert loaded.head(inputs).isfinite().all()
""",
}


@pytest.mark.parametrize("package", LOADED)
def test_a_trained_low_rank_head_is_loaded_and_its_trainer_is_watched(
    package: str, tmp_path: Path
) -> None:
    """In a process of its own, because these packages ask torch which accelerator there is."""
    pytest.importorskip(package, reason=f"{package} is not installed: `make test-all` does")
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    examples = []
    for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        if f"import {package}" in text or f"from {package} " in text:
            examples.append(text)
    (example,) = examples
    script = tmp_path / "example.py"
    script.write_text(example + LOADED[package] + WATCHED, encoding="utf-8")
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(script)]
    run = subprocess.run(
        command, cwd=tmp_path, env=offline, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def classifying_loss(model: nn.Module) -> Tensor:
    """Return the loss of eight random images of three classes."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(8, 3, 32, 32, generator=generator)
    return nn.functional.cross_entropy(model(images), torch.arange(8) % 3)


def image_models(package: str) -> Any:
    """Return a package that brings torchvision, or skip the test."""
    reason = f"no {package}: its torchvision is built for a PyTorch with CUDA, which is 5 GB"
    return pytest.importorskip(package, reason=reason)


def test_a_classifier_of_timm_is_replaced() -> None:
    """It takes an argument with a default, on which it branches."""
    timm = image_models("timm")
    model = timm.models.ConvNeXt(
        depths=(1, 1, 1, 1), dims=(8, 8, 16, 32), num_classes=3, head_hidden_size=48
    )
    small = low_rank(model, lambda: classifying_loss(model), at="head")
    assert (small.head.input_factor.out_features, small.head.last.in_features) == (6, 48)
    classifying_loss(small).backward()


def test_the_classifiers_of_torchvision_are_replaced_or_refused() -> None:
    models = image_models("torchvision").models
    vgg = models.vgg11(num_classes=3)
    small = low_rank(vgg, lambda: classifying_loss(vgg), at="classifier")
    assert small.classifier.input_factor.in_features == 25088
    classifying_loss(small).backward()
    resnet = models.resnet18(num_classes=3)
    with refused("an MLP needs at least two Linear layers, and Linear has 1"):
        low_rank(resnet, lambda: classifying_loss(resnet), at="fc")
