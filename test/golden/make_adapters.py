"""Makes adapters/: PEFT LoRA adapters of every kind that is read, and log-probabilities with them on.

    python make_adapters.py

Takes no arguments, reads qwen3/ and llama/ as make.py left them, and overwrites adapters/. One thread, fixed seeds:
a second run with the same package versions gives the same bytes. README.md says which versions made those stored here.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import json
import shutil
from pathlib import Path

import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent

ADAPTERS = {
    # name: base, what is given to LoraConfig, dtype of the file
    "patterns": ("qwen3", dict(
        r=4, lora_alpha=8, use_rslora=True, init_lora_weights="gaussian",
        target_modules=r"model\.layers\.\d+\.(self_attn\.(q|v)_proj|mlp\.down_proj)",
        rank_pattern={"down_proj": 2, r"layers\.1\.self_attn\.v_proj": 6},
        alpha_pattern={r"self_attn\.v_proj": 3, r"model\.layers\.0\..*": 5},
    ), torch.float32),
    # as peft writes it for a model in bfloat16
    "all-linear": ("llama", dict(r=3, lora_alpha=5, lora_dropout=0.1, target_modules="all-linear"), torch.bfloat16),
    "one-layer": ("llama", dict(
        r=4, lora_alpha=16, target_modules=["q_proj", "mlp.up_proj", "o_proj"], exclude_modules=["self_attn.o_proj"],
        layers_to_transform=[1], layers_pattern="layers",
    ), torch.float32),
    # A matrix outside the blocks: only `vequinox merge` takes it.
    "lm-head": ("llama", dict(r=2, lora_alpha=4, target_modules=["v_proj", "lm_head"]), torch.float32),
}


def numbers(tensor):
    """Float32 values as the shortest decimals that read back to the same float32."""
    return [[float(str(x)) for x in row] for row in tensor.detach().numpy()]


def load(base):
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / base, dtype=torch.float32).eval()
    model.set_attn_implementation("eager")
    return model


def make(seed, name, base, options, dtype):
    golden = json.loads((HERE / base / "golden.json").read_text())
    input_ids, attention_mask = torch.tensor(golden["input_ids"]), torch.tensor(golden["attention_mask"])
    torch.manual_seed(seed)
    model = peft.get_peft_model(load(base), peft.LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in sorted(model.named_parameters()):
            if "lora_" in key:
                parameter.copy_((0.1 * torch.randn(parameter.shape, generator=generator)).to(dtype))

    folder = HERE / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    weights = folder / "adapter_model.safetensors"
    if dtype != torch.float32:
        save_file({key: value.to(dtype) for key, value in load_file(weights).items()}, weights, {"format": "pt"})
    weights.chmod(0o644)
    config = json.loads((folder / "adapter_config.json").read_text())
    for key in ("target_modules", "exclude_modules"):  # written from unordered sets
        if isinstance(config[key], list):
            config[key].sort()
    config["base_model_name_or_path"] = f"golden/{base}"
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")

    # As peft reads the folder: it writes patterns sorted, and the first one that fits counts.
    model = peft.PeftModel.from_pretrained(load(base), folder).eval()
    with torch.no_grad():
        logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
    logps = F.log_softmax(logits[:, :-1], dim=-1).gather(-1, input_ids[:, 1:, None])[..., 0] * attention_mask[:, 1:]
    data = {
        "base": base,
        "modules": sum(".lora_A." in key for key in load_file(weights)),
        "logps": numbers(logps),
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in data.items())
    (folder / "golden.json").write_text("{\n" + lines + "\n}\n")
    moved = (logps - torch.tensor(golden["logps"])).abs().max()
    print(f"{name}: {data['modules']} modules, log-probabilities moved by up to {moved:.3f} nats")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, (name, (base, options, dtype)) in enumerate(ADAPTERS.items()):
        make(seed, name, base, options, dtype)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
