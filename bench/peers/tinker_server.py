"""A real Tinker server on this machine's CPU: skyrl-tx 0.3.0 (JAX), with a model folder as its base.

    python -m venv tinker && tinker/bin/pip install 'skyrl-tx[tinker]==0.3.0' 'jax>=0.8,<1.0' 'flax>=0.12.2' 'optax>=0.2.5'
    tinker/bin/python bench/peers/tinker_server.py --base-model models/policy --port 8000 --state /tmp/tinker-state

Checkpoints and database lie in --state, so a server that was killed finds them again. Ends with its parent's stdin.
"""

import argparse
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--base-model", required=True)
options.add_argument("--port", type=int, default=8000)
options.add_argument("--state", type=Path, required=True)
options.add_argument("--adapters", type=int, default=8, help="places for adapters: the base, the reference, the policy, and one a version that is drawn from")
options.add_argument("--rank", type=int, default=16, help="highest LoRA rank")
options.add_argument("--with-parent", action="store_true", help="end when stdin ends")
given = options.parse_args()

state = given.state.resolve()
(state / "bin").mkdir(parents=True, exist_ok=True)
# The API process starts its engine by `uv run --extra ... -m tx.tinker.engine ...`; this environment has the extras already.
uv = state / "bin" / "uv"
uv.write_text(f"""#!{sys.executable}
import os, sys
rest = sys.argv[2:]
while rest and rest[0] == "--extra":
    rest = rest[2:]
os.execv({sys.executable!r}, [{sys.executable!r}, *rest])
""")
uv.chmod(uv.stat().st_mode | stat.S_IXUSR)

backend = {
    "max_lora_adapters": given.adapters,
    "max_lora_rank": given.rank,
    "train_micro_batch_size": 1,  # one shape a length, so that little is compiled
    "sample_max_num_sequences": 16,
}
server = subprocess.Popen(
    [
        sys.executable, "-m", "tx.tinker.api",
        "--base-model", given.base_model,
        "--backend", "jax",
        "--backend-config", json.dumps(backend),
        "--host", "127.0.0.1",
        "--port", str(given.port),
        "--checkpoints-base", str(state / "checkpoints"),
        "--database-url", f"sqlite:///{state / 'tinker.db'}",
    ],
    env={
        **os.environ,
        "PATH": f"{state / 'bin'}:{os.environ['PATH']}",
        "JAX_PLATFORMS": "cpu",
        # A server that is started again need not compile again.
        "JAX_COMPILATION_CACHE_DIR": str(state / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    },
    start_new_session=True,
)


def end(*_):
    os.killpg(server.pid, signal.SIGKILL)


if given.with_parent:
    threading.Thread(target=lambda: (sys.stdin.read(), end()), daemon=True).start()
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
code = server.wait()
try:
    end()
except ProcessLookupError:
    pass
sys.exit(0 if code in (0, -signal.SIGKILL) else code)
