"""A run for readers: pages, the archive, the reference kept in the repository."""
