"""Eigenvalues of largest magnitude of a matrix that is known by its products alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from jaxtyping import Complex, Float

from connfit._io import finite
from connfit.errors import ConfigError, ConnfitError

DENSE_UP_TO = 500
"""Matrices up to this size are decomposed as a whole, larger ones by ARPACK."""

_COLUMNS = 16
"""Vectors that share one pass over the connections."""

_SPARE = 8
"""Eigenvalues that ARPACK is asked for beyond k: it may pass over one among the last that it finds."""

Operator = Callable[[np.ndarray], np.ndarray]
"""A matrix times [n, B] columns, in double precision."""


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues of largest magnitude of one matrix.

    Parameters
    ----------
    matrix
        Which matrix: `"weights"`, `"jacobian"`, or the caller's own name.
    size
        Number of rows of the matrix.
    radius
        Largest absolute eigenvalue, silent neurons included.
    eigenvalues
        Real and imaginary part, largest magnitude first; of a conjugate pair the one above the real axis first.
    residuals
        ‖A v - λ v‖ of each with its unit eigenvector v. For a matrix far from normal an eigenvalue can be further off
        than its residual.
    time_scales_s
        -Δt / ln|λ| in seconds: e-fold decay; negative where the mode grows, None at |λ| = 1 and where the matrix is
        not a step in time.
    periods_s
        2π Δt / |arg λ| in seconds; None for modes that do not oscillate, and as in `time_scales_s`.
    step_s
        Seconds that one application of the matrix stands for; None for a matrix that is not a step in time.
    outside_unit_circle
        Eigenvalues above 1 in magnitude.
    silent
        Rows that have nothing but their own decay (silent neurons). Each contributes this decay as an eigenvalue;
        `eigenvalues` are the others.
    silent_radius
        Largest decay among them, 0 if there are none.
    requested, found
        Eigenvalues that were asked for; fewer are found where ARPACK did not find them all.
    converged
        Whether ARPACK found all that it looked for; if not, larger ones than some of these may be missing.
    products
        Products with the matrix, a measure of the work.
    state
        Where the dynamics were linearised; empty for the weights.
    """

    matrix: str = ""
    size: int = 0
    radius: float = 0.0
    eigenvalues: tuple[tuple[float, float], ...] = ()
    residuals: tuple[float, ...] = ()
    time_scales_s: tuple[float | None, ...] = ()
    periods_s: tuple[float | None, ...] = ()
    step_s: float | None = None
    outside_unit_circle: int = 0
    silent: int = 0
    silent_radius: float = 0.0
    requested: int = 0
    found: int = 0
    converged: bool = True
    products: int = 0
    state: Mapping[str, str | int | float | None] = field(default_factory=dict)

    @property
    def values(self) -> Complex[np.ndarray, "k"]:
        """[k] eigenvalues."""
        return np.array([complex(*pair) for pair in self.eigenvalues], np.complex128)


def arpack_bytes(size: int, k: int) -> int:
    """Return the memory that ARPACK needs for k eigenvalues with their vectors.

    It holds about 2k basis vectors and 3k result vectors. For 138,639 rows that is 0.40 GB for 64 and 5.6 GB
    for 1,000.
    """
    k = min(k + _SPARE, size)
    return 8 * size * (2 * k + 1 + 3 * (k + 1))


