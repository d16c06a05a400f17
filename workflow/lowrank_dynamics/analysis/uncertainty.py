"""How far the mean over trials may lie from the true one: Student's distribution."""

from scipy.special import stdtrit

FEWEST_TRIALS = 3
MOST_TRIALS = 1_000
CONFIDENCE = 0.95
"""One-sided: with this confidence the true mean is at most, and at least, what is said."""
POWER = 0.8
"""The probability with which an advised number of trials settles a verdict."""


def students_t(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors a mean may lie from the true one, on one side, if the spread
    has this many degrees of freedom: 2.92, 2.13 and 1.83 for 3, 5 and 10 trials.
    """
    return float(stdtrit(freedom, confidence))


def error_of_mean(deviation: float, trials: int) -> float:
    """Return the error of a mean over trials, from their standard deviation."""
    return students_t(trials - 1) * deviation / trials**0.5


def trials_to_settle(deviation: float, margin: float) -> int | None:
    """Return how many trials are likely to settle a verdict: with probability `POWER` the error of
    the mean is then below its margin to the threshold, if both are what they seem.

    None if `MOST_TRIALS` are not enough.
    """
    for trials in range(FEWEST_TRIALS, MOST_TRIALS + 1):
        errors = students_t(trials - 1) + students_t(trials - 1, POWER)
        if errors * deviation / trials**0.5 <= margin:
            return trials
    return None
