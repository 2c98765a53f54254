"""What the server knows of a client that sends no revisions: operations in the balance.

While one is pending, when one was refused, and when it is about halves of characters.
"""

import pytest

from chordme_daemon import ot
from chordme_daemon.ot import deletion, insertion
from tests.app.simulation import Desk

# The second begins as the first, the third ends as the first.
SMILE, GRIN, CJK = ot.to_units("😀"), ot.to_units("😁"), ot.to_units("🈀")


# While an operation is pending


@pytest.mark.parametrize(("author", "expected"), [("~a", "left"), ("~z", "right")])
def test_so_it_does_when_one_of_them_is_pending(author: str, expected: str) -> None:
    desk = Desk("()")
    desk.edit(insertion(1, "mine"))
    desk.commit(insertion(1, "theirs"), author)
    desk.confirm()
    assert desk.head == ("(theirsmine)" if expected == "left" else "(minetheirs)")
    desk.settle()


def test_a_pending_operation_and_what_is_committed_meanwhile_go_past_each_other() -> None:
    desk = Desk()
    desk.edit(insertion(0, "1"))
    desk.commit((2, "x", -3))
    assert desk.shadow.pending == ("1",)
    assert desk.send() == [(3, "x"), (4, -3)]
    desk.commit(insertion(0, "23"), "!")
    assert desk.shadow.pending == (2, "1")
    desk.confirm()
    desk.settle()
    assert desk.client.text == "231abxf"


def test_what_is_deleted_is_known_also_when_a_pending_operation_is_in_front_of_it() -> None:
    desk = Desk()
    desk.edit(insertion(0, "12"))
    desk.commit(deletion(1, 4))
    desk.send()
    desk.confirm()
    desk.edit(insertion(0, "3"))
    desk.confirm()
    desk.arrive()
    assert desk.client.text == "312ef"
    assert desk.send() == [(3, "a"), (4, -1)]
    desk.settle()
    desk = Desk("abc")
    desk.edit(insertion(0, "12"))
    desk.commit(deletion(0, 3))
    desk.confirm()
    assert desk.edit(insertion(5, "!")) == (2, "!")
    desk.confirm()
    desk.settle()


# Refusals


def test_a_refused_operation_is_undone() -> None:
    desk = Desk()
    desk.edit(deletion(1, 2), insertion(0, "x"))
    desk.refuse()
    assert desk.shadow.pending is None
    assert not desk.shadow.in_step
    assert desk.send() == [(-1,), (1, "bc")]
    desk.settle()
    assert desk.client.text == "abcdef"


def test_so_it_is_behind_what_others_did_meanwhile_and_in_front_of_what_they_do_next() -> None:
    desk = Desk()
    desk.commit(insertion(0, "1"))
    desk.send()
    desk.edit(insertion(6, "x"))
    desk.commit(insertion(0, "2"))
    desk.refuse()
    desk.commit(insertion(0, "3"))
    assert desk.send() == [("2",), (8, -1), ("3",)]
    desk.settle()


def test_what_is_replaced_by_itself_is_not_told_when_it_is_undone() -> None:
    desk = Desk()
    desk.edit(deletion(0, 4), insertion(0, "abXd"))
    desk.refuse()
    assert desk.send() == [(2, "c"), (3, -1)]
    desk.settle()
    desk.edit(deletion(0, 1), insertion(0, "aa"))
    desk.refuse()
    assert desk.send() == [(1, -1)]
    desk.settle()


def test_an_edit_after_a_refused_one_keeps_its_place() -> None:
    desk = Desk()
    desk.edit(insertion(3, "xyz"))
    desk.refuse()
    desk.send()
    assert desk.edit(insertion(9, "!")) == (6, "!")
    desk.confirm()
    assert desk.edit(insertion(5, "?")) == (3, "?")
    desk.confirm()
    desk.settle()
    assert desk.client.text == "abc?def!"


def test_what_a_refused_deletion_gets_back_goes_left_of_what_is_typed_there() -> None:
    desk = Desk()
    desk.edit(deletion(1, 2))
    desk.refuse()
    desk.send()
    assert desk.edit(insertion(1, "x")) == (3, "x")
    desk.confirm()
    desk.settle()
    assert desk.client.text == "abcxdef"


def test_nothing_is_told_when_what_is_refused_would_have_changed_nothing() -> None:
    desk = Desk()
    desk.commit(deletion(1, 2))
    desk.edit(deletion(1, 2))
    desk.refuse()
    desk.settle()
    assert desk.number == 0


# Whole code points


def test_halves_of_surrogate_pairs_that_a_refused_operation_left_are_told_in_pairs() -> None:
    desk = Desk("a😀b")
    desk.edit(deletion(2, 1))
    desk.refuse()
    assert desk.send() == [(1, SMILE), (3, -1)]
    desk.settle()
    desk.edit(insertion(2, "x"))
    desk.refuse()
    assert desk.send() == [(1, SMILE), (3, -3)]
    desk.settle()
    desk.edit(deletion(1, 1))
    desk.refuse()
    assert desk.send() == [(1, SMILE), (3, -1)]
    desk.settle()


def test_two_characters_that_share_a_half_are_replaced_whole() -> None:
    desk = Desk("😀")
    desk.edit(deletion(0, 2), insertion(0, GRIN))
    desk.refuse()
    assert desk.send() == [(SMILE,), (2, -2)]
    desk.settle()
    desk.edit(deletion(0, 2), insertion(0, CJK))
    desk.refuse()
    assert desk.send() == [(SMILE,), (2, -2)]
    desk.settle()


def test_a_repair_of_what_went_between_two_halves_is_in_whole_code_points() -> None:
    desk = Desk("abc😀d")
    desk.commit(deletion(0, 1))
    desk.send()
    desk.edit(insertion(0, SMILE))
    desk.confirm()
    desk.arrive()
    # The deletion was meant for the a and hit half of the character in front of it.
    assert desk.client.text == SMILE[1] + ot.to_units("abc😀d")
    assert desk.send() == [(SMILE,), (2, -2)]
    desk.settle()


def test_half_a_pair_that_a_repair_consists_of_is_never_sent() -> None:
    desk = Desk("ab😀")
    desk.commit(deletion(0, 1))
    desk.send()
    # Leaves the first half of the character; what is under way deletes that, too.
    desk.edit(insertion(0, "c"), deletion(4, 1), deletion(0, 3))
    desk.refuse()
    desk.commit(insertion(1, "!"))
    assert desk.send() == []
    desk.arrive()
    assert desk.client.text == ""
    # It gets something in its place, which goes when the refused operation is undone.
    assert desk.send() == [("\ufffd",), ("b" + SMILE,), (3, -1), (1, "!")]
    desk.settle()
