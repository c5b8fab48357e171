"""The settings of a run: every key of the configuration, and how layers of them become one frozen `Settings`."""

from crawler.settings.checks import check_authority, check_seed, open_scope
from crawler.settings.functions import find_function, function_name
from crawler.settings.keys import KEYS, NOT_KEPT, RETIRED, SECRET, Settings
from crawler.settings.layers import (
    DEBUG,
    ENVIRONMENT,
    PROFILES,
    merge_layers,
    profile,
    profiles_folder,
    read_environment,
    read_file,
    refuse_unknown,
)

__all__ = [
    "DEBUG",
    "ENVIRONMENT",
    "KEYS",
    "NOT_KEPT",
    "PROFILES",
    "RETIRED",
    "SECRET",
    "Settings",
    "check_authority",
    "check_seed",
    "find_function",
    "function_name",
    "merge_layers",
    "open_scope",
    "profile",
    "profiles_folder",
    "read_environment",
    "read_file",
    "refuse_unknown",
]
