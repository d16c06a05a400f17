"""What figures share: data that are not verified are named in them, and each says what produced
it.
"""

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from conftest import ROOT, planted, refused, row, run_named
from lowrank_dynamics.config.cell import Cell
from lowrank_dynamics.config.figures import FIGURES, FORMATS, in_words
from lowrank_dynamics.config.registries import ACTIVATIONS
from lowrank_dynamics.figures import (
    draw,
    emergence,
    gradient_tail,
    head_ranks,
    layer_movement,
    projected,
    singular_values,
    style,
)
from lowrank_dynamics.storage import metrics as stored
from lowrank_dynamics.storage.embedded import read_provenance
from lowrank_dynamics.storage.provenance import concise
from runs import environment
from tools.thinning import thinned


def heads_file(path: Path, data_origin: dict[str, str]) -> Path:
    """Write metrics of heads of two widths, from data of this origin."""
    names = (Cell("gelu", "full", "2k"), Cell("gelu", "s_big", "2k"), Cell("gelu", "s_big", "4k"))
    quantities = ("test_accuracy", "test_loss", "train_loss")
    rows = []
    for step in (0, 5, 10):
        rows += [row(step, quantity, [0.1, 0.2], layer=0) for quantity in quantities]
    found = planted(
        dict.fromkeys(names, rows), "vgg_heads", training__batch_size=10, network__rank=20
    )
    cells = {
        name: origin.model_copy(update={"data": data_origin})
        for name, origin in found.cells.items()
    }
    stored.write(stored.Metrics(found.table, cells), path)
    return path


@pytest.mark.parametrize("unverified", [True, False])
def test_unverified_data_are_named_within_the_figure(tmp_path: Path, unverified: bool) -> None:
    origin = {"cifar-10": "somewhere"} | ({"unverified": "CIFAR-10"} if unverified else {})
    source = heads_file(tmp_path / "heads.parquet", origin)
    assert stored.read(source).unverified == ({"CIFAR-10"} if unverified else set())
    draw.draw("figure_15", [source], tmp_path / "figure")
    drawn = (tmp_path / "figure.svg").read_text()
    assert ("UNVERIFIED DATA: CIFAR-10" in drawn) == unverified


def test_the_mark_fits_into_the_narrowest_figure() -> None:
    figure = plt.figure(figsize=(style.COLUMN, 2), layout="constrained")
    figure.subplots()
    style.mark(figure, "UNVERIFIED DATA: CIFAR-10")
    figure.draw_without_rendering()
    assert figure._suptitle is not None  # type: ignore[attr-defined]
    extent = figure._suptitle.get_window_extent()  # type: ignore[attr-defined]
    assert 0 < extent.x0 < extent.x1 < figure.bbox.x1
    assert extent.y1 <= figure.bbox.y1
    plt.close(figure)


def test_metrics_of_another_experiment_or_scale_are_not_drawn(tmp_path: Path) -> None:
    source = heads_file(tmp_path / "heads.parquet", {})
    with refused(r"heads\.parquet is of vgg_heads, not of fashion_mnist; name another file"):
        draw.draw("figure_6", [source], tmp_path / "figure")
    with refused(r"heads\.parquet is of laptop, not of paper; name another file, or delete it"):
        draw.draw("figure_15", [source], tmp_path / "figure", "paper")
    verdicts = run_named("laptop", ROOT).reference / "sensitivity.parquet"
    with refused(r"sensitivity\.parquet is of laptop, not of paper; name another file, or delete"):
        draw.draw("sensitivity", [verdicts], tmp_path / "figure", "paper")


def test_figure_1_shows_the_activations_that_were_run() -> None:
    def spectra(*names: str) -> stored.Metrics:
        rows = [row(step, "singular_value", np.ones((1, 12)), layer=1) for step in (0, 1)]
        return planted({Cell(name, "full"): rows for name in names}, data__classes=3, trials=1)

    figure = singular_values.draw(spectra("relu", "silu"))
    assert [axes.get_title() for axes in figure.axes] == ["SiLU"]
    with refused("figure 1 shows elu, gelu, silu, and the metrics have relu"):
        singular_values.draw(spectra("relu"))
    plt.close("all")


