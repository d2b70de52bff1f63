#include "plan/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot::plan {
namespace {

constexpr double kJoulesPerKwh = 3.6e6;
// Measured with so nearly as many visual tokens, a point's time and energy are this workload's.
constexpr double kSameTokens = 0.1;

bool SameName(const ModelAtHand& model, std::string_view name) {
  const auto base = [](std::string_view path) {
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    return path.substr(path.rfind('/') + 1);
  };
  return model.name == name || base(model.name) == base(name) || base(model.path) == base(name);
}

std::string DetailName(const Variant& variant) { return PictureDetailName(variant.detail); }

bool ForTask(const MeasuredPoint& point, Task task) { return !point.task || *point.task == task; }

// Another number of visual tokens than `from` tokens, by the law's exponent alone: model and floor stay.
double CarriedError(double error, double from_tokens, double to_tokens, const ScalingLaw& law) {
  const double floor = std::min(law.floor, error);
  const double ratio = std::max(1.0, to_tokens) / std::max(1.0, from_tokens);
  return std::clamp((error - floor) * std::pow(ratio, -law.beta) + floor, 0.0, 1.0);
}

// What the reducer of a way is told to keep.
int64_t KeepOf(const Variant& variant) { return variant.tower_keep > 0 ? variant.tower_keep : variant.keep; }

bool InTower(const ModelAtHand& model, const Reduction& reduction, const Knowledge& knowledge) {
  return knowledge.tower_patches && reduction.keep > 0 &&
         !knowledge.tower_patches(reduction.name, model.config, reduction.keep).empty();
}

// The point of the very same way; nullptr: none.
const MeasuredPoint* SamePoint(const ModelAtHand& model, std::string_view precision, std::string_view detail,
                               std::string_view reducer, int64_t keep, const Knowledge& knowledge) {
  for (const MeasuredPoint& point : knowledge.points) {
    if (!ForTask(point, knowledge.task) || !SameName(model, point.model)) continue;
    if (point.precision != precision || point.detail != detail) continue;
    if (point.reduction.keep == keep && (keep == 0 || point.reduction.name == reducer)) return &point;
  }
  return nullptr;
}

// A point of the model whose number of visual tokens is known, at the nearest number; its own precision before others,
// and then those whose tokens were dropped, too, or not either: a model that wasn't trained for it loses more by that
// than by fewer tiles.
const MeasuredPoint* NearPoint(const ModelAtHand& model, std::string_view precision, bool reduced, double tokens,
                               const Knowledge& knowledge) {
  const MeasuredPoint* nearest = nullptr;
  const auto distance = [&](const MeasuredPoint& point) {
    constexpr double kOtherPrecision = 100;  // farther than any number of tokens
    constexpr double kOtherReduction = 40;
    return std::abs(std::log(std::max(1.0, tokens) / std::max(1.0, *point.tokens))) +
           (point.precision == precision ? 0 : kOtherPrecision) +
           ((point.reduction.keep > 0) == reduced ? 0 : kOtherReduction);
  };
  for (const MeasuredPoint& point : knowledge.points) {
    if (!point.tokens || !ForTask(point, knowledge.task) || !SameName(model, point.model)) continue;
    if (nearest == nullptr || distance(point) < distance(*nearest)) nearest = &point;
  }
  return nearest;
}

// The name of the reducer that did best with so many tokens of a tile: in points of this model, precision and detail,
// else in those that are of most of them.
std::string ReducerFor(const ModelAtHand& model, std::string_view precision, const Variant& variant,
                       const Knowledge& knowledge) {
  if (!variant.reduced()) return "";
  std::string best(knowledge.default_reducer);
  std::pair<int, double> best_score = {-1, 0};
  for (const MeasuredPoint& point : knowledge.points) {
    if (point.reduction.keep != KeepOf(variant) || !ForTask(point, knowledge.task)) continue;
    if (InTower(model, point.reduction, knowledge) != (variant.tower_keep > 0)) continue;
    const int likeness =
        SameName(model, point.model) ? 1 + (point.precision == precision) + (point.detail == DetailName(variant)) : 0;
    const std::pair<int, double> score = {likeness, point.score};
    if (score <= best_score) continue;
    best = point.reduction.name;
    best_score = score;
  }
  return best;
}

// Visual tokens of the pictures as the reference cuts them.
Result<double> ReferenceTokens(const ModelAtHand& model, const Workload& workload) {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<TileGrid> grids, GridsOf(model, workload, PictureDetail()));
  int64_t tiles = 0;
  for (const TileGrid& grid : grids) tiles += grid.tiles();
  return static_cast<double>(tiles * model.config.visual_tokens_per_tile());
}

