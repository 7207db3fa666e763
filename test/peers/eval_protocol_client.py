"""Eval Protocol's own client against `vequinox serve`, as its users write it. VEQUINOX_URL says where the server is, by `localhost`.

    HOME=$(mktemp -d) VEQUINOX_URL=http://localhost:8000 pytest test/peers/eval_protocol_client.py
"""

import os

from eval_protocol.models import ChatCompletionContentPartTextParam, EvaluateResult, EvaluationRow, Message, Status
from eval_protocol.pytest import evaluation_test
from eval_protocol.pytest.remote_rollout_processor import RemoteRolloutProcessor

URL = os.environ["VEQUINOX_URL"]


def rows(*prompts):
    return [EvaluationRow(messages=[Message(role="user", content=prompt)]) for prompt in prompts]


def processor(**options):
    return RemoteRolloutProcessor(remote_base_url=URL, model_base_url=URL, poll_interval=0.2, **options)


def parts(*texts):
    return [ChatCompletionContentPartTextParam(text=text) for text in texts]


def scored(row, **more):
    row.evaluation_result = EvaluateResult(score=1.0, reason="as it should be", **more)
    return row


PROMPTS = ["a pelican", "a red circle", "a blue square left of a green circle"]


@evaluation_test(
    input_rows=[rows(*PROMPTS)],
    completion_params=[{"model": "embedded", "temperature": 0.5, "top_p": 0.9, "max_tokens": 120}],
    rollout_processor=processor(),
    num_runs=2,
    mode="pointwise",
    passed_threshold=1.0,
)
async def test_rollouts(row: EvaluationRow) -> EvaluationRow:
    sent, drawn = row.messages
    assert row.rollout_status.code == Status.Code.FINISHED, row.rollout_status
    assert (sent.role, drawn.role) == ("user", "assistant")
    assert sent.content in PROMPTS
    assert drawn.content.startswith("<svg")
    assert row.execution_metadata.extra["finish_reason"] in ("stop", "length")
    assert 0 < row.execution_metadata.extra["completion_tokens"] <= 120
    return scored(row)


@evaluation_test(
    input_rows=[rows(parts("a ", "pelican"), "a pelican")],
    completion_params=[{"model": "openai/embedded", "temperature": 0.0, "extra_body": {"top_k": 5}}],
    rollout_processor=processor(include_payloads=True),
    num_runs=1,
    mode="all",
    passed_threshold=1.0,
)
async def test_parts_and_payloads(rows: list[EvaluationRow]) -> list[EvaluationRow]:
    assert len(rows) == 2
    assert len({row.messages[-1].content for row in rows}) == 1, "parts are their text"
    for row in rows:
        extra = row.execution_metadata.extra
        ids, logprobs = extra["completion_token_ids"], extra["completion_logprobs"]
        assert len(ids) == len(logprobs) == extra["completion_tokens"]
        assert all(logprob <= 0 for logprob in logprobs)
        assert len(extra["prompt_token_ids"]) == extra["prompt_tokens"]
        assert row.messages[-1].logprobs["content"][0]["token_id"] == ids[0]
    return [scored(row) for row in rows]


REFUSED = {
    "frequency_penalty": "frequency_penalty is not supported here",
    "temperature": "temperature",
    "n": "a rollout is one drawing",
}


@evaluation_test(
    input_rows=[rows("a pelican")],
    completion_params=[
        {"model": "embedded", "frequency_penalty": 1.0},
        {"model": "embedded", "temperature": "hot"},
        {"model": "embedded", "n": 2},
    ],
    rollout_processor=processor(),
    num_runs=1,
    mode="all",
)
async def test_what_is_refused(rows: list[EvaluationRow]) -> list[EvaluationRow]:
    for row in rows:
        [said] = [said for name, said in REFUSED.items() if name in row.input_metadata.completion_params]
        assert row.rollout_status.is_error()
        assert said in row.rollout_status.message, row.rollout_status
    return [scored(row, is_score_valid=False) for row in rows]
