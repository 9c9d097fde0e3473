"""What follows what: one file, one flow."""

from llmops.settings import apply_to_environment, settings

# Prefect reads its settings when it is first imported, so ours must stand in the environment before.
apply_to_environment(settings())
