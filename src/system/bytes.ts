/** Sizes as people write them. */
import { Option } from "effect"

const units: Readonly<Record<string, number>> = {
  "": 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30
}

/** "5GB", "500 MiB" or a number of bytes; none if it is not a size over 0. */
export const parseBytes = (text: string): Option.Option<number> => {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? []
  const bytes = Math.floor(Number(number) * (units[(unit ?? "").toUpperCase()] ?? NaN))
  return bytes > 0 ? Option.some(bytes) : Option.none()
}
