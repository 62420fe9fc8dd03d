# SPDX-License-Identifier: Apache-2.0
"""A run against what was accepted: on this kernel build, on the nearest older one, or nowhere yet."""

from __future__ import annotations

from collections.abc import Callable

from harness.nights.baseline import Standing, hold, matches
from harness.nights.night import choose
from harness.store import queries
from harness.store.accepting import accept
from harness.store.database import Store
from harness.store.lists import load_lists
from tests.harness.nights.folders import Case, Results

Take = Callable[..., str]
RUN = Results(cases=[Case("a"), Case("b"), Case("c", "failed")])


def stand(store: Store, words: str, accepts: str | None = None) -> Standing:
    """How a run stands; where a pattern is given, what it means is accepted then."""
    with store.writing() as connection:
        (run,) = choose(connection, words)
        acceptances = queries.acceptances(connection)
        standing = hold(
            queries.outcomes(connection, [run.id]),
            run.conditions,
            acceptances,
            queries.accepted(connection, [one.id for one in acceptances]),
            lambda numbers: load_lists(connection, numbers),
            queries.varying(connection),
        )
        if accepts is not None:
            meant = {o.scenario: o.answers or 0 for o in standing.to_accept if matches(o.key, accepts)}
            accept(connection, run.id, meant, who="ana", why="as documented", pattern=accepts)
        return standing


def sizes(standing: Standing) -> tuple[int, int, int, int]:
    return tuple(map(len, (standing.differs, standing.first, standing.unknown, standing.same)))  # type: ignore[return-value]


def test_nothing_is_accepted_by_itself(store: Store, take: Take) -> None:
    take(RUN, RUN.but(night=1))
    assert sizes(stand(store, "night00")) == sizes(stand(store, "night01")) == (0, 0, 2, 0)


def test_one_pattern_and_the_rest(store: Store, take: Take) -> None:
    take(RUN, RUN.but(night=1, package="2" * 64))
    stand(store, "night00", accepts="a")
    assert sizes(stand(store, "night01")) == (0, 0, 1, 1)
    stand(store, "night01", accepts="basic.toml::*")
    assert sizes(stand(store, "night00")) == (0, 0, 0, 2), "what failed cannot be accepted"
    with store.reading() as connection:
        said = [(one.who, one.why, one.pattern, one.scenarios) for one in queries.acceptances(connection)]
    assert said == [("ana", "as documented", "a", 1), ("ana", "as documented", "basic.toml::*", 1)]


def test_another_value_differs_until_it_is_accepted_and_the_old_one_stays_on_record(
    store: Store, take: Take
) -> None:
    other = RUN.but(night=1, package="2" * 64, cases=[Case("a", requests=[{"information": 0}]), Case("b")])
    take(RUN, other)
    stand(store, "night00", accepts="*")
    standing = stand(store, "night01", accepts="*")
    assert [[c.field for c in held.changes] for held in standing.differs] == [["information"]]
    assert sizes(stand(store, "night01")) == (0, 0, 0, 2)
    assert len(stand(store, "night00").differs) == 1, "the last acceptance counts"
    with store.reading() as connection:
        assert [one.acceptance for one in queries.accepted(connection, [1, 2])] == [1, 1, 2]


def test_a_new_build_is_held_against_the_nearest_older_one(store: Store, take: Take) -> None:
    def on(night: int, build: str, value: int, **more: str) -> Results:
        cases = [Case("a", requests=[{"information": value}])]
        return RUN.but(night=night, kernel=f"Windows {build}", build=build, cases=cases, ours=False, **more)

    take(on(0, "9600", 1), on(1, "22621.900", 2), on(2, "26100.4", 3), on(3, "22621.1000", 2))
    for name in ("night00", "night01", "night02"):
        stand(store, name, accepts="*")
    standing = stand(store, "night03")
    assert sizes(standing) == (0, 1, 0, 0)
    assert standing.first[0].acceptance.conditions.kernel == "Windows 22621.900"
    assert standing.first[0].changes == ()
    take(on(4, "7601", 9), on(5, "26100.4", 7, verifier="on"), on(6, "26100.4", 7, ks="c" * 64))
    assert stand(store, "night04").first[0].acceptance.conditions.kernel == "Windows 9600", (
        "older ones only later"
    )
    for name in ("night05", "night06"):
        standing = stand(store, name)
        assert standing.first[0].acceptance.conditions.kernel == "Windows 26100.4"
        assert [(c.field, c.before, c.now) for c in standing.first[0].changes] == [("information", 3, 7)]


def test_another_content_or_target_was_never_accepted(store: Store, take: Take) -> None:
    take(RUN, RUN.but(night=1, cases=[Case("a", content="c2")]), RUN.but(night=2, target="other"))
    stand(store, "night00", accepts="*")
    assert sizes(stand(store, "night01")) == (0, 0, 1, 0)
    assert sizes(stand(store, "night02")) == (0, 0, 2, 0)


def test_what_varies_in_fact_does_not_differ(store: Store, take: Take) -> None:
    take(RUN, RUN.but(night=1, cases=[Case("a", requests=[{"information": 0}]), Case("b")]))
    stand(store, "night00", accepts="*")
    assert sizes(stand(store, "night01")) == (0, 0, 0, 2)
