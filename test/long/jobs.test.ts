/** Rounds of `trl dpo` on loopback clusters whose jobs really train: the contract, idempotence, faults, and what a job may not hand back. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber, Redacted } from "effect"
import { afterAll } from "vitest"
import type { JobCluster, JobFiles } from "../../layers/job/cluster.ts"
import { huggingFaceJobs } from "../../layers/job/hugging-face.ts"
import { hubRepo } from "../../layers/job/hub-repo.ts"
import { kubernetesJobs } from "../../layers/job/kubernetes.ts"
import { rayJobs } from "../../layers/job/ray.ts"
import { sharedFolder } from "../../layers/job/shared-folder.ts"
import * as OptimizerJob from "../../layers/optimizer/job.ts"
import { judgeGreen } from "../../examples/03-custom-judge.ts"
import { Preference } from "../../src/domain.ts"
import { run } from "../../src/index.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { optimizerContract } from "../stages/Optimizer.contract.ts"
import { candidate } from "../stages/make.ts"
import { type ClusterFault, type ClusterOptions, startHuggingFaceJobs, startKubernetes, startRay, wordsOf } from "../support/clusters.ts"
import { checkpoint, lora } from "../support/embedded-policy.ts"
import { startHubPushServer } from "../support/hub-push-server.ts"
import { ids, initial, jobOptions, pair, pairs } from "../support/job-options.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { trainRows } from "../support/trl-trainer.ts"

const work = scratchFolder("job")
const token = "hf_a_token_of_nobody"

let made = 0
const folderOf = () => path.join(work, String(made++))
const shared = (folder: string) => sharedFolder({ folder, mount: folder, model: { name: checkpoint.folder, revision: undefined } })

const optimizer = (cluster: JobCluster, files: JobFiles, more: Partial<OptimizerJob.OptimizerJobOptions> = {}) =>
  OptimizerJob.layer({ ...jobOptions, cluster, files, ...more })

/** The job of the contract's cluster: `trl dpo`, computed here. Any other program never ends. */
const compute: ClusterOptions["run"] = ([program, ...argv], log) => program === "trl" ? trainRows(argv, log) : new Promise(() => {})

const trained = new Map<string, string>()
/** The same, where the same rows, start and learning rate are computed once. */
const train: ClusterOptions["run"] = async (command, log, stopped) => {
  if (command[0] !== "trl") return compute(command, log, stopped)
  const one = (name: string) => command[command.indexOf(`--${name}`) + 1]!
  const key = createHash("sha256")
  for (const file of [`${one("dataset_name")}/train.jsonl`, `${one("resume_from_checkpoint")}/adapter_model.safetensors`]) key.update(fs.readFileSync(file))
  const known = key.update(one("learning_rate")).digest("hex")
  const before = trained.get(known)
  if (before === undefined) {
    await compute(command, log, stopped)
    fs.cpSync(one("output_dir"), path.join(work, known), { recursive: true })
    trained.set(known, path.join(work, known))
  } else {
    fs.cpSync(before, one("output_dir"), { recursive: true })
    log("{'loss': 'as before'}")
  }
}

const ray = await startRay({ run: compute })
afterAll(() => ray.close())
const onRay = (server: { readonly url: string } = ray) => rayJobs({ url: server.url, token: undefined, gpus: 0 })

optimizerContract("trl dpo as jobs of Ray, moments left out", (state) => optimizer(onRay(), shared(folderOf()), { initial: state, run: `${made}abcdefgh` }), initial, pairs)

/** A server for one test, and all that was told. */
const withRay = <A, E>(options: Partial<ClusterOptions>, use: (server: Awaited<ReturnType<typeof startRay>>, told: Array<string>, tell: (line: string) => Effect.Effect<void>) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.promise(() => startRay({ run: train, ...options })),
    (server) => {
      const told: Array<string> = []
      return use(server, told, (line) => Effect.sync(() => void told.push(line)))
    },
    (server) => Effect.promise(() => server.close())
  )

