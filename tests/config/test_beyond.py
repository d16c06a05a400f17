"""The studies beyond the paper are runs of their own; and activations may have a parameter."""

from pathlib import Path

import pytest

from conftest import ROOT, change, refused, settings_of, settings_of_all
from lowrank_dynamics.analysis.claims import load_claims
from lowrank_dynamics.config.figures import FIGURES, figures_of
from lowrank_dynamics.config.folder import FINDINGS
from lowrank_dynamics.config.registries import activation, in_order
from lowrank_dynamics.config.run import Run

CONFIGS = ROOT / "configs"


@pytest.mark.parametrize("scale", ["smoke", "laptop", "paper"])
def test_they_share_no_experiment_and_no_figure_with_the_paper(scale: str) -> None:
    loaded = settings_of_all(scale)
    own, papers = loaded[f"{scale}/beyond"], loaded[scale]
    assert not set(own.experiments) & set(papers.experiments)
    drawn = [*figures_of(papers.experiments), *figures_of(own.experiments)]
    assert sorted(drawn) == sorted(name for name, figure in FIGURES.items() if not figure.table)
    main = Run(Path(), scale, configs=CONFIGS)
    for run in (main, main.beyond):
        load_claims(run.statements).check(run.settings, run.statements)


def test_what_they_are_like_they_have() -> None:
    own, papers = settings_of("paper/beyond"), settings_of("paper")
    theory = papers.of_variant("theory_setting")
    assert own.of_variant("near_linearity", "eps_0.01").training == theory.training
    assert settings_of("smoke/beyond").experiment("smoothness").trials == 2


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scales.laptop", {"starts": {"trials": 1}}, "scales: unknown key; the keys are experimen"),
        (
            "experiments.case_study",
            {},
            r"experiments.case_study: .*paper\.yaml has one of this name",
        ),
        (
            "experiments.constants.activations",
            ["relu"],
            "observe.constants must be null except for whitened data and",
        ),
        (
            "experiments.constants.network",
            {"width": 129},
            "observe.constants must be null unless W_1 has at most 4,096 weights, .* has 4,128",
        ),
        (
            "experiments.near_linearity.activations",
            ["rrelu"],
            "observe.linearity must be null for rrelu, whose",
        ),
        (
            "experiments.starts.observe",
            {"linearity": 1},
            "must be null except for depth 2, squared_error and full-b",
        ),
        (
            "experiments.smoothness.activations",
            ["swish"],
            "'swish' is not one of elu, .*, swish_<beta>",
        ),
        ("experiments.starts.parameterizations", ["lora"], "'lora' is not one of full, s_big"),
    ],
)
def test_a_mistake_is_named_with_its_file(
    folder: Path, key: str, value: object, message: str
) -> None:
    change(folder / "studies" / "beyond.yaml", key, value)
    with refused(rf"beyond\.yaml.*{message}"):
        settings_of("laptop/beyond", folder)


def test_a_scale_changes_our_experiments_as_it_does_the_papers(folder: Path) -> None:
    change(folder / "laptop.yaml", "experiments.starts.trails", 3)
    with refused(r"laptop\.yaml: experiments\.starts\.trails: unknown key"):
        settings_of("laptop/beyond", folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"setting": "data.clases"},
            "options.setting: 'data.clases' is not a number in the settings of k_2",
        ),
        (
            {"setting": "training.optimizer"},
            "options.setting: 'training.optimizer' is not a number",
        ),
        (
            {"setting": "data.classes", "variants": ["k_3"]},
            "options.variants: 'k_3' is not one of k_2",
        ),
    ],
)
def test_a_finding_about_a_setting_that_is_no_number_is_refused(
    folder: Path, options: dict[str, object], message: str
) -> None:
    wanted = {"quantity": "change_rank", "setting": "data.classes"} | options
    file = folder / FINDINGS
    change(file, "claims.change_has_rank_k.options", wanted)
    findings = load_claims(file)
    with refused(message):
        findings.check(settings_of("laptop/beyond", folder), file)


def test_a_finding_about_something_unknown_is_named_with_its_file(folder: Path) -> None:
    file = folder / FINDINGS
    change(file, "claims.change_has_rank_k.cells.activation", ["swish_0"])
    findings = load_claims(file)
    with refused(r"findings\.yaml: claims\.change_has_rank_k\.cells\.activation: 'swish_0' is n"):
        findings.check(settings_of("laptop/beyond", folder), file)


def test_a_parameter_is_part_of_the_name() -> None:
    found = activation("swish_1.702")
    assert (found.options, found.label) == ({"beta": 1.702}, r"$\beta = 1.702$")
    assert in_order({"swish_10", "relu", "Mish", "swish_2", "elu"}) == [
        "elu",
        "relu",
        "swish_2",
        "swish_10",
    ]
    for name in ("swish", "swish_", "swish_0", "swish_-1", "swish_x", "elu_1", "leaky"):
        with pytest.raises(ValueError, match=f"'{name}' is not one of"):
            activation(name)
