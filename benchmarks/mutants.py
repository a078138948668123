"""Would the tests notice? One-line mutants of the guarantee, each killed by a named test.

    python benchmarks/mutants.py [--find]

A mutant changes a limit, a slack factor, a step of the walk, the fail line, the cap, the seed key or
a guard, in a copy of the package.  ``--find`` runs the whole of tests/unit against each mutant
that has no test in the table below, and prints the first that fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutant:
    """``old`` becomes ``new`` in ``file`` (of the package); ``test`` has to fail then."""

    what: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    Mutant(
        "fail line",
        "sequential.py",
        "FAIL_AT = 13\n",
        "FAIL_AT = 7\n",
        "tests/unit/test_diagnosis.py::test_the_default_init_is_recognised_under_relu",
    ),
    Mutant(
        "pass line",
        "sequential.py",
        "PASS_AT = -3\n",
        "PASS_AT = -1\n",
        "tests/unit/test_engine.py::test_a_good_network_passes_every_invariant_in_three_replicates",
    ),
    Mutant(
        "cap",
        "sequential.py",
        "CAP = 64\n",
        "CAP = 12\n",
        "tests/unit/test_diagnosis.py::test_the_default_init_is_recognised_under_relu",
    ),
    Mutant(
        "step up",
        "sequential.py",
        "Walk(1.0, -1.0,",
        "Walk(2.0, -1.0,",
        "tests/unit/test_diagnosis.py::test_the_default_init_is_recognised_under_relu",
    ),
    Mutant(
        "fatal p1",
        "sequential.py",
        "FATAL_P1 = 0.1\n",
        "FATAL_P1 = 0.5\n",
        "tests/unit/test_diagnosis.py::test_a_nan_parameter_is_named",
    ),
    Mutant(
        "slack factor",
        "invariants/__init__.py",
        "SLACK = 2.0\n",
        "SLACK = 0.0\n",
        "tests/unit/test_evidence.py::test_the_slack_of_a_rate_against_its_formula",
    ),
    Mutant(
        "design effect",
        "invariants/__init__.py",
        "SLACK * math.sqrt(2 * rate",
        "SLACK * math.sqrt(1 * rate",
        "tests/unit/test_evidence.py::test_the_slack_of_a_rate_against_its_formula",
    ),
    Mutant(
        "vanishing limit",
        "invariants/variance.py",
        "VANISHING_BITS = -16.0",
        "VANISHING_BITS = -40.0",
        "tests/unit/test_engine.py::test_a_big_model_takes_one_seed_per_replicate",
    ),
    Mutant(
        "logit limit",
        "invariants/variance.py",
        "LOGIT_VARIANCE = 46.0",
        "LOGIT_VARIANCE = 4.6e9",
        "tests/unit/test_diagnosis.py::test_a_head_that_is_too_large_is_named",
    ),
    Mutant(
        "growth limit",
        "invariants/variance.py",
        "GROWTH = 100.0",
        "GROWTH = 1e30",
        "tests/unit/test_invariants.py::test_nets_that_vanish_or_explode[relu-8.0-growth]",
    ),
    Mutant(
        "saturation limit",
        "config.py",
        '"limit",\n        0.25,',
        '"limit",\n        0.75,',
        "tests/unit/test_diagnosis.py::test_saturated_units_name_the_layer_that_feeds_them_and_how_many_more",
    ),
    Mutant(
        "input limit",
        "config.py",
        '"limit", 46.0,',
        '"limit", 4.6e5,',
        "tests/unit/test_diagnosis.py::test_raw_pixels_are_recognised",
    ),
    Mutant(
        "dead limit",
        "invariants/dead_relu.py",
        "0.5 + 0.5 * matched",
        "matched",
        "tests/unit/test_engine.py::test_a_good_network_passes_every_invariant_in_three_replicates",
    ),
    Mutant(
        "jensen bias",
        "theory/finite_width.py",
        "b += c / (2 * n) * (1 + 4 / n)",
        "b += 0.0",
        "tests/unit/test_doctests.py::test_the_examples_of_a_module_run[theory.finite_width]",
    ),
    Mutant(
        "seed key: id",
        "factory.py",
        "{self.id}\\x00{self.example}",
        "{self.example}",
        "tests/unit/test_diagnosis.py::test_raw_pixels_are_recognised",
    ),
    Mutant(
        "seed key: example",
        "factory.py",
        "{self.id}\\x00{self.example}",
        "{self.id}",
        "tests/unit/test_factory.py::test_every_ingredient_of_a_seed_matters",
    ),
    Mutant(
        "seed key: replicate",
        "factory.py",
        "*words, replicate])",
        "*words, 0])",
        "tests/unit/test_diagnosis.py::test_the_default_init_is_recognised_under_relu",
    ),
    Mutant(
        "seed key: root",
        "factory.py",
        "[self.root, *words",
        "[0, *words",
        "tests/unit/test_engine.py::test_ids_roots_and_examples_change_the_seeds",
    ),
    Mutant(
        "guard: entropy",
        "replicates.py",
        "if tuple(p.digest for p in again) != tuple(p.digest for p in prints):",
        "if False:",
        "tests/unit/test_engine.py::test_a_model_that_cannot_be_judged[entropy]",
    ),
    Mutant(
        "guard: seed ignored",
        "replicates.py",
        "if drawn in self.fingerprints:",
        "if False:",
        "tests/unit/test_engine.py::test_a_model_that_cannot_be_judged",
    ),
    Mutant(
        "guard: NaN inputs",
        "replicates.py",
        "if not column.value.finite:",
        "if False:",
        "tests/unit/test_engine.py::test_inputs_that_do_not_fit_are_one_clear_line[nan]",
    ),
    Mutant(
        "guard: no parameters",
        "replicates.py",
        "if not prints:",
        "if False:",
        "tests/unit/test_engine.py::test_a_model_that_cannot_be_judged",
    ),
    Mutant(
        "guard: no activation",
        "replicates.py",
        "if not any(map(nonlinear, trace.sites)) and self",
        "if False and self",
        "tests/unit/test_engine.py::test_a_model_that_cannot_be_judged[linear]",
    ),
    Mutant(
        "states: python",
        "factory.py",
        "        stack.callback(random.setstate, random.getstate())\n",
        "",
        "tests/unit/test_engine.py::test_global_states_are_as_they_were",
    ),
    Mutant(
        "states: numpy",
        "probes/numpy.py",
        "        np.random.set_state(state)\n",
        "        pass\n",
        "tests/unit/test_engine.py::test_global_states_are_as_they_were",
    ),
    Mutant(
        "seeds averaged",
        "evidence.py",
        "value=math.fsum(values) / len(values) if values else None",
        "value=values[0] if values else None",
        "tests/unit/test_engine.py::test_events_in_every_fifth_init_are_found_although_three_replicates_pass",
    ),
    Mutant(
        "rare events drawn on",
        "replicates.py",
        "if k >= target and not events:",
        "if k >= target:",
        "tests/unit/test_engine.py::test_one_event_in_hundreds_is_no_failure",
    ),
    Mutant(
        "clean inits",
        "replicates.py",
        "CLEAN_INITS = 63",
        "CLEAN_INITS = 3",
        "tests/unit/test_engine.py::test_a_good_network_passes_every_invariant_in_three_replicates",
    ),
    Mutant(
        "a bias is a prior",
        "invariants/variance.py",
        "prior = 0.0 if site.bias is None else site.bias.second_moment - site.bias.mean**2",
        "prior = 0.0",
        "tests/torch/test_harm.py::test_an_offset_or_a_unit_of_the_output_is_a_choice",
    ),
    Mutant(
        "a sum is no logit",
        "invariants/variance.py",
        "    if site.op in _SUMS:\n",
        "    if site.op in ():\n",
        "tests/torch/test_harm.py::test_an_offset_or_a_unit_of_the_output_is_a_choice",
    ),
    Mutant(
        "inputs as they are read",
        "invariants/inputs.py",
        "            if alone and not ends and",
        "            if False and",
        "tests/torch/test_harm.py::test_pixels_are_judged_as_the_first_layer_reads_them",
    ),
    Mutant(
        "a gate that its bias sets",
        "invariants/saturation.py",
        "z.second_moment < _CLOSED**2",
        "z.second_moment < 1e9",
        "tests/torch/test_harm.py::test_a_gate_that_its_bias_closes_is_a_choice_while_it_can_open",
    ),
    Mutant(
        "chunks are apart",
        "probes/torch_origins.py",
        "if not chunks and (known",
        "if (known",
        "tests/torch/test_recorder.py::test_a_write_to_one_chunk_is_none_to_the_others",
    ),
    Mutant(
        "attributes are kept",
        "probes/torch_state.py",
        "            for part_attributes in attributes:\n",
        "            for part_attributes in ():\n",
        "tests/torch/hazards/test_no_trace.py::test_nothing_is_left_on_the_model",
    ),
    Mutant(
        "gradients are kept",
        "probes/torch_state.py",
        "            self.tensor.grad = self.grad\n",
        "            pass\n",
        "tests/torch/hazards/test_no_trace.py::test_nothing_is_left_on_the_model",
    ),
    Mutant(
        "settings are kept",
        "probes/torch_settings.py",
        "            if get() != before:\n",
        "            if False:\n",
        "tests/torch/hazards/test_no_trace.py::test_settings_are_as_they_were",
    ),
    Mutant(
        "masks by their mean",
        "probes/torch_dropout.py",
        "                return func(other, probability)\n",
        "                pass\n",
        "tests/torch/hazards/test_noise.py::test_dropout_is_off_in_every_spelling",
    ),
    Mutant(
        "written activations",
        "probes/activation_values.py",
        "    return best if errors[best] <= allowed else None\n",
        "    return None\n",
        "tests/torch/hazards/test_spellings.py::test_every_spelling_is_seen_alike",
    ),
    Mutant(
        "time first",
        "probes/torch_inputs.py",
        "    if seen is None or seen == batch:\n",
        "    if True:\n",
        "tests/torch/hazards/test_structures.py::test_time_first_samples_are_on_the_second_axis",
    ),
    Mutant(
        "transposed fan",
        "initializers/layers.py",
        'return _whole(fan / self._skipped) if self.kind == "conv_transposed" else fan',
        "return fan",
        "tests/unit/test_layers.py::test_fans_are_what_counting_gives",
    ),
    Mutant(
        "grouped fan",
        "initializers/layers.py",
        "self.units // self.groups // self.blocks",
        "self.units // self.blocks",
        "tests/unit/test_layers.py::test_fans_are_what_counting_gives",
    ),
    Mutant(
        "orthogonal kurtosis",
        "initializers/schemes.py",
        "taps * 3 * n / (n + 2)",
        "taps * 3.0",
        "tests/unit/test_schemes.py::test_the_kurtosis_of_orthogonal_draws_is_exact_at_small_sides",
    ),
    Mutant(
        "inits per replicate",
        "initializer_check/measures.py",
        "_ENTRIES = 4096\n",
        "_ENTRIES = 64\n",
        "tests/unit/test_initializer_check.py"
        "::test_a_quarter_off_is_seen_at_8x8_and_five_per_cent_is_allowed",
    ),
    Mutant(
        "needed variance",
        "initializer_check/measures.py",
        "low=(1 - allowed) * (1 - luck)",
        "low=0.0",
        "tests/unit/test_initializer_check.py"
        "::test_a_quarter_off_is_seen_at_8x8_and_five_per_cent_is_allowed",
    ),
    Mutant(
        "copied rows",
        "initializer_check/measures.py",
        "share, high=0.0, limit",
        "share, high=1.0, limit",
        "tests/unit/test_initializer_check.py::test_copies_fail_independence",
    ),
    Mutant(
        "fixed seed of an init",
        "initializer_check/__init__.py",
        "if deterministic and len(",
        "if not deterministic and len(",
        "tests/unit/test_initializer_check.py::test_a_fixed_seed_is_an_error",
    ),
)


def mutated(mutant: Mutant, folder: Path) -> Path:
    """Return a copy of the project with this one change."""
    copy = folder / "project"
    for name in ("pytest_initcheck", "tests", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (ROOT / "pyproject.toml", *ROOT.glob("*.md")):
        shutil.copy(path, copy)
    path = copy / "pytest_initcheck" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.what}: {mutant.old!r} stands {text.count(mutant.old)} times in {path.name}"
        )
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return copy


def failures(project: Path, tests: list[str]) -> tuple[int, list[str]]:
    """Run the tests against this copy; return pytest's exit code and the tests that failed."""
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    failed = [
        line.split(" ", 1)[1].split(" - ")[0] for line in lines if line.startswith(("FAILED ", "ERROR "))
    ]
    return done.returncode, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--find", action="store_true")
    options = parser.parse_args()
    survivors = 0
    unnamed = [m.what for m in MUTANTS if not m.test]
    if unnamed and not options.find:
        raise SystemExit(f"no test is named for {', '.join(unnamed)}; run with --find")
    chosen = [m for m in MUTANTS if not (options.find and m.test)]
    for mutant in chosen:
        with tempfile.TemporaryDirectory() as folder:
            tests = ["tests/unit"] if options.find else [mutant.test]
            code, failed = failures(mutated(mutant, Path(folder)), tests)
        killed = code == 1 and bool(failed)
        survivors += not killed
        print(
            f"{'killed' if killed else f'ALIVE ({code})':12} {mutant.what:22} {' '.join(failed)}",
            flush=True,
        )
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants killed")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
