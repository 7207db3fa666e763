/** What the server says, and keeps saying. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import { told } from "./ask.ts"

export interface Live<A> {
  readonly value: A | undefined
  /** Why there is no newer value. */
  readonly trouble: string | undefined
  /** Asks at once. */
  readonly refresh: () => void
}

/** A server that answers slowly is asked rarely: asking takes it a twentieth of its time at most. */
const pause = (took: number): number => Math.max(1000, 20 * took)

/** The version of something asked for before anybody knew it: the first one that is known is taken for it. */
export const unknown = "unknown"

/**
 * Asks while the page can be seen: again and again, or, given a version, when that changes. A value of another key is never
 * shown; one of another version stays until the next is there.
 */
export const useLive = <A>(key: string, ask: (signal: AbortSignal) => Promise<A>, version?: string): Live<A> => {
  const [known, setKnown] = useState<Omit<Live<A>, "refresh"> & { readonly of: string }>({ of: key, value: undefined, trouble: undefined })
  const wanted = useRef({ ask, version })
  wanted.current = { ask, version }
  const consider = useRef((_now: boolean) => {})

  useEffect(() => {
    const ended = new AbortController()
    let timer = 0
    let busy = false
    let earliest = 0
    let asked: { version: string | undefined } | undefined
    /** Of the last value: the same again draws nothing again. */
    let written: string | undefined

    const round = async () => {
      const begun = performance.now()
      busy = true
      asked = { version: wanted.current.version }
      try {
        const value = await wanted.current.ask(ended.signal)
        const text = JSON.stringify(value)
        if (!ended.signal.aborted && text !== written) setKnown({ of: key, value, trouble: undefined })
        written = text
      } catch (error) {
        if (!ended.signal.aborted) setKnown((known) => ({ of: key, value: known.of === key ? known.value : undefined, trouble: told(error) }))
        written = asked = undefined
      }
      busy = false
      const now = performance.now()
      earliest = now + pause(now - begun)
      if (!ended.signal.aborted) consider.current(false)
    }
    const whenSeen = () => {
      if (document.visibilityState === "visible") void round()
      else document.addEventListener("visibilitychange", whenSeen, { once: true, signal: ended.signal })
    }
    consider.current = (now) => {
      if (now) {
        earliest = 0
        asked = undefined
      }
      if (asked?.version === unknown) asked.version = wanted.current.version
      if (busy || (asked?.version !== undefined && asked.version === wanted.current.version)) return
      clearTimeout(timer)
      timer = window.setTimeout(whenSeen, Math.max(0, earliest - performance.now()))
    }
    void round()
    return () => {
      ended.abort()
      clearTimeout(timer)
      consider.current = () => {}
    }
  }, [key])
  useEffect(() => consider.current(false), [version])
  const refresh = useCallback(() => consider.current(true), [])
  return known.of === key ? { value: known.value, trouble: known.trouble, refresh } : { value: undefined, trouble: undefined, refresh }
}
