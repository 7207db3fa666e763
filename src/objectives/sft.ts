import { chosenNll, nllFeeds, nllMetrics } from "./nll.ts"
import { imitation, int64s, type Objective } from "./objective.ts"

/**
 * The NLL of the chosen drawings alone (nll.ts): what the judge prefers is imitated, and nothing is pushed down. With
 * `pair_selection` best-worst it is distillation of best-of-K. No reference.
 */
export const sft: Objective = {
  learnsFrom: "preferences",
  reference: () => false,
  chosenOnly: true,
  reads: [],
  title: "Online SFT",
  source: "TRL's DPO loss_type sft on what was preferred; rejection-sampling fine-tuning, RAFT, Dong et al. 2023 (arXiv:2304.06767)",
  loss: (g, _, { logps }) => chosenNll(g, g.emit("Gather", [logps, g.input("chosen", "int64", ["pair"])])),
  feeds: (_, share) => ({ chosen: int64s(share.examples, ({ members: [chosen] }) => chosen), ...nllFeeds(share) }),
  metrics: (_, stepped) => {
    const { examples, policy } = stepped
    const total = examples.reduce((sum, example) => sum + imitation(example), 0)
    return {
      ...nllMetrics(stepped),
      ...(total === 0 ? {} : { "logps/chosen": examples.reduce((sum, example) => sum + imitation(example) * policy[example.members[0]]!, 0) / total })
    }
  }
}
