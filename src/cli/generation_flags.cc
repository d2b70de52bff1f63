#include "cli/generation_flags.h"

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

}  // namespace eyeshot::cli
