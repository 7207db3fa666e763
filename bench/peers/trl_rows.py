"""The tokens that TRL trains, from a file of rows.

    python bench/peers/trl_rows.py versions
    python bench/peers/trl_rows.py MODEL FOLDER     # FOLDER holds train.jsonl

Makes `trl.DPOTrainer` as `trl dpo` does and prints what its dataset and its collator hold: of each row the tokens of
prompt, chosen and rejected, and which of them the mask trains. One JSON line. Never part of the product; see README.md
beside this file.
"""

import json
import sys
import tempfile

import datasets
import peft
import ray
import torch
import transformers
import trl


def rows(model: str, folder: str) -> list:
    with tempfile.TemporaryDirectory() as out:
        trainer = trl.DPOTrainer(
            model=model,
            args=trl.DPOConfig(output_dir=out, bf16=False, report_to="none", max_length=None, model_init_kwargs={"dtype": "float32"}),
            train_dataset=datasets.load_dataset(folder)["train"],
            peft_config=peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        )
        found = []
        for row in trainer.train_dataset:
            batch = trainer.data_collator([row])
            trained = [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["completion_mask"])]
            found.append([row["prompt_ids"], row["chosen_ids"], row["rejected_ids"], *trained])
        return found


if sys.argv[1] == "versions":
    print(json.dumps({m.__name__: m.__version__ for m in (trl, transformers, peft, torch, ray, datasets)}))
else:
    print(json.dumps(rows(*sys.argv[1:])))
