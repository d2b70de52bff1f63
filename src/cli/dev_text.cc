// eyeshot dev perplexity, eyeshot dev continue: plain text through a model, beside other engines and precisions.
#include "cli/dev_text.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/help.h"
#include "cli/loaded_model.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "models/model_source.h"
#include "runtime/text_scores.h"

namespace eyeshot::cli {
namespace {

struct TextFlags {
  ModelFlags model;
  std::string file;
  int64_t window = 512;
  int64_t max_tokens = 64;
  bool json = false;
};

Status RunPerplexity(const TextFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(flags.file, limits::kMaxPromptBytes));
  EYESHOT_ASSIGN_OR_RETURN(const LoadedModel loaded, LoadBelowEngine(flags.model, "cpu"));
  const std::vector<int32_t> ids = loaded.model->tokenizer().Encode(text);
  Progress progress(!flags.json);
  EYESHOT_ASSIGN_OR_RETURN(const TextScore score, ScoreText(*loaded.model, ids, flags.window,
                                                            [&](double share) { progress.Show("reading", share); }));
  progress.Clear();
  if (flags.json) {
    PrintJson({{"tokens", ids.size()},
               {"predicted", score.tokens},
               {"window", flags.window},
               {"mean_loss", score.mean_loss},
               {"perplexity", score.perplexity()},
               {"ids", ids}});
  } else {
    fmt::print("perplexity {:.4f} ({:.5f} nats a token, {} tokens, windows of {})\n", score.perplexity(),
               score.mean_loss, score.tokens, flags.window);
  }
  return Status::Ok();
}

// One question a line; one JSON object a line.
Status RunContinue(const TextFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(flags.file, limits::kMaxPromptBytes));
  EYESHOT_ASSIGN_OR_RETURN(const LoadedModel loaded, LoadBelowEngine(flags.model, "cpu"));
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string question = text.substr(begin, end - begin);
    begin = end + 1;
    if (question.empty()) continue;
    const PromptMessage message{Role::kUser, {question}};
    EYESHOT_ASSIGN_OR_RETURN(const Prompt prompt, loaded.model->prompt_format().Render({&message, 1}, true));
    EYESHOT_ASSIGN_OR_RETURN(
        const Continuation continuation,
        ContinueGreedily(*loaded.model, prompt.ids, flags.max_tokens, loaded.model->generation().eos_token_ids));
    const OrderedJson line = {{"question", question},
                              {"prompt_ids", prompt.ids},
                              {"ids", continuation.ids},
                              {"gaps", continuation.gaps},
                              {"text", loaded.model->tokenizer().Decode(continuation.ids, true)}};
    fmt::print("{}\n", line.dump());
  }
  return Status::Ok();
}

}  // namespace

void AddTextCommands(CLI::App& dev, int& exit_code) {
  auto flags = std::make_shared<TextFlags>();
  CLI::App* perplexity = dev.add_subcommand("perplexity", "How well a model predicts a text");
  SetUsage(*perplexity, "eyeshot dev perplexity [OPTIONS] TEXT");
  perplexity->add_option("text", flags->file, "A text file")->required()->type_name("TEXT");
  AddModelFlags(*perplexity, flags->model);
  perplexity->add_option("--window", flags->window, "Tokens that are read together")
      ->capture_default_str()
      ->type_name("N");
  perplexity->add_flag("--json", flags->json, "Print one JSON object, with the token ids");
  perplexity->footer("Examples:\n  eyeshot dev perplexity --model model.gguf --precision int8 book.txt");
  perplexity->callback([flags, &exit_code] {
    const Status status = RunPerplexity(*flags);
    exit_code = status.ok() ? kExitOk : ReportError(status, flags->json);
  });

  CLI::App* continues = dev.add_subcommand("continue", "Greedy answers to questions, with their token ids");
  SetUsage(*continues, "eyeshot dev continue [OPTIONS] QUESTIONS");
  continues->add_option("questions", flags->file, "A text file with one question a line")
      ->required()
      ->type_name("QUESTIONS");
  AddModelFlags(*continues, flags->model);
  continues->add_option("-n,--max-tokens", flags->max_tokens, "Most tokens of an answer")
      ->capture_default_str()
      ->type_name("N");
  continues->footer("Examples:\n  eyeshot dev continue --model model.gguf questions.txt");
  continues->callback([flags, &exit_code] {
    const Status status = RunContinue(*flags);
    exit_code = status.ok() ? kExitOk : ReportError(status, false);
  });
}

}  // namespace eyeshot::cli
