"""What is measured while a network trains, one concept a module.

To add an observable, write a class like those here, its entry in `OBSERVABLES` and its setting in
`Observe`.
"""
