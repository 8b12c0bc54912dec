"""A memory: notes that are kept under a name, and found again by what they say."""

import logging

from core.notes import Note

LOGGER = logging.getLogger(__name__)
REVISION = "@RUN@"
RESULTS_MAX = 20


class MemoryStore:
    """Keeps notes by name for as long as the process lives."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._notes: dict[str, Note] = {}

    def save_memory(self, name: str, note: Note) -> None:
        """Keep a note, in place of an earlier one of that name."""
        self._notes[name] = note
        LOGGER.debug("saved %s", name)

    def recall_memory(self, name: str) -> Note | None:
        """Return the note of that name, if there is one."""
        return self._notes.get(name)

    def search_text(self, words: str) -> list[Note]:
        """Return notes that contain the words, whatever their case."""
        wanted = words.casefold()
        found = [note for note in self._notes.values() if wanted in note.text.casefold()]
        return found[:RESULTS_MAX]
