import threading

import pytest

from glm_magic.chat.messages import Usage
from glm_magic.protocol.prices import Price
from glm_magic.service.ledger import Ledger, Total

CNY, USD = Price(1, 2, None, "CNY"), Price(3, 4, None, "USD")
USAGE = Usage(1_000_000, 500_000, 1_500_000)


def test_requests_tokens_and_costs_add_up_by_currency():
    ledger = Ledger()
    ledger.add("a", 0, USAGE, CNY, is_free=False)
    ledger.add("b", 0, USAGE, USD, is_free=False)
    ledger.add("b", 0, USAGE, USD, is_free=False)
    assert ledger.total == Total(3, 3_000_000, 1_500_000, (("CNY", 2.0), ("USD", 10.0)), 0)


def test_what_has_no_price_or_no_count_is_of_unknown_cost_unless_it_is_free():
    ledger = Ledger()
    ledger.add("a", 0, USAGE, None, is_free=False)
    ledger.add("a", 0, None, CNY, is_free=False)
    ledger.add("embedded", 0, USAGE, None, is_free=True)
    assert (ledger.total.requests, ledger.total.unknown, ledger.total.costs) == (3, 2, ())


def test_a_request_counts_as_spent_while_it_is_under_way():
    ledger = Ledger()
    with ledger.under_way("CNY", 0.5):
        assert ledger.spent("CNY") == 0.5
    assert ledger.spent("CNY") == 0


def test_each_model_has_its_own_estimates():
    ledger = Ledger()
    assert (ledger.answer_tokens("a"), ledger.prompt_tokens("a", 900).is_checked) == (500, False)
    ledger.add("a", 1000, Usage(2000, 40, 2040), None, is_free=False)
    ledger.add("a", 1000, Usage(2000, 60, 2060), None, is_free=False)
    assert ledger.answer_tokens("a") == 50
    assert ledger.prompt_tokens("a", 1000).tokens == pytest.approx(1800, rel=0.01)
    assert ledger.prompt_tokens("b", 1000).tokens == 1000


def test_threads_add_to_it_at_once():
    ledger = Ledger()
    threads = [
        threading.Thread(target=lambda: [ledger.add("a", 0, USAGE, CNY, is_free=False) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.total.requests == 800
