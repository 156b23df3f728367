"""The cases, one file per family of ops; each file registers its own when imported."""
