"""The object store keeps the file store's protocol, on two servers and through a bad network."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphaqcm.data_collection.archive.objects.errors import store_error
from alphaqcm.data_collection.archive.objects.lease import conditional_puts
from alphaqcm.data_collection.archive.objects.object_store import (
    PART,
    ObjectStore,
    is_store_url,
)
from alphaqcm.data_collection.errors import LeaseLost, StoreError, StoreRefused, UsageError
from alphaqcm.pipeline.errors import Conflict, LayerError
from alphaqcm.pipeline.storage.file_digest import UNSEALED, Proof, proof_of, told_digest
from alphaqcm.pipeline.storage.file_store import LOCAL, FileStore
from tests.helpers.s3_servers import BUCKET, Fault, Request, S3Server, faulty, moto, rclone

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def with_conditions() -> Iterator[S3Server]:
    with moto() as server:
        yield server


@pytest.fixture(scope="module")
def without_conditions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(params=["with_conditions", "without_conditions"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "work"


def opened(server: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store under a prefix of this test's own."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return ObjectStore(f"s3://{BUCKET}/{root.parent.name}/here", root)


@pytest.fixture
def store(server: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    return opened(server, root, monkeypatch)


def protocol(store: FileStore, root: Path) -> list[object]:
    """What a store answers to everything the protocol has, without conditional puts."""
    one, two = root / "layer" / "BTC:USDT" / "2024-01.parquet", root / "layer" / "flat.csv"
    told: list[object] = [store.read(one), store.stat(one), store.list(root / "layer")]
    store.delete(one)
    store.replace(one, b"first")
    store.replace(two, b"")
    with store.batch() as batch:
        batch.add(one).write_bytes(b"second")
        batch.add(root / "layer" / "a b" / "é=1.csv").write_bytes(b"x" * 10)
        told.append(store.read(one))
        batch.commit()
    with store.batch() as batch:
        batch.add(two).write_bytes(b"never committed")
    first = store.stat(one)
    assert first is not None
    store.replace(root / "layer" / ".hidden", b"")
    told += [
        store.read(one),
        store.read(two),
        first.size,
        first == store.stat(one),
        [path.relative_to(root) for path in store.list(root / "layer")],
        [path.relative_to(root) for path in store.list(root / "layer", "*/*.parquet")],
        [path.relative_to(root) for path in store.list(root, "layer/**/*.csv")],
        [path.relative_to(root) for path in store.list(root / "layer", "f*.csv")],
        store.list(root / "nowhere"),
    ]
    store.replace(one, b"third, and longer")
    again = store.stat(one)
    told.append(again is not None and again.version != first.version)
    with store.open(one) as stream:
        told += [stream.read(5), stream.seek(-6, 2), stream.read(), stream.read(1)]
    with pytest.raises(LayerError):
        store.open(root / "layer" / "nothing")
    store.delete(one)
    told += [store.read(one), store.stat(one)]
    return told


def test_it_answers_as_the_local_store_does(store: ObjectStore, root: Path, tmp_path: Path) -> None:
    assert protocol(store, root) == protocol(LOCAL, tmp_path / "local")


def test_a_large_object_travels_in_parts(store: ObjectStore, root: Path) -> None:
    data = bytes(range(256)) * (2 * PART // 256 + 7)
    with store.batch() as batch:
        batch.add(root / "large").write_bytes(data)
        batch.commit()
    assert store.read(root / "large") == data
    with store.open(root / "large") as stream:
        assert stream.seek(PART - 3) == PART - 3
        assert stream.read(7) == data[PART - 3 : PART + 4]
    assert [path for path in root.rglob("*") if path.is_file()] == []  # nothing is left here


def write_parquet(store: FileStore, path: Path, groups: int, fail_at: int = -1) -> None:
    schema = pa.schema([("x", pa.float64())])
    with (
        store.sealed(path) as written,
        pq.ParquetWriter(written.target, schema, compression="zstd") as writer,
    ):
        for number in range(groups):
            if number == fail_at:
                raise RuntimeError("in the middle")
            values = np.random.default_rng(number).random(PART // 8)
            writer.write_table(pa.table({"x": values}, schema))
        writer.add_key_value_metadata({"alphaqcm": f'{{"digest":"{UNSEALED}"}}'})
        written.begin_footer()


@pytest.mark.parametrize("groups", [1, 4])
def test_a_parquet_is_sealed_as_it_is_sent(
    store: ObjectStore, root: Path, tmp_path: Path, groups: int
) -> None:
    write_parquet(store, root / "table.parquet", groups)
    write_parquet(LOCAL, tmp_path / "table.parquet", groups)
    data = (tmp_path / "table.parquet").read_bytes()
    assert store.read(root / "table.parquet") == data
    assert proof_of(data) is Proof.WHOLE
    told = store.written(root / "table.parquet")
    assert told is not None
    assert (told.sha256, told.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert told.digest == told_digest(data)
    store.replace(root / "table.parquet", b"another")
    assert store.written(root / "table.parquet") is None


def test_an_error_in_the_middle_leaves_the_old_table_and_no_parts(
    with_conditions: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(with_conditions, root, monkeypatch)
    client = boto3.client("s3", endpoint_url=with_conditions.environment["AWS_ENDPOINT_URL"])

    def unfinished() -> int:
        return len(client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    table = root / "table.parquet"
    with pytest.raises(RuntimeError, match="in the middle"):
        write_parquet(store, table, 4, fail_at=3)
    assert store.stat(table) is None
    store.replace(table, b"the old one")
    with pytest.raises(RuntimeError, match="in the middle"):
        write_parquet(store, table, 4, fail_at=3)
    lost = LeaseLost("x")

    def fenced() -> None:
        nonlocal checks
        checks += 1
        if checks == 2:  # at the beginning all was well
            raise lost

    checks = 0
    store.fence = fenced
    with pytest.raises(LeaseLost):
        write_parquet(store, table, 4)
    assert store.read(table) == b"the old one"
    assert unfinished() == 0


def test_it_can_be_sent_to_another_process(store: ObjectStore, root: Path) -> None:
    store.replace(root / "x", b"1")
    assert pickle.loads(pickle.dumps(store)) == store
    assert pickle.loads(pickle.dumps(store)).read(root / "x") == b"1"


def test_one_listing_answers_for_all(
    with_conditions: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty(with_conditions, lambda _: Fault()) as (server, counted):
        store = opened(server, root, monkeypatch)
        for number in range(20):
            store.replace(root / "layer" / f"{number}", b"x")
        counted.requests = 0
        with store.as_listed():
            assert all(store.stat(root / "layer" / f"{number}") for number in range(20))
            assert store.stat(root / "layer" / "20") is None
            assert len(store.list(root / "layer")) == 20
            assert counted.requests == 1
            store.replace(root / "layer" / "20", b"x")
            assert store.stat(root / "layer" / "20") is not None


def test_conditional_puts_are_tried_and_their_lack_is_found(
    with_conditions: S3Server,
    without_conditions: S3Server,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = opened(with_conditions, root, monkeypatch)
    assert conditional_puts(store)
    first = store.put_if(root / "lease", b"1", None)
    with pytest.raises(Conflict):
        store.put_if(root / "lease", b"2", None)
    second = store.put_if(root / "lease", b"2", first)
    with pytest.raises(Conflict):
        store.put_if(root / "lease", b"3", first)
    assert store.read_version(root / "lease") == (b"2", second)
    lacking = opened(without_conditions, root, monkeypatch)
    assert not conditional_puts(lacking)
    assert list(lacking.objects(root)) == []  # what it tried with is gone


@contextmanager
def meeting(server: S3Server, every: int, fault: Fault) -> Iterator[tuple[S3Server, int]]:
    """The server with a fault at every n-th request of a kind."""

    def choose(request: Request) -> Fault:
        return fault if request.number % every == 1 else Fault()

    with faulty(server, choose) as (proxy, counted):
        yield proxy, counted.requests
        assert counted.faults > 0


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(status=500), Fault(cut=3), Fault(delay=0.02)],
    ids=["slow down", "server error", "reset in mid-body", "20 ms"],
)
def test_faults_in_passing_change_nothing(
    server: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, tmp_path: Path
) -> None:
    with meeting(server, 3, fault) as (proxy, _):
        store = opened(proxy, root, monkeypatch)
        assert protocol(store, root) == protocol(LOCAL, tmp_path / "local")
        data = bytes(range(256)) * (PART // 256 + 1)
        store.replace(root / "large", data)
        assert store.read(root / "large") == data


def test_what_cannot_be_mended_is_told(
    server: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(server, root, monkeypatch)
    with pytest.raises(StoreError, match="a bucket that exists"):
        ObjectStore("s3://no-such-bucket/x", root).replace(root / "x", b"")
    with pytest.raises(StoreError, match="a bucket that exists"):
        list(ObjectStore("s3://no-such-bucket/x", root).objects(root))
    with pytest.raises(UsageError, match="s3://bucket/prefix"):
        ObjectStore("s3://", root)
    store.replace(root / "x", b"")


def test_refused_credentials_are_told_with_the_variables_to_set(
    without_conditions: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(without_conditions, root, monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = ObjectStore(f"s3://{BUCKET}/x", root)
    for action in (lambda: store.replace(root / "x", b""), lambda: store.read(root / "x")):
        with pytest.raises(StoreError, match="AWS_SECRET_ACCESS_KEY") as told:
            action()
        assert "wrong" not in str(told.value)


@pytest.mark.parametrize("status", [400, 403])  # S3 answers the first, others the second
def test_credentials_that_ended_are_told_at_once(
    with_conditions: S3Server, root: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    fault = Fault(status=status, code="ExpiredToken")
    with faulty(with_conditions, lambda _: fault) as (server, counted):
        store = opened(server, root, monkeypatch)
        with pytest.raises(StoreRefused, match=r"found ExpiredToken; .*AWS_SESSION_TOKEN"):
            store.read(root / "x")
        assert counted.requests == 1  # asking again is of no use


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("az://container/x", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://bucket/x", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("s3://bucket/x", "AWS_ACCESS_KEY_ID"),
    ],
)
def test_missing_credentials_are_told_by_the_names_of_their_own_store(
    url: str, variable: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    if url.startswith("az"):
        with pytest.raises(StoreError, match=variable):
            ObjectStore(url, root)
    asked = OSError("PUT http://169.254.169.254/latest/api/token: no such host")
    assert variable in str(store_error(url, asked))


def test_a_data_root_is_a_url_or_a_path() -> None:
    assert all(map(is_store_url, ("s3://b/p", "gs://b", "az://c/p")))
    assert not any(map(is_store_url, ("AlphaQCM_data", "/s3/x", "file:///x", "s3:/b", "http://x")))
