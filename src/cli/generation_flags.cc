#include "cli/generation_flags.h"

#include <CLI/CLI.hpp>

#include "base/limits.h"
#include "reduce/reduce_spec.h"

namespace eyeshot::cli {

void AddGenerationFlags(CLI::App& command, AskOptions& options) {
  SamplingOptions& sampling = options.sampling;
  command.add_option("-n,--max-tokens", options.max_tokens, "Most tokens of an answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--temperature", sampling.temperature, "0 takes the likeliest token; more is more varied")
      ->check(CLI::Range(0.0, 100.0))
      ->type_name("T");
  command.add_option("--top-k", sampling.top_k, "Only the K likeliest tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->type_name("K");
  command.add_option("--top-p", sampling.top_p, "Only the likeliest tokens that together have probability P; 1: all")
      ->check(CLI::Range(1e-6, 1.0))
      ->type_name("P");
  command.add_option("--min-p", sampling.min_p, "Only tokens at least P times as likely as the likeliest; 0: all")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("P");
  command.add_option("--repetition-penalty", sampling.repetition_penalty, "More than 1 avoids what was said; 1: off")
      ->check(CLI::Range(1e-3, 1e3))
      ->type_name("R");
  command.add_option("--seed", sampling.seed, "The same seed gives the same answer")->type_name("N");
  command.add_option("--stop", options.stop, "End the answer before this text; may be given several times")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("TEXT");
  AddDetailFlag(command, options.detail);
  AddReduceFlag(command, options.reduce);
  command.add_flag("--question-first", options.question_first,
                   "Put the question before its pictures, so that its keys and values are reused with other pictures");
}

void AddDetailFlag(CLI::App& command, PictureDetail& detail) {
  CLI::Option* const option =
      command
          .add_option_function<std::string>(
              "--detail", [&detail](const std::string& text) { detail = *ParsePictureDetail(text); },
              "How many tiles a picture may become: reference (as transformers: enlarged to the largest grid), low "
              "(one view), auto (no more than its own pixels fill), or the longer side in tiles, 1 to 6")
          ->check([](const std::string& text) {
            const Result<PictureDetail> parsed = ParsePictureDetail(text);
            return parsed.ok() ? std::string() : parsed.status().message();
          })
          ->type_name("D");
  command
      .add_flag_callback(
          "--no-split", [&detail] { detail = {PictureDetail::Kind::kLow, 0}; }, "The same as --detail low")
      ->excludes(option);
}

void AddPhaseFlag(CLI::App& command, double& phase_s) {
  command
      .add_option_function<double>(
          "--phase-ms", [&phase_s](double phase_ms) { phase_s = phase_ms / 1e3; },
          "Side by side: decode for so long while pictures and prompts gather, then run those; 0: take turns")
      ->check(CLI::Range(0.0, 1e3 * limits::kMaxPhaseSeconds))
      ->type_name("MS");
}

void AddReduceFlag(CLI::App& command, std::string& reduce) {
  command
      .add_option("--reduce", reduce,
                  "Make visual tokens fewer: none, or NAME:KEEP, as stride:16 (tokens a tile), pool:25%, or "
                  "divprune:16,global=all (the view of the whole picture stays); docs/tokens.md has the names")
      ->check([](const std::string& text) {
        const Result<ReduceSpec> parsed = ParseReduceSpec(text);
        return parsed.ok() ? std::string() : parsed.status().message();
      })
      ->capture_default_str()
      ->type_name("NAME:KEEP");
}

}  // namespace eyeshot::cli
