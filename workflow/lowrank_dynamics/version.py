"""The version of the package; a further one makes no result again."""

__version__ = "0.1.0"