void TakeModelledCosts(Candidate& candidate) {
  candidate.ms = candidate.cost.batch_s * 1e3;
  const Joules joules = candidate.cost.joules();
  if (joules.source != EnergySource::kNone) candidate.joules = joules.value;
}

// Time and energy where they were measured with as many tokens.
void TakeMeasuredCosts(const MeasuredPoint* point, Candidate& candidate) {
  if (point == nullptr || !point->tokens || candidate.cost.simulated) return;
  const auto tokens = static_cast<double>(candidate.cost.request.visual_tokens);
  if (std::abs(*point->tokens - tokens) > kSameTokens * tokens) return;
  if (point->ms) {
    candidate.ms = *point->ms;
    candidate.ms_measured = true;
  }
  if (point->joules) {
    candidate.joules = point->joules;
    candidate.joules_measured = true;
  }
}

// Of the time and energy that the candidate has by now.
void Price(const Prices& prices, Candidate& candidate) {
  if (prices.hour <= 0 && prices.kwh <= 0) return;
  if (prices.kwh > 0 && !candidate.joules) return;  // energy costs something, and how much is taken isn't known
  // What is measured is one request alone; else its share of the batch.
  const double seconds = candidate.ms_measured ? candidate.ms / 1e3 : candidate.cost.seconds();
  candidate.price = 1000 * (seconds / 3600 * prices.hour + candidate.joules.value_or(0) / kJoulesPerKwh * prices.kwh);
}

std::optional<double> Metric(const Candidate& candidate, Goal goal) {
  switch (goal) {
    case Goal::kTime: return candidate.ms;
    case Goal::kJoules: return candidate.joules;
    case Goal::kMemory: return candidate.cost.memory.total();
    case Goal::kPrice: return candidate.price;
    case Goal::kAccuracy: return -candidate.accuracy.value;
  }
  return std::nullopt;
}

// How far beyond its limits a candidate is: the largest ratio, 1 or less within.
double Excess(const Candidate& candidate, const Aim& aim) {
  double excess = aim.least_accuracy > 0 ? aim.least_accuracy / std::max(1e-9, candidate.accuracy.value) : 0;
  const auto add = [&](const std::optional<double>& most, const std::optional<double>& value) {
    if (most && value) excess = std::max(excess, *value / std::max(1e-12, *most));
  };
  add(aim.most_ms, candidate.ms);
  add(aim.most_joules, candidate.joules);
  add(aim.most_bytes, candidate.cost.memory.total());
  add(aim.most_price, candidate.price);
  return excess;
}

// All ways to run a workload, one after the other.
struct Ways {
  const Workload& workload;
  const Choices& choices;
  const Place& place;
  const Prices& prices;
  const Knowledge& knowledge;
  std::vector<Candidate> candidates;

  Status AddModel(const ModelAtHand& model, size_t index) {
    EYESHOT_ASSIGN_OR_RETURN(const double reference_tokens, ReferenceTokens(model, workload));
    // Tiles, tokens and patches: details often make the same grid.
    std::set<std::tuple<int64_t, int64_t, int64_t>> seen;
    for (const Variant& shape : ShapesOf(model)) {
      const Result<CutRequest> cut = CutRequestOf(model, workload, shape);
      if (cut.status().code() == StatusCode::kContextFull) continue;
      if (!cut.ok()) return cut.status();
      if (!seen.emplace(cut->request.tiles, cut->request.visual_tokens, shape.tower_keep).second) continue;
      EYESHOT_RETURN_IF_ERROR(AddShape(model, index, shape, *cut, reference_tokens));
    }
    return Status::Ok();
  }

