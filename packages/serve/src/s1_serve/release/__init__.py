"""A checkpoint's way to production: records, gates, promotion, rollback; git holds the truth."""
