/** The embedded curriculum, and how a stage names prompts of the scene grammar. */
import { random } from "../engine/random.ts"
import { embeddedPrompts, promptOf, type PromptSet, promptSet } from "../prompts.ts"
import { caption, sampleScene, type Scene, type Split } from "../scenes/index.ts"

/**
 * From pelicans alone to all that the grammar can say. The stages before the last one take at most 380 steps together, so
 * that a default run comes to it. Compositions take longest: in a run of seed 7 the first three were passed after 30 steps
 * each, and compositions reached .50 and .47 after 165 and 180 steps of their own.
 */
export const embeddedCurriculum = {
  stages: [
    { name: "a pelican", prompts: "embedded:creature/pelican", threshold: 0.6, max_steps: 60 },
    { name: "pelicans on bicycles", prompts: "embedded:rider/pelican/bicycle", threshold: 0.6, max_steps: 60 },
    { name: "riders and single things", prompts: ["embedded:rider", "embedded:creature", "embedded:vehicle"], threshold: 0.6, max_steps: 60 },
    { name: "compositions", prompts: ["embedded:count", "embedded:relation", "embedded:sizes"], threshold: 0.45, max_steps: 200 },
    { name: "everything", prompts: "embedded:all", threshold: 0.5 }
  ].map((stage) => ({ ...stage, measure: "right", every: 15 }))
}

const kinds = ["creature", "vehicle", "rider", "count", "relation", "sizes"] as const satisfies ReadonlyArray<Scene["kind"]>

/** What a stage may name, for people. */
export const selections = `embedded:${kinds.join(", embedded:")} or embedded:all, with words that must occur after slashes, as in embedded:rider/pelican/bicycle`

/** Whether a stage names prompts of the grammar, and not a text or a file. */
export const isSelection = (text: string): boolean => text.startsWith("embedded:")

interface Selection {
  /** Undefined: every kind. */
  readonly kind: Scene["kind"] | undefined
  /** Words that must all occur in the prompt, in singular. */
  readonly words: ReadonlyArray<string>
}

/** `embedded:rider/pelican/bicycle`; undefined if it does not have that form. */
const selectionOf = (text: string): Selection | undefined => {
  const [kind = "", ...words] = text.slice("embedded:".length).split("/")
  const known = kinds.find((each) => each === kind)
  return (known === undefined && kind !== "all") || words.includes("") ? undefined : { kind: known, words }
}

const fits = ({ kind, words }: Selection, scene: Scene): boolean => {
  if (kind !== undefined && scene.kind !== kind) return false
  const said = caption(scene).split(" ")
  return words.every((word) => said.includes(word) || said.includes(`${word}s`))
}

/** Draws without a new prompt after which there are no more. */
const patience = 2000

/** Prompts of the grammar in the order in which it says them, each once, at most so many. */
const textsOf = (selection: Selection, split: Split, most: number): ReadonlyArray<string> => {
  const texts = new Set<string>()
  for (let [n, newest] = [0, 0]; texts.size < most && n - newest < patience; n++) {
    const draw = random(split === "train" ? 0x7a : 0x40, n)
    const scene = sampleScene(draw, split)
    if (!fits(selection, scene)) continue
    const before = texts.size
    texts.add(caption(scene, draw))
    if (texts.size > before) newest = n
  }
  return [...texts]
}

/**
 * The grammar's prompts that a stage names. Held out is what the grammar holds out; one in five, by the hash of its text,
 * where that is none of them.
 *
 * @param heldOut at most
 * @returns undefined if it names no kind of prompt; no prompts if there are none of that kind with these words
 */
export const selectedPrompts = (text: string, heldOut: number): PromptSet | undefined => {
  const selection = selectionOf(text)
  if (selection === undefined) return undefined
  if (selection.kind === undefined && selection.words.length === 0) return embeddedPrompts(heldOut)
  const train = textsOf(selection, "train", 1024)
  const held = textsOf(selection, "heldout", heldOut)
  return held.length === 0 ? promptSet(train, heldOut) : { train: train.map(promptOf), heldOut: held.map(promptOf) }
}
