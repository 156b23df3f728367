"""Around training: `gpunn.utils.data` brings samples together into batches."""
