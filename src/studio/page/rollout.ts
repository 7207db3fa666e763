/** One drawing: what it looks like, how it was drawn, what was said of it and what was learned from it. */
import { useEffect, useRef, useState } from "preact/hooks"
import { ask, type Overview, pictureOf, type Place, type Rollout, told } from "./ask.ts"
import { dollars, integer, meanings, number, percent } from "../../report/words.ts"
import { finished, fixed } from "./format.ts"
import { html } from "./html.ts"
import { useLive } from "./live.ts"
import { isBetter, record } from "./newest.ts"
import { Picture } from "./picture.ts"
import { lastList } from "./rollouts.ts"
import { toRollout } from "./route.ts"
import { Tokens } from "./tokens.ts"

type Judgment = Rollout["verdicts"][number]

const outcomes: Readonly<Record<Judgment["outcome"], string>> = {
  won: "this one is better",
  lost: "the other is better",
  tie: "neither is better",
  invalid: "neither rendered",
  failed: "no usable answer"
}
const choices = [["won", "left", "This"], ["lost", "right", "The other"], ["tie", "tie", "Neither"]] as const

interface CorrectionProps {
  readonly run: string
  readonly rollout: Rollout
  readonly verdict: Judgment
  readonly changed: () => void
}

/** What a person says against a judge that they have seen. */
const Correction = ({ changed, rollout: { index, promptId, step }, run, verdict: { against, person } }: CorrectionProps) => {
  const [trouble, setTrouble] = useState("")
  const [chosen, setChosen] = useState(person)
  useEffect(() => setChosen(person), [person])
  const vote = async (outcome: (typeof choices)[number][0], choice: (typeof choices)[number][1]) => {
    setChosen(outcome)
    try {
      await ask.vote(run, { step, promptId, left: index, right: against, choice, blind: false })
      setTrouble("")
      changed()
    } catch (error) {
      setChosen(person)
      setTrouble(told(error))
    }
  }
  return html`<div class="segments" role="group" aria-label=${`Your word on this and no. ${against + 1}`}>
    ${choices.map(([outcome, choice, label]) => html`<button key=${outcome} type="button" aria-pressed=${String(chosen === outcome)} onClick=${() => vote(outcome, choice)}>${label}</button>`)}
    <span class="trouble" role="status">${trouble}</span>
  </div>`
}

const placeNames = { this: "this", other: "the other", tie: "neither" } as const

const Verdict = ({ changed, rollout, run, verdict }: CorrectionProps) => {
  const { against, by, confidence, costUsd, otherScore, outcome, places, reason, score } = verdict
  const other = rollout.siblings.find(({ index }) => index === against)
  const place = { ...rollout, index: against }
  const both = rollout.rendering === "rendered" && other?.rendering === "rendered"
  return html`<li class=${outcome === "won" ? "verdict better" : "verdict"}>
    <a class="against" href=${toRollout(run, place)}><${Picture} src=${pictureOf(run, place)} reason=${other?.reason ?? null} alt=${`No. ${against + 1}`} /></a>
    <div>
      <p><b>${outcomes[outcome]}</b> <span class="soft">against no. ${against + 1}, by ${by}</span></p>
      ${reason !== null && html`<p class="said">${reason}</p>`}
      <p class="facts soft">
        ${(outcome === "won" || outcome === "lost") && html`<span>${percent(confidence)} sure</span>`}
        ${score !== null && otherScore !== null && html`<span>scores ${number(score)} and ${number(otherScore)}</span>`}
        ${places.length > 0 && html`<span>${places.map((place, i) => `${i === 0 ? "first order" : "places swapped"}: ${placeNames[place]}`).join("; ")}</span>`}
        ${costUsd !== null && html`<span>${dollars(costUsd)}</span>`}
      </p>
      ${both && html`<${Correction} run=${run} rollout=${rollout} verdict=${verdict} changed=${changed} />`}
    </div>
  </li>`
}

const lesson = ({ against, as, signal }: Rollout["lessons"][number]): string =>
  as === "advantage" ? `advantage ${number(signal)}` : `${as} against no. ${(against ?? 0) + 1}, label ${fixed(signal, 2)}`

const Source = ({ svg }: { readonly svg: string }) => {
  const [said, setSaid] = useState("")
  const copy = () => navigator.clipboard.writeText(svg).then(() => setSaid("Copied."), () => setSaid("The browser does not allow it: select the text."))
  return html`<section aria-labelledby="source-title">
    <h2 id="source-title">Source</h2>
    <p class="listed"><button type="button" onClick=${copy}>Copy</button><span class="soft" role="status">${said}</span></p>
    <pre class="source" tabindex="0" role="group" aria-labelledby="source-title"><code>${svg}</code></pre>
  </section>`
}

