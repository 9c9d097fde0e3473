"""Exports: samples as files, in the project's own shape or as a provider's fine-tuning takes them.

====================  ======================================================================
``writers``           `write_samples`: any format, atomically, packed by suffix
``provider_formats``  one sample as a record of each provider
``provider_limits``   `check_format`: what each provider refuses, with the page that says so
====================  ======================================================================
"""

from llmops.data.exports.provider_limits import FormatLimits, check_format
from llmops.data.exports.writers import FORMATS, write_samples

__all__ = ["FORMATS", "FormatLimits", "check_format", "write_samples"]
