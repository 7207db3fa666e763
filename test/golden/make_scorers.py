"""Makes torch/, hps/ and image-reward/ in this folder: tiny torch checkpoints and what the authors' own code says of them.

    python make_scorers.py

Takes no arguments, reads nothing but itself, and overwrites every file it makes. One CPU thread, fixed seeds. README.md
says what the files hold and which versions made the ones stored here; those differ from make.py's.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import base64
import gzip
import importlib
import importlib.util
import io
import json
import pickle
import shutil
import sys
import types
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np
import torch
import torch.nn as nn
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from transformers import BertTokenizer, BertTokenizerFast, CLIPTokenizerFast

HERE = Path(__file__).resolve().parent


def authors(alias, package, inner=""):
    """Imports from inside a package without running its __init__.py, which asks for files and packages of no use here."""
    module = types.ModuleType(alias)
    module.__path__ = [str(Path(importlib.util.find_spec(package).submodule_search_locations[0]) / inner)]
    sys.modules[alias] = module
    return lambda name: importlib.import_module(f"{alias}.{name}")


def f32(value):
    """Float32 values as the shortest decimals that read back to the same float32."""
    array = np.asarray(value.detach().numpy() if isinstance(value, torch.Tensor) else value, dtype=np.float32)
    return float(str(array)) if array.ndim == 0 else [f32(entry) for entry in array]


def b64(array, dtype):
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def write(path, data):
    """JSON: one line per top-level entry."""
    compact = lambda entry: json.dumps(entry, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    path.write_text("{\n" + ",\n".join(f"{json.dumps(k)}:{compact(v)}" for k, v in data.items()) + "\n}\n")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def randomise(model):
    """Every parameter far from its initial value, so that no term can be left out unnoticed."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1 and name.endswith("weight"):
                p.copy_(1 + 0.2 * torch.randn_like(p))  # of a norm
            elif p.ndim < 2:
                p.normal_(0, 0.2)
            else:
                p.normal_(0, 1.0 if "embed" in name or "pos" in name else p[0].numel() ** -0.5)


