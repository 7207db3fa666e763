"""Makes the golden reference files in this folder.

    python make.py

Takes no arguments, reads nothing but itself, and overwrites every file it
makes. Everything runs on the CPU with one thread and fixed seeds; a second run
with the same package versions gives byte-identical files. README.md says what
the files hold and which versions made the ones stored here.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import base64
import json
import platform
import shutil
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import peft
import PIL
import sentencepiece
import torch
import torch.nn.functional as F
import transformers
import trl
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip.tokenization_siglip import SiglipTokenizer
from trl import DPOTrainer

HERE = Path(__file__).resolve().parent
PAD = 1  # padding is a token id like any other; id 0 is used as a real token


# --------------------------------------------------------------------------
# Writing numbers


def f32(value):
    """Float32 values as the shortest decimals that read back to the same float32."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    array = np.asarray(value, dtype=np.float32)
    if array.ndim == 0:
        return float(str(array))
    return [f32(entry) for entry in array]


def f64(value):
    """Float64 values, unrounded."""
    return value.detach().double().tolist()


def sig8(value):
    """Flat list, rounded to 8 significant digits."""
    return [float(f"{entry:.8g}") for entry in value.detach().double().flatten().tolist()]


def write(path, data):
    """JSON: one line per top-level entry, no other whitespace."""
    compact = lambda entry: json.dumps(entry, separators=(",", ":"), allow_nan=False)
    if isinstance(data, list):
        text = "[\n" + ",\n".join(compact(entry) for entry in data) + "\n]\n"
    else:
        text = "{\n" + ",\n".join(f"{json.dumps(k)}:{compact(v)}" for k, v in data.items()) + "\n}\n"
    path.write_text(text)


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def save_model(model, folder):
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)


def grad_summary(model, stored):
    """Norm and first 8 flat values of every parameter's gradient, under its stored name."""
    rows = []
    for name, parameter in model.named_parameters():
        assert name in stored, f"{name} is not in model.safetensors"
        grad = parameter.grad
        rows.append(
            {"name": name, "norm": f32(grad.double().norm()), "first": f32(grad.flatten()[:8])}
        )
    assert len(rows) == len(stored)
    return rows


# --------------------------------------------------------------------------
# DPO losses, by TRL's own code


def trl_dpo_loss(kind, beta, smoothing, chosen, rejected, ref_chosen, ref_rejected, lengths=(1, 1)):
    """Loss of ONE pair, as computed by `DPOTrainer._compute_loss` of the installed TRL.

    TRL 1.x has no separate `dpo_loss`: the formulas sit inside `_compute_loss`,
    which also runs the model. So that method is called unbound on a stub trainer
    and a stub model whose per-token log-probabilities hold the given sum at one
    position and 0 elsewhere. The four arguments are 0-d tensors; the result keeps
    their dtype and their autograd graph.
    """
    width = max(lengths) + 1  # one prompt token, then the completion
    completion_mask = torch.zeros(2, width, dtype=torch.long)
    for row, length in enumerate(lengths):
        completion_mask[row, 1 : 1 + length] = 1
    sums = torch.stack([chosen, rejected])
    log_probs = torch.cat([sums[:, None], sums.new_zeros(2, width - 2)], dim=1)
    blank = torch.zeros(2, width - 1, dtype=sums.dtype)
    outputs = SimpleNamespace(
        log_probs=log_probs, entropy=blank, mean_logits=blank, is_top1=blank.bool()
    )
    same = lambda tensor: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(
            device=torch.device("cpu"), gather=same, gather_for_metrics=same
        ),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[kind],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=smoothing,
        use_weighting=False,
        _metrics={"eval": defaultdict(list), "train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.zeros(2, width, dtype=torch.long),
        "attention_mask": torch.ones(2, width, dtype=torch.long),
        "completion_mask": completion_mask,
        "ref_chosen_logps": ref_chosen[None],
        "ref_rejected_logps": ref_rejected[None],
    }
    return DPOTrainer._compute_loss(trainer, lambda **kwargs: outputs, inputs, False)


