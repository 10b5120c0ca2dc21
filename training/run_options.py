"""The command line of a training run."""

import argparse
import contextlib
import dataclasses
import logging
import os
import sys
import traceback
from pathlib import Path

from ..core import NoteHandler, StudioError, stop_on_signal
from .data_config import add_data_options, check_data, config_from_options
from .recipe import PRESETS, SMALLEST_SIZE, Preset
from .run_settings import RunOptions, RunSettings

PROGRAM = "training/run.py"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Trains the matting network by the four-stage recipe. Without options it runs all stages on "
        "synthetic persons, in minutes on a CPU.",
    )
    run = parser.add_argument_group("run")
    run.add_argument("--output", type=Path, metavar="FOLDER", help="folder of the run (default: runs/PRESET)")
    run.add_argument("--resume", action="store_true", help="resume the run in --output with its own settings")
    run.add_argument("--stage", type=int, choices=(1, 2, 3, 4), help="run only this stage")
    run.add_argument("--stages", type=stage_range, metavar="FROM-TO", help="run only these stages, such as 1-2")
    run.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="initial weights: scratch (random; default of preset tiny), imagenet (an encoder trained on ImageNet, as "
        "in the paper; default of the other presets), official (the published network), starter (the bundled weights) "
        "or a file",
    )
    run.add_argument("--freeze", choices=("backbone",), help="do not train this part")
    run.add_argument("--seed", type=int, metavar="N", help="seed of all random numbers (default: 0)")
    run.add_argument("--check-data", action="store_true", help="only check the data and print what was found")
    add_data_options(parser)
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument(
        "--preset", choices=tuple(PRESETS), help="fits the recipe to the machine (default: tiny, with own data 12gb)"
    )
    recipe.add_argument("--variant", choices=("mobilenetv3", "resnet50"), help="network (default: mobilenetv3)")
    recipe.add_argument(
        "--steps", type=four(0), metavar="A,B,C,D", help="steps of each stage, instead of the recipe's epochs"
    )
    recipe.add_argument(
        "--frames", type=four(1), metavar="A,B,C,D", help="frames per clip in the low-resolution pass of each stage"
    )
    recipe.add_argument("--high-frames", type=int, metavar="T", help="frames per clip in the high-resolution pass")
    recipe.add_argument("--size", type=int, metavar="S", help="size in the low-resolution pass, in pixels")
    recipe.add_argument("--high-size", type=int, metavar="S", help="size in the high-resolution pass, in pixels")
    recipe.add_argument("--rate-factor", type=float, metavar="X", help="multiplies all learning rates")
    recipe.add_argument(
        "--segmentation-images", type=int, metavar="N", help="segmentation pictures per clip of the batch"
    )
    recipe.add_argument(
        "--no-foreground-loss", action="store_true", help="train on alpha only, for data with unclean foregrounds"
    )
    recipe.add_argument(
        "--batch-norm",
        choices=("auto", "train", "eval"),
        help="batch statistics of --init: train them, or keep them fixed (eval); auto (default) keeps those fixed that "
        "are folded into the convolutions",
    )
    machine = parser.add_argument_group("machine", "all but --precision may change when a run is resumed")
    machine.add_argument("--device", default="auto", help="auto (default), cpu, cuda")
    machine.add_argument(
        "--precision", choices=("fp32", "bf16", "fp16"), help="of the forward pass (default: the preset's)"
    )
    machine.add_argument("--clips", type=int, metavar="N", help="clips at once on a device (default: the preset's)")
    machine.add_argument(
        "--workers", type=int, metavar="N", help="processes that prepare data (default: depends on the cores)"
    )
    machine.add_argument(
        "--checkpoint-minutes", type=float, default=10, metavar="M", help="minutes between checkpoints (default 10)"
    )
    machine.add_argument("--keep", type=int, default=3, metavar="N", help="checkpoints to keep (default 3)")
    machine.add_argument(
        "--validation-clips", type=int, default=8, metavar="N", help="clips for the validation of a stage (default 8)"
    )
    return parser


def main(words: list[str] | None = None) -> int:
    """Runs the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C, 143 by SIGTERM."""
    parser = make_parser()
    options = parser.parse_args(words)
    first = os.environ.get("RANK", "0") == "0"
    _show_log(first)
    try:
        return _check(options) if options.check_data else _run(options, first)
    except StudioError as error:
        if os.environ.get("RVM_DEBUG"):
            traceback.print_exception(error)
        print(f"{PROGRAM}: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped before the first step.", file=sys.stderr)
        return 130


def _check(options: argparse.Namespace) -> int:
    results = check_data(config_from_options(options))
    print("\n".join(map(str, results)))
    return 0 if all(result.usable for result in results) else 1


def _run(options: argparse.Namespace, first: bool) -> int:
    settings, folder = plan(options)
    from ..core import Stopped
    from .distributed import join_world, leave_world
    from .loop import Run

    world = join_world(options.device)
    from ..core import bf16_works, choose_dtype

    if options.precision is None and not options.resume and settings.precision == "bf16":
        if world.device.type == "cpu":  # there, half of the time would be spent on conversions
            settings = dataclasses.replace(settings, precision="fp32")
        elif not bf16_works(world.device):
            settings = dataclasses.replace(settings, precision="fp16" if world.device.type == "cuda" else "fp32")
    choose_dtype(settings.precision, world.device)
    workers = options.workers if options.workers is not None else default_workers(world.size)
    machine = RunOptions(options.clips, workers, options.keep, options.checkpoint_minutes, options.validation_clips)
    try:
        with stop_on_signal() as (stop, received):
            run = Run(settings, folder, world, machine, options.resume, stop.is_set)
            if world.first:
                print(f"run in {folder}, preset {settings.preset.name}, {world.device}", file=sys.stderr)
                if settings.preset.name != "tiny" or world.device.type == "cuda":
                    from .memory_estimate import table

                    print(table(settings.preset, settings.variant, settings.stages, options.clips), file=sys.stderr)
            try:
                run.train()
            except Stopped:
                if first:
                    print(
                        f"Stopped after writing a checkpoint. Resume: python {PROGRAM} --output {folder} --resume",
                        file=sys.stderr,
                    )
                return 128 + (received[0] if received else 2)
    finally:
        with contextlib.suppress(RuntimeError):
            leave_world(world)
    return 0


