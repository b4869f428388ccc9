import pytest

from glm_magic.chat.messages import Usage
from glm_magic.errors import SettingError
from glm_magic.protocol.prices import Price, read

HEAD = "model,input,output,cached,currency\n"


def test_a_list_has_a_model_on_each_line():
    prices = read(f"\ufeff{HEAD}GLM-4.6, 2,8,0.4,CNY\n\nmine,0.15,0.6,,usd\n", "p.csv")
    assert prices == {"glm-4.6": Price(2, 8, 0.4, "CNY"), "mine": Price(0.15, 0.6, None, "USD")}


def test_the_column_of_cached_input_may_be_missing():
    assert read("currency,model,input,output\nCNY,m,1,2\n", "p.csv") == {"m": Price(1, 2)}


def test_input_from_the_cache_has_a_price_of_its_own_or_that_of_input():
    usage = Usage(1_000_000, 500_000, 1_500_000, cached_tokens=400_000)
    assert Price(10, 20, 1).cost(usage) == pytest.approx(0.6 * 10 + 0.4 * 1 + 0.5 * 20)
    assert Price(10, 20).cost(usage) == pytest.approx(20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.csv, line 1: the column model is missing"),
        ("model,input,output\n", "line 1: the column currency is missing"),
        ("model,input,ouput,currency\n", "line 1: there is no column 'ouput'; did you mean output?"),
        (f"{HEAD}m,1,2,,CNY\nn,one,2,,CNY", "line 3: input takes a number of at least 0, not 'one'"),
        (f"{HEAD}m,1,-2,,CNY", "line 2: output takes a number of at least 0, not '-2'"),
        (f"{HEAD}m,1,nan,,CNY", "line 2: output takes a number of at least 0, not 'nan'"),
        (f"{HEAD}m,1,2", "line 2: 3 cells where there are 5 columns"),
        (f"{HEAD}m,1,2,,CNY,6", "line 2: 6 cells where there are 5 columns"),
        (f"{HEAD}m,1,2,,", "line 2: currency takes a word such as CNY, not ''"),
        (f"{HEAD},1,2,,CNY", "line 2: the model has no name"),
        (f"{HEAD}m,1,2,,CNY\nM,1,2,,CNY", "line 3: m stands there twice"),
        (f'{HEAD}"m,1,2,,CNY', "line 2: unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named(text, said):
    with pytest.raises(SettingError) as caught:
        read(text, "p.csv")
    assert said in caught.value.what
    assert "CSV with the columns model,input,output,cached,currency" in caught.value.remedy


def test_a_batch_costs_half() -> None:
    assert Price(2, 8, 0.4, "USD").in_batch == Price(1, 4, 0.2, "USD")
    assert Price(2, 8).in_batch == Price(1, 4)
