#include "cli/eval_settings.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "eval/fingerprint.h"
#include "eval/prompts.h"
#include "reduce/reduce_spec.h"

namespace eyeshot::cli {
namespace {

Result<int> Whole(const std::string& value, int64_t low, int64_t high) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error == std::errc() && end == value.data() + value.size() && number >= low && number <= high) {
    return static_cast<int>(number);
  }
  return InvalidArgumentError(fmt::format("'{}' is no number from {} to {}", value, low, high), "give one");
}

Status SetText(const std::string& value, std::string& to) {
  to = value;
  return Status::Ok();
}

Status SetModel(const std::string& value, EvalSettings& settings) { return SetText(value, settings.model.model); }
Status SetPrecision(const std::string& value, EvalSettings& settings) {
  return SetText(value, settings.model.precision);
}
Status SetKvCache(const std::string& value, EvalSettings& settings) { return SetText(value, settings.model.kv_cache); }

Status SetFrameEdge(const std::string& value, EvalSettings& settings) {
  EYESHOT_ASSIGN_OR_RETURN(settings.model.frame_edge, Whole(value, 0, limits::kMaxLongestEdge));
  return Status::Ok();
}

Status SetThreads(const std::string& value, EvalSettings& settings) {
  EYESHOT_ASSIGN_OR_RETURN(settings.model.threads, Whole(value, 0, limits::kMaxThreads));
  return Status::Ok();
}

Status SetGovernor(const std::string& value, EvalSettings& settings) {
  EYESHOT_RETURN_IF_ERROR(ParseGovernor(value).status());
  return SetText(value, settings.governor.governor);
}

Status SetDetail(const std::string& value, EvalSettings& settings) {
  EYESHOT_ASSIGN_OR_RETURN(settings.options.detail, ParsePictureDetail(value));
  return Status::Ok();
}

Status SetReduce(const std::string& value, EvalSettings& settings) {
  EYESHOT_RETURN_IF_ERROR(ParseReduceSpec(value).status());
  return SetText(value, settings.options.reduce);
}

Status SetMaxTokens(const std::string& value, EvalSettings& settings) {
  EYESHOT_ASSIGN_OR_RETURN(settings.options.max_tokens, Whole(value, 1, limits::kMaxContext));
  return Status::Ok();
}

Status SetPrompt(const std::string& value, EvalSettings& settings) {
  EYESHOT_RETURN_IF_ERROR(eval::FindPromptKind(value).status());
  return SetText(value, settings.prompt);
}

// A setting that a sweep may vary.
struct EvalAxis {
  std::string_view name;
  bool reloads;  // the model is loaded anew for each value
  // Sets it. Error: kInvalidArgument (no such value).
  Status (*apply)(const std::string& value, EvalSettings& settings);
};

constexpr EvalAxis kAxes[] = {
    {"model", true, SetModel},          {"precision", true, SetPrecision}, {"kv-cache", true, SetKvCache},
    {"frame-edge", true, SetFrameEdge}, {"threads", true, SetThreads},     {"governor", true, SetGovernor},
    {"detail", false, SetDetail},       {"reduce", false, SetReduce},      {"max-tokens", false, SetMaxTokens},
    {"prompt", false, SetPrompt},
};

Result<const EvalAxis*> FindAxis(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kAxes), std::end(kAxes), [&](const EvalAxis& axis) { return axis.name == name; });
  if (found != std::end(kAxes)) return found;
  return InvalidArgumentError(fmt::format("--sweep: there is no setting '{}'", name),
                              fmt::format("take one of {}", AxisNames()));
}

// The tower's file of a GGUF model, where a flag names one.
std::vector<std::string> MoreFiles(const ModelFlags& flags) {
  if (flags.mmproj.empty() || flags.mmproj == "none") return {};
  return {flags.mmproj};
}

