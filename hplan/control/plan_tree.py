"""The plan tree: every subgoal of every level, what it was expected to take and what it took, and why it was planned.

The controller writes it, and view, trace, report and tests read nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import networkx as nx

from hplan.types import PlanNode, Status, UsageError

ROOT = 0
UNFINISHED = ("pending", "active")


@dataclass(frozen=True, eq=False)
class PlanTree:
    """An immutable tree of `PlanNode`s; every change returns a new tree, and old ones stay as they were.

    The root (id 0) is the goal, one level above the top of the stack. `children(id)` is the current refinement of a
    node, in order of execution. Ids are never used twice in the history of one tree.

    The tree does not grow with the execution. `add` replaces the refinement of its parent: the one before stays for
    people to see as `earlier(parent)`, without its own descendants and until the next `add` there; and what lies below
    finished nodes (reached, failed, dropped) goes at the next `add` anywhere.
    """

    nodes: Mapping[int, PlanNode]
    _children: Mapping[int, tuple[int, ...]] = field(repr=False)
    _earlier: Mapping[int, tuple[int, ...]] = field(repr=False)
    _parent: Mapping[int, int] = field(repr=False)
    next_id: int = 1

    @classmethod
    def empty(cls, goal_label: str, *, levels: int = 1) -> PlanTree:
        """A tree of the goal alone, for a stack of `levels` levels: the root's level is `levels`."""
        root = PlanNode(ROOT, levels, goal_label, expected_steps=math.nan, status="active", cause="start", is_goal=True)
        return cls({ROOT: root}, {}, {}, {})

    # ------------------------------------------------------------------------------------------------------- reading

    @property
    def root(self) -> PlanNode:
        return self.nodes[ROOT]

    def node(self, node_id: int) -> PlanNode:
        """The node of that id. Raises UsageError where the tree does not hold it (any more)."""
        try:
            return self.nodes[node_id]
        except KeyError:
            raise UsageError(f"the plan tree has no node {node_id}; it holds {sorted(self.nodes)}") from None

    def children(self, node_id: int) -> tuple[PlanNode, ...]:
        """The current refinement of a node in order, whatever its status: exactly what `add` was last given."""
        self.node(node_id)
        return tuple(self.nodes[child] for child in self._children.get(node_id, ()))

    def earlier(self, node_id: int) -> tuple[PlanNode, ...]:
        """The refinement that the current one replaced: leaves, for people to see."""
        self.node(node_id)
        return tuple(self.nodes[child] for child in self._earlier.get(node_id, ()))

    def parent(self, node_id: int) -> PlanNode | None:
        """The node that this one refines; None for the root."""
        self.node(node_id)
        return None if node_id == ROOT else self.nodes[self._parent[node_id]]

    def ancestors(self, node_id: int) -> tuple[PlanNode, ...]:
        """The node itself, the one that it refines, and so on up to the root."""
        self.node(node_id)
        return tuple(self.nodes[above] for above in self._above(node_id))

    def descendants(self, node_id: int) -> Iterator[PlanNode]:
        """Everything below a node in the current plan, depth first."""
        for child in self.children(node_id):
            yield child
            yield from self.descendants(child.id)

    def path_to_active(self) -> tuple[PlanNode, ...]:
        """The root, its active child, that one's active child, and so on down to what is being executed now."""
        path = [self.root]
        while active := next((n for n in self.children(path[-1].id) if n.status == "active"), None):
            path.append(active)
        return tuple(path)

    @cached_property
    def graph(self) -> nx.DiGraph:
        """The tree as a frozen networkx graph, built when first asked for.

        Nodes carry `node` (the PlanNode); edges parent -> child carry `order` and `earlier` (True: a replaced plan).
        """
        graph = nx.DiGraph()
        graph.add_nodes_from((i, {"node": node}) for i, node in self.nodes.items())
        for earlier, table in ((True, self._earlier), (False, self._children)):
            for parent, children in table.items():
                graph.add_edges_from((parent, c, {"order": i, "earlier": earlier}) for i, c in enumerate(children))
        return nx.freeze(graph)

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self.nodes

    def __eq__(self, other: object) -> bool:
        """Same nodes in the same places; two unknown (NaN) energies are equal."""
        return isinstance(other, PlanTree) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # NaN fields have no useful hash

    def __str__(self) -> str:
        from hplan.report.tree import tree_text  # the drawing is the view's; it imports this module

        return tree_text(self)

    # ------------------------------------------------------------------------------------------------------ changing

    def add(self, parent_id: int, nodes: Iterable[PlanNode]) -> PlanTree:
        """Make `nodes` the refinement of a node; they get fresh ids (theirs are ignored) from `next_id` on, in order.

        Raises UsageError where a node's level is not below its parent's.
        """
        parent, added = self.node(parent_id), []
        for new_id, node in enumerate(nodes, self.next_id):
            if not 0 <= node.level < parent.level:
                raise UsageError(
                    f"a node of level {node.level} cannot refine node {parent_id} of level {parent.level}: expected a "
                    f"level below it (the root's level is the number of levels: PlanTree.empty(goal, levels=N))"
                )
            added.append(replace(node, id=new_id))
        replaced = self._children.get(parent_id, ())
        above = set(self._above(parent_id))
        over = [i for i in self._children if i not in above and self.nodes[i].status not in UNFINISHED]
        old = self._earlier.get(parent_id, ())
        gone = set(old)
        for top in (*old, *replaced, *over):
            gone.update(self._below(top))
        table, children, earlier, parents = self._without(gone)
        for i in replaced:
            if table[i].status in UNFINISHED:
                table[i] = replace(table[i], status="dropped")
        earlier.pop(parent_id, None)
        if replaced:
            earlier[parent_id] = replaced
        children[parent_id] = tuple(node.id for node in added)
        if not added:
            del children[parent_id]
        table.update((node.id, node) for node in added)
        parents.update((node.id, parent_id) for node in added)
        return PlanTree(table, children, earlier, parents, self.next_id + len(added))

    def update(self, node_id: int, **changes: Any) -> PlanTree:
        """The same tree with fields of one node changed; its id and level cannot be."""
        if fixed := {"id", "level"} & changes.keys():
            raise UsageError(f"{sorted(fixed)} of a plan node cannot change; add a new node instead")
        node = replace(self.node(node_id), **changes)
        return replace(self, nodes={**self.nodes, node_id: node})

    def charge(self, node_id: int, evaluations: int) -> PlanTree:
        """What planning below a node has cost is added to it, and to all that it serves."""
        spent = {n.id: replace(n, evaluations=n.evaluations + evaluations) for n in self.ancestors(node_id)}
        return replace(self, nodes={**self.nodes, **spent})

    def drop_children(self, node_id: int, status: Status = "dropped") -> PlanTree:
        """Mark every pending or active node below this one. They stay until `add` replaces them."""
        marked = {n.id: replace(n, status=status) for n in self.descendants(node_id) if n.status in UNFINISHED}
        return replace(self, nodes={**self.nodes, **marked})

    def _above(self, node_id: int) -> Iterator[int]:
        while node_id != ROOT:
            yield node_id
            node_id = self._parent[node_id]
        yield ROOT

    def _below(self, node_id: int) -> Iterator[int]:
        for table in (self._children, self._earlier):
            for child in table.get(node_id, ()):
                yield child
                yield from self._below(child)

    def _without(self, gone: set[int]) -> tuple[dict, dict, dict, dict]:
        """Copies of the four tables without some nodes: whole refinements, with everything below them."""
        table = {i: n for i, n in self.nodes.items() if i not in gone}
        children, earlier = (
            {p: c for p, c in old.items() if p not in gone and c[0] not in gone}
            for old in (self._children, self._earlier)
        )
        return table, children, earlier, {i: p for i, p in self._parent.items() if i not in gone}

    # ----------------------------------------------------------------------------------------------------------- JSON

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: {"next_id", "nodes": [fields that differ from their default, with "parent" and "earlier"]}."""
        order = [ROOT, *(c for t in (self._earlier, self._children) for p in sorted(t) for c in t[p])]
        replaced = {i for children in self._earlier.values() for i in children}
        entries = []
        for i in order:
            entry = {"parent": self._parent[i]} if i != ROOT else {}
            if i in replaced:
                entry["earlier"] = True
            entries.append(entry | _node_dict(self.nodes[i]))
        return {"next_id": self.next_id, "nodes": entries}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> PlanTree:
        """The inverse of `to_dict`. Raises UsageError where `stored` is not a tree's dictionary."""
        nodes: dict[int, PlanNode] = {}
        parents: dict[int, int] = {}
        tables: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
        try:
            for stored_node in stored["nodes"]:
                entry: dict[str, Any] = {k: math.nan if v is None else v for k, v in stored_node.items()}
                parent, earlier = entry.pop("parent", None), entry.pop("earlier", False)
                node = PlanNode(**entry)
                nodes[node.id] = node
                if parent is not None:
                    parents[node.id] = parent
                    tables[earlier].setdefault(parent, []).append(node.id)
            children, replaced = ({p: tuple(c) for p, c in table.items()} for table in tables)
            if {ROOT, *parents} != nodes.keys() or ROOT in parents or not nodes.keys() >= set(parents.values()):
                raise ValueError("its nodes do not hang together below a root of id 0")
            return cls(nodes, children, replaced, parents, int(stored["next_id"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"not a stored plan tree ({error}); expected what PlanTree.to_dict() returns") from error


_DEFAULTS = {f.name: f.default for f in fields(PlanNode)}


def _node_dict(node: PlanNode) -> dict[str, Any]:
    """Fields that differ from their default; NaN and infinities, which JSON lacks, become None."""
    entry = {}
    for name, default in _DEFAULTS.items():
        value = getattr(node, name)
        unknown = isinstance(value, float) and not math.isfinite(value)
        if default is MISSING or (value != default and not (unknown and default != default)):
            entry[name] = None if unknown else value
    return entry
