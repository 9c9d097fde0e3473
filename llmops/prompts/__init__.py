"""Prompts: what stands around a question when a model is asked.

============  ==================================================================
``template``  a prompt of the MLflow registry, and a question put into it
============  ==================================================================
"""

from llmops.prompts.template import PromptTemplate, load_prompt

__all__ = ["PromptTemplate", "load_prompt"]
