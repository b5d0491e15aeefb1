"""S3 for Dagster: `dagster_aws.s3.S3Resource`, with the settings' endpoint and keys filled in when it is used.

The libraries behind it are loaded then, too: importing them takes longer than all the rest of the definitions.
"""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

from dagster import ConfigurableResource
from pydantic import Field

from salesmart_assets.resources.configuration import load_settings
from salesmart_assets.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from salesmart_assets.landing.zone import LandingZone
    from salesmart_assets.local.endpoint import LocalEndpoint

_endpoints: dict[str, LocalEndpoint] = {}


class LandingS3(ConfigurableResource[None]):
    """The store of the landing zone.

    Endpoint, region and keys come from `SALESMART_S3_…`, so that none of them stands in a run's configuration. On the
    local default the endpoint is started on first use and lives as long as the process.
    """

    max_attempts: int = Field(default=5, description="How often a call is tried before it fails.")

    def get_client(self) -> S3Client:
        """A boto3 client for the landing zone's store."""
        from dagster_aws.s3 import S3Resource

        settings = load_settings()
        if settings.s3_endpoint_url != "aws":
            # Stores other than Amazon's know the older rules for checksums only.
            os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
            os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
        if settings.uses_local_s3:
            endpoint = _local(settings)
            local: S3Client = S3Resource(
                endpoint_url=endpoint.url,
                region_name=settings.s3_region,
                aws_access_key_id=endpoint.access_key_id,
                aws_secret_access_key=endpoint.secret_access_key,
                max_attempts=self.max_attempts,
            ).get_client()
            return local
        secret = settings.s3_secret_access_key
        client: S3Client = S3Resource(
            endpoint_url=None if settings.s3_endpoint_url == "aws" else settings.s3_endpoint_url,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            max_attempts=self.max_attempts,
        ).get_client()
        return client

    def zone(self, settings: Settings) -> LandingZone:
        """The landing zone in that store; raises `Unreachable` if it does not answer."""
        from salesmart_assets.landing.zone import LandingZone

        zone = LandingZone(self.get_client(), settings.landing_bucket, settings.landing_prefix, folder=settings.s3_folder)
        zone.reach()
        return zone


def _local(settings: Settings) -> LocalEndpoint:
    from salesmart_assets.batch.platform import local_endpoint

    home = str(settings.root)
    if home not in _endpoints:
        _endpoints[home] = local_endpoint(settings)
        atexit.register(_endpoints[home].stop)
    return _endpoints[home]
