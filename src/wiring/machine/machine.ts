/** What `vequinox doctor` found on a machine: its shape, what is wrong with it in one sentence, and the page for people. */
import type { Fit } from "./models-that-fit.ts"
import { serverUrl } from "../../system/server-address.ts"

/** Whether something works, and if not, why. */
export interface Check {
  readonly ok: boolean
  /** Undefined when ok. */
  readonly why: string | undefined
}

/** Sizes are bytes. */
export interface Machine {
  readonly node: { readonly version: string; readonly wanted: string; readonly ok: boolean }
  readonly platform: string
  readonly arch: string
  /** Undefined if it cannot be loaded. */
  readonly onnxruntime: string | undefined
  readonly devices: Readonly<Record<"cpu" | "webgpu" | "cuda", Check>>
  readonly cores: number
  /** `limit` is a container's, undefined if there is none. `free` is the limit for a run. */
  readonly memory: { readonly total: number; readonly limit: number | undefined; readonly free: number }
  readonly renderer: Check
  readonly disk: Readonly<Record<"current" | "cache", Check & { readonly folder: string; readonly free: number | undefined }>>
  /** Whether the variable is set; never its value. */
  readonly keys: Readonly<Record<string, boolean>>
  /** Addresses without user, password, query or fragment. */
  readonly addresses: Readonly<Record<string, string>>
  readonly models: Readonly<Record<string, Check>>
  /** The LoRA rank that `fits` assumes. */
  readonly loraR: number
  readonly fits: ReadonlyArray<Fit>
}

export const passed: Check = { ok: true, why: undefined }
export const failed = (why: string): Check => ({ ok: false, why: why.split("\n")[0]!.replace(/\.$/, "") })

/** The address as it may be shown: user, password, query and fragment can hold secrets. */
export const shownAddress = (text: string): string => {
  const url = serverUrl(text)
  return url !== undefined ? url.origin + url.pathname : "not an address"
}

/** Bytes that a small run's folder may take. */
const runBytes = 100e6

/**
 * What keeps `vequinox train` from running and what to do about it, in one sentence, the first cause first; undefined
 * if nothing does.
 */
export const obstacle = (m: Machine): string | undefined => {
  const broken = Object.entries(m.models).find(([, { ok }]) => !ok)
  const smallest = m.fits[0]
  const { current } = m.disk
  return [
    !m.node.ok && `Node ${m.node.version} is too old: install Node ${m.node.wanted}.`,
    !m.devices.cpu.ok && `onnxruntime does not run here (${m.devices.cpu.why}): install the packages again on this platform.`,
    !m.renderer.ok && `Nothing can be rendered (${m.renderer.why}): install the packages again on this platform.`,
    broken && `The embedded model ${broken[0]} cannot be opened (${broken[1].why}): install vequinox again.`,
    smallest?.trains === false &&
    `The embedded model needs ${gb(smallest.trainerBytes + smallest.samplerBytes)} of memory to train and ${gb(m.memory.free)} are free: end other programs or raise the container's limit.`,
    !current.ok && `The current folder cannot be used (${current.why}): change to another.`,
    current.free !== undefined && current.free < runBytes &&
    `The current folder's disk has ${gb(current.free)} left, which is too little for a run: free some space or change to another folder.`
  ].find((text): text is string => typeof text === "string")
}

const gb = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`

/** Columns as wide as their widest cell, two spaces apart. */
const aligned = (rows: ReadonlyArray<ReadonlyArray<string>>): Array<string> => {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd())
}

const shown = ({ ok, why }: Check): string => ok ? "ok" : `no: ${why}`
const yesNo = (yes: boolean): string => yes ? "yes" : "no"

/** The page: labels and values, then the table of models. */
export const machinePage = (m: Machine): string => {
  const facts: ReadonlyArray<readonly [string, string]> = [
    ["Node", m.node.ok ? m.node.version : `${m.node.version}, too old: ${m.node.wanted} is needed`],
    ["platform", `${m.platform} ${m.arch}, ${m.cores} cores`],
    ["memory", `${gb(m.memory.free)} free of ${gb(m.memory.total)}${m.memory.limit === undefined ? "" : `, limited to ${gb(m.memory.limit)}`}`],
    ["onnxruntime", m.onnxruntime ?? "cannot be loaded"],
    ...Object.entries(m.devices).map(([device, check]) => [`  ${device}`, shown(check)] as const),
    ["renderer", shown(m.renderer)],
    ...Object.entries(m.models).map(([model, check]) => [`model ${model}`, shown(check)] as const),
    ...Object.entries(m.disk).map(([name, { folder, free, ...check }]) =>
      [`disk, ${name}`, `${check.ok ? free === undefined ? "ok" : `${gb(free)} free` : shown(check)} (${folder})`] as const),
    ...Object.entries(m.keys).map(([name, set]) => [name, set ? "set" : "not set"] as const),
    ...Object.entries(m.addresses).map(([name, address]) => [name, address] as const)
  ]
  const rows = m.fits.map((fit) => [
    fit.model,
    String(fit.maxLength),
    fit.precision,
    gb(fit.samplerBytes),
    yesNo(fit.samples),
    gb(fit.trainerBytes),
    fit.trains && fit.gradientCheckpointing ? "with checkpointing" : yesNo(fit.trains),
    String(fit.maxNumSeqs)
  ])
  return [
    ...aligned(facts),
    "",
    `What fits by estimate: a sampler in the precision it takes by default, a LoRA trainer of rank ${m.loraR} in float32; a run that trains holds both.`,
    "",
    ...aligned([["model", "max_length", "sampler", "", "samples", "trainer", "trains", "max_num_seqs up to"], ...rows])
  ].join("\n")
}
