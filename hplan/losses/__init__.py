"""Training objectives, one a file: pure functions of tensors that return a scalar."""
