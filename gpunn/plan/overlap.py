"""Sums over all ranks that begin while the backward is still going on."""

from __future__ import annotations

from .graph import Graph, Node, ReduceStart


def begin_early(graph: Graph) -> None:
    """Let each sum over all ranks begin as soon as its gradients are there.

    Their order stays: it has to be the same on all ranks.
    """
    starts = [node for node in graph.nodes if isinstance(node, ReduceStart)]
    if not starts:
        return
    ids = {id(start) for start in starts}
    rest = [node for node in graph.nodes if id(node) not in ids]
    place = {id(node): i for i, node in enumerate(rest)}
    behind: dict[int, list[Node]] = {}
    at = -1
    for start in starts:
        at = max([at, *(place[id(x.node)] for x in start.reads() if x.node is not None)])
        behind.setdefault(at, []).append(start)
    graph.nodes[:] = behind.get(-1, [])
    for i, node in enumerate(rest):
        graph.nodes += [node, *behind.get(i, [])]
