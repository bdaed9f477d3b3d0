"""PlanTree: a model-based property test against nested lists, and examples of what each change does."""

from __future__ import annotations

import json
import math

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hplan.control.plan_tree import PlanTree
from hplan.types import PlanNode, UsageError

STATUSES = ("pending", "active", "reached", "failed", "dropped")


def leaf(level: int, label: str = "step", **fields: object) -> PlanNode:
    return PlanNode(id=-1, level=level, label=label, expected_steps=4.0, **fields)


def two_levels() -> PlanTree:
    """goal > (key, door) of level 1; key > three actions of level 0."""
    tree = PlanTree.empty("goal", levels=2).add(0, [leaf(1, "key", status="active"), leaf(1, "door")])
    return tree.add(1, [leaf(0, "left", status="reached"), leaf(0, "forward", status="active"), leaf(0, "pickup")])


@st.composite
def trees(draw: st.DrawFn) -> list[PlanTree]:
    """Every tree of a random history of changes, oldest first."""
    levels = draw(st.integers(1, 4))
    history = [PlanTree.empty("goal", levels=levels)]
    energies = st.floats(allow_nan=True, allow_infinity=False)
    for _ in range(draw(st.integers(0, 12))):
        tree = history[-1]
        node = tree.node(draw(st.sampled_from(sorted(tree.nodes))))
        change = draw(st.sampled_from(["add", "add", "update", "drop"]))
        if change == "add" and node.level > 0:
            labels = draw(st.lists(st.sampled_from(["up", 'clé "1"', "\n"]), max_size=4))
            below = draw(st.integers(0, node.level - 1))
            tree = tree.add(node.id, [leaf(below, label, energy=draw(energies)) for label in labels])
        elif change == "update":
            tree = tree.update(node.id, status=draw(st.sampled_from(STATUSES)), spent_steps=draw(st.integers(0, 9)))
        else:
            tree = tree.drop_children(node.id)
        history.append(tree)
    return history


@given(trees())
def test_every_history_keeps_a_tree(history: list[PlanTree]) -> None:
    for tree in history:
        assert nx.is_arborescence(tree.graph) or len(tree) == 1
        assert set(tree.graph) == set(tree.nodes)
        assert all(tree.nodes[p].level > tree.nodes[c].level for p, c in tree.graph.edges)
        assert all(tree.parent(c.id) == tree.node(p) for p in tree.nodes for c in tree.children(p) + tree.earlier(p))
        assert max(tree.nodes) < tree.next_id


@given(trees())
def test_stored_and_read_back_equal(history: list[PlanTree]) -> None:
    for tree in history:
        text = json.dumps(tree.to_dict(), allow_nan=False)
        back = PlanTree.from_dict(json.loads(text))
        assert back == tree
        assert back.next_id == tree.next_id
        assert all([n.id for n in back.children(i)] == [n.id for n in tree.children(i)] for i in tree.nodes)


def test_what_was_added_below_a_replaced_node_goes_with_it() -> None:
    tree = PlanTree.empty("goal", levels=2).add(0, [leaf(1)]).add(0, []).add(1, [leaf(0)]).add(0, [])
    assert sorted(tree.nodes) == [0]


@given(trees(), st.data())
def test_changes_leave_the_old_tree_alone(history: list[PlanTree], data: st.DataObject) -> None:
    tree = history[-1]
    before, node_id = tree.to_dict(), data.draw(st.sampled_from(sorted(tree.nodes)))
    tree.update(node_id, cost=2.0)
    tree.drop_children(node_id)
    if tree.node(node_id).level:
        tree.add(node_id, [leaf(0)])
    assert tree.to_dict() == before


@given(trees())
def test_dropping_finishes_everything_below(history: list[PlanTree]) -> None:
    tree = history[-1]
    dropped = tree.drop_children(0)
    assert not any(n.status in ("pending", "active") for n in dropped.descendants(0))
    finished = {i: n for i, n in tree.nodes.items() if n.status in ("reached", "failed", "dropped")}
    assert all(dropped.node(i) == n for i, n in finished.items())


def test_children_are_what_was_added_in_order_with_fresh_ids() -> None:
    tree = two_levels()
    assert [n.label for n in tree.children(0)] == ["key", "door"]
    assert [n.label for n in tree.children(1)] == ["left", "forward", "pickup"]
    assert [n.id for n in tree.children(1)] == [3, 4, 5]
    assert tree.next_id == 6
    assert [n.label for n in tree.path_to_active()] == ["goal", "key", "forward"]


def test_the_replaced_plan_stays_for_one_repair() -> None:
    tree = two_levels().drop_children(1).add(1, [leaf(0, "right")])
    assert [(n.label, n.status) for n in tree.earlier(1)] == [
        ("left", "reached"), ("forward", "dropped"), ("pickup", "dropped"),
    ]  # fmt: skip
    assert [n.label for n in tree.children(1)] == ["right"]
    again = tree.add(1, [leaf(0, "up")])
    assert [(n.label, n.status) for n in again.earlier(1)] == [("right", "dropped")]
    assert [n.label for n in again.add(0, [leaf(1, "exit")]).earlier(0)] == ["key", "door"]
    assert len(again.add(0, [leaf(1, "exit")])) == 4, "what lay below the replaced plan is gone"


def test_what_lies_below_finished_nodes_goes_with_the_next_plan() -> None:
    tree = two_levels().update(1, status="reached").update(2, status="active")
    assert len(tree.children(1)) == 3
    assert tree.add(2, [leaf(0, "toggle")]).children(1) == ()


def test_the_tree_does_not_grow_with_the_episode() -> None:
    tree = PlanTree.empty("goal", levels=2)
    for _ in range(50):
        tree = tree.add(0, [leaf(1), leaf(1)])
        for node in tree.children(0):
            tree = tree.add(node.id, [leaf(0), leaf(0)]).add(node.id, [leaf(0)]).update(node.id, status="reached")
    assert len(tree) <= 1 + 4 + 2 * 3


def test_unknown_energies_are_equal_and_others_are_not() -> None:
    tree = two_levels()
    assert tree.update(3, energy=float("nan")) == tree
    assert tree.update(3, energy=1.0) != tree
    assert tree != tree.to_dict()
    assert math.isnan(PlanTree.from_dict(tree.to_dict()).root.expected_steps)


def test_the_graph_is_frozen_and_tells_the_replaced_plan() -> None:
    graph = two_levels().add(1, [leaf(0, "right")]).graph
    assert [graph.edges[1, i]["earlier"] for i in (3, 4, 5, 6)] == [True, True, True, False]
    assert graph.nodes[6]["node"].label == "right"
    with pytest.raises(nx.NetworkXError, match=r"[Ff]rozen"):
        graph.add_node(99)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda tree: tree.node(42), "no node 42"),
        (lambda tree: tree.children(42), "no node 42"),
        (lambda tree: tree.add(1, [leaf(1)]), "level 1 cannot refine node 1 of level 1"),
        (lambda tree: tree.update(1, level=0), "level"),
        (lambda tree: PlanTree.from_dict({"nodes": []}), "not a stored plan tree"),
        (lambda tree: PlanTree.from_dict({"next_id": 1, "nodes": [{"id": 3, "colour": 1}]}), "not a stored plan tree"),
        (lambda tree: PlanTree.from_dict({"next_id": 9, "nodes": tree.to_dict()["nodes"][1:]}), "hang together"),
    ],
)
def test_wrong_calls_say_what_is_wrong(wrong: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        wrong(two_levels())  # type: ignore[operator]
