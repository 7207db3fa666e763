/** Limits the length of servers' answers. */

/** The same response, but reading its body fails once it is longer, decompressed, than `most` bytes. */
export const atMost = (response: Response, most: number): Response => {
  if (response.body === null) return response
  let read = 0
  const body = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (piece, controller) => {
        read += piece.length
        if (read > most) controller.error(new Error(`it is longer than ${most} bytes`))
        else controller.enqueue(piece)
      }
    })
  )
  return new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers })
}

/** Most bytes of one answer of a model, or one page of a list: more than any that we ask for. */
export const longestAnswer = 4_000_000
