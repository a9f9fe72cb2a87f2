import pytest

from aqa_heads.evaluation.spoken_numbers import numbers_in


@pytest.mark.parametrize(
    "text",
    [
        "88.2",
        "88 2",
        "88 point 2",
        "eighty eight point two",
        "Eighty-eight point two!",
        "eighty eight two",
        "eighty 8 2",
        "only 88.2, well",
        "88.20",
        "eighty eight point two oh",
    ],
)
def test_one_decimal(text):
    assert 88.2 in numbers_in(text) and 88 not in numbers_in(text)


@pytest.mark.parametrize(
    "text", ["94.05", "94 0 5", "ninety four oh five", "ninety-four point oh five", "94 point zero 5"]
)
def test_two_decimals(text):
    assert 94.05 in numbers_in(text)


@pytest.mark.parametrize(
    "text", ["94 35", "ninety four point three five", "ninety four thirty-five", "94 3 5"]
)
def test_decimals_said_as_digits_or_as_a_number(text):
    assert 94.35 in numbers_in(text)


@pytest.mark.parametrize(
    "text", ["102.6", "a hundred and two point six", "one hundred two point six", "hundred and two six"]
)
def test_above_a_hundred(text):
    assert 102.6 in numbers_in(text)


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("and 72 to start with", {72}),
        ("seventy two in all", {72}),
        ("two hundred and seventy two", {272}),
        ("two hundred and a half", {200}),
        ("seventy, 2 judges", {72}),
        ("eighty point dive", {80}),
        ("8 5 and 9", {8, 5, 9}),
        ("8.5", {8.5}),
    ],
)
def test_whole_numbers(text, numbers):
    assert numbers_in(text) == numbers


@pytest.mark.parametrize(
    "text", ["", "oh what a dive", "in the 80s", "what's the point", "tuck 5m someone", "6007"]
)
def test_words_that_are_no_numbers(text):
    assert numbers_in(text) == set()


def test_a_number_is_not_read_out_of_the_middle_of_another():
    assert 72 not in numbers_in("172") | numbers_in("two hundred and seventy two") | numbers_in(
        "72.8"
    ) | numbers_in("3.72")
