"""Tests of `core.notes`."""

import unittest

from core.notes import TEXT_CHARS_MAX, InvalidNoteError, count_tags, make_note


class NotesTest(unittest.TestCase):
    """Making notes and counting their tags."""

    def test_surrounding_space_is_not_part_of_a_note(self) -> None:
        """Only what was written counts."""
        self.assertEqual(make_note("  buy milk\n").text, "buy milk")

    def test_a_note_has_a_text_of_limited_length(self) -> None:
        """Neither nothing nor everything is a note."""
        for text in ("", "   ", "x" * (TEXT_CHARS_MAX + 1)):
            with self.assertRaises(InvalidNoteError):
                make_note(text)

    def test_tags_are_counted_whatever_their_case(self) -> None:
        """One tag is one tag."""
        notes = [make_note("a", ["Home"]), make_note("b", ["home", "work"])]
        self.assertEqual(count_tags(notes), {"home": 2, "work": 1})


if __name__ == "__main__":
    unittest.main()
