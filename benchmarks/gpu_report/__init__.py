"""One command for a machine with a GPU: ``python -m benchmarks.gpu_report``, or ``make gpu-report``.

It runs the tests that need a GPU, compares every op and a few trainings with the CPU, measures what the device can do
at best, our kernels beside CuPy's own operations, and training beside the frameworks that are installed. Everything
goes to ``benchmarks/results/gpu_<name>.json``, and a summary to standard output. Each part is a process of its own, so
that one that fails, or breaks the device for its process, does not stop the others.

``--device sim`` runs the same parts on the simulator, with arrays as small as they can be, to try the report itself.
"""
