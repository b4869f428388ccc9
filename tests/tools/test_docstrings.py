import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_magic.tools.docstrings import documentation

GOOGLE = """
    Look up the weather.

    It is that of the nearest station.

    Args:
        city (str): where,
            in English
        days: how many days
        *rest: not asked for
        **options: not asked for either

    Returns:
        str: the forecast

    Raises:
        ValueError
"""

NUMPY = """
    Look up the weather.

    It is that of the nearest station.

    Parameters
    ----------
    city : str
        where,
        in English
    days : int, optional
        how many days

    Returns
    -------
    str
        the forecast

    Raises
    ------
    ValueError
"""

SPHINX = """
    Look up the weather.

    It is that of the nearest station.

    :param str city: where,
        in English
    :param days: how many days
    :type days: int
    :returns: the forecast
    :raises ValueError: never
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["Google", "NumPy", "Sphinx"])
def test_each_style_tells_the_function_its_parameters_and_what_it_returns(docstring):
    said = documentation(docstring, ["city", "days"])
    assert said.parameters == {"city": "where,\nin English", "days": "how many days"}
    assert said.description.startswith("Look up the weather.\n\nIt is that of the nearest station.\n\nReturns: ")
    assert said.description.endswith("the forecast")
    assert "ValueError" not in said.description


def test_text_in_no_style_is_all_description():
    text = "One: two.\n\nThree\n  four:\n\n    five"
    assert documentation(text, ["x"]).description == text
    assert documentation(None, ["x"]).description == ""


@pytest.mark.parametrize(
    "docstring",
    [
        "Args:\n        x: the number\n    ",
        "Args:\n        x: the number\n\n    Returns:\n        int: y\n    ",
        "\n    Args:\n        x: the number\n    ",
        "Parameters\n    ----------\n    x : int\n        the number\n    ",
        ":param x: the number",
    ],
)
def test_a_docstring_may_begin_with_its_parameters(docstring):
    assert documentation(docstring, ["x"]).parameters == {"x": "the number"}
    assert "Args" not in documentation(docstring, ["x"]).description


def test_parameters_that_the_function_does_not_have_are_left_out():
    assert documentation(GOOGLE, ["days"]).parameters == {"days": "how many days"}


def test_two_parameters_may_share_their_words():
    text = "Add.\n\nParameters\n----------\nx, y : int\n    a summand\n"
    assert documentation(text, ["x", "y"]).parameters == {"x": "a summand", "y": "a summand"}


def test_keyword_arguments_have_a_section_of_their_own():
    text = "Add.\n\nArgs:\n    x: first\n\nKeyword Args:\n    y: second\n"
    assert documentation(text, ["x", "y"]).parameters == {"x": "first", "y": "second"}


@given(
    st.lists(
        st.sampled_from(
            ["Args:", "Returns:", "Parameters", "-------", "----------", ":param x:", ":x", "  x: y", "x", ""]
        )
        | st.text(max_size=8)
    ).map("\n".join)
)
def test_no_docstring_breaks_it(docstring):
    assert isinstance(documentation(docstring, ["x"]).description, str)
