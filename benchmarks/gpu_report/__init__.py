"""One command for a machine with a GPU: ``python3 -m benchmarks.gpu_report``, or ``make gpu-report``.

It takes ten minutes at most, needs NumPy, CuPy and ml_dtypes, and no network: the machine's own Python will do. The
first part goes through what everything else rests on, a line each; then all kernels are compiled, on all cores; then
come the parts in the order of their worth, each within its share of the time: training and every operation compared
with the CPU, training beside the frameworks that are installed, what each kernel of a step takes, our kernels beside
CuPy's own operations, what the device can do at best, every schedule of products, the tests. Each is a process of its
own, so that one that fails, or breaks the device for its process, does not stop the others, and what it found until
then is kept. ``--parts`` takes some of them, ``--limit`` another time, ``--all`` every case where a sample is taken by
default.

Everything is written to ``gpu_<name>.json`` in the folder of ``--out``, after each part, and a summary of each part
goes to standard output: 9,000 characters in all at most, with equal failures told once.

``--device sim`` runs the same parts on the simulator, with arrays as small as they can be, to try the report itself.
"""
