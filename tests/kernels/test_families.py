"""The families of kernels make up one class."""

from collections import defaultdict

from gpunn.backend.kernel import KernelBackend
from gpunn.backend.kernel.family import Family


def test_no_two_families_define_the_same_name():
    """The first one would hide the other, whose own methods call it."""
    defined_by = defaultdict(list)
    for family in KernelBackend.__mro__:
        if family not in (KernelBackend, Family, object):
            for name in vars(family):
                if not name.startswith("__"):
                    defined_by[name].append(family.__name__)
    assert {name: families for name, families in defined_by.items() if len(families) > 1} == {}
