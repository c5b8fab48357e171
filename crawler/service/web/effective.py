"""The settings of a run with their origin: default, profile, job or this run alone.

Values of secret keys are neither resolved nor shown, only how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from crawler.errors import CrawlerError
from crawler.service.records import RunRecord
from crawler.settings import SECRET, profile
from crawler.settings.explained import DEFAULT, Layer, with_origins

PROFILE = "profile"


class EffectiveKey(NamedTuple):
    """A key of the settings: its value as TOML, and the layer that it comes from."""

    key: str
    value: str
    origin: str


class Effective(NamedTuple):
    """The keys that something sets, those that keep their default, and why there are none."""

    chosen: list[EffectiveKey]
    defaults: list[EffectiveKey]
    problem: str = ""


def effective(run: RunRecord, of_job: Mapping[str, object]) -> Effective:
    """The settings in effect for a run."""
    return explained_settings(run.settings, of_job)


def explained_settings(settings: Mapping[str, Any], of_job: Mapping[str, object]) -> Effective:
    """Settings as they are sent, with the origin of each key; `of_job`: those that come from a job."""
    secret = [
        EffectiveKey(key, f"({len(settings[key])} set, not shown)", "job" if key in of_job else "this run")
        for key in SECRET
        if settings.get(key)
    ]
    plain = {key: value for key, value in settings.items() if key not in SECRET}
    try:
        keys = [*(EffectiveKey(*row) for row in with_origins(_layers(plain, of_job)) if row[0] not in SECRET), *secret]
    except CrawlerError as error:
        return Effective([], [], str(error))
    return Effective(
        [one for one in keys if one.origin != DEFAULT],
        [one for one in keys if one.origin == DEFAULT],
    )


def _layers(settings: Mapping[str, Any], of_job: Mapping[str, object]) -> list[Layer]:
    """The layers from the weakest to the strongest."""
    own = {key: value for key, value in settings.items() if key != PROFILE and of_job.get(key) != value}
    shared = {key: value for key, value in settings.items() if key != PROFILE and key not in own}
    layers: list[Layer] = [("job", shared), ("this run", own)]
    name = settings.get(PROFILE)
    if isinstance(name, str):
        layers.insert(0, (f"profile {name}", profile(name)))
    return layers
