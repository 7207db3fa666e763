"""Makes pairs.json: losses of pairs, and their gradients by token, of TRL's DPOTrainer for every loss type and f-divergence
that this project has.

    python make_pairs.py

Takes no arguments, overwrites the file, uses no random numbers. TRL's code runs as in make_objectives.py; in
float64, except for alpha_divergence, which TRL computes in float32.
"""

import json

import torch
import trl

from make_objectives import HERE, PAIRS, REFERENCE, TOKENS, trl_pairs_loss

MARGINS = ("sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "exo_pair", "discopop")
APART = ("nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down")


def case(kind, divergence="reverse_kl", coef=0.5, tau=0.05, ld_alpha=None):
    dtype = torch.float32 if divergence == "alpha_divergence" else torch.float64
    beta, smoothing = 0.3, 0.1 if kind in ("robust", "exo_pair") else 0.0
    tokens = [torch.tensor(row, dtype=dtype, requires_grad=True) for row in TOKENS]
    loss = trl_pairs_loss([kind], [1.0], beta, smoothing, tokens, divergence, coef, tau, ld_alpha)
    loss.backward()
    return {
        "loss_type": kind, "f_divergence_type": divergence, "f_alpha_divergence_coef": coef, "discopop_tau": tau, "beta": beta,
        "label_smoothing": smoothing, "ld_alpha": 1.0 if ld_alpha is None else ld_alpha, "loss": loss.item(), "grads": [row.grad.tolist() for row in tokens],
    }


def main():
    print(f"torch {torch.__version__}, trl {trl.__version__}")
    torch.set_num_threads(1)
    cases = [case(kind) for kind in (*MARGINS, *APART)]
    cases += [case(kind, divergence) for kind in MARGINS for divergence in ("forward_kl", "js_divergence")]
    cases += [case(kind, "alpha_divergence", coef) for kind in MARGINS for coef in (0.5, 1.0, 2.0)]
    cases += [case("discopop", tau=0.5)]
    cases += [case(kind, ld_alpha=alpha) for kind in (*MARGINS, *APART) for alpha in (0.0, 0.4)]
    data = {"tokens": TOKENS, "reference": REFERENCE, "pairs": PAIRS, "cases": cases}
    (HERE / "pairs.json").write_text(json.dumps(data, separators=(",", ":"), allow_nan=False).replace('{"loss_type"', '\n{"loss_type"') + "\n")


if __name__ == "__main__":
    main()
