"""A live directory kept by a real `alphaqcm bmac start` beside a test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pandas as pd
import polars as pl

from alphaqcm.data_collection.live.files.ready_names import parse_ready_name
from alphaqcm.data_collection.simulation.exchange import Exchange
from tests.helpers.simulated_exchange import environment, truth

COLUMNS = [
    "candle_begin_time", "open", "high", "low", "close", "volume", "quote_volume", "trade_num",
    "taker_buy_base_asset_volume", "taker_buy_quote_asset_volume",
]  # fmt: skip


class LiveDirectory:
    """Starts the client on `base`; use it in a `with`, or `start` and `stop` it."""

    def __init__(self, server: Exchange, base: Path, *options: str, **config: Any) -> None:
        self.server, self.base, self.options = server, base, options
        self.config = {
            "interval": "1m",
            "trade_type": "usdt_perp",
            "num_candles": 120,
            "num_socket_listeners": 2,
            **config,
        }
        base.mkdir(parents=True, exist_ok=True)
        (base / "config.json").write_text(json.dumps(self.config))
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        words = ["bmac", "start", str(self.base), "--exchange", self.server.url, *self.options]
        with (self.base / "out.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "alphaqcm", *words],
                stdout=log,
                stderr=log,
                env=environment(self.server.url),
                text=True,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return (self.base / "out.log").read_text()

    @property
    def status(self) -> dict[str, Any]:
        """The newest status of the process that runs now, empty before there is one."""
        try:
            told = json.loads((self.base / "_live" / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        if self.process is None or told["pid"] != self.process.pid or not told["port"]:
            return {}
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{told['port']}/health") as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:  # not healthy: it says how
            return dict(json.loads(error.read()))
        except OSError:
            return {}

    def wait(
        self, what: str, holds: Callable[[dict[str, Any]], object], seconds: float = 90
    ) -> Any:
        """Wait until something holds of the status; gives it back."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process is None or self.process.poll() is None, self.log
            status = self.status
            if status and (found := holds(status)):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{what} did not come to hold: {self.status}\n{self.log[-3000:]}")

    def wait_warm(self) -> None:
        self.wait(
            "a warm client with a file of each symbol",
            lambda s: (
                s["warm"]
                and s["trading"] > 0
                and len(list(self.folder.glob("*.ready"))) >= s["symbols"]
            ),
        )

    def pass_until(self, moment_ms: float) -> None:
        """Wait until the exchange's clock is there."""
        clock = self.server.state.clock
        end = time.monotonic() + 60 + clock.real_seconds(moment_ms - clock.now())
        while clock.now() < moment_ms:
            assert time.monotonic() < end
            assert self.process is None or self.process.poll() is None, self.log
            time.sleep(0.05)

    def wait_until(self, moment_ms: float) -> None:
        """Wait until the exchange's clock is there and every trading symbol is ready for it."""
        self.pass_until(moment_ms)
        self.wait(
            f"{moment_ms} to be complete",
            lambda s: (
                s["ready"] == s["trading"] > 0
                and _ms(s["run_time"]) >= moment_ms // 60_000 * 60_000
                and _ms(s["at"]) >= moment_ms
            ),
        )

    @property
    def folder(self) -> Path:
        return self.base / f"{self.config['trade_type']}_{self.config['interval']}"

    def symbols(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.pqt"))

    def rows(self, symbol: str, folder: Path | None = None) -> pl.DataFrame:
        """A candle file's rows; trade_num is a double there."""
        frame = pd.read_parquet((folder or self.folder) / f"{symbol}.pqt")
        assert list(frame.columns) == COLUMNS
        assert frame.index.name == "candle_end_time"
        return pl.from_pandas(frame.reset_index(drop=True)).with_columns(
            pl.col("candle_begin_time").dt.cast_time_unit("us"),
            pl.col("trade_num").cast(pl.Int64),
        )

    def assert_equals_truth(
        self, symbol: str, market: str = "um", folder: Path | None = None
    ) -> int:
        """Every cell is the exchange's, no candle is missing or doubled; how many there are."""
        rows = self.rows(symbol, folder)
        assert rows.height, symbol
        begins = rows["candle_begin_time"].dt.epoch("ms")
        end = int(begins[-1]) + 60_000
        expected = truth(self.server, market, symbol, int(begins[0]), end, "1m")
        if not rows.equals(expected.select(rows.columns)):
            both = rows.join(expected, on="candle_begin_time", how="full", suffix="_true")
            raise AssertionError(f"{symbol}: {both.filter(pl.any_horizontal(pl.all().is_null()))}")
        return rows.height

    def ready_times(self) -> dict[str, list[int]]:
        """Run times (ms) of each symbol's ready files."""
        found: dict[str, list[int]] = {}
        for path in self.folder.glob("*.ready"):
            parsed = parse_ready_name(path.name)
            assert parsed is not None
            found.setdefault(parsed[0], []).append(parsed[1] // 1000)
        return found

    def notes(self, name: str) -> list[dict[str, Any]]:
        """The lines of `gaps.jsonl` or `revisions.jsonl`."""
        path = self.base / "_live" / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000
