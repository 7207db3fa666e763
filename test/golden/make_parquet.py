"""Suites of prompts as their authors publish them, by pyarrow 26.0.1: the columns and types, with rows of our own.

    pip install pyarrow==26.0.1 && python make_parquet.py
"""
import pathlib
import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent / "parquet"
here.mkdir(exist_ok=True)

# MMSVGBench's text2svg
pq.write_table(pa.table({
    "text": ["A red heart.", "A pelican on a bicycle, wide awake.", "Ein grünes Haus"],
    "type": ["icon", "illustration", "icon"],
}), here / "mmsvgbench.parquet", compression="snappy")

# VectorGym: pictures lie beside the texts, and a drawing that was edited twice has two rows
picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
pq.write_table(pa.table({
    "svg_id": ["a1", "a1", "b2", "c3"],
    "sketch_category": ["animals", "animals", None, "food"],
    "text_caption": ["Two owls on a branch", "Two owls on a branch", "A bowl of soup", None],
    "sketch_image": pa.array([{"bytes": bytes(range(256)) * 40, "path": None}] * 4, type=picture),
    "editing_annotation_index": pa.array([0, 1, None, 0], type=pa.int64()),
    "original_svg": ["<svg/>"] * 4,
    "is_chart": [False] * 4,
}), here / "vectorgym.parquet", compression="zstd", row_group_size=2)

pq.write_table(pa.table({"id": pa.array([7, 8], type=pa.int64()), "prompt": ["a sun", "a moon"]}), here / "gzip.parquet", compression="gzip", use_dictionary=False)
pq.write_table(pa.table({"svg": ["<svg/>"], "tokens": [[1, 2]]}), here / "no-prompts.parquet", compression="none")
