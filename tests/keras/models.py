"""Keras models that tests of several files use."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def dense(units: int, init: Any = "he_normal", activation: str | None = "relu") -> Any:
    return layers.Dense(units, activation=activation, kernel_initializer=init)


def mlp(init: Any = "he_normal", activation: str = "relu", depth: int = 8) -> Any:
    hidden = [dense(64, init, activation) for _ in range(depth)]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10)])


def too_small() -> Any:
    return mlp(keras.initializers.RandomNormal(stddev=0.02))


def functional() -> Any:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name="stem")(
        x
    )
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.ReLU(name="bend")(y)
    y = layers.MaxPooling2D(name="pool")(y)
    y = layers.SpatialDropout2D(0.5)(y)
    y = layers.GlobalAveragePooling2D(name="average")(y)
    return keras.Model(x, layers.Dense(5, activation="softmax", name="head")(y))


@keras.saving.register_keras_serializable()
class Subclassed(keras.Model):
    """Blocks in a list, an activation that is a call, layers that draw."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.blocks = [layers.Dense(width, kernel_initializer="he_normal") for _ in range(3)]
        self.norm = layers.LayerNormalization()
        self.drop = layers.Dropout(0.5)
        self.noise = layers.GaussianNoise(1.0)
        self.head = layers.Dense(4)

    def call(self, x: Any, training: bool = False) -> Any:
        for block in self.blocks:
            x = self.noise(self.drop(keras.ops.relu(block(x)), training=training), training=training)
        return self.head(self.norm(x))


def attention() -> Any:
    x = keras.Input((6, 32))
    y = layers.LayerNormalization()(x)
    y = x + layers.MultiHeadAttention(4, 8, dropout=0.5, name="attend")(y, y)
    z = layers.Dense(64, activation="gelu", name="widen")(layers.LayerNormalization()(y))
    return keras.Model(x, layers.Dense(3, name="head")((y + layers.Dense(32, name="narrow")(z))[:, 0]))


def lstm() -> Any:
    hidden = layers.LSTM(16, dropout=0.5, name="cells")
    return keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(50, 16), hidden, layers.Dense(4)]
    )


def gru() -> Any:
    return keras.Sequential([keras.Input((5, 8)), layers.GRU(16, name="cells"), layers.Dense(4)])
