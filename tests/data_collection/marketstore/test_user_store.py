"""What clients write: kept apart, of every type, whole under concurrency, within its limits."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pymarketstore as pymkts
import pytest

from alphaqcm.data_collection.marketstore.config import MarketstoreConfig
from tests.helpers.marketstore_server import Served, served

TICK = [("Epoch", "i8"), ("Ask", "f4")]
TYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "U16")


def rows(*values: tuple[Any, ...], dtype: Any = TICK) -> Any:
    return np.array(list(values), dtype=dtype)


def errors(reply: Any) -> list[str]:
    return [one["error"] for one in reply["responses"] or []]


@pytest.fixture
def own(tmp_path: Path, month: Path) -> Any:
    """An endpoint whose store is the test's own, over the minutes of `month`."""
    (tmp_path / "binance_klines_1m_parquet").symlink_to(month / "binance_klines_1m_parquet")
    with served(tmp_path) as running:
        yield running


def query(running: Served, symbol: str, timeframe: str, group: str, **words: Any) -> Any:
    return running.client().query(pymkts.Params(symbol, timeframe, group, **words)).first().array


def test_every_type_comes_back_as_it_was_written(own: Served) -> None:
    dtype = [("Epoch", "i8"), *((kind.upper(), kind) for kind in TYPES)]
    array = np.zeros(3, dtype=dtype)
    array["Epoch"] = [60, 120, 180]
    for kind in TYPES[:8]:
        array[kind.upper()] = [np.iinfo(kind).min, 1, np.iinfo(kind).max]
    array["F4"], array["F8"] = [np.nan, -0.0, 1e38], [np.inf, 5e-324, -1e308]
    array["U16"] = ["", "币安人生", "x" * 16]
    client = own.client()
    assert client.write(array, "TEST/1Min/ALL") == {"responses": None}
    found = query(own, "TEST", "1Min", "ALL")
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


def test_the_last_write_of_an_epoch_wins_and_rows_are_in_order(own: Served) -> None:
    client = own.client()
    client.write(rows((180, 3.0), (60, 1.0), (60, 1.5)), "TEST/1Min/Tick")
    client.write(rows((120, 2.0), (180, 9.0)), "TEST/1m/Tick")
    assert query(own, "TEST", "1Min", "Tick").tolist() == [(60, 1.5), (120, 2.0), (180, 9.0)]


def test_rows_of_variable_length_are_all_kept_with_their_nanoseconds(own: Served) -> None:
    dtype = [("Epoch", "i8"), ("Nanoseconds", "i4"), ("Price", "f8")]
    client = own.client()
    told = rows((60, 5, 1.0), (60, 7, 2.0), (60, 5, 3.0), dtype=dtype)
    client.write(told, "TEST/1Sec/TICK", isvariablelength=True)
    found = query(own, "TEST", "1Sec", "TICK", columns=["Price"])
    assert found.tolist() == [(60, 5, 1.0), (60, 5, 3.0), (60, 7, 2.0)]
    later = query(own, "TEST", "1Sec", "TICK", start="1970-01-01 00:01:00.000000006")
    assert later["Price"].tolist() == [2.0]


def test_years_lie_in_files_of_their_own_and_are_read_as_one(own: Served) -> None:
    times = [np.datetime64(f"{year}-06-01", "s").astype(int) for year in (1969, 1970, 2023, 2024)]
    own.client().write(rows(*((int(t), n) for n, t in enumerate(times))), "TEST/1D/X")
    assert query(own, "TEST", "1D", "X")["Epoch"].tolist() == times
    assert query(own, "TEST", "1D", "X", start=int(times[2]))["Epoch"].tolist() == times[2:]
    assert query(own, "TEST", "1D", "X", limit=1)["Epoch"].tolist() == times[3:]


def test_create_list_destroy(own: Served) -> None:
    client = own.client()
    assert errors(client.create("NEW/1D/Mine", TICK)) == [""]
    assert "NEW/1D/Mine" in client.list_symbols(pymkts.ListSymbolsFormat.TBK)
    assert "NEW" in client.list_symbols()
    assert query(own, "NEW", "1D", "Mine").size == 0
    assert "is there already" in errors(client.create("NEW/1D/Mine", TICK))[0]
    assert errors(client.destroy("NEW/1D/Mine")) == [""]
    assert "no bucket" in errors(client.destroy("NEW/1D/Mine"))[0]
    with pytest.raises(Exception, match="no files returned"):
        query(own, "NEW", "1D", "Mine")


@pytest.mark.parametrize("group", ["OHLCV", "OHLCV_EXT"])
def test_canonical_buckets_are_read_only(own: Served, group: str) -> None:
    client = own.client()
    before = query(own, "BTCUSDT", "1D", group)
    key = f"BTCUSDT/1D/{group}"
    for reply in (
        client.write(rows((60, 1.0)), key),
        client.create(key, TICK),
        client.destroy(key),
    ):
        assert "is read-only" in errors(reply)[0]
    assert np.array_equal(query(own, "BTCUSDT", "1D", group), before)
    assert errors(client.write(rows((60, 1.0)), "BTCUSDT/1D/MySignal")) == []


