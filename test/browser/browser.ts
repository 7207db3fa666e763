/** A Chromium that this machine has, and pages in it that tell everything that goes wrong in them. */
import * as fs from "node:fs"
import axe from "axe-core"
import { type Browser, chromium, type Page } from "playwright-core"

const usual = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome-stable",
  "/usr/bin/google-chrome",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium"
]

/** Undefined if there is none; then what to do about it is said on the console. */
export const findChromium = (): string | undefined => {
  const found = [process.env["CHROMIUM"], ...usual].find((file) => file !== undefined && fs.existsSync(file))
  if (found === undefined) console.log("Skipped: there is no Chromium here. Name one in the environment variable CHROMIUM.")
  return found
}

export const launch = (executablePath: string): Promise<Browser> => chromium.launch({ executablePath, args: ["--no-sandbox"] })

export type Theme = "light" | "dark"
export const themes: ReadonlyArray<Theme> = ["light", "dark"]

export interface OpenOptions {
  readonly theme?: Theme
  /** A telephone's window. */
  readonly narrow?: boolean
}

/** @param troubles gets every error on the page's console, and every error that nothing caught */
export const openPage = async (browser: Browser, troubles: Array<string>, { narrow = false, theme = "light" }: OpenOptions = {}): Promise<Page> => {
  const page = await browser.newPage({ viewport: narrow ? { width: 360, height: 740 } : { width: 1280, height: 860 }, colorScheme: theme })
  page.setDefaultTimeout(60_000) // a machine may have other work
  page.on("console", (message) => {
    if (message.type() === "error") troubles.push(`${message.text()} (${page.url()})`)
  })
  page.on("pageerror", (error) => troubles.push(`${error.stack ?? error.message} (${page.url()})`))
  return page
}

/** What people who cannot see or use a mouse would stumble over, serious or worse. */
export const barriers = async (page: Page): Promise<ReadonlyArray<string>> => {
  await page.evaluate(axe.source)
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run())
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ help, id, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html }) => html).join(" ")}`)
}

/** By how much the page is wider than its window. */
export const overhang = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
