/**
 * The reverse mode of this project beside that of another: one attention and SwiGLU block with RMSNorm and
 * cross-entropy, written once for our graph and once for jax-js, must have the same loss and gradients.
 */
import { assert, it } from "@effect/vitest"
import * as jax from "@jax-js/jax"
import { createSession, float32 } from "../../layers/onnx/session.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import { gaussian, random } from "../../src/engine/random.ts"
import { sizeOf } from "../../src/engine/weights/tensor.ts"

const { nn, numpy: np } = jax
const [time, width, inner, vocab] = [5, 8, 12, 7]
const shapes = {
  embedding: [vocab, width],
  norm: [width],
  query: [width, width],
  key: [width, width],
  value: [width, width],
  gate: [inner, width],
  up: [inner, width],
  down: [width, inner]
} as const
type Name = keyof typeof shapes
const names = Object.keys(shapes) as Array<Name>
const tokens = [3, 1, 6, 0, 2]
const targets = [1, 6, 0, 2, 5]
const mask = Array.from({ length: time * time }, (_, i) => (i % time > Math.floor(i / time) ? -1e9 : 0))
const data = Object.fromEntries(names.map((name, i) => {
  const draw = random(11, i)
  return [name, Float32Array.from({ length: sizeOf(shapes[name]) }, () => gaussian(draw) * 0.5 + (name === "norm" ? 1 : 0))]
})) as Record<Name, Float32Array>

const ours = async () => {
  const g = new Graph()
  const p = Object.fromEntries(names.map((name) => [name, g.input(name, "float32", shapes[name])])) as Record<Name, Value>
  const linear = (x: Value, w: Value) => g.emit("Gemm", [x, w], { transB: 1 })
  const normed = (x: Value) => g.emit("SimplifiedLayerNormalization", [x, p.norm], { axis: -1, epsilon: 1e-5 })
  const x = g.emit("Gather", [p.embedding, g.ints(tokens)])
  const h = normed(x)
  const scores = g.scale(g.matmul(linear(h, p.query), g.transpose(linear(h, p.key), [1, 0])), width ** -0.5)
  const mixed = g.matmul(g.emit("Softmax", [g.add(scores, g.constant(mask, [time, time]))]), linear(h, p.value))
  const y = g.add(x, mixed)
  const n = normed(y)
  const gate = linear(n, p.gate)
  const z = g.add(y, linear(g.mul(g.mul(gate, g.emit("Sigmoid", [gate])), linear(n, p.up)), p.down))
  const logps = g.emit("LogSoftmax", [linear(z, p.embedding)])
  const picked = g.emit("GatherElements", [logps, g.ints(targets, [time, 1])], { axis: 1 })
  const loss = g.scale(g.sum(picked, [0, 1]), -1 / time)
  g.output("loss", loss)
  gradients(g, loss, g.scalar(1), names.map((name) => p[name])).forEach((dx, i) => g.output(`grad.${names[i]}`, dx!))
  const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped" })
  const out = await session.run(Object.fromEntries(names.map((name) => [name, float32(shapes[name], data[name])])))
  await session.release()
  return out
}

// jax-js frees an array after its last use; `.ref` keeps it for another.
const theirs = (p: Record<Name, jax.Array>) => {
  const linear = (x: jax.Array, w: jax.Array) => np.matmul(x, np.transpose(w))
  const normed = (x: jax.Array) => {
    const mean = np.mean(np.square(x.ref), -1, { keepdims: true })
    return x.mul(np.reciprocal(np.sqrt(mean.add(1e-5)))).mul(p.norm.ref)
  }
  const pick = nn.oneHot(np.array(tokens, { dtype: np.int32 }), vocab)
  const x = np.matmul(pick, p.embedding.ref)
  const h = normed(x.ref)
  const scores = np.matmul(linear(h.ref, p.query), np.transpose(linear(h.ref, p.key))).mul(width ** -0.5)
  const mixed = np.matmul(nn.softmax(scores.add(np.array(mask).reshape([time, time])), -1), linear(h, p.value))
  const y = x.add(mixed)
  const n = normed(y.ref)
  const z = y.add(linear(nn.silu(linear(n.ref, p.gate)).mul(linear(n, p.up)), p.down))
  p.norm.dispose()
  const logps = nn.logSoftmax(linear(z, p.embedding), -1)
  return np.sum(logps.mul(nn.oneHot(np.array(targets, { dtype: np.int32 }), vocab))).mul(-1 / time)
}

it("loss and gradients equal those of jax-js", async () => {
  await jax.init()
  jax.defaultDevice("wasm")
  const arrays = Object.fromEntries(names.map((name) => [name, np.array(Array.from(data[name])).reshape([...shapes[name]])]))
  const [loss, grads] = jax.valueAndGrad(theirs)(arrays as Record<Name, jax.Array>)
  const out = await ours()
  assert.approximately(Number(out["loss"]!.data[0]), Number(loss.js()), 1e-5)
  for (const name of names) {
    const expected = (grads[name].js() as Array<unknown>).flat() as Array<number>
    const got = out[`grad.${name}`]!.data as Float32Array
    const largest = Math.max(...expected.map(Math.abs))
    expected.forEach((value, i) => assert.approximately(got[i]!, value, 1e-4 * largest, `${name}[${i}]`))
  }
})
