"""Objects that take long: bodies over a slow line, ends that the store answers late or never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from alphaqcm.data_collection.archive.objects import meta, object_store
from alphaqcm.data_collection.archive.objects.meta import Patience
from alphaqcm.data_collection.archive.objects.object_store import ObjectStore
from alphaqcm.data_collection.archive.objects.sealed_stream import SealedStream
from alphaqcm.data_collection.archive.objects.streamed_upload import PART
from alphaqcm.data_collection.errors import StoreError
from alphaqcm.pipeline.storage.file_digest import UNSEALED, seal
from tests.helpers.s3_servers import (
    BUCKET,
    FINE,
    Choose,
    Fault,
    Request,
    S3Server,
    faulty,
    moto,
    rclone,
)

pytestmark = pytest.mark.process

BODY = bytes(range(256)) * (PART // 256 + 1)  # more than a part
WORDS = f'{{"digest":"{UNSEALED}"}}'.encode()
FOOTER = WORDS + len(WORDS).to_bytes(4, "little") + b"PAR1"  # as a parquet ends

Open = Callable[[Choose], ObjectStore]
on_moto = pytest.mark.parametrize("server", ["moto"], indirect=True)
on_rclone = pytest.mark.parametrize("server", ["rclone"], indirect=True)


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    """Asked for an end again, the first says that it is done, the second knows no such upload."""
    chosen = moto() if request.param == "moto" else rclone(tmp_path_factory.mktemp("rclone"))
    with chosen as running:
        yield running


@pytest.fixture
def through(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a store behind a proxy with faults; who asks it has little patience."""
    monkeypatch.setattr(meta, "_RETRIES", 2)
    monkeypatch.setattr(object_store, "_PAUSE", 0.01)
    monkeypatch.setattr(object_store, "ASKING", Patience(1.0, 60.0))
    with ExitStack() as proxies:

        def opened(choose: Choose) -> ObjectStore:
            proxy, _ = proxies.enter_context(faulty(server, choose))
            for name, value in proxy.environment.items():
                monkeypatch.setenv(name, value)
            return ObjectStore(f"s3://{BUCKET}/{tmp_path.name}", tmp_path / "work")

        yield opened


class AtTheEnd:
    """Gives its faults to the requests that end an upload, one after another."""

    def __init__(self, *faults: Fault) -> None:
        self.left = list(faults)
        self.ends = 0

    def __call__(self, request: Request) -> Fault:
        """Choose."""
        self.ends += request.is_completion
        return self.left.pop(0) if request.is_completion and self.left else FINE


def publish(store: ObjectStore, path: Path) -> bytes:
    """Send a table of two parts; gives what is to lie there then."""
    with store.sealed(path) as written:
        assert isinstance(written, SealedStream)
        written.write(BODY)
        written.begin_footer()
        written.write(FOOTER)
    return store.read(path) or b""


@pytest.mark.parametrize(
    ("server", "fault"),
    [
        ("moto", Fault(status=500, done=True)),
        ("rclone", Fault(status=500, done=True)),
        ("rclone", Fault(delay=1.5, done=True)),
    ],
    indirect=["server"],
)
def test_an_object_whose_end_was_done_is_there_although_the_answer_was_lost(
    through: Open, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(object_store, "SENDING", object_store.ASKING)
    choose = AtTheEnd(fault)
    store = through(choose)
    data = publish(store, store.root / "table")
    assert data == seal(BODY + FOOTER)
    told = store.written(store.root / "table")
    assert told is not None
    assert told.size == len(data)
    assert choose.ends > 1  # it was asked for again
    choose.left = [fault]
    store.upload(store.root / "plain", BODY)
    assert store.read(store.root / "plain") == BODY


@on_rclone
def test_an_object_whose_end_was_refused_is_not_taken_for_another_of_its_size(
    through: Open,
) -> None:
    old = bytes(len(BODY) + len(FOOTER))
    store = through(AtTheEnd(*[Fault(status=500)] * 3))
    through(lambda _: FINE).upload(store.root / "table", old)
    with pytest.raises(StoreError, match="a store that answers"):
        publish(store, store.root / "table")
    assert store.read(store.root / "table") == old
    store = through(AtTheEnd(*[Fault(status=500)] * 3))
    with pytest.raises(StoreError):
        publish(store, store.root / "new")
    assert store.stat(store.root / "new") is None


@on_moto
def test_the_store_may_take_its_time_to_join_the_parts(through: Open) -> None:
    choose = AtTheEnd(Fault(delay=1.5, done=True))
    store = through(choose)
    publish(store, store.root / "table")
    assert choose.ends == 1  # nobody asked again meanwhile


@on_moto
def test_a_body_may_come_slowly_as_long_as_it_comes(through: Open) -> None:
    asked = []

    def slow(request: Request) -> Fault:
        if request.method != "GET":
            return FINE
        asked.append(request.path)
        return Fault(dribble=0.15)

    store = through(slow)
    store.upload(store.root / "large", BODY)
    with store.open(store.root / "large") as stream:
        assert stream.read() == BODY
    assert len(asked) == 1  # 1.5 s are more than the patience of a second, no pause is