const Facts = ({ rollout: { finish, policyVersion, score, seed, tokens, ...rest } }: { readonly rollout: Rollout }) =>
  html`<dl class="pairs">
    <dt>Verdicts</dt><dd>${record(rest) || "not judged"}</dd>
    ${score !== null && html`<dt>Score</dt><dd>${number(score)}</dd>`}
    <dt>Policy version</dt><dd>${integer(policyVersion)}</dd>
    <dt>Tokens</dt><dd>${integer(tokens)}, ${finished(finish)}</dd>
    <dt>Seed</dt><dd>${seed}</dd>
    ${rest.rendering !== "rendered" && html`<dt>${rest.rendering}</dt><dd>${rest.reason}${meanings[rest.reason ?? ""] && `: ${meanings[rest.reason ?? ""]}`}${rest.detail !== null && html`<span class="said">${rest.detail}</span>`}</dd>`}
  </dl>`

const Siblings = ({ rollout, run }: { readonly rollout: Rollout; readonly run: string }) =>
  html`<nav class="siblings" aria-label="Drawings of the prompt in this step"><ul>${rollout.siblings.map(({ index, reason }) => {
    const place = { ...rollout, index }
    return html`<li key=${index}><a href=${toRollout(run, place)} aria-current=${index === rollout.index ? "page" : null}><${Picture} src=${pictureOf(run, place)} reason=${reason} alt=${`No. ${index + 1}`} /></a></li>`
  })}</ul></nav>`

export const RolloutPage = ({ overview, place, run }: { readonly run: string; readonly place: Place; readonly overview: Overview | undefined }) => {
  const key = `${run} ${place.step} ${place.promptId} ${place.index}`
  const { refresh, trouble, value: rollout } = useLive(key, (signal) => ask.rollout(run, place, signal), "once")
  const heading = useRef<HTMLHeadingElement>(null)
  const found = rollout !== undefined
  // The link that led here may be gone.
  useEffect(() => heading.current?.focus({ preventScroll: true }), [key, found])
  const back = html`<p class="back"><a href=${lastList(run)}>← Rollouts</a></p>`
  if (rollout === undefined) return html`<section class="first">${back}<p class="trouble" role="status">${trouble}</p>${trouble === undefined && html`<div class="look waiting"></div>`}</section>`
  const { index, lessons, prompt, step, tokenList, verdicts } = rollout
  return html`<section class="first" aria-labelledby="rollout-title">
      ${back}
      <h2 id="rollout-title" class="big" tabindex="-1" ref=${heading}>${prompt}</h2>
      <p class="note">Step ${integer(step)}, drawing no. ${index + 1} of ${rollout.siblings.length}</p>
      <div class="look">
        <div class=${isBetter(rollout) ? "large won" : "large"}><${Picture} src=${pictureOf(run, rollout)} reason=${rollout.reason} alt=${`“${prompt}”, drawing no. ${index + 1}`} /></div>
        <div><${Facts} rollout=${rollout} /><${Siblings} rollout=${rollout} run=${run} /></div>
      </div>
    </section>
    <section aria-labelledby="verdicts-title">
      <h2 id="verdicts-title">Judgments</h2>
      ${verdicts.length === 0
        ? html`<p class="note">It was not judged.</p>`
        : html`<p class="note">If a judge is wrong, say so: your word is kept beside its own and goes into the exported rows.</p>
          <ul class="verdicts">${verdicts.map((verdict) => html`<${Verdict} key=${verdict.against} run=${run} rollout=${rollout} verdict=${verdict} changed=${refresh} />`)}</ul>`}
    </section>
    <section aria-labelledby="lessons-title">
      <h2 id="lessons-title">Lessons</h2>
      ${lessons.length === 0
        ? html`<p class="note">Nothing was trained on it.</p>`
        : html`<div class="scroll" tabindex="0" role="group" aria-labelledby="lessons-title"><table><thead><tr><th scope="col">Lesson</th><th scope="col">Weight</th><th scope="col" class="text">Trained</th></tr></thead><tbody>${lessons.map((one, i) =>
          html`<tr key=${i}><th scope="row">${lesson(one)}</th><td>${number(one.weight)}</td><td class="text">${
            one.trainedAtStep !== null ? `at step ${integer(one.trainedAtStep)}` : one.droppedAtStep !== null ? `dropped as too old at step ${integer(one.droppedAtStep)}` : overview?.run.standing === "running" ? "waits" : "no"
          }</td></tr>`)}</tbody></table></div>`}
    </section>
    <section aria-labelledby="tokens-title"><h2 id="tokens-title">Tokens</h2><${Tokens} key=${key} tokens=${tokenList} /></section>
    <${Source} key=${key} svg=${rollout.svg} />`
}
