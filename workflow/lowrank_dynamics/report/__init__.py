"""The pages of the report: one for each figure, and the table of claims. They are HTML files that need nothing else."""