def pictures(sizes):
    """Square; smooth waves with sharp edges, where resampling overshoots."""
    made = []
    for n, size in enumerate(sizes):
        y, x = np.mgrid[0:size, 0:size]
        waves = [127 + 127 * np.sin((c + 1) * x / 3 + (n + 1) * y / (4 + c)) for c in range(3)]
        rgb = np.stack(waves, axis=-1)
        rgb[size // 3 : size // 2, size // 4 : size // 2] = 255
        rgb[size // 2 : 2 * size // 3, size // 2 :] = 0
        made.append(Image.fromarray(rgb.astype(np.uint8), "RGB"))
    return made


def told(images, pixels):
    return [
        {"size": i.width, "rgb": b64(np.asarray(i), "u1"), "pixels": b64(p.numpy(), "<f4")}
        for i, p in zip(images, pixels)
    ]


# --------------------------------------------------------------------------
# torch.save's files


class Evil:
    def __reduce__(self):
        return os.system, ("echo this must never run > pwned",)


def rezip(source, target, prefix, method=zipfile.ZIP_STORED):
    """The same entries, written by Python's zipfile."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for info in old.infolist():
            _, _, inner = info.filename.partition("/")
            if not inner.startswith("."):
                new.writestr(zipfile.ZipInfo(f"{prefix}/{inner}", (2000, 1, 1, 0, 0, 0)), old.read(info), method)


def make_torch():
    folder = fresh(HERE / "torch")
    torch.manual_seed(1)
    whole = torch.randn(4, 3)
    linear = nn.Linear(2, 3)
    values = OrderedDict(
        float32=torch.randn(2, 3),
        float16=torch.randn(5).half(),
        bfloat16=torch.randn(2, 2).bfloat16(),
        int64=torch.arange(7).reshape(1, 7),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        whole=whole,
        rows=whole[1:3],  # a view: the same storage, from byte 12 on
        flat=whole[:, 1:2][:1],  # strides that only axes of length 1 have wrong
        parameter=linear.weight,
    )
    torch.save(values, folder / "kinds.pt")
    stated = nn.Sequential(OrderedDict(first=linear, norm=nn.BatchNorm1d(3))).state_dict()  # carries _metadata
    torch.save({"epoch": 3, "lr": 1e-3, "name": "tiny ✓", "best": None, "big": 2**40, "flags": [True, False, (1, -2, 3, 70000)],
                "state_dict": stated}, folder / "nested.pt")
    torch.save({"weight": whole.t()}, folder / "strided.pt")
    torch.save({"weight": whole, "x": Evil()}, folder / "evil.pt")
    torch.save({"weight": whole}, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"weight": whole}, folder / "protocol4.pt", pickle_protocol=4)
    rezip(folder / "strided.pt", folder / "deflated.pt", "archive", zipfile.ZIP_DEFLATED)
    # zip64 fields everywhere, as in a file over 4 GB. The length of the prefix decides where the tensors lie.
    torch.save({"weight": whole}, folder / "plain.tmp")
    for pad in range(5):
        limit, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, 0
        rezip(folder / "plain.tmp", folder / "zip64.tmp", "a" * (pad + 1))
        zipfile.ZIP64_LIMIT = limit
        at = (folder / "zip64.tmp").read_bytes().find(whole.numpy().tobytes())
        shutil.copy(folder / "zip64.tmp", folder / ("unaligned.pt" if at % 4 else "zip64.pt"))
    for name in ["plain.tmp", "zip64.tmp"]:
        (folder / name).unlink()
    every = {**values, **{f"nested.{k}": v for k, v in stated.items()}}
    write(folder / "golden.json", {k: {"shape": list(v.shape), "dtype": str(v.dtype)[6:], "data": v.detach().float().flatten().tolist()}
                                   for k, v in every.items()})


# --------------------------------------------------------------------------
# HPSv2: the authors' fork of open_clip, with their preprocessing


prompts = ["a red bicycle", "A Pelican riding   a bicycle, by the sea!", "3 cats & two dogs' houses (é, 漢字) 🙂 " * 4]


def make_hps():
    folder = fresh(HERE / "hps")
    hps = authors("hps_open_clip", "hpsv2", "src/open_clip")
    torch.manual_seed(2)

    merges = ["a n", "t h", "r e", "i n", "b i", "bi c", "y c", "bic yc", "l e</w>", "bicyc le</w>", "a t", "at s</w>", "th e</w>"]
    (folder / "merges.gz").write_bytes(gzip.compress("\n".join(["#version: 0.2", *merges]).encode()))
    theirs = SimpleTokenizer(bpe_path=str(folder / "merges.gz"), context_length=77)
    (folder / "merges.gz").unlink()
    (folder / "vocab.json").write_text(json.dumps(theirs.encoder))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocab = {{"<start_of_text>": start, "<end_of_text>": end}.get(k, k): v for k, v in theirs.encoder.items()}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    fast = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"), unk_token=end, bos_token=start, eos_token=end)
    fast.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "vocab.json").unlink()
    (folder / "merges.txt").unlink()

    vision = {"image_size": 28, "layers": 2, "width": 16, "head_width": 4, "patch_size": 7}
    text = {"context_length": 77, "vocab_size": len(vocab), "width": 12, "heads": 2, "layers": 2}
    model = hps("model").CLIP(embed_dim=10, vision_cfg=vision, text_cfg=text, output_dict=True).eval()
    randomise(model)
    torch.save({"epoch": 1, "state_dict": model.state_dict()}, folder / "HPS_v2.1_compressed.pt")

    preprocess = hps("transform").image_transform(28, is_train=False, resize_longest_max=True)  # as in img_score.py
    images = pictures([40, 28, 17])
    pixels = [preprocess(i) for i in images]
    ids = theirs(prompts)
    with torch.no_grad():
        out = model(torch.stack(pixels), ids)
        text_embeds = model.encode_text(ids, normalize=True)
    write(folder / "golden.json", {
        "prompts": prompts,
        "ids": ids.tolist(),
        "pictures": told(images, pixels),
        "text_embeds": f32(text_embeds),
        "image_embeds": f32(out["image_features"]),
        "scores": f32(out["image_features"] @ text_embeds.T),
    })


# --------------------------------------------------------------------------
# ImageReward: the authors' model at a small size


texts = [
    *prompts,
    "Café naïve ÅNGSTRÖM résumé",
    "don't stop-me, now... (really?!) $5 #1 @home",
    "中文 and かな and 한국어",
    "\ttabs\nand\u00a0spaces  \u200b zero\u0000null\ufffd",
    "unaffordable zzzqx",
    "x" * 120,
    "",
]


def make_image_reward():
    folder = fresh(HERE / "image-reward")
    module = authors("image_reward", "ImageReward")
    authors("image_reward.models", "ImageReward", "models")
    ours = module("ImageReward")
    blip = importlib.import_module("image_reward.models.BLIP.blip_pretrain")
    vit = importlib.import_module("image_reward.models.BLIP.vit")
    torch.manual_seed(3)

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-()&$#@:"
    pieces = ["bicycle", "pelican", "riding", "red", "cats", "dogs", "and", "un", "##afford", "##able", "cafe", "漢", "中", "か", "##な", "by", "the"]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters[:36]), *pieces]
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), do_lower_case=True)
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True).backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "vocab.txt").unlink()
    # As init_tokenizer does with the downloaded one.
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})

    config = {"architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
              "hidden_size": 12, "initializer_range": 0.02, "intermediate_size": 20, "layer_norm_eps": 1e-12,
              "max_position_embeddings": 40, "model_type": "bert", "num_attention_heads": 3, "num_hidden_layers": 2,
              "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": len(tokenizer), "encoder_width": 999, "add_cross_attention": True}
    (folder / "med_config.json").write_text(json.dumps(config, indent=2) + "\n")

    class NarrowMLP(nn.Module):
        """The authors' MLP has fixed widths (1024, 128, 64, 16), 600 kB of them; the same layers, narrower."""

        def __init__(self, width):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(12, 9), nn.Dropout(0.2), nn.Linear(9, 8), nn.Dropout(0.2), nn.Linear(8, 7), nn.Dropout(0.1), nn.Linear(7, 5),
                nn.Linear(5, 1))

        def forward(self, x):
            return self.layers(x)

    blip.create_vit = lambda *_: (vit.VisionTransformer(img_size=24, patch_size=6, embed_dim=16, depth=2, num_heads=4), 16)
    blip.init_tokenizer = lambda: tokenizer
    ours.MLP = NarrowMLP
    model = ours.ImageReward(med_config=str(folder / "med_config.json")).eval()
    model.preprocess = ours._transform(24)
    randomise(model)
    state = model.state_dict()
    torch.save(state, folder / "ImageReward.pt")

    images = pictures([40, 24, 11])
    pixels = [model.preprocess(i) for i in images]
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=35, return_tensors="pt")
    with torch.no_grad():
        embeds = model.blip.visual_encoder(torch.stack(pixels))
        rows = range(len(texts))
        pair = [(t, i) for t in rows for i in range(len(images))]
        scores = model.score_gard(tokens.input_ids[[t for t, _ in pair]], tokens.attention_mask[[t for t, _ in pair]],
                                  torch.stack(pixels)[[i for _, i in pair]]).reshape(len(texts), len(images))
        assert abs(model.score(texts[1], images[2]) - scores[1, 2].item()) < 1e-5
    write(folder / "golden.json", {
        "prompts": texts,
        "ids": tokens.input_ids.tolist(),
        "mask": tokens.attention_mask.tolist(),
        "pictures": told(images, pixels),
        "image_embeds": f32(embeds),
        "scores": f32(scores),
    })


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_torch()
    make_hps()
    make_image_reward()
