"""Check every example, good and broken, and show the verdicts: ``python examples/demo.py [FRAMEWORK]``.

It runs what a user would, ``pytest --initcheck``, and reads the JSON report.  Exits with 1 if anything
comes out other than expected.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
GOOD = {
    "numpy": ("test_numpy_network.py", "test_family.py", "test_fixture.py"),
    "torch": ("models.py",),
}
BROKEN = {"numpy": ("broken/numpy_models.py",), "torch": ("broken/torch_models.py",)}

# what fails first, and the first wrong layer, counted in weight layers
FAULTS = {
    "default_init": ("variance", 0),
    "saturated_tanh": ("saturation", 0),
    "dead_relu": ("dead-relu", 0),
    "zero_layer": ("dead-relu", 2),
    "saturated_sigmoid": ("saturation", 0),
}


def checked(files):
    """Return pytest's exit code and output, and the models of the JSON report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        command = [sys.executable, "-m", "pytest", "--initcheck", "--initcheck-json", str(path)]
        run = subprocess.run(
            [*command, "-q", "-p", "no:cacheprovider", *(str(EXAMPLES / file) for file in files)],
            cwd=EXAMPLES.parent,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
        )
        models = json.loads(path.read_text(encoding="utf-8"))["models"] if path.exists() else []
    return run.returncode, run.stdout + run.stderr, models


def show_good(frameworks):
    """Print the verdicts of the good examples; return what was not expected of them."""
    print("good, expected to pass")
    files = [file for name in frameworks for file in GOOD[name]]
    code, output, models = checked(files)
    for model in models:
        show(model)
    bad = [f"{model['id']}: {model['verdict']}" for model in models if model["verdict"] != "pass"]
    bad += [f"{file}: no verdict" for file in files if not any(file in model["id"] for model in models)]
    if code != 0:
        print(output)
        bad.append(f"pytest ended with exit code {code} on the good examples")
    return bad


def show_broken(framework):
    """Print the verdicts of the broken examples; return what was not expected of them."""
    _, output, models = checked(BROKEN[framework])
    seen = {}
    for model in models:
        show(model)
        # what a dead or saturated layer does to others besides comes after it
        seen[model["id"].rpartition("::")[2]] = [
            (finding["invariant"], finding["site"]) for finding in model["findings"][:1]
        ]
    if not models:
        print(output)
    # in a torch Sequential the activations are counted too
    step = 2 if framework == "torch" else 1
    wanted = {name: [(invariant, str(step * layer))] for name, (invariant, layer) in FAULTS.items()}
    return [
        f"{framework} {name}: {seen.get(name, 'not checked')} instead of {wanted.get(name, 'nothing')}"
        for name in {**wanted, **seen}
        if seen.get(name) != wanted.get(name)
    ]


def show(model):
    """Print one line per model, and for each finding what it says and what mends it."""
    example = f"  {model['example']} and others" if model["example"] else ""
    print(f"  {model['verdict']:<5} {model['framework'] or '':<6} {model['id']}{example}")
    if model["error"]:
        print(f"        {model['error']}")
    for finding in model["findings"]:
        print(f"        {finding['invariant']}: {finding['place']}: {finding['message']}")
        print(f"        fix: {finding['fix']}")


def main():
    wanted = sys.argv[1:] or list(GOOD)
    for name in wanted:
        if name not in GOOD:
            print(f"no examples of {name}: there are some of {' and '.join(GOOD)}")
            return 1
    has_torch = importlib.util.find_spec("torch") is not None
    frameworks = [name for name in wanted if has_torch or name != "torch"]
    unexpected = show_good(frameworks) if frameworks else []
    print("\nbroken, expected to fail")
    for framework in frameworks:
        unexpected += show_broken(framework)
    if "torch" in frameworks:
        from normalization import reading

        print("\nhow inputs should be scaled (all figures: python examples/normalization.py)")
        for sentence in reading():
            print(f"  {sentence}")
    elif "torch" in wanted:
        unexpected.append(
            "torch is not installed, so its examples were not checked; "
            "run: python -m pip install 'pytest-initcheck[torch]'"
        )
    print()
    for line in unexpected:
        print(f"UNEXPECTED  {line}")
    if not unexpected:
        print("everything came out as expected")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
