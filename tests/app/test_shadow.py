"""What the server knows of a client that sends no revisions: its edits and those of others.

See test_shadow_refusals.py for more of its rules, test_shadow_simulation.py for all at once.
"""

from functools import reduce
from random import Random

import pytest

from chordme_daemon import ot
from chordme_daemon.app.shadow import Shadow, compose_all
from chordme_daemon.ot import deletion, insertion
from tests.app.simulation import Desk, random_edit


def nowhere() -> str:
    raise AssertionError("No text is needed for this")


# In step


def test_what_a_client_in_step_types_is_taken_as_it_is_and_no_text_is_needed() -> None:
    shadow = Shadow("~me")
    assert shadow.submit([insertion(3, "x")], 6, nowhere) == ((3, "x"), False)
    assert shadow.pending == (3, "x")
    assert shadow.in_step
    shadow.confirm()
    assert shadow.pending is None
    assert shadow.due() == []


def test_the_parts_of_an_operation_follow_one_another() -> None:
    desk = Desk()
    assert desk.edit(insertion(0, "xy"), deletion(1, 2)) == ("x", -1)
    assert desk.edit() == ()


def test_an_operation_is_cut_to_the_text_as_the_editor_does_and_that_is_told() -> None:
    shadow = Shadow("~me")
    assert shadow.submit([insertion(9, "x")], 6, nowhere) == ((6, "x"), True)
    shadow.confirm()
    assert shadow.submit([deletion(5, 9)], 6, nowhere) == ((5, -1), True)


def test_each_part_is_cut_to_the_text_made_by_those_before() -> None:
    shadow = Shadow("~me")
    parts = [insertion(6, "xyz"), deletion(7, 2), insertion(7, "!")]
    assert shadow.submit(parts, 6, nowhere) == ((6, "x!"), False)
    shadow.confirm()
    assert shadow.submit([deletion(0, 4), deletion(0, 4), insertion(0, "x")], 6, nowhere) == (
        ("x", -6),
        True,
    )


def test_an_operation_is_cut_to_the_clients_text_not_to_the_heads() -> None:
    desk = Desk("abc")
    desk.commit(insertion(0, "123"))
    desk.send()
    shadow = desk.shadow
    assert shadow.submit([insertion(5, "x")], 6, lambda: desk.head) == ((6, "x"), True)


# What others do


def test_what_others_insert_is_told_without_a_look_at_the_text() -> None:
    shadow = Shadow("~me")
    shadow.hear((2, "x", 1, "y"), "other", nowhere)
    assert not shadow.in_step
    assert (shadow.behind, shadow.under_way) == (1, 0)
    assert shadow.due() == [(2, "x"), (4, "y")]
    assert shadow.behind == 2
    assert shadow.due() == []


def test_an_operation_with_several_parts_is_told_in_parts_that_follow_one_another() -> None:
    desk = Desk()
    desk.commit((1, "xy", -2, 1, -1))
    assert desk.send() == ot.split((1, "xy", -2, 1, -1)) == [(1, "xy"), (3, -2), (4, -1)]
    desk.settle()
    assert desk.client.text == "axydf"


def test_an_operation_that_changes_nothing_is_not_told() -> None:
    desk = Desk()
    desk.commit(())
    assert desk.shadow.in_step
    assert desk.send() == []


def test_an_idle_reader_is_told_everything_at_once() -> None:
    desk = Desk()
    for letter in "xyz":
        desk.commit(insertion(0, letter))
        assert desk.send() == [(letter,)]
    desk.commit(deletion(0, 2))
    assert desk.send() == [(-2,)]
    assert desk.shadow.behind == 4
    desk.arrive(3)
    assert desk.shadow.behind == 1
    desk.settle()


def test_a_reader_who_is_told_nothing_for_a_while_is_told_all_of_it_then() -> None:
    desk = Desk()
    desk.commit(insertion(0, "x"))
    desk.commit(deletion(0, 3))
    assert desk.shadow.behind == 2
    assert desk.send() == [("x",), (-3,)]
    desk.settle()


# An edit while something is under way


def test_an_edit_is_meant_for_the_text_that_its_author_had() -> None:
    desk = Desk()
    desk.commit(insertion(0, "1234"))
    desk.send()
    assert desk.edit(insertion(3, "x")) == (7, "x")
    desk.confirm()
    desk.settle()
    assert desk.client.text == "1234abcxdef"


