"""Settings that are in a vault, against servers that speak the vaults' protocols."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import hvac
import pytest

from salesmart_assets.errors import SalesmartError, Unreachable, UsageError
from salesmart_assets.resources.configuration import load_settings
from salesmart_assets.security import vaults
from salesmart_assets.settings import Settings

URL = "mysql+pymysql://ann:hidden-word-in-here@127.0.0.1:9/marts"
SECRET = {"database_url": URL, "port": 3005}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What an earlier test asked for is forgotten."""
    forget()
    yield
    forget()


def forget() -> None:
    vaults._kept.clear()
    vaults._clients.clear()


@pytest.fixture
def in_aws(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The ARN of a secret in AWS Secrets Manager, whose name is `retail/marts`; another one, `plain`, is mere text."""
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("secretsmanager")
    held: dict[str, dict[str, Any]] = {
        "plain": {"SecretString": "hidden-word-in-here"},
        "binary": {"SecretBinary": b"hidden-word-in-here"},
        "retail/marts": {"SecretString": json.dumps(SECRET)},
    }
    known = {item["Name"]: item["ARN"] for item in client.list_secrets()["SecretList"]}
    for name, value in held.items():
        if name not in known:
            known[name] = client.create_secret(Name=name, **value)["ARN"]
    return known["retail/marts"]


@pytest.fixture
def in_vault(vault: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> hvac.Client:
    """A vault with the same secret at `secret/retail/marts`, in an engine of version 2, and at `old/kv/retail`, of version 1."""
    for name, value in vault.items():
        monkeypatch.setenv(name, value)
    client = hvac.Client()
    client.secrets.kv.v2.create_or_update_secret("retail/marts", SECRET)
    if "old/kv/" not in client.sys.list_mounted_secrets_engines()["data"]:
        client.sys.enable_secrets_engine("kv", path="old/kv", options={"version": "1"})
    client.secrets.kv.v1.create_or_update_secret("retail", SECRET, mount_point="old/kv")
    return client


@pytest.mark.parametrize("load", [Settings.load, load_settings], ids=["command line", "Dagster"])
def test_settings_in_aws_secrets_manager(in_aws: str, monkeypatch: pytest.MonkeyPatch, load: Callable[[], Settings]) -> None:
    """A setting may be a secret of AWS Secrets Manager, by name or ARN, whole or a key of it: for the command line and for Dagster."""
    monkeypatch.setenv("SALESMART_DATABASE_URL", "aws-secret:retail/marts#database_url")
    monkeypatch.setenv("SALESMART_PORT", f"aws-secret:{in_aws}#port")
    monkeypatch.setenv("SALESMART_COUPON_SECRET", "aws-secret:plain")
    # An ARN says in which region it is, whatever the environment says.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    settings = load()
    assert settings.coupon_secret is not None
    assert (settings.marts_url, settings.port, settings.coupon_secret.get_secret_value()) == (URL, 3005, "hidden-word-in-here")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.delenv("SALESMART_DATABASE_URL")
    monkeypatch.delenv("SALESMART_COUPON_SECRET")
    forget()
    assert load().port == 3005


def test_an_engine_for_another_store_does_not_disturb(in_aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets stay within reach when the keys and the endpoint of a store that is not Amazon's come into the environment."""
    monkeypatch.setenv("SALESMART_COUPON_SECRET", "aws-secret:plain")
    monkeypatch.setattr(vaults, "KEPT_SECONDS", 0.0)
    assert load_settings().coupon_secret is not None
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("ENDPOINT_URL_SECRETS_MANAGER", ""), ("ACCESS_KEY_ID", "other")):
        monkeypatch.setenv(f"AWS_{name}", value)
    assert load_settings().coupon_secret is not None


