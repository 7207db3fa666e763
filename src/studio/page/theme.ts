/** Light or dark: what the system says, until a person chooses. */
import { useEffect, useState } from "preact/hooks"

type Theme = "light" | "dark"

const kept = "vequinox-studio-theme"
const system = matchMedia("(prefers-color-scheme: dark)")
const changes = new EventTarget()

/** A browser may forbid storage. */
const stored = (): Theme | undefined => {
  try {
    const value = localStorage.getItem(kept)
    return value === "light" || value === "dark" ? value : undefined
  } catch {
    return undefined
  }
}
let chosen = stored()
const apply = () => {
  if (chosen !== undefined) document.documentElement.dataset["theme"] = chosen
  changes.dispatchEvent(new Event("change"))
}
apply()
system.addEventListener("change", apply)

const current = (): Theme => chosen ?? (system.matches ? "dark" : "light")

export const choose = (theme: Theme): void => {
  chosen = theme
  try {
    localStorage.setItem(kept, theme)
  } catch {
    // It then holds until the page is closed.
  }
  apply()
}

export const useTheme = (): Theme => {
  const [theme, setTheme] = useState(current)
  useEffect(() => {
    const changed = () => setTheme(current())
    changes.addEventListener("change", changed)
    return () => changes.removeEventListener("change", changed)
  }, [])
  return theme
}
