/**
 * Reads Python's pickle format, protocol 2, for plain data. A pickle is a program that may call anything. This reader
 * calls only what it was given and refuses every other name where it meets it, so it runs nothing from the file.
 *
 * Numbers, strings, booleans and None become their counterparts (integers beyond 2^53 bigints), tuples and lists
 * arrays, dicts Maps. Attributes set on a dict are dropped.
 */
import { broken, ByteReader } from "./byte-reader.ts"

/** A Python name that a pickle may use. */
export class Global {
  readonly name: string
  readonly #call: ((args: ReadonlyArray<unknown>) => unknown) | undefined

  /** Without `call` it may be named, but not called. */
  constructor(name: string, call?: (args: ReadonlyArray<unknown>) => unknown) {
    this.name = name
    this.#call = call
  }

  call(args: ReadonlyArray<unknown>): unknown {
    return this.#call === undefined ? broken(`it calls ${this.name}`) : this.#call(args)
  }
}

/** Marks a place in the stack. */
const mark = Symbol("mark")

/** Only printable characters, and not many: the name comes from the file. */
const shown = (text: string): string => JSON.stringify(text.slice(0, 80))

/** Two's complement, little-endian. */
const longOf = (bytes: Uint8Array): number | bigint => {
  const unsigned = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  const value = BigInt.asIntN(8 * bytes.length, unsigned)
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

export interface PickleOptions {
  /** The names that may be used, as "module name". */
  readonly globals: ReadonlyMap<string, Global>
  /** What a persistent id (an object kept outside the pickle) stands for. */
  readonly persistent: (id: unknown) => unknown
}

/** @throws FormatError if it is not such a pickle */
export const unpickle = (bytes: Uint8Array, { globals, persistent }: PickleOptions): unknown => {
  const r = new ByteReader(bytes)
  const stack: Array<unknown> = []
  const memo = new Map<number, unknown>()

  const pop = (): unknown => (stack.length === 0 ? broken("its pickle takes from an empty stack") : stack.pop())
  const top = (): unknown => (stack.length === 0 ? broken("its pickle takes from an empty stack") : stack.at(-1))
  const toMark = (): Array<unknown> => {
    const at = stack.lastIndexOf(mark)
    if (at < 0) return broken("its pickle takes from an empty stack")
    const items = stack.splice(at)
    items.shift()
    return items
  }
  const last = (count: number): Array<unknown> => Array.from({ length: count }, pop).reverse()
  const append = (items: ReadonlyArray<unknown>): void => {
    const list = top()
    if (!Array.isArray(list)) return broken("its pickle appends to something that is not a list")
    for (const item of items) list.push(item)
  }
  const setItems = (items: ReadonlyArray<unknown>): void => {
    const dict = top()
    if (!(dict instanceof Map) || items.length % 2 !== 0) return broken("its pickle sets items of something that is not a dict")
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1])
  }
  const recall = (at: number): unknown => (memo.has(at) ? memo.get(at) : broken("its pickle recalls what it never stored"))
  const reduce = (): unknown => {
    const args = pop()
    const callee = pop()
    if (!(callee instanceof Global) || !Array.isArray(args)) return broken("its pickle calls something that is not a function")
    return callee.call(args)
  }
  const global = (): Global => {
    const name = `${r.line()} ${r.line()}`
    return globals.get(name) ??
      broken(`it names the Python object ${shown(name.replace(" ", "."))}, which no weights need; nothing in it was run`)
  }
  const build = (): void => {
    pop()
    if (!(top() instanceof Map)) return broken("its pickle sets attributes of something that is not a dict")
  }

  for (;;) {
    const op = r.u8()
    switch (op) {
      case 0x80: { // PROTO
        const protocol = r.u8()
        if (protocol !== 2) return broken(`its pickle has protocol ${protocol}, not 2: save it again with torch.save's defaults`)
        break
      }
      case 0x2e: // STOP
        return pop()
      case 0x28: // MARK
        stack.push(mark)
        break
      case 0x4e: // NONE
        stack.push(null)
        break
      case 0x88: // NEWTRUE
        stack.push(true)
        break
      case 0x89: // NEWFALSE
        stack.push(false)
        break
      case 0x4b: // BININT1
        stack.push(r.u8())
        break
      case 0x4d: // BININT2
        stack.push(r.u16())
        break
      case 0x4a: // BININT
        stack.push(r.i32())
        break
      case 0x8a: // LONG1
        stack.push(longOf(r.bytes(r.u8())))
        break
      case 0x47: // BINFLOAT
        stack.push(r.f64BigEndian())
        break
      case 0x58: // BINUNICODE
        stack.push(r.utf8(r.u32()))
        break
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        stack.push([])
        break
      case 0x7d: // EMPTY_DICT
        stack.push(new Map())
        break
      case 0x74: // TUPLE
        stack.push(toMark())
        break
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(last(op - 0x84))
        break
      case 0x61: // APPEND
        append([pop()])
        break
      case 0x65: // APPENDS
        append(toMark())
        break
      case 0x73: // SETITEM
        setItems(last(2))
        break
      case 0x75: // SETITEMS
        setItems(toMark())
        break
      case 0x71: // BINPUT
        memo.set(r.u8(), top())
        break
      case 0x72: // LONG_BINPUT
        memo.set(r.u32(), top())
        break
      case 0x68: // BINGET
        stack.push(recall(r.u8()))
        break
      case 0x6a: // LONG_BINGET
        stack.push(recall(r.u32()))
        break
      case 0x63: // GLOBAL
        stack.push(global())
        break
      case 0x52: // REDUCE
        stack.push(reduce())
        break
      case 0x62: // BUILD
        build()
        break
      case 0x51: // BINPERSID
        stack.push(persistent(pop()))
        break
      default:
        return broken(`its pickle has the operation 0x${op.toString(16)}, which no weights need`)
    }
  }
}
