"""What maintainers of the project run, besides its tests: nothing here is part of the package."""
