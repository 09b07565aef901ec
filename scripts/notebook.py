"""Write and execute docs/notebook.ipynb on the demo's data: `python scripts/notebook.py`.

Run it in a folder that holds `AlphaQCM_data/demo` (`make demo` makes it).
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

PAGE = Path(__file__).resolve().parent.parent / "docs" / "notebook.ipynb"
CELLS = (
    (
        "markdown",
        "# A first look\n\nReads the data root that `make demo` makes: three simulated perpetuals, "
        "three days. Start Jupyter in the folder that holds `AlphaQCM_data`.",
    ),
    (
        "code",
        "import alphaqcm\nimport numpy as np\nimport polars as pl\n\n"
        'root = alphaqcm.open_root("AlphaQCM_data/demo")\n'
        "told = alphaqcm.manifest(root)\n"
        'print(told.start, "to", told.end, "|", told.rows, "rows |", ", ".join(told.symbols))',
    ),
    (
        "markdown",
        "## Rows\n\nLazy: only the columns and symbols asked for are read. Rows that are not valid "
        "for training are left out unless `valid=False`. A row may be used from `feature_time` on.",
    ),
    (
        "code",
        'wanted = ["close", "rv_l2", "at_cvd_quote", "feature_time"]\n'
        'rows = alphaqcm.scan(root, "BTCUSDT", wanted)\n'
        "print(rows.head(3).collect())",
    ),
    ("markdown", "What a column means, and what stands in for the two that look ahead:"),
    (
        "code",
        "columns = alphaqcm.columns()\n"
        'print(columns.filter(pl.col("name") == "at_cvd_quote")["definition"].item())\n'
        'print(columns.filter(~pl.col("point_in_time"))["name", "use_instead"].rows())',
    ),
    (
        "markdown",
        "## Bars of any interval\n\nQuarter-past hours, folded from minutes; `n_minutes` tells "
        "whole bars from partial ones.",
    ),
    (
        "code",
        'bars = alphaqcm.bars(root, "ETHUSDT", interval="1h", offset="15m").collect()\n'
        'whole = bars.filter(pl.col("n_minutes") == 60)\n'
        'print(whole["datetime", "open", "close", "n_minutes"].head(3))',
    ),
    (
        "markdown",
        "## Does a signal say anything?\n\nThe rank correlation, hour by hour, between the last "
        "hour's order flow and the next hour's return. (Simulated data: it should not.)",
    ),
    (
        "code",
        'times, symbols, values = alphaqcm.panel(root, ["close", "at_cvd_quote"], valid=False)\n'
        "close, flow = values[:, 0, :], values[:, 1, :]\n"
        "ahead = np.log(close[1:] / close[:-1])\n"
        "known = ~np.isnan(flow[:-1] + ahead).any(axis=1)\n"
        "first, then = (one[known].argsort(1).argsort(1) for one in (flow[:-1], ahead))\n"
        "each = [np.corrcoef(a, b)[0, 1] for a, b in zip(first, then, strict=True)]\n"
        "error = np.std(each) / len(each) ** 0.5\n"
        'print(f"{len(each)} hours: mean {np.mean(each):+.2f}, standard error {error:.2f}")',
    ),
)


def notebook() -> nbformat.NotebookNode:
    """The notebook, not executed."""
    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    for number, (kind, text) in enumerate(CELLS):
        make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        made.cells.append(make(text, id=f"cell-{number}"))
    return made


def executed(made: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in `folder`; raises where a cell fails."""
    client = NotebookClient(
        made, timeout=300, record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    made.metadata.pop("language_info", None)  # the version of this machine's Python
    return made


if __name__ == "__main__":
    nbformat.write(executed(notebook(), Path.cwd()), PAGE)
