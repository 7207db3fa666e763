"""Makes reinforce.json: loss and gradients of objectives that learn from advantages, not from pairs; and nll.json: losses of
pairs with the negative log-likelihood of the chosen completions beside them, or alone.

    python make_objectives.py

Takes no arguments, reads qwen3/ and llama/ as make.py left them, and overwrites both files. One thread, no random
numbers: a second run with the same package versions gives the same bytes. README.md says which versions made the one
stored here.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import json
import platform
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import peft
import torch
import torch.nn.functional as F
import transformers
import trl
from safetensors.torch import load_file
from trl import DPOTrainer, RLOOTrainer

HERE = Path(__file__).resolve().parent

# Of the three rows of golden.json. Signed, of several sizes, and not all of one weight; the last ones as they are where
# nothing is stale.
CASES = [
    {"advantages": [0.75, -0.5, 0.03125], "weights": [1.0, 0.25, 3.0]},
    {"advantages": [-2.5, 1.0, 0.4375], "weights": [1.0, 1.0, 1.0]},
]


def f32(value):
    """Float32 values as the shortest decimals that read back to the same float32."""
    array = np.asarray(value.detach().numpy() if isinstance(value, torch.Tensor) else value, dtype=np.float32)
    return float(str(array)) if array.ndim == 0 else [f32(entry) for entry in array]


def sig8(value):
    """Flat list, rounded to 8 significant digits."""
    return [float(f"{entry:.8g}") for entry in value.detach().double().flatten().tolist()]


def load(family):
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / family, dtype=torch.float32).eval()
    model.set_attn_implementation("eager")
    return model


def token_logps(model, input_ids, attention_mask):
    """[batch][time-1] log p(token t+1 | tokens <= t)."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
    return F.log_softmax(logits[:, :-1], dim=-1).gather(-1, input_ids[:, 1:, None])[..., 0]


def plain_loss(logps, completion, advantages, weights):
    """-sum of weight * advantage * log pi(completion), by the sum of the weights."""
    return -(weights * advantages * (logps * completion).sum(dim=1)).sum() / weights.sum()


def rloo_loss(logps, input_ids, completion, advantages):
    """Loss of the installed TRL's `RLOOTrainer._compute_loss` where the policy is the one that drew: all ratios are 1.

    The method is called unbound on a stub trainer. The log-probabilities that it asks the model for are given, with
    their autograd graph. Everything after the first token counts as completion; the mask takes what is prompt out.
    """
    same = lambda tensor, **_: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(gather=same, gather_for_metrics=same, reduce=same),
        aux_loss_enabled=False,
        epsilon_low=0.2,
        epsilon_high=0.2,
        _metrics={"eval": defaultdict(list), "train": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, torch.zeros_like(logps), None),
    )
    inputs = {
        "prompt_ids": input_ids[:, :1],
        "prompt_mask": torch.ones_like(input_ids[:, :1]),
        "completion_ids": input_ids[:, 1:],
        "completion_mask": completion,
        "old_logps": (logps * completion).sum(dim=1).detach(),
        "advantages": advantages,
    }
    return RLOOTrainer._compute_loss(trainer, None, inputs)


