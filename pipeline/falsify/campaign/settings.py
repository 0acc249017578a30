"""What is a campaign, and may a worker take part in it?

Its settings say all that decides a number: with them, the code and the versions of a few libraries,
every task has one answer, whoever computes it.
"""

import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ard.errors import ArdError, ExtraMissingError
from pipeline import fit_inputs
from pipeline.code import code_sha256
from pipeline.falsify.campaign.broker import Limits
from pipeline.values import build, plain, sha256_of

DYNAMICS: Final = "dynamics"
LIKELIHOOD: Final = "likelihood"
CHAINS: Final = "chains"
ALL: Final = "all"
ROLES: Final = (DYNAMICS, LIKELIHOOD, CHAINS)
SOBOL: Final = "sobol"
TABLE: Final = "table"

# The code that decides what is answered of a galaxy; the instrument's resolution is a manifest.
CODE: Final = (
    *fit_inputs.CODE,
    "manifests",
    "pipeline/commands/campaign_science.py",
    "pipeline/falsify/tasks.py",
    "pipeline/falsify/physics",
    "pipeline/falsify/cube",
)
# What has to be there for a role, by import name, and whose versions decide its numbers: galaxy i
# is drawn by numpy and scipy, for the role that only holds it against the cube as well.
_NEEDED: Final = {DYNAMICS: ("galpy",), LIKELIHOOD: ("jax",), CHAINS: ("jax", "blackjax")}
_TOOLS: Final = {
    DYNAMICS: ("numpy", "scipy", "galpy"),
    LIKELIHOOD: ("numpy", "scipy", "astropy", "jax", "jaxlib"),
    CHAINS: ("numpy", "scipy", "astropy", "jax", "jaxlib", "blackjax"),
}
# What numbers can be: 32 bits of the database, 30 of a Sobol sequence, 63 of the seed of draws.
_MOST: Final = 2**31 - 1
_MOST_OF_SOBOL: Final = 2**30
_SEEDS: Final = 2**63
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class Sampling:
    """How are the chains of a fit drawn; see `pipeline.infer.fit.Fit`?

    Raises
    ------
    ArdError
        If there are fewer than `rbh1 fit` takes.
    """

    n_chain: int = 4
    n_warmup: int = 250
    n_first: int = 500
    n_most: int = 4000

    def __post_init__(self) -> None:
        # Of fewer chains, or after a shorter warm-up, no fit passes: `require_passable` of fits.
        least = {"n_chain": 4, "n_warmup": 60, "n_first": 8, "n_most": self.n_first}
        for name, low in least.items():
            if not low <= getattr(self, name) <= _MOST:
                expected = f"{low} to {_MOST}"
                raise _wrong(f"number '{name}' of the sampling", expected, getattr(self, name))


@dataclass(frozen=True)
class Chains:
    """A fit of a whole scene, as `rbh1 fit` makes it.

    Attributes
    ----------
    model : str
        Name of the scene.
    seed : int
    """

    model: str
    seed: int = 1


@dataclass(frozen=True)
class Batches:
    """How many tasks does a worker of each role take at a time?

    Those of the dynamics take a millisecond each: many share the cost of a commit.
    """

    dynamics: int = 128
    likelihood: int = 64
    chains: int = 1


