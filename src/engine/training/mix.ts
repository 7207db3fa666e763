/** target ← (1 - alpha) · target + alpha · source, rounded once to float32; an alpha of 1 copies. */
export const mix = (target: Float32Array, source: Float32Array, alpha: number): void => {
  if (alpha === 1) return target.set(source)
  for (let i = 0; i < source.length; i++) target[i] = (1 - alpha) * target[i]! + alpha * source[i]!
}
