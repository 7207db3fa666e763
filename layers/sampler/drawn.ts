/** A candidate from what a sampler of any kind drew of it. */
import { Candidate, type Finish } from "../../src/domain.ts"
import type { PolicyTokenizer } from "../../src/model/tokenizer/tokenizer.ts"

/** Tokens of a completion and their log-probabilities, nats; of each token one. */
export interface Drawn {
  readonly ids: ReadonlyArray<number>
  readonly logps: ReadonlyArray<number>
  /** Under what they were drawn from, where that is another distribution. */
  readonly drawnLogps?: ReadonlyArray<number> | undefined
  /** By the trainer, where they were compared. */
  readonly exactLogps?: ReadonlyArray<number> | undefined
  /** Times that the policy was run, where a draft can save some. */
  readonly forwards?: number | undefined
  readonly finish: Finish
}

type Place = Pick<Candidate, "index" | "policyVersion" | "prompt" | "promptIds" | "seed" | "step">

/** To be called within `tokenizing`. @param prefill how the answer begins, which was not drawn */
export const candidateOf = (place: Place, { drawnLogps, exactLogps, finish, forwards, ids, logps }: Drawn, tokenizer: PolicyTokenizer, prefill: string): Candidate =>
  new Candidate({
    ...place,
    completionIds: ids,
    logps,
    ...(drawnLogps === undefined ? {} : { drawnLogps }),
    ...(exactLogps === undefined ? {} : { exactLogps }),
    ...(forwards === undefined ? {} : { forwards }),
    svg: prefill + tokenizer.decode(ids),
    finish
  })
