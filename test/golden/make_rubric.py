"""Ridge logistic regression by scikit-learn, for test/evaluation/rubric.test.ts: `python make_rubric.py` (scikit-learn 1.7.2)."""
import json
import os

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(7)
cases = []
for pairs, criteria, l2 in [(40, 2, 1.0), (200, 4, 0.1), (60, 3, 10.0)]:
    x = rng.uniform(-1, 1, (pairs, criteria))
    truth = rng.normal(size=criteria) * 3
    win = (rng.uniform(size=pairs) < 1 / (1 + np.exp(-x @ truth))).astype(float)
    win[: pairs // 10] = 0.5
    # scikit-learn knows no shares of a win: a tie is one half of a vote for each side.
    rows = np.concatenate([x, x])
    labels = np.concatenate([np.ones(pairs), np.zeros(pairs)])
    weights = np.concatenate([win, 1 - win])
    kept = weights > 0
    model = LogisticRegression(C=1 / l2, fit_intercept=False, tol=1e-12, max_iter=10000, solver="newton-cholesky")
    model.fit(rows[kept], labels[kept], sample_weight=weights[kept])
    cases.append({"l2": l2, "x": x.tolist(), "win": win.tolist(), "beta": model.coef_[0].tolist()})

with open(os.path.join(os.path.dirname(__file__), "rubric.json"), "w") as file:
    json.dump({"scikit-learn": sklearn.__version__, "cases": cases}, file)
