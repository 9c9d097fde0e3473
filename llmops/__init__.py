"""LLMOps as a plain library: the subject, without Prefect, usable inside any application.

====================  ==========================================================================
``llmops.data``       samples, readers, validation, de-duplication, splits, dataset versions
``llmops.llm``        talk to a model: here, one whose weights are on this machine
``llmops.finetuning`` base models and the local training back end
``llmops.evaluation`` metrics with intervals, comparison of two models, gates
``llmops.tuning``     search spaces and the hyperparameter search
``llmops.settings``   the one place that reads the environment
====================  ==========================================================================
"""
