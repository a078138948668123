"""Two torch models that start well.  ``pytest --initcheck examples`` finds them: models.py is searched.

The declarations cost nothing elsewhere: the classes stay importable, and a decorated function is called
as before.
"""

import torch
from torch import nn

import pytest_initcheck as ic


class Classifier(nn.Module):
    """A small convolutional network for 32x32 images in 10 classes."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.hidden = nn.Linear(64 * 8 * 8, 128)
        self.head = nn.Linear(128, 10)
        # ReLU halves the second moment, so each weight needs variance 2 / fan_in; torch's own default
        # is 1 / (3 fan_in), whatever the activation
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        # nothing rectifies the logits: with gain 1 they start at unit scale
        nn.init.kaiming_normal_(self.head.weight, nonlinearity="linear")

    def forward(self, images):
        features = self.features(images).flatten(1)
        return self.head(torch.relu(self.hidden(features)))


# Without further decorators everything is checked, each by a limit that theory gives.
@ic.model(inputs=ic.images(3, 32, 32))
def classifier():
    return Classifier()


# With them, what they ask for (and `finite`), by these limits. A policy network has tanh units, which
# saturate when their inputs are large, and observations scaled to [-1, 1], which it must rely on.
@ic.model(inputs=ic.uniform(17, low=-1, high=1))
@ic.preserves_variance(limit=10)
@ic.bounded_saturation(0.05)
def policy():
    layers = [nn.Linear(17, 64), nn.Linear(64, 64), nn.Linear(64, 6)]
    for layer in layers:
        nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain("tanh"))
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
