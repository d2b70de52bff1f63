// The words of a plan.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "plan/planner.h"

namespace eyeshot::plan {
namespace {

double Share(const Candidate& candidate, std::initializer_list<StageId> stages) {
  double ns = 0;
  for (const StageId id : stages) ns += static_cast<double>(candidate.cost.ledger.cost(id).wall_ns);
  const auto total = static_cast<double>(candidate.cost.ledger.total_wall_ns());
  return total > 0 ? ns / total : 0;
}

std::string Tokens(int64_t count) { return fmt::format("{} visual token{}", count, count == 1 ? "" : "s"); }

std::string Tiles(int64_t count) { return fmt::format("{} tile{}", count, count == 1 ? "" : "s"); }

// "at the detail low (1 tile) with 16 visual tokens of each, int8"
std::string Way(const Candidate& candidate) {
  std::string text;
  if (candidate.cost.request.tiles > 0) {
    text += fmt::format("at the detail {} ({})", PictureDetailName(candidate.variant.detail),
                        Tiles(candidate.cost.request.tiles));
    if (candidate.variant.tower_keep > 0) {
      text +=
          fmt::format(" with a tile's patches merged to {} ({}), ", candidate.variant.tower_keep, candidate.reducer);
    } else {
      text += candidate.variant.keep == 0
                  ? " with every visual token, "
                  : fmt::format(" with {} of a tile ({}), ", Tokens(candidate.variant.keep), candidate.reducer);
    }
  }
  return text + candidate.precision;
}

std::string Source(const Accuracy& accuracy) {
  const std::string carried = accuracy.carried ? ", carried over to this number of tokens by the law" : "";
  return fmt::format("{}: {}{}", EvidenceName(accuracy.evidence), accuracy.from, carried);
}

// What most of the time goes into, and which knob that leaves.
std::string Bottleneck(const Candidate& candidate) {
  constexpr double kMost = 0.5;
  const int64_t tokens = candidate.cost.request.visual_tokens;
  const double encode = Share(candidate, {StageId::kEncode, StageId::kConnect});
  const double prefill = Share(candidate, {StageId::kPrefill});
  const double decode = Share(candidate, {StageId::kDecode});
  if (encode >= kMost) {
    return fmt::format(
        "{}: encode is {:.0f} % of the time here, so the number of tiles decides, not how many of their "
        "tokens are kept.",
        Tokens(tokens), 100 * encode);
  }
  if (decode >= kMost) {
    return fmt::format(
        "{}: decode is {:.0f} % of the time here, so the length of the answer and the decoder's size "
        "and precision decide, and tokens little.",
        Tokens(tokens), 100 * decode);
  }
  if (prefill >= kMost) {
    return fmt::format("{}: prefill is {:.0f} % of the time here, so how many visual tokens are kept decides.",
                       Tokens(tokens), 100 * prefill);
  }
  return fmt::format(
      "{}: encode is {:.0f} %, prefill {:.0f} % and decode {:.0f} % of the time here; no stage decides "
      "alone.",
      Tokens(tokens), 100 * encode, 100 * prefill, 100 * decode);
}

std::string LawSays(const Candidate& chosen, const Knowledge& knowledge) {
  const Request& request = chosen.cost.request;
  const ScalingLaw& law = knowledge.law;
  if (law.beta >= law.alpha) {
    return fmt::format(
        "The law for {} (alpha {:.4g}, beta {:.4g}): tokens count for more than parameters, so that it "
        "keeps all of them.",
        TaskName(knowledge.task), law.alpha, law.beta);
  }
  const auto text = static_cast<double>(request.prompt_tokens - request.cached_tokens - request.visual_tokens);
  const double best = BestTokens(law, text, 1e9);
  return fmt::format(
      "The law for {} (alpha {:.4g}, beta {:.4g}): with {:.0f} tokens of text that are read each time, "
      "{:.0f} visual token{} and the largest decoder that fits would be best, among models trained for "
      "such numbers; the encoder only takes from the budget.",
      TaskName(knowledge.task), law.alpha, law.beta, text, best, best < 1.5 ? "" : "s");
}

// The same model and precision with fewer or more tiles or tokens: what one would lose or gain.
std::string Beside(const Candidate& chosen, const Candidate& other, const Knowledge& knowledge) {
  const double change = other.accuracy.value / std::max(1e-9, chosen.accuracy.value) - 1;
  const double time = other.ms / std::max(1e-9, chosen.ms);
  const std::string how_much =
      knowledge.task == Task::kReading
          ? fmt::format("reads {:.1f} % {} text", 100 * std::abs(change), change < 0 ? "less" : "more")
          : fmt::format("answers {:.1f} % {} right", 100 * std::abs(change), change < 0 ? "less" : "more");
  return fmt::format("With {} ({}) it {} in {:.2g} times the time ({}{}).", Tiles(other.cost.request.tiles),
                     Tokens(other.cost.request.visual_tokens), how_much, time, EvidenceName(other.accuracy.evidence),
                     other.accuracy.carried ? " and law" : "");
}

// Why this reducer, and what dropping costs.
std::string ReducerSays(const ModelAtHand& model, const Candidate& chosen, const Knowledge& knowledge) {
  const std::vector<const MeasuredPoint*> rivals = ReducersMeasured(model, chosen, knowledge);
  if (rivals.empty()) {
    return fmt::format(
        "No reducer was measured here at so many tokens: {} is taken, {}.", chosen.reducer,
        chosen.reducer == knowledge.default_reducer ? "the default" : "the best in points of other ways");
  }
  if (rivals.size() == 1) {
    return fmt::format("{} is the only reducer that was measured here at so many tokens.", chosen.reducer);
  }
  std::string others;
  for (const MeasuredPoint* point : rivals) {
    if (point->reduction.name == chosen.reducer) continue;
    others += fmt::format("{}{} {:.1f} %", others.empty() ? "" : ", ", point->reduction.name, 100 * point->score);
  }
  return fmt::format("Of {} reducers that were measured here at so many tokens {} answers most right: {:.1f} %; {}.",
                     rivals.size(), chosen.reducer, 100 * chosen.accuracy.value, others);
}

// The cheapest way and the best answering one of the chosen model, where they are others.
void AddAlternatives(std::span<const Candidate> candidates, size_t chosen, const Knowledge& knowledge,
                     std::vector<std::string>& sentences) {
  const Candidate& plan = candidates[chosen];
  const Candidate* fastest = nullptr;
  const Candidate* best = nullptr;
  const Candidate* whole = nullptr;  // the same tiles with every token
  for (const Candidate& other : candidates) {
    if (other.model != plan.model || other.precision != plan.precision) continue;
    if (other.variant.batch != plan.variant.batch || other.variant.clock_mhz != plan.variant.clock_mhz) continue;
    if (plan.variant.reduced() && !other.variant.reduced() && other.variant.detail == plan.variant.detail) {
      whole = &other;
    }
    if (!other.variant.reduced() && (fastest == nullptr || other.ms < fastest->ms)) fastest = &other;
    if (best == nullptr || other.accuracy.value > best->accuracy.value) best = &other;
  }
  std::set<const Candidate*> said = {nullptr, &plan};
  for (const Candidate* other : {whole, fastest, best}) {
    if (!said.insert(other).second) continue;
    const bool as_many = other->cost.request.visual_tokens == plan.cost.request.visual_tokens;
    if (as_many && other->variant.tower_keep == plan.variant.tower_keep) continue;
    sentences.push_back(Beside(plan, *other, knowledge));
  }
}

}  // namespace

std::vector<std::string> Explain(std::span<const ModelAtHand> models, std::span<const Candidate> candidates,
                                 size_t chosen, const Aim& aim, const Workload& workload, const Knowledge& knowledge) {
  const Candidate& plan = candidates[chosen];
  std::vector<std::string> sentences;
  sentences.push_back(fmt::format("Ask {} {}.", models[plan.model].name, Way(plan)));
  sentences.push_back(Bottleneck(plan));
  if (!workload.pictures.empty()) sentences.push_back(LawSays(plan, knowledge));
  if (plan.variant.reduced()) sentences.push_back(ReducerSays(models[plan.model], plan, knowledge));
  AddAlternatives(candidates, chosen, knowledge, sentences);
  sentences.push_back(fmt::format("Its accuracy {:.3f} is {}.", plan.accuracy.value, Source(plan.accuracy)));
  size_t broken = 0;
  for (const Candidate& other : candidates) broken += BreaksLimit(other, aim).empty() ? 0 : 1;
  if (broken > 0) {
    sentences.push_back(fmt::format("{} of {} ways are beyond the limits.", broken, candidates.size()));
  }
  return sentences;
}

}  // namespace eyeshot::plan
