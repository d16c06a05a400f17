"""The examples of docs/library.md with transformers and Lightning, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

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
