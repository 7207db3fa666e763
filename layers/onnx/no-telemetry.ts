/**
 * onnxruntime's official builds tell Microsoft which models they load and on what machine, since 1.29 on Linux and
 * macOS too (docs/Privacy.md of its repository). Nothing of a run leaves this machine unasked, so this switches it off;
 * set ORT_DISABLE_TELEMETRY=0 to switch it on.
 *
 * Import it for its effect, before the binding is loaded and in the code that starts a thread that loads it: native
 * code does not read a thread's own copy of `process.env`.
 */
process.env["ORT_DISABLE_TELEMETRY"] ??= "1"
