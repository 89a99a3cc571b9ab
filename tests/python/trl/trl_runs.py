# SPDX-License-Identifier: Apache-2.0
"""What tests look at in a run."""
from transformers import TrainerCallback


class FirstGradients(TrainerCallback):
    """The gradients of the first step, by parameter."""

    def __init__(self):
        self.by_name = {}

    def on_pre_optimizer_step(self, args, state, control, model, **_):
        if not self.by_name:
            self.by_name = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


class AtStep(TrainerCallback):
    """Calls `action` at the end of one step."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            self.action()


def losses(trainer, name="loss"):
    return [entry[name] for entry in trainer.state.log_history if name in entry]