def test_the_text_that_its_author_had_is_worked_out_from_the_head() -> None:
    desk = Desk()
    desk.commit((1, "xy", -2, 1, -1))
    desk.commit(deletion(1, 2))
    desk.commit(insertion(3, "z"))
    assert desk.head == "adfz"
    desk.send()
    desk.arrive()
    assert desk.client.text == "axybcdef"
    desk.edit(insertion(0, "1"))
    desk.confirm()
    desk.arrive(4)
    # Everything went one too far left.
    assert desk.client.text == "1cezf"
    assert desk.send() == [(1, "ad"), (3, -3), (4, "z")]
    desk.settle()


def test_what_was_deleted_there_is_known_too() -> None:
    desk = Desk()
    desk.commit(deletion(2, 1))
    desk.send()
    desk.commit((1, -1, 1, -1))
    desk.edit(deletion(0, 2))
    desk.confirm()
    desk.arrive()
    # Instead of the c it deleted the e, which is to be deleted only after that.
    assert desk.client.text == "cdf"
    assert desk.send() == [(-1,), (1, "e"), (1, -1)]
    desk.settle()


def test_what_is_under_way_is_cut_to_the_text_that_it_finds() -> None:
    desk = Desk()
    desk.commit((2, -4, "xy"))
    desk.send()
    desk.edit(deletion(0, 5))
    desk.confirm()
    desk.arrive(2)
    assert desk.client.text == "fxy"
    desk.settle()
    assert desk.client.text == "xy"


def test_an_edit_that_does_not_touch_what_is_under_way_keeps_nothing_back() -> None:
    desk = Desk()
    desk.commit(insertion(0, "x"))
    desk.send()
    desk.edit(insertion(6, "!"))
    desk.confirm()
    desk.commit(insertion(0, "y"))
    assert desk.send() == [("y",)]
    desk.settle()


def test_after_an_edit_in_between_nothing_is_sent_until_all_that_was_sent_has_been_seen() -> None:
    desk = Desk()
    desk.commit(insertion(3, "x"))
    desk.commit(insertion(4, "y"))
    desk.send()
    desk.edit(insertion(0, "1"))
    desk.confirm()
    desk.commit(insertion(0, "2"))
    assert desk.send() == []
    desk.arrive()
    desk.commit(insertion(0, "3"))
    assert desk.send() == []
    desk.arrive()
    assert desk.client.text == "1abxycdef"
    # x and y are not where they should be: first that is put right, then comes the rest.
    assert desk.send() == [(3, -2), (4, "xy"), ("2",), ("3",)]
    desk.settle()
    assert desk.client.text == "321abcxydef"


def test_it_waits_also_when_only_what_was_seen_was_changed_by_the_edit() -> None:
    desk = Desk()
    desk.commit(insertion(6, "x"))
    desk.commit(insertion(0, "y"))
    desk.send()
    desk.edit(insertion(3, "1"))
    desk.confirm()
    desk.arrive()
    assert desk.client.text == "abc1dexf"
    desk.commit(insertion(0, "z"))
    assert desk.send() == []
    desk.arrive()
    assert desk.send() == [(7, -1), (8, "x"), ("z",)]
    desk.settle()


def test_a_repair_is_kept_small() -> None:
    desk = Desk("one two three four")
    desk.commit(deletion(4, 3))
    desk.send()
    desk.edit(insertion(0, "1"))
    desk.confirm()
    desk.arrive()
    assert desk.client.text == "1oneo three four"
    assert desk.send() == [(4, " "), (5, -1)]
    desk.settle()


def test_an_edit_before_a_repair_goes_past_it() -> None:
    desk = Desk()
    desk.commit(insertion(3, "x"))
    desk.commit(insertion(0, "y"))
    desk.send()
    desk.edit(insertion(0, "1"))
    desk.confirm()
    desk.arrive()
    # What it has is "1abxcdef"; the x belongs behind the c.
    assert desk.edit(insertion(8, "!")) == (9, "!")
    desk.confirm()
    assert desk.edit(deletion(4, 1)) == (4, -1)
    desk.confirm()
    desk.settle()
    assert desk.client.text == "y1abxdef!"


def test_an_edit_makes_several_parts_of_one_that_waits() -> None:
    desk = Desk()
    desk.commit(deletion(1, 4))
    desk.edit(insertion(3, "x"))
    desk.confirm()
    assert desk.send() == [(1, -2), (2, -2)]
    desk.settle()
    assert desk.client.text == "axf"


