"""TRL's own online DPO on a policy and a judge of ours: the peer of `pnpm run bench learn`, which starts it.

trl.OnlineDPOTrainer as it stands: two completions a prompt at temperature 0.9, beta 0.1, sigmoid loss, AdamW with a linear
schedule. Ours are the policy, the prompts, the judge (judge-server.ts, which renders and judges) and the limits on
lengths. Checkpoints are PEFT folders, or whole weights with `--rank 0`. It goes on from the newest checkpoint in `--out`.

Never part of the product; see README.md beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import datasets
import peft
import torch
import transformers
import trl

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--prompts", required=True, help='JSON: {"prefill", "rows": [{"text", "prompt"}]}, the prompt with template and prefill')
parser.add_argument("--out", required=True)
parser.add_argument("--node", required=True)
parser.add_argument("--server", required=True)
parser.add_argument("--judge", required=True)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--every", type=int, required=True, help="steps between checkpoints")
parser.add_argument("--batch", type=int, required=True, help="prompts a step")
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--rank", type=int, required=True, help="of LoRA; 0 trains every parameter")
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--max-new-tokens", type=int, required=True)
parser.add_argument("--max-length", type=int, required=True)
o = parser.parse_args()

torch.set_num_threads(1)
with open(o.prompts) as file:
    given = json.load(file)
texts = {row["prompt"]: row["text"] for row in given["rows"]}


class Judge(trl.BasePairwiseJudge):
    """Asks a process of ours. The two completions of a prompt are exchangeable, so their order needs no shuffling."""

    def __init__(self):
        self.seconds = 0.0
        self.child = subprocess.Popen([o.node, o.server, o.judge, str(o.seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def judge(self, prompts, completions, shuffle_order=True):
        start = time.perf_counter()
        for prompt, (a, b) in zip(prompts, completions, strict=True):
            line = {"prompt": texts[prompt], "a": given["prefill"] + a, "b": given["prefill"] + b}
            self.child.stdin.write(json.dumps(line) + "\n")
        self.child.stdin.flush()
        answers = [self.child.stdout.readline() for _ in prompts]
        if "" in answers:
            sys.exit("The judge's process ended: see its message above.")
        self.seconds += time.perf_counter() - start
        return [int(answer) for answer in answers]


class Told(transformers.TrainerCallback):
    """Says how far it is, and writes down how long training took, over all starts."""

    def __init__(self, judge):
        self.judge = judge
        self.said = self.start = time.perf_counter()
        self.file = os.path.join(o.out, "seconds.json")
        self.before = json.load(open(self.file)) if os.path.exists(self.file) else {"seconds": 0.0, "judge": 0.0}

    def on_train_begin(self, args, state, control, **kwargs):
        self.start, self.first = time.perf_counter(), state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        now = time.perf_counter()
        if now - self.said < 10 and state.global_step < state.max_steps:
            return
        self.said = now
        rate = (state.global_step - self.first) / (now - self.start)
        left = (state.max_steps - state.global_step) / rate
        print(f"step {state.global_step}/{state.max_steps}  {1 / rate:.1f} s a step, {left:.0f}s left", file=sys.stderr)

    def on_save(self, args, state, control, **kwargs):
        seconds = self.before["seconds"] + time.perf_counter() - self.start
        with open(self.file + ".part", "w") as file:
            json.dump({"seconds": seconds, "judge": self.before["judge"] + self.judge.seconds, "step": state.global_step}, file)
        os.replace(self.file + ".part", self.file)


os.makedirs(o.out, exist_ok=True)
tokenizer = transformers.AutoTokenizer.from_pretrained(o.model)
model = transformers.AutoModelForCausalLM.from_pretrained(o.model, dtype=torch.float32)
linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
judge = Judge()
trainer = trl.OnlineDPOTrainer(
    model=model,
    judge=judge,
    processing_class=tokenizer,
    train_dataset=datasets.Dataset.from_list([{"prompt": row["prompt"]} for row in given["rows"]]),
    peft_config=None if o.rank == 0 else peft.LoraConfig(r=o.rank, lora_alpha=2 * o.rank, target_modules=linear, task_type="CAUSAL_LM"),
    callbacks=[Told(judge)],
    args=trl.OnlineDPOConfig(
        o.out,
        learning_rate=o.rate,
        per_device_train_batch_size=o.batch,
        max_steps=o.steps,
        save_steps=o.every,
        max_new_tokens=o.max_new_tokens,
        max_length=o.max_length,
        seed=o.seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        logging_steps=10,
    ),
)
begun = any(name.startswith("checkpoint-") for name in os.listdir(o.out))
trainer.train(resume_from_checkpoint=begun or None)
judge.child.stdin.close()
judge.child.wait()
