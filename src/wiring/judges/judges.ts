/**
 * The judges that --judge names, one row each: its phrase for people, its layer, the size it judges best at and, if it is
 * paid, how much it asks. --help and the table of docs/judges.md come from here (node test/support/docs-tables.ts writes it).
 */
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import { Effect, Layer } from "effect"
import { makePairJudge } from "../../../layers/guide/pair-judge.ts"
import { readRequirements } from "../../../layers/guide/requirements.ts"
import * as judgeCascade from "../../../layers/judge/cascade.ts"
import * as judgeChecklist from "../../../layers/judge/checklist.ts"
import * as judgeCoin from "../../../layers/judge/coin.ts"
import * as judgeDefects from "../../../layers/judge/defects.ts"
import * as judgeDino from "../../../layers/judge/dino.ts"
import * as judgeHuman from "../../../layers/judge/human.ts"
import * as judgeLikeness from "../../../layers/judge/likeness.ts"
import * as judgeList from "../../../layers/judge/list.ts"
import { Judge } from "../../stages/Judge.ts"
import { BadInput } from "../../system/errors.ts"
import { embedded } from "../../system/installed.ts"
import { blendRow } from "./blend.ts"
import { answersLayer } from "./guide-model.ts"
import { fixedSize, folderOf, guided, type JudgeRow, type JudgeSettings, ownSize, ownSizeOr, scored } from "./judge-row.ts"

const clip = scored("clip", {
  says: "the scores of the embedded CLIP, or of the one in `--judge-model`",
  embedded: embedded("clip"),
  margin: true,
  size: ownSizeOr(embedded("clip"))
})

/**
 * A guide model that sees pairs, in each order.
 * @param of the settings of that model
 */
const pairs = (name: "claude" | "openai", says: string, of: (settings: JudgeSettings) => JudgeSettings = (settings) => ({ ...settings, guide: name })) =>
  guided({
    says,
    of,
    judge: ({ judge_orders }) => Effect.succeed(Layer.effect(Judge, makePairJudge({ name, orders: judge_orders }))),
    estimate: ({ judge_orders }, { pairs }) => ({ calls: pairs * judge_orders, use: { inputTokens: 1200, outputTokens: 250 } })
  })

/**
 * Whether, in a cascade, --judge-model belongs to clip: yes if the guide model has a default, else it names the guide
 * model.
 */
const clipsOwn = ({ guide }: JudgeSettings): boolean => guide === "claude"
const unnamed = (settings: JudgeSettings): JudgeSettings => ({ ...settings, judge_model: "" })
const dear = ({ guide }: JudgeSettings) => pairs(guide, "", (settings) => (clipsOwn(settings) ? unnamed(settings) : settings))

const noReferences = (judge: string): BadInput =>
  new BadInput({
    message: `--judge ${judge} compares drawings with pictures: name them in a file of lines {"prompt": ..., "image": ...} and give it as --judge-references.`
  })

/** Likeness to a reference picture without a model. */
const likeness = (of: judgeLikeness.Likeness, says: string): JudgeRow => ({
  says,
  scores: true,
  layer: ({ judge_references, tie_margin }) =>
    judge_references === "" ? Effect.fail(noReferences(of)) : Effect.succeed(judgeLikeness.layer({ of, references: judge_references, tieMargin: tie_margin })),
  size: fixedSize(112)
})

