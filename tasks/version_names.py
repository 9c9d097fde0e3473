"""The aliases and tags by which versions in the registry are found."""

CHAMPION = "champion"
PREVIOUS = "previous"
DIGEST_TAG = "llmops.model_digest"
