/** Texts by which two ways of cutting text into tokens are compared: what policies of drawings read and write. */
import { defaultPrefill } from "../model/tokenizer/tokenizer.ts"

const prompts = [
  "a red circle",
  "A red circle, left of 12 blue squares!",
  "three small blue stars on a yellow square, and 2 green lines",
  "I'll say it's a pelican's bicycle (no. 7)",
  "a disk of #1E90FF\nand below it a ring",
  "Пеликан едет на велосипеде",
  "自転車に乗るペリカン。",
  "🚲 🦩"
]
const drawings = [
  "<circle cx=\"32\" cy=\"32\" r=\"14\" fill=\"red\"/></svg>",
  "<path d=\"M10 20l5 -3q4 5 6 7z\" fill=\"#ff0000\"/><rect x=\"1\" y=\"2\" width=\"30\" height=\"4\" fill=\"blue\"/></svg>",
  "<ellipse cx=\"20\" cy=\"30\" rx=\"12\" ry=\"6\" fill=\"none\" stroke=\"green\" stroke-width=\"4\"/></svg>",
  "<polygon points=\"10,50 32,8 54,50\" fill=\"yellow\"/><line x1=\"4\" y1=\"60\" x2=\"60\" y2=\"60\" stroke=\"black\"/></svg>",
  "<g transform=\"rotate(45 32 32)\">\n  <rect width=\"8.5\" height=\".5\" opacity=\"0.35\"/>\n</g></svg>"
]
const asked = (prompt: string): string => `<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n`

/** What a policy is asked. */
export const askedTexts: ReadonlyArray<string> = prompts.flatMap((prompt) => [prompt, asked(prompt), asked(prompt) + defaultPrefill])

/** What it answered, read again as part of a conversation; and prompts with odd spaces. */
export const otherTexts: ReadonlyArray<string> = [
  ...drawings.map((drawing, i) => `${asked(prompts[i]!)}${defaultPrefill}${drawing}<|im_end|>\n`),
  ...drawings,
  "  two spaces before, two after  ",
  "tab\there   and\n\n\nthere"
]
