"""Logging for programs at a terminal: a level `ok`, and a line that divides sections."""

from __future__ import annotations

import logging
import sys
from typing import cast

from alphaqcm.data_collection.exchange.timing import now_time

OK = 25  # between INFO and WARNING
_WIDTH = 90


class OkLogger(logging.Logger):
    """A logger that also tells of success."""

    def ok(self, message: str, *arguments: object) -> None:
        """Log a success, `%`-formatted as the other levels are."""
        if self.isEnabledFor(OK):
            self._log(OK, message, arguments)


def get_logger(name: str = "alphaqcm.notebook") -> OkLogger:
    """The logger `name`, writing to stderr, with `.ok`."""
    logging.addLevelName(OK, "OK")
    known = logging.Logger.manager.loggerDict.get(name)
    if isinstance(known, OkLogger):
        return known
    before = logging.getLoggerClass()
    logging.setLoggerClass(OkLogger)
    try:
        logger = cast(OkLogger, logging.getLogger(name))
    finally:
        logging.setLoggerClass(before)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return logger


def divider(name: str = "", sep: str = "=", *, display_time: bool = True) -> None:
    """Log a line with `name` in its middle."""
    told = f" {name}" if name else ""
    if display_time:
        told += f" {now_time():%Y-%m-%d %H:%M:%S}"
    get_logger().info((told + " " if told else "").center(_WIDTH, sep))
