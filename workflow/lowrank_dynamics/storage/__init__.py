"""File formats: written completely or not at all, with their provenance inside."""
