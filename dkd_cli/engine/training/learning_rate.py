"""The peak learning rate of a recipe that names none, by the width of the model.

Adam changes each weight by about the learning rate, whatever the gradient. What a neuron says is a sum over
the width of the model and changes by about the product of the two, which is what is held constant here (Yang
et al., 2022, in the simplest form).
"""

from __future__ import annotations

from transformers import PretrainedConfig

STUDENT, TEACHER = 0.1, 0.04
"""Learning rate times width. Teachers are deeper, and have the labels alone to hold on to."""


def learning_rate(given: float | None, config: PretrainedConfig, of_width_one: float) -> float:
    """Return the recipe's learning rate, or that of the model's width.

    Args:
        given: `train.learning_rate`, with the settings of student or teacher over it.
        config: the model's.
        of_width_one: `STUDENT` or `TEACHER`.

    >>> learning_rate(None, PretrainedConfig(hidden_size=400), STUDENT)
    0.00025
    >>> learning_rate(2e-5, PretrainedConfig(hidden_size=400), STUDENT)
    2e-05
    """
    return of_width_one / int(config.get_text_config().hidden_size) if given is None else given