  // Details with numbers of tokens: first those that were measured, so that of equal grids they are taken.
  std::vector<Variant> ShapesOf(const ModelAtHand& model) const {
    std::vector<Variant> shapes;
    std::set<std::tuple<std::string_view, std::string_view, int64_t>> seen;
    const auto among = [](const auto& list, const auto& value) {
      return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
    };
    for (const MeasuredPoint& point : knowledge.points) {
      const Result<PictureDetail> detail = ParsePictureDetail(point.detail);
      if (!detail.ok() || !ForTask(point, knowledge.task) || !SameName(model, point.model)) continue;
      if (!seen.emplace(point.detail, point.reduction.name, point.reduction.keep).second) continue;
      const bool tower = InTower(model, point.reduction, knowledge);
      if (among(choices.details, *detail) && among(choices.keeps, tower ? 0 : point.reduction.keep)) {
        AddReduced(model, *detail, point.reduction, shapes);
      }
    }
    const Choices own = DefaultChoices(model);
    for (const PictureDetail& detail : choices.details.empty() ? own.details : choices.details) {
      for (const int64_t keep : choices.keeps.empty() ? own.keeps : choices.keeps) {
        AddReduced(model, detail, {"", keep}, shapes);
      }
    }
    return shapes;
  }

  void AddReduced(const ModelAtHand& model, const PictureDetail& detail, const Reduction& reduction,
                  std::vector<Variant>& shapes) const {
    const bool tower = InTower(model, reduction, knowledge);
    if (reduction.keep >= (tower ? model.config.vision.patches() : model.config.visual_tokens_per_tile())) return;
    Variant shape = choices.base;
    shape.detail = detail;
    if (tower) {
      shape.tower_keep = reduction.keep;
      shape.tower_patches = knowledge.tower_patches(reduction.name, model.config, reduction.keep);
    } else {
      shape.keep = reduction.keep;
    }
    shapes.push_back(std::move(shape));
  }

  // One detail and number of tokens in each precision, batch and clock.
  Status AddShape(const ModelAtHand& model, size_t index, const Variant& shape, const CutRequest& cut,
                  double reference_tokens) {
    for (const auto& [name, precision] : choices.precisions) {
      for (const int64_t batch : choices.batches) {
        for (const double clock : choices.clocks) {
          Candidate candidate{.model = index, .variant = shape, .precision = name};
          candidate.reducer = ReducerFor(model, name, shape, knowledge);
          candidate.variant.precision = precision;
          candidate.variant.batch = batch;
          candidate.variant.clock_mhz = clock;
          EYESHOT_RETURN_IF_ERROR(AddCandidate(model, cut, std::move(candidate), reference_tokens));
        }
      }
    }
    return Status::Ok();
  }

  Status AddCandidate(const ModelAtHand& model, const CutRequest& cut, Candidate candidate, double reference_tokens) {
    EYESHOT_ASSIGN_OR_RETURN(candidate.cost, EstimateCost(model, workload, candidate.variant, place, cut));
    candidate.accuracy =
        AccuracyOf(model, candidate.precision, candidate.variant, candidate.reducer,
                   static_cast<double>(candidate.cost.request.visual_tokens), reference_tokens, knowledge);
    TakeModelledCosts(candidate);
    TakeMeasuredCosts(SamePoint(model, candidate.precision, DetailName(candidate.variant), candidate.reducer,
                                KeepOf(candidate.variant), knowledge),
                      candidate);
    Price(prices, candidate);
    candidates.push_back(std::move(candidate));
    return Status::Ok();
  }
};

}  // namespace

std::string Candidate::reduce() const {
  return reducer.empty() ? "none" : fmt::format("{}:{}", reducer, KeepOf(variant));
}

std::string_view GoalName(Goal goal) {
  switch (goal) {
    case Goal::kTime: return "time";
    case Goal::kJoules: return "joules";
    case Goal::kMemory: return "memory";
    case Goal::kPrice: return "price";
    case Goal::kAccuracy: return "accuracy";
  }
  return "";
}

