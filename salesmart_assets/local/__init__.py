"""Servers that the program starts for itself, so that it works with no account and no server of the user's."""

from salesmart_assets.local.endpoint import LocalEndpoint, local_credentials

__all__ = ["LocalEndpoint", "local_credentials"]