def backward(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def check_same(ours, theirs):
    """TRL means over sequences, so its advantages carry our weights; every gradient agrees to float32."""
    for name, grad in ours.items():
        distance = (grad - theirs[name]).double().norm()
        assert distance <= 1e-6 * grad.double().norm(), (name, distance)


def loss_float64(model, input_ids, attention_mask, completion, case):
    """Row by row without padding, which would be NaN in float64."""
    with torch.no_grad():
        model.double()
        lengths = attention_mask.sum(dim=1).tolist()
        sums = torch.stack([
            (token_logps_float64(model, input_ids[n : n + 1, :length])[0] * completion[n, : length - 1]).sum()
            for n, length in enumerate(lengths)
        ])
        model.float()
    advantages, weights = (torch.tensor(case[name], dtype=torch.float64) for name in ("advantages", "weights"))
    return float(-(weights * advantages * sums).sum() / weights.sum())


def token_logps_float64(model, input_ids):
    logits = model(input_ids=input_ids, use_cache=False).logits
    return F.log_softmax(logits[:, :-1].double(), dim=-1).gather(-1, input_ids[:, 1:, None])[..., 0]


def make(family, case):
    golden = json.loads((HERE / family / "golden.json").read_text())
    input_ids, attention_mask = torch.tensor(golden["input_ids"]), torch.tensor(golden["attention_mask"])
    completion = attention_mask[:, 1:].clone()  # aligned with log-probabilities
    for row, prompt in enumerate(golden["prompt_lengths"]):
        completion[row, : prompt - 1] = 0
    advantages, weights = torch.tensor(case["advantages"]), torch.tensor(case["weights"])
    as_trl = advantages * weights * len(weights) / weights.sum()

    def both(model):
        logps = token_logps(model, input_ids, attention_mask)
        loss = plain_loss(logps, completion, advantages, weights)
        grads = backward(model, loss)
        # A new forward: the graph of the first is gone.
        trl_loss = rloo_loss(token_logps(model, input_ids, attention_mask), input_ids, completion, as_trl)
        check_same(grads, backward(model, trl_loss))
        return loss, grads, trl_loss

    model = load(family)
    loss, grads, _ = both(model)
    stored = load_file(HERE / family / "model.safetensors")
    assert set(grads) == set(stored)
    full = {
        "loss": f32(loss),
        "loss_float64": loss_float64(model, input_ids, attention_mask, completion, case),
        "grads": [
            {"name": name, "norm": f32(grad.double().norm()), "first": f32(grad.flatten()[:8])}
            for name, grad in grads.items()
        ],
    }

    lora = peft.PeftModel.from_pretrained(load(family), HERE / family / "adapter", is_trainable=True).eval()
    loss, grads, trl_loss = both(lora)
    adapted = {
        "loss": f32(loss),
        "loss_float64": loss_float64(lora, input_ids, attention_mask, completion, case),
        "trl_loss": f32(trl_loss),
        "grads": [
            {"name": name.replace(".default.", "."), "shape": list(grad.shape), "norm": f32(grad.double().norm()), "grad": sig8(grad)}
            for name, grad in grads.items()
        ],
    }
    assert len(adapted["grads"]) == len(load_file(HERE / family / "adapter/adapter_model.safetensors"))
    for name, of in (("full", full), ("adapter", adapted)):
        print(f"{family} {name}: loss {of['loss']}, in float64 {of['loss_float64']}")
    return {"family": family, **case, "full": full, "lora": adapted}


# Completions as the log-probabilities of their tokens; pairs of [chosen, rejected]. The first is chosen twice.
TOKENS = [[-0.5, -1.25], [-0.75, -2.0, -0.125], [-3.0], [-0.25, -0.5, -1.0, -0.375]]
REFERENCE = [-2.0, -2.5, -2.75, -2.25]
PAIRS = [[0, 1], [0, 2], [3, 1]]


def trl_pairs_loss(kinds, weights, beta, smoothing, tokens, divergence="reverse_kl", coef=0.5, tau=0.05, ld_alpha=None, concentrations=None):
    """`DPOTrainer._compute_loss` of the installed TRL on one batch: all chosen completions, then all rejected ones.

    With ld_alpha the reference, which gives every token of a completion the same, is weighed as TRL weighs its own. With
    concentrations, log sum p^2 at each token, use_weighting is on.
    """
    rows = [tokens[pair[side]] for side in (0, 1) for pair in PAIRS]
    width = max(len(row) for row in rows)
    padded = lambda rows: torch.stack([torch.cat([row, row.new_zeros(width - len(row))]) for row in rows])
    log_probs = padded(rows)
    mask = torch.zeros(len(rows), width + 1, dtype=torch.long)  # one prompt token first
    for n, row in enumerate(rows):
        mask[n, 1 : 1 + len(row)] = 1
    blank = torch.zeros_like(log_probs)
    outputs = SimpleNamespace(log_probs=log_probs, entropy=blank, mean_logits=blank, is_top1=blank.bool())
    if concentrations is not None:
        outputs.log_sum_sq_probs = padded([log_probs.new_tensor(concentrations[pair[side]]) for side in (0, 1) for pair in PAIRS])
    same = lambda tensor: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same),
        args=SimpleNamespace(discopop_tau=tau),
        aux_loss_enabled=False,
        ld_alpha=ld_alpha,
        precompute_ref_logps=True,
        f_divergence_type=divergence,
        f_alpha_divergence_coef=coef,
        loss_types=kinds,
        loss_weights=weights,
        beta=beta,
        label_smoothing=smoothing,
        use_weighting=concentrations is not None,
        _metrics={"eval": defaultdict(list), "train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    def reference(side):
        sums = torch.tensor([REFERENCE[pair[side]] for pair in PAIRS], dtype=log_probs.dtype)
        if ld_alpha is None:
            return sums
        own = torch.tensor([len(TOKENS[pair[side]]) for pair in PAIRS])
        shared = torch.tensor([min(len(TOKENS[n]) for n in pair) for pair in PAIRS])
        return sums * (shared + ld_alpha * (own - shared)) / own

    inputs = {
        "input_ids": torch.zeros_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": reference(0),
        "ref_rejected_logps": reference(1),
    }
    return DPOTrainer._compute_loss(trainer, lambda **kwargs: outputs, inputs, False)


def make_nll():
    cases = []
    for kind, smoothing in (("sigmoid", 0.0), ("hinge", 0.0), ("ipo", 0.0), ("robust", 0.1), ("sft", 0.0)):
        for alpha in (0.0,) if kind == "sft" else (0.25, 10.0):
            tokens = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in TOKENS]
            kinds, weights = ([kind], [1.0]) if kind == "sft" else ([kind, "sft"], [1.0, alpha])
            loss = trl_pairs_loss(kinds, weights, 0.3, smoothing, tokens)
            loss.backward()
            cases.append({
                "loss_type": kind, "beta": 0.3, "label_smoothing": smoothing, "rpo_alpha": alpha,
                "tokens": TOKENS, "reference": REFERENCE, "pairs": PAIRS, "loss": loss.item(),
                # A completion that the loss does not read has no gradient.
                "grads": [(row.grad if row.grad is not None else torch.zeros_like(row)).tolist() for row in tokens],
            })
    return cases


def write(name, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n")


def main():
    print(f"python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
          f"peft {peft.__version__}, trl {trl.__version__}, numpy {np.__version__}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    write("reinforce.json", [make(family, case) for family, case in zip(("qwen3", "llama"), CASES)])
    write("nll.json", make_nll())


if __name__ == "__main__":
    main()
