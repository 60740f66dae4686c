"""Do neurons that an ensemble would record next tell more of hidden activity than neurons drawn at random?

    python benchmarks/record_next.py --teachers 6

SURROGATE teachers (`connfit.datasets.synthetic.known_teacher`): every neuron's activity is known. A few neurons beside
the sensory ones are recorded, an ensemble of students is fitted to them, more neurons are chosen by each criterion of
`connfit record-next` (and by synapse counts alone, and at random), and new students are fitted with these recorded too.
A third of the other neurons is never recorded. R² of hidden activity is the squared correlation over test frames of the
mean student, mean over neurons: of those that are never recorded, and of all that were hidden before, where those that
are recorded now count as measured. Students have wiring and signs of the teacher and free weights, time constants and
biases; they predict one step ahead from recorded neurons and learn by truncated backpropagation through time. All
students of a teacher train side by side.

Prints a JSON object for each teacher and a table over teachers: R² by the number of added neurons, and the share of the
random sets' neurons at which a criterion reaches the R² of the largest random sets, with an interval over teachers.
`--read FILE` takes such JSON lines instead of running.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from connfit.analysis.record_next.information import Deviations, choose
from connfit.analysis.record_next.recorded_inputs import known_inputs
from connfit.datasets.synthetic.known_teacher import KnownTeacher, TeacherSettings

WINDOW, SETTLE, TEST_FRAMES = 20, 30, 400
RATE = 2e-2
NOISE = 0.1
"""Of measurement, in standard deviations."""
RANDOM = "random"


@dataclass(frozen=True, eq=False)
class Students:
    """What all students of a teacher share: wiring with signs at a guessed scale, and what is measured of it."""

    teacher: KnownTeacher
    counts: Float[np.ndarray, "N N"]
    measured: Float[np.ndarray, "T N"]
    rates: Float[np.ndarray, "T N"]
    frames: int
    updates: int

    @classmethod
    def of(cls, teacher: KnownTeacher, frames: int, updates: int, process_noise: float) -> Students:
        brain = teacher.connectome
        signed = np.zeros((brain.n, brain.n))
        signed[np.asarray(brain.posts), np.asarray(brain.indices)] = brain.signs[brain.indices] * brain.counts
        signed *= 0.5 / np.abs(np.linalg.eigvals(signed)).max()
        rates = teacher.play(frames + TEST_FRAMES, process_noise=process_noise)
        return cls(teacher, signed, teacher.measure(rates, NOISE), rates, frames, updates)

    def starts(self, recorded: Bool[np.ndarray, "N"], seeds: int) -> list[dict[str, Array]]:
        """Starts of several seeds: weights, time constants and biases drawn about a guess."""
        learned = self.measured[: self.frames]
        mean = np.where(recorded, learned.mean(axis=0), learned[:, recorded].mean())
        made = []
        for seed in range(seeds):
            rng = np.random.default_rng((seed, 3))
            log_weights = 0.5 * rng.standard_normal(self.counts.shape)
            bias = mean - (np.exp(log_weights) * self.counts) @ mean
            leak = 0.43 + 0.7 * rng.standard_normal(len(mean))
            made.append({"weights": log_weights, "leak": leak, "bias": bias})
        return [{key: jnp.asarray(value, jnp.float32) for key, value in one.items()} for one in made]

    def fit(self, sets: list[Bool[np.ndarray, "N"]], seeds: int) -> tuple[dict[str, Array], Bool[np.ndarray, "S N"]]:
        """Fit students of each set of recorded neurons with each seed, all side by side."""
        each = [start for recorded in sets for start in self.starts(recorded, seeds)]
        params = jax.tree.map(lambda *values: jnp.stack(values), *each)
        masks = np.repeat(np.array(sets), seeds, axis=0)
        learned = self.measured[: self.frames]
        scale = np.where(self.teacher.sensory, 0, 1 / np.mean(np.diff(learned, axis=0) ** 2, axis=0))
        arrays = (jnp.asarray(one, jnp.float32) for one in (self.counts, learned, scale))
        return _fit(params, jnp.asarray(masks), *arrays, self.updates), masks

    def follow(self, params: dict[str, Array], masks: np.ndarray, frames: slice) -> Float[np.ndarray, "S t N"]:
        """Predict frames from what is recorded of those before, without the first ones."""
        given = jnp.asarray(self.measured[frames], jnp.float32)
        return np.asarray(_follow(params, jnp.asarray(masks), jnp.asarray(self.counts, jnp.float32), given))[:, SETTLE:]


def _step(params: dict[str, Array], counts: Array, mask: Array, rates: Array, shown: Array) -> Array:
    corrected = jnp.where(mask, shown, rates)
    alpha = jax.nn.sigmoid(params["leak"])
    driven = (jnp.exp(params["weights"]) * counts) @ corrected + params["bias"]
    return alpha * corrected + (1 - alpha) * jax.nn.relu(driven)


@partial(jax.jit, static_argnames="updates")
def _fit(params: dict[str, Array], masks: Array, counts: Array, learned: Array, scale: Array, updates: int) -> dict:
    windows = (len(learned) - 1) // WINDOW
    before = learned[: windows * WINDOW].reshape(windows, WINDOW, -1)
    after = learned[1 : windows * WINDOW + 1].reshape(windows, WINDOW, -1)
    optimiser = optax.adam(optax.cosine_decay_schedule(RATE, updates, 0.02))

    def loss(params: dict, mask: Array, rates: Array, at: Array) -> tuple[Array, Array]:
        def one(rates: Array, frame: tuple[Array, Array]) -> tuple[Array, Array]:
            rates = _step(params, counts, mask, rates, frame[0])
            return rates, jnp.where(mask, scale * (rates - frame[1]) ** 2, 0).sum()

        rates, errors = jax.lax.scan(one, rates, (before[at], after[at]))
        return errors.sum() / (mask.sum() * WINDOW), rates

    def student(params: dict, mask: Array) -> dict:
        first = jnp.where(mask, learned[0], jnp.where(mask, learned[0], 0).sum() / mask.sum())

        def update(carry: tuple, number: Array) -> tuple[tuple, None]:
            params, state, rates = carry
            at = number % windows
            rates = jnp.where(at == 0, first, rates)
            (_, rates), gradient = jax.value_and_grad(loss, has_aux=True)(params, mask, rates, at)
            change, state = optimiser.update(gradient, state)
            moved = jax.tree.map(jnp.add, params, change)
            return (moved, state, jax.lax.stop_gradient(rates)), None

        return jax.lax.scan(update, (params, optimiser.init(params), first), jnp.arange(updates))[0][0]

    return jax.vmap(student)(params, masks)


@jax.jit
def _follow(params: dict[str, Array], masks: Array, counts: Array, given: Array) -> Array:
    def student(params: dict, mask: Array) -> Array:
        def one(rates: Array, shown: Array) -> tuple[Array, Array]:
            rates = _step(params, counts, mask, rates, shown)
            return rates, rates

        return jax.lax.scan(one, jnp.ones(len(mask)), given[:-1])[1]

    return jax.vmap(student)(params, masks)


def explained(truth: Float[np.ndarray, "t N"], predicted: Float[np.ndarray, "t N"]) -> Float[np.ndarray, "N"]:
    """Squared correlation over time of each neuron; 0 where it is negative or the prediction stands still."""
    x, y = truth - truth.mean(axis=0), predicted - predicted.mean(axis=0)
    norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    r = np.where(norm > 0, (x * y).sum(axis=0) / np.where(norm > 0, norm, 1), 0)
    return np.maximum(r, 0) ** 2


def orders(
    students: Students, activity: Float[np.ndarray, "K t N"], recorded: Bool[np.ndarray, "N"],
    candidates: Int[np.ndarray, "c"], params: dict[str, Array], count: int, draws: int,
) -> dict[str, Int[np.ndarray, "n"]]:  # fmt: skip
    """Candidates in the order in which each criterion would record them."""
    brain = students.teacher.connectome
    deviations = Deviations.of(activity)
    found = {}
    # Uncertainty of all hidden neurons counts, those that are never recorded included; only candidates are chosen.
    hidden = np.flatnonzero(~recorded)
    able = np.isin(hidden, candidates)
    covariance = deviations.covariance(hidden)
    for criterion in ("variance", "information", "disagreement"):
        order = choose(covariance, 0.5, len(hidden), criterion).order
        found[criterion] = hidden[order][able[order]]
    pre, post = np.asarray(brain.indices), np.asarray(brain.posts)
    drive = np.exp(np.asarray(params["weights"])).mean(axis=0) * np.abs(students.counts) * deviations.spread
    shares = (drive / np.maximum(drive.sum(axis=1, keepdims=True), 1e-12))[post, pre]
    chosen, _ = known_inputs(shares, pre, post, deviations.disagreement, recorded, candidates, count)
    found["inputs"] = candidates[chosen.order]
    synapses = np.bincount(pre, brain.counts, brain.n)
    found["synapses sent"] = candidates[np.argsort(-synapses[candidates], kind="stable")]
    for draw in range(draws):
        found[f"{RANDOM} {draw}"] = np.random.default_rng((students.teacher.seed, 7, draw)).permutation(candidates)
    return found


def one_teacher(asked: argparse.Namespace, seed: int) -> dict[str, list[list[float]]]:
    """R² by criterion and number of added neurons: of neurons that are never recorded, and of all that were hidden."""
    settings = TeacherSettings(neurons=asked.neurons, mean_degree=8, sensory_fraction=0.06)
    teacher = KnownTeacher.draw(settings, seed)
    students = Students.of(teacher, asked.frames, asked.updates, asked.process_noise)
    others = np.random.default_rng((seed, 1)).permutation(np.flatnonzero(~teacher.sensory))
    third = len(others) // 3
    never, base, candidates = others[:third], others[third : third + asked.base], others[third + asked.base :]
    recorded = teacher.sensory.copy()
    recorded[base] = True
    params, masks = students.fit([recorded], asked.members)
    activity = students.follow(params, masks, slice(0, asked.frames))
    sizes = [size for size in asked.sizes if size <= len(candidates)]
    chosen = orders(students, activity, recorded, candidates, params, max(sizes), asked.draws)
    sets, rows = [recorded], [("none", 0)]
    for name, order in chosen.items():
        for size in sizes:
            more = recorded.copy()
            more[order[:size]] = True
            sets.append(more)
            rows.append((name, size))
    params, masks = students.fit(sets, asked.students)
    test = slice(asked.frames, None)
    predicted = students.follow(params, masks, test).reshape(len(sets), asked.students, -1, teacher.connectome.n)
    truth, seen = students.rates[test][1 + SETTLE :], students.measured[test][1 + SETTLE :]
    hidden = np.flatnonzero(~recorded)
    found: dict[str, list[list[float]]] = {}
    for (name, _), mask, of in zip(rows, sets, predicted, strict=True):
        mean = of.mean(axis=0)
        known = np.where(mask, seen, mean)
        both = explained(truth[:, never], mean[:, never]).mean(), explained(truth[:, hidden], known[:, hidden]).mean()
        found.setdefault(name, []).append([float(value) for value in both])
    drawn = [found.pop(f"{RANDOM} {draw}") for draw in range(asked.draws)]
    found[RANDOM] = np.mean(drawn, axis=0).tolist()
    return found


def needed(sizes: np.ndarray, start: float, chosen: np.ndarray, random: np.ndarray) -> float:
    """Share of the largest random set's neurons at which chosen ones reach its R²; NaN where they never do.

    Between sizes R² is taken to be linear, and never to fall.
    """
    curve = np.maximum.accumulate([start, *chosen])
    if curve[-1] < random[-1]:
        return float("nan")
    return float(np.interp(random[-1], curve, [0, *sizes])) / sizes[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("teachers", 6), ("first", 0), ("neurons", 60), ("frames", 400), ("base", 4), ("members", 5), ("students", 1),
        ("draws", 4), ("updates", 240),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--process-noise", type=float, default=0.1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 6, 9, 12])
    parser.add_argument("--read", type=Path, nargs="+", default=[])
    asked = parser.parse_args()
    each = [json.loads(line)["r2"] for path in asked.read for line in path.read_text().splitlines() if line[:1] == "{"]
    for seed in () if each else range(asked.first, asked.first + asked.teachers):
        began = time.process_time()
        found = one_teacher(asked, seed)
        each.append(found)
        took = round(time.process_time() - began, 1)
        print(json.dumps({"benchmark": "record_next", "teacher": seed, "cpu_s": took, "r2": found}), flush=True)
    for measure, title in enumerate(("neurons that are never recorded", "all neurons hidden before")):
        print_table(np.array(asked.sizes), each, measure, title)


def print_table(sizes: np.ndarray, each: list[dict[str, list[list[float]]]], measure: int, title: str) -> None:
    """Means over teachers by criterion and size, and the share of random's neurons that is needed."""
    start = np.array([of["none"][0][measure] for of in each])
    names = [name for name in each[0] if name != "none"]
    curves = {name: np.array([[row[measure] for row in of[name]] for of in each]) for name in names}
    print(f"\nR² of {title}, mean of {len(each)} SURROGATE teachers; none added: {start.mean():.3f}")
    print(f"{'added':<16}" + "".join(f"{size:>8}" for size in sizes) + "   share of random's neurons (95 %)")
    draws = np.random.default_rng(0).integers(len(each), size=(500, len(each)))
    for name, curve in curves.items():
        of = [
            needed(sizes, start[some].mean(), curve[some].mean(axis=0), curves[RANDOM][some].mean(axis=0))
            for some in (np.arange(len(each)), *draws)
        ]
        known = np.where(np.isnan(of), np.inf, of)
        low, high = np.quantile(known[1:], [0.025, 0.975], method="nearest")
        share = "" if name == RANDOM else f"   {known[0]:.2f} ({low:.2f} to {high:.2f})"
        print(f"{name:<16}" + "".join(f"{value:>8.3f}" for value in curve.mean(axis=0)) + share)


if __name__ == "__main__":
    main()
