"""The capacity plan, against sums worked by hand."""

import pytest

from labkit.catalog.quotes import find_device, purchases, rentals, throughputs
from labkit.core.errors import LabError
from labkit.costs.capacity import Demand, find_place, plan_capacity, step_speed
from labkit.estimation.memory import estimate


def test_the_demand_by_hand():
    """600 users × 6 an hour × 3 at the peak = 3 requests/s; × 300 = 900 tokens/s; / 10 = 90."""
    demand = Demand(users=600, requests_per_hour=6, peak=3, output_tokens=300, user_speed=10)
    assert demand.requests_per_second == 3
    assert demand.tokens_per_second == 900
    assert demand.at_once == 90


def test_replicas_follow_from_the_published_throughput():
    """2.5 requests/s × 300 = 750 tokens/s; a card does 975, 70 % of it 682.5: two, and a spare."""
    plan = plan_capacity("Qwen2.5-7B", "RTX 4090", users=500)
    run = next(row for row in throughputs() if row.device == "RTX 4090")
    assert (plan.measured, plan.replica_tokens_per_second) == (True, run.tokens_per_second)
    assert (plan.replicas, plan.gpus, plan.limited_by) == (3, 3, "throughput")
    rent = rentals(find_device("RTX 4090"))[0].usd_per_hour
    assert plan.rent == pytest.approx(3 * 730 * rent)
    price = next(row for row in purchases() if row.device == "RTX 4090")
    assert plan.buy == pytest.approx(3 * (price.usd_low + price.usd_high) / 2)
    assert run.source in str(plan) and "256" in str(plan)


def test_slots_are_what_the_weights_leave():
    """Qwen2.5-7B: 28 layers × 4 KV heads × 128 × 2 × 2 bytes = 57,344 bytes a token."""
    plan = plan_capacity("Qwen2.5-7B", "RTX 4090", users=500)
    weights = estimate("Qwen2.5-7B", quant="bf16", context=1300, engine="transformers").weights
    assert plan.slots == int((24e9 * 0.9 - weights) // (57_344 * 1300))


def test_a_large_model_is_split_over_several_gpus():
    """72.7B × 2 bytes = 145 GB: over two H100 of 72 usable GB each it does not fit, over four."""
    plan = plan_capacity("Qwen2.5-72B", "H100 SXM", users=500)
    assert (plan.gpus_per_replica, plan.measured) == (4, False)
    assert plan.gpus == 4 * plan.replicas


def test_long_answers_are_limited_by_the_cache():
    """With 30,000 tokens each, few answers fit beside the weights, fast as the card may be."""
    demand = Demand(users=100, input_tokens=30_000, output_tokens=300, requests_per_hour=30)
    plan = plan_capacity("Qwen2.5-7B", "RTX 4090", demand=demand, tokens_per_second=1e6)
    busy = plan.replicas - demand.spare
    assert plan.limited_by == "cache"
    assert busy * plan.slots >= demand.at_once > (busy - 1) * plan.slots


def test_the_bound_by_hand():
    """One answer reads the weights for itself; sixteen share one reading and add their caches.
    Of the embeddings a token reads one row; of experts, sixteen together may want all."""
    one = estimate("Qwen2.5-7B", quant="bf16", context=1300, engine="transformers")
    alone = step_speed(one, 1e12, 1, 0.5)
    assert alone == pytest.approx(0.5e12 / (one.read_per_token + one.kv_cache))
    crowd = step_speed(one, 1e12, 16, 0.5)
    assert crowd == pytest.approx(16 * 0.5e12 / (one.read_per_token + 16 * one.kv_cache))
    experts = estimate("Mixtral-8x7B", quant="bf16", context=1300, engine="transformers")
    crowd_of_experts = step_speed(experts, 1e12, 16, 0.5)
    total = experts.weights + 16 * experts.kv_cache
    assert crowd_of_experts == pytest.approx(16 * 0.5e12 / total)
    assert 12 * alone < crowd < 16 * alone


def test_more_users_take_no_fewer_gpus():
    gpus = [plan_capacity("Qwen2.5-7B", "RTX 4090", users=n).gpus for n in (1, 100, 1000, 10_000)]
    assert gpus == sorted(gpus) and gpus[0] == 2 < gpus[-1]


@pytest.mark.parametrize(
    ("gpus", "place"),
    [(1, "one machine"), (8, "one machine"), (9, "one rack"), (32, "one rack"),
     (33, "several places")],
)  # fmt: skip
def test_where_they_stand(gpus, place):
    assert find_place(gpus) == place


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(LabError, match="needs"):
        plan_capacity("Qwen2.5-72B", "RTX 3060 12GB")
    with pytest.raises(LabError, match="RTX 9999"):
        plan_capacity("Qwen2.5-7B", "RTX 9999")
    with pytest.raises(LabError, match="tokens_per_second"):
        plan_capacity("Qwen2.5-7B", "RTX 4090", tokens_per_second=0)
    for wrong in ({"users": 0}, {"users": float("nan")}, {"users": 1, "headroom": 1.5},
                  {"users": 1, "spare": -1}):  # fmt: skip
        with pytest.raises(LabError, match="does not work"):
            Demand(**wrong)
