"""Fine-tuning jobs: what all back ends share before, while and after they train.

=============  ========================================================================
``record``     what is kept of a job, and the key by which it is found again
``ledger``     `JobLedger`: the records of a home, one file each
``owner``      which process works on a job
``files``      a dataset version as the files that a back end trains on
``prices``     what training and hosting cost (``configs/fine_tuning.yaml``)
``estimates``  what a job will cost and take
=============  ========================================================================
"""

from llmops.finetuning.jobs.ledger import JobLedger, job_ledger
from llmops.finetuning.jobs.record import TRAINED_HERE, JobRecord, job_key

__all__ = ["TRAINED_HERE", "JobLedger", "JobRecord", "job_key", "job_ledger"]
