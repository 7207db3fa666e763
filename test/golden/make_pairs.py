"""Makes pairs.json: losses of pairs, and their gradients by token, of TRL's DPOTrainer for every loss type and f-divergence
that this project has.

    python make_pairs.py

Takes no arguments, overwrites the file, uses no random numbers. `_compute_loss` runs unbound, as in make_objectives.py; in
float64, except for alpha_divergence, which TRL computes in float32.
"""

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
import trl
from trl import DPOTrainer

HERE = Path(__file__).resolve().parent

TOKENS = [[-0.5, -1.25], [-0.75, -2.0, -0.125], [-3.0], [-0.25, -0.5, -1.0, -0.375]]
REFERENCE = [-2.0, -2.5, -2.75, -2.25]
PAIRS = [[0, 1], [0, 2], [3, 1]]
MARGINS = ("sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "exo_pair", "discopop")
APART = ("nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down")


def case(kind, divergence="reverse_kl", coef=0.5, tau=0.05):
    dtype = torch.float32 if divergence == "alpha_divergence" else torch.float64
    beta, smoothing = 0.3, 0.1 if kind in ("robust", "exo_pair") else 0.0
    tokens = [torch.tensor(row, dtype=dtype, requires_grad=True) for row in TOKENS]
    rows = [tokens[pair[side]] for side in (0, 1) for pair in PAIRS]
    width = max(map(len, rows))
    log_probs = torch.stack([torch.cat([row, row.new_zeros(width - len(row))]) for row in rows])
    mask = torch.zeros(len(rows), width + 1, dtype=torch.long)  # one prompt token first
    for n, row in enumerate(rows):
        mask[n, 1 : 1 + len(row)] = 1
    blank = torch.zeros_like(log_probs)
    outputs = SimpleNamespace(log_probs=log_probs, entropy=blank, mean_logits=blank, is_top1=blank.bool())
    same = lambda tensor: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same),
        args=SimpleNamespace(discopop_tau=tau),
        aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True, use_weighting=False,
        f_divergence_type=divergence, f_alpha_divergence_coef=coef,
        loss_types=[kind], loss_weights=[1.0], beta=beta, label_smoothing=smoothing,
        _metrics={"eval": defaultdict(list), "train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )
    reference = torch.tensor(REFERENCE, dtype=dtype)
    inputs = {
        "input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "ref_chosen_logps": reference[[chosen for chosen, _ in PAIRS]],
        "ref_rejected_logps": reference[[rejected for _, rejected in PAIRS]],
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)
    loss.backward()
    return {
        "loss_type": kind, "f_divergence_type": divergence, "f_alpha_divergence_coef": coef, "discopop_tau": tau, "beta": beta,
        "label_smoothing": smoothing, "loss": loss.item(), "grads": [row.grad.tolist() for row in tokens],
    }


def main():
    print(f"torch {torch.__version__}, trl {trl.__version__}")
    torch.set_num_threads(1)
    cases = [case(kind) for kind in (*MARGINS, *APART)]
    cases += [case(kind, divergence) for kind in MARGINS for divergence in ("forward_kl", "js_divergence")]
    cases += [case(kind, "alpha_divergence", coef) for kind in MARGINS for coef in (0.5, 1.0, 2.0)]
    cases += [case("discopop", tau=0.5)]
    data = {"tokens": TOKENS, "reference": REFERENCE, "pairs": PAIRS, "cases": cases}
    (HERE / "pairs.json").write_text(json.dumps(data, separators=(",", ":"), allow_nan=False).replace('{"loss_type"', '\n{"loss_type"') + "\n")


if __name__ == "__main__":
    main()
