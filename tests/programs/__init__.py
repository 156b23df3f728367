"""Programs written for PyTorch, read for gpunn: nothing but their imports changes."""