def leading_eigenvalues(
    apply: Operator,
    size: int,
    *,
    k: int = 64,
    matrix: str = "operator",
    step_s: float | None = None,
    tolerance: float = 1e-5,
    restarts: int = 300,
    dense_up_to: int = DENSE_UP_TO,
    seed: int = 0,
) -> Spectrum:
    """Find the k eigenvalues of largest magnitude of a matrix that is known only by its products.

    By the implicitly restarted Arnoldi method (Lehoucq, Sorensen & Yang 1998, doi 10.1137/1.9780898719628);
    matrices of up to `dense_up_to` rows are decomposed as a whole.

    Parameters
    ----------
    apply
        The matrix times [size, B] columns.
    size
        Number of rows.
    k
        How many; at most `size`. Memory: see `arpack_bytes`.
    step_s
        Seconds that one application stands for, if it is a step in time.
    tolerance
        Relative accuracy at which an eigenvalue is accepted. Operators in single precision allow about 1e-6.
    restarts
        After this many restarts of ARPACK what has been found so far is returned.
    seed
        Of the start vector.

    Raises
    ------
    ConfigError
        If `k` is not at least 1.
    ConnfitError
        If ARPACK finds nothing, or the products are not finite.

    Examples
    --------
    >>> turn = 0.9 * np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> found = leading_eigenvalues(lambda v: turn @ v, 2, k=2, step_s=0.5)
    >>> round(found.radius, 6), np.round(found.periods_s, 6).tolist()
    (0.9, [2.0, 2.0])
    """
    if k < 1:
        raise ConfigError(f"k = {k}: ask for at least one eigenvalue")
    requested, k = k, min(k, size)
    products = 0

    def counted(columns: np.ndarray) -> np.ndarray:
        nonlocal products
        products += columns.shape[1]
        image = _in_blocks(apply, columns)
        if not np.isfinite(image).all():
            raise ConnfitError(f"the products with the {matrix} are not finite: parameters or state diverged")
        return image

    if size <= dense_up_to or k + _SPARE >= size - 1:
        values, vectors = np.linalg.eig(counted(np.eye(size)))
        converged = True
    else:
        values, vectors, converged = _arpack(counted, size, k + _SPARE, tolerance, restarts, seed, matrix)
    values, vectors = np.asarray(values, np.complex128), np.asarray(vectors)
    order = np.lexsort((-values.imag, -np.abs(values)))[:k]
    values = values[order]
    width = _COLUMNS // 2
    parts = [slice(first, first + width) for first in range(0, len(values), width)]
    residuals = [_residuals(counted, values[part], vectors[:, order[part]]) for part in parts]
    residuals = np.concatenate([np.zeros(0), *residuals])
    scales, periods = _times(values, step_s)
    return Spectrum(
        matrix=matrix,
        size=size,
        radius=float(np.abs(values).max(initial=0.0)),
        eigenvalues=tuple((float(value.real), float(value.imag)) for value in values),
        residuals=tuple(residuals.tolist()),
        time_scales_s=scales,
        periods_s=periods,
        step_s=step_s,
        outside_unit_circle=int((np.abs(values) > 1).sum()),
        requested=requested,
        found=len(values),
        converged=converged,
        products=products,
    )


def _times(values: Complex[np.ndarray, "k"], step_s: float | None) -> tuple[tuple[float | None, ...], ...]:
    """Time scales and periods of modes."""
    if step_s is None:
        return (None,) * len(values), (None,) * len(values)
    with np.errstate(divide="ignore"):
        scales = -step_s / np.log(np.abs(values))
        return tuple(finite(scales)), tuple(finite(2 * np.pi * step_s / np.abs(np.angle(values))))


def _arpack(
    apply: Operator, size: int, k: int, tolerance: float, restarts: int, seed: int, matrix: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    def product(v: np.ndarray) -> np.ndarray:
        return apply(np.reshape(v, (size, 1)))[:, 0]

    operator: Any = spla.LinearOperator((size, size), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(seed).standard_normal(size)
    if not product(start).any():
        # No connections that do anything: ARPACK knows no matrix of zeros.
        return np.zeros(k), np.eye(size, k), True
    try:
        found: Any = spla.eigs(operator, k=k, which="LM", v0=start, tol=tolerance, maxiter=restarts)  # pyright: ignore[reportArgumentType]
    except spla.ArpackNoConvergence as partial:
        if not len(partial.eigenvalues):
            raise ConnfitError(
                f"no eigenvalue of the {matrix} converged within {restarts} restarts; ask for fewer, for a "
                f"larger tolerance than {tolerance:g} or for more restarts"
            ) from partial
        return partial.eigenvalues, partial.eigenvectors, False
    except spla.ArpackError as error:
        raise ConnfitError(f"ARPACK finds no eigenvalues of the {matrix}: {error}") from error
    return *found, True


def _residuals(apply: Operator, values: np.ndarray, vectors: np.ndarray) -> Float[np.ndarray, "b"]:
    image = apply(np.concatenate([np.real(vectors), np.imag(vectors)], axis=1))
    count = len(values)
    difference = image[:, :count] + 1j * image[:, count:] - values * vectors
    return np.linalg.norm(difference, axis=0) / np.linalg.norm(vectors, axis=0)


def _in_blocks(apply: Operator, columns: np.ndarray) -> np.ndarray:
    """The product in blocks of one width, for a compiled operator would be compiled anew for any other."""
    count = columns.shape[1]
    if count == 1:
        return np.asarray(apply(columns), np.float64)
    image = np.empty(columns.shape)
    for first in range(0, count, _COLUMNS):
        width = min(_COLUMNS, count - first)
        block = np.zeros((len(columns), _COLUMNS))
        block[:, :width] = columns[:, first : first + width]
        image[:, first : first + width] = np.asarray(apply(block), np.float64)[:, :width]
    return image