def plan(options: argparse.Namespace) -> tuple[RunSettings, Path]:
    """(the settings of the run, its folder). Raises StudioError for options that contradict each other."""
    data = config_from_options(options)
    if options.resume:
        folder = options.output or Path("runs") / (options.preset or "tiny")
        settings = RunSettings.read(folder)
        wanted = _settings(options, settings.preset if options.preset is None else PRESETS[options.preset], settings)
        if data != type(data)():
            wanted = dataclasses.replace(wanted, data=data)
        if changed := wanted.differences(settings):
            raise StudioError(
                f"The run in {folder} was started with different settings: {', '.join(changed)}. Leave out these "
                "options, or start a new run in another --output."
            )
        return settings, folder
    preset = PRESETS[options.preset or ("tiny" if data.synthetic else "12gb")]
    init = None if preset.name == "tiny" else "imagenet"
    settings = _settings(options, preset, RunSettings(preset, data, init=init, precision=_precision_of(preset)))
    if settings.stages[0] > 1 and options.init is None:
        raise StudioError(
            f"Stage {settings.stages[0]} needs trained weights. Give --init FILE, such as "
            f"stage{settings.stages[0] - 1}.safetensors of an earlier run, or --init starter."
        )
    folder = options.output or Path("runs") / settings.preset.name
    if (folder / "run.json").exists():
        raise StudioError(
            f"{folder} already contains a run. Resume it with --resume, or choose another folder with --output."
        )
    return settings, folder


def _settings(options: argparse.Namespace, preset: Preset, base: RunSettings) -> RunSettings:
    """`base`, changed by the options."""
    if options.stage and options.stages:
        raise StudioError("--stage and --stages were both given. Give only one of them.")
    stages = (options.stage,) if options.stage else options.stages
    changes = {
        "steps": options.steps,
        "frames": options.frames,
        "high_frames": options.high_frames,
        "size": options.size,
        "high_size": options.high_size,
        "rate_factor": options.rate_factor,
        "segmentation_images": options.segmentation_images,
    }
    for name in ("size", "high_size"):
        if (value := changes[name]) is not None and value < SMALLEST_SIZE:
            raise StudioError(f"--{name.replace('_', '-')} is {value}. Expected {SMALLEST_SIZE} or more.")
    for name in ("high_frames", "rate_factor", "segmentation_images"):
        if (value := changes[name]) is not None and value <= 0:
            raise StudioError(f"--{name.replace('_', '-')} is {value}. Expected more than 0.")
    preset = dataclasses.replace(preset, **{k: v for k, v in changes.items() if v is not None})
    given = {
        "preset": preset,
        "stages": stages,
        "variant": options.variant,
        "seed": options.seed,
        "init": options.init,
        "frozen": (options.freeze,) if options.freeze else None,
        "statistics": options.batch_norm,
        "foreground": False if options.no_foreground_loss else None,
        "precision": options.precision,
    }
    settings = dataclasses.replace(base, **{k: v for k, v in given.items() if v is not None})
    if settings.init == "scratch":
        settings = dataclasses.replace(settings, init=None)
    if settings.seed < 0:
        raise StudioError(f"--seed is {settings.seed}. Expected 0 or more.")
    left = tuple(n for n in settings.stages if not preset.steps or preset.steps[n - 1])
    if not left:
        raise StudioError("No stage has any steps. Give more than 0 --steps for at least one stage.")
    return dataclasses.replace(settings, stages=left)


def _precision_of(preset: Preset) -> str:
    return {"float32": "fp32", "bfloat16": "bf16"}[preset.precision]


def default_workers(processes: int) -> int:
    """The number of workers per process: one to eight, depending on the cores, which the processes share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // processes - 1))


def stage_range(text: str) -> tuple[int, ...]:
    """Stage numbers from "1-4" or "2", as an argparse type."""
    start, _, end = text.partition("-")
    try:
        numbers = tuple(range(int(start), int(end or start) + 1))
    except ValueError:
        numbers = ()
    if not numbers or not set(numbers) <= {1, 2, 3, 4}:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of stages such as 1-4")
    return numbers


def four(smallest: int):
    """An argparse type: four whole numbers, or one for all four, of at least `smallest`."""

    def parse(text: str) -> tuple[int, int, int, int]:
        try:
            numbers = [int(word) for word in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            numbers *= 4
        if len(numbers) != 4 or min(numbers) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not four numbers >= {smallest} such as 100,20,10,10")
        return (numbers[0], numbers[1], numbers[2], numbers[3])

    return parse


def _show_log(first: bool) -> None:
    """Shows the package's log on standard error; from processes other than the first, only warnings."""
    log = logging.getLogger("rvm_studio")
    if not any(isinstance(handler, NoteHandler) for handler in log.handlers):
        log.addHandler(NoteHandler())
    log.setLevel(logging.INFO if first else logging.WARNING)
