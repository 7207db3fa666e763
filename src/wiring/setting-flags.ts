/** The settings of wiring/settings.ts as flags. A flag that is not given stays undecided, so that a file may set it. */
import { Option, Schema } from "effect"
import { Flag } from "effect/cli"
import { flagOf, type SettingName, settings } from "./settings.ts"
import { trlNames } from "../system/flag-names.ts"
import { fromText } from "../system/ranges.ts"

const accepts = (name: SettingName, value: unknown): boolean =>
  Option.isSome(Schema.decodeUnknownOption(settings[name][0] as Schema.Codec<unknown>)(value))

const isSwitch = (name: SettingName): boolean => accepts(name, true)
const isList = (name: SettingName): boolean => accepts(name, []) || accepts(name, ["x"])

/** Adds TRL's name to the flag. */
export const trlNamed = (name: keyof typeof trlNames) => <A>(flag: Flag.Flag<A>): Flag.Flag<A> => Flag.withAlias(flag, trlNames[name])

const hasTrlName = (name: string): name is keyof typeof trlNames => Object.hasOwn(trlNames, name)

/** A number in a setting's range, as a flag with its own default. */
export const numberFlag = (name: string, range: Schema.Codec<number, number>): Flag.Flag<number> => {
  const flag = Flag.String(name).pipe(Flag.withSchema(fromText(range)), Flag.withMetavar("number"))
  return hasTrlName(name) ? trlNamed(name)(flag) : flag
}

type NumberSetting = { [Name in SettingName]: (typeof settings)[Name][0]["Type"] extends number ? Name : never }[SettingName]

/** A run's setting as a flag of another command: the setting's name, range and words, with that command's default. */
export const numberSetting = (name: NumberSetting, value: number): Flag.Flag<number> =>
  numberFlag(flagOf(name), settings[name][0] as unknown as Schema.Codec<number, number>).pipe(
    Flag.withDescription(settings[name][1]),
    Flag.withDefault(value)
  )

/** Given several times, its values are one list. */
const listFlag = (name: string): Flag.Flag<Option.Option<string>> =>
  Flag.String(name).pipe(Flag.between(0, Infinity), Flag.map((given) => (given.length === 0 ? Option.none() : Option.some(given.join(",")))))

/** One optional flag for each setting. A switch needs no value. A list of texts has commas, or its flag is given several times. */
export const settingFlags = <Name extends SettingName>(names: ReadonlyArray<Name>) =>
  Object.fromEntries(names.map((name) => {
    const own = flagOf(name)
    if (isList(name)) return [name, Flag.withDescription(listFlag(own), settings[name][1])]
    const flag = isSwitch(name) ? Flag.map(Flag.Boolean(own), String) : Flag.String(own)
    return [name, (hasTrlName(own) ? trlNamed(own)(flag) : flag).pipe(Flag.withDescription(settings[name][1]), Flag.optional)]
  })) as { readonly [K in Name]: Flag.Flag<Option.Option<string>> }

const parts = (text: string): ReadonlyArray<string> => text.split(",").map((part) => part.trim())
const number = (text: string): number => /\d/.test(text) ? Number(text) : NaN

/**
 * Turns a flag's text into what its setting takes: text, a number, a truth value, or a list with commas. Text that does
 * not fit stays text.
 */
const parse = (name: SettingName, text: string): unknown =>
  [text, isSwitch(name) ? text === "true" : undefined, /\d/.test(text) ? Number(text) : undefined, parts(text), parts(text).map(number)]
    .find((value) => value !== undefined && accepts(name, value)) ?? (/^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(text) ? Number(text) : text)

/** Only the settings that were given, for `resolveConfig`. */
export const givenSettings = (flags: Readonly<Partial<Record<SettingName, Option.Option<string>>>>): Partial<Record<SettingName, unknown>> =>
  Object.fromEntries(
    (Object.entries(flags) as Array<[SettingName, Option.Option<string>]>).flatMap(([name, value]) =>
      Option.isSome(value) ? [[name, parse(name, value.value)]] : []
    )
  )
