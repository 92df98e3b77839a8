"""A study as a page that people look at, and as figures, a table and a paragraph for a paper."""
