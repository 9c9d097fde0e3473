"""The aliases and tags by which versions in the registry are found."""

CHAMPION = "champion"
PREVIOUS = "previous"
DIGEST_TAG = "llmops.model_digest"
DELETED = "llmops.deleted"
"""``yes`` on a version whose model was deleted at its provider: it can answer never again."""
