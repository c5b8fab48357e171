"""The files of `config/` that start a cluster: what they say of the crawler and of KubeRay exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from crawler.cli.crawl import crawl
from crawler.settings import Settings, read_environment

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
REFERENCE = re.compile(r"env:([A-Z_]+)")
# https://ray-project.github.io/kuberay/reference/api/ (KubeRay 1.6)
JOB = {
    *("activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint", "jobId"),
    *("entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "managedBy", "metadata", "rayClusterSpec"),
    *("runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterConfig", "submitterPodTemplate"),
    *("suspend", "ttlSecondsAfterFinished"),
}
CLUSTER = {
    *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "headGroupSpec"),
    *("headServiceAnnotations", "managedBy", "rayVersion", "suspend", "upgradeStrategy", "workerGroupSpecs"),
}
HEAD = {"enableIngress", "headService", "labels", "rayStartParams", "resources", "serviceType", "template"}
WORKERS = {
    *("groupName", "idleTimeoutSeconds", "labels", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams"),
    *("replicas", "resources", "scaleStrategy", "suspend", "template"),
}
# https://docs.ray.io/en/latest/cluster/cli.html#ray-start
START = {"head", "address", "port", "num-cpus", "object-store-memory", "include-dashboard", "block"}


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((CONFIG / "compose.yaml").read_text()))


def manifests() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in yaml.safe_load_all((CONFIG / "rayjob.yaml").read_text())}


def environments() -> Iterator[dict[str, str]]:
    """The environment of every node that runs a part of a crawl, with secrets as empty values."""
    for name in ("head", "worker"):
        yield compose()["services"][name]["environment"]
    job = manifests()
    cluster = job["RayJob"]["spec"]["rayClusterSpec"]
    secrets = re.findall(r"--from-literal=([A-Z_]+)=", (CONFIG / "rayjob.yaml").read_text())
    for pod in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = pod["template"]["spec"]["containers"]
        assert [*container["envFrom"]] == [{"configMapRef": {"name": "crawler"}}, {"secretRef": {"name": "crawler"}}]
        yield job["ConfigMap"]["data"] | dict.fromkeys(secrets, "")


def test_every_key_exists_and_every_secret_comes_by_the_environment() -> None:
    found = list(environments())
    assert len(found) == 4
    for environment in found:
        keys = read_environment({name: value for name, value in environment.items() if name.startswith("CRAWLER_")})
        assert {"mode", "ray_address", "shards", "frontier", "store"} <= keys.keys() <= set(Settings.__struct_fields__)
        for key in ("frontier_password", "store_key", "store_secret"):
            reference = REFERENCE.fullmatch(keys[key])
            assert reference is not None and reference[1] in environment, key


def commands() -> list[list[str]]:
    """The commands of the crawler in both files, as words."""
    text = (CONFIG / "compose.yaml").read_text()
    by_hand = re.findall(r"exec head crawler (.*)", text)
    return [shlex.split(by_hand[0]), shlex.split(manifests()["RayJob"]["spec"]["entrypoint"])[1:]]


def test_every_option_of_the_crawler_exists() -> None:
    assert len(commands()) == 2
    for words in commands():
        crawl.make_context("crawl", words)  # raises for an unknown one


def test_every_field_of_the_job_exists() -> None:
    job = manifests()["RayJob"]
    assert job["apiVersion"] == "ray.io/v1"
    assert job["spec"].keys() <= JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster.keys() <= CLUSTER
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"].keys() <= HEAD
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= WORKERS
        assert group["rayStartParams"].keys() <= START
    claim = cluster["headGroupSpec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == manifests()["PersistentVolumeClaim"]["metadata"]["name"]


def test_nodes_have_room_for_the_shards_and_ray_the_version_of_the_extra() -> None:
    cluster = manifests()["RayJob"]["spec"]["rayClusterSpec"]
    cores = sum(one["replicas"] * int(one["rayStartParams"]["num-cpus"]) for one in cluster["workerGroupSpecs"])
    assert int(manifests()["ConfigMap"]["data"]["CRAWLER_SHARDS"]) <= 2 * cores
    project = (ROOT / "pyproject.toml").read_text()
    needed = Requirement(re.findall(r'^ray = \["(.*)"\]', project, re.MULTILINE)[0]).specifier
    image = re.findall(r"rayproject/ray:([0-9.]+)-py", (CONFIG / "Containerfile.cluster").read_text())
    assert [cluster["rayVersion"]] == image
    assert needed.contains(image[0])


def test_no_port_is_published_and_ray_asks_for_a_token() -> None:
    services = compose()["services"]
    assert not [name for name, service in services.items() if "ports" in service]
    assert services["worker"]["environment"]["RAY_AUTH_MODE"] == "token"
    for name in ("head", "worker"):
        options = {word[2:].partition("=")[0] for word in services[name]["command"].split() if word.startswith("--")}
        assert options <= START
