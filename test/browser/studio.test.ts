/** The studio in a browser: a run that is trained meanwhile, and one of 10,000 steps. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { drawings, hostile, steps, writeBigRun } from "./big-run.ts"
import { barriers, findChromium, launch, openPage, overhang, themes } from "./browser.ts"
import { startStudio, type Studio } from "./studio.ts"

const chromium = findChromium()
const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-browser-"))
const troubles: Array<string> = []
let browser: Browser

beforeAll(async () => {
  if (chromium !== undefined) browser = await launch(chromium)
})
afterAll(async () => {
  await browser?.close()
  fs.rmSync(work, { recursive: true, force: true })
})

/** A machine with other work is as slow as that makes it. */
const patience = (): number => Math.max(1, os.loadavg()[0]! / os.availableParallelism())

/** What the page's console said in the test. */
const noTrouble = () => assert.deepStrictEqual(troubles.splice(0), [])

const tab = (page: Page, name: string) => page.getByRole("tab", { name })
/** Steps done, from the first tile. */
const stepsDone = async (page: Page): Promise<number> => Number(await page.locator(".tile dd").first().evaluate((tile) => tile.firstChild?.textContent))

/** Nothing that shuts people out, nothing wider than a telephone, in any view and either theme. */
const checkViews = async (views: Readonly<Record<string, { readonly url: string; readonly ready: (page: Page) => Promise<unknown> }>>) => {
  const found: Array<string> = []
  for (const theme of themes) {
    for (const [name, { ready, url }] of Object.entries(views)) {
      const page = await openPage(browser, troubles, { theme })
      try {
        await page.goto(url)
        await ready(page)
        found.push(...(await barriers(page)).map((barrier) => `${name}, ${theme}: ${barrier}`))
        await page.setViewportSize({ width: 360, height: 740 })
        const over = await overhang(page)
        if (over > 0) found.push(`${name} is ${over} pixels wider than a telephone`)
      } finally {
        await page.close()
      }
    }
  }
  assert.deepStrictEqual(found, [])
  noTrouble()
}

const drawn = (page: Page) => page.locator(".frame img").first().waitFor()
const charted = (page: Page) => page.locator(".panel canvas").first().waitFor()

const compareTwo = async (page: Page) => {
  await page.getByLabel("Prompts, one a line").fill("a red circle\na blue square")
  await page.getByRole("button", { name: "Draw" }).click()
  await page.getByText("2 prompts drawn by both.").waitFor()
}
const judgeTwo = async (page: Page) => {
  await page.getByLabel("Prompt").fill("a red circle")
  await page.getByRole("button", { name: "Draw" }).click()
  for (const picked of ["left", "right"]) {
    await page.getByRole("button", { name: /^Pick no/ }).first().click()
    await page.getByRole("button", { name: `Picked: ${picked}` }).waitFor()
  }
  await page.getByRole("button", { name: "Which is better?" }).click()
  await page.locator(".answer b").waitFor()
}