def make_losses():
    policy_chosen = [-20.5, -41.25, -63.0, -88.75, -35.5, -52.125]
    policy_rejected = [-25.0, -38.5, -90.25, -87.5, -20.0, -52.125]
    ref_chosen = [-22.75, -40.0, -70.5, -80.25, -36.0, -55.375]
    ref_rejected = [-24.5, -45.75, -71.0, -89.0, -28.25, -49.875]
    lengths = ([12, 25, 33, 48, 9, 20], [15, 18, 47, 40, 14, 20])
    ones = ([1] * 6, [1] * 6)

    # (name in the file, label smoothing, TRL's loss_type, lengths)
    #
    # "sigmoid" of TRL 1.x no longer reads label_smoothing. Its "aot_unpaired" on
    # a batch of one pair (sorting one value changes nothing) is the conservative
    # DPO formula that "sigmoid" used to apply, so that is what runs for cDPO.
    #
    # "ipo" divides each log-ratio by its completion length. With lengths 1 the
    # same code gives the form on plain sums.
    kinds = [
        ("sigmoid", 0.0, "sigmoid", lengths),
        ("sigmoid", 0.1, "aot_unpaired", lengths),
        ("hinge", 0.0, "hinge", lengths),
        ("ipo", 0.0, "ipo", lengths),
        ("ipo", 0.0, "ipo", ones),
        ("robust", 0.1, "robust", lengths),
    ]
    cases = []
    for name, smoothing, kind, (chosen_lengths, rejected_lengths) in kinds:
        for beta in (0.05, 0.1, 0.5):
            columns = [
                torch.tensor(column, dtype=torch.float64)
                for column in (policy_chosen, policy_rejected, ref_chosen, ref_rejected)
            ]
            losses = [
                trl_dpo_loss(kind, beta, smoothing, *(column[i] for column in columns),
                             lengths=(chosen_lengths[i], rejected_lengths[i]))
                for i in range(6)
            ]
            assert all(loss.dtype == torch.float64 for loss in losses)
            cases.append({
                "loss_type": name,
                "beta": beta,
                "label_smoothing": smoothing,
                "trl_loss_type": kind,
                "policy_chosen": policy_chosen,
                "policy_rejected": policy_rejected,
                "ref_chosen": ref_chosen,
                "ref_rejected": ref_rejected,
                "chosen_lengths": chosen_lengths,
                "rejected_lengths": rejected_lengths,
                "losses": [loss.item() for loss in losses],
            })

    # The cDPO stand-in must agree with "sigmoid" where smoothing is 0.
    for pair in zip(policy_chosen, policy_rejected, ref_chosen, ref_rejected):
        pair = [torch.tensor(value, dtype=torch.float64) for value in pair]
        assert trl_dpo_loss("aot_unpaired", 0.1, 0.0, *pair) == trl_dpo_loss("sigmoid", 0.1, 0.0, *pair)
    write(HERE / "losses.json", cases)


# --------------------------------------------------------------------------
# Language models

TIME = 12
LENGTHS = [12, 9, 7]
PROMPT_LENGTHS = [4, 3, 2]
PAIRS = [[0, 1], [2, 0]]  # [chosen row, rejected row]
BETA = 0.1
NEW_TOKENS = 200
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def qwen3_model():
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, rms_norm_eps=1e-6,
        max_position_embeddings=256,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    ))


def llama_model():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=89, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=8, tie_word_embeddings=False,
        rope_parameters={"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, rms_norm_eps=1e-5,
        max_position_embeddings=256,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    ))


def qwen2_model():
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(
        vocab_size=83, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 20000.0}, rms_norm_eps=1e-6,
        max_position_embeddings=256, use_sliding_window=False,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    ))


def gemma3_text_model():
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(
        vocab_size=79, hidden_size=24, intermediate_size=36, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=12,
        sliding_window=5, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 20000.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}},
        rms_norm_eps=1e-6, max_position_embeddings=256,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    ))


def randomise(model, generator):
    """Matrices ~ N(0, 0.3); norm weights ~ 1 +- 0.2; biases ~ N(0, 0.1).

    Gemma stores norm weights less 1 and scales its embeddings up: these are
    smaller here, else every token is followed by itself, and its last norm is
    larger, so that its logits are as far apart as those of the others.
    """
    gemma = model.config.model_type == "gemma3_text"
    stored = lambda name: (3 if name == "model.norm.weight" else 0) if gemma else 1
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "logit_scale":
                parameter.copy_(torch.tensor(1.3) + 0 * noise)
            elif "norm" in name and name.endswith("weight"):
                uniform = torch.rand(parameter.shape, generator=generator)
                parameter.copy_(stored(name) + 0.4 * (uniform - 0.5))
            elif name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif gemma and name == "model.embed_tokens.weight":
                parameter.copy_(0.05 * noise)
            else:
                parameter.copy_(0.3 * noise)


