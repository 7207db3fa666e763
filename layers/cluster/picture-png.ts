/** Pictures on their way between runners and the database: as PNG, which loses nothing, checked against their hash when read. */
import { createHash } from "node:crypto"
import { Effect, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { decodePng, encodePng } from "../../src/drawing/png.ts"
import { KillReason, Picture, RejectReason } from "../../src/domain.ts"

const asPng = Schema.Struct({ hash: Schema.String, png: Schema.Uint8ArrayFromBase64 })

/** A picture whose pixels are not those that its hash names is refused. */
export const PicturePng = asPng.pipe(Schema.decodeTo(
  Schema.instanceOf(Picture),
  SchemaTransformation.transformEffect({
    decode: ({ hash, png }) =>
      Effect.try({
        try: () => {
          const { height, rgba, width } = decodePng(png)
          if (createHash("sha256").update(rgba).digest("hex") !== hash) throw new Error("The pixels of a picture are not those of its hash.")
          return new Picture({ hash, width, height, rgba })
        },
        catch: (cause) => new SchemaIssue.InvalidValue({ message: (cause as Error).message })
      }),
    encode: ({ hash, height, rgba, width }) => Effect.succeed({ hash, png: encodePng(width, height, rgba) })
  })
))

/** `Rendering` of src/domain.ts. */
export const RenderingPng = Schema.Union([
  Schema.TaggedStruct("Rendered", { picture: PicturePng, bare: Schema.optionalKey(PicturePng) }),
  Schema.TaggedStruct("Rejected", { reason: RejectReason, detail: Schema.String }),
  Schema.TaggedStruct("Killed", { reason: KillReason, detail: Schema.String })
])
