"""SVGBench's evaluation with Eval Protocol: `vequinox serve --requirements` draws, renders and counts what is met.

    HOME=$(mktemp -d) VEQUINOX_URL=http://localhost:8000 pytest test/peers/eval_protocol_svgbench.py
"""

import os

import requests
from eval_protocol.models import EvaluateResult, EvaluationRow, InputMetadata, Message
from eval_protocol.pytest import evaluation_test
from eval_protocol.pytest.remote_rollout_processor import RemoteRolloutProcessor
from eval_protocol.reward_function import RewardFunction

URL = os.environ["VEQUINOX_URL"]
KEY = os.environ.get("FIREWORKS_API_KEY")


def row(prompt, *requirements):
    """As svgbench_dataset.jsonl has them."""
    info = {"original_prompt": prompt, "requirements": list(requirements), "total_requirements": len(requirements)}
    return EvaluationRow(messages=[Message(role="user", content=prompt)], input_metadata=InputMetadata(dataset_info=info))


@evaluation_test(
    input_rows=[[
        row("one red circle", "yes it is red", "no it is no circle"),
        row("three green stars", "yes they are green", "yes there are three", "no they touch"),
    ]],
    completion_params=[{"model": "embedded", "temperature": 0.0}],
    rollout_processor=RemoteRolloutProcessor(remote_base_url=URL, model_base_url=URL),
    passed_threshold=0.5,
    mode="pointwise",
)
async def test_requirements(row: EvaluationRow) -> EvaluationRow:
    messages = [message.model_dump() for message in row.messages]
    answer = requests.post(
        f"{URL}/v1/evaluate",
        json={"messages": messages, **row.input_metadata.dataset_info},
        headers={"authorization": f"Bearer {KEY}"},
    )
    answer.raise_for_status()
    row.evaluation_result = EvaluateResult(**answer.json())

    # The server of the tests finds that what begins with yes is met.
    wanted = [requirement.startswith("yes") for requirement in row.input_metadata.dataset_info["requirements"]]
    found = row.evaluation_result
    assert found.is_score_valid
    assert found.score == sum(wanted) / len(wanted)
    assert [metric.score for metric in found.metrics.values()] == [float(met) for met in wanted]
    assert answer.json()["number_of_fulfilled_requirements"] == sum(wanted)
    assert "says yes" in answer.json()["reasoning"]

    # The same from Eval Protocol's own client of a remote reward function.
    reward = RewardFunction(endpoint=f"{URL}/v1/evaluate", mode="remote")
    again = reward(messages=messages, requirements=row.input_metadata.dataset_info["requirements"])
    assert (again.score, again.reason) == (found.score, found.reason)
    return row
