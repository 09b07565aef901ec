"""Makes a data root's damaged files again, each from what it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alphaqcm.data_collection.build.damaged_files import damaged_files
from alphaqcm.data_collection.build.last_run import has_settings, load_settings
from alphaqcm.data_collection.build.publish import publish
from alphaqcm.data_collection.build.run.run_tasks import execute
from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
from alphaqcm.pipeline.domain.registry import Market
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.storage.layout import Layout, layer


def damaged_by_market(root: Path) -> dict[Market, list[Path]]:
    """The damaged files of every market of a data root; markets without any are left out."""
    found = {market: list(damaged_files(Layout(root, market))) for market in Market}
    seen: set[Path] = set()
    for market, paths in found.items():  # small state files are every market's
        found[market] = [path for path in paths if path not in seen]
        seen.update(paths)
    return {market: paths for market, paths in found.items() if paths}


def heal(root: Path, damaged: dict[Market, list[Path]], workers: int, lock: int) -> Sequence[Path]:
    """Make them again as the last run of each market would; gives those that stay as they are.

    `lock` is the descriptor of the data root, which is held alone. Raises `PipelineError`.
    """
    for market, paths in damaged.items():
        layout = Layout(root, market)
        for path in paths:
            if _is_made_when_asked_for(layout, path):
                LOCAL.delete(path)
        if not has_settings(layout.temp, market):
            continue
        settings = load_settings(layout.temp, market)
        with open_task_runner(settings) as runner:
            progress = execute(runner, workers, lock)
        publish(settings, progress)
    return [path for paths in damaged_by_market(root).values() for path in paths]


def _is_made_when_asked_for(layout: Layout, path: Path) -> bool:
    """Whether nothing is lost with a file: what remembers, and what compares."""
    compared = layout.folder(layer("reconciled"))
    return path.is_relative_to(compared) or path.name == "update.json"
