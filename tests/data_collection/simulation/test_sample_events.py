"""What happens on a market can be planted in a sample, and every type shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from alphaqcm.data_collection.commands.main import main
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample import (
    PRICES,
    Altered,
    Delisted,
    DuplicateRows,
    FileTrap,
    Flaw,
    Frozen,
    FundingChange,
    IdGap,
    Jump,
    Listed,
    MissingDay,
    Outage,
    Relisted,
    RepeatedIds,
    SampleSpec,
    Trap,
    Where,
    ZeroQuantity,
    write_sample,
)
from alphaqcm.data_collection.simulation.sample.defect_parser import TRAPS, parse_trap
from alphaqcm.pipeline.domain.registry import DataType, Market, Partition
from tests.helpers.planted_samples import (
    BASE,
    DAY,
    ETH,
    FEBRUARY,
    FUNDING,
    METRICS,
    MINUTES,
    SOL,
    TRADES,
    at,
    changed,
    ms,
)
from tests.helpers.sample_files import Row, day, month, numbers, rows_of, series, times


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sample without traps."""
    root = tmp_path_factory.mktemp("clean")
    write_sample(root, BASE)
    return root


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    def planted(*traps: Trap) -> Path:
        write_sample(tmp_path, replace(BASE, traps=traps))
        return tmp_path

    return planted


Plant = Callable[..., Path]


# ---- what happens on the market


def test_an_outage_is_missing_rows_of_bars_and_trades_for_all(plant: Plant) -> None:
    root = plant(Outage(at(10), at(12, 30)))
    gap = range(ms(at(10)), ms(at(12, 30)))
    for symbol in (ETH, SOL):
        for data_type in (DataType.KLINES, DataType.MARK, DataType.INDEX, DataType.PREMIUM):
            minutes = rows_of(root, day(series(data_type, symbol, "1m"), "2024-02-29"))
            opened = times(minutes, "open_time")
            assert len(opened) == 1440 - 150
            assert not any(moment in gap for moment in opened)
            hours = rows_of(root, day(series(data_type, symbol, "1h"), "2024-02-29"))
            assert [h for h in range(24) if ms(at(h)) not in times(hours, "open_time")] == [10, 11]
        trades = rows_of(root, day(series(DataType.AGGTRADES, symbol), "2024-02-29"))
        assert not any(moment in gap for moment in times(trades, "transact_time"))
        ids = times(trades, "agg_trade_id")
        assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_close_time_beside_an_outage_lies_before_the_open_time(plant: Plant) -> None:
    root = plant(Outage(at(10), at(11)))
    rows = rows_of(root, day(MINUTES, "2024-02-29"))
    wrong = [row for row in rows if int(row["close_time"]) - int(row["open_time"]) != 59_999]
    assert [int(row["open_time"]) for row in wrong] == [ms(at(9, 59))]
    assert int(wrong[0]["close_time"]) < ms(at(9, 59))


def test_an_outage_of_one_symbol_leaves_the_other(clean: Path, plant: Plant) -> None:
    assert all(SOL in name for name in changed(clean, plant(Outage(at(10), at(11), SOL))))


def test_a_late_listing_has_nothing_before(plant: Plant) -> None:
    root = plant(Listed(SOL, at(9, 30)))
    assert not list(root.rglob(f"{SOL}*-2024-02-28.zip"))
    rows = rows_of(root, month(series(DataType.KLINES, SOL, "1m"), FEBRUARY))
    assert int(rows[0]["open_time"]) == ms(at(9, 30))
    assert rows[0]["open"] != rows_of(root, month(MINUTES, FEBRUARY))[0]["open"]
    funding = rows_of(root, month(series(DataType.FUNDING, SOL), FEBRUARY))
    assert times(funding, "calc_time")[0] // 3_600_000 * 3_600_000 == ms(at(12))
    metrics = rows_of(root, day(series(DataType.METRICS, SOL), "2024-02-29"))
    assert metrics[0]["create_time"] == "2024-02-29 09:35:00"


