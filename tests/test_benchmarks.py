"""What the benchmarks make of their samples; the figures themselves are nobody's to assert."""

from typing import Any
from xml.etree import ElementTree

from benchmarks import plot, report
from benchmarks.servers import PEERS

PEER = "chordme"


def sample(column: str, cost_us: float, peer: str = PEER, **further: Any) -> report.Sample:
    return {
        "peer": peer,
        "column": column,
        "event": "cursor_update",
        "phase": "sat",
        "scenario": "fanout",
        "deliveries": 10,
        "cpu_us_per_del": cost_us,
        **further,
    }


def test_a_figure_is_the_median_of_its_runs() -> None:
    samples = [sample("100x10", cost_us) for cost_us in (9.0, 11.0, 30.0)]
    [figures] = report.medians(samples).values()
    assert figures["cpu_us_per_delivery"] == 11.0
    assert (figures["cpu_us_per_delivery_min"], figures["cpu_us_per_delivery_max"]) == (9.0, 30.0)


def test_a_run_in_which_nothing_arrived_has_no_figure_and_is_told() -> None:
    samples = [sample("100x10", 0.0, deliveries=0, lasterr="refused")]
    assert report.medians(samples) == {}
    assert "Nothing arrived: chordme, 100x10, cursor_update: refused" in report.markdown(
        samples, [PEER]
    )


def test_what_did_not_arrive_is_counted_over_all_fan_outs() -> None:
    samples = [sample(column, 10.0, missing=2, sent=5) for column in report.FANOUTS]
    assert report.counts(samples, PEER)["missing"] == 8
    assert "| chordme | 20 | 8 |" in report.markdown(samples, [PEER])


def test_the_plot_has_a_line_and_a_name_for_each_peer() -> None:
    samples = [
        sample(column, cost_us * (number + 1), peer)
        for number, peer in enumerate(PEERS)
        for column, cost_us in zip(report.FANOUTS, (40.0, 10.0, 4.0, 2.0), strict=True)
    ]
    drawn = plot.lines(report.medians(samples), list(PEERS))
    root = ElementTree.fromstring(plot.svg(drawn))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == len(PEERS)
    texts = [element.text for element in root.findall(f"{space}text")]
    assert {peer.title for peer in PEERS.values()} <= set(texts)


def test_a_peer_that_is_not_installed_says_what_it_lacks() -> None:
    peer = PEERS["flask-gevent"]
    absent = type(peer)("x", ("no-such-program",), ("no_such_package",), ("no-such-module",))
    assert absent.missing() == "no_such_package, no-such-module, no-such-program"


def test_results_on_a_page_are_replaced_and_the_rest_stays() -> None:
    page = f"before\n{report.RESULTS}\nold\n{report.END_OF_RESULTS}\nafter\n"
    once = report.published(page, "new")
    assert "old" not in once
    assert once == report.published(once, "new")
    assert (once[:7], once[-7:]) == ("before\n", "\nafter\n")
