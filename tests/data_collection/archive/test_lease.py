"""The lease on an object store's data root: one holder, a number that grows, an end by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.file_record import FileRecord, FileState
from alphaqcm.data_collection.archive.ledger import Ledger
from alphaqcm.data_collection.archive.objects.lease import Lease, hold_store
from alphaqcm.data_collection.archive.objects.ledger_parts import LedgerParts
from alphaqcm.data_collection.archive.objects.object_store import ObjectStore
from alphaqcm.data_collection.errors import LeaseLost, RootBusy, StoreError
from alphaqcm.pipeline.storage.file_store import LOCAL
from tests.helpers.s3_servers import BUCKET, moto, rclone

pytestmark = pytest.mark.process


class Clock:
    """A clock that is set by hand."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with moto() as running:
        yield running.environment


@pytest.fixture
def store(server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return ObjectStore(f"s3://{BUCKET}/{tmp_path.name}", tmp_path / "work")


def another(store: ObjectStore) -> ObjectStore:
    return ObjectStore(store.url, store.root)


def test_the_second_is_told_who_holds_it_until_it_is_given_back(store: ObjectStore) -> None:
    clock = Clock()
    first = Lease(store, clock).take()
    with pytest.raises(
        RootBusy, match=f"{re.escape(first.holder.who)}.*lease ends 1970-01-12T13:47:40"
    ):
        Lease(another(store), clock).take()
    first.give_back()
    second = Lease(another(store), clock).take()
    assert second.holder.token == first.holder.token + 1


def test_a_lease_that_is_not_renewed_ends_and_its_holder_is_fenced_off(store: ObjectStore) -> None:
    clock = Clock()
    first = Lease(store, clock).take()
    clock.now += 59
    first.renew()
    clock.now += 59
    first.check()
    with pytest.raises(RootBusy):
        Lease(another(store), clock).take()
    clock.now += 2
    second = Lease(another(store), clock).take()
    with pytest.raises(LeaseLost, match=f"number {second.holder.token}"):
        first.check()
    with pytest.raises(LeaseLost):
        first.renew()
    first.give_back()  # of what it does not hold: nothing
    second.check()


def test_a_lease_that_ended_unnoticed_is_renewed_before_anything_is_written(
    store: ObjectStore,
) -> None:
    clock = Clock()
    first = Lease(store, clock).take()
    clock.now += 100
    first.check()
    with pytest.raises(RootBusy):
        Lease(another(store), clock).take()


def test_who_lost_the_root_writes_nothing(store: ObjectStore) -> None:
    table = store.root / "final_dataset_all.parquet"
    with hold_store(store):
        store.replace(table, b"ours")
        thief = Lease(another(store), lambda: 1e12)
        thief.take()
        with pytest.raises(LeaseLost):
            store.replace(table, b"late")
        with pytest.raises(LeaseLost), store.batch() as batch:
            batch.add(table).write_bytes(b"late")
            batch.commit()
        with pytest.raises(LeaseLost):
            store.delete(table)
    assert store.read(table) == b"ours"


def test_a_store_that_overwrites_in_silence_is_refused_without_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone(tmp_path / "rclone") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = ObjectStore(f"s3://{BUCKET}/x", tmp_path / "work")
        with pytest.raises(StoreError, match="--no-lease"), hold_store(store):
            pass
        with hold_store(store, lease=False):
            store.replace(store.root / "x", b"1")
        assert store.read(store.root / "x") == b"1"


def record(number: int, **more: object) -> FileRecord:
    return FileRecord(f"data/{number}.zip", FileState.OK, number, sha256="ab", **more)  # type: ignore[arg-type]


def test_the_ledger_travels_in_parts_that_are_put_together(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    parts = LedgerParts(LOCAL, folder)
    with Ledger(tmp_path / "one") as ledger:
        assert parts.restore(ledger) == 0
        for number in range(40):
            ledger.put([record(number), record(7, reason=f"{number}")])
            assert parts.keep(ledger) == (1 if number == 7 else 2)
            assert parts.keep(ledger) == 0
        expected = list(ledger.select())
    assert len(LOCAL.list(folder)) < 16
    with Ledger(tmp_path / "two") as ledger:
        assert LedgerParts(LOCAL, folder).restore(ledger) == 40
        assert list(ledger.select()) == expected
