// eyeshot quantize: a model's folder with packed weights, and what packing costs in accuracy.
#include "models/quantize.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/model_flags.h"
#include "cli/pictures.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/synthetic_picture.h"
#include "models/model_source.h"
#include "runtime/compare_models.h"

namespace eyeshot::cli {
namespace {

constexpr const char* kQuestion = "Describe the image.";
constexpr int64_t kAnswerTokens = 32;

struct QuantizeFlags {
  std::string model;
  std::string out;
  std::string precision = "auto";
  std::vector<std::string> calibration;
  int threads = 0;
  bool no_comparison = false;
  bool json = false;
};

struct Report {
  std::string precision;
  std::vector<WeightError> weights;
  size_t pictures = 0;
  ModelComparison comparison;
};

Result<std::vector<std::shared_ptr<const Image>>> CalibrationPictures(const QuantizeFlags& flags) {
  std::vector<std::shared_ptr<const Image>> pictures;
  Ledger ledger;
  for (const std::string& path : flags.calibration) {
    EYESHOT_ASSIGN_OR_RETURN(Image image, ReadPicture(path, {}, ledger));
    pictures.push_back(std::make_shared<const Image>(std::move(image)));
  }
  if (pictures.empty()) {
    for (const auto& [width, height] : {std::pair{512, 512}, std::pair{640, 360}, std::pair{300, 700}}) {
      pictures.push_back(std::make_shared<const Image>(SyntheticPicture(width, height)));
    }
  }
  return pictures;
}

Status Compare(const QuantizeFlags& flags, const std::string& dir, Backend& backend, Progress& progress,
               Report& report) {
  EYESHOT_ASSIGN_OR_RETURN(const auto pictures, CalibrationPictures(flags));
  Ledger ledger;
  ModelOptions load;
  load.model.path = dir;
  EYESHOT_ASSIGN_OR_RETURN(const auto exact, LoadModel(load, backend, ledger));
  load.model.path = flags.out;
  EYESHOT_ASSIGN_OR_RETURN(ModelSource source, ModelSource::Open(load.model));
  EYESHOT_ASSIGN_OR_RETURN(load.precision, ChoosePrecision(source, "", backend));
  EYESHOT_ASSIGN_OR_RETURN(const auto packed, LoadModel(std::move(source), load, backend, ledger));
  EYESHOT_ASSIGN_OR_RETURN(report.comparison, CompareModels(*exact, *packed, pictures, kQuestion, kAnswerTokens,
                                                            [&](double share) { progress.Show("comparing", share); }));
  report.pictures = pictures.size();
  return Status::Ok();
}

Result<Report> Quantize(const QuantizeFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel model, FindModel(flags.model));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                           CreateBackend({.name = "portable", .threads = flags.threads}));
  EYESHOT_ASSIGN_OR_RETURN(const ModelPrecision precision, ParsePrecision(flags.precision, *backend));
  Progress progress(!flags.json);
  Report report;
  report.precision = PrecisionName(precision, *backend);
  Result<std::vector<WeightError>> weights =
      QuantizeModel({.dir = model.dir,
                     .out_dir = flags.out,
                     .precision = precision,
                     .on_progress = [&](double share) { progress.Show("packing", share); }},
                    *backend);
  if (!weights.ok()) return weights.status();
  report.weights = *std::move(weights);
  if (!flags.no_comparison) EYESHOT_RETURN_IF_ERROR(Compare(flags, model.dir, *backend, progress, report));
  progress.Clear();
  return report;
}

void PrintReportJson(const QuantizeFlags& flags, const Report& report) {
  OrderedJson json = {{"out", flags.out}, {"precision", report.precision}};
  json["weights"] = OrderedJson::array();
  for (const WeightError& weight : report.weights) {
    json["weights"].push_back({{"name", weight.name},
                               {"format", weight.format},
                               {"outputs", weight.outputs},
                               {"inputs", weight.inputs},
                               {"source_bytes", weight.source_bytes},
                               {"bytes", weight.bytes},
                               {"relative_error", weight.relative_error},
                               {"worst_cosine", weight.worst_cosine}});
  }
  if (report.pictures > 0) {
    const ModelComparison& c = report.comparison;
    json["comparison"] = {{"pictures", report.pictures},
                          {"visual_tokens", c.visual_tokens},
                          {"visual_cosine", c.visual_cosine},
                          {"worst_visual_cosine", c.worst_visual_cosine},
                          {"positions", c.positions},
                          {"same_best_token", c.same_best},
                          {"mean_divergence_nats", c.mean_divergence}};
  }
  PrintJson(json);
}

