"""What the compiler and the simulator say of every kernel, recorded: README.md says how it is held in CI."""
