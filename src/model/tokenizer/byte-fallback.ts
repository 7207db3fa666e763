/** Corrects byte tokens (`<0x41>`) that the tokenizer library reads differently from Hugging Face's own. */

/** The part of the library's decoders that is used here; their own types do not resolve. */
interface Decoder {
  readonly config: { readonly type: string }
  readonly decoders?: ReadonlyArray<Decoder>
  decode_chain: (tokens: ReadonlyArray<string>) => Array<string>
}

/**
 * Corrects the byte fallback of a decoder: a run of bytes that is not UTF-8 becomes one replacement character for each
 * byte, not for each broken letter, and a byte order mark stays.
 */
export const correctBytes = (decoder: Decoder | null): void => {
  decoder?.decoders?.forEach(correctBytes)
  if (decoder?.config.type === "ByteFallback") decoder.decode_chain = bytesToText
}

const bytesToText = (tokens: ReadonlyArray<string>): Array<string> => {
  const texts: Array<string> = []
  let run: Array<number> = []
  const close = () => {
    if (run.length > 0) texts.push(textOf(run))
    run = []
  }
  for (const token of tokens) {
    const byte = /^<0x([\da-f]{2})>$/i.exec(token)?.[1]
    if (byte === undefined) {
      close()
      texts.push(token)
    } else run.push(Number.parseInt(byte, 16))
  }
  close()
  return texts
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const textOf = (bytes: ReadonlyArray<number>): string => {
  try {
    return utf8.decode(Uint8Array.from(bytes))
  } catch {
    return "\ufffd".repeat(bytes.length)
  }
}
