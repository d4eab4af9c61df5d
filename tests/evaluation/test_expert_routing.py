"""The routers of the pocket mixtures: watched, computed anew, and replaced."""

import pytest
import torch

import labkit as lab
from labkit.evaluation.expert_routing import find_routers, steered, trace_experts
from labkit.evaluation.scoring import answer_loss
from labkit.pocket.corpus import held_out


@pytest.fixture(scope="module", params=["pocket/deepseek-v2", "pocket/mixtral"])
def mixture(request):
    return lab.load(request.param)


def test_a_trace_holds_what_the_router_computes(mixture):
    ids = mixture.encode("What is 47 + 38? 水的英文是什么？")
    routes = trace_experts(mixture.model, ids)
    layers = len(find_routers(mixture.model))
    assert routes.experts.shape == routes.weights.shape == (layers, len(ids), 2)
    assert routes.logits.shape == (layers, len(ids), 4)
    best = routes.logits.topk(2).indices
    assert torch.equal(best.sort(-1).values, routes.experts.sort(-1).values)
    chosen = routes.logits.float().softmax(-1).gather(-1, routes.experts)
    if mixture.name.endswith("mixtral"):  # it makes the chosen weights add up to one
        chosen = chosen / chosen.sum(-1, keepdim=True)
    assert torch.allclose(chosen, routes.weights, atol=1e-6)


def test_shares_of_a_layer_add_up_to_one(mixture):
    shares = trace_experts(mixture.model, mixture.encode("a b c d")).shares()
    assert all(sum(row) == pytest.approx(1) for row in shares)


def test_steering_ends_with_its_block(mixture):
    ids = mixture.encode("Reverse: apple river moon")
    before = trace_experts(mixture.model, ids)

    def first_two(logits, weights, experts):
        return weights, torch.tensor([0, 1]).expand_as(experts)

    def logits():
        with torch.inference_mode():
            return mixture.model(torch.tensor([ids])).logits

    plain = logits()
    with steered(mixture.model, first_two):
        assert not torch.allclose(logits(), plain)
    assert torch.equal(logits(), plain)
    assert torch.equal(trace_experts(mixture.model, ids).experts, before.experts)


def test_the_routers_choice_is_better_than_the_opposite(mixture):
    items = held_out("tools", 10)

    def loss():
        return answer_loss(mixture.model, mixture.tokenizer, items)

    chosen = loss()
    with steered(mixture.model, lambda logits, weights, experts: (0 * weights, experts)):
        assert loss() > chosen
    with steered(mixture.model, lambda s, w, e: (w, s.topk(2, largest=False).indices)):
        assert loss() > chosen


def test_a_dense_model_is_told_apart():
    with pytest.raises(lab.LabError, match="LlamaForCausalLM"):
        find_routers(lab.load("pocket/llama3").model)
