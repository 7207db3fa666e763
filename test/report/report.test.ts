import { assert, describe, it } from "@effect/vitest"
import { grouped } from "../../src/report/curves.ts"
import { html, json } from "../../src/report/html.ts"
import { dollars, duration, percent } from "../../src/report/words.ts"
import { type DrawingView, type MetricsRow, renderReport, type ReportData } from "../../src/report/report.ts"
import { encodePng } from "../../src/drawing/png.ts"
import { evaluated, learning } from "../support/evaluated.ts"

const png = encodePng(2, 2, new Uint8Array(16).fill(255))
const rendered = (score: number): DrawingView => ({ png, outcome: "rendered", score, right: score >= 0.9 })
const rejected: DrawingView = { png: undefined, outcome: "rejected: malformed", score: undefined, right: false }

const row = (step: number): MetricsRow => ({
  step,
  policyVersion: step,
  loss: 0.69 - step / 1000,
  "rewards/chosen": step / 100,
  "rewards/rejected": -step / 100,
  "rewards/margins": step / 50,
  "rewards/accuracies": 0.5,
  "logps/chosen": -80.123456,
  "logps/rejected": -90.123456,
  "objective/kl": 1.5,
  "objective/entropy": 80,
  grad_norm: 1.25,
  "judge/asked": 40,
  "judge/ties": 4,
  "judge/confidence": 0.75,
  "svg/valid": 0.9,
  "svg/unique": 0.8,
  "svg/length": 200,
  "svg/rejected/malformed": 3,
  "svg/rejected/blank": 0,
  "svg/killed/deadline": 1,
  "pairs/preferences": 30,
  "pairs/gate": 5,
  "seconds/sample": 2,
  "seconds/render": 1,
  "seconds/judge": 1,
  "seconds/train": 2,
  "seconds/step": 3
})

const report = (changes: Partial<ReportData> = {}): ReportData => ({
  title: "a run",
  command: "vequinox train",
  summary: {
    objective: "sigmoid",
    steps: 300,
    pairs: 9000,
    advantages: 0,
    seconds: 1043,
    ...evaluated,
    costUsd: 0,
    alarms: [],
    faults: { "svg/rejected/malformed": 900, "judge/failed": 2 }
  },
  metrics: Array.from({ length: 300 }, (_, step) => row(step)),
  examples: [
    { prompt: "a red cat", before: rejected, after: rendered(0.91), verdict: "after" },
    { prompt: "two stars", before: rendered(0.5), after: rendered(0.5), verdict: "tie" }
  ],
  config: { seed: 1, lora: { r: 16, targets: ["q_proj", "v_proj"] } },
  finished: true,
  ...changes
})

/** Narrow spaces between numbers and units as plain ones. */
const page = (changes: Partial<ReportData> = {}) => renderReport(report(changes)).replaceAll("\u202f", " ")
/** The page without its style and scripts. */
const visible = (text: string) => text.replace(/<(style|script)\b.*?<\/\1>|<!--.*?-->/gs, "")
const titles = (text: string, level: 2 | 3) =>
  [...visible(text).matchAll(new RegExp(`<h${level}[^>]*>(.*?)</h${level}>`, "g"))].map(([, title]) => title)
const curveData = (text: string) => JSON.parse(/id="curve-data">(.*?)<\/script>/s.exec(text)![1]!)

const learningTitles = ["By temperature", "By kind of prompt", "Best of several drawings", "Win rate"]
const panelTitles = [
  "Reward margin",
  "Reward accuracy",
  "Loss",
  "Rewards",
  "Log-probabilities",
  "KL to the reference",
  "Valid and distinct",
  "Completion length",
  "Entropy",
  "Judge",
  "Lessons",
  "Gradient norm"
]

