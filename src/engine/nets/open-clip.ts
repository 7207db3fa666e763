/**
 * CLIP checkpoints in open_clip's layout (`visual.transformer.resblocks.0.attn.in_proj_weight`, ...), under the names
 * that clip.ts knows: the graphs are the same. Queries, keys and values are in one matrix, which is cut in the file;
 * the two projections are stored [in, out] and transposed in the graph.
 */
import { type ClipConfig, clipShapes } from "./clip.ts"
import type { Graph } from "../graph/graph.ts"
import { thirdOf, thirds } from "./packed.ts"
import type { Get, WeightIndex } from "../weights/parameters.ts"
import type { TensorEntry } from "../weights/safetensors.ts"
import { wrongShape } from "../graph/shape-error.ts"

/** Numbers of attention heads, which no shape shows. */
export interface Heads {
  readonly vision: number
  readonly text: number
}

const fixedNames: Readonly<Record<string, string>> = {
  "logit_scale": "logit_scale",
  "vision_model.embeddings.class_embedding": "visual.class_embedding",
  "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
  "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
  "visual_projection.weight": "visual.proj",
  "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
  "text_model.embeddings.position_embedding.weight": "positional_embedding",
  "text_projection.weight": "text_projection"
}
const modules: Readonly<Record<string, string>> = {
  "vision_model.pre_layrnorm": "visual.ln_pre",
  "vision_model.post_layernorm": "visual.ln_post",
  "text_model.final_layer_norm": "ln_final"
}
const inBlock: Readonly<Record<string, string>> = {
  "layer_norm1": "ln_1",
  "layer_norm2": "ln_2",
  "self_attn.out_proj": "attn.out_proj",
  "mlp.fc1": "mlp.c_fc",
  "mlp.fc2": "mlp.c_proj"
}
/** Stored [in, out] here, [out, in] there. */
const turned = new Set(["visual_projection.weight", "text_projection.weight"])

interface Source {
  readonly name: string
  readonly third?: 0 | 1 | 2
}

/** Where a parameter of a Hugging Face `CLIPModel` is found. */
const sourceOf = (name: string): Source => {
  const [, module, part] = /^(.*)\.(weight|bias)$/.exec(name) ?? []
  const [, tower, layer, inner] = /^(vision|text)_model\.encoder\.layers\.(\d+)\.(.*)$/.exec(module ?? "") ?? []
  if (fixedNames[name] !== undefined) return { name: fixedNames[name] }
  if (inner === undefined) return { name: `${modules[module!] ?? wrongShape(`${name} is unknown to open_clip`)}.${part}` }
  const block = `${tower === "vision" ? "visual." : ""}transformer.resblocks.${layer}`
  const [, qkv] = /^self_attn\.([qkv])_proj$/.exec(inner) ?? []
  return qkv === undefined
    ? { name: `${block}.${inBlock[inner] ?? wrongShape(`${name} is unknown to open_clip`)}.${part}` }
    : { name: `${block}.attn.in_proj_${part}`, third: thirds[qkv as keyof typeof thirds] }
}

/** Sizes of the model, from the shapes of its tensors. Throws ShapeError if one is missing. */
export const openClipConfig = (index: WeightIndex, heads: Heads): ClipConfig => {
  const shape = (name: string, rank: number): ReadonlyArray<number> => {
    const found = index.get(name)?.shape ?? wrongShape(`the weights have no tensor ${name}`)
    return found.length === rank ? found : wrongShape(`${name} is [${found}] in the weights`)
  }
  const tower = (at: string, hidden: number, heads: number) => {
    const layers = [...index.keys()].filter((name) => name.startsWith(at) && name.endsWith(".ln_1.weight")).length
    if (layers === 0 || hidden % heads !== 0) return wrongShape(`${layers} blocks of ${hidden} in ${heads} heads make no model`)
    const intermediate = shape(`${at}0.mlp.c_fc.weight`, 2)[0]!
    return { hidden, intermediate, layers, heads, normEpsilon: 1e-5, activation: "gelu" as const }
  }
  const patchSize = shape("visual.conv1.weight", 4)[2]!
  const [places, visionWidth] = shape("visual.positional_embedding", 2)
  const [maxPositions, textWidth] = shape("positional_embedding", 2)
  const vocab = shape("token_embedding.weight", 2)[0]!
  return {
    vision: {
      ...tower("visual.transformer.resblocks.", visionWidth!, heads.vision),
      imageSize: Math.round(Math.sqrt(places! - 1)) * patchSize,
      patchSize
    },
    // The text is read at its highest id (`argmax`): the end-of-text token is the vocabulary's last.
    text: { ...tower("transformer.resblocks.", textWidth!, heads.text), vocab, maxPositions: maxPositions!, eosTokenId: vocab - 1 },
    projection: shape("visual.proj", 2)[1]!
  }
}

/** The checkpoint's tensors under Hugging Face's names. Throws ShapeError if one is missing or has another shape. */
export const asClip = (index: WeightIndex, c: ClipConfig): WeightIndex => {
  const renamed = new Map<string, TensorEntry & { readonly file: string }>()
  for (const [name, asked] of clipShapes(c)) {
    const source = sourceOf(name)
    const found = index.get(source.name) ?? wrongShape(`the weights have no tensor ${source.name}`)
    const entry = source.third === undefined ? found : thirdOf(found, source.third)
    const shape = turned.has(name) ? [...asked].reverse() : asked
    if (entry.shape.join() !== shape.join()) wrongShape(`${source.name} is [${found.shape}] in the weights`)
    renamed.set(name, entry)
  }
  return renamed
}

/** Parameters for clip.ts from the result of `asClip`. */
export const turning = (g: Graph, get: Get): Get => (name, shape) =>
  turned.has(name) ? g.transpose(get(name, [...shape].reverse()), [1, 0]) : get(name, shape)
