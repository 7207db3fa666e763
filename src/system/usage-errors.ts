/** Tells what is wrong with a command line in one sentence; the full help is for --help. */
import { Effect } from "effect"
import { type CliError, CliOutput, type HelpDoc } from "effect/cli"
import { tellError } from "./errors.ts"

/** Flags that begin like the given one, for a spelling that is close to none. */
const beginning = (option: string, help: HelpDoc.HelpDoc): ReadonlyArray<string> => {
  const given = option.replace(/^-+/, "")
  const names = (help.flags ?? []).flatMap(({ aliases, name }) => [`--${name}`, ...aliases])
  return given.length < 3 ? [] : names.filter((name) => name.startsWith(`--${given}`) || (name.length > 5 && option.startsWith(name)))
}

const choice = (names: ReadonlyArray<string>): string => names.slice(0, 3).join(" or ")

/** What was expected, as the end of a sentence. */
const words = (expected: string): string =>
  `Expected ${expected.replace(/\s+/g, " ").trim().replace(/^Schema validation failed: /, "").replace(/^Expected:? /, "").replace(/\.$/, "")}`

const sentence = (error: CliError.NonShowHelpErrors, path: ReadonlyArray<string>, help: HelpDoc.HelpDoc): string => {
  const command = path.at(-1)!
  const more = `${path.join(" ")} --help`
  switch (error._tag) {
    case "UnrecognizedOption": {
      const near = error.suggestions.length > 0 ? error.suggestions : beginning(error.option, help)
      return `${command} has no flag ${error.option}: ${near.length > 0 ? `did you mean ${choice(near)}?` : `${more} lists its flags.`}`
    }
    case "UnknownSubcommand":
      return `There is no command "${error.subcommand}": ${error.suggestions.length > 0 ? `did you mean ${choice(error.suggestions)}?` : `${more} lists them.`}`
    case "MissingOption":
      return `${command} needs --${error.option}: ${more} says what it is.`
    case "MissingArgument":
      return `${command} needs <${error.argument}>: ${more} says what it is.`
    case "UnexpectedArgument":
      return `${command} takes no argument ${JSON.stringify(error.arguments[0])}: ${more} says what it takes.`
    case "InvalidValue": {
      const name = error.kind === "argument" ? `<${error.option}>` : `--${error.option}`
      return error.value === "" ? `${name} needs a value: ${more} says which.` : `${name} is ${error.value}: ${words(error.expected)}.`
    }
    default:
      return error.message
  }
}

/** The first error, on stderr. */
export const layer = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.sync(() => tellError(sentence(event.errors[0]!, event.commandPath, event.helpDoc)))
      : CliOutput.defaultPresenter.present(event)
})
