/**
 * The score of a list of structured defects (Zhang et al. 2026, "Where, What, Why, and Importance", arXiv:2606.06113).
 */

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

/** The box cut to the picture, its corners in order, in [0, 1]. */
const boxOf = ({ box_2d }: Defect): Box => {
  const [x1, y1, x2, y2] = box_2d.map((at) => clamp(at / 1000, 0, 1)) as [number, number, number, number]
  return { x1: Math.min(x1, x2), y1: Math.min(y1, y2), x2: Math.max(x1, x2), y2: Math.max(y1, y2) }
}
const area = ({ x1, x2, y1, y2 }: Box): number => Math.max(0, x2 - x1) * Math.max(0, y2 - y1)

/**
 * S = -Σ importance / 100 * sqrt(area), with area as a share of the picture: 0 for a drawing without defects, -1 for
 * one that is one defect of importance 100 from edge to edge. The rule is ours. It treats x and y alike, because the
 * detector's two published stages print them in different orders.
 */
export const defectScore = (defects: ReadonlyArray<Defect>): number =>
  defects.reduce((sum, defect) => sum - clamp(defect.importance, 0, 100) / 100 * Math.sqrt(area(boxOf(defect))), 0)
