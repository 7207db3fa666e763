"""Records of an event file as TensorBoard's own messages and record writer make them: tfevents.json.

    pip install tensorboard==2.21.0 && python test/golden/make_tfevents.py
"""
import io
import json
import pathlib

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


class Kept(io.BytesIO):
    def close(self):
        pass


def record(event):
    file = Kept()
    RecordWriter(file).write(event.SerializeToString())
    return file.getvalue().hex()


text = "    {\n      \"seed\": 3\n    }"
value = summary_pb2.Summary.Value(
    tag="config",
    tensor=tensor_pb2.TensorProto(
        dtype=7,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
        string_val=[text.encode()],
    ),
    metadata=summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text")),
)
scalars = {"loss": 0.6931471805599453, "rewards/margins": -1.5, "num_tokens": 123456, "svg/valid": 0}
events = {
    "version": event_pb2.Event(wall_time=1796036255.25, file_version="brain.Event:2", source_metadata=event_pb2.SourceMetadata(writer="vequinox")),
    "start": event_pb2.Event(wall_time=1796036255.25, step=30, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)),
    "scalars": event_pb2.Event(
        wall_time=1796036255.25,
        step=31,
        summary=summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=number) for tag, number in scalars.items()]),
    ),
    "text": event_pb2.Event(wall_time=1796036255.25, step=0, summary=summary_pb2.Summary(value=[value])),
}
pathlib.Path(__file__).with_name("tfevents.json").write_text(
    json.dumps({"scalars": scalars, "text": text, "records": {name: record(event) for name, event in events.items()}}, indent=2) + "\n"
)
