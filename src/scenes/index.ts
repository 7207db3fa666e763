/** `vequinox/scenes`: what captions mean, good and flawed drawings of them, and a check of pictures against them. */
export { type Random, random } from "../engine/random.ts"
export * from "./check.ts"
export { drawScene } from "./draw.ts"
export * from "./flaws.ts"
export * from "./grammar.ts"
export * from "./habits.ts"
export type { Image } from "./pixels.ts"
export { svgOpen } from "./shape.ts"
