/**
 * Resamples pictures bit for bit like Pillow, because vision checkpoints were trained on Pillow's pictures; and
 * resamples floats like torchvision, which is the same without rounding.
 */

export type Filter = "lanczos" | "bilinear" | "bicubic" | "box"

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))

/** Kernel and half its width, in pixels of the smaller scale. */
const kernels: Readonly<Record<Filter, readonly [support: number, kernel: (x: number) => number]>> = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => {
    const [a, d] = [-0.5, Math.abs(x)] // Keys 1981, a = -1/2
    return d < 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0
  }],
  lanczos: [3, (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0)]
}

/** Pillow uses fixed point; the sums of 8-bit samples and these weights stay exact in a double. */
const one = 2 ** 22

interface Taps {
  readonly first: number
  readonly weights: Float64Array
}

/** Which input pixels make each output pixel, and the weight of each; the weights sum to 1. */
const tapsOf = (from: number, to: number, filter: Filter): ReadonlyArray<Taps> => {
  const [support, kernel] = kernels[filter]
  const scale = Math.max(1, from / to) // shrinking, the kernel is widened: antialiasing
  const reach = support * scale
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * (from / to)
    const first = Math.max(0, Math.trunc(centre - reach + 0.5))
    const last = Math.min(from, Math.trunc(centre + reach + 0.5))
    const raw = Float64Array.from({ length: last - first }, (_, x) => kernel((x + first - centre + 0.5) * (1 / scale)))
    const total = raw.reduce((sum, w) => sum + w, 0)
    return { first, weights: raw.map((w) => w / total) }
  })
}

/** The taps of the last few sizes: a run resizes many thousand pictures, all of one size. */
const known = new Map<string, ReadonlyArray<Taps>>()
const fixedTapsOf = (from: number, to: number, filter: Filter): ReadonlyArray<Taps> => {
  const key = `${from} ${to} ${filter}`
  const before = known.get(key)
  if (before !== undefined) return before
  if (known.size >= 16) known.clear()
  const taps = fixed(tapsOf(from, to, filter))
  known.set(key, taps)
  return taps
}

/** The weights in units of 1 / `one`. */
const fixed = (taps: ReadonlyArray<Taps>): ReadonlyArray<Taps> =>
  taps.map(({ first, weights }) => ({ first, weights: weights.map((w) => Math.trunc(w * one + (w < 0 ? -0.5 : 0.5))) }))

const clip8 = (x: number): number => Math.min(255, Math.max(0, Math.floor(x / one)))

/**
 * @param rgba `[height * width * 4]`, only read; alpha is resampled like a colour, so it should be opaque
 * @param toWidth pixels, >= 1
 * @param toHeight pixels, >= 1
 * @returns `[toHeight * toWidth * 4]`, in new memory
 */
export const resize = (
  rgba: Uint8Array,
  width: number,
  height: number,
  toWidth: number,
  toHeight: number,
  filter: Filter
): Uint8Array => {
  const columns = fixedTapsOf(width, toWidth, filter)
  const across = toWidth === width ? Uint8Array.from(rgba) : new Uint8Array(toWidth * height * 4)
  if (toWidth !== width) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < toWidth; x++) {
        const { first, weights } = columns[x]!
        let [r, g, b, a] = [one / 2, one / 2, one / 2, one / 2]
        for (let t = 0, i = (y * width + first) * 4; t < weights.length; t++, i += 4) {
          const w = weights[t]!
          r += w * rgba[i]!
          g += w * rgba[i + 1]!
          b += w * rgba[i + 2]!
          a += w * rgba[i + 3]!
        }
        const to = (y * toWidth + x) * 4
        across[to] = clip8(r)
        across[to + 1] = clip8(g)
        across[to + 2] = clip8(b)
        across[to + 3] = clip8(a)
      }
    }
  }
  if (toHeight === height) return across
  const rows = fixedTapsOf(height, toHeight, filter)
  const out = new Uint8Array(toWidth * toHeight * 4)
  for (let y = 0; y < toHeight; y++) {
    const { first, weights } = rows[y]!
    for (let i = 0; i < toWidth * 4; i++) {
      let sum = one / 2
      for (let t = 0; t < weights.length; t++) sum += weights[t]! * across[(first + t) * toWidth * 4 + i]!
      out[y * toWidth * 4 + i] = clip8(sum)
    }
  }
  return out
}

/**
 * The same for floats, as torchvision (0.17 and later) resizes tensors: nothing is rounded or limited to the range of
 * bytes, so edges overshoot.
 *
 * @param rgba `[height * width * 4]`, only read; alpha is ignored
 * @returns [3, toHeight, toWidth]; a byte of 255 becomes 1
 */
export const resizeFloats = (
  rgba: Uint8Array,
  width: number,
  height: number,
  toWidth: number,
  toHeight: number,
  filter: Filter
): Float32Array => {
  const columns = tapsOf(width, toWidth, filter)
  const rows = tapsOf(height, toHeight, filter)
  const across = new Float64Array(3 * height * toWidth)
  const out = new Float32Array(3 * toHeight * toWidth)
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      columns.forEach(({ first, weights }, x) => {
        let sum = 0
        for (let t = 0; t < weights.length; t++) sum += weights[t]! * rgba[(y * width + first + t) * 4 + c]!
        across[(c * height + y) * toWidth + x] = sum / 255
      })
    }
    rows.forEach(({ first, weights }, y) => {
      for (let x = 0; x < toWidth; x++) {
        let sum = 0
        for (let t = 0; t < weights.length; t++) sum += weights[t]! * across[(c * height + first + t) * toWidth + x]!
        out[(c * toHeight + y) * toWidth + x] = sum
      }
    })
  }
  return out
}
