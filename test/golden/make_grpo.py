"""Makes grpo.json: losses, gradients and metrics of TRL's GRPOTrainer, its advantages, and its importance ratios.

    python make_grpo.py

Takes no arguments and overwrites the file. No random numbers: a second run with the same package versions gives the same
bytes. README.md says which versions made the one stored here.

TRL's own code runs: `_compute_loss` unbound on a stub trainer, and, cut out of `_generate_and_score_completions` by its first
and last lines, what makes advantages and importance ratios.
"""

import inspect
import itertools
import json
import math
import textwrap
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
import trl
from trl import GRPOTrainer
from trl.trainer import grpo_trainer

HERE = Path(__file__).resolve().parent

# Three completions of 2, 4 and 1 tokens, by the log-probabilities of their tokens: now, before the first update, under what
# they were drawn from, and under the reference. Ratios from 0.55 to 1.99, so that every bound is met.
NOW = [[-0.5, -1.25], [-0.75, -2.0, -0.125, -1.1], [-3.0]]
OLD = [[-0.6, -0.95], [-1.35, -1.4, -0.05, -1.79], [-3.36]]
DRAWN = [[-1.0, -1.0], [-1.6, -2.0, 0.05, -1.9], [-2.9]]
REFERENCE = [[-0.7, -0.8], [-1.0, -1.5, -0.5, -1.0], [-2.5]]
ADVANTAGES = [0.75, -0.5, 1.25]
LONGEST = 6

REWARDS = [
    # Prompts of four; a null has no reward.
    [[1.0, 0.5, 0.0, 0.5], [0.25, 0.25, 0.25, 0.25], [0.75, 0.0, 1.0, None]],
    [[2.0, -1.0, 0.5, 3.0], [0.0, 0.0, 0.0, 1.0]],
]


def padded(rows, fill=0.0):
    width = max(map(len, rows))
    return torch.tensor([list(row) + [fill] * (width - len(row)) for row in rows], dtype=torch.float64)


def cut(first, last):
    """TRL's own lines, from the one that begins with `first` to the one before `last`."""
    lines = inspect.getsource(GRPOTrainer._generate_and_score_completions).split("\n")
    begin = next(n for n, line in enumerate(lines) if line.strip().startswith(first))
    end = next(n for n, line in enumerate(lines) if n > begin and line.strip().startswith(last))
    return textwrap.dedent("\n".join(lines[begin:end]))


def importance_ratio(mode, old, drawn, mask, most):
    space = {
        "self": SimpleNamespace(use_vllm=True, vllm_importance_sampling_correction=True, vllm_importance_sampling_mode=mode,
                                vllm_importance_sampling_clip_min=None, vllm_importance_sampling_clip_max=most),
        "old_per_token_logps": old, "sampling_per_token_logps": drawn, "completion_mask": mask, "tool_mask": None,
        "torch": torch, "math": math,
    }
    exec(cut("if self.use_vllm and self.vllm_importance_sampling_correction:", "# Compute the per-token log probabilities for the reference"), space)
    return space["vllm_importance_sampling_ratio"]


def loss_case(loss_type, level, beta, delta, epsilon_high, mode, fresh):
    now = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in NOW]
    width = max(map(len, NOW))
    logps = torch.stack([torch.cat([row, row.new_zeros(width - len(row))]) for row in now])
    mask = torch.tensor([[1.0] * len(row) + [0.0] * (width - len(row)) for row in NOW], dtype=torch.float64)
    old = logps.detach() if fresh else padded(OLD)
    most = 1.4
    same = lambda tensor, **_: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(gather=same, gather_for_metrics=same, reduce=same, num_processes=1),
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=True, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, steps_per_generation=1),
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, _entropy_bonus_enabled=False,
        importance_sampling_level=level, beta=beta, loss_type=loss_type, epsilon_low=0.2, epsilon_high=epsilon_high or 0.2,
        use_vllm=mode != "none", vllm_importance_sampling_correction=True, max_completion_length=LONGEST,
        current_gradient_accumulation_steps=1, _metrics={"train": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, torch.zeros_like(logps), None),
    )
    inputs = {
        "prompt_ids": torch.zeros(3, 1, dtype=torch.long), "prompt_mask": torch.ones(3, 1),
        "completion_ids": torch.zeros(3, width, dtype=torch.long), "completion_mask": mask,
        "advantages": torch.tensor(ADVANTAGES, dtype=torch.float64),
        "ref_per_token_logps": padded(REFERENCE), "num_items_in_batch": mask.sum(),
    }
    if not fresh:
        inputs["old_per_token_logps"] = old
    if mode != "none":
        inputs["importance_sampling_ratio"] = importance_ratio(mode, old, padded(DRAWN), mask, most)
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    loss.backward()
    return {
        "loss_type": loss_type, "importance_sampling_level": level, "beta": beta, "delta": delta, "epsilon_high": epsilon_high,
        "importance_sampling_mode": mode, "importance_sampling_clip_max": most, "fresh": fresh,
        "loss": loss.item(), "grads": [row.grad.tolist() for row in now],
        "metrics": {name: values[0] for name, values in trainer._metrics["train"].items() if name != "entropy"},
    }


def advantage_case(groups, scale):
    width = len(groups[0])
    rewards = torch.tensor([[math.nan if x is None else x] for group in groups for x in group], dtype=torch.float64)
    space = {
        "self": SimpleNamespace(multi_objective_aggregation="sum_then_normalize", scale_rewards=scale, reward_weights=torch.ones(1, dtype=torch.float64)),
        "rewards_per_func": rewards, "unscorable_mask": torch.isnan(rewards).all(dim=1), "num_generations": width,
        "device": "cpu", "torch": torch, "nanstd": grpo_trainer.nanstd,
    }
    exec(cut("if self.multi_objective_aggregation ==", "# Slice to keep only"), space)
    advantages = space["advantages"].tolist()
    return {"rewards": groups, "scale_rewards": scale, "advantages": [advantages[n : n + width] for n in range(0, len(advantages), width)]}


def main():
    print(f"torch {torch.__version__}, trl {trl.__version__}")
    torch.set_num_threads(1)
    losses = []
    for loss_type, fresh in itertools.product(("grpo", "dapo", "bnpo", "dr_grpo", "cispo", "sapo"), (True, False)):
        high = 1.5 if loss_type == "cispo" else None
        # TRL refuses the level "sequence" for losses that sum over tokens; the arithmetic is defined all the same.
        losses += [
            loss_case(loss_type, "token", 0.0, None, high, "none", fresh),
            loss_case(loss_type, "token", 0.04, 1.6, high or 0.28, "token_truncate", fresh),
            loss_case(loss_type, "sequence", 0.04, None, high, "sequence_truncate", fresh),
        ]
    losses += [loss_case("grpo", level, 0.0, None, None, mode, False)
               for level in ("token", "sequence") for mode in ("token_mask", "sequence_mask")]
    data = {
        "now": NOW, "old": OLD, "drawn": DRAWN, "reference": REFERENCE, "advantages": ADVANTAGES, "longest": LONGEST,
        "losses": losses,
        "groups": [advantage_case(groups, scale) for groups in REWARDS for scale in ("group", "batch", "none")],
    }
    (HERE / "grpo.json").write_text(json.dumps(data, separators=(",", ":"), allow_nan=False).replace('{"loss_type"', '\n{"loss_type"').replace('{"rewards"', '\n{"rewards"') + "\n")


if __name__ == "__main__":
    main()