def test_after_a_delisting_bars_without_volume_and_funding_go_on(plant: Plant) -> None:
    root = plant(Delisted(ETH, at(8, day_of_month=28)))
    assert not (root / day(TRADES, "2024-02-29").key).exists()
    assert not (root / day(METRICS, "2024-02-29").key).exists()
    ghosts = rows_of(root, month(MINUTES, FEBRUARY))[480:]
    assert len(ghosts) == 2 * 1440 - 480
    assert {row["volume"] for row in ghosts} == {"0.000"}
    assert len({row[name] for row in ghosts for name in PRICES}) == 1
    assert len(rows_of(root, month(FUNDING, FEBRUARY))) == 6


def test_a_delisting_can_end_every_series(plant: Plant) -> None:
    end = at(8, day_of_month=28)
    root = plant(Delisted(ETH, end, bars_go_on=False, funding_goes_on=False))
    assert len(rows_of(root, month(MINUTES, FEBRUARY))) == 480
    assert len(rows_of(root, month(FUNDING, FEBRUARY))) == 1
    assert not list(root.rglob(f"{ETH}*-2024-02-29.zip"))


def test_a_relisted_symbol_trades_again_at_another_price(plant: Plant) -> None:
    root = plant(Delisted(ETH, at(8, day_of_month=28)), Relisted(ETH, at(12), 0.1))
    trades = rows_of(root, month(TRADES, FEBRUARY))
    before = [row for row in trades if int(row["transact_time"]) < ms(at(8, day_of_month=28))]
    after = trades[len(before) :]
    assert int(after[0]["transact_time"]) >= ms(at(12))
    assert numbers(after, "price")[-1] < numbers(before, "price")[-1] / 5


def test_frozen_prices_keep_their_volume(plant: Plant) -> None:
    root = plant(Frozen(ETH, at(3), at(5)))
    rows = rows_of(root, day(MINUTES, "2024-02-29"))[181:300]
    assert len({row[name] for row in rows for name in PRICES}) == 1
    assert sum(numbers(rows, "volume")) > 0


def test_a_jump_moves_every_price(clean: Path, plant: Plant) -> None:
    root = plant(Jump(ETH, at(12), 1.5))
    for data_type in (DataType.KLINES, DataType.MARK, DataType.INDEX):
        file = day(series(data_type, ETH, "1m"), "2024-02-29")
        ratio = [
            ours / theirs
            for ours, theirs in zip(
                numbers(rows_of(root, file), "close"),
                numbers(rows_of(clean, file), "close"),
                strict=True,
            )
        ]
        assert all(abs(value - 1) < Decimal("0.001") for value in ratio[:720])
        assert all(abs(value - Decimal("1.5")) < Decimal("0.01") for value in ratio[735:])


