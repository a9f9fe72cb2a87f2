"""Pages of scores: the video beside what was said of it, and the ranked table of several."""
