"""Pictures of measurements. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .implementations import FLOOR, IMPLEMENTATIONS, OTHERS
from .workloads import WORKLOADS

COLOURS = {
    "gpunn": "#0072B2",
    "gpunn-native": "#000000",
    "gpunn-eager": "#56B4E9",
    "torch": "#D55E00",
    "torch-compile": "#CC79A7",
    "torch-graph": "#E69F00",
    "jax": "#009E73",
    "jax-step": "#8FD3BD",
    "mlx": "#F0E442",
    FLOOR: "#777777",
}
"""Okabe and Ito's palette, which colour-blind readers can tell apart; grey for what is no implementation."""
OF_THE_GPU = "floor by the GPU's figures"


def batch_size_plot(rows: list[dict[str, Any]], machine: dict[str, Any], recommended: Any, path: Path) -> None:
    """Batch size against samples per second, log-log, and below it the ratios to the best peer and the floor."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    names = list(dict.fromkeys(r["implementation"] for r in rows))
    workload, device = WORKLOADS[rows[0]["workload"]], rows[0]["device"]
    panels = 2 if len(names) > 1 else 1
    fig, axes = plt.subplots(
        panels, 1, figsize=(8, 4.6 + 2 * (panels - 1)), sharex=True, squeeze=False, height_ratios=[3, 1.2][:panels]
    )
    top = axes[0][0]
    sizes = sorted({r["batch_size"] for r in rows})
    for name in names:
        mine = [r for r in rows if r["implementation"] == name and "samples_per_second" in r]
        if not mine:
            continue
        b = [r["batch_size"] for r in mine]
        y = [r["samples_per_second"] for r in mine]
        low = [r["batch_size"] / r["p90"] * 1e6 for r in mine]
        high = [r["batch_size"] / r["p10"] * 1e6 for r in mine]
        line = "--" if name == FLOOR else "o-"
        top.plot(b, y, line, color=COLOURS[name], label=IMPLEMENTATIONS[name][2], lw=2 if name == "gpunn" else 1.4)
        top.fill_between(b, low, high, color=COLOURS[name], alpha=0.15, lw=0)
    floors = {r["batch_size"]: r["batch_size"] / r["floor_microseconds"] * 1e6 for r in rows if r.get("floor")}
    if floors and FLOOR not in names:
        top.plot(*zip(*floors.items()), "--", color=COLOURS[FLOOR], label=OF_THE_GPU, lw=1.4)
    if recommended:
        top.axvline(recommended["batch_size"], color="#555555", ls=":", lw=1)
        large = recommended["batch_size"] > (min(sizes) * max(sizes)) ** 0.5  # right of the middle of the axis
        top.annotate(
            f" recommended: {recommended['batch_size']} ",
            (recommended["batch_size"], 0.03),
            xycoords=("data", "axes fraction"),
            color="#555555",
            fontsize=9,
            ha="right" if large else "left",
        )
    where = machine.get("gpu") or f"{machine['processor']}, {machine['cores']} cores"
    top.set(xscale="log", yscale="log", ylabel="samples per second")
    top.set_title(
        f"{workload.name}: {workload.title}, on {device}\n{where}",
        fontsize=11,
        loc="left",
    )
    top.legend(frameon=False, fontsize=9)
    top.grid(which="both", alpha=0.2)
    if panels == 2:
        _ratio_panel(axes[1][0], rows)
    bottom = axes[-1][0]
    bottom.set_xlabel("mini-batch size")
    bottom.xaxis.set_major_locator(FixedLocator(sizes))
    bottom.xaxis.set_minor_locator(NullLocator())
    bottom.set_xticklabels([str(s) for s in sizes])
    fig.tight_layout()
    fig.savefig(path, dpi=150)
    plt.close(fig)


def _ratio_panel(ax: Any, rows: list[dict[str, Any]]) -> None:
    """Our throughput over that of the fastest peer whose losses agree, and over that of the products alone."""
    ours = [r for r in rows if r["implementation"] == "gpunn" and r["valid"]]
    ax.axhline(1, color="#555555", lw=1)
    to_peer = {}
    for row in ours:
        here = [
            r for r in rows if r["batch_size"] == row["batch_size"] and r["implementation"] in OTHERS and r["valid"]
        ]
        if here:
            to_peer[row["batch_size"]] = row["samples_per_second"] / max(r["samples_per_second"] for r in here)
    to_floor = {r["batch_size"]: r["share_of_floor"] for r in ours if r["share_of_floor"]}
    label = IMPLEMENTATIONS[FLOOR][2] if any(r["implementation"] == FLOOR for r in rows) else OF_THE_GPU
    if to_peer:
        ax.plot(*zip(*to_peer.items()), "o-", color=COLOURS["gpunn"], label="the best peer")
    if to_floor:
        ax.plot(*zip(*to_floor.items()), "--", color=COLOURS[FLOOR], label=label)
    top = 1.1 * max(1, *to_peer.values(), *to_floor.values())
    ax.set(xscale="log", ylabel="gpunn\nrelative to", ylim=(0, top))
    if to_peer or to_floor:
        ax.legend(frameon=False, fontsize=9)
    ax.grid(alpha=0.2)


def strategies_plot(runs: list[dict[str, Any]], title: str, path: Path) -> None:
    """Loss against seconds, and against samples seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True)
    colours = list(COLOURS.values())
    for run, colour in zip(runs, colours):
        for ax, x in zip(axes, ("seconds", "samples")):
            start = 1 if x == "samples" else 0  # no samples have no place on a logarithmic axis
            ax.plot(run[x][start:], run["loss"][start:], "-", color=colour, label=run["title"], lw=1.8)
    axes[0].set(xlabel="seconds", ylabel="loss on held-out data", yscale="log")
    axes[1].set(xlabel="samples seen", xscale="log")
    axes[0].legend(frameon=False, fontsize=9)
    for ax in axes:
        ax.grid(which="both", alpha=0.2)
    fig.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)  # the name of a file may have a $
    fig.tight_layout()
    fig.savefig(path, dpi=150)
    plt.close(fig)
