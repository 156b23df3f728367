"""Functions that are made of ops: what they compute, their gradients and their cost follow from these."""
