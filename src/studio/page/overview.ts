/** The state of a run at a glance, kept up to date. */
import { ask, type Overview } from "./ask.ts"
import { Curves } from "./curves.ts"
import { counted, dollars, duration, integer, meanings, number, percent } from "../../report/words.ts"
import { time } from "./format.ts"
import { html } from "./html.ts"
import { unknown, useLive } from "./live.ts"
import { Newest } from "./newest.ts"
import { toTab } from "./route.ts"
import { Change, Progress } from "./runs.ts"

const Tile = ({ children, detail, label }: { readonly children?: unknown; readonly detail: unknown; readonly label: string }) =>
  html`<div class="tile"><dt>${label}</dt><dd>${children}<small>${detail}</small></dd></div>`

/** Alarms that are seen at once. */
const mostAlarms = 3

const Alarms = ({ alarms }: Pick<Overview, "alarms">) => {
  const told = alarms.map(({ message, step }) => html`<p key=${`${step} ${message}`} class="warning"><b>Step ${integer(step)}.</b> ${message}</p>`).toReversed()
  return html`<div class="alarms"><div role="status">${told.slice(0, mostAlarms)}</div>
    ${told.length > mostAlarms && html`<details><summary>${counted(told.length - mostAlarms, "alarm")} before</summary>${told.slice(mostAlarms)}</details>`}</div>`
}

const Head = ({ overview: { alarms, cost, drawings, pairs, run, secondsLeft, sentence, stages } }: { readonly overview: Overview }) => {
  const perStep = stages.find(({ stage }) => stage === "step")?.seconds
  const steps = run.steps ?? run.step
  return html`<section class="first" aria-label="State">
    <${Alarms} alarms=${alarms} />
    ${sentence !== null && html`<p class="result">${sentence.replaceAll(" %", "\u202f%")}</p>`}
    <div class="progress"><${Progress} step=${run.step} steps=${run.steps} /></div>
    <dl class="tiles">
      <${Tile} label="Steps" detail=${perStep === undefined ? "no step is done yet" : `${duration(perStep)} a step`}>${integer(run.step)}${run.steps !== null && html` <span class="from">of ${integer(steps)}</span>`}</${Tile}>
      <${Tile} label="Time" detail=${secondsLeft !== null ? `${duration(secondsLeft)} left` : run.standing === "running" ? "time left unknown" : "wall clock"}>${duration(run.seconds)}</${Tile}>
      <${Tile} label="Drawings" detail=${counted(pairs, "pair")}>${integer(drawings)}</${Tile}>
      <${Tile} label="Cost" detail=${[
        (cost.forecastUsd ?? 0) > 0 && run.standing !== "finished" ? `${dollars(cost.forecastUsd!)} forecast` : "paid to judges",
        ...(cost.budgetUsd === null ? [] : [`budget ${dollars(cost.budgetUsd)}`])
      ].join(", ")}>${dollars(cost.usd)}</${Tile}>
      ${run.right !== null && html`<${Tile} label="Drawn right" detail="held-out prompts"><${Change} before=${run.right.before} after=${run.right.after} /></${Tile}>`}
      <${Tile} label="Judge" detail=${run.objective ?? ""}><span class="word">${run.judge ?? "–"}</span></${Tile}>
    </dl>
  </section>`
}

const stageNames = ["sample", "render", "judge", "train"]

const Time = ({ queues, stages }: Pick<Overview, "queues" | "stages">) => {
  const seconds = (stage: string) => stages.find((one) => one.stage === stage)?.seconds ?? 0
  const times = stageNames.map(seconds)
  const work = times.reduce((a, b) => a + b, 0)
  if (work === 0 && queues === null) return null
  const scale = 100 / Math.max(work, seconds("step"), 1e-9)
  return html`<section aria-labelledby="time-title">
    <h2 id="time-title">Where the time goes</h2>
    <p class="note">Medians of the last steps. The stages work side by side, so a step may take less than their sum.</p>
    <div class="spent" aria-hidden="true">
      <span>stages</span><div>${times.map((time, i) => html`<i key=${i} class=${`k${i + 1}`} style=${`width:${(time * scale).toFixed(2)}%`}></i>`)}</div>
      <span>step</span><div><i class="wall" style=${`width:${(seconds("step") * scale).toFixed(2)}%`}></i></div>
    </div>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="time-title"><table>
      <thead><tr><th scope="col">Stage</th><th scope="col">Seconds a step</th>${queues !== null && html`<th scope="col">Waiting</th><th scope="col">Working</th>`}</tr></thead>
      <tbody>
        ${stageNames.map((stage, i) => {
          const queue = queues?.find((one) => one.stage === stage)
          return html`<tr key=${stage}><th scope="row"><i class=${`key k${i + 1}`}></i>${stage}</th><td>${number(times[i]!)}</td>${queues !== null && html`<td>${queue?.waiting ?? "–"}</td><td>${queue?.working ?? "–"}</td>`}</tr>`
        })}
        <tr><th scope="row"><i class="key wall"></i>step</th><td>${number(seconds("step"))}</td>${queues !== null && html`<td></td><td></td>`}</tr>
        <tr><th scope="row"><i class="key"></i>optimizer waits</th><td>${number(seconds("wait"))}</td>${queues !== null && html`<td></td><td></td>`}</tr>
      </tbody>
    </table></div>
  </section>`
}