def token_logps(model, input_ids, attention_mask):
    """[batch][time-1] log p(token t+1 | tokens <= t), 0 where token t+1 is padding."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
    logps = F.log_softmax(logits[:, :-1].to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)
    logps = logps.gather(-1, input_ids[:, 1:, None])[..., 0]
    return logps * attention_mask[:, 1:], logits


def make_language_model(family, build, seed):
    generator = torch.Generator().manual_seed(seed)
    model = build().eval()
    model.set_attn_implementation("eager")
    randomise(model, generator)
    folder = fresh(HERE / family)
    save_model(model, folder)
    vocab = model.config.vocab_size

    input_ids = torch.randint(2, vocab, (3, TIME), generator=generator)
    input_ids[0, 0] = 0
    attention_mask = torch.zeros(3, TIME, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        attention_mask[row, :length] = 1
        input_ids[row, length:] = PAD
    completion = attention_mask[:, 1:].clone()  # aligned with logps
    for row, prompt in enumerate(PROMPT_LENGTHS):
        completion[row, : prompt - 1] = 0

    golden = {
        "input_ids": input_ids.tolist(),
        "attention_mask": attention_mask.tolist(),
        "prompt_lengths": PROMPT_LENGTHS,
    }

    # Forward and full gradients
    logps, logits = token_logps(model, input_ids, attention_mask)
    sum_logps = (logps * completion).sum(dim=1)
    loss = -sum_logps.sum() / completion.sum()
    model.zero_grad()
    loss.backward()
    golden["logits"] = f32(logits[0])
    golden["logps"] = f32(logps)
    golden["sum_logps"] = f32(sum_logps)
    golden["full_grads"] = {
        "loss": f32(loss),
        "grads": grad_summary(model, load_file(folder / "model.safetensors")),
    }

    # Greedy decoding, and how clear-cut every choice is
    prompt = input_ids[:1, :4]
    with torch.no_grad():
        tokens = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
            max_new_tokens=NEW_TOKENS, eos_token_id=None, pad_token_id=PAD,
        )
        top = model(input_ids=tokens, use_cache=False).logits[0, 3:-1].topk(2, dim=-1)
    assert tokens.shape == (1, 4 + NEW_TOKENS) and torch.equal(top.indices[:, 0], tokens[0, 4:])
    margin = (top.values[:, 0] - top.values[:, 1]).min()
    golden["greedy"] = tokens[0, 4:].tolist()
    golden["greedy_margin"] = f32(margin)

    report = drift(model, input_ids, attention_mask, logits, logps)

    # LoRA
    torch.manual_seed(seed)
    lora = peft.get_peft_model(model, peft.LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules=TARGETS, task_type="CAUSAL_LM",
    )).eval()
    with torch.no_grad():
        for name, parameter in sorted(lora.named_parameters()):
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    adapter = folder / "adapter"
    lora.save_pretrained(adapter, safe_serialization=True, save_embedding_layers=False)
    (adapter / "README.md").unlink(missing_ok=True)
    (adapter / "adapter_model.safetensors").chmod(0o644)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["target_modules"] = sorted(config["target_modules"])  # written from an unordered set
    config["base_model_name_or_path"] = None
    (adapter / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    stored = load_file(adapter / "adapter_model.safetensors")

    lora_logps, _ = token_logps(lora, input_ids, attention_mask)
    with torch.no_grad(), lora.disable_adapter():
        reference, _ = token_logps(lora, input_ids, attention_mask)
    assert torch.equal(reference, logps)
    policy_sums = (lora_logps * completion).sum(dim=1)
    reference_sums = (reference * completion).sum(dim=1)
    dpo_losses = torch.stack([
        trl_dpo_loss("sigmoid", BETA, 0.0, policy_sums[c], policy_sums[r], reference_sums[c], reference_sums[r])
        for c, r in PAIRS
    ])
    lora.zero_grad()
    dpo_losses.mean().backward()
    grads = []
    for name, parameter in lora.named_parameters():
        if not parameter.requires_grad:
            continue
        name = name.replace(".default.", ".")
        assert torch.equal(stored.pop(name), parameter)
        grads.append({
            "name": name,
            "shape": list(parameter.shape),
            "norm": f32(parameter.grad.double().norm()),
            "grad": sig8(parameter.grad),
        })
    assert not stored
    golden["lora_logps"] = f32(lora_logps)
    golden["lora_sum_logps"] = f32(policy_sums)
    golden["lora_grads"] = {
        "beta": BETA,
        "pairs": PAIRS,
        "dpo_loss": f32(dpo_losses.mean()),
        "dpo_losses": f32(dpo_losses),
        "grads": grads,
    }
    write(folder / "golden.json", golden)
    print(f"{family}: logits in {logits[0].min():.2f}..{logits[0].max():.2f}, loss {loss:.4f}, "
          f"dpo {f32(dpo_losses)}, smallest greedy margin {margin:.4f}; {report}")


def drift(model, input_ids, attention_mask, logits, logps):
    """How far other ways of computing the same numbers land (informative)."""
    grads = [parameter.grad.clone() for parameter in model.parameters()]
    with torch.no_grad():
        model.set_attn_implementation("sdpa")
        _, other = token_logps(model, input_ids, attention_mask)
        model.set_attn_implementation("eager")
        # Row 0 only: in float64 padding that sees nothing is NaN.
        double_logps, double_logits = token_logps(model.double(), input_ids, attention_mask)
        model.float()
    for parameter, grad in zip(model.parameters(), grads):
        parameter.grad = grad
    return (f"sdpa logits differ by {(other[0] - logits[0]).abs().max():.1e}, "
            f"float64 logits by {(double_logits[0] - logits[0]).abs().max():.1e}, "
            f"float64 logps by {(double_logps[0] - logps[0]).abs().max():.1e}")


# --------------------------------------------------------------------------
# CLIP

EOS = 63
CLIP_TIME = 10


def make_clip(name, seed, text, vision, projection):
    generator = torch.Generator().manual_seed(seed)
    config = transformers.CLIPConfig(
        text_config=dict(
            vocab_size=64, max_position_embeddings=16, projection_dim=projection,
            bos_token_id=62, eos_token_id=EOS, pad_token_id=PAD, **text,
        ),
        vision_config=dict(projection_dim=projection, image_size=16, num_channels=3, **vision),
        projection_dim=projection,
    )
    model = transformers.CLIPModel(config).eval()
    model.set_attn_implementation("eager")
    randomise(model, generator)
    folder = fresh(HERE / name)
    save_model(model, folder)

    input_ids = torch.full((3, CLIP_TIME), PAD)
    attention_mask = torch.zeros(3, CLIP_TIME, dtype=torch.long)
    for row, length in enumerate([10, 7, 5]):
        input_ids[row, : length - 1] = torch.randint(2, 62, (length - 1,), generator=generator)
        input_ids[row, 0] = 62
        input_ids[row, length - 1] = EOS
        attention_mask[row, :length] = 1
    input_ids[0, 2] = 0
    pixel_values = torch.randn(3, 3, 16, 16, generator=generator)

    run = lambda: model(input_ids=input_ids, attention_mask=attention_mask,
                        pixel_values=pixel_values, return_loss=True)
    out = run()
    model.zero_grad()
    out.loss.backward()
    write(folder / "golden.json", {
        "input_ids": input_ids.tolist(),
        "attention_mask": attention_mask.tolist(),
        "pixel_values": f32(pixel_values.flatten(1)),
        "text_embeds": f32(out.text_embeds),
        "image_embeds": f32(out.image_embeds),
        "logits_per_image": f32(out.logits_per_image),
        "loss": f32(out.loss),
        "grads": grad_summary(model, load_file(folder / "model.safetensors")),
    })
    with torch.no_grad():
        bare = model(input_ids=input_ids, pixel_values=pixel_values)
        model.set_attn_implementation("sdpa")
        sdpa = run()
    print(f"{name}: loss {out.loss:.4f}, text embeddings without the mask differ by "
          f"{(bare.text_embeds - out.text_embeds).abs().max():.1e}, sdpa image embeddings by "
          f"{(sdpa.image_embeds - out.image_embeds).abs().max():.1e}")


def make_clips():
    make_clip(
        "clip", 31,
        text=dict(hidden_size=24, intermediate_size=32, num_hidden_layers=2,
                  num_attention_heads=2, hidden_act="quick_gelu"),
        vision=dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                    num_attention_heads=4, patch_size=4, hidden_act="quick_gelu"),
        projection=20,
    )
    make_clip(
        "clip-gelu", 32,
        text=dict(hidden_size=24, intermediate_size=32, num_hidden_layers=1,
                  num_attention_heads=3, hidden_act="gelu"),
        vision=dict(hidden_size=16, intermediate_size=40, num_hidden_layers=1,
                    num_attention_heads=2, patch_size=8, hidden_act="gelu"),
        projection=12,
    )


# --------------------------------------------------------------------------
# Optimiser, clipping, schedules


def adamw_case(weight_decay):
    parameters = [0.5, -1.25, 2.0, 0.0, -0.75, 0.125, 3.5]
    gradients = [
        [0.1, -0.2, 0.3, 0.05, -1.5, 0.0, 4.0],
        [-0.3, -0.1, 0.25, 0.05, 2.0, 0.001, -3.0],
        [0.2, 0.4, -0.6, 0.05, 0.5, -0.002, 0.5],
    ]
    options = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    parameter = torch.nn.Parameter(torch.tensor(parameters, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], **options)
    after = []
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        after.append(f64(parameter))
    return {**options, "parameters": parameters, "gradients": gradients, "after": after}


def clip_case(gradients, max_norm):
    parameters = [torch.nn.Parameter(torch.zeros(len(g), dtype=torch.float64)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return {
        "max_norm": max_norm,
        "gradients": gradients,
        "total_norm": norm.item(),
        "clipped": [f64(parameter.grad) for parameter in parameters],
    }


def multipliers(make_schedule, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])  # what this step uses
        optimizer.step()
        schedule.step()
    return values


def make_adamw():
    warmup, total = 10, 50
    write(HERE / "adamw.json", {
        "adamw": [adamw_case(0.1), adamw_case(0.0)],
        "clip_grad_norm": [
            clip_case([[3.0, -4.0, 0.5], [1.0, 2.0, -2.5, 0.25]], 1.0),
            clip_case([[0.3, -0.4], [0.1, 0.2, 0.0]], 1.0),
        ],
        "schedules": {
            "warmup_steps": warmup,
            "total_steps": total,
            "cosine": multipliers(
                lambda o: transformers.get_cosine_schedule_with_warmup(o, warmup, total), total),
            "constant": multipliers(
                lambda o: transformers.get_constant_schedule_with_warmup(o, warmup), total),
        },
    })


# --------------------------------------------------------------------------
# Sampling


def make_sampling():
    logits = [1.0, 0.5, 2.5, 0.25, 0.0, -0.5, 2.75, 1.1, -0.3, 0.9, 2.25, 0.75]
    input_ids = [2, 5, 5]
    build = {
        "repetition_penalty": lambda v: RepetitionPenaltyLogitsProcessor(penalty=v),
        "temperature": lambda v: TemperatureLogitsWarper(v),
        "top_k": lambda v: TopKLogitsWarper(v),
        "top_p": lambda v: TopPLogitsWarper(v),
        "min_p": lambda v: MinPLogitsWarper(v),
    }
    cases = []
    for options in (
        {},
        {"temperature": 0.7},
        {"top_k": 4},
        {"top_p": 0.8},
        {"min_p": 0.2},
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 1.2, "temperature": 0.8, "top_k": 8, "top_p": 0.9, "min_p": 0.05},
    ):
        chain = LogitsProcessorList(build[name](value) for name, value in options.items())
        scores = chain(torch.tensor([input_ids]), torch.tensor([logits], dtype=torch.float64))
        cases.append({"options": options, "probabilities": f64(scores.softmax(dim=-1)[0])})
    write(HERE / "sampling.json", {"logits": logits, "input_ids": input_ids, "cases": cases})


# --------------------------------------------------------------------------


def make_resize():
    """Pillow's resampling, exact bytes. The picture is RGBA, opaque, of a formula that the test repeats."""
    width, height = 37, 29
    i = np.arange(width * height * 4)
    rgba = np.where(i % 4 == 3, 255, (i * i * 31 + i * 7919) % 251).astype(np.uint8).reshape(height, width, 4)
    picture = Image.fromarray(rgba, "RGBA")
    cases = []
    for name in ("box", "bilinear", "bicubic", "lanczos"):
        for to in ((12, 9), (37, 8), (5, 29), (50, 41)):
            out = np.asarray(picture.resize(to, getattr(Image.Resampling, name.upper())))
            cases.append({"filter": name, "width": to[0], "height": to[1], "rgba": base64.b64encode(out.tobytes()).decode()})
    write(HERE / "resize.json", {"width": width, "height": height, "cases": cases})


