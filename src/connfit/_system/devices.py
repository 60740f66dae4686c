"""The device that JAX was told to use, checked before anything is computed."""

from __future__ import annotations

from connfit.errors import NotAvailableError


def check_device() -> None:
    """Find the device that JAX computes on.

    Raises
    ------
    NotAvailableError
        If `JAX_PLATFORMS` names only devices that are not here; JAX itself fails with a bare assertion.
    """
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        asked = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        raise NotAvailableError(
            f"JAX finds no device of JAX_PLATFORMS={asked!r} here: unset it, or add ',cpu', or install JAX for that "
            "device"
        ) from error