@pytest.mark.parametrize(
    "key",
    [
        "../1D/X", "./1D/X", "A/../X", "A/1D/..", "A/1D/.", "A/1D/X/Y", "A/1D", "A//X",
        "A\0/1D/X", "A\\B/1D/X", "A B/1D/X", "x" * 65 + "/1D/X", "A/1D/" + "币" * 70, "A/nope/X",
        "A/1D/" + "𝔸" * 64, "A*/1D/X", "A/1D/X:Other/Timeframe/AttributeGroup",
    ],
)  # fmt: skip
def test_keys_that_could_leave_the_store_are_refused(own: Served, tmp_path: Path, key: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    client = own.client()
    for reply in (
        client.write(rows((60, 1.0)), key),
        client.create(key, TICK),
        client.destroy(key),
    ):
        assert len(errors(reply)) == 1
        assert errors(reply)[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_words_of_any_script_are_keys(own: Served) -> None:
    assert errors(own.client().write(rows((60, 1.0)), "币安人生USDT/1D/Signal-1.x")) == []
    assert query(own, "币安人生USDT", "1D", "Signal-1.x").tolist() == [(60, 1.0)]


def test_wrong_datasets_are_refused_whole(own: Served) -> None:
    client = own.client()
    client.write(rows((60, 1.0)), "TEST/1Min/Tick")
    other = rows((60, 1.0), dtype=[("Epoch", "i8"), ("Bid", "f4")])
    assert "columns are not those of" in errors(client.write(other, "TEST/1Min/Tick"))[0]
    first = rows((1.0, 60), dtype=[("Ask", "f4"), ("Epoch", "i8")])
    assert "first column" in errors(client.write(first, "TEST/1Min/Other"))[0]
    far = rows((2**62, 1.0))
    assert "years 1 to 9999" in errors(client.write(far, "TEST/1Min/Tick"))[0]
    assert query(own, "TEST", "1Min", "Tick").tolist() == [(60, 1.0)]


def test_the_store_has_a_limit(tmp_path: Path) -> None:
    with served(tmp_path, MarketstoreConfig(user_bytes=20_000)) as running:
        client = running.client()
        assert errors(client.write(rows((60, 1.0)), "A/1D/X")) == []
        many = rows(*((n * 60, n) for n in range(5_000)))
        assert "the user's store is full" in errors(client.write(many, "A/1D/X"))[0]
        assert query(running, "A", "1D", "X").tolist() == [(60, 1.0)]


def test_a_read_only_endpoint_says_why(tmp_path: Path) -> None:
    """Beyond loopback nothing is written unless the configuration says so."""
    for allowed in (False, True):
        config = MarketstoreConfig(listen_host="0.0.0.0", allow_remote_writes=allowed)
        with served(tmp_path, config) as running:
            client = pymkts.Client(running.rpc.replace("0.0.0.0", "127.0.0.1"))
            told = errors(client.write(rows((60, 1.0)), "A/1D/X"))
            assert (told == []) is allowed
            assert allowed or "allow_remote_writes" in told[0]


@pytest.mark.slow
def test_readers_see_whole_writes_while_writers_write(own: Served) -> None:
    """Each write sets every row of the bucket to one number: a reader never sees two."""
    own.client().write(rows(*((n * 60, 0.0) for n in range(500))), "TEST/1Min/Tick")
    stop = threading.Event()
    seen: list[set[float]] = []
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                seen.append(set(query(own, "TEST", "1Min", "Tick")["Ask"].tolist()))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    def write(number: int) -> None:
        try:
            client = own.client()
            for turn in range(15):
                value = float(number * 100 + turn)
                client.write(rows(*((n * 60, value) for n in range(500))), "TEST/1Min/Tick")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert seen
    assert {len(values) for values in seen} == {1}
    assert query(own, "TEST", "1Min", "Tick").size == 500


@pytest.mark.parametrize("unit", [b"\xff\xff\xff\xff", b"\x00\xd8\x00\x00", b"\x00\x00\x11\x00"])
def test_texts_that_are_no_unicode_are_refused(own: Served, unit: bytes) -> None:
    dataset = {
        "types": ["i8", "U16"], "names": ["Epoch", "A"], "data": [bytes(8), unit * 16],
        "length": 1, "startindex": {"X/1D/T": 0}, "lengths": {"X/1D/T": 1},
    }  # fmt: skip
    reply = own.client().client.rpc.call("DataService.Write", requests=[{"dataset": dataset}])
    assert "texts of Unicode characters" in errors(reply)[0]
    assert "X" not in own.client().list_symbols()
