"""What a job will cost, from the providers' prices, and how long it will take, from the jobs before it."""

from collections.abc import Sequence
from statistics import median

from llmops.finetuning.backends.backend import Estimate, TuningRequest
from llmops.finetuning.jobs.ledger import job_ledger
from llmops.finetuning.jobs.prices import TrainingPrice, TrainingPrices, find_price, load_prices
from llmops.finetuning.jobs.record import TRAINED_HERE, JobRecord


def estimate(
    backend: str,
    request: TuningRequest,
    *,
    default_epochs: float | None = None,
    prices: TrainingPrices | None = None,
    earlier: Sequence[JobRecord] | None = None,
) -> Estimate:
    """What a job will cost and take; asks nobody.

    Args:
        backend: its name.
        request: what is to be trained.
        default_epochs: of the provider for this base model, where it is known better than in the prices.
        prices: by default those of `load_prices`.
        earlier: jobs to tell the time from; by default those of this home's ledger.
    """
    price = find_price(load_prices() if prices is None else prices, backend, request.base_model)
    epochs, whose = _epochs(backend, request, default_epochs, price)
    tokens = None if epochs is None else round(request.files.tokens * epochs)
    cost, cost_basis = _cost(backend, request.base_model, tokens, price)
    if earlier is None:
        earlier = job_ledger().all()
    seconds, time_basis = _seconds(backend, request.base_model, tokens, earlier)
    counted = f"{'about ' if request.files.tokens_estimated else ''}{request.files.tokens:,} tokens"
    times = f"{counted} x {epochs:g} epochs{whose}" if epochs else f"{counted} x epochs that the provider chooses"
    hosting = f"; a deployment costs ${price.hosting_price:g} an hour" if price and price.hosting_price else ""
    return Estimate(tokens=tokens, cost=cost, seconds=seconds, basis=f"{times} {cost_basis}; {time_basis}{hosting}")


def trained_cost(
    backend: str, base_model: str, tokens: int | None, prices: TrainingPrices | None = None
) -> float | None:
    """US dollars for the tokens that a job was trained on; None where they or their price are not known."""
    price = find_price(load_prices() if prices is None else prices, backend, base_model)
    return _cost(backend, base_model, tokens, price)[0]


def _epochs(
    backend: str, request: TuningRequest, default_epochs: float | None, price: TrainingPrice | None
) -> tuple[float | None, str]:
    """How often the examples are gone through, and whose choice that is."""
    training = request.training
    if backend in TRAINED_HERE:
        if training.max_steps is None:
            return training.epochs, ""
        seen = training.max_steps * training.batch_size * training.gradient_accumulation
        return seen / max(1, request.files.examples), ""
    if "epochs" in training.model_fields_set:
        return training.epochs, ""
    epochs = default_epochs or (price.default_epochs if price else None)
    return epochs, " (the provider's default)"


def _cost(backend: str, base_model: str, tokens: int | None, price: TrainingPrice | None) -> tuple[float | None, str]:
    if backend in TRAINED_HERE:
        return 0.0, "on this machine, at no charge"
    if price is None or price.training_price is None:
        advice = "its price is not in configs/fine_tuning.yaml"
        return None, f"at an unknown price ({advice})"
    basis = f"x ${price.training_price:g} a million"
    basis += f" ({price.as_of:%Y-%m-%d})" if price.as_of else ""
    if tokens is None:
        return None, basis
    cost = tokens * price.training_price / 1e6
    if price.minimum_cost is not None and cost < price.minimum_cost:
        return price.minimum_cost, f"{basis}, at least ${price.minimum_cost:g} a job"
    return cost, basis


def _seconds(
    backend: str, base_model: str, tokens: int | None, earlier: Sequence[JobRecord]
) -> tuple[float | None, str]:
    """By the median rate of the jobs that succeeded: one that waited long in the provider's queue moves it little."""
    rates = [
        job.seconds / trained
        for job in earlier
        if (job.backend, job.base_model, job.state) == (backend, base_model, "succeeded")
        and job.seconds
        and (trained := _trained_tokens(job))
    ]
    if not rates:
        return None, "the time is unknown before a first job of this base model"
    if tokens is None:
        return None, "the time is unknown as the tokens are"
    return median(rates) * tokens, f"the time as of {len(rates)} earlier job{'s' if len(rates) > 1 else ''}"


def _trained_tokens(job: JobRecord) -> int | None:
    """As the provider tells them, or as they were estimated where it does not (Bedrock).

    A training on this machine tells none after an interruption: its time is not that of the training alone then.
    """
    if job.trained_tokens is not None or job.backend in TRAINED_HERE:
        return job.trained_tokens
    return job.estimate.tokens