# --------------------------------------------------------------------------
# Scorers: SigLIP, PickScore, DINOv2, and how pictures are prepared for them


def formula_picture(n, side):
    """An opaque RGB picture of a formula that the tests repeat on RGBA: channel 3 is what alpha would have been."""
    i = np.arange(side * side * 4, dtype=np.int64).reshape(side, side, 4)
    return Image.fromarray(((i * i * 31 + i * 7919 + n * 104729) // 7 % 251).astype(np.uint8)[..., :3], "RGB")


TEXTS = [
    "a red circle",
    "A Blue square, and a red circle!",
    "",
    "a circle in a square in a circle in a square in a circle in a square in a circle in a square",
    "red   caf\u00e9 (blue)",
]
WORDS = ["a", "and", "blue", "circle", "in", "red", "square"]


def write_json(path, data):
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def save_preprocessor(processor, folder):
    config = {key: value for key, value in processor.to_dict().items() if value is not None}
    write_json(folder / "preprocessor_config.json", config)


def merges_of(words, start, end=""):
    """Merges that build each word from the left, symbol by symbol, shortest first."""
    merges = []
    for word in words:
        symbols = list(start + word)
        symbols[-1] += end
        left = symbols[0]
        for symbol in symbols[1:]:
            if (left, symbol) not in merges:
                merges.append((left, symbol))
            left += symbol
    return sorted(merges, key=lambda merge: (len(merge[0]), merge))


def siglip_tokenizer(folder):
    """A sentencepiece model read by transformers' own SiglipTokenizer, and the same pieces as a tokenizer.json."""
    corpus = [" ".join(WORDS[(n * k + n // 3) % len(WORDS)] for k in range(1, 6)) for n in range(60)]
    corpus += list("abcdefghijklmnopqrstuvwxyz0123456789")
    model = folder / "spiece.model"
    with model.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus), model_writer=file, model_type="unigram", vocab_size=50,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="identity", num_threads=1,
            character_coverage=1.0, minloglevel=2)
    reference = SiglipTokenizer(str(model), model_max_length=16)
    pieces = [(reference.sp_model.id_to_piece(n), reference.sp_model.get_score(n)) for n in range(len(reference))]
    model.unlink()
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "SiglipTokenizer", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>",
        "do_lower_case": True, "model_max_length": 16,
    })

    def encode(text, length):
        return reference(text, padding="max_length", truncation=True, max_length=length)["input_ids"]

    return len(pieces), encode


def siglip2_tokenizer(folder):
    """Byte-fallback BPE like Gemma's, written as published: nothing in it lower-cases. Siglip2Tokenizer does."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    merges = merges_of(WORDS, "") + [("\u2581", word) for word in WORDS]
    tokens = special + [f"<0x{n:02X}>" for n in range(256)] + ["\u2581"] + list("abcdefghijklmnopqrstuvwxyz,!")
    tokens += sorted({left + right for left, right in merges}, key=lambda token: (len(token), token))
    vocab = {token: n for n, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(
        vocab=vocab, merges=merges, fuse_unk=True, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "GemmaTokenizer", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
        "unk_token": "<unk>", "add_bos_token": False, "add_eos_token": True, "padding_side": "right",
    })
    reference = transformers.Siglip2Tokenizer(vocab=vocab, merges=merges, padding_side="right")
    reference._tokenizer.post_processor = tokenizer.post_processor

    def encode(text, length):
        return reference(text, padding="max_length", truncation=True, max_length=length)["input_ids"]

    return len(vocab), encode


def make_siglip(name, seed, make_tokenizer, processor, text, vision):
    generator = torch.Generator().manual_seed(seed)
    folder = fresh(HERE / name)
    vocab, encode = make_tokenizer(folder)
    config = transformers.SiglipConfig(
        text_config=dict(vocab_size=vocab, max_position_embeddings=16, bos_token_id=2, eos_token_id=1, **text),
        vision_config=vision,
    )
    model = transformers.SiglipModel(config).eval()
    model.set_attn_implementation("eager")
    randomise(model, generator)
    save_model(model, folder)
    save_preprocessor(processor, folder)
    pixel_values = torch.tensor(np.stack(processor([formula_picture(n, 29) for n in range(3)])["pixel_values"]))
    input_ids = torch.tensor([encode(text, 16) for text in TEXTS])
    with torch.no_grad():
        out = model(input_ids=input_ids, pixel_values=pixel_values)
    write(folder / "golden.json", {
        "picture": 29,
        "texts": TEXTS,
        "input_ids": input_ids.tolist(),
        "pixel_values": f32(pixel_values.flatten(1)),
        "text_embeds": f32(out.text_embeds),
        "image_embeds": f32(out.image_embeds),
        "logits_per_text": f32(out.logits_per_text),
    })
    print(f"{name}: logits {out.logits_per_text.min():.3f}..{out.logits_per_text.max():.3f}")


def make_pickscore():
    """A CLIPModel with the config of PickScore_v1's time (eos_token_id 2), scored as its model card does."""
    generator = torch.Generator().manual_seed(51)
    folder = fresh(HERE / "pickscore")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,!()"
    merges = merges_of(WORDS, "", "</w>")
    tokens = list(letters) + [letter + "</w>" for letter in letters] + [left + right for left, right in merges]
    tokens = list(dict.fromkeys(tokens)) + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: n for n, token in enumerate(tokens)}
    tokenizer = transformers.CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        if path.name not in ("tokenizer.json", "tokenizer_config.json"):
            path.unlink()
    config = transformers.CLIPConfig(
        text_config=dict(
            vocab_size=len(vocab), hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=3,
            max_position_embeddings=16, hidden_act="gelu", bos_token_id=0, eos_token_id=2, pad_token_id=1,
        ),
        vision_config=dict(
            hidden_size=16, intermediate_size=40, num_hidden_layers=1, num_attention_heads=2, image_size=16,
            patch_size=4, hidden_act="gelu",
        ),
        projection_dim=12,
    )
    model = transformers.CLIPModel(config).eval()
    model.set_attn_implementation("eager")
    randomise(model, generator)
    save_model(model, folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    save_preprocessor(processor, folder)
    pixel_values = torch.tensor(np.stack(processor([formula_picture(n, 29) for n in range(3)])["pixel_values"]))
    rows, texts, scores = [], [], []
    with torch.no_grad():
        images = model.get_image_features(pixel_values=pixel_values).pooler_output
        images = images / images.norm(dim=-1, keepdim=True)
        for text in TEXTS:
            ids = tokenizer(text, padding=True, truncation=True, max_length=16, return_tensors="pt")
            embedding = model.get_text_features(**ids).pooler_output
            embedding = embedding / embedding.norm(dim=-1, keepdim=True)
            rows.append(ids["input_ids"][0].tolist())
            texts.append(embedding[0])
            scores.append((model.logit_scale.exp() * (embedding @ images.T))[0])
    scores = torch.stack(scores)
    write(folder / "golden.json", {
        "picture": 29,
        "texts": TEXTS,
        "input_ids": rows,
        "pixel_values": f32(pixel_values.flatten(1)),
        "text_embeds": f32(torch.stack(texts)),
        "image_embeds": f32(images),
        "logits_per_text": f32(scores),
        "probabilities": f32(torch.softmax(scores[:, :2], dim=-1)),
    })
    print(f"pickscore: scores {scores.min():.3f}..{scores.max():.3f}")


def make_dinov2(name, seed, crop, **config):
    generator = torch.Generator().manual_seed(seed)
    model = transformers.Dinov2Model(transformers.Dinov2Config(**config)).eval()
    model.set_attn_implementation("eager")
    randomise(model, generator)
    folder = fresh(HERE / name)
    save_model(model, folder)
    processor = BitImageProcessorPil(
        size={"shortest_edge": crop + 4}, crop_size={"height": crop, "width": crop},
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )
    save_preprocessor(processor, folder)
    pixel_values = torch.tensor(np.stack(processor([formula_picture(n, 29) for n in range(3)])["pixel_values"]))
    with torch.no_grad():
        states = model(pixel_values=pixel_values).last_hidden_state[:, 0]
    cosines = F.cosine_similarity(states[:, None], states[None], dim=-1)
    write(folder / "golden.json", {
        "picture": 29,
        "pixel_values": f32(pixel_values.flatten(1)),
        "class_tokens": f32(states),
        "cosines": f32(cosines),
    })
    print(f"{name}: cosines {cosines.min():.3f}..{cosines.max():.3f}")


def make_scorers():
    small = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    make_siglip(
        "siglip", 41, siglip_tokenizer,
        SiglipImageProcessorPil(size={"height": 16, "width": 16}), small, dict(image_size=16, patch_size=4, **small))
    # A side that patches do not fill, as in siglip-so400m-patch14-384.
    make_siglip(
        "siglip2", 42, siglip2_tokenizer,
        SiglipImageProcessorPil(size={"height": 18, "width": 18}, resample=2), dict(small, num_hidden_layers=1),
        dict(image_size=18, patch_size=4, **small))
    make_pickscore()
    shape = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, mlp_ratio=2, patch_size=4)
    make_dinov2("dinov2", 61, 20, image_size=28, **shape)
    make_dinov2("dinov2-swiglu", 62, 20, image_size=12, use_swiglu_ffn=True, **shape)


def make_preprocessing():
    """pixel_values of the image processors (Pillow's), each setting that a preprocessor_config.json may have."""
    picture = formula_picture(0, 23)
    cases = []
    for kind, options in (
        (CLIPImageProcessorPil, dict(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})),
        (CLIPImageProcessorPil, dict(size={"shortest_edge": 11}, crop_size={"height": 8, "width": 8}, resample=1)),
        (CLIPImageProcessorPil, dict(size=9, crop_size=12, resample=4)),  # the crop is larger: black around it
        (CLIPImageProcessorPil, dict(size={"shortest_edge": 23}, do_center_crop=False, resample=3)),
        (CLIPImageProcessorPil, dict(size=8, crop_size=8, do_rescale=False, do_normalize=False)),
        (SiglipImageProcessorPil, dict(size={"height": 10, "width": 10})),
        (SiglipImageProcessorPil, dict(size={"height": 30, "width": 30}, resample=2, rescale_factor=1 / 127.5)),
        (BitImageProcessorPil, dict(size={"shortest_edge": 13}, crop_size={"height": 10, "width": 10},
                                    image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])),
    ):
        processor = kind(**options)
        config = {key: value for key, value in processor.to_dict().items() if value is not None}
        pixels = np.asarray(processor(picture)["pixel_values"])[0]
        cases.append({"config": {**config, **{key: options[key] for key in ("size", "crop_size") if key in options}},
                      "side": pixels.shape[-1], "pixel_values": f32(pixels.astype(np.float32).flatten())})
    write(HERE / "preprocessing.json", {"picture": 23, "cases": cases})


# --------------------------------------------------------------------------


def main():
    print(f"python {platform.python_version()}, torch {torch.__version__}, "
          f"transformers {transformers.__version__}, peft {peft.__version__}, "
          f"trl {trl.__version__}, numpy {np.__version__}, pillow {PIL.__version__}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    make_language_model("qwen3", qwen3_model, 58)
    make_language_model("llama", llama_model, 63)
    make_language_model("qwen2", qwen2_model, 40)
    make_language_model("gemma3_text", gemma3_text_model, 61)
    make_clips()
    make_losses()
    make_adamw()
    make_sampling()
    make_resize()
    make_scorers()
    make_preprocessing()
    files = sorted(path for path in HERE.rglob("*") if path.is_file() and path.name != "make.py")
    for path in files:
        print(f"{path.stat().st_size:8d} {path.relative_to(HERE)}")
    print(f"{sum(path.stat().st_size for path in files):8d} in all")


if __name__ == "__main__":
    main()
