/** `vequinox/scenes`: what captions mean, drawings of them good and flawed, and a check of pictures against them. */
export { type Random, random } from "../engine/random.ts"
export * from "./check.ts"
export { drawScene } from "./draw.ts"
export * from "./flaws.ts"
export * from "./grammar.ts"
export type { Image } from "./pixels.ts"
export { svgOpen } from "./shape.ts"
