// Asking a model one question of a set.
#ifndef EYESHOT_EVAL_ASK_H_
#define EYESHOT_EVAL_ASK_H_

#include <functional>
#include <vector>

#include "eval/prompts.h"
#include "eval/question.h"
#include "eyeshot/chat.h"
#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot::eval {

struct AskSettings {
  AskOptions options;  // but answer_start, which is the prompt's
  const PromptKind* prompt = nullptr;
  bool jpeg_scaling = false;
  // Called with pictures, text and the options before each question, which it may change; empty: nobody does.
  std::function<Status(const std::vector<ContentPart>& parts, AskOptions& options)> prepare;
};

// Asks in a conversation that is begun anew. `ledger` gets the whole cost, the decoding of pictures included. Errors:
// those of files, pictures and Chat::Ask().
Result<Answer> AskQuestion(const Engine& engine, Chat& chat, const Question& question, const AskSettings& settings,
                           Ledger& ledger);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_ASK_H_
