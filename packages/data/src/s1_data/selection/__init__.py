"""Pool to s1K, pure and seeded: who is a candidate, which domain is drawn, by which method."""
