"""Every layer of a data root as a DuckDB view, in a connection that can only read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.layer_files import LayerFiles, final_tables, layers
from alphaqcm.pipeline.errors import LayerError, layer_error
from alphaqcm.pipeline.features.columns import REGISTRY, DType
from alphaqcm.pipeline.storage.file_digest import Proof
from alphaqcm.pipeline.storage.layout import LAYERS, Layout
from alphaqcm.pipeline.storage.verified_read import damaged
from alphaqcm.pipeline.tables.layer_audit import audit_layers

_LONGEST_HEADER = 1 << 16  # characters of a CSV's first line
_SQL_TYPES = {DType.FLOAT: "DOUBLE", DType.BOOLEAN: "BOOLEAN", DType.TIME: "TIMESTAMPTZ"}


@dataclass(frozen=True, slots=True)
class View:
    """One layer: the view's name, the files behind it, and the query that reads them."""

    name: str
    files: str  # a glob
    query: str


def views(layout: Layout) -> Iterator[View]:
    """The views of every layer that has files, in the order they are made."""
    for layer in layers(layout):
        yield from _view(layer)
    for name, table in final_tables(layout):
        query = f"SELECT * FROM read_parquet({_text(_literal(table))})"  # noqa: S608 - our own path
        yield View(name, str(table), query)


def _view(layer: LayerFiles) -> Iterator[View]:
    one = layer.any
    if one is None:
        return
    files = f"{_literal(layer.folder)}/{layer.pattern}"
    is_parquet = layer.pattern.endswith(".parquet")
    read = f"read_parquet({_text(files)}, filename = true)" if is_parquet else _read_csv(files, one)
    key = f"regexp_extract(filename, {_text(layer.symbol)}, 1) AS symbol"
    yield View(layer.name, files, f"SELECT {key}, * EXCLUDE (filename) FROM {read}")  # noqa: S608


def _literal(path: Path) -> str:
    """The path in a glob: its own `[`, `*` and `?` as themselves."""
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path))


def _read_csv(files: str, one: Path) -> str:
    """All files of a layer have the columns of `one`; types are told, never guessed from rows."""
    try:
        with one.open(encoding="utf-8") as stream:
            time, *names = stream.readline(_LONGEST_HEADER).strip().split(",")
    except OSError as error:
        raise layer_error(one, error) from error
    except UnicodeDecodeError as error:
        raise _damaged(str(one), str(error)) from error
    types = {time: "TIMESTAMP WITH TIME ZONE"} | {name: _sql_type(name) for name in names}
    told = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in types.items())
    # null is an empty field
    return (
        f"read_csv({_text(files)}, filename = true, header = true, nullstr = '', "
        f"auto_detect = false, delim = ',', columns = {{{told}}})"
    )


def _damaged(files: str, found: str) -> LayerError:
    return LayerError(
        files,
        expected="files of a layer",
        found=found[:300],
        next_step="alphaqcm build or alphaqcm export makes a damaged file again",
    )


def _sql_type(column: str) -> str:
    dtype = REGISTRY[column].dtype if column in REGISTRY else DType.FLOAT
    return _SQL_TYPES.get(dtype, "BIGINT")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def connect(layout: Layout, text: str | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory database with the views; it can read below the data root and nowhere else.

    Times are in UTC. Raises `UsageError` where the root has no layers, and `LayerError` for a layer
    that cannot be read, with a query's `text` only for one that the query names.
    """
    wanted = None if text is None else _named(text)
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    connection.execute("SET TimeZone = 'UTC'")
    made = 0
    for view in views(layout):
        try:
            connection.execute(f"CREATE VIEW {_name(view.name)} AS {view.query}")
        except duckdb.Error as error:
            if wanted is None or view.name in wanted:
                raise _damaged(view.files, f"{error}") from error
        made += 1
    if not made:
        raise UsageError(
            layout.base,
            expected="a data root with layers",
            found="none",
            next_step="alphaqcm run, or name the data root with --data-root",
        )
    allowed = [layout.root, *layout.overrides.values()]
    # a view's glob is looked up by its own text, then each file by its path
    texts = {text for path in allowed for text in (str(path), _literal(path))}
    folders = ", ".join(map(_text, sorted(texts)))
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def require_whole(layout: Layout, text: str) -> None:
    """Prove the files of the layers that a query names; raises `DamagedFile` for the first damaged.

    DuckDB itself verifies nothing that it reads.
    """
    named = _named(text)
    views_of = {each.view: each.name for each in LAYERS if each.view}
    wanted = {views_of[name] for name in named if name in views_of}
    if any(name.startswith("final") for name in named):
        wanted.add("final")
    for found in audit_layers(layout, wanted):
        if found.proof is Proof.DAMAGED:
            raise damaged(found.path)


def _named(text: str) -> set[str]:
    """The tables that a query names; none of one that is not SQL, as `query` will tell."""
    try:
        with duckdb.connect() as empty:  # where the views are, their names are looked through
            return set(empty.get_table_names(text))
    except duckdb.Error:
        return set()


def query(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.DuckDBPyRelation:
    """Run one reading statement; raises `UsageError` for anything else and for wrong SQL."""
    try:
        statements = connection.extract_statements(text)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            kinds = ", ".join(statement.type.name for statement in statements)
            raise UsageError(
                "the query",
                expected="one reading statement (SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE)",
                found=kinds or "none",
                next_step="the layers are read-only; write results with --format csv > FILE",
            )
        return connection.sql(text)
    except duckdb.Error as error:
        raise UsageError(
            "the query",
            expected="SQL over " + ", ".join(_names(connection)),
            found=str(error),
            next_step='alphaqcm sql "SHOW TABLES", or for examples: alphaqcm docs sql',
        ) from error


def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [name for (name,) in connection.sql("SHOW TABLES").fetchall()]
