"""How sure a figure is.

===================  =====================================================================
``intervals``        a value with its interval; differences of two models
``pairing``          two models on the questions that both were measured on
``bounded_scores``   intervals that stay honest at 0 and 100 %, alone and paired
``bootstrap``        the cluster bootstrap
``jackknife``        what each group contributes; the interval where groups are many
``paired_tests``     McNemar, Wilcoxon and sign flips, with effect sizes
``holm``             the correction for many questions asked of the same data
``repeats``          pass@k, pass^k, flakiness; how many repeats are worth it
===================  =====================================================================
"""