describe.skipIf(chromium === undefined)("a run under way", () => {
  const run = path.join(work, "small")
  const last = 8
  let studio: Studio
  let page: Page

  beforeAll(async () => {
    studio = await startStudio(
      "train", "--studio", "--out", run, "--steps", String(last), "--prompts-per-step", "4", "--k", "3", "--save-steps", "4", "--save-total-limit", "0",
      "--eval-prompts", "8", "--eval-temperatures", "1", "--eval-best-of", "0", "--trust-pairs", "0"
    )
    page = await openPage(browser, troubles)
    await page.goto(studio.url)
  })
  afterAll(async () => {
    await page?.close()
    await studio?.stop()
  })

  it("is watched from its first step to its last, paused and gone on with", async () => {
    await page.getByRole("heading", { level: 1, name: "small" }).waitFor()
    await page.locator(".standing.running").waitFor()
    await page.getByRole("button", { name: "Pause" }).click()
    await page.locator(".standing.paused").waitFor()
    // The step under way ends; then nothing moves.
    let before = -1
    for (let now = await stepsDone(page); now !== before; now = await stepsDone(page)) {
      before = now
      await page.waitForTimeout(6000)
    }
    assert.isBelow(before, last)
    await page.getByRole("button", { name: "Go on" }).click()
    await page.locator(".standing.running").waitFor()
    await page.waitForFunction((before) => Number(document.querySelector(".tile dd")?.firstChild?.textContent) > before, before)
    await charted(page)
    await drawn(page)
    assert.isAbove(await page.locator(".log li").count(), 0)
    await page.waitForFunction((last) => Number(document.querySelector(".tile dd")?.firstChild?.textContent) === last, last)
    noTrouble()
  })

  it("says in one line when its process has ended, and shows what it knew", async () => {
    assert.strictEqual(await studio.ended, 0, studio.said())
    await page.getByText("The studio does not answer").first().waitFor()
    assert.strictEqual(await stepsDone(page), last)
    assert.strictEqual(await page.locator(".standing.finished").count(), 1)
    // The browser itself tells of requests that found nobody.
    assert.deepStrictEqual(troubles.splice(0).filter((trouble) => !/ERR_CONNECTION/.test(trouble)), [])
  })
})

