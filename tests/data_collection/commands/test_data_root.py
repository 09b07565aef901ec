"""Commands on a data root that is not there, or that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphaqcm.data_collection.commands import main as cli

READING = [
    ["verify"],
    ["ledger"],
    ["check"],
    ["info"],
    ["sql", "SHOW TABLES"],
    ["export", "final"],
    ["export", "stages"],
    ["export", "crypto_1min"],
    ["training-set"],
    ["build"],
    ["update"],
    ["monitor", "--once"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_data_root_that_is_not_there_is_refused_and_not_made(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    option = "--root" if words[0] == "monitor" else "--data-root"
    assert cli.main([*words, option, str(tmp_path / "typo")]) == 2
    assert str(tmp_path / "typo") in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_verify_refuses_a_directory_without_archive_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", "--data-root", str(tmp_path)]) == 2
    assert "expected the archive files of a data root" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
