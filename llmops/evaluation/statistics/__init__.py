"""How sure a figure is.

===================  =====================================================================
``bootstrap``        the cluster bootstrap
``bounded_scores``   intervals that stay honest at 0 and 100 %, alone and paired
``intervals``        a value with its interval; differences of two models
===================  =====================================================================
"""
