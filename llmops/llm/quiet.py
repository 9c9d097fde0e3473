"""Keep transformers' warnings and progress bars off the terminal: what a person sees is our own progress."""

import logging
import warnings


def silence_transformers() -> None:
    """Let transformers and bitsandbytes report errors only, and load and save weights without progress bars.

    Call it before the first import of a model class.
    """
    # On a CPU bitsandbytes tells when it is imported, by peft, that it lacks an optional package.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft)\.")

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