// Only where there is one, so that files of runs without any go on as they were.
void AddGovernor(const GovernorFlags& flags, OrderedJson& json) {
  if (flags.governor != "none") {
    json["governor"] = flags.governor;
    json["slowdown"] = flags.slowdown_percent;
  }
  if (flags.power_limit_w > 0) json["power-limit"] = flags.power_limit_w;
  if (!flags.energy_preference.empty()) json["energy-preference"] = flags.energy_preference;
}

}  // namespace

std::string AxisNames() {
  std::string names;
  for (const EvalAxis& axis : kAxes) names += (names.empty() ? "" : ", ") + std::string(axis.name);
  return names;
}

Result<std::vector<eval::SweepAxis>> CheckAxes(const std::vector<eval::SweepAxis>& axes) {
  std::vector<eval::SweepAxis> ordered;
  for (const bool reloads : {true, false}) {
    for (const eval::SweepAxis& axis : axes) {
      EYESHOT_ASSIGN_OR_RETURN(const EvalAxis* const found, FindAxis(axis.name));
      for (const std::string& value : axis.values) {
        EvalSettings trial;
        const Status applied = found->apply(value, trial);
        if (!applied.ok()) return applied.At(fmt::format("--sweep {}", axis.name));
      }
      if (found->reloads == reloads) ordered.push_back(axis);
    }
  }
  return ordered;
}

Result<EvalSettings> SettingsAt(const EvalSettings& base, const eval::Point& point) {
  EvalSettings settings = base;
  for (const auto& [name, value] : point) {
    EYESHOT_ASSIGN_OR_RETURN(const EvalAxis* const axis, FindAxis(name));
    EYESHOT_RETURN_IF_ERROR(axis->apply(value, settings));
  }
  return settings;
}

bool SameModel(const EvalSettings& a, const EvalSettings& b) {
  const auto key = [](const EvalSettings& settings) {
    const ModelFlags& flags = settings.model;
    return std::tie(flags.model, flags.precision, flags.kv_cache, flags.frame_edge, flags.threads,
                    settings.governor.governor);
  };
  return key(a) == key(b);
}

Result<OrderedJson> SettingsJson(const EvalSettings& settings, const ModelInfo& info,
                                 const std::vector<eval::SweepAxis>& axes) {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(settings.model.model));
  EYESHOT_ASSIGN_OR_RETURN(const std::string digest, eval::ModelFingerprint(found.dir, MoreFiles(settings.model)));
  // Models of a sweep are their own; a first one among them must not tell the file from one with more.
  const bool one_model = std::none_of(axes.begin(), axes.end(), [](const auto& axis) { return axis.name == "model"; });
  const AskOptions& options = settings.options;
  const SamplingOptions& sampling = options.sampling;
  OrderedJson json = {{"model", {{"name", info.name}, {"sha256", digest}}},
                      {"device", info.device},
                      {"isa", info.isa},
                      {"threads", info.threads},
                      {"precision", one_model ? info.precision : settings.model.precision},
                      {"kv-cache", settings.model.kv_cache},
                      {"frame-edge", settings.model.frame_edge},
                      {"context", settings.model.context},
                      {"pillow13", settings.model.pillow13},
                      {"hf-defaults", settings.model.hf_defaults},
                      {"jpeg-scaling", settings.jpeg_scaling},
                      {"detail", PictureDetailName(options.detail)},
                      {"reduce", options.reduce},
                      {"question-first", options.question_first},
                      {"prompt", settings.prompt},
                      {"max-tokens", options.max_tokens},
                      {"temperature", sampling.temperature},
                      {"top-k", sampling.top_k},
                      {"top-p", sampling.top_p},
                      {"min-p", sampling.min_p},
                      {"repetition-penalty", sampling.repetition_penalty},
                      {"seed", sampling.seed},
                      {"stop", options.stop}};
  AddGovernor(settings.governor, json);
  for (const eval::SweepAxis& axis : axes) json.erase(axis.name);
  return json;
}

}  // namespace eyeshot::cli