Result<Goal> ParseGoal(std::string_view text) {
  for (const Goal goal : {Goal::kTime, Goal::kJoules, Goal::kMemory, Goal::kPrice, Goal::kAccuracy}) {
    if (text == GoalName(goal)) return goal;
  }
  return InvalidArgumentError(fmt::format("the goal is '{}'", text), "use time, joules, memory, price or accuracy");
}

std::string_view EvidenceName(Evidence evidence) {
  switch (evidence) {
    case Evidence::kMeasured: return "measured";
    case Evidence::kPublished: return "published";
    case Evidence::kLaw: return "law";
  }
  return "";
}

Choices DefaultChoices(const ModelAtHand& model) {
  Choices choices;
  choices.details = {PictureDetail{}, {PictureDetail::Kind::kLow, 0}};
  if (model.config.has_vision() && model.processing.max_image_edge > 0) {
    const int most = model.processing.longest_edge / model.processing.max_image_edge;
    for (int side = 2; side < std::min(most, limits::kMaxDetailTiles + 1); ++side) {
      choices.details.push_back({PictureDetail::Kind::kTiles, side});
    }
  }
  choices.keeps = {0};
  constexpr int64_t kStep = 4;
  for (int64_t keep = model.config.visual_tokens_per_tile() / kStep; keep >= 1; keep /= kStep) {
    choices.keeps.push_back(keep);
  }
  if (choices.keeps.back() != 1) choices.keeps.push_back(1);
  return choices;
}

Accuracy AccuracyOf(const ModelAtHand& model, std::string_view precision, const Variant& variant,
                    std::string_view reducer, double visual_tokens, double reference_tokens,
                    const Knowledge& knowledge) {
  const std::string detail = DetailName(variant);
  if (const MeasuredPoint* point = SamePoint(model, precision, detail, reducer, KeepOf(variant), knowledge)) {
    return {point->score, Evidence::kMeasured, false, "the points given"};
  }
  if (const MeasuredPoint* point = NearPoint(model, precision, variant.reduced(), visual_tokens, knowledge)) {
    const double error = CarriedError(1 - point->score, *point->tokens, visual_tokens, knowledge.law);
    return {1 - error, Evidence::kMeasured, true,
            fmt::format("the point given at {} tokens, {}", *point->tokens, point->precision)};
  }
  if (const PublishedScore* score = knowledge.published.Find(model.name)) {
    const bool carried = std::abs(visual_tokens - reference_tokens) > 0.5;
    const double error = CarriedError(1 - score->Of(knowledge.task), reference_tokens, visual_tokens, knowledge.law);
    return {1 - error, Evidence::kPublished, carried,
            fmt::format("the mean of {} of {}", score->TablesOf(knowledge.task), score->name)};
  }
  const double error = knowledge.law.Error(DecoderParameters(model.config) / 1e9, visual_tokens);
  return {std::clamp(1 - error, 0.0, 1.0), Evidence::kLaw, false, "arXiv 2411.03312, of other models"};
}

std::vector<const MeasuredPoint*> ReducersMeasured(const ModelAtHand& model, const Candidate& candidate,
                                                   const Knowledge& knowledge) {
  std::vector<const MeasuredPoint*> points;
  std::set<std::string_view> names;
  for (const MeasuredPoint& point : knowledge.points) {
    if (!ForTask(point, knowledge.task) || !SameName(model, point.model)) continue;
    if (point.precision != candidate.precision || point.detail != DetailName(candidate.variant)) continue;
    if (point.reduction.keep == 0 || point.reduction.keep != KeepOf(candidate.variant)) continue;
    if (InTower(model, point.reduction, knowledge) != (candidate.variant.tower_keep > 0)) continue;
    if (names.insert(point.reduction.name).second) points.push_back(&point);
  }
  return points;
}

