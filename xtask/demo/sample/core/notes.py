"""Notes: short texts with tags."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

LOGGER = logging.getLogger(__name__)
TEXT_CHARS_MAX = 500


class InvalidNoteError(ValueError):
    """A note that nobody could use."""


@dataclass(frozen=True)
class Note:
    """A short text, and the tags by which it is found."""

    text: str
    tags: frozenset[str] = field(default_factory=frozenset)


def make_note(text: str, tags: Iterable[str] = ()) -> Note:
    """Return a note without surrounding space, or raise `InvalidNoteError`."""
    stripped = text.strip()
    if not stripped:
        message = "a note needs a text"
        raise InvalidNoteError(message)
    if len(stripped) > TEXT_CHARS_MAX:
        message = f"a note has at most {TEXT_CHARS_MAX} characters"
        raise InvalidNoteError(message)
    return Note(stripped, frozenset(tag.lower() for tag in tags))


def count_tags(notes: Iterable[Note]) -> Counter[str]:
    """Return how many notes bear each tag."""
    counts = Counter(tag for note in notes for tag in note.tags)
    LOGGER.debug("counted %d tags", len(counts))
    return counts
