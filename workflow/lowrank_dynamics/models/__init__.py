"""The mathematics of the paper on tensors; it knows no file and no setting."""
