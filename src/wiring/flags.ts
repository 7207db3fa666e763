/** Flags that several subcommands share, each with its description, range and default in one place. */

import { Flag } from "effect/cli"
import { samplerPrecisions } from "../engine/weights/quantization.ts"
import { embedded } from "../system/installed.ts"
import { defaultFormat } from "../model/tokenizer/tokenizer.ts"
import { int } from "../system/ranges.ts"
import { numberFlag, numberSetting, trlNamed } from "./setting-flags.ts"
import { settings } from "./settings.ts"

export const model = Flag.String("model").pipe(
  Flag.withAlias("m"),
  trlNamed("model"),
  Flag.withDescription("policy: a Hugging Face checkpoint folder, or a model of the Hub as owner/name (default: the embedded one)"),
  Flag.withDefault(embedded("policy"))
)
export const revision = Flag.String("revision").pipe(
  trlNamed("revision"),
  Flag.withDescription("branch, tag or commit of a model of the Hub (default: main)"),
  Flag.withDefault("")
)
export const seed = numberSetting("seed", 0)
export const device = Flag.Literals("device", ["auto", "cpu", "webgpu", "cuda"]).pipe(
  Flag.withDescription("where sessions run; auto takes a GPU where one answers and the model is large enough"),
  Flag.withDefault("auto")
)
export const threads = numberSetting("threads", 0)
export const json = Flag.Boolean("json").pipe(Flag.withDescription("results as JSON lines on stdout"), Flag.withDefault(false))
/** A count, from 1, that is no run setting. */
export const count = (name: string, most: number) => numberFlag(name, int(1, most))
/** A folder that the command fills. */
export const out = Flag.String("out").pipe(trlNamed("out"))

export const adapter = Flag.String("adapter").pipe(
  Flag.withDescription("PEFT adapter folder to put on the policy"),
  Flag.optional
)

export const guideModel = Flag.String("guide-model").pipe(
  Flag.withDescription("requirements: the guide model's name; empty takes the default, if there is one"),
  Flag.withDefault("")
)

const prefill = Flag.String("prefill").pipe(Flag.withDescription("how the answer begins; never trained"), Flag.withDefault(defaultFormat.prefill))
const promptTemplate = Flag.String("prompt-template").pipe(
  Flag.withDescription("user message; {prompt} stands for the prompt"),
  Flag.withDefault(defaultFormat.promptTemplate)
)
const systemPrompt = Flag.String("system-prompt").pipe(
  Flag.withDescription("system message; none when empty"),
  Flag.withDefault(defaultFormat.systemPrompt)
)
/** How a prompt is put to the policy. What was taught in one form is asked in the same. */
export const promptForm = { prefill, promptTemplate, systemPrompt }

export const samplerPrecision = Flag.Literals("sampler-precision", ["auto", ...samplerPrecisions]).pipe(
  Flag.withDescription(settings.sampler_precision[1]),
  Flag.withDefault("auto")
)
