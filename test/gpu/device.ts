/**
 * Gives this process, and what it forks, a WebGPU device: the machine's own, or else SwiftShader, the one in software
 * that Debian's package chromium brings. It is slow, but onnxruntime's own WebGPU kernels run on it.
 */
import * as fs from "node:fs"
import { Effect } from "effect"
import { probeDevice } from "../../layers/onnx/runtime.ts"

const chromium = "/usr/lib/chromium"
const driver = `${chromium}/vk_swiftshader_icd.json`

/** Whether a device answers, after what it takes. Sets VK_ICD_FILENAMES and LD_LIBRARY_PATH if it is SwiftShader. */
export const hasDevice = async (): Promise<boolean> => {
  const refused = () => Effect.runPromise(probeDevice("webgpu"))
  if ((await refused()) === undefined) return true
  if (!fs.existsSync(driver)) return false
  process.env["VK_ICD_FILENAMES"] = driver
  process.env["LD_LIBRARY_PATH"] = [chromium, process.env["LD_LIBRARY_PATH"] ?? ""].filter((folder) => folder !== "").join(":")
  return (await refused()) === undefined
}
