"""Settings that a person writes: what is understood, and what is refused in a sentence."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from salesmart_assets.errors import UsageError
from salesmart_assets.settings import Settings


def test_policies_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy names its month as 2026-07 or by its first day, and what it leaves out is as by default; a rate keeps its digits."""
    monkeypatch.setenv("SALESMART_INCENTIVE", '[{}, {"from_month": "2026-07", "rate": 0.0125, "top": 2, "ties": "split"}]')
    monkeypatch.setenv("SALESMART_COUPON", '[{"from_month": "2026-08-01", "loyal_percent": 12}]')
    settings = Settings.load()
    assert [(p.from_month, p.rate, p.top, p.ties) for p in settings.incentive] == [
        (date(1970, 1, 1), Decimal("0.01"), 1, "all"),
        (date(2026, 7, 1), Decimal("0.0125"), 2, "split"),
    ]
    (coupon,) = settings.coupon
    assert (coupon.from_month, coupon.loyal_percent, coupon.regular_percent, coupon.valid_days) == (date(2026, 8, 1), 12, 7, 30)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("INCENTIVE", "1 %", "it takes a JSON list, and this is none"),
        ("INCENTIVE", '{"rate": 0.02}', "it takes a JSON list, such as"),
        ("INCENTIVE", '[{}, {"from_month": "2026-07-15"}]', "policy 2, from_month: 2026-07-15 is no month: write it as 2026-07"),
        ("INCENTIVE", '[{"from_month": "July"}]', "July is no month"),
        ("INCENTIVE", '[{"from_month": "2026-13"}]', "policy 1, from_month"),
        ("INCENTIVE", '[{"from_month": "2026-07"}, {"from_month": "2026-07-01"}]', "two policies hold from 2026-07"),
        ("INCENTIVE", '[{"rate": 0.000000001}]', "policy 1, rate"),
        ("INCENTIVE", '[{"rate": 1.5}]', "policy 1, rate"),
        ("INCENTIVE", '[{"top": 0}]', "policy 1, top"),
        ("INCENTIVE", '[{"ties": "some"}]', "policy 1, ties"),
        ("INCENTIVE", '[{"bonus": 5}]', "policy 1, bonus"),
        ("COUPON", '[{"loyal_percent": 101}]', "policy 1, loyal_percent"),
        ("COUPON", "[5]", "policy 1"),
        ("COUPON_SECRET", "guess me", "it needs 16 signs or more"),
    ],
)
def test_a_policy_that_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch, setting: str, value: str, says: str) -> None:
    """A policy that cannot hold is refused with the setting's name, the policy's number and what is wrong; a secret is not shown."""
    monkeypatch.setenv(f"SALESMART_{setting}", value)
    with pytest.raises(UsageError) as refused:
        Settings.load()
    assert f"SALESMART_{setting} cannot be used: " in str(refused.value)
    assert says in str(refused.value)
    assert "guess me" not in str(refused.value)
