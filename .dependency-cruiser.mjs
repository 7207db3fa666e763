/**
 * Which room may import which: only rooms on floors further down, and never in a circle. `pnpm run lint` holds it;
 * `pnpm run arrows` draws what is found into CONTRIBUTING.md.
 */
export const floors = [
  ["src/main"],
  ["src/commands"],
  ["src/index"],
  ["src/wiring"],
  ["layers/judge", "layers/critic", "layers/buffer", "layers/optimizer", "layers/tracker", "layers/storage", "layers/cluster"],
  ["layers/sampler", "layers/completions", "layers/renderer", "layers/human"],
  ["layers/guide", "layers/tinker", "layers/job"],
  ["layers/postgres"],
  ["layers/store", "layers/onnx"],
  ["src/studio"],
  ["src/serve"],
  ["src/report"],
  ["src/run"],
  ["src/curriculum"],
  ["src/pipeline"],
  ["src/steps", "src/refine", "src/rows"],
  ["src/evaluation"],
  ["src/lessons"],
  ["src/stages"],
  ["src/prompts", "src/roles", "src/scorers", "src/objectives", "src/export"],
  ["src/model", "src/drawing", "src/scenes"],
  ["src/domain", "src/engine"],
  ["src/system"]
]

/** A room is a folder of src or layers, or a file that stands alone there. */
export const roomOf = (file) => /^(?:src|layers)\/[^/.]+/.exec(file)?.[0]

const inRoom = (room) => `^${room}(/|\\.ts$)`
const pureRooms = ["src/engine", "src/objectives", "src/scenes"]

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...floors.slice(1).flatMap((rooms, n) =>
      rooms.map((room) => ({
        name: `${room} imports only what stands below it`,
        severity: "error",
        from: { path: inRoom(room) },
        to: { path: [...floors.slice(0, n + 1).flat(), ...rooms.filter((other) => other !== room)].map(inRoom) }
      }))
    ),
    {
      name: "no circle of files",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } }
    },
    {
      name: "every room has a floor",
      severity: "error",
      from: { path: "^(src|layers)/" , pathNot: floors.flat().map(inRoom) },
      to: {}
    },
    {
      name: "numerics are plain functions: no Effect",
      severity: "error",
      from: { path: pureRooms.map(inRoom) },
      to: { path: "^(effect|@effect)(/|$)|/node_modules/(effect|@effect)/" }
    },
    {
      name: "onnxruntime's binding is touched in one place",
      severity: "error",
      from: { path: "^(src|layers)/", pathNot: "^layers/onnx/(session|no-telemetry)\\.ts$" },
      to: { path: "onnxruntime-node" }
    },
    {
      name: "src and layers do not lean on tests, benches or examples",
      severity: "error",
      from: { path: "^(src|layers)/" },
      to: { path: "^(test|bench|examples|models)/" }
    }
  ],
  options: { parser: "swc", tsPreCompilationDeps: true, doNotFollow: { path: "node_modules" } }
}
