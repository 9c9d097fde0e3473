"""What is measured of an answer.

=====================  ==========================================================================
``metric``             what a metric is: statistics for each answer, a score from their sum
``measurement``        the known metrics and those defined by a user; answers in, statistics out
``definitions``        what a user writes to define a metric
``scoring``            many answers by many metrics, in chunks, over processes
``answer_matching``    exact match, SQuAD's normalised match, contained references, token F1
``number_answers``     the number that an answer gives, by value or as text
``choice_answers``     the lettered option that an answer chooses
``structure``          contained texts, patterns, JSON, JSON Schema
``text_overlap``       BLEU, chrF, TER, on n-grams counted by ``shared_ngrams``
``rouge``              ROUGE-1, ROUGE-2, ROUGE-L
``meteor``             METEOR
``similarity``         edit similarity, embedding similarity
``token_likelihood``   loss, perplexity, token accuracy under teacher forcing
``operations``         latency, tokens, cost
``refusals``           answers that decline
``scoring_functions``  a user's function, a scorer of MLflow, found by ``import_paths``
=====================  ==========================================================================
"""