const oneStep = (layer: ReturnType<typeof optimizer>) => Optimizer.use(({ step }) => step(pairs)).pipe(Effect.provide(layer))
const refusal = (layer: ReturnType<typeof optimizer>, lessons: ReadonlyArray<Preference> = pairs) =>
  Optimizer.use(({ step }) => Effect.flip(step(lessons))).pipe(Effect.provide(layer), Effect.map(({ message }) => message))

describe("a round on Ray", () => {
  it.live("is started once, whoever asks, and its result is taken over by a process that comes later", () =>
    withRay({}, (server, told, tell) => Effect.gen(function*() {
      const files = shared(folderOf())
      const layer = () => optimizer(onRay(server), files, { tell })
      const [a, b] = yield* Effect.all([oneStep(layer()), oneStep(layer())], { concurrency: 2 })
      assert.strictEqual(server.started.length, 1)
      assert.deepStrictEqual(a.snapshot, b.snapshot)
      server.jobs.clear() // Ray's head was started anew and knows of nothing
      const c = yield* oneStep(layer())
      assert.strictEqual(server.started.length, 1)
      assert.deepStrictEqual(c.snapshot, a.snapshot)
      assert.isTrue(told.some((line) => line.includes("is there already, and is taken over")))
      assert.isTrue(told.some((line) => line.includes("'loss'")))
      assert.deepStrictEqual(a.metrics["rewards/margins"], 0) // the first update: policy and reference are the same
      const [{ body, id }] = server.started as [typeof server.started[0] & {}]
      assert.match(id, /^vequinox-0a1b2c3d-0-[0-9a-f]{10}$/)
      assert.strictEqual(body.submission_id, id)
      assert.deepStrictEqual(JSON.parse(fs.readFileSync(path.join(files.folder(id), "taken/taken.json"), "utf8")).job, id)
    })))

  it.live("that other lessons, another start or another setting would make is another job", () =>
    withRay({}, (server) => Effect.gen(function*() {
      const files = shared(folderOf())
      yield* oneStep(optimizer(onRay(server), files))
      yield* oneStep(optimizer(onRay(server), files, { initial: { ...initial, version: 3 } }))
      yield* oneStep(optimizer(onRay(server), files, { ...trainerDefaults(256, 1024, { learningRate: 2e-3 }), objective: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0 } }))
      yield* Optimizer.use(({ step }) => step(pairs.slice(1))).pipe(Effect.provide(optimizer(onRay(server), files)))
      assert.strictEqual(new Set(server.started.map(({ id }) => id)).size, 4)
    })))

  it.live("comes through lost answers, breaks, 429 and 503, and is still started once", () => {
    const faults: Array<ClusterFault> = [
      { on: /^GET \/api\/jobs\/vequinox/, does: "reset" },
      { on: /^POST \/api\/jobs\/$/, does: 429 },
      { on: /^POST \/api\/jobs\/$/, does: "lost" },
      { on: /^GET \/api\/jobs\/vequinox[^/]*$/, does: 503 },
      { on: /logs$/, does: 500 }
    ]
    return withRay({ faults }, (server, told, tell) => Effect.gen(function*() {
      yield* oneStep(optimizer(onRay(server), shared(folderOf()), { tell }))
      assert.strictEqual(server.started.length, 1)
      assert.deepStrictEqual(faults, [])
      assert.isTrue(told.some((line) => line.includes("asks for fewer requests; again in")))
    }))
  }, 30_000)

  it.live("that failed is an error of one sentence with the end of its log; a resumed run starts it again", () => {
    let tries = 0
    const run: ClusterOptions["run"] = (command, log, stopped) => {
      if (tries++ > 0) return train(command, log, stopped)
      for (const line of ["Traceback (most recent call last):", "torch.OutOfMemoryError: CUDA out of memory.\u001b[31m", "subprocess.CalledProcessError: Command 'trl' returned non-zero"]) log(line)
      return Promise.reject(new Error("Job entrypoint command failed with exit code 1"))
    }
    return withRay({ run }, (server, told, tell) => Effect.gen(function*() {
      const files = shared(folderOf())
      const message = yield* refusal(optimizer(onRay(server), files, { tell }))
      assert.match(message, /^Job vequinox-0a1b2c3d-0-\w+ of Ray at http:\S+ failed: Job entrypoint command failed with exit code 1; torch\.OutOfMemoryError: CUDA out of memory\. ?\S*\. Resume the run to start it again\.$/)
      assert.isFalse(/\p{Cc}/u.test(message + told.join("")))
      assert.isTrue(told.includes("  Traceback (most recent call last):"))
      yield* oneStep(optimizer(onRay(server), files, { tell }))
      assert.strictEqual(server.started.length, 2)
      assert.isTrue(told.some((line) => line.includes("had failed (Job entrypoint command failed with exit code 1): it is started again")))
    }))
  })

  it.live("goes on when its run is interrupted, and is joined; or is asked to stop", () => {
    const held: { go?: () => void } = {}
    const run: ClusterOptions["run"] = (command, log, stopped) =>
      Promise.race([
        new Promise<void>((resolve) => (held.go = resolve)).then(() => train(command, log, stopped)),
        new Promise<void>((resolve) => stopped.addEventListener("abort", () => resolve()))
      ])
    const until = (is: () => boolean) => Effect.gen(function*() {
      while (!is()) yield* Effect.sleep(10)
    })
    return withRay({ run }, (server, told, tell) => Effect.gen(function*() {
      const files = shared(folderOf())
      // As the pipeline runs a step: uninterruptible, but for the waiting.
      const stepping = (more: Partial<OptimizerJob.OptimizerJobOptions> = {}) => Effect.forkChild(Effect.uninterruptible(oneStep(optimizer(onRay(server), files, { tell, ...more }))), { startImmediately: true })
      const first = yield* stepping()
      yield* until(() => told.some((line) => line.endsWith(": running")))
      yield* Fiber.interrupt(first)
      assert.match(told.at(-1)!, /^Job vequinox-\S+ goes on at Ray at \S+: a resumed run joins it\. To stop it: ray job stop --address \S+ vequinox-/)
      const second = yield* stepping()
      yield* until(() => told.some((line) => line.includes("is there already (running), and is joined")))
      held.go!()
      assert.strictEqual((yield* Fiber.join(second)).snapshot.version, 1)
      assert.strictEqual(server.started.length, 1)
      const before = told.length
      const third = yield* stepping({ onInterrupt: "stop", initial: { ...initial, version: 7 } })
      yield* until(() => told.slice(before).some((line) => line.endsWith(": running")))
      yield* Fiber.interrupt(third)
      assert.match(told.at(-1)!, /was asked to stop; a resumed run starts it again/)
      assert.isTrue(server.seen.some((line) => /^POST .*\/stop$/.test(line)))
    }))
  })

  it.live("survives kill -9 of the process that started it: the next one joins the same job", () => {
    const go = path.join(work, "go")
    const run: ClusterOptions["run"] = async (command, log, stopped) => {
      while (!fs.existsSync(go)) await new Promise((resolve) => setTimeout(resolve, 20))
      await train(command, log, stopped)
    }
    return withRay({ run }, (server, _, tell) => Effect.gen(function*() {
      const folder = folderOf()
      const child = spawn(process.execPath, [path.resolve(import.meta.dirname, "../support/job-child.ts"), server.url, folder], { stdio: "ignore" })
      while (server.started.length === 0) yield* Effect.sleep(20)
      child.kill("SIGKILL")
      yield* Effect.promise(() => new Promise((resolve) => child.once("close", resolve)))
      fs.writeFileSync(go, "")
      const { snapshot } = yield* oneStep(optimizer(onRay(server), shared(folder), { tell }))
      assert.deepStrictEqual([snapshot.version, server.started.length], [1, 1])
    }))
  }, 60_000)
})

