/** README.md of what is pushed without one: a card with the Hub's front matter. */
import type { DecoderConfig } from "../../engine/nets/transformer.ts"
import { parameterCount } from "../../engine/training/memory.ts"

export interface CardOptions {
  /** On the Hub. */
  readonly name: string
  /** The Hub's name of a licence; undefined says nothing. */
  readonly license: string | undefined
  /** The model on the Hub that it was made from. */
  readonly base: string | undefined
}

type Field = readonly [name: string, value: string | ReadonlyArray<string> | undefined]

const frontMatter = (fields: ReadonlyArray<Field>): string =>
  `---\n${
    fields.flatMap(([name, value]) =>
      value === undefined ? [] : [typeof value === "string" ? `${name}: ${value}\n` : `${name}:\n${value.map((item) => `- ${item}\n`).join("")}`]
    ).join("")
  }---\n`

const titleOf = (name: string): string => name.split("/")[1]!

const baseLine = (base: string | undefined): string => base === undefined ? "" : `Made from [${base}](https://huggingface.co/${base}). `

const inMillions = (n: number): string => `${(n / 1e6).toFixed(n < 1e8 ? 1 : 0)} million`

/** Which forms of the weights are there. */
export interface ModelForms {
  readonly safetensors: boolean
  /** Names of GGUF files. */
  readonly gguf: ReadonlyArray<string>
  readonly onnx: boolean
}

export const pushedModelCard = ({ base, license, name }: CardOptions, config: DecoderConfig | undefined, forms: ModelForms): string => {
  const library = forms.safetensors ? "transformers" : forms.onnx ? "transformers.js" : "gguf"
  const uses = [
    ...forms.safetensors ? [`\`\`\`python
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained("${name}"), AutoTokenizer.from_pretrained("${name}")
\`\`\``] : [],
    ...forms.onnx ? [`\`\`\`js
import { pipeline } from "@huggingface/transformers"
const draw = await pipeline("text-generation", "${name}")
\`\`\``] : [],
    ...forms.gguf.map((file) => `\`\`\`sh
llama-server --hf-repo ${name} --hf-file ${file}
\`\`\``)
  ]
  return `${
    frontMatter([
      ["license", license],
      ["base_model", base],
      ["library_name", library],
      ["pipeline_tag", "text-generation"],
      ["tags", ["svg", "vequinox"]]
    ])
  }
# ${titleOf(name)}

Draws SVG pictures of what a text says. ${baseLine(base)}${
    config === undefined ? "" : `A ${config.family} of ${inMillions(parameterCount(config))} parameters in ${config.layers} layers, for up to ${config.maxPositions} tokens. `
  }Written by vequinox.

It is taught to go on where an answer begins: give it the opened tag, such as \`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">\`, as
the beginning of the assistant's message.

${uses.join("\n\n")}
`
}

/** What the rows of a dataset come to. */
export interface PreferenceFacts {
  readonly rows: number
  readonly prompts: number
  /** Names of all columns, in order. */
  readonly columns: ReadonlyArray<string>
  /** Who decided, if the rows say. */
  readonly judges: ReadonlyArray<string>
}

const columnMeanings: Readonly<Record<string, string>> = {
  prompt: "what was to be drawn, as messages or text",
  chosen: "the drawing that was preferred, SVG",
  rejected: "the other drawing of the same prompt",
  step: "step of the run in which they were drawn",
  policy_version: "how often the policy had been updated then",
  judge: "who decided",
  confidence: "how sure the judge was, from 0 to 1",
  label: "probability that `chosen` is the better one, as it was trained",
  weight: "how much the pair counted in training"
}

const sizeCategory = (rows: number): string =>
  rows < 1e3 ? "n<1K" : rows < 1e4 ? "1K<n<10K" : rows < 1e5 ? "10K<n<100K" : rows < 1e6 ? "100K<n<1M" : "1M<n<10M"

/** @param file of the rows, in the repository */
export const datasetCard = ({ base, license, name }: CardOptions, file: string, { columns, judges, prompts, rows }: PreferenceFacts): string =>
  `${
    frontMatter([
      ["license", license],
      ["task_categories", ["text-generation"]],
      ["size_categories", [sizeCategory(rows)]],
      ["tags", ["preference", "svg", "trl", "vequinox"]],
      ["configs", [`config_name: default\n  data_files: ${file}`]]
    ])
  }
# ${titleOf(name)}

${rows} preferences between two SVG drawings of the same prompt, of ${prompts} different prompts, as TRL reads them${
    judges.length === 0 ? "" : `; decided by ${judges.join(", ")}`
  }. ${base === undefined ? "" : `Drawn by policies made from [${base}](https://huggingface.co/${base}). `}Written by vequinox.

| column | what |
|---|---|
${columns.map((column) => `| \`${column}\` | ${columnMeanings[column] ?? ""} |`).join("\n")}

\`\`\`python
from datasets import load_dataset
pairs = load_dataset("${name}", split="train")
\`\`\`
`
