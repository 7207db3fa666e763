/**
 * A model's chat template: a Jinja program by a stranger, which may nest loops and double its texts. Its output is
 * counted while it runs, and it is ended if that is far more than any conversation needs.
 */
import { Environment, Interpreter, Template } from "@huggingface/jinja"

/** How much a template may make, in parts and characters: a base, plus an amount for each character it is given. */
const [most, mostPerCharacter] = [200_000, 100]

/** Longer templates are refused (characters): the longest of real models have a tenth of that. */
const longest = 262_144
/** Longer runs of spaces are refused: the library's time grows with their square. */
const longestRun = 1000

interface Value {
  readonly type: string
  readonly value: unknown
}

/** The part of the library's interpreter that is used here; its own types do not resolve. */
const Base = Interpreter as new(environment: unknown) => {
  evaluate(statement: unknown, environment: unknown): Value
  run(program: unknown): Value
}

/** Parts of a value; a namespace's may change later. */
const partsOf = (value: Value): Iterable<Value> | undefined =>
  Array.isArray(value.value) ? value.value : value.value instanceof Map ? value.value.values() : undefined

class CountingInterpreter extends Base {
  #left: number
  readonly #most: number
  /** Cost of writing out each value that was counted and cannot change. */
  readonly #weights = new WeakMap<Value, number>()

  constructor(environment: unknown, most: number) {
    super(environment)
    this.#left = this.#most = most
  }

  override evaluate(statement: unknown, environment: unknown): Value {
    const value = super.evaluate(statement, environment)
    this.spend(1)
    // A list that holds another one twice is small in memory, but may be endless when written out.
    if (this.#weigh(value).weight > this.#most) this.#tooMuch()
    return value
  }

  spend(amount: number): void {
    this.#left -= amount
    if (!(this.#left >= 0)) this.#tooMuch()
  }

  #tooMuch(): never {
    throw new Error(`it makes more than ${this.#most} values and characters of this conversation`)
  }

  /** Most characters and parts that writing the value out takes. */
  #weigh(value: Value): { readonly weight: number; readonly lasting: boolean } {
    const known = this.#weights.get(value)
    if (known !== undefined) return { weight: known, lasting: true }
    let [weight, lasting] = [1, value.type !== "NamespaceValue"]
    if (typeof value.value === "string") {
      this.spend(value.value.length)
      weight += value.value.length
    } else {
      const parts = partsOf(value)
      if (parts === undefined) return { weight, lasting }
      for (const part of parts) {
        this.spend(1)
        const of = this.#weigh(part)
        weight += of.weight
        lasting &&= of.lasting
      }
    }
    if (lasting) this.#weights.set(value, weight)
    return { weight, lasting }
  }
}

/** At most as many numbers as values are allowed; the library's own range would fill the memory first. */
const range = (interpreter: () => CountingInterpreter) => (first: number, second?: number, step = 1): Array<number> => {
  const [from, to] = second === undefined ? [0, first] : [first, second]
  if (step === 0) throw new Error("range() step must not be zero")
  const count = Math.max(0, Math.ceil((to - from) / step))
  interpreter().spend(count)
  return Array.from({ length: count }, (_, i) => from + i * step)
}

const twoDigits = (n: number): string => String(n).padStart(2, "0")
const month = (date: Date, length: "short" | "long"): string => date.toLocaleString(undefined, { month: length })

/** Python's `strftime`, as far as templates use it. */
export const strftime = (date: Date, format: string): string =>
  format.replace(/%[YmdbBHM%]/g, (field) => {
    switch (field) {
      case "%Y":
        return String(date.getFullYear())
      case "%m":
        return twoDigits(date.getMonth() + 1)
      case "%d":
        return twoDigits(date.getDate())
      case "%b":
        return month(date, "short")
      case "%B":
        return month(date, "long")
      case "%H":
        return twoDigits(date.getHours())
      case "%M":
        return twoDigits(date.getMinutes())
      default:
        return "%"
    }
  })

const raise = (message: string): never => {
  throw new Error(message)
}

const charactersOf = (value: unknown): number =>
  typeof value === "string"
    ? value.length
    : typeof value === "object" && value !== null
    ? Object.values(value).reduce((sum, part) => sum + charactersOf(part), 0)
    : 0

/** @returns a function that renders the template; both throw an `Error` that says why not */
export const openTemplate = (source: string): (variables: Readonly<Record<string, unknown>>) => string => {
  if (source.length > longest) throw new Error(`it has ${source.length} characters, and ${longest} are the most`)
  for (const [run] of source.matchAll(/\s+/g)) {
    if (run.length > longestRun) throw new Error(`it has ${run.length} spaces in a row, and ${longestRun} are the most`)
  }
  const { parsed } = new Template(source)
  return (variables) => {
    const environment = new Environment()
    const interpreter = new CountingInterpreter(environment, most + mostPerCharacter * charactersOf(variables))
    const globals = {
      false: false,
      true: true,
      none: null,
      False: false,
      True: true,
      None: null,
      range: range(() => interpreter),
      raise_exception: raise,
      strftime_now: (format: string) => strftime(new Date(), format)
    }
    for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value)
    return String(interpreter.run(parsed).value)
  }
}
