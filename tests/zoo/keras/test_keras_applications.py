"""Models of ``keras.applications`` with random weights start in a trainable place."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import pytest_initcheck as ic


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50V2", "EfficientNetB0"])
def test_an_application_passes(name: str):
    def factory() -> Any:
        return getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)

    report = ic.check(factory, inputs="normal:64x64x3@16", id=name)
    assert report.verdict == "pass", str(report)
    assert not [line for line in report.unobserved if "one operation" in line]
