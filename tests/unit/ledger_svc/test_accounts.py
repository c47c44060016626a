"""Names of accounts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.domain.accounts import account_code, belongs_to_merchant

# As post_journals has it.
CODE = re.compile(r"[a-z_]+(:[^:#\s\x00-\x1f\x7f]{1,150}){1,2}:[A-Za-z0-9]{1,8}")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_whatever_a_customer_is_called_there_is_an_account_for_it(subject: str) -> None:
    code = account_code("card", subject, "EUR")
    assert CODE.fullmatch(code)
    assert len(code) <= 200


def test_different_customers_have_different_accounts() -> None:
    names = ["a:b", "a%3Ab", "a#b", "a b", "a" * 300, "a" * 301]
    assert len({account_code("card", name, "EUR") for name in names}) == len(names)


def test_ordinary_names_stay_readable() -> None:
    assert account_code("card", "alice@example.com", "EUR") == "card:alice@example.com:EUR"


def test_a_merchant_sees_its_own_accounts_only() -> None:
    assert belongs_to_merchant("merchant:mer_1:EUR", "mer_1")
    assert belongs_to_merchant("merchant_reserve:mer_1:EUR", "mer_1")
    assert not belongs_to_merchant("merchant:mer_2:EUR", "mer_1")
    assert not belongs_to_merchant("merchant:mer_10:EUR", "mer_1")
    assert not belongs_to_merchant("platform_revenue:mer_1:EUR", "mer_1")