@pytest.mark.parametrize("place", ["vault:secret/retail/marts", "vault:old/kv/retail", "vault:/secret/retail/marts/"])
def test_settings_in_a_vault(in_vault: hvac.Client, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A setting may be a key in a HashiCorp Vault or OpenBao, in an engine of either version, mounted at any path."""
    monkeypatch.setenv("SALESMART_DATABASE_URL", f"{place}#database_url")
    monkeypatch.setenv("SALESMART_PORT", f"{place}#port")
    assert (Settings.load().marts_url, Settings.load().port) == (URL, 3005)


def test_a_changed_value_is_taken_up(in_vault: hvac.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault is asked once in a while, not for every step; a changed value is taken up at the latest then."""
    monkeypatch.setenv("SALESMART_PORT", "vault:secret/changing#port")
    in_vault.secrets.kv.v2.create_or_update_secret("changing", {"port": "3006"})
    assert Settings.load().port == 3006
    in_vault.secrets.kv.v2.create_or_update_secret("changing", {"port": "3007"})
    assert Settings.load().port == 3006
    monkeypatch.setattr(vaults, "KEPT_SECONDS", 0.0)
    assert Settings.load().port == 3007


@pytest.mark.parametrize(
    ("reference", "kind", "says"),
    [
        ("aws-secret:nothing-there", Unreachable, r"does not give the secret nothing-there \(ResourceNotFoundException\)"),
        ("aws-secret:retail/marts#nothing", UsageError, "has no key nothing"),
        ("aws-secret:plain#key", UsageError, "has no key key"),
        ("aws-secret:binary", UsageError, "is binary"),
        ("aws-secret:", UsageError, "write aws-secret:NAME"),
        ("vault:secret/nothing#key", Unreachable, r"does not give secret/nothing \(InvalidPath\)"),
        ("vault:secret/retail/marts#nothing", UsageError, "has no key nothing"),
        ("vault:nowhere/at/all#key", Unreachable, r"does not give nowhere/at/all \(Forbidden\)"),
        ("vault:secret/retail/marts", UsageError, "write vault:PATH#KEY"),
    ],
)
def test_what_a_vault_does_not_give(
    in_aws: str, in_vault: hvac.Client, monkeypatch: pytest.MonkeyPatch, reference: str, kind: type[SalesmartError], says: str
) -> None:
    """A reference that leads nowhere is an error that names the setting and the place, and no value."""
    monkeypatch.setenv("SALESMART_DATABASE_URL", reference)
    with pytest.raises(kind, match=says) as caught:
        Settings.load()
    assert str(caught.value).startswith("SALESMART_DATABASE_URL: ")
    assert "hidden-word-in-here" not in str(caught.value)


def test_a_vault_that_does_not_answer(in_vault: hvac.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that cannot be reached, or refuses the token, is an error that says so and does not hold the token."""
    monkeypatch.setenv("SALESMART_DATABASE_URL", "vault:secret/retail/marts#database_url")
    monkeypatch.setenv("VAULT_TOKEN", "hidden-word-in-here")
    with pytest.raises(Unreachable, match=r"\(Forbidden\)") as refused:
        Settings.load()
    monkeypatch.setenv("VAULT_ADDR", "http://ann:hidden-word-in-here@127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"the vault at http://127.0.0.1:9 .*\(ConnectionError\)") as silent:
        Settings.load()
    monkeypatch.setenv("SALESMART_DATABASE_URL", "aws-secret:plain")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k" * 8)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-word-in-here")
    with pytest.raises(Unreachable, match=r"\(EndpointConnectionError\)") as away:
        Settings.load()
    assert "hidden-word-in-here" not in f"{refused.value} {silent.value} {away.value}"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("AWS_PROFILE", "nobody", "ProfileNotFound"), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "nowhere", "ValueError")],
)
def test_an_aws_chain_that_is_not_right(in_aws: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    """What is wrong in the standard AWS chain, such as a profile that is not there, is an error that names the setting."""
    monkeypatch.setattr(vaults, "_clients", {})
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("SALESMART_DATABASE_URL", "aws-secret:plain")
    with pytest.raises(Unreachable, match=rf"^SALESMART_DATABASE_URL: AWS Secrets Manager .*\({says}\)"):
        Settings.load()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package for vaults is not installed, the error says which it is."""
    monkeypatch.setenv("SALESMART_DATABASE_URL", "vault:secret/retail#url")
    monkeypatch.setitem(sys.modules, "hvac", None)
    with pytest.raises(UsageError, match=r"pip install 'salesmart\[vault\]'"):
        Settings.load()


def test_the_environment_is_left_alone(in_aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value from a vault stays in the process that asked for it: it is put into no environment that other processes inherit."""
    monkeypatch.setenv("SALESMART_COUPON_SECRET", "aws-secret:plain")
    load_settings()
    assert not any("hidden-word-in-here" in value for value in os.environ.values())