const alone: Readonly<Record<string, JudgeRow>> = {
  clip,
  siglip: scored("siglip", { says: "SigLIP's scores", margin: true, size: ownSize }),
  pickscore: scored("pickscore", { says: "PickScore's scores, which people's choices taught it", size: ownSize }),
  hps: scored("hps", { says: "HPSv2's scores", size: fixedSize(224) }),
  imagereward: scored("imagereward", { says: "ImageReward's scores", size: fixedSize(224) }),
  dino: {
    says: "likeness to a reference picture of the prompt (`--judge-references`)",
    scores: true,
    kind: () => judgeDino.files,
    layer: Effect.fnUntraced(function*(settings) {
      const model = yield* folderOf("dino", settings, judgeDino.files)
      if (settings.judge_references === "") return yield* noReferences("dino")
      return judgeDino.layer({ model, references: settings.judge_references, tieMargin: settings.tie_margin })
    }),
    size: ownSize
  },
  pixels: likeness("pixels", "likeness to a reference picture, colour by colour (`--judge-references`)"),
  edges: likeness("edges", "likeness of its edges to those of a reference picture"),
  claude: pairs("claude", "Claude (paid), which is shown both drawings in both orders; a disagreement is a tie"),
  openai: pairs("openai", "the same, asked of any server that speaks chat completions"),
  list: guided({
    scores: true,
    says: "a guide model (`--guide`): one call for all drawings of a prompt, each scored from 1 to 100",
    judge: ({ judge_orders }) => Effect.succeed(judgeList.layer({ orders: judge_orders })),
    estimate: ({ judge_orders }, { k, pairs, prompts }) => {
      const shown = Math.min(k, 8)
      const together = pairs < prompts * k * (k - 1) / 2 ? pairs : prompts * judgeList.listsOf(k).length
      return { calls: together * judge_orders, use: { inputTokens: 600 + 300 * shown, outputTokens: 80 + 50 * shown } }
    }
  }),
  checklist: guided({
    scores: true,
    says: "a guide model, requirement by requirement: those of `--checklist-file` (SVGBench's or Eval Protocol's), or its own",
    judge: ({ checklist_file }) =>
      checklist_file === ""
        ? Effect.succeed(judgeChecklist.layer())
        : readRequirements(checklist_file).pipe(
          Effect.map((requirements) => judgeChecklist.layer({ requirements })),
          Effect.mapError(({ message }) => new BadInput({ message }))
        ),
    // One more call for each prompt without given requirements.
    estimate: (_, { k, prompts }) => ({ calls: prompts * k + prompts, use: { inputTokens: 900, outputTokens: 350 } })
  }),
  defects: guided({
    scores: true,
    says: "a guide model: boxed defects and how much each matters",
    judge: () => Effect.succeed(judgeDefects.layer()),
    estimate: (_, { k, prompts }) => ({ calls: prompts * k, use: { inputTokens: 1000, outputTokens: 250 } })
  }),
  cascade: {
    says: "`clip` where it is sure (`--cascade-confidence`), a guide model where it is not",
    kind: (settings) => (clipsOwn(settings) ? clip.kind?.(settings) : undefined),
    layer: Effect.fnUntraced(function*(settings) {
      const first = yield* clip.layer(clipsOwn(settings) ? settings : unnamed(settings))
      const then = yield* dear(settings).layer(settings)
      return judgeCascade.layer(first, then, { confidence: settings.cascade_confidence })
    }),
    size: fixedSize(448),
    asks: (settings, work) => dear(settings).asks(settings, work)
  },
  human: {
    says: "you, on a page that this process serves to your machine, or on the terminal (`--human-on`)",
    layer: Effect.fnUntraced(function*(settings) {
      const answers = yield* answersLayer(settings, "human")
      if (settings.human_on === "page") {
        const announce = (url: string) => Effect.sync(() => void process.stderr.write(`Which drawing is better? Say it here: ${url}\n`))
        return judgeHuman.layerPage({ port: settings.human_port, announce }).pipe(Layer.provide(answers))
      }
      return process.stdin.isTTY && process.stdout.isTTY
        ? judgeHuman.layerTerminal().pipe(Layer.provide([answers, NodeTerminal.layer]))
        : yield* new BadInput({ message: "There is no terminal to judge on here: leave out --human-on terminal, and a page is served." })
    }),
    size: fixedSize(448)
  },
  coin: {
    says: "nothing: the control",
    layer: ({ seed }) => Effect.succeed(judgeCoin.layer(seed)),
    size: fixedSize(64)
  }
}

export const judges: Readonly<Record<string, JudgeRow>> = { ...alone, blend: blendRow(alone) }

/** For --help. */
export const judgesHelp: string = Object.entries(judges).map(([name, { says }]) => `${name}: ${says.replaceAll("`", "")}`).join("; ")

/** Those whose verdicts have scores. */
export const judgesWithScores: ReadonlyArray<string> = Object.entries(judges).flatMap(([name, { scores }]) => scores === true ? [name] : [])
