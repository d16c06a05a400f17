"""A run for readers: pages, the closing block, the archive, and the check of one."""
