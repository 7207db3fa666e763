/** Weights of kinds, as `--mix` says them: direct=1,correction=1,critique=0.5. */
import { type Role, roles } from "../roles/roles.ts"

/** Only kinds with a weight over 0. */
export type Mix = ReadonlyMap<Role, number>

const heaviest = 1e6

/** Undefined if the text is none. */
export const parseMix = (text: string): Mix | undefined => {
  const weights = new Map<Role, number>()
  for (const part of text.split(",")) {
    const [name, value = "", ...more] = part.split("=").map((word) => word.trim())
    const kind = roles.find((role) => role === name)
    const weight = /^[\d.]/.test(value) ? Number(value) : NaN
    if (kind === undefined || more.length > 0 || weights.has(kind) || !(weight >= 0 && weight <= heaviest)) return undefined
    weights.set(kind, weight)
  }
  const mix = new Map([...weights].filter(([, weight]) => weight > 0))
  return mix.size === 0 ? undefined : mix
}
