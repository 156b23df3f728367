"""Mutation testing: texts changed in one place at a time, and whether a test notices.

    python -m benchmarks.mutants kernels          # the CUDA texts, in the simulator's mode "check"
    python -m benchmarks.mutants python           # gpunn/ops and gpunn/plan
    python -m benchmarks.mutants report           # what is recorded

A change that no test notices is one that a programmer could make by mistake. What was tried lies in
`benchmarks/results/mutants/`, a table for each text; `survivors.toml` there says of every survivor why it computes the
same. A second call goes on where the first one ended, and texts that were changed since are tried anew.
"""
