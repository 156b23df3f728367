"""Other libraries' tensors and modules beside gpunn's: `gpunn.interop.torch`."""