describe("renderReport", () => {
  it("says first what came of the run", () => {
    const text = visible(page()).replace(/<[^>]*>/g, "")
    assert.include(text, "Drawn right, of 256 held-out prompts: 35 % before, 78 % after (+43 [38, 48] points).")
    assert.include(text, learning.sentence)
    assert.include(text, "before at 0.3, after at 0; both at 1: 20 % before, 70 % after")
    assert.include(text, "17 min 23 s")
    assert.include(text, "99.8 %") // not 100: one drawing failed
    assert.notInclude(text, "Interrupted")
    assert.include(page({ finished: false }), "Interrupted")
  })

  it("shows both policies at every temperature, with the best of each marked", () => {
    const text = page()
    const curves = /<svg class="temperatures".*?<\/svg>/s.exec(text)![0]
    assert.deepStrictEqual([...curves.matchAll(/<polyline points="([^"]*)"/g)].map(([, points]) => points!.split(" ").length), [3, 3])
    assert.include(curves, `aria-label="drawings right by temperature: before best 35 % at 0.3; after best 78 % at 0"`)
    const best = [...curves.matchAll(/<polyline points="([^"]*)".*?<circle class="best" cx="([^"]*)" cy="([^"]*)"/gs)]
    assert.deepStrictEqual(best.map(([, points, x, y]) => points!.split(" ").indexOf(`${x},${y}`)), [1, 0])
    const rows = /By temperature.*?<tbody>(.*?)<\/tbody>/s.exec(text)![1]!.replace(/<[^>]*>/g, " ").replace(/ +/g, " ")
    assert.include(rows, "0.3 35 % (best) 77 %")
    assert.include(rows, "0 30 % 78 % (best)")
  })

  it("says of each kind whether it was learned", () => {
    const text = page().replace(/<\/?t[dh][^>]*>/g, " ").replace(/ +/g, " ")
    assert.match(text, /all 256 35 % \[30–40 %\] 78 % \[73–83 %\] \+43 \[38, 48\] learned/)
    assert.match(text, /counts 56 30 % \[25–35 %\] 32 % \[27–37 %\] \+2 \[−3, 7\] no gain shown/)
  })

  it("tells the best of several drawings with what they cost, or why nobody chose", () => {
    const text = page().replace(/<\/?t[dh][^>]*>/g, " ").replace(/ +/g, " ")
    assert.match(text, /trained, one drawing 78 % 60/)
    assert.match(text, /before, best of 4 38 % 240 \+40 \[40, 50\]/)
    const { summary } = report()
    assert.include(page({ summary: { ...summary, learning: { ...learning, bestOf: { notAsked: "the judge is paid" } } } }), "Not measured: the judge is paid.")
  })

  it("has a margin and the prompts that decided beside each win rate", () => {
    const text = page().replace(/<\/?t[dh][^>]*>/g, " ").replace(/ +/g, " ")
    assert.match(text, /scene check 71 % 65–76 % 0.02 180 of 256 80 % \[73–85 %\]/)
  })

  it("tells scores where prompts have no right and wrong, and nothing where nothing was compared", () => {
    const { summary } = report()
    const scored = page({ summary: { ...summary, learning: { ...learning, measure: "score", scorer: "a scorer", right: null, kinds: [] } } })
    assert.include(scored.replace(/<[^>]*>/g, ""), "Mean a scorer score on 256 held-out prompts: 0.45 before, 0.88 after (+0.43 [0.4, 0.46]).")
    assert.notInclude(scored, "By kind of prompt")
    const nothing = page({ summary: { ...summary, learning: null } })
    assert.include(nothing, "No drawings of held-out prompts were compared")
    assert.notInclude(titles(nothing, 2), "What was learned")
  })

  it("says what was minimised and what was learned from", () => {
    assert.include(visible(page()).replace(/<[^>]*>/g, ""), "Online DPO: 300 steps, 9,000 preference pairs.")
    const metrics = [{ step: 0, loss: 0.1, "advantages/abs": 0.25, "advantages/made": 64, "logps/better": -80, "logps/worse": -85, "pairs/gate": 3 }]
    const { summary } = report()
    const other = page({ metrics, summary: { ...summary, learning: null, objective: "reinforce", pairs: 0, advantages: 1200, faults: { "advantages/stale": 2 } } })
    const text = visible(other).replace(/<[^>]*>/g, " ")
    assert.match(text, /Policy gradient *: 300 steps, 1,200 judged drawings\./)
    assert.match(text, /Drawings trained *1,200/)
    assert.match(text, /advantages\/stale *2 *drawings too old to be trained/)
    assert.notMatch(text, /DPO|preference pair/)
    assert.deepStrictEqual(titles(other, 3), ["Loss", "Log-probabilities", "Advantages", "Lessons", "Other faults the run survived"])
  })

  it("has every section and every panel, in this order", () => {
    assert.deepStrictEqual(titles(page(), 2), [
      "What was learned",
      "Before and after",
      "Curves",
      "Rejected and killed",
      "Where the time went",
      "Settings"
    ])
    assert.deepStrictEqual(titles(page(), 3), [...learningTitles, ...panelTitles, "Other faults the run survived"])
    assert.lengthOf(curveData(page()).panels, panelTitles.length)
  })

  it("leaves out panels and curves without numbers", () => {
    const some = page({ metrics: [{ step: 0, loss: 0.7, "svg/valid": 1 }, { step: 1, loss: 0.6 }] })
    assert.deepStrictEqual(titles(some, 3).slice(learningTitles.length, learningTitles.length + 2), ["Loss", "Valid and distinct"])
    assert.deepStrictEqual(curveData(some).panels, [
      { share: false, series: [[0.7, 0.6]] },
      { share: true, series: [[1, null]] }
    ])
    assert.notInclude(some, "Where the time went")
  })

  it("is a page without examples, metrics, scorers and settings too", () => {
    const { summary } = report()
    const bare = page({ examples: [], metrics: [], config: {}, summary: { ...summary, learning: null, otherWinRates: [], faults: {} } })
    assert.deepStrictEqual(titles(bare, 2), [])
    assert.deepStrictEqual(curveData(bare).panels, [])
  })

  it("shows a drawing that failed as its reason, and marks the better one", () => {
    const card = /<figure class="card" data-verdict="better">.*?<\/figure>/s.exec(page())![0]
    assert.include(card, "<span>rejected</span><b>malformed</b>")
    assert.strictEqual(card.split("<img").length, 2)
    assert.match(card, /class="side won">.*alt="“a red cat”, drawn after training" width="2" height="2" loading="lazy"/s)
    assert.include(page(), `data-verdict="tie"`)
  })

  it("counts what was rejected and killed, and what overlapped", () => {
    const text = visible(page())
    assert.match(text, /malformed<\/th><td>900<\/td><td>3.00/)
    assert.match(text, /deadline<\/th><td>300<\/td>/)
    assert.notInclude(text, "blank</th>")
    assert.include(text, "an overlap of <b>2.00</b>")
  })

  it("lets no text from outside become markup", () => {
    const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"' onload='alert(3)&lt;`
    const text = page({
      title: hostile,
      command: hostile,
      summary: {
        ...report().summary,
        winRate: { ...evaluated.winRate, scorer: hostile },
        otherWinRates: [{ ...evaluated.winRate, scorer: hostile }],
        learning: { ...learning, sentence: hostile, scorer: hostile, bestOf: { notAsked: hostile } },
        faults: { [hostile]: 3 }
      },
      examples: [{
        prompt: hostile,
        before: { png: undefined, outcome: `rejected: ${hostile}`, score: undefined, right: false },
        after: rendered(1),
        verdict: "after"
      }],
      metrics: [{ step: 0, [`svg/rejected/${hostile}`]: 2, loss: 1 }],
      config: { [hostile]: { [hostile]: hostile, list: [hostile] } }
    })
    assert.strictEqual(text.match(/<script/g)!.length, page().match(/<script/g)!.length)
    assert.strictEqual(text.match(/<img /g)!.length, 1)
    const attributes = visible(text).replace(/"[^"]*"/g, `""`)
    assert.notMatch(attributes, /<[^>]*\son\w+\s*=/)
    assert.include(text, "&lt;/script&gt;&lt;script&gt;alert(1)")
  })

  it("loads nothing from anywhere", () => {
    const text = page()
    assert.include(text, `http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; img-src data:;`)
    const loads = [...text.matchAll(/\b(?:src|href|srcset|action|data)\s*=\s*"([^"]*)"|url\(([^)]*)\)|@import/g)]
    for (const [, attribute = ""] of loads) assert.match(attribute, /^data:image\/png;base64,/)
    // uPlot's banner names its home; nothing else on the page is an address.
    const addresses = text.match(/(https?:)?\/\/[a-z0-9]+\.[^\s"')]*/gi) ?? []
    assert.deepStrictEqual(addresses, ["https://github.com/leeoniya/uPlot"])
  })

  it("is below 150 kB without pictures, however long the run", () => {
    for (const steps of [300, 4000]) {
      const noisy = Array.from({ length: steps }, (_, step) =>
        Object.fromEntries(Object.entries(row(step)).map(([name, value]) => [name, name === "step" ? step : value * Math.PI / 3])))
      assert.isBelow(Buffer.byteLength(page({ metrics: noisy, examples: [] })), 150_000)
    }
  })

  it("joins neighbouring steps of a long run into means", () => {
    const data = curveData(page({ metrics: Array.from({ length: 1001 }, (_, step) => ({ step, loss: step })) }))
    assert.strictEqual(data.every, 3)
    assert.deepStrictEqual(data.steps.slice(0, 3), [0, 3, 6])
    assert.deepStrictEqual(data.panels[0].series[0].slice(0, 3), [1, 4, 7])
  })
})

describe("html", () => {
  it("escapes text and keeps markup", () => {
    assert.strictEqual(html`<p title="${`"'`}">${"<b>"}${html`<i>${1}</i>`}${false}${undefined}</p>`.markup, `<p title="&quot;&#39;">&lt;b&gt;<i>1</i></p>`)
    assert.strictEqual(json({ a: "</script>" }).markup, `{"a":"\\u003c/script>"}`)
  })

  it("writes numbers for people", () => {
    const plain = (text: string) => text.replaceAll("\u202f", " ")
    assert.deepStrictEqual([0, 0.004, 0.5, 0.997, 1].map((share) => plain(percent(share))), ["0 %", "0.4 %", "50 %", "99.7 %", "100 %"])
    assert.deepStrictEqual([0.25, 59.6, 61, 3725].map((s) => plain(duration(s))), ["0.25 s", "1 min 0 s", "1 min 1 s", "1 h 2 min"])
    assert.deepStrictEqual([0, 0.001, 1.5].map(dollars), ["$0", "under $0.01", "$1.50"])
  })

  it("groups neighbours", () => {
    assert.deepStrictEqual(grouped([1, 2, 3, 4, 5], 2), [[1, 2, 3], [4, 5]])
    assert.deepStrictEqual(grouped([], 2), [])
  })
})
