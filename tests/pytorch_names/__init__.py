"""The table of PyTorch's names: which are here, made by comparing both libraries."""
