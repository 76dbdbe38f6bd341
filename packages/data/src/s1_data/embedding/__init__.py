"""Questions as vectors, and what is read off them: neighbours, domains, measures of diversity."""
