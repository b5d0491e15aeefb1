"""Asset checks: what each protects, and what was found."""

from salesmart_assets.checks.reconciliation import ALL_CHECKS

__all__ = ["ALL_CHECKS"]
