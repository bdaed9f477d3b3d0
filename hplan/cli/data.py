"""`hplan data`: play by itself, without training."""

from __future__ import annotations

from argparse import Namespace

from hplan.cli.progress import Bars
from hplan.types import UsageError


def make(arguments: Namespace) -> None:
    from hplan.play.record import play
    from hplan.registry import load_task

    task = load_task(arguments.task)
    steps = arguments.steps or task.play.steps[arguments.budget]
    with Bars() as progress:
        store = play(
            task,
            arguments.out,
            steps=steps,
            seed=arguments.seed,
            resume=arguments.resume,
            workers=arguments.workers,
            progress=lambda done, total: progress("play", done, total),
        )
    print(f"{arguments.out}: {len(store):,} episodes, {store.steps:,} steps")


def inspect(arguments: Namespace) -> int:
    """Every byte is read; the status is 1 where one is not what was written."""
    from hplan.play import EpisodeStore

    store = EpisodeStore.open(arguments.folder, skip_damaged=True, hashes=True)
    manifest = store.manifest
    print(f"{arguments.folder}: {manifest.task} ({manifest.environment}), {manifest.source}, seed {manifest.seed}")
    print(f"  {len(store):,} episodes and {store.steps:,} of {manifest.steps:,} steps in {len(store.shards)} shards")
    print(f"  observations {manifest.observation_spec}\n  actions {manifest.action_spec}")
    successes, violations = (
        sum(int(arrays[name].sum()) for arrays in store.arrays()) for name in ("success", "violation")
    )
    print(f"  {successes:,} successes, {violations:,} constraint violations")
    print("  " + ", ".join(f"{name} {version}" for name, version in manifest.versions.items()))
    for file, reason in store.damaged.items():
        print(f"  DAMAGED {file}: {reason}")
    return 1 if store.damaged else 0


def import_(arguments: Namespace) -> None:
    """OGBench's names begin with ogbench/; every other one is Minari's."""
    if arguments.source.startswith("ogbench/"):
        from hplan.play.official import import_ogbench

        store = import_ogbench(arguments.source, arguments.out, file=arguments.file)
    elif arguments.file:
        raise UsageError(f"--file belongs to OGBench's data (ogbench/NAME), not to {arguments.source!r}; leave it out")
    else:
        from hplan.play.minari import import_minari

        store = import_minari(arguments.source, arguments.out)
    print(f"{arguments.out}: {len(store):,} episodes, {store.steps:,} steps")


def export(arguments: Namespace) -> None:
    from hplan.play.minari import export_minari

    print(f"{arguments.dataset}: {export_minari(arguments.folder, arguments.dataset):,} episodes for Minari")
