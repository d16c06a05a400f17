"""The formats of files: written whole or not at all, with their provenance inside."""