Result<std::vector<Candidate>> CandidatesOf(std::span<const ModelAtHand> models, const Workload& workload,
                                            const Choices& choices, const Place& place, const Prices& prices,
                                            const Knowledge& knowledge) {
  constexpr size_t kMostDefaults = 8;  // of details, or numbers of tokens
  std::set<std::tuple<std::string_view, int64_t>> measured;
  for (const MeasuredPoint& point : knowledge.points) measured.emplace(point.detail, point.reduction.keep);
  const size_t shapes =
      std::max(kMostDefaults, choices.details.size()) * std::max(kMostDefaults, choices.keeps.size()) + measured.size();
  const size_t ways =
      models.size() * shapes * choices.precisions.size() * choices.batches.size() * choices.clocks.size();
  if (ways > limits::kMaxPlanCandidates) {
    return LimitError(fmt::format("{} ways to run the request, the limit is {}", ways, limits::kMaxPlanCandidates),
                      "give fewer models, details, numbers of tokens, precisions, batches or clocks");
  }
  Ways all{workload, choices, place, prices, knowledge, {}};
  for (size_t m = 0; m < models.size(); ++m) EYESHOT_RETURN_IF_ERROR(all.AddModel(models[m], m));
  if (all.candidates.empty()) {
    return ContextFullError("no model can read a prompt as long as this", "use fewer pictures, or a larger model");
  }
  return std::move(all.candidates);
}

std::string BreaksLimit(const Candidate& candidate, const Aim& aim) {
  if (candidate.accuracy.value < aim.least_accuracy) {
    return fmt::format("accuracy {:.3f} is below {:.3f}", candidate.accuracy.value, aim.least_accuracy);
  }
  if (aim.most_ms && candidate.ms > *aim.most_ms) {
    return fmt::format("{:.0f} ms are more than {:.0f}", candidate.ms, *aim.most_ms);
  }
  if (aim.most_joules && candidate.joules.value_or(0) > *aim.most_joules) {
    return fmt::format("{:.3g} J are more than {:.3g}", *candidate.joules, *aim.most_joules);
  }
  if (aim.most_bytes && candidate.cost.memory.total() > *aim.most_bytes) {
    return fmt::format("{:.0f} MB are more than {:.0f}", candidate.cost.memory.total() / 1e6, *aim.most_bytes / 1e6);
  }
  if (aim.most_price && candidate.price.value_or(0) > *aim.most_price) {
    return fmt::format("{:.3g} for 1,000 are more than {:.3g}", *candidate.price, *aim.most_price);
  }
  return "";
}

Result<size_t> Choose(std::span<const Candidate> candidates, const Aim& aim) {
  std::optional<size_t> best;
  size_t nearest = 0;
  const auto better = [&](const Candidate& a, const Candidate& b) {
    const double difference = *Metric(a, aim.goal) - *Metric(b, aim.goal);
    if (difference != 0) return difference < 0;
    // Equally good: what answers better, then what is faster.
    if (a.accuracy.value != b.accuracy.value) return a.accuracy.value > b.accuracy.value;
    return a.ms < b.ms;
  };
  const bool joules_limited = aim.most_joules.has_value();
  const bool price_limited = aim.most_price.has_value();
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    const bool unknown =
        !Metric(candidate, aim.goal) || (joules_limited && !candidate.joules) || (price_limited && !candidate.price);
    if (unknown) {
      return InvalidArgumentError(
          fmt::format("{} of this machine are not known",
                      price_limited || aim.goal == Goal::kPrice ? "prices" : "joules"),
          "give --watts, or --price-per-hour or --price-per-kwh, or a machine that is simulated");
    }
    if (Excess(candidate, aim) < Excess(candidates[nearest], aim)) nearest = i;
    if (!BreaksLimit(candidate, aim).empty()) continue;
    if (!best || better(candidate, candidates[*best])) best = i;
  }
  if (best) return *best;
  return NotFoundError(fmt::format("no way is within the limits; of the one that comes nearest {}",
                                   BreaksLimit(candidates[nearest], aim)),
                       "allow more, or add a smaller model, precision or detail");
}

std::vector<size_t> ParetoFront(std::span<const Candidate> candidates) {
  std::vector<size_t> order(candidates.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (candidates[a].ms != candidates[b].ms) return candidates[a].ms < candidates[b].ms;
    return candidates[a].accuracy.value > candidates[b].accuracy.value;
  });
  std::vector<size_t> front;
  double best = -1;
  for (const size_t i : order) {
    if (candidates[i].accuracy.value <= best) continue;
    best = candidates[i].accuracy.value;
    front.push_back(i);
  }
  return front;
}

}  // namespace eyeshot::plan
