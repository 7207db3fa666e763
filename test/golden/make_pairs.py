"""Makes pairs.json: losses of pairs, and their gradients by token, of TRL's DPOTrainer for every loss type and f-divergence
that this project has, with use_weighting, and of lists with loss_weights; and references that its callback moves.

    python make_pairs.py

Takes no arguments, overwrites the file, uses no random numbers. TRL's code runs as in make_objectives.py; in
float64, except for alpha_divergence, which TRL computes in float32.
"""

import json

import torch
import trl
from trl.trainer.callbacks import SyncRefModelCallback

from make_objectives import HERE, PAIRS, REFERENCE, TOKENS, trl_pairs_loss

MARGINS = ("sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "exo_pair", "discopop")
APART = ("nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down")


AOT = ("aot", "aot_unpaired")
SMOOTHED = ("robust", "exo_pair", "aot", "aot_unpaired")
# log sum p^2 at each token of TOKENS: from that of a token of probability exp(-3) or less among many to a sure one.
CONCENTRATIONS = [[-0.4, -1.5], [-0.9, -2.75, -0.1], [-2.5], [-0.2, -0.6, -1.25, -0.3]]
MIXTURES = (
    (["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0], {}),
    (["hinge", "ipo"], [1.0, 1.0], {"ld_alpha": 0.4}),
    (["sigmoid", "discopop", "sft"], [0.5, 2.0, 0.1], {"divergence": "js_divergence"}),
    (["robust", "exo_pair", "nca_pair", "sft"], [0.5, 2.0, 0.1, 3.0], {}),
    (["aot", "sppo_hard", "aot_unpaired"], [0.7, 0.25, 1.5], {"ld_alpha": 0.4}),
    (["apo_zero", "sigmoid_norm"], [1.0, 3.0], {"weighted": True}),
)


def case(kinds, weights=None, divergence="reverse_kl", coef=0.5, tau=0.05, ld_alpha=None, smoothing=None, weighted=False):
    dtype = torch.float32 if divergence == "alpha_divergence" else torch.float64
    alone = [kinds] if isinstance(kinds, str) else kinds
    beta, smoothing = 0.3, (0.1 if set(alone) & set(SMOOTHED) else 0.0) if smoothing is None else smoothing
    tokens = [torch.tensor(row, dtype=dtype, requires_grad=True) for row in TOKENS]
    loss = trl_pairs_loss(alone, weights or [1.0], beta, smoothing, tokens, divergence, coef, tau, ld_alpha, CONCENTRATIONS if weighted else None)
    loss.backward()
    return {
        "loss_type": kinds, "f_divergence_type": divergence, "f_alpha_divergence_coef": coef, "discopop_tau": tau, "beta": beta,
        "label_smoothing": smoothing, "ld_alpha": 1.0 if ld_alpha is None else ld_alpha,
        **({"loss_weights": weights} if weights else {}), **({"use_weighting": True} if weighted else {}),
        "loss": loss.item(), "grads": [row.grad.tolist() for row in tokens],
    }


def synced():
    """A reference of two tensors that TRL's SyncRefModelCallback moves three times, by alpha, towards a policy that moves too."""
    policies = [[[0.5, -1.25, 3.0], [0.125]], [[0.75, -1.0, 2.5], [-0.25]], [[-0.5, 0.1, 0.3], [0.7]]]
    cases = []
    for alpha in (0.6, 0.05, 1.0):
        tensors = lambda rows: torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(row)) for row in rows])
        reference, after = tensors([[1.0, 0.2, -0.3], [-2.0]]), []
        for policy in policies:
            SyncRefModelCallback._sync_target_model(tensors(policy), reference, alpha)
            after.append([row.tolist() for row in reference])
        cases.append({"alpha": alpha, "reference": [[1.0, 0.2, -0.3], [-2.0]], "policies": policies, "after": after})
    return cases


def main():
    print(f"torch {torch.__version__}, trl {trl.__version__}")
    torch.set_num_threads(1)
    cases = [case(kind) for kind in (*MARGINS, *APART)]
    cases += [case(kind, smoothing=smoothing) for kind in AOT for smoothing in (0.0, 0.1)]
    cases += [case(kind, divergence=divergence) for kind in MARGINS for divergence in ("forward_kl", "js_divergence")]
    cases += [case(kind, divergence="alpha_divergence", coef=coef) for kind in MARGINS for coef in (0.5, 1.0, 2.0)]
    cases += [case("discopop", tau=0.5)]
    cases += [case(kind, ld_alpha=alpha) for kind in (*MARGINS, *APART, *AOT) for alpha in (0.0, 0.4)]
    # Of hinge TRL fails: it multiplies in place what the gradient of relu needs.
    cases += [case(kind, weighted=True) for kind in (*MARGINS, *APART) if kind != "hinge"]
    cases += [case("sigmoid", weighted=True, ld_alpha=0.4)]
    cases += [case(kinds, weights, **more) for kinds, weights, more in MIXTURES]
    data = {"tokens": TOKENS, "reference": REFERENCE, "pairs": PAIRS, "concentrations": CONCENTRATIONS, "synced": synced(), "cases": cases}
    (HERE / "pairs.json").write_text(json.dumps(data, separators=(",", ":"), allow_nan=False).replace('{"loss_type"', '\n{"loss_type"') + "\n")


if __name__ == "__main__":
    main()
