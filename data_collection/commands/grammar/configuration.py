"""Where an option's value comes from: command line, variable, configuration file, default.

The first of these that names it decides. A configuration file is `alphaqcm.toml` of the working
directory or what `--config` names; its keys are the options' names, at the top for every command or
in a table of a command's name:

    data-root = "/data/AlphaQCM_data"
    symbols = ["BTCUSDT", "ETHUSDT"]
    [fetch]
    connections = 32

A data root may hold an `alphaqcm.toml` too, which is read last. A root can come from elsewhere, so
a file inside one may set what is looked at (symbols, days, market, workers) and nothing that tells
where data, credentials or processes are.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphaqcm.data_collection.commands.grammar.values import yes_or_no
from alphaqcm.data_collection.commands.options import Kind, Option
from alphaqcm.data_collection.errors import UsageError

FILE_NAME = "alphaqcm.toml"
DEFAULT_ORIGIN = "default"
EXCLUSIVE = ("symbols", "symbols_file")
"""Options of which one is given at most; naming one takes the place of the other further down."""

_SHOWN = 80  # letters of a wrong value that an error repeats


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it comes from."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class _Layer:
    """One place that may name options: raw values by attribute, and how a message calls them."""

    raw: Mapping[str, Any]
    origin: Callable[[Option], str]
    subject: Callable[[Option, Any], str]


def resolve(
    command: str,
    options: Iterable[Option],
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    known: Mapping[str, frozenset[str]],
) -> dict[str, Setting]:
    """The setting of each option by attribute; raises `UsageError`.

    `given` has the raw words of the command line by attribute; `known` the keys that configuration
    files may have: under "" those of options, under a command's name those of its table.
    """
    own = tuple(options)
    layers = [_of_words(given), _of_variables(environment)]
    named = given.get("config")
    file = Path(named or FILE_NAME)
    outer = _load(file, known) if named is not None or file.is_file() else {}
    if outer:
        layers.append(_of_file(file, outer, command))
    root = next((one for one in own if one.dest == "data_root"), None)
    folder = None if root is None else Path(_setting(root, layers).value)
    if _lies_in_root(file, folder):
        _check_inside(file, outer, known)
    inner = None if folder is None else folder / FILE_NAME
    if inner is not None and inner.is_file() and not (outer and inner.samefile(file)):
        content = _load(inner, known)
        _check_inside(inner, content, known)
        layers.append(_of_file(inner, content, command))
    return {one.dest: _setting(one, _visible(one, layers)) for one in own}


def show(value: Any) -> str:
    """A value in a message: cut where it is long, quoted where it cannot be printed."""
    text = f"{value}"
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return text if text.isprintable() else repr(text)


def _of_words(given: Mapping[str, Any]) -> _Layer:
    return _Layer(given, lambda one: one.name, lambda one, value: f"{one.name} {show(value)}")


def _of_variables(environment: Mapping[str, str]) -> _Layer:
    return _Layer(
        _Variables(environment),
        lambda one: one.variable,
        lambda one, value: f"{one.variable}={show(value)}",
    )


class _Variables(Mapping[str, str]):
    """The environment's variables by the options' attributes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._found = {
            name.removeprefix("ALPHAQCM_").lower(): text
            for name, text in environment.items()
            if name.startswith("ALPHAQCM_")
        }

    def __getitem__(self, key: str) -> str:
        return self._found[key]

    def __iter__(self) -> Any:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _load(file: Path, known: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """What a file says; raises `UsageError` where it is no TOML or names what is no option."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            show(file), expected="a configuration file in TOML", found=show(error)
        ) from error
    for key, value in content.items():
        _check_key(file, "", key, known, isinstance(value, dict))
        for inner in value if isinstance(value, dict) else ():
            _check_key(file, key, inner, known, isinstance(value[inner], dict))
    return content


def _of_file(file: Path, content: Mapping[str, Any], command: str) -> _Layer:
    top = {key: value for key, value in content.items() if not isinstance(value, dict)}
    own = top | content.get(command, {})
    return _Layer(
        {key.replace("-", "_"): value for key, value in own.items()},
        lambda _: f"{file}",
        lambda one, value: f"{show(file)}: {one.key} = {show(value)}",
    )


def _check_key(
    file: Path, table: str, key: str, known: Mapping[str, frozenset[str]], is_table: bool
) -> None:
    if is_table:
        good = not table and key in known and key != ""
        words = "a table named as a command"
    else:
        good = key.replace("_", "-") in known.get(table, frozenset())
        words = f"an option of {table}" if table else "an option that may have a default"
    if not good:
        raise UsageError(
            f"{show(file)}: {show(key)}",
            expected=words,
            found="none of that name",
            next_step="alphaqcm config shows the options",
        )


def _check_inside(
    file: Path, content: Mapping[str, Any], known: Mapping[str, frozenset[str]]
) -> None:
    """Refuse what a file inside a data root may not set."""
    allowed = known["in a data root"]
    for table, values in {"": content, **content}.items():
        for key in values if isinstance(values, dict) else ():
            if not isinstance(values[key], dict) and key.replace("_", "-") not in allowed:
                raise UsageError(
                    f"{show(file)}: {show(f'{table}.{key}' if table else key)}",
                    expected="of a file inside a data root, only " + ", ".join(sorted(allowed)),
                    found="an option that such a file may not set",
                    next_step="take it out, and set it in the working directory's " + FILE_NAME,
                )


def _lies_in_root(file: Path, root: Path | None) -> bool:
    """Whether a file lies in the data root, or in a folder that has what every used one has."""
    for folder in file.resolve().parents:
        temp = folder / "_tmp"
        if root is not None and folder == root.resolve():
            return True
        if (temp / "root.lock").exists() or (temp / "binance_vision").is_dir():
            return True
    return False


def _visible(option: Option, layers: list[_Layer]) -> list[_Layer]:
    """The layers that decide an option: of two that exclude each other, down to the first named."""
    if option.dest not in EXCLUSIVE:
        return layers
    for number, layer in enumerate(layers):
        found = [name for name in EXCLUSIVE if layer.raw.get(name) is not None]
        if len(found) > 1:
            raise UsageError(
                " and ".join("--" + name.replace("_", "-") for name in found),
                expected="one of the two at most",
                found="both" if number == 0 else "both, in the environment or in one file",
            )
        if found:
            return layers[: number + 1]
    return layers


def _setting(option: Option, layers: list[_Layer]) -> Setting:
    for number, layer in enumerate(layers):
        if number and not option.configurable:
            break
        raw = layer.raw.get(option.dest if number == 0 else option.key.replace("-", "_"))
        if raw is None:
            continue
        try:
            return Setting(_read(option, raw), layer.origin(option))
        except ValueError as error:
            raise UsageError(layer.subject(option, raw), expected=f"{error}") from None
    return Setting(option.default, DEFAULT_ORIGIN)


def _read(option: Option, raw: Any) -> Any:
    """The value of a raw one: texts, or what TOML has (numbers, lists, true and false)."""
    if option.kind is Kind.SWITCH:
        return raw if isinstance(raw, bool) else yes_or_no(f"{raw}")
    if isinstance(raw, list) and option.kind in (Kind.REPEATED, Kind.MANY):
        return [option.parse(f"{one}") for one in raw]
    text = ",".join(f"{one}" for one in raw) if isinstance(raw, list) else f"{raw}"
    if option.choices and text not in option.choices:
        raise ValueError("one of " + ", ".join(option.choices))
    return option.parse(text)
