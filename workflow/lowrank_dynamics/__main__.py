"""Runs the command line with `python -m lowrank_dynamics`, and as the program
`lowrank-dynamics`.
"""

from lowrank_dynamics.cli.interruption import exit_when_asked


def run() -> None:
    """Run the command line; Ctrl-C ends it with a sentence even while it is still being
    imported.
    """
    exit_when_asked()
    from lowrank_dynamics.cli.commands import main

    main()


if __name__ == "__main__":
    run()
