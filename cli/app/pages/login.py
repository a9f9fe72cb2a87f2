"""The page that asks for the token."""

from aqa_heads.report.html import element

from .frame import labelled, page


def login(wrong: bool) -> str:
    return page(
        "Token",
        "/login",
        element("p", "This is not the token.", class_="warning", role="alert") if wrong else "",
        element("p", "aqa-app printed it where it was started."),
        element(
            "form",
            labelled("Token", "token", type="password", required=True, autocomplete="current-password"),
            element("button", "Go on"),
            method="post",
            action="/login",
        ),
    )
