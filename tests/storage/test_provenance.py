"""Which processor made the numbers of a file."""

import platform
from pathlib import Path

import pytest

from lowrank_dynamics.storage import provenance


def test_the_processor_has_a_name_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.processor()
    monkeypatch.setattr(
        Path, "read_text", lambda *_, **__: "processor\t: 0\nmodel name\t: A Processor\n"
    )
    assert provenance.processor() == "A Processor"
    monkeypatch.setattr(
        Path, "read_text", lambda *_, **__: "processor\t: 0\nCPU implementer\t: 0x41\n"
    )
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert provenance.processor() == platform.machine()
