"""One model against another on the same questions.

===================  ===================================================================
``gates``            better, not worse, worse or inconclusive, over several metrics
``verdicts``         how a verdict follows from limits; how many questions would settle it
``margins``          how much loss is none, where nobody said
``slices``           the same within each slice of the questions
``changes``          which questions broke and which were fixed
``measured_tables``  what was measured as a table, to be compared with later
``wording``          verdicts in words
===================  ===================================================================
"""
