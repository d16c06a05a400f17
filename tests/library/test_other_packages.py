"""The examples of docs/library.md with transformers and Lightning, run as they stand there."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the packages' own warnings


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs the example with a package, offline, and returns its names."""
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(package: str) -> dict[str, Any]:
        pytest.importorskip(package, reason=f"{package} is not installed: `make test-all` does")
        (text,) = [
            text for text in examples if f"import {package}" in text or f"from {package} " in text
        ]
        script = tmp_path / "example.py"
        script.write_text(text, encoding="utf-8")
        return runpy.run_path(str(script))

    return run


def steps(names: dict[str, Any]) -> list[int]:
    """Return the steps, of three, at which the watch recorded shares: at 0 nothing has changed."""
    shares = names["watch"].metrics().frame("block_share", layer=1)
    return sorted(set(shares["step"].tolist()))


def test_transformers_loads_a_trained_low_rank_head_and_its_trainer_is_watched(
    example: Any,
) -> None:
    names = example("transformers")
    small, loaded, tokens = names["small"].eval(), names["loaded"].eval(), names["tokens"]
    assert torch.equal(loaded(tokens).logits, small(tokens).logits)
    assert loaded(tokens).logits.isfinite().all()
    assert steps(names) == [1, 2]


def test_lightning_loads_a_trained_low_rank_head_and_its_trainer_is_watched(example: Any) -> None:
    names = example("lightning")
    small, loaded, (inputs, _) = names["small"], names["loaded"], names["batch"]
    assert torch.equal(loaded.head(inputs), small.head(inputs))
    assert loaded.head(inputs).isfinite().all()
    assert steps(names) == [1, 2]