describe("what a job hands back", () => {
  const spoilt = (spoil: (folder: string) => void) => {
    const run: ClusterOptions["run"] = async (command, log, stopped) => {
      await train(command, log, stopped)
      spoil(path.join(command[command.indexOf("--output_dir") + 1]!, "checkpoint-1"))
    }
    return withRay({ run }, (server) => refusal(optimizer(onRay(server), shared(folderOf()))))
  }
  const json = (name: string, change: (value: any) => unknown) => (folder: string) =>
    fs.writeFileSync(path.join(folder, name), JSON.stringify(change(JSON.parse(fs.readFileSync(path.join(folder, name), "utf8")))))

  it.live("is refused where it is not of this base, rank or scale, cut off, unfinished or too large", () =>
    Effect.gen(function*() {
      for (const [spoil, said] of [
        [json("adapter_config.json", (c) => ({ ...c, base_model_name_or_path: "Qwen/Qwen3-0.6B" })), /its adapter was made for Qwen\/Qwen3-0\.6B, not for /],
        [json("adapter_config.json", (c) => ({ ...c, r: 8 })), /lora_A\.weight is \[4,\d+\], but the base asks for \[8,\d+\]/],
        [json("adapter_config.json", (c) => ({ ...c, lora_alpha: 999 })), /has r 4 and alpha 999, and the policy's has r 4 and alpha 8/],
        [json("trainer_state.json", (s) => ({ ...s, global_step: 0 })), /made 0 updates of 1/],
        [(folder: string) => fs.truncateSync(path.join(folder, "adapter_model.safetensors"), 1000), /is not used: /],
        [(folder: string) => fs.truncateSync(path.join(folder, "adapter_model.safetensors"), 200_000_000), /more than the \d+ that it may have/],
        [(folder: string) => fs.rmSync(path.join(folder, "adapter_model.safetensors")), /it has no adapter_model\.safetensors/]
      ] as const) assert.match(yield* spoilt(spoil), said)
    }), 60_000)

  it.live("diverges where a weight or a loss is no finite number: the parameters are as they were", () =>
    Effect.gen(function*() {
      const nan = (folder: string) => {
        const file = path.join(folder, "adapter_model.safetensors")
        const bytes = fs.readFileSync(file)
        bytes.writeFloatLE(NaN, bytes.length - 4)
        fs.writeFileSync(file, bytes)
      }
      assert.match(yield* spoilt(nan), /holds what is no finite number: lower the learning rate/)
      const loss = (folder: string) => {
        const file = path.join(folder, "trainer_state.json")
        fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/"loss":[^,]+/, "\"loss\": NaN"))
      }
      assert.match(yield* spoilt(loss), /A loss of job \S+ is no finite number: lower the learning rate/)
    }), 60_000)

  it.live("is not asked for where the lessons cannot be told to trl dpo", () =>
    Effect.gen(function*() {
      const layer = (more: Partial<OptimizerJob.OptimizerJobOptions> = {}) => optimizer(onRay(), shared(folderOf()), more)
      assert.match(yield* refusal(layer(), [pair(0, "<a/>", "<b/>", { weight: 0.5 })]), /has the weight 0\.5 and the label 1, and trl dpo knows neither/)
      assert.match(yield* refusal(layer(), [pair(0, "<a/>", "<b/>", { label: 0.7 })]), /label 0\.7/)
      const built = (more: Partial<OptimizerJob.OptimizerJobOptions>) => Effect.map(Effect.flip(Effect.provide(Optimizer.use(({ state }) => state), layer(more))), ({ message }) => message)
      assert.match(yield* built({ more: ["--output-dir", "/"] }), /--output-dir is not for --job-args/)
      assert.match(yield* built({ objective: { lossType: "rao_kupper", beta: 1, labelSmoothing: 0 } }), /trl dpo has no loss_type rao_kupper/)
      assert.match(yield* built({ lora: { ...lora, ranks: { "model.layers.0.self_attn.q_proj": 2 } } }), /one rank and one alpha/)
    }))

  it.live("leaves out a pair whose drawn tokens are not those of its text, and counts it", () =>
    Effect.gen(function*() {
      const [first] = pairs as [Preference]
      // The same text in smaller pieces: what a sampler may draw, and no tokenizer makes.
      const cut = [..."<circle"].flatMap((letter) => ids(letter))
      const odd = new Preference({ ...first, chosen: candidate({ ...first.chosen, completionIds: [...cut, ...first.chosen.completionIds.slice(ids("<circle").length)] }) })
      assert.notDeepEqual(cut, ids("<circle"))
      const { metrics, snapshot } = yield* Optimizer.use(({ step }) => step([odd])).pipe(Effect.provide(optimizer(onRay(), shared(folderOf()))))
      assert.deepStrictEqual([metrics, snapshot.version], [{ "job/respelled": 1 }, 1])
    }))
})

