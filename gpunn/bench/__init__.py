"""Speed, measured: workloads, implementations of them by gpunn and its peers, and the protocol that compares them."""
