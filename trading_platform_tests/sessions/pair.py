"""A second venue for a book: a paper exchange with a book and cash of its own, behind a line, under another name."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from trading_platform.bootstrap import Platform
from trading_platform.bootstrap.venues import open_brokers
from trading_platform_tests.sessions.books import Book
from trading_platform_tests.sessions.line import Line

BACKUP: Final = "backup"


def backup_file(book: Book) -> Path:
    """The file of the second venue's own book."""
    return _elsewhere(book).exchange_file


@contextmanager
def backup_exchange(platform: Platform, book: Book) -> Iterator[Line]:
    """The second venue of `book`, on the platform's clock and bars."""
    (made,) = open_brokers(_elsewhere(book).settings, platform.calendar, platform.provider, platform.clock)
    with closing(made):
        yield Line(broker=made, called=BACKUP)


def _elsewhere(book: Book) -> Book:
    return replace(book, name=f"{book.name}-{BACKUP}", data_folder=book.data_folder / BACKUP)