const Cost = ({ cost: { budgetUsd, byJudge, forecastUsd, usd } }: Pick<Overview, "cost">) => {
  const most = Math.max(budgetUsd ?? 0, forecastUsd ?? 0, usd)
  return html`<section aria-labelledby="cost-title">
    <h2 id="cost-title">Judges</h2>
    <p class="note">${dollars(usd)} so far${(forecastUsd ?? 0) > usd && `, ${dollars(forecastUsd!)} when all steps are done`}${budgetUsd === null ? "" : `, at most ${dollars(budgetUsd)}`}.</p>
    ${budgetUsd !== null && html`<div class="spent" aria-hidden="true">
      <span>so far</span><div><i class="k1" style=${`width:${100 * usd / most}%`}></i></div>
      <span>forecast</span><div><i class="wall" style=${`width:${100 * (forecastUsd ?? 0) / most}%`}></i></div>
      <span>budget</span><div><i class="k2" style=${`width:${100 * budgetUsd / most}%`}></i></div>
    </div>`}
    ${byJudge.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-labelledby="cost-title"><table>
      <thead><tr><th scope="col">Answered by</th><th scope="col">Answers</th><th scope="col">Cost</th></tr></thead>
      <tbody>${byJudge.map(({ answers, judge, usd }) => html`<tr key=${judge}><th scope="row">${judge}</th><td>${integer(answers)}</td><td>${dollars(usd)}</td></tr>`)}</tbody>
    </table></div>`}
  </section>`
}

const Faults = ({ faults, run }: Pick<Overview, "faults"> & { readonly run: string }) =>
  faults.length === 0 ? null : html`<section aria-labelledby="faults-title">
    <h2 id="faults-title">Faults</h2>
    <p class="note">What went wrong and was survived.</p>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="faults-title"><table>
      <thead><tr><th scope="col">Reason</th><th scope="col">Count</th><th scope="col" class="text">Kind</th><th scope="col" class="text">Meaning, and an example</th></tr></thead>
      <tbody>${faults.map(({ count, example, kind, reason }) => html`<tr key=${`${kind} ${reason}`}>
        <th scope="row">${reason in meanings ? html`<a href=${toTab(run, "rollouts", [["reason", reason]])}>${reason}</a>` : reason}</th>
        <td>${integer(count)}</td><td class="text">${kind}</td>
        <td class="text example">${[meanings[reason], example].filter((part) => part).join(": ")}</td>
      </tr>`)}</tbody>
    </table></div>
  </section>`

const Kinds = ({ kinds }: Pick<Overview, "kinds">) =>
  kinds.length === 0 ? null : html`<section aria-labelledby="kinds-title">
    <h2 id="kinds-title">What was learned</h2>
    <p class="note">Share of held-out prompts drawn right, each policy at its best temperature.</p>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="kinds-title"><table>
      <thead><tr><th scope="col">Kind of prompt</th><th scope="col">Prompts</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>
      <tbody>${kinds.map(({ after, before, kind, prompts }) => html`<tr key=${kind}><th scope="row">${kind}</th><td>${integer(prompts)}</td><td>${percent(before)}</td><td>${percent(after)}</td></tr>`)}</tbody>
    </table></div>
  </section>`

const Checkpoints = ({ policies, run }: Pick<Overview, "policies"> & { readonly run: string }) => {
  const trained = policies.filter((policy) => policy !== "base")
  return trained.length === 0 ? null : html`<section aria-labelledby="checkpoints-title">
    <h2 id="checkpoints-title">Checkpoints</h2>
    <p class="note">Each opens beside the policy that training began with.</p>
    <ul class="chips">${trained.map((policy) => html`<li key=${policy}><a class="chip" href=${toTab(run, "compare", [["a", "base"], ["b", policy]])}>${policy}</a></li>`)}</ul>
  </section>`
}

const Log = ({ log }: Pick<Overview, "log">) =>
  log.length === 0 ? null : html`<section aria-labelledby="log-title">
    <h2 id="log-title">Log</h2>
    <ol class="log" tabindex="0" aria-labelledby="log-title" reversed>${log.toReversed().map(({ at, line }, i) => html`<li key=${log.length - i}><time>${time(at)}</time> ${line}</li>`)}</ol>
  </section>`

const Settings = ({ settings }: Pick<Overview, "settings">) =>
  html`<section aria-label="Settings"><details><summary>Settings: ${integer(settings.length)}</summary>
    <table class="settings"><tbody>${settings.map(({ name, value }) => html`<tr key=${name}><th scope="row">${name}</th><td>${value}</td></tr>`)}</tbody></table>
  </details></section>`

export const OverviewTab = ({ overview, run }: { readonly run: string; readonly overview: Overview | undefined }) => {
  const version = overview === undefined ? unknown : String(overview.lastStep)
  const curves = useLive(`${run}/curves`, (signal) => ask.curves(run, signal), version)
  return html`
    ${overview === undefined ? html`<section class="first"><div class="state waiting"></div></section>` : html`<${Head} overview=${overview} />`}
    <${Newest} run=${run} version=${version} />
    <${Curves} curves=${curves.value} />
    ${overview !== undefined && html`
      <div class="beside even"><${Time} ...${overview} /><${Cost} ...${overview} /></div>
      <${Kinds} kinds=${overview.kinds} />
      <${Faults} run=${run} faults=${overview.faults} />
      <${Checkpoints} run=${run} policies=${overview.policies} />
      <${Log} log=${overview.log} />
      <${Settings} settings=${overview.settings} />`}`
}
