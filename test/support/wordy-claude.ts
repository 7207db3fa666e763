/** A server in Claude's place whose answers are known: a requirement that begins with yes is met, and "nonsense" gets no usable answer. */
import { startClaudeServer } from "./claude-server.ts"

export const startWordyClaude = () =>
  startClaudeServer({
    reshape: (_, text) =>
      text.includes("nonsense")
        ? { requirements: "none" }
        : { requirements: [...text.matchAll(/^(\d+)\. (\w+)/gm)].map(([, number, word]) => ({ number: Number(number), evidence: `says ${word}`, met: word === "yes" })) }
  })