void PrintReportText(const QuantizeFlags& flags, const Report& report) {
  uint64_t source_bytes = 0;
  uint64_t bytes = 0;
  std::map<std::string, uint64_t> by_format;
  fmt::print("{:<66}{:>8}{:>15}{:>11}{:>10}{:>10}\n", "weight", "format", "shape", "bytes", "error", "worst cos");
  for (const WeightError& weight : report.weights) {
    source_bytes += weight.source_bytes;
    bytes += weight.bytes;
    by_format[weight.format] += weight.bytes;
    if (weight.inputs == 1) continue;
    fmt::print("{:<66}{:>8}{:>15}{:>11}{:>9.3f}%{:>10.6f}\n", weight.name, weight.format,
               fmt::format("{} x {}", weight.outputs, weight.inputs), BytesText(weight.bytes),
               100 * weight.relative_error, weight.worst_cosine);
  }
  fmt::print("\n{}: {} of weights became {} ({}):", flags.out, BytesText(source_bytes), BytesText(bytes),
             report.precision);
  for (const auto& [format, total] : by_format) fmt::print(" {} {}", format, BytesText(total));
  fmt::print("\n");
  if (report.pictures == 0) return;
  const ModelComparison& c = report.comparison;
  fmt::print("Beside exact weights, on {} {} pictures and the answers to \"{}\":\n", report.pictures,
             flags.calibration.empty() ? "synthetic" : "given", kQuestion);
  fmt::print("  visual tokens    {:>9}   cosine {:.6f}, worst {:.6f}\n", c.visual_tokens, c.visual_cosine,
             c.worst_visual_cosine);
  fmt::print("  answer tokens    {:>9}   same best token at {}, divergence {:.5f} nats\n", c.positions, c.same_best,
             c.mean_divergence);
}

int RunQuantize(const QuantizeFlags& flags) {
  const Result<Report> report = Quantize(flags);
  if (!report.ok()) return ReportError(report.status(), flags.json);
  if (flags.json) {
    PrintReportJson(flags, *report);
  } else {
    PrintReportText(flags, *report);
  }
  return kExitOk;
}

}  // namespace

void AddQuantizeCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<QuantizeFlags>();
  CLI::App* command = program.add_subcommand("quantize", "Make a folder with packed weights, which loads at once");
  SetUsage(*command, "eyeshot quantize [OPTIONS] MODEL OUT");
  command->add_option("model", flags->model, "A Hugging Face folder")->required()->type_name("MODEL");
  command->add_option("out", flags->out, "The folder to make")->required()->type_name("OUT");
  command->add_option("--precision", flags->precision, "As for ask; see docs/performance.md")
      ->capture_default_str()
      ->type_name("P[,P]");
  command
      ->add_option("--calibration", flags->calibration,
                   "Pictures to compare exact and packed weights on; synthetic ones without it")
      ->type_name("PICTURE...");
  command->add_flag("--no-comparison", flags->no_comparison, "Don't compare the models' answers");
  command->add_option("-t,--threads", flags->threads, "Threads; 0 takes the cores that this process may use")
      ->check(CLI::Range(0, limits::kMaxThreads))
      ->type_name("N");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(R"(Examples:
  eyeshot quantize SmolVLM-256M-Instruct smolvlm-256m-int8
  eyeshot quantize MODEL OUT --precision int8,int4 --calibration photo.jpg chart.png
  eyeshot ask --model smolvlm-256m-int8 photo.jpg "What is this?"

The error of a weight is that of its rounding, root mean square, beside its values; the worst cosine is that of one of
its rows. The folder needs nothing of the one that it was made from.)");
  command->callback([flags, &exit_code] { exit_code = RunQuantize(*flags); });
}

}  // namespace eyeshot::cli
