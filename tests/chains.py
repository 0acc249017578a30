"""Chains for tests: good ones, the planted bad ones of the study's facts, and files of both."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

SHAPE = (4, 1000)


def autoregressive(rho: float, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Stationary chains of unit variance whose neighbouring draws correlate by rho."""
    kick = np.random.default_rng(seed).normal(size=shape)
    chain = np.empty(shape)
    chain[..., 0] = kick[..., 0]
    for step in range(1, shape[-1]):
        chain[..., step] = rho * chain[..., step - 1] + np.sqrt(1 - rho**2) * kick[..., step]
    return chain


def iid(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def nuts_stats(shape: tuple[int, ...] = SHAPE, seed: int = 100) -> dict[str, np.ndarray]:
    """Statistics of a Hamiltonian sampler with nothing to complain of."""
    rng = np.random.default_rng(seed)
    return {
        "lp": -0.5 * rng.chisquare(3, shape),
        "energy": rng.normal(size=shape),
        "diverging": np.zeros(shape, bool),
        "reached_max_treedepth": np.zeros(shape, bool),
    }


def planted() -> dict[str, np.ndarray]:
    """Bad chains: reference/inference.md section 4, and the second mode of its section 6."""
    good = iid(3)
    bad = {name: good.copy() for name in ("constant", "nan", "inf", "stuck", "wide", "second mode")}
    bad["constant"][:] = 0.3
    bad["nan"][1, 400] = np.nan
    bad["inf"][2, 7] = np.inf
    bad["stuck"][3] = bad["stuck"][3, 0]
    bad["wide"][1] *= 3.0
    bad["second mode"][2] += 5.0
    bad["single"] = good[:1]
    bad["cauchy"] = np.random.default_rng(4).standard_cauchy(SHAPE)
    return bad


def write_chains(
    path: Path,
    draws: Mapping[str, np.ndarray],
    stats: Mapping[str, np.ndarray],
    *,
    kind: str | None = None,
    dtype: str = "f8",
) -> None:
    """Write a netCDF file in the groups of ArviZ; draws in a type of choice."""
    h5netcdf = pytest.importorskip("h5netcdf")
    with h5netcdf.File(path, "w") as file:
        if kind is not None:
            file.attrs["sampler_kind"] = kind
        for group, variables in (("posterior", draws), ("sample_stats", stats)):
            place = file.create_group(group)
            for name, values in variables.items():
                dims = ("chain", "draw", *(f"{name}_{i}" for i in range(values.ndim - 2)))
                for dim, size in zip(dims, values.shape, strict=True):
                    if dim not in place.dimensions:
                        place.dimensions[dim] = size
                kept = values.astype("i1" if values.dtype == bool else dtype)
                place.create_variable(name, dims, data=kept)