describe("a run by its settings", () => {
  it.live("takes each version from a job of its own, under the names of TRL's numbers", () =>
    withRay({ run: compute }, (server) => Effect.gen(function*() {
      const output_dir = path.join(work, "run")
      yield* Effect.scoped(Effect.flatMap(
        run({
          judge: judgeGreen, prompts: ["a leaf", "a lime"], prompts_per_step: 2, num_generations: 3, max_steps: 2, trust_pairs: 0, eval_prompts: 0, rpo_alpha: 0,
          optimizer: "job", job_url: server.url, job_steps: 2, lr_scheduler_type: "constant", output_dir
        }),
        ({ summary }) => summary
      ))
      const read = (name: string) => fs.readFileSync(path.join(output_dir, name), "utf8")
      const lines = read("metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line))
      const trainedSteps = lines.filter(({ loss }) => Number.isFinite(loss)).map(({ step }) => step)
      assert.strictEqual(lines.length, 2)
      assert.include(trainedSteps, 0)
      const own = JSON.parse(read("config.json")).run_id.slice(0, 8)
      assert.deepStrictEqual(server.started.map(({ id }) => id.replace(/-[0-9a-f]{10}$/, "")), trainedSteps.map((step) => `vequinox-${own}-${step}`))
      const adapter = (folder: string) => fs.readFileSync(path.join(folder, "adapter_model.safetensors"))
      const last = path.join(output_dir, "jobs", server.started.at(-1)!.id, "output/checkpoint-2")
      assert.deepStrictEqual(adapter(path.join(output_dir, "adapter")), adapter(last))
    })), 120_000)
})

describe("Kubernetes, as its API and Kubeflow Trainer v2 are documented (not run on a real cluster)", () => {
  const withKubernetes = <A, E>(options: Partial<Parameters<typeof startKubernetes>[0]>, use: (server: Awaited<ReturnType<typeof startKubernetes>>) => Effect.Effect<A, E>) =>
    Effect.acquireUseRelease(Effect.promise(() => startKubernetes({ run: train, token, ...options })), use, (server) => Effect.promise(() => server.close()))
  const jobsOf = (server: { readonly url: string }, given = token, more: object = {}) =>
    kubernetesJobs({ url: server.url, token: Redacted.make(given), namespace: "default", runtime: "torch-distributed", image: "", gpus: 1, ...more })

  it.live("runs a TrainJob once, though its first answer is lost and another was first (409)", () =>
    withKubernetes({ faults: [{ on: /^POST .*trainjobs$/, does: "lost" }, { on: /^GET .*trainjobs\/\S+$/, does: 429 }] }, (server) => Effect.gen(function*() {
      const folder = folderOf()
      const [a, b] = yield* Effect.all([oneStep(optimizer(jobsOf(server), shared(folder))), oneStep(optimizer(jobsOf(server), shared(folder)))], { concurrency: 2 })
      assert.deepStrictEqual([server.started.length, a.snapshot], [1, b.snapshot])
      const { body } = server.started[0]!
      assert.deepStrictEqual([body.apiVersion, body.kind, body.spec.runtimeRef, body.spec.trainer.numNodes], ["trainer.kubeflow.org/v1alpha1", "TrainJob", { name: "torch-distributed" }, 1])
      assert.deepStrictEqual(body.spec.trainer.resourcesPerNode.limits, { "nvidia.com/gpu": "1" })
      assert.deepStrictEqual(body.spec.trainer.command, ["trl"])
      assert.isFalse(JSON.stringify(body).includes(token))
    })), 30_000)

  it.live("says what a pod died of, that an image cannot be pulled, and starts the job again with another image", () =>
    Effect.gen(function*() {
      const dead = yield* withKubernetes({ run: () => Promise.reject(new Error("x")) }, (server) => refusal(optimizer(jobsOf(server), shared(folderOf()))))
      assert.match(dead, /failed: jobset failed due to one or more job failures; pod vequinox-\S+: OOMKilled/)
      const waiting = (image: string | undefined) => image === "good" ? undefined : { reason: "ImagePullBackOff", message: "Back-off pulling image \"nobody/trl\"" }
      yield* withKubernetes({ waiting }, (server) => Effect.gen(function*() {
        const folder = folderOf()
        assert.match(yield* refusal(optimizer(jobsOf(server), shared(folder))), /failed: pod vequinox-\S+: ImagePullBackOff Back-off pulling image "nobody\/trl"/)
        const { snapshot } = yield* oneStep(optimizer(jobsOf(server, token, { image: "good" }), shared(folder)))
        assert.deepStrictEqual([snapshot.version, server.started.length], [1, 2])
      }))
    }), 30_000)

  it.live("refuses in a sentence, without the token: 401, 404 of the resource, a page that is no API, nobody there", () =>
    withKubernetes({}, (server) => Effect.gen(function*() {
      const said = (given: string, more: object = {}) => refusal(optimizer(jobsOf(server, given, more), shared(folderOf())))
      assert.match(yield* said("another_token_of_nobody"), /^Kubernetes at \S+ does not accept the token \(Unauthorized: Bearer …\): set KUBERNETES_TOKEN\.$/)
      assert.match(yield* said(token, { namespace: "other" }), /has no TrainJobs in the namespace other: install Kubeflow Trainer v2/)
      const page = yield* withKubernetes({ faults: [{ on: /^GET/, does: "html" }] }, (strange) => refusal(optimizer(jobsOf(strange), shared(folderOf()))))
      assert.match(page, /does not answer as it is documented to/)
      const gone = yield* withKubernetes({}, ({ url }) => Effect.succeed(url))
      assert.match(yield* refusal(optimizer(jobsOf({ url: gone }), shared(folderOf()), { patience: 0 })), /^Kubernetes at \S+ cannot be reached \(connect ECONNREFUSED/)
    })), 30_000)
})

describe("Hugging Face Jobs, as huggingface_hub calls them (not run on the real Hub)", () => {
  /** What the job's shell does, on this machine: `hf download`, the command, `hf upload`. */
  const withHub = <A, E>(faults: Array<ClusterFault>, use: (server: Awaited<ReturnType<typeof startHuggingFaceJobs>>, files: () => JobFiles) => Effect.Effect<A, E>) =>
    Effect.acquireUseRelease(
      Effect.promise(async () => {
        const repos = await startHubPushServer({ token, owner: "ada" })
        const inJob = folderOf()
        const there = () => new Map(repos.repos.get("models/ada/rounds")!.commits.flatMap(({ files }) => [...files]))
        const run: ClusterOptions["run"] = async ([, , script], log) => {
          const [, command, upload] = script!.split(" && ")
          for (const [name, bytes] of there()) {
            fs.mkdirSync(path.dirname(path.join(inJob, name)), { recursive: true })
            fs.writeFileSync(path.join(inJob, name), bytes)
          }
          const words = wordsOf(command!).map((word) => word.replaceAll("/tmp/vequinox", inJob).replace(/^base$/, checkpoint.folder))
          await train(words, log, new AbortController().signal)
          const [from, to] = [wordsOf(upload!)[3]!.replaceAll("/tmp/vequinox", inJob), wordsOf(upload!)[4]!]
          const files = new Map(["adapter_config.json", "adapter_model.safetensors", "trainer_state.json"].map((name) => [`${to}/${name}`, fs.readFileSync(path.join(from, name))]))
          const config = JSON.parse(files.get(`${to}/adapter_config.json`)!.toString())
          files.set(`${to}/adapter_config.json`, Buffer.from(JSON.stringify({ ...config, base_model_name_or_path: "base" })))
          repos.repos.get("models/ada/rounds")!.commits.push({ summary: "trained", files })
        }
        const jobs = await startHuggingFaceJobs({ run, token, faults }, () => repos.url)
        return { jobs, repos, there }
      }),
      ({ jobs }) => {
        const folder = folderOf()
        const env = ConfigProvider.layer(ConfigProvider.fromEnvRecord({ HF_ENDPOINT: jobs.url, HF_TOKEN: token }))
        return Effect.provide(use(jobs, () => hubRepo({ url: jobs.url, token: Redacted.make(token), repo: "ada/rounds", folder, model: { name: "base", revision: undefined } })), env)
      },
      ({ jobs, repos }) => Effect.promise(async () => {
        await jobs.close()
        await repos.close()
      })
    )
  const jobsOf = (url: string, given = token) => huggingFaceJobs({ url, token: Redacted.make(given), namespace: "ada", flavor: "cpu-basic", image: "huggingface/trl", timeout: 3600 })

  it.live("goes through a repository, is found by its label, and gets its token as a secret alone", () =>
    withHub([{ on: /^POST \/api\/jobs\/ada$/, does: "lost" }, { on: /resolve\/main/, does: 429 }], (server, files) => Effect.gen(function*() {
      const told: Array<string> = []
      const tell = (line: string) => Effect.sync(() => void told.push(line))
      const { metrics, snapshot } = yield* oneStep(optimizer(jobsOf(server.url), files(), { tell }))
      assert.deepStrictEqual([snapshot.version, server.started.length], [1, 1])
      assert.isTrue(Number.isFinite(metrics["loss"]))
      const { body, command } = server.started[0]!
      assert.deepStrictEqual([body.secrets, body.dockerImage, body.flavor, body.timeoutSeconds], [{ HF_TOKEN: token }, "huggingface/trl", "cpu-basic", 3600])
      assert.isFalse(JSON.stringify([command, body.environment, body.labels, told]).includes(token))
      assert.isTrue(told.some((line) => line.includes("'loss'")))
      const again = yield* oneStep(optimizer(jobsOf(server.url), files()))
      assert.deepStrictEqual([again.snapshot, server.started.length], [snapshot, 1])
    })), 30_000)

  it.live("refuses in a sentence, without the token: 401, and no credit", () =>
    withHub([{ on: /^POST \/api\/jobs\/ada$/, does: 402 }], (server, files) => Effect.gen(function*() {
      const credit = yield* refusal(optimizer(jobsOf(server.url), files()))
      assert.match(credit, /^The account has no credit at Hugging Face Jobs at \S+ \(as asked; you sent Bearer …\): add some, then resume the run\.$/)
      assert.match(yield* refusal(optimizer(jobsOf(server.url, "another_token_of_nobody"), files())), /does not accept the token/)
    })), 30_000)
})