def test_a_figure_says_how_many_trials_there_are(tmp_path: Path) -> None:
    """In a strip of its own below it: nothing else of the figure moves or lies there."""
    two = heads_file(tmp_path / "heads.parquet", {})
    one = stored.read(two)
    stored.write(stored.Metrics(one.where(trial=0).table, one.cells), tmp_path / "one.parquet")
    for file, note in ((two, "2 trials"), (tmp_path / "one.parquet", "1 trial")):
        draw.draw("figure_15", [file], tmp_path / "figure")
        assert f">{note}<" in (tmp_path / "figure.svg").read_text()
    with Image.open(tmp_path / "figure.png") as drawn:
        pixels, height = np.asarray(drawn.convert("L")), drawn.height
    strip = round(style.FOOT * style.LOOK["figure.dpi"])
    assert (pixels[height - strip :, : pixels.shape[1] // 2] == 255).all()
    assert (pixels[height - strip :] < 255).any()


def test_the_longest_labels_are_not_cut_off(tmp_path: Path) -> None:
    """Letters are wider at some resolutions than at others, so it is measured in what is saved."""
    table = run_named("laptop", ROOT).reference / "sensitivity.parquet"
    draw.draw("sensitivity", [table], tmp_path / "figure")
    with Image.open(tmp_path / "figure.png") as drawn:
        pixels = np.asarray(drawn.convert("L"))
    for edge in (pixels[:, :3], pixels[:, -3:], pixels[:3]):
        assert (edge == 255).all()


@pytest.mark.parametrize("parts", [1, 2])
def test_the_legend_lies_below_all_panels(tmp_path: Path, parts: int) -> None:
    """Below their labels too, and where it lies while the figure is drawn is where it is saved."""
    figure = plt.figure(figsize=(style.PAGE, 3), layout="constrained")
    for part in [figure] if parts == 1 else figure.subfigures(1, parts, squeeze=False).flat:
        for axes in part.subplots(1, 2):
            axes.plot([0, 1], label="a line")
            axes.set(xlabel="step $t$", ylabel="share")
        style.legend_below(part)
    style.save(figure, tmp_path / "figure", {}, "a note")
    drawn = [part for part in (figure, *figure.subfigs) if part.legends]
    assert len(drawn) == parts
    for part in drawn:
        legend = part.legends[0].get_window_extent()
        assert legend.y0 >= 0
        for axes in part.get_axes():
            assert legend.y1 <= axes.get_tightbbox().y0
    plt.close(figure)


def test_figures_of_several_experiments_say_the_trials_of_each(tmp_path: Path) -> None:
    heads = stored.read(heads_file(tmp_path / "heads.parquet", {}))
    one = stored.Metrics(heads.where(trial=0).table, heads.cells)
    parts = stored.Metrics(
        stored.pa.concat_tables([heads.where(variant="4k").table, one.where(variant="2k").table]),
        {},
    )
    assert draw.extent_in_words({"vgg_full_model": heads, "vgg_heads": heads}) == "2 trials"
    several = draw.extent_in_words({"vgg_full_model": one, "vgg_heads": parts})
    assert several == "(a): 1 trial, (b): 1 to 2 trials"


def test_no_note_shows_an_internal_name() -> None:
    for figure in FIGURES.values():
        if len(figure.experiments) > 1:
            assert [name for name in figure.experiments if "_" in in_words(name)] == []
            assert len(set(map(in_words, figure.experiments))) == len(figure.experiments)


def test_figures_of_thinned_metrics_say_so(tmp_path: Path) -> None:
    whole = stored.read(heads_file(tmp_path / "heads.parquet", {}))
    assert (
        draw.extent_in_words({"vgg_heads": thinned(whole, most=2, numbers=0)})
        == "2 trials; at most 2 steps of each curve"
    )


def test_an_activation_has_one_color_in_every_figure() -> None:
    """Whatever else is drawn beside it; those with a parameter differ from each other."""
    alone, together = (
        style.activation_colors(["relu"]),
        style.activation_colors(["elu", "relu", "swish_1", "swish_2"]),
    )
    assert together["relu"] == alone["relu"]
    assert len({together[name] for name in ("elu", "relu", "swish_1", "swish_2")}) == 4


def test_equal_curves_of_nonsmooth_activations_show_each_other() -> None:
    """By their dashes; smooth ones are solid."""
    nonsmooth = [name for name, entry in ACTIVATIONS.items() if not entry.smooth]
    assert len({style.activation_dashes(name) for name in nonsmooth}) == len(nonsmooth)
    assert style.activation_dashes("elu") == style.activation_dashes("swish_1") == style.SOLID


def test_groups_of_singular_values_have_the_color_of_no_activation() -> None:
    colors = style.activation_colors(list(ACTIVATIONS)).values()
    groups = map(to_rgb, style.GROUP_COLORS)
    assert not set(groups) & set(map(to_rgb, colors))


@pytest.mark.parametrize("measure", layer_movement.LIMITS)
def test_a_band_stays_within_the_limits_of_the_values(measure: str) -> None:
    """Also where a standard deviation exceeds them; the axis shows all of it."""
    quantity = f"{measure}_left_top"
    most = np.pi / 2 if measure == "angle" else 1.0
    cells = {Cell("elu", "full"): [row(step, quantity, [0.0, most]) for step in (0, 10)]}
    _, axes = plt.subplots()
    layer_movement.draw_movement(planted(cells, trials=2), 1, quantity, axes)
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]  # type: ignore[index]
    least, largest = layer_movement.LIMITS[measure]
    assert (heights.min(), heights.max()) == (least, largest)
    low, high = axes.get_ylim()
    assert low < least < largest < high
    plt.close("all")


def test_the_gray_lines_are_named_where_the_curves_are() -> None:
    quantity = "sine_left_middle"
    cells = {Cell("elu", "full"): [row(step, quantity, [0.1, 0.2]) for step in (0, 10)]}
    _, axes = plt.subplots()
    layer_movement.draw_movement(planted(cells, trials=2), 1, quantity, axes)
    _, labels = axes.get_legend_handles_labels()
    assert labels == ["ELU", "largest possible", "random subspaces"]
    plt.close("all")


def test_every_panel_of_figure_13_has_means_and_none_a_geometric_one() -> None:
    """Panels share the scale of the axis on which means are taken."""
    rows = [row(0, "last_step", [1.0, 1.0], layer=0)]
    rows.append(row(0, "signal_singular_value", [[9.0] * 3] * 2))
    for step in (0, 1):
        rows.append(row(step, "gradient_singular_value", [[9.0] * 3 + [1.0], [9.0] * 3 + [4.0]]))
    figure = gradient_tail.draw(planted({Cell(name, "full"): rows for name in ("elu", "tanh")}))
    for axes in figure.axes:
        tail, *_ = axes.lines
        np.testing.assert_allclose(np.asarray(tail.get_ydata(), dtype=float), 2.5)
        assert axes.get_yscale() == "log"
    plt.close("all")


def test_losses_are_relative_to_the_first_of_the_same_trial() -> None:
    """So every curve begins at 1, without a spread."""
    reference = run_named("laptop/beyond", ROOT).reference
    sources = FIGURES["projected"].experiments
    style.apply()
    figure = projected.draw(*(stored.read(reference / f"{name}.parquet") for name in sources))
    for axes in figure.subfigs[0].axes:
        for band in axes.collections:
            edges = np.asarray(band.get_paths()[0].vertices)
            np.testing.assert_allclose(edges[edges[:, 0] == 0, 1], 1.0)
    plt.close("all")


def test_heads_are_drawn_without_the_full_model_that_was_not_run(tmp_path: Path) -> None:
    draw.draw("figure_7", [heads_file(tmp_path / "heads.parquet", {})], tmp_path / "figure")
    drawn = (tmp_path / "figure.svg").read_text()
    assert ">(b) head only<" in drawn
    assert "(a) full model" not in drawn
    with refused(r"is of vgg_heads, not of vgg_full_model; name another file"):
        draw.draw("figure_7", 2 * [tmp_path / "heads.parquet"], tmp_path / "figure")


def test_what_is_enlarged_is_framed(tmp_path: Path) -> None:
    """The frame is the area that the other panel shows, and covers no panel."""
    figure = head_ranks.draw(stored.read(heads_file(tmp_path / "heads.parquet", {})))
    accuracy, enlarged, *_ = figure.axes
    (frame,) = accuracy.patches
    assert isinstance(frame, Rectangle)
    assert (frame.get_x(), frame.get_x() + frame.get_width()) == pytest.approx(enlarged.get_xlim())
    bottom = frame.get_y()
    assert (bottom, bottom + frame.get_height()) == pytest.approx(enlarged.get_ylim())
    figure.draw_without_rendering()
    assert not accuracy.get_window_extent().overlaps(enlarged.get_window_extent())
    plt.close("all")


LARGEST = 2_000_000
"""The most bytes of an animation."""


def changes_file(path: Path) -> Path:
    """Write metrics of two networks whose change fills block 1 and the whole matrix."""
    steps = range(0, 41, 10)
    inside = np.zeros((12, 12))
    inside[:6, :6] = 1
    cells = {}
    for name, entries in (("elu", inside), ("relu", np.ones((12, 12)))):
        rows = [row(step, "block_magnitude", step * entries.reshape(1, -1)) for step in steps]
        rows += [row(step, "train_loss", [50.0 - step], layer=0) for step in steps]
        cells[Cell(name, "full")] = rows
    found = planted(cells, "emergence", trials=1, network__width=12)
    stored.write(found, path)
    return path


def test_an_animation_has_a_frame_for_each_step_and_equal_bytes(tmp_path: Path) -> None:
    source = changes_file(tmp_path / "emergence.parquet")
    files = [tmp_path / "one.gif", tmp_path / "other.gif"]
    for file in files:
        draw.animate("emergence", [source], file)
    one, other = (file.read_bytes() for file in files)
    assert one == other
    assert len(one) < LARGEST
    with Image.open(files[0]) as drawn:
        assert isinstance(drawn, GifImageFile)
        assert drawn.n_frames == 5
    assert read_provenance(files[0])["figure"] == "emergence"


def test_each_frame_gives_the_share_of_block_1(tmp_path: Path) -> None:
    """And the figure is the last of them."""
    metrics = stored.read(changes_file(tmp_path / "emergence.parquet"))
    titles = []
    for figure in emergence.frames(metrics):
        titles.append([axes.get_title() for axes in figure.subfigs[0].axes[:2]])
    assert titles[0] == ["ELU: no change", "ReLU: no change"]
    assert titles[-1] == [f"{name} % of the change in block 1" for name in ("ELU: 100", "ReLU: 25")]
    last = emergence.draw(metrics).subfigs[0].axes[:2]
    assert [axes.get_title() for axes in last] == titles[-1]
    plt.close("all")


def test_a_figure_without_frames_is_not_animated(tmp_path: Path) -> None:
    with refused("there is no animation 'figure_15'; choose one of emergence"):
        draw.animate("figure_15", [], tmp_path / "figure.gif")


@pytest.mark.parametrize("extension", FORMATS)
def test_a_figure_says_what_produced_it(tmp_path: Path, extension: str) -> None:
    """Also with characters that a format has to escape; and says nothing that differs from run to
    run.
    """
    source = heads_file(tmp_path / "heads.parquet", {"cifar-10": r"a (folder) with a \ and <ö>"})
    draw.draw("figure_15", [source], tmp_path / "figure")
    found = read_provenance(tmp_path / f"figure.{extension}")
    (origin,) = found["drawn_from"]
    assert found["figure"] == "figure_15"
    assert origin["data"] == {"cifar-10": r"a (folder) with a \ and <ö>"}
    assert {cell["settings_sha256"] for cell in origin["cells"].values()} == {"2k", "4k"}
    assert "seconds" not in str(found)


def test_a_table_says_what_produced_it(tmp_path: Path) -> None:
    source = heads_file(tmp_path / "heads.parquet", {})
    assert read_provenance(source)["cells"].keys() == {
        "gelu-full-2k",
        "gelu-s_big-2k",
        "gelu-s_big-4k",
    }
    said = concise(read_provenance(source))
    assert said["settings"]["network"]["rank"] == 20
    assert said["cells"]["gelu-s_big-4k"] == {"variant": "4k", "settings_sha256": "4k"}


@pytest.mark.parametrize(
    "name", ["figure.txt", "missing.png", "figure.svg", "figure.pdf", "table.parquet"]
)
def test_a_file_that_says_nothing_is_named(tmp_path: Path, name: str) -> None:
    if "missing" not in name:
        (tmp_path / name).write_bytes(b"nothing")
    with refused(rf"{name} has no provenance"):
        read_provenance(tmp_path / name)


@pytest.mark.slow
def test_a_figure_does_not_depend_on_the_user_s_matplotlib(tmp_path: Path) -> None:
    """Neither on a file of settings in the working folder nor on the backend that a terminal
    names.
    """
    settings = (
        "savefig.dpi: 50\nsavefig.transparent: True\ntext.usetex: True\nfont.size:"
        " 20\nsavefig.bbox: tight\n"
    )
    (tmp_path / "matplotlibrc").write_text(settings)
    source = heads_file(tmp_path / "heads.parquet", {})
    command = [
        sys.executable,
        "-m",
        "lowrank_dynamics",
        "figure",
        "figure_15",
        "--metrics",
        str(source),
    ]
    jupyter = environment(
        PYTHONPATH=str(ROOT / "workflow"), MPLBACKEND="module://matplotlib_inline.backend_inline"
    )
    for cwd, variables in ((ROOT, environment()), (tmp_path, jupyter)):
        own = [*command, "--output", str(tmp_path / cwd.name / "figure")]
        run = subprocess.run(
            own, cwd=cwd, env=variables, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
    for extension in FORMATS:
        one, other = (tmp_path / cwd.name / f"figure.{extension}" for cwd in (ROOT, tmp_path))
        assert one.read_bytes() == other.read_bytes()