@dataclass(frozen=True)
class Settings:
    """All that decides what a campaign finds.

    Attributes
    ----------
    name : str
        Small letters, digits, and ``-_.`` inside.
    item : str
        The cube of the run.
    inputs : mapping of str to str
        sha256 of cube, noise product and target, by the names that the run knows them by.
    n_model : int
        Galaxies.
    seed : int
    kind : {"sobol", "random", "table"}
        How they are proposed.
    disc_kind : {"mn3", "double-exponential", "razor"}
    halo_kind : {"nfw", "compact"}
    dynamics : mapping of str to float
        Fields of `pipeline.falsify.physics.dynamics.DynamicsSettings`: redshift, cosmology, limits.
    cut : mapping of str to float
        Fields of `pipeline.infer.cutout.Cut`: which part of the cube is looked at.
    n_step : int
        Steps of the search for the best nuisances.
    table_sha256 : str
        Of the file with the parameters, if there is one.
    chains : tuple of Chains
        Fits of scenes that are tasks too.
    sampling : Sampling
        Of those.
    batches : Batches
    bound, lease_s, deliveries
        Of the queues; see `pipeline.falsify.campaign.broker.Limits`.

    Raises
    ------
    ArdError
        If a value cannot be.
    """

    name: str
    item: str
    inputs: Mapping[str, str]
    n_model: int
    seed: int = 1
    kind: Literal["sobol", "random", "table"] = "sobol"
    disc_kind: Literal["mn3", "double-exponential", "razor"] = "mn3"
    halo_kind: Literal["nfw", "compact"] = "nfw"
    dynamics: Mapping[str, float] = field(default_factory=dict)
    cut: Mapping[str, float] = field(default_factory=dict)
    n_step: int = 24
    table_sha256: str = ""
    chains: tuple[Chains, ...] = ()
    sampling: Sampling = Sampling()
    batches: Batches = Batches()
    bound: int = 4096
    lease_s: float = 600.0
    deliveries: int = 5

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise _wrong("name of a campaign", "small letters, digits, and -_. inside", self.name)
        counts = {
            "n_model": self.n_model,
            "bound": self.bound,
            "deliveries": self.deliveries,
            "dynamics": self.batches.dynamics,
            "likelihood": self.batches.likelihood,
            "chains": self.batches.chains,
        }
        for name, count in counts.items():
            most = _MOST_OF_SOBOL if (name, self.kind) == ("n_model", SOBOL) else _MOST
            if not 1 <= count <= most:
                raise _wrong(f"number '{name}' of a campaign", f"1 to {most}", count)
        if not 0 <= self.seed < _SEEDS:
            raise _wrong("seed of a campaign", f"0 to {_SEEDS - 1}", self.seed)
        if self.bound < max(self.batches.dynamics, self.batches.likelihood):
            raise _wrong("bound of the queues", "at least a batch of each role", self.bound)
        if not self.lease_s > 0.0:
            raise _wrong("lease of the queues", "more than 0 s", self.lease_s)

    @property
    def limits(self) -> Limits:
        """What holds for its queues."""
        return Limits(self.bound, self.lease_s, self.deliveries)

    def tasks(self, role: str) -> int:
        """Say how many numbers a role has; those of the likelihood are fewer in the end."""
        return len(self.chains) if role == CHAINS else self.n_model

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return dict(plain(self))

    @property
    def sha256(self) -> str:
        """What every worker compares."""
        return sha256_of(self)


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Make settings of their JSON form.

    Raises
    ------
    ArdError
        If a key is unknown, or a value does not fit.
    """
    made: Settings = build(Settings, values, "campaign")
    return made


@dataclass(frozen=True)
class Campaign:
    """A campaign of a ledger.

    Attributes
    ----------
    id : int
        Its key in the ledger.
    uid : str
        Names its queues.
    settings : Settings
    config_sha256, code_sha256 : str
        Of the settings, and of the code that it was created with.
    """

    id: int
    uid: str
    settings: Settings
    config_sha256: str
    code_sha256: str

    @property
    def name(self) -> str:
        """Its name in the ledger."""
        return self.settings.name

    def queue(self, role: str) -> str:
        """Give the name of a role's queue."""
        return f"rbh1:{self.uid}:{role}"


def present_code() -> str:
    """Digest the code that decides a number of a campaign."""
    return code_sha256(CODE)


def present_versions(role: str) -> dict[str, str]:
    """Give the versions of the libraries that decide a role's last digits."""
    return {name: _version(name) for name in _TOOLS[role]}


def require_libraries(role: str) -> None:
    """Make sure that a role can be worked in here; nothing is imported.

    Raises
    ------
    ExtraMissingError
        If a library is missing.
    """
    for name in _NEEDED[role]:
        if importlib.util.find_spec(name) is None:
            raise ExtraMissingError.for_module(name, f"the role '{role}' of a campaign")


def require_same(what: str, campaign: str, expected: Any, found: Any) -> None:
    """Refuse who would compute, or draw, other numbers.

    Parameters
    ----------
    what : str
        What is compared, and whose, such as "worker's lines of code".
    campaign : str
        Its name.
    expected, found : Any
        That of the campaign, and that of here.

    Raises
    ------
    ArdError
        If the two differ.
    """
    if expected == found:
        return
    raise ArdError(
        f"this {what} are not those of the campaign '{campaign}'",
        expected=_shown(expected, found),
        found=_shown(found, expected),
        action="install what the campaign was created with, or create one under another name",
    )


def with_chains(settings: Settings, models: tuple[str, ...], n_seed: int) -> Settings:
    """Add fits of scenes, each with so many seeds from 1 on."""
    chains = tuple(Chains(model, seed) for model in models for seed in range(1, n_seed + 1))
    return replace(settings, chains=chains)


def _shown(one: Any, other: Any) -> str:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        differing = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
        return ", ".join(f"{key} {one.get(key, 'absent')}" for key in differing)
    return str(one)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _wrong(what: str, expected: str, found: object) -> ArdError:
    return ArdError(
        f"the {what} cannot be", expected=expected, found=found, action="correct the settings"
    )
