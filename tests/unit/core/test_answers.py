"""Answers: where they are found, which are equal, and what they are counted as."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core import answers, chat
from s1_core.chat import FORMATS

S1 = FORMATS["s1"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 1\nno\nAnswer: 2\nbecause", "2"),
        ("Answer: 1 Answer: 2", "2"),
        (r"so \boxed{\frac{1}{2}} and \fbox{x^{2}}", "x^{2}"),
        (r"Answer: 4, as \boxed{\{1, \{2\}\}} says", r"\{1, \{2\}\}"),
        (r"\boxed{5} then \boxed{6", "5"),
        (r"$\boxed 5$ and on", "5"),
        ("**Answer:** 7", "7"),
        ("Answer:\n$$\nx^2\n$$\nend", "x^2"),
        ("Final Answer: The answer is 70.", "70."),
        ("hence the answer is: 8", "8"),
        ("42", "42"),
        ("", None),
        ("Answer:", None),
        (r"\boxed{}", None),
        ("long\n\nthoughts without an end", None),
        (r"\fbox{\fbox{3}}", "3"),
        ("**Final Answer**\n\n42", "42"),
        ("Work.\n\n### Final Answer:\n\n$42$\n\nDone.", "$42$"),
        ("Answer: 5\n\nThis answer is correct, and the answer is not 6.", "5"),
        ("Answer: 5, as 7 < 8.", "5"),
        ("Answer: $x=1$, $y=2$ since x < y", "$x=1$, $y=2$"),
        ("The final answer is $4.50$. I hope it is right.", "$4.50$"),
        ("The answer is therefore 5. This follows.", "5"),
        ("The correct option is (B)", "(B)"),
        ("Answer: since 1990", "since 1990"),
        ("word " * 100, None),
    ],
)
def test_extract(text: str, answer: str | None) -> None:
    assert answers.extract(text) == answer


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_extract_looks_behind_the_delimiter(fmt: chat.Format) -> None:
    text = "".join(s.text for s in chat.render(fmt, "q", r"Answer: 3 \boxed{3}", "Answer: 4"))
    assert answers.extract(text) == "4"
    cut = f"\nAnswer: 3{chat.cut_string(fmt)} 5{chat.TURN_END}"
    assert answers.extract(cut) == "5"


def test_extract_without_an_answer_header_drops_the_line_of_the_last_turn() -> None:
    assert answers.extract(f"{S1.thinking_start}\n\\boxed{{9}}") == "9"


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("007", "7"),
        ("1,000", "1000"),
        ("1{,}234.50", "2469/2"),
        ("-0.50", "-1/2"),
        (r"$\frac{6}{8}$.", "3/4"),
        (r"-\dfrac12", "-1/2"),
        (r"2\frac{2}{5}", "12/5"),
        ("2 1/2", "5/2"),
        ("-1 1/2 hours", "-3/2"),
        ("20 23", "20 23"),
        ("1 234 567", "1234567"),
        (r"11,\! 111,\! 100", "11111100"),
        ("100, 200", "100,200"),
        (r"\frac{1,000}{3}", "1000/3"),
        (r"\$18.50", "37/2"),
        ("18 dollars", "18"),
        ("12 miles per hour", "12"),
        (r"$3\frac{1}{2}$ cups", "7/2"),
        ("6 million", "6million"),
        ("2 pi", "2pi"),
        ("−5", "-5"),
        ("$8$,$4$", "4,8"),
        ("+5", "5"),
        ("5/0", "5/0"),
        ("(A)", "A"),
        ("c", "C"),
        ("(C) 12 metres", "C"),
        ("Option (C)", "C"),
        ("C - twelve metres", "C"),
        (r"$\textbf{(C)}$ 12", "C"),
        ("C - x", "C-x"),
        (r"\text{Yes}", "yes"),
        ("Ada  Lovelace", "ada lovelace"),
        ("{2, 1}", "1,2"),
        (r"\{3, \frac12\}", "1/2,3"),
        ("1, 2 and 3", "1,2,3"),
        ("(2, 1]", "(2,1]"),
        (r"x^2 \, + 1", "x^2+1"),
        (r"2^{\frac{1}{2}}x", "2^{(1/2)}x"),
    ],
)
def test_normalise(answer: str, normal: str) -> None:
    assert answers.normalise(answer) == normal


@given(st.fractions(max_denominator=10**6), st.sampled_from(["{}/{}", r"\frac{{{}}}{{{}}}"]))
def test_equal_fractions_have_one_form(value: Fraction, shape: str) -> None:
    sign = "-" if value < 0 else ""
    text = sign + shape.format(abs(value.numerator) * 3, value.denominator * 3)
    assert answers.normalise(text) == answers.normalise(f"$ {value}$.") == str(value)


@given(st.text() | st.text("\\{}[](),$./0123456789 abfracdbox^_-"))
def test_any_text_has_a_form_and_stays_there(text: str) -> None:
    normal = answers.normalise(text)
    assert isinstance(answers.extract(text), str | None)
    assert answers.decide(text, text) is True or not normal


@given(st.integers(0, 10**12), st.integers(0, 5), st.integers(0, 10**12))
def test_integers_are_compared_as_integers(number: int, zeros: int, other: int) -> None:
    assert answers.decide("0" * zeros + str(number), str(number)) is True
    assert answers.decide(f"{number:,}", str(other)) is (number == other)


EQUAL = [
    ("Answer: 071", "71"),
    ("nothing here but Answer: 023", "23"),
    (r"\frac12", "0.5"),
    (r"\{1,2\}", r"\{2,1\}"),
    ("{1,2}", "2, 1"),
    ("[1,2)", "[1, 2)"),
    ("The answer is (A).", "A"),
    ("C) 12 m", "C"),
    ("10^{2}", "100"),
    ("x^2+1", "1+x^2"),
    ("x=3", "3"),
    ("x = 1 or x = 2", r"\{1,2\}"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    ("2*pi", r"2\pi"),
    ("sqrt(8)", r"2\sqrt{2}"),
    (r"(-\infty,3]\cup(4,5)", r"(4,5)\cup(-\infty,3]"),
    ("evelyn", r"\text{Evelyn}"),
    (r"90^\circ", "90"),
    (r"\fbox{12}", "12"),
    ("First Answer: 3.\nNo: Answer: 4\nI explain:\nmore\n\ntext", "4"),
    ("Answer: B, because it is", "B"),
    ("The correct choice is B.", "(B)"),
    (r"\boxed{\text{(B) }}", "B"),
    ("Final Answer: Answer: 42.", "42"),
    ("Answer: 18 dollars.", "18"),
    (r"\boxed{12\text{ cm}^2}", "12"),
    ("50%", "50"),
    (r"50\%", "50"),
    (r"\$18", "18"),
    ("Answer: $18", "18"),
    (r"\boxed{\$32,\!348}", "32348"),
    ("200, 100", "100, 200"),
    ("$69$,$84$", "84, 69"),
    (r"$\sqrt{2}$, $1$", r"1, \sqrt{2}"),
    ("$-1$ and $2$", r"\{2,-1\}"),
    (r"\left[0, 1\right)", "[0,1)"),
    (r"\cfrac{1}{2}", "0.5"),
    (r"\dfrac{-1}{2}", "-0.5"),
    ("2 1/2", "2.5"),
    ("5 = 2 + 3", "5"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
]
UNEQUAL = [
    ("70", "071"),
    ("(1,2)", "[1,2]"),
    ("(3,5)", "(5,3)"),
    ("A", "B"),
    ("nyEvel", "Evelyn"),
    ("banana", "3"),
    (r"2\frac{2}{5}", r"\frac{22}{5}"),
    ("x^2", "x^3"),
    ("", "3"),
    (r"\{1,2\}", r"\{1,3\}"),
    ("2 1/2", "21/2"),
    ("1 2", "12"),
    ("6 million", "6"),
    ("2 pi", "2"),
    ("18 dollars", "19"),
    ("100, 200", "100200"),
    ("12,34", "1234"),
    ("A cat", "A"),
    ("AB", "A"),
]


@pytest.mark.parametrize(("text", "gold"), EQUAL)
def test_equal_answers(text: str, gold: str) -> None:
    assert answers.is_correct(text, gold)


@pytest.mark.parametrize(("text", "gold"), UNEQUAL)
def test_unequal_answers(text: str, gold: str) -> None:
    assert not answers.is_correct(text, gold)


def test_plain_answers_are_graded_without_algebra() -> None:
    pairs = [("Answer: 3", "3"), ("4", "3"), ("yes", "Yes"), ("B", "A"), ("a\n\nb", "3")]
    program = (
        "import sys; from s1_core import answers;"
        f"assert answers.grade({pairs!r}) == [True, False, True, False, False];"
        "assert not {'math_verify', 'sympy', 's1_core.grading'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
