"""One model against another on the same questions.

===========  =============================================================
``gates``    better, not worse, worse or inconclusive, over several metrics
``wording``  the same in words
===========  =============================================================
"""
