"""Pages of the documentation that are made of what gpunn has: its names, its kernels, its command."""
