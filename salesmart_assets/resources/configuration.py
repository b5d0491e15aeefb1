"""The settings for Dagster: as everywhere, but AWS Secrets Manager is asked through `dagster_aws`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from salesmart_assets.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def load_settings() -> Settings:
    """The settings of the installation; asked for when a run or a tick needs them, never at import."""
    return Settings.load(secrets_manager=_secrets_manager)


def _secrets_manager(region: str) -> SecretsManagerClient:
    from dagster import BetaWarning
    from dagster_aws.secretsmanager import SecretsManagerResource

    with warnings.catch_warnings():
        # Dagster calls this resource beta; all that is asked of it is a boto3 client.
        warnings.simplefilter("ignore", BetaWarning)
        client: SecretsManagerClient = SecretsManagerResource(region_name=region, verify=None).get_client()
    return client