describe.skipIf(chromium === undefined)("a finished run", () => {
  let studio: Studio
  let page: Page
  const at = (view: string) => `${studio.url}#/run/small/${view}`

  beforeAll(async () => {
    studio = await startStudio("studio", path.join(work, "small"))
    page = await openPage(browser, troubles)
    await page.goto(studio.url)
  })
  afterAll(async () => {
    await page?.close()
    await studio?.stop()
  })

  it("shows a drawing with its tokens, its judgments and its source", async () => {
    await tab(page, "Rollouts").click()
    await page.locator(".drawing a").first().click()
    await page.getByRole("heading", { name: "Judgments" }).waitFor()
    const tokens = page.getByRole("listbox", { name: "Tokens" }).getByRole("option")
    await tokens.first().focus()
    await page.keyboard.press("ArrowRight")
    assert.match(await page.locator("[role=option]:focus").getAttribute("aria-label") ?? "", /, \d[\d.]*\u202f%, \d+\.\d\d\u202fnats$/)
    assert.match(await page.locator("pre.source").innerText(), /^<svg/)
    await page.goBack()
    await page.locator(".drawing a").first().waitFor()
    noTrouble()
  })

  it("corrects a verdict", async () => {
    const corrections = page.locator(".segments")
    const links = await page.locator(".drawing a").evaluateAll((all) => all.map((link) => link.getAttribute("href")!))
    for (const link of links) {
      await page.goto(studio.url + link)
      await page.getByRole("heading", { name: "Judgments" }).waitFor()
      if (await corrections.count() > 0) break
    }
    await corrections.first().getByRole("button", { name: "The other" }).click()
    await page.reload()
    await corrections.first().locator("[aria-pressed=true]").waitFor()
    assert.strictEqual(await corrections.first().locator("[aria-pressed=true]").innerText(), "The other")
    noTrouble()
  })

  it("fills in no prompts where a person is typing some", async () => {
    const page = await openPage(browser, troubles)
    let answer = () => {}
    const asked = new Promise<void>((resolve) => answer = resolve)
    await page.route(/\/rollouts\?/, async (route) => {
      await asked
      await route.continue()
    })
    await page.goto(at("compare"))
    const prompts = page.getByLabel("Prompts, one a line")
    await prompts.focus()
    answer()
    await page.waitForResponse(/\/rollouts\?/)
    await prompts.pressSequentially("a red hat")
    assert.strictEqual(await prompts.inputValue(), "a red hat")
    await page.close()
    noTrouble()
  })

  it("compares two policies on the same prompts", async () => {
    await page.goto(at("compare"))
    await compareTwo(page)
    assert.strictEqual(await page.locator(".comparison").count(), 2)
    assert.strictEqual(await page.locator(".comparison .side .frame").count(), 4)
    assert.match(page.url(), /a=base&b=adapter/)
    noTrouble()
  })

  it("draws in the playground and lets a judge judge", async () => {
    await page.goto(at("playground"))
    await judgeTwo(page)
    assert.match(await page.locator(".answer b").innerText(), /better$/)
    noTrouble()
  })

  it("takes 20 votes by key, and gives them back as preference rows", async () => {
    await page.goto(at("votes"))
    const votes = page.locator(".votes + section .tile dd").first()
    const cast = async () => Number(await votes.evaluate((tile) => tile.firstChild?.textContent))
    await page.locator(".choice[aria-disabled=false]").first().waitFor()
    const before = await cast()
    const expect = async (n: number) => {
      await page.waitForFunction((n) => Number(document.querySelector(".votes + section .tile dd")?.firstChild?.textContent) === n, before + n)
      await page.locator(".choice[aria-disabled=false]").first().waitFor()
    }
    for (let n = 1; n <= 20; n++) {
      await page.keyboard.press(n === 7 ? "3" : n % 2 === 0 ? "1" : "2")
      await expect(n)
    }
    await page.keyboard.press("u")
    await expect(19)
    await page.keyboard.press("1")
    await expect(20)
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: /Download/ }).click()])
    const rows = fs.readFileSync(await download.path(), "utf8").trimEnd().split("\n").map((row) => JSON.parse(row))
    // One of them was neither; a corrected verdict is a row too.
    assert.strictEqual(rows.length, before + 19)
    for (const { chosen, rejected } of rows) assert.notStrictEqual(chosen[0].content, rejected[0].content)
    noTrouble()
  })

  it("shuts nobody out", async () => {
    await page.goto(at("rollouts"))
    const rollout = await page.locator(".drawing a").first().getAttribute("href")
    await checkViews({
      overview: { url: studio.url, ready: charted },
      rollouts: { url: at("rollouts"), ready: drawn },
      rollout: { url: studio.url + rollout, ready: drawn },
      compare: { url: at("compare"), ready: compareTwo },
      playground: { url: at("playground"), ready: judgeTwo },
      votes: { url: at("votes"), ready: drawn }
    })
  })

  it("is used by keyboard alone", async () => {
    await page.goto(studio.url)
    await tab(page, "Overview").focus()
    await page.keyboard.press("ArrowRight")
    await page.waitForURL(/rollouts$/)
    assert.strictEqual(await page.evaluate(() => document.activeElement?.textContent), "Rollouts")
    await page.locator(".drawing a").first().waitFor()
    await page.locator(".drawing a").first().focus()
    await page.keyboard.press("Enter")
    await page.getByRole("heading", { name: "Judgments" }).waitFor()
    await page.waitForFunction(() => document.activeElement?.id === "rollout-title")
    noTrouble()
  })
})

