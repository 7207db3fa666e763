/** The settings of wiring/settings.ts as flags. What is not given stays open, so that a file may say it. */
import { Option, Schema } from "effect"
import { Flag } from "effect/cli"
import { flagOf, type SettingName, settings } from "./settings.ts"

const accepts = (name: SettingName, value: unknown): boolean =>
  Option.isSome(Schema.decodeUnknownOption(settings[name][0] as Schema.Codec<unknown>)(value))

const isSwitch = (name: SettingName): boolean => accepts(name, true)

/** One optional flag for each. A switch needs no value. */
export const settingFlags = <Name extends SettingName>(names: ReadonlyArray<Name>) =>
  Object.fromEntries(names.map((name) => {
    const flag = isSwitch(name) ? Flag.map(Flag.Boolean(flagOf(name)), String) : Flag.String(flagOf(name))
    return [name, flag.pipe(Flag.withDescription(settings[name][1]), Flag.optional)]
  })) as { readonly [K in Name]: Flag.Flag<Option.Option<string>> }

/** A flag's text as what its setting takes: text, a number, a truth, or a list with commas; unfit text stays text. */
const parse = (name: SettingName, text: string): unknown =>
  [text, isSwitch(name) ? text === "true" : undefined, /\d/.test(text) ? Number(text) : undefined, text.split(",").map((part) => part.trim())]
    .find((value) => value !== undefined && accepts(name, value)) ?? (/^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(text) ? Number(text) : text)

/** The settings that were given, for `resolveConfig`. */
export const givenSettings = (flags: Readonly<Partial<Record<SettingName, Option.Option<string>>>>): Partial<Record<SettingName, unknown>> =>
  Object.fromEntries(
    (Object.entries(flags) as Array<[SettingName, Option.Option<string>]>).flatMap(([name, value]) =>
      Option.isSome(value) ? [[name, parse(name, value.value)]] : []
    )
  )
