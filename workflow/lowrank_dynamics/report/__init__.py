"""A run made for readers: pages, the archive, the reference that the repository keeps."""
