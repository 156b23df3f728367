"""Functions of tensors that are loaded when they are first asked for; `gpunn.later` says where each of them is."""
