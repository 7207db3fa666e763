"""The peer of our trainer: one DPO step of torch, transformers and peft on the CPU, on the Qwen3-0.6B shape.

Random weights, LoRA r 16 on all linear layers, one pair of two sequences of `--length` tokens, 64 of them prompt: what
bench/trainer.ts times. A step is the reference's forward pass (adapter off), the policy's forward and backward pass,
clipping and AdamW. Two ways:

- `plain`: by hand, with logits at completion positions only, as ours;
- `trl`: trl.DPOTrainer as it stands. On a CPU it makes the logits of every position, of the prompt too, in chunks of the
  vocabulary, and makes them again in the backward pass.

Prints one JSON line: seconds a step (median of 5 after one to warm up), the cores that other processes used meanwhile,
and the peak of the resident memory. Never part of the product; see README.md beside this file.
"""

import argparse
import json
import os
import random
import resource
import statistics
import time

import peft
import torch
import transformers
import trl

PROMPT = 64
STEPS = 5
TOLERATED = 0.1  # cores that others may use in an undisturbed step


def build(dtype: torch.dtype, layers: int) -> transformers.Qwen3ForCausalLM:
    config = transformers.Qwen3Config(
        vocab_size=151_936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        max_position_embeddings=40_960,
        attn_implementation="sdpa",
    )
    return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)


def adapter() -> peft.LoraConfig:
    # all linear layers but the output
    linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=linear, task_type="CAUSAL_LM")


def idle() -> float:
    """Seconds for which cores idled, all together since the machine started. Linux only."""
    with open("/proc/stat") as file:
        return int(file.readline().split()[4]) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Seconds of each step, and the cores that neither idled nor worked for this process meanwhile.

    Other work on the machine hurts out of proportion, as threads wait for one another: the steps that count are the
    first five undisturbed ones, or after `attempts` the five least disturbed. The step to warm up never counts.
    """

    def __init__(self, attempts: int, patience: float):
        self.attempts, self.patience = attempts, patience
        self.steps = []

    def start(self):
        self.at = time.perf_counter(), idle(), time.process_time()

    def stop(self):
        start, idled, worked = self.at
        seconds = time.perf_counter() - start
        used = idle() - idled + time.process_time() - worked
        self.steps.append((max(0.0, os.cpu_count() - used / seconds), seconds))

    def wait(self):
        """Until the machine is quiet for a second, at most as long as patience lasts."""
        until = time.perf_counter() + self.patience
        while time.perf_counter() < until:
            idled = idle()
            time.sleep(1)
            if os.cpu_count() - (idle() - idled) < 1.5 * TOLERATED:
                return

    def counted(self):
        return sorted(self.steps[1:])[:STEPS]

    def enough(self) -> bool:
        undisturbed = [others for others, _ in self.counted() if others < TOLERATED]
        return len(undisturbed) == STEPS or len(self.steps) > self.attempts


def plain(model, length: int, checkpointing: bool, watch: Watch) -> None:
    model = peft.get_peft_model(model, adapter())
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4)
    base = model.get_base_model()
    ids = torch.randint(0, 1000, (2, length))
    labels = ids[:, PROMPT:]

    def logps() -> torch.Tensor:
        hidden = base.model(input_ids=ids, use_cache=False).last_hidden_state[:, PROMPT - 1 : -1]
        logits = base.lm_head(hidden).float()
        picked = logits.gather(-1, labels[..., None])[..., 0] - logits.logsumexp(-1)
        return picked.sum(-1)

    while not watch.enough():
        watch.wait()
        watch.start()
        with torch.no_grad(), model.disable_adapter():
            reference = logps()
        chosen, rejected = logps() - reference
        loss = -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        watch.stop()


def by_trl(model, length: int, checkpointing: bool, watch: Watch) -> None:
    import datasets
    import tempfile
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({str(n): n for n in range(1000)}, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<eos>")

    def text(n: int) -> str:
        return " ".join(str(random.randrange(1000)) for _ in range(n))

    # The end-of-sequence token is the completion's last.
    row = {"prompt": text(PROMPT), **{key: " " + text(length - PROMPT - 1) for key in ("chosen", "rejected")}}

    class Steps(transformers.TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            watch.wait()
            watch.start()

        def on_step_end(self, args, state, control, **kwargs):
            watch.stop()
            control.should_training_stop = watch.enough()

    with tempfile.TemporaryDirectory() as folder:
        arguments = trl.DPOConfig(
            folder,
            use_cpu=True,
            bf16=model.dtype == torch.bfloat16,
            gradient_checkpointing=checkpointing,
            per_device_train_batch_size=1,
            max_steps=watch.attempts + 1,
            max_length=length,
            learning_rate=1e-4,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = trl.DPOTrainer(
            model,
            args=arguments,
            train_dataset=datasets.Dataset.from_list([row] * (watch.attempts + 1)),
            processing_class=tokenizer,
            peft_config=adapter(),
            callbacks=[Steps()],
        )
        shape = next(iter(trainer.get_train_dataloader()))["input_ids"].shape
        assert tuple(shape) == (2, length), shape
        trainer.train()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=["plain", "trl"], default="plain")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the frozen weights")
    parser.add_argument("--length", type=int, default=256, help="tokens a sequence, prompt included")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--attempts", type=int, default=10, help="steps at most, after the one to warm up")
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait for a quiet machine before a step")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    watch = Watch(options.attempts, options.patience)
    run = plain if options.way == "plain" else by_trl
    run(build(getattr(torch, options.dtype), options.layers), options.length, options.checkpointing, watch)
    others, seconds = zip(*watch.counted())
    versions = {module.__name__: module.__version__ for module in (torch, transformers, peft, trl)}
    print(json.dumps({
        **vars(options),
        "secondsAStep": round(statistics.median(seconds), 2),
        "seconds": [round(s, 2) for s in seconds],
        "coresUsedByOthers": [round(n, 2) for n in others],
        "peakRssGigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        **versions,
    }))


main()
