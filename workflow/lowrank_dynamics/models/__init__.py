"""The mathematics of the paper on tensors; it reads no file and no setting, only the registries of
names, and the shapes of matrices that it is given.
"""
