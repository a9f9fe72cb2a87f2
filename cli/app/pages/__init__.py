"""The app's pages, one module each, made of the elements of all pages (`aqa_heads.report.html`)."""
