"""What TensorBoard, Trackio and pyarrow read of what a run wrote, as JSON on stdout.

    pip install tensorboard==2.21.0 'trackio[tensorboard]==0.43.0' pyarrow==26.0.1 opentelemetry-proto==1.45.2
    python bench/peers/read_trackers.py versions
    python bench/peers/read_trackers.py events RUN/tensorboard      by TensorBoard's Python reader
    python bench/peers/read_trackers.py watched BEFORE AFTER        the same, by one reader that saw BEFORE, then AFTER in its place
    python bench/peers/read_trackers.py board RUNS                  by a TensorBoard server, which reads with its Rust reader
    python bench/peers/read_trackers.py import RUN/tensorboard DIR  by trackio.import_tf_events, into DIR
    python bench/peers/read_trackers.py parquet RUN/completions     by pyarrow
    python bench/peers/read_trackers.py serve DIR                   a Trackio server that keeps its data in DIR, until stdin ends
    python bench/peers/read_trackers.py trackio DIR PROJECT         what it keeps, by Trackio's own storage
    python bench/peers/read_trackers.py collect                     an OTLP collector, by OpenTelemetry's own messages, until stdin ends
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


def scalars(folder, after=None):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    if after is not None:
        for file in sorted(pathlib.Path(after).iterdir()):
            (pathlib.Path(folder) / file.name).write_bytes(file.read_bytes())
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


def collect():
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans, gauges = [], {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend([one.name, one.span_id.hex(), one.parent_span_id.hex(), one.end_time_unix_nano - one.start_time_unix_nano] for one in scope.spans)
            elif self.path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        gauges.update((metric.name, metric.gauge.data_points[0].as_double) for metric in scope.metrics if metric.gauge.data_points)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    sys.stdin.read()
    print(json.dumps({"spans": spans, "gauges": gauges}), flush=True)


what, *arguments = sys.argv[1:]
if what in ("serve", "collect"):
    {"serve": serve, "collect": collect}[what](*arguments)
    os._exit(0)
read = {"events": scalars, "watched": scalars, "board": board, "import": imported, "parquet": tables, "trackio": kept}
print(json.dumps({name: version(name) for name in ["tensorboard", "trackio", "pyarrow", "opentelemetry-proto"]} if what == "versions" else read[what](*arguments), default=str))
