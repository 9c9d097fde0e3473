"""What is measured of an answer.

=====================  =====================================================================
``metric``             what a metric is: statistics for each answer, a score from their sum
``measurement``        the table of known metrics; answers in, statistics out
``text_overlap``       exact match, BLEU, chrF, ROUGE against one or more references
``token_likelihood``   loss, perplexity, token accuracy under teacher forcing
=====================  =====================================================================
"""
