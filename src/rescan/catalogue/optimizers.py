"""Optimizers: torch's."""

from __future__ import annotations

from rescan.catalogue.record import Option, Record, by_name


class Optimizer(Record):
    """A class of `torch.optim`."""

    kind = "optimizer"


def _options(lr: float, weight_decay: float = 0.0, **own: Option) -> dict[str, Option]:
    return {
        "lr": Option(lr, "learning rate", most=1000, apart=True),
        **own,
        "weight_decay": Option(weight_decay, most=1000),
    }


MOMENTUM = Option(0.0, below=1)

OPTIMIZERS = by_name(
    Optimizer("adam", "torch.optim:Adam", sentence="Adam", options=_options(1e-3)),
    Optimizer(
        "adamw",
        "torch.optim:AdamW",
        about="weight decay apart from the gradient",
        sentence="AdamW",
        options=_options(1e-3, 0.01),
    ),
    Optimizer(
        "sgd",
        "torch.optim:SGD",
        about="stochastic gradient descent",
        sentence="SGD",
        options=_options(1e-2, momentum=MOMENTUM, nesterov=Option(False, "needs a momentum")),
    ),
    Optimizer("radam", "torch.optim:RAdam", about="rectified Adam", sentence="RAdam", options=_options(1e-3)),
    Optimizer(
        "asgd",
        "torch.optim:ASGD",
        about="averaged SGD",
        sentence="averaged SGD",
        options=_options(
            1e-2,
            lambd=Option(1e-4, "decay of the learning rate", most=1000),
            alpha=Option(0.75, "power of this decay", most=10),
            t0=Option(1e6, "step from which on it averages", most=1e12),
        ),
    ),
    Optimizer("adagrad", "torch.optim:Adagrad", sentence="Adagrad", options=_options(1e-2)),
    Optimizer(
        "adadelta",
        "torch.optim:Adadelta",
        sentence="Adadelta",
        options=_options(1.0, rho=Option(0.9, "of the running mean of squared gradients", below=1)),
    ),
    Optimizer(
        "rmsprop",
        "torch.optim:RMSprop",
        sentence="RMSprop",
        options=_options(
            1e-2, alpha=Option(0.99, "of the running mean of squared gradients", most=1), momentum=MOMENTUM
        ),
    ),
)
