"""What TensorBoard, Trackio and pyarrow read of what a run wrote, as JSON on stdout.

    pip install tensorboard==2.21.0 'trackio[tensorboard]==0.43.0' pyarrow==26.0.1
    python bench/peers/read_trackers.py versions
    python bench/peers/read_trackers.py events RUN/tensorboard      by TensorBoard's Python reader
    python bench/peers/read_trackers.py board RUNS                  by a TensorBoard server, which reads with its Rust reader
    python bench/peers/read_trackers.py import RUN/tensorboard DIR  by trackio.import_tf_events, into DIR
    python bench/peers/read_trackers.py parquet RUN/completions     by pyarrow
    python bench/peers/read_trackers.py serve DIR                   a Trackio server that keeps its data in DIR, until stdin ends
    python bench/peers/read_trackers.py trackio DIR PROJECT         what it keeps, by Trackio's own storage
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from importlib.metadata import version


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    text = [value.tensor_proto.string_val[0].decode() for value in events.Tensors("config")]
    return {"text": text, "scalars": {tag: [[one.step, one.value] for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}}


def board(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = "from tensorboard.main import run_main; run_main()"
    arguments = ["--logdir", folder, "--port", str(port), "--load_fast", "true", "--samples_per_plugin", "scalars=100000", "--reload_interval", "1"]
    server = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.DEVNULL)
    get = lambda path: json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/data/{path}", timeout=5))
    try:
        for _ in range(120):
            try:
                tags = get("plugin/scalars/tags")
                if any("run/seconds" in own for own in tags.values()):
                    break
            except OSError:
                pass
            time.sleep(0.5)
        query = lambda run, tag: urllib.parse.urlencode({"run": run, "tag": tag})
        return {run: {tag: [row[1:] for row in get(f"plugin/scalars/scalars?{query(run, tag)}")] for tag in own} for run, own in tags.items()}
    finally:
        server.terminate()
        server.wait()


def trackio_at(folder):
    os.environ |= {"TRACKIO_DIR": folder, "HF_HUB_OFFLINE": "1"}
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    return trackio, SQLiteStorage


def kept(folder, project):
    _, storage = trackio_at(folder)
    return {run: {"logs": storage.get_logs(project, run), "config": storage.get_run_config(project, run)} for run in storage.get_runs(project)}


def imported(events, folder):
    trackio, _ = trackio_at(folder)
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        trackio.import_tf_events(events, project="imported", name="run")
    finally:
        sys.stdout = out
    return kept(folder, "imported")


def tables(folder):
    import pyarrow.parquet

    files = sorted(pathlib.Path(folder).glob("*.parquet"))
    schema = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(files[0])}
    return {"schema": schema, "files": {file.name: pyarrow.parquet.read_table(file).to_pylist() for file in files}}


def serve(folder):
    trackio, _ = trackio_at(folder)
    out, sys.stdout = sys.stdout, sys.stderr
    app, _, _, url = trackio.show(open_browser=False, block_thread=False, share=False)
    sys.stdout = out
    print(json.dumps({"url": url}), flush=True)
    sys.stdin.read()
    app.close()


what, *arguments = sys.argv[1:]
if what == "serve":
    serve(*arguments)
    os._exit(0)
read = {"events": scalars, "board": board, "import": imported, "parquet": tables, "trackio": kept}
print(json.dumps({name: version(name) for name in ["tensorboard", "trackio", "pyarrow"]} if what == "versions" else read[what](*arguments), default=str))