def test_what_both_delete_is_not_told() -> None:
    desk = Desk()
    desk.commit(deletion(1, 2))
    assert desk.edit(deletion(1, 2)) == ()
    desk.confirm()
    assert desk.send() == []
    assert desk.shadow.in_step
    assert desk.client.text == desk.head == "adef"


@pytest.mark.parametrize(("author", "expected"), [("~a", "left"), ("~z", "right")])
def test_where_two_insert_at_one_place_the_smaller_id_goes_left(author: str, expected: str) -> None:
    desk = Desk("()")
    desk.commit(insertion(1, "theirs"), author)
    desk.send()
    desk.edit(insertion(1, "mine"))
    desk.confirm()
    assert desk.head == ("(theirsmine)" if expected == "left" else "(minetheirs)")
    desk.settle()


# What has been seen


def test_numbers_may_have_gaps_and_be_unknown_or_old() -> None:
    shadow = Shadow("~me")
    shadow.seen(5)
    for letter in "abc":
        shadow.hear((letter,), "other", nowhere)
    assert len(shadow.due()) == 3
    shadow.seen(100)
    assert shadow.behind == 3
    for number in (3, 7, 20):
        shadow.deliver(number)
    shadow.seen(2)
    assert shadow.behind == 3
    shadow.seen(8)
    assert shadow.behind == 1
    shadow.seen(3)
    assert shadow.behind == 1
    shadow.seen(100)
    assert shadow.in_step


def test_who_was_given_the_whole_text_is_in_step_and_what_is_pending_stays_pending() -> None:
    desk = Desk()
    desk.commit(insertion(3, "x"))
    desk.commit(insertion(0, "y"))
    desk.send()
    desk.edit(insertion(0, "1"))
    desk.arrive()
    desk.shadow.reset()
    assert desk.shadow.pending == (1, "1")
    assert desk.shadow.in_step
    assert desk.send() == []
    desk.client.load(3, ot.apply(desk.head, desk.shadow.pending))
    desk.shadow.seen(2)
    desk.commit(deletion(0, 1))
    desk.confirm()
    # It may have missed numbers; what is told from now on has new ones.
    desk.under_way.clear()
    assert desk.send() == [(-1,)]
    desk.settle()


def test_no_text_is_held_for_who_is_in_step_again() -> None:
    desk = Desk()
    desk.commit(insertion(3, "x"))
    desk.edit(insertion(0, "1"))
    desk.confirm()
    desk.settle()
    asked = []
    desk.shadow.hear(deletion(0, 1), "other", lambda: asked.append("text") or desk.head)
    assert asked == ["text"]


def test_nor_for_who_was_given_the_whole_one() -> None:
    desk = Desk()
    desk.commit(insertion(3, "xyz"))
    desk.edit(insertion(0, "1"))
    desk.confirm()
    desk.shadow.reset()
    assert desk.shadow.submit([insertion(10, "!")], 10, nowhere) == ((10, "!"), False)


def test_many_operations_are_composed_in_pairs_as_one_by_one() -> None:
    dice = Random(1)
    for count in range(12):
        text, operations = "abc", []
        for _ in range(count):
            [part, *_] = random_edit(dice, text)
            operations.append(part)
            text = ot.apply(text, part)
        assert compose_all(operations) == reduce(ot.compose, operations, ())


# So many at once


def test_an_operation_of_many_parts_is_told_in_pieces_and_edits_go_between_them() -> None:
    desk = Desk("abcdef")
    desk.commit((1, "1", 1, -1, 1, "2", 1, -1))
    first, second, *_ = desk.shadow.due(2)
    for number, part in enumerate((first, second), 1):
        assert desk.shadow.origin is None
        desk.shadow.deliver(number)
        desk.under_way.append((number, part))
    desk.number = 2
    assert (desk.shadow.under_way, desk.shadow.behind) == (2, 4)
    assert desk.shadow.due(0) == []
    desk.arrive()
    assert desk.edit(insertion(0, "!")) == ("!",)
    desk.confirm()
    desk.settle()
    assert desk.client.text == "!a1bd2e"


def test_the_effort_of_an_edit_is_that_of_all_that_the_client_lacks() -> None:
    desk = Desk("abcdef")
    assert desk.shadow.effort(3, 6) == 3
    desk.commit((1, "1", 1, "2"))
    assert desk.shadow.effort(3, 6) == 2 * 3 + 4
    assert desk.shadow.effort(3, 400_000) == 2 * 3 + 4 + 10
    desk.edit(insertion(0, "x"))
    assert desk.shadow.effort(3, 400_000) < 20
