"""The report of a run: report.md with the results and what they mean, and curves of the losses.

It is made from the files in the run's folder: scalars.jsonl (a JSON object per line: stage, step, global_step, numbers
named group/term), validation_stageN.json and .png, and, if it exists, run.json (recipe, data, licences, faults,
skipped). The report says what is missing. python -m rvm_studio.training.report RUN_FOLDER writes it again.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core import METRIC_MEANINGS, StudioError, atomic_file, markdown_table
from .loss_curves import LACKS_MATPLOTLIB, draw_curves
from .run_log import SCALARS, scan_scalars

TERMS = {
    "pha_l1": "alpha: mean difference from the true alpha",
    "pha_laplacian": "alpha: difference at five scales, sensitive to edges and hair",
    "pha_coherence": "alpha: difference in the change between frames (flicker)",
    "fgr_l1": "foreground colours: mean difference",
    "fgr_coherence": "foreground colours: difference in the change between frames",
    "total": "the sum, which is minimised",
    "loss": "the sum, which is minimised",
    "segmentation": "cross entropy of the coarse person mask",
}
# MAD, MSE, Grad, Conn, dtSSD of the paper's tables 1 and 2 (MobileNetV3), 512 pixels wide and 1920x1080.
PAPER = (
    ("VideoMatte240K, 512x288", (6.08, 1.47, 0.88, 0.41, 1.36)),
    ("VideoMatte240K, 1920x1080", (6.57, 1.93, 10.55, None, 1.90)),
    ("D646, 512x512", (7.28, 3.01, 2.81, 1.83, 1.01)),
    ("AIM, 512x512", (14.84, 8.93, 4.35, 3.83, 1.01)),
)
_ALPHA = ("mad", "mse", "grad", "conn", "dtssd")


def write_report(run_folder: str | Path) -> Path:
    """Writes report.md and the curves; returns the path. Raises StudioError if there is nothing to report, a file is
    invalid, or the folder cannot be written."""
    folder = Path(run_folder)
    records, cut = scan_scalars(folder / SCALARS)
    validations = [_read(path) for path in sorted(folder.glob("validation_stage*.json")) if ".partial" not in path.name]
    run = _read(folder / "run.json") if (folder / "run.json").exists() else {}
    if not records and not validations:
        raise StudioError(
            f"{folder} contains neither scalars.jsonl nor validation_stage*.json. Give the folder of a training run."
        )
    curves = draw_curves(records, folder)
    parts = [
        ["# Training report", ""],
        _in_short(records, validations),
        _validation(validations, folder),
        _losses(records, curves, cut),
        _faults(run, validations),
        _ingredients(run),
    ]
    path = folder / "report.md"
    try:
        with atomic_file(path) as partial:
            partial.write_text("\n".join(line for part in parts for line in part), encoding="utf-8")
    except OSError as error:
        raise StudioError(f"The report cannot be written to {path} ({error}). Check the folder.") from error
    return path


def verdict(mad: float, constant_mad: float) -> str:
    """Rates a MAD by comparing it with that of the best constant alpha."""
    share = mad / constant_mad if constant_mad else math.inf
    if share >= 1:
        return "no better than a constant alpha: nothing has been learnt yet"
    if share > 0.5:
        return "the network is only beginning to detect persons"
    if share > 0.2:
        return "persons are found, but only roughly"
    return "persons are cut out well" if share > 0.05 else "persons are cut out very well"


def _in_short(records: list[dict], validations: list[dict]) -> list[str]:
    lines = []
    if records:
        stages = sorted({record["stage"] for record in records if "stage" in record})
        speeds = sorted(record["samples_per_s"] for record in records if _is_number(record.get("samples_per_s")))
        speed = f", {speeds[len(speeds) // 2]:.2f} clips per second" if speeds else ""
        lines.append(f"{records[-1]['global_step'] + 1} steps in stages {', '.join(map(str, stages))}{speed}.")
    if validations:
        last = validations[-1]
        mad = last["low"]["mad"]
        lines.append(
            f"After stage {last['stage']} the alpha is off by **{mad / 10:.1f} %** on average (MAD {mad:.1f}); the "
            f"best constant alpha is off by {last['best_constant_mad'] / 10:.1f} %. In short: "
            f"{verdict(mad, last['best_constant_mad'])}."
        )
    return [*lines, ""]


def _validation(validations: list[dict], folder: Path) -> list[str]:
    lines = ["## Validation", ""]
    if not validations:
        return [*lines, "No stage has been validated yet.", ""]
    lines += ["Measured on clips that the network was not trained on. Lower is better for all metrics.", ""]
    header = ["stage", "resolution", *_ALPHA, "fgr_mad", "fgr_mse"]
    rows: list[Sequence[object]] = []
    for found in validations:
        for name in ("low", "high"):
            if found.get(name):
                frames, side = found["sizes"][name]
                title = f"{name}, {side}x{side}, {found['clips']} clips of {frames}"
                rows.append([found["stage"], title, *(found[name].get(key) for key in header[2:])])
    last = validations[-1]
    blank = [None] * (len(header) - 3)
    rows.append(["–", f"alpha {last['constant']:.2f} everywhere (the mean)", last["constant_mad"], *blank])
    rows.append(["–", f"alpha {last['best_constant']:.2f} everywhere (the best)", last["best_constant_mad"], *blank])
    lines += [markdown_table(header, rows), ""]
    lines += [f"- **{name}**: {meaning}" for name, meaning in METRIC_MEANINGS.items()]
    lines += ["", '"high" includes the refiner, which scales a small alpha up to the full size.', ""]
    for found in validations:
        name = f"validation_stage{found['stage']}.png"
        if (folder / name).exists():
            lines += [f"![Source, true alpha, predicted alpha and composite after stage {found['stage']}]({name})", ""]
    lines += ["The paper's results, for comparison:", ""]
    lines += [markdown_table(["data", *_ALPHA], [[name, *values] for name, values in PAPER]), ""]
    lines += [
        "They come from the official training on real persons and were measured on other clips of another size; grad "
        "and conn increase with the size. For a fair comparison run `rvm-studio eval` on the same clips.",
        "",
    ]
    return lines


def _losses(records: list[dict], curves: dict[str, Path] | None, cut: int) -> list[str]:
    lines = ["## Losses", ""]
    if not records:
        return [*lines, "No step was recorded.", ""]
    rows: list[Sequence[object]] = []
    names = dict.fromkeys(key for record in records for key in record if "/" in key and not key.startswith("lr/"))
    for name in names:
        values = [record[name] for record in records if _is_number(record.get(name))]
        tenth = max(1, len(values) // 10)
        if values:
            first, last = sum(values[:tenth]) / tenth, sum(values[-tenth:]) / tenth
            rows.append([name, TERMS.get(name.split("/", 1)[1], ""), f"{first:.4g}", f"{last:.4g}"])
    lines += [markdown_table(["loss", "what it is", "first tenth", "last tenth"], rows), ""]
    lines += ["Losses should fall. They may jump when a stage begins, because its clips are longer or larger.", ""]
    if curves is None:
        lines += [LACKS_MATPLOTLIB, ""]
    lines += [f"![{group}]({path.name})\n" for group, path in (curves or {}).items()]
    if cut:
        lines += [f"Incomplete lines of scalars.jsonl, from when the run was killed, that were ignored: {cut}.", ""]
    return lines


def _faults(run: dict, validations: list[dict]) -> list[str]:
    lines = ["## Faults", ""]
    faults = [*_listed(run.get("faults")), *(fault for found in validations for fault in found.get("faults", ()))]
    skipped = _listed(run.get("skipped"))
    if not faults and not skipped:
        return [*lines, "No faults were recorded.", ""]
    if faults:
        lines += [f"Samples that could not be read and were replaced ({len(faults)}):", ""]
        lines += [*(f"- {fault}" for fault in dict.fromkeys(faults)), ""]
    if skipped:
        lines += [f"Steps that were skipped because the loss was not a number or far too large ({len(skipped)}):", ""]
        lines += [*(f"- {_text(step)}" for step in skipped), ""]
    return lines


def _ingredients(run: dict) -> list[str]:
    lines = []
    for key, title in (("recipe", "Recipe"), ("data", "Data"), ("licences", "Licences of the data")):
        value = run.get(key)
        if isinstance(value, dict) and value:
            lines += [f"## {title}", "", *(f"- {name}: {_text(part)}" for name, part in value.items()), ""]
        elif value:
            lines += [f"## {title}", "", *(f"- {_text(part)}" for part in _listed(value)), ""]
    return lines


def _listed(value: Any) -> list:
    """A list unchanged; a number, a text or an object as a list of one entry; otherwise an empty list."""
    if not value:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _read(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudioError(
            f"{path} cannot be read as JSON ({error}). Expected a file that was written by a training run."
        ) from error
    if not isinstance(value, dict):
        raise StudioError(
            f"{path} contains a {type(value).__name__}. Expected an object, as written by a training run."
        )
    return value


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="report", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("run_folder", type=Path)
    try:
        print(write_report(parser.parse_args(words).run_folder))
    except StudioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
