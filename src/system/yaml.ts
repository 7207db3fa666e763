/** Reads and writes YAML. */
import { Effect } from "effect"

/**
 * What the text says. The parser is loaded here alone: a command that reads no YAML need not wait for its modules.
 *
 * @param refuse makes the error of a text that is not YAML, from the parser's message
 */
export const parseYaml = <E>(text: string, refuse: (message: string) => E): Effect.Effect<unknown, E> =>
  Effect.tryPromise({
    try: async (): Promise<unknown> => (await import("yaml")).parse(text),
    catch: (cause) => refuse((cause as Error).message)
  })

/** The text that says a value. */
export const stringifyYaml = (value: unknown): Effect.Effect<string> =>
  Effect.promise(async () => (await import("yaml")).stringify(value))