describe.skipIf(chromium === undefined)(`a folder of runs, one of them of ${steps} steps and ${drawings} drawings`, () => {
  let studio: Studio

  beforeAll(async () => {
    const folder = path.join(work, "runs")
    await writeBigRun(path.join(folder, "big"))
    fs.mkdirSync(path.join(folder, "empty"))
    fs.writeFileSync(path.join(folder, "empty/config.json"), `{ "max_steps": 10 }`)
    studio = await startStudio("studio", folder)
  })
  afterAll(() => studio?.stop())

  it("lists them", async () => {
    const page = await openPage(browser, troubles)
    await page.goto(studio.url)
    await page.locator(".run-card").nth(1).waitFor()
    await page.getByRole("link", { name: "big" }).click()
    await charted(page)
    await page.close()
    noTrouble()
  })

  it("opens the big one in under a second", async () => {
    /** The best of a few, each in a page of its own. */
    const milliseconds = async (view: string, ready: (page: Page) => Promise<unknown>): Promise<number> => {
      const all: Array<number> = []
      for (let n = 0; n < 5; n++) {
        const page = await openPage(browser, troubles)
        const begun = performance.now()
        await page.goto(`${studio.url}#/run/big/${view}`)
        await ready(page)
        all.push(performance.now() - begun)
        await page.close()
      }
      return Math.min(...all)
    }
    const [curves, table] = [await milliseconds("overview", charted), await milliseconds("rollouts", drawn)]
    const most = 1000 * patience()
    console.log(`Of ${steps} steps: the curves are drawn after ${curves.toFixed(0)} ms, the first drawings after ${table.toFixed(0)} ms; at most ${most.toFixed(0)} ms as busy as this machine is.`)
    assert.isBelow(curves, most)
    assert.isBelow(table, most)
    noTrouble()
  })

  it("scrolls through its drawings with few of them in the page", async () => {
    const page = await openPage(browser, troubles)
    await page.goto(`${studio.url}#/run/big/rollouts`)
    await drawn(page)
    const frames: Array<number> = []
    let cards = 0
    let turns = 0
    let oldest = steps
    while (oldest > steps - 500 && turns < 1000) {
      turns++
      await page.mouse.wheel(0, 1500)
      const seen = await page.evaluate(async () => {
        const begun = performance.now()
        await new Promise(requestAnimationFrame)
        await new Promise(requestAnimationFrame)
        const steps = [...document.querySelectorAll(".drawing .foot span:first-child")].map(({ textContent }) => Number(textContent!.replace(/\D/g, "")))
        return { cards: document.querySelectorAll(".drawing").length, frame: (performance.now() - begun) / 2, oldest: Math.min(Infinity, ...steps) }
      })
      cards = Math.max(cards, seen.cards)
      frames.push(seen.frame)
      if (Number.isFinite(seen.oldest)) oldest = seen.oldest
    }
    const frame = frames.toSorted((a, b) => a - b)[Math.floor(frames.length / 2)]!
    console.log(`After ${turns} turns of the wheel the list is at step ${oldest}; at most ${cards} cards in the page, half of the frames within ${frame.toFixed(0)} ms.`)
    assert.isAtMost(oldest, steps - 500)
    assert.isBelow(cards, 300)
    assert.isBelow(frame, 34 * patience())
    await drawn(page)

    // The way back from a drawing leads to the same place.
    const there = await page.evaluate(() => scrollY)
    await page.locator(".drawing a").nth(20).click()
    await page.getByRole("heading", { name: "Judgments" }).waitFor()
    await page.goBack()
    await page.locator(".drawing a").nth(20).waitFor()
    assert.closeTo(await page.evaluate(() => scrollY), there, 2)

    await page.getByLabel("Jump to step").fill("4321")
    await page.getByText("step 4,321").first().waitFor()
    await page.getByLabel("Prompt").fill("GREEN STAR")
    await page.getByLabel("Rendering").selectOption("malformed")
    await page.locator(".drawing .missing").first().waitFor()
    for (const text of await page.locator(".drawing .prompt").allInnerTexts()) assert.match(text, /green star/)

    await page.goto(`${studio.url}#/run/big/rollouts?prompt=${encodeURIComponent(hostile)}`)
    await page.getByText(hostile).first().waitFor()
    assert.strictEqual(await page.locator("img[src=x]").count(), 0)
    await page.close()
    noTrouble()
  })

  it("shuts nobody out", async () => {
    await checkViews({
      runs: { url: studio.url, ready: (page) => page.locator(".run-card").first().waitFor() },
      overview: { url: `${studio.url}#/run/big/overview`, ready: charted },
      rollouts: { url: `${studio.url}#/run/big/rollouts`, ready: drawn },
      empty: { url: `${studio.url}#/run/empty/overview`, ready: (page) => page.getByText("No step is done yet.").waitFor() }
    })
  })
})
