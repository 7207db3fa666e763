/**
 * Structured defects (Zhang et al. 2026, "Where, What, Why, and Importance", arXiv:2606.06113): what a list of them is
 * worth, and how well one list agrees with another.
 */
import { assignment } from "./assignment.ts"

export const defectLabels = ["artifact", "misalignment"] as const

export interface Defect {
  /** x1, y1, x2, y2 in thousandths of the picture's width and height, from the top left. */
  readonly box_2d: ReadonlyArray<number>
  readonly label: typeof defectLabels[number]
  readonly description: string
  /** 1..100 */
  readonly importance: number
}

const clamp = (x: number, from: number, to: number): number => Math.min(to, Math.max(from, x))

interface Box {
  readonly x1: number
  readonly y1: number
  readonly x2: number
  readonly y2: number
}

/** Within the picture, its corners in order, in [0, 1]. */
const boxOf = ({ box_2d }: Defect): Box => {
  const [x1, y1, x2, y2] = box_2d.map((at) => clamp(at / 1000, 0, 1)) as [number, number, number, number]
  return { x1: Math.min(x1, x2), y1: Math.min(y1, y2), x2: Math.max(x1, x2), y2: Math.max(y1, y2) }
}
const area = ({ x1, x2, y1, y2 }: Box): number => Math.max(0, x2 - x1) * Math.max(0, y2 - y1)

/**
 * S = -Σ importance / 100 * sqrt(area), area as a share of the picture: 0 for a drawing without defects, -1 for one that
 * is one defect of importance 100 from edge to edge. The rule is ours; it cannot tell an x from a y, which the detector's
 * two published stages print in different orders.
 */
export const defectScore = (defects: ReadonlyArray<Defect>): number =>
  defects.reduce((sum, defect) => sum - clamp(defect.importance, 0, 100) / 100 * Math.sqrt(area(boxOf(defect))), 0)

/**
 * DIoU = IoU - d² / c²: d between the centres, c the diagonal of the smallest box around both (Zheng et al. 2020,
 * arXiv:1911.08287, eq. 7). In (-1, 1]; two equal boxes without area agree, 1.
 */
export const diou = (a: Defect, b: Defect): number => {
  const [p, q] = [boxOf(a), boxOf(b)]
  const both = area({ x1: Math.max(p.x1, q.x1), y1: Math.max(p.y1, q.y1), x2: Math.min(p.x2, q.x2), y2: Math.min(p.y2, q.y2) })
  const either = area(p) + area(q) - both
  const diagonal = (Math.max(p.x2, q.x2) - Math.min(p.x1, q.x1)) ** 2 + (Math.max(p.y2, q.y2) - Math.min(p.y1, q.y1)) ** 2
  const apart = ((p.x1 + p.x2 - q.x1 - q.x2) / 2) ** 2 + ((p.y1 + p.y2 - q.y1 - q.y2) / 2) ** 2
  const same = p.x1 === q.x1 && p.x2 === q.x2 && p.y1 === q.y1 && p.y2 === q.y2
  const iou = either > 0 ? both / either : same ? 1 : 0
  return iou - (diagonal > 0 ? apart / diagonal : 0)
}

/** 0 where one of them is zero. */
export const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let [dot, aa, bb] = [0, 0, 0]
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0]
    dot += x * y
    aa += x * x
    bb += y * y
  }
  return aa === 0 || bb === 0 ? 0 : dot / Math.sqrt(aa * bb)
}

/** Cosine of the counts of each word, letter case aside, in [0, 1]. */
export const wordCosine = (a: string, b: string): number => {
  const [one, other] = [a, b].map((text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])
  const words = [...new Set([...one!, ...other!])]
  const counts = (text: ReadonlyArray<string>) => words.map((word) => text.filter((w) => w === word).length)
  return cosine(counts(one!), counts(other!))
}

/**
 * How well one found defect agrees with an annotated one: 0.6 DIoU + 0.25 cosine of the descriptions + 0.15 importance
 * accuracy, the weights of the detector's reward. Its card does not say what importance accuracy is; here
 * 1 - |difference| / 99. Labels are not compared, as there.
 *
 * @param alike cosine of two descriptions: word counts by default, or `cosine` of some text embedding
 */
export const defectAgreement = (found: Defect, annotated: Defect, alike: (a: string, b: string) => number = wordCosine): number =>
  0.6 * diou(found, annotated) + 0.25 * alike(found.description, annotated.description) +
  0.15 * (1 - Math.min(99, Math.abs(found.importance - annotated.importance)) / 99)

/**
 * How well a list of found defects agrees with the annotated ones, in [0, 1]: the agreements of matched defects, added up
 * and divided by the longer list's length, so that what was missed and what was made up both count 0; 1 where both lists
 * are empty. A match under 0 counts as none.
 *
 * The matching is the best there is, not the greedy one: greedy gives the first box its favourite though a second one
 * needs it more, so its figure would depend on chance among near neighbours, and lists this short cost nothing.
 */
export const defectsAgreement = (
  found: ReadonlyArray<Defect>,
  annotated: ReadonlyArray<Defect>,
  alike: (a: string, b: string) => number = wordCosine
): number => {
  const longer = Math.max(found.length, annotated.length)
  if (longer === 0) return 1
  const worth = found.map((a) => annotated.map((b) => Math.max(0, defectAgreement(a, b, alike))))
  return assignment(worth).reduce((sum, column, row) => sum + (column < 0 ? 0 : worth[row]![column]!), 0) / longer
}
