/**
 * onnxruntime's official builds tell Microsoft what models they load and on what machine, since 1.29 on Linux and macOS too
 * (docs/Privacy.md of its repository). Nothing of a run leaves this machine unasked, so that is switched off; who wants it on
 * sets ORT_DISABLE_TELEMETRY=0.
 *
 * For its effect, before the binding is loaded, and by whoever starts a thread that loads it: native code does not read a
 * thread's own copy of `process.env`.
 */
process.env["ORT_DISABLE_TELEMETRY"] ??= "1"
