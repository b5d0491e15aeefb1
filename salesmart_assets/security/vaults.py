"""References to values that are kept in a vault, and asking the vault for them.

`aws-secret:NAME` and `aws-secret:NAME#KEY` are in AWS Secrets Manager, whole or one key of a JSON object; NAME may be an ARN.
`vault:PATH#KEY` is in a key-value engine of HashiCorp Vault or OpenBao, PATH as `vault kv get` takes it. No message holds a value.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets.security.sealed import MARK

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

AWS, VAULT = "aws-secret:", "vault:"
KEPT_SECONDS = 300.0
"""A process asks a vault at most once in so long for the same value, and so takes up a changed one."""
_TIMEOUT_SECONDS = 10
_ARN_REGION = re.compile(r"arn:[^:]+:secretsmanager:([^:]+):")

OpenSecretsManager = Callable[[str], "SecretsManagerClient"]
"""Makes a client of AWS Secrets Manager in a region."""

_kept: dict[str, tuple[float, str]] = {}
_clients: dict[str, SecretsManagerClient] = {}
_lock = Lock()


def is_reference(value: str) -> bool:
    """Whether a setting's value is not the value itself, but encrypted or in a vault."""
    return value.startswith((MARK, AWS, VAULT))


def fetch(reference: str, setting: str, region: str, open_client: OpenSecretsManager) -> str:
    """The value that a reference of a setting stands for.

    `region` is that of AWS Secrets Manager where neither the name nor the standard AWS chain tells one. Raises `UsageError`
    for a reference that can't be right, and `Unreachable` where the vault does not answer or refuses.
    """
    with _lock:
        at, value = _kept.get(reference, (0.0, ""))
        if at and time.monotonic() - at < KEPT_SECONDS:
            return value
        if reference.startswith(AWS):
            value = _from_aws(reference.removeprefix(AWS), setting, region, open_client)
        else:
            value = _from_vault(reference.removeprefix(VAULT), setting)
        _kept[reference] = (time.monotonic(), value)
        return value


def open_secrets_manager(region: str) -> SecretsManagerClient:
    """A client of AWS Secrets Manager with the credentials of the standard AWS chain."""
    import boto3

    return boto3.session.Session().client("secretsmanager", region_name=region)


def _from_aws(place: str, setting: str, region: str, open_client: OpenSecretsManager) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    name, _, key = place.partition("#")
    if not name:
        raise UsageError(f"{setting}: write {AWS}NAME, or {AWS}NAME#KEY for one key of a JSON object.")
    arn = _ARN_REGION.match(name)
    try:
        region = arn[1] if arn else _aws_region() or region
        # A client is made once: later the environment may have the keys and the address of another store, for an engine.
        client = _clients[region] = _clients.get(region) or open_client(region)
        answer = client.get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError, ValueError) as error:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else type(error).__name__
        raise Unreachable(
            f"{setting}: AWS Secrets Manager does not give the secret {name} ({code}). Check its name, the region, the AWS credentials, "
            "and their right to secretsmanager:GetSecretValue."
        ) from None
    text = answer.get("SecretString")
    if text is None:
        raise UsageError(f"{setting}: the secret {name} of AWS Secrets Manager is binary; store it as text.")
    if not key:
        return text
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return _text_of(found, key, setting, f"the secret {name} of AWS Secrets Manager")


def _aws_region() -> str | None:
    import boto3

    return boto3.session.Session().region_name


def _from_vault(place: str, setting: str) -> str:
    """A value of a key-value engine of either version, mounted at any path."""
    path, _, key = place.partition("#")
    path = path.strip("/")
    if not path or not key:
        raise UsageError(f"{setting}: write {VAULT}PATH#KEY, such as {VAULT}secret/retail#database_url.")
    try:
        import hvac
    except ModuleNotFoundError:
        raise UsageError(f"{setting} is in a vault, which needs the package hvac: pip install 'salesmart[vault]'.") from None
    from hvac.exceptions import VaultError
    from requests.exceptions import RequestException

    # What stands before an @ is somebody's name and password.
    where = f"the vault at {re.sub(r'//[^/]*@', '//', os.environ.get('VAULT_ADDR', 'VAULT_ADDR, which is not set,'))}"
    try:
        client = hvac.Client(timeout=_TIMEOUT_SECONDS, namespace=os.environ.get("VAULT_NAMESPACE"))
        # Any token that may read at the path may ask what is mounted there; so asks the `vault` command.
        mount = client.adapter.get(f"/v1/sys/internal/ui/mounts/{path}")["data"]
        root = mount["path"].strip("/")
        below = path.removeprefix(f"{root}/")
        if (mount.get("options") or {}).get("version") == "2":
            found = client.secrets.kv.v2.read_secret_version(below, mount_point=root, raise_on_deleted_version=True)["data"]["data"]
        else:
            found = client.secrets.kv.v1.read_secret(below, mount_point=root)["data"]
    except (VaultError, RequestException, KeyError, TypeError) as error:
        raise Unreachable(
            f"{setting}: {where} does not give {path} ({type(error).__name__}). Check the path, VAULT_ADDR, VAULT_TOKEN and the rights of "
            "the token."
        ) from None
    return _text_of(found, key, setting, f"{path} in {where}")


def _text_of(found: Any, key: str, setting: str, place: str) -> str:
    if not isinstance(found, dict) or key not in found:
        raise UsageError(f"{setting}: {place} has no key {key}.")
    value = found[key]
    return value if isinstance(value, str) else json.dumps(value)
