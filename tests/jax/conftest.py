"""jax and its libraries are imported once, outside of any example that counts time."""

from __future__ import annotations

import equinox  # noqa: F401
import flax.linen
import flax.nnx  # noqa: F401
import haiku  # noqa: F401
import jax  # noqa: F401
