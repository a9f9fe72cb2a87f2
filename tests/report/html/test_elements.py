"""Laws of the page's elements."""

from aqa_heads.report.html import element, join, number


def test_element_escapes_text_and_attributes_but_not_elements():
    inner = element("b", "<&>", title='"')
    assert element("p", inner, "<") == '<p><b title="&quot;">&lt;&amp;&gt;</b>&lt;</p>'
    assert join([inner, "<"], " & ") == '<b title="&quot;">&lt;&amp;&gt;</b> &amp; &lt;'


def test_a_number_keeps_its_exact_value():
    assert number(1 / 3, "0.333") == f'<data value="{1 / 3!r}">0.333</data>'
    assert number(None, "0.333", "undefined") == "undefined"