def test_a_funding_interval_can_change(plant: Plant) -> None:
    rows = rows_of(plant(FundingChange(ETH, at(0), 4)), month(FUNDING, FEBRUARY))
    hours = [moment // 3_600_000 % 24 for moment in times(rows, "calc_time")]
    assert hours == [0, 8, 16, 0, 4, 8, 12, 16, 20]
    assert [row["funding_interval_hours"] for row in rows] == ["8"] * 3 + ["4"] * 6


def test_zero_quantities_are_trades_like_others(plant: Plant) -> None:
    root = plant(ZeroQuantity(ETH, DAY, 4))
    trades = rows_of(root, day(TRADES, "2024-02-29"))
    assert sum(quantity == 0 for quantity in numbers(trades, "quantity")) == 4
    bars = rows_of(root, day(MINUTES, "2024-02-29"))
    fills = sum(int(row["last_trade_id"]) - int(row["first_trade_id"]) + 1 for row in trades)
    assert sum(times(bars, "count")) == fills
    assert sum(numbers(bars, "volume")) == sum(numbers(trades, "quantity"))


def test_zero_quantities_need_trades_to_stand_beside(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ZeroQuantity of ETHUSDT on 2024-02-29"):
        write_sample(tmp_path, replace(BASE, trades_per_day=1, traps=(ZeroQuantity(ETH, DAY),)))


def test_an_id_gap_loses_no_trade(clean: Path, plant: Plant) -> None:
    root = plant(IdGap(ETH, at(6), 250_000))
    rows, before = (rows_of(where, month(TRADES, FEBRUARY)) for where in (root, clean))
    steps = Counter(b - a for a, b in pairwise(times(rows, "agg_trade_id")))
    assert steps == {1: len(rows) - 2, 250_001: 1}
    assert [{**row, "agg_trade_id": ""} for row in rows] == [
        {**row, "agg_trade_id": ""} for row in before
    ]
    assert changed(clean, root) == {
        f"{ETH}-aggTrades-{FEBRUARY}.zip",
        f"{ETH}-aggTrades-2024-02-29.zip",
    }


def test_ids_of_the_day_before_can_come_again(plant: Plant) -> None:
    root = plant(RepeatedIds(ETH, DAY))
    first, second = (rows_of(root, day(TRADES, text)) for text in ("2024-02-28", "2024-02-29"))
    assert second[0]["agg_trade_id"] == first[0]["agg_trade_id"]
    assert second[0]["transact_time"] != first[0]["transact_time"]


# ---- words


@pytest.mark.parametrize(
    "trap",
    [
        Jump("BTCUSDT", at(12)),
        Jump(ETH, datetime(2024, 3, 9, tzinfo=UTC)),
        Jump(ETH, at(12).replace(second=1)),
        RepeatedIds(ETH, date(2024, 2, 28)),
        MissingDay(Where(ETH, DataType.METRICS, date(2024, 1, 1))),
        FileTrap(Where(ETH, DataType.METRICS, partition=Partition.MONTHLY), Flaw.ABSENT),
    ],
    ids=repr,
)
def test_a_trap_that_touches_nothing_is_refused(tmp_path: Path, trap: Trap) -> None:
    with pytest.raises(UsageError, match=type(trap).__name__):
        write_sample(tmp_path, replace(BASE, trades_per_day=50, traps=(trap,)))


def test_traps_of_trades_need_trades() -> None:
    with pytest.raises(UsageError, match="IdGap"):
        replace(BASE, minutes_only=True, traps=(IdGap(ETH, at(6)),))


@pytest.mark.parametrize(
    ("words", "trap"),
    [
        ("jump symbol=ETHUSDT at=2024-02-29T06:00", Jump(ETH, at(6))),
        (
            "missing-day symbol=ETHUSDT type=klines day=2024-02-29 partition=monthly",
            MissingDay(Where(ETH, DataType.KLINES, DAY, partition=Partition.MONTHLY)),
        ),
        (
            "altered type=metrics columns=a,b start=2024-02-29 end=2024-02-29T01:00 factor=0",
            Altered(Where(type=DataType.METRICS), ("a", "b"), at(0), at(1), 0.0),
        ),
        (
            "delisted symbol=ETHUSDT at=2024-02-29 bars_go_on=no",
            Delisted(ETH, at(0), bars_go_on=False),
        ),
        ("file-trap flaw=cut-zip", FileTrap(Where(), Flaw.CUT_ZIP)),
    ],
)
def test_a_trap_can_be_told_in_words(words: str, trap: Trap) -> None:
    assert parse_trap(words) == trap


@pytest.mark.parametrize(
    "words",
    ["", "earthquake", "jump", "jump symbol=A at=noon", "jump symbol=A at=2024-02-29 x=1"],
)
def test_words_that_are_no_trap_are_refused(words: str) -> None:
    with pytest.raises(UsageError, match="--plant"):
        parse_trap(words)


def test_the_command_plants_traps_and_lists_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--symbols", ETH, "--days", "1", "--trades-per-day", "100"]
    plant = ["--plant", f"missing-day symbol={ETH} type=metrics day=2024-02-29"]
    assert main(["sample", str(tmp_path), *size, *plant]) == 0
    assert not list(tmp_path.rglob("*metrics*.zip"))
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    words = capsys.readouterr().out
    assert all(f"\n  {name} " in words for name in TRAPS)


def test_a_destination_that_is_a_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine")
    size = ["--symbols", "1", "--days", "1", "--trades-per-day", "50"]
    assert main(["sample", str(tmp_path / "taken"), *size]) == 1
    assert str(tmp_path / "taken") in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "mine"


def test_spot_takes_traps_too(tmp_path: Path) -> None:
    spec = SampleSpec((ETH,), 1, market=Market.SPOT, trades_per_day=500)
    write_sample(tmp_path, replace(spec, traps=(DuplicateRows(Where(ETH, DataType.AGGTRADES)),)))
    rows: list[Row] = rows_of(
        tmp_path, day(series(DataType.AGGTRADES, ETH, market=Market.SPOT), "2024-02-29")
    )
    assert len(rows) - len(set(times(rows, "agg_trade_id"))) == 3
