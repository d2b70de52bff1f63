// QueryEncoder: what is asked, as one row for connectors that look at pictures with the question in mind.
#ifndef EYESHOT_RUNTIME_QUERY_ENCODER_H_
#define EYESHOT_RUNTIME_QUERY_ENCODER_H_

#include <memory>
#include <string_view>

#include "models/model.h"
#include "runtime/decoder_runner.h"

namespace eyeshot {

// The decoder reads the question alone, without its picture and the chat template, behind <|im_start|> (token 0
// where the tokenizer hasn't that); the row is its last token's hidden state after the final norm (arXiv 2411.03312,
// section 4).
class QueryEncoder {
 public:
  // For questions of up to `context_tokens` tokens; of longer ones the end is read. The model must outlive it. Error:
  // kOutOfMemory.
  static Result<std::unique_ptr<QueryEncoder>> Create(const VisionLanguageModel& model, int64_t context_tokens);

  // [1, hidden] on the device, until the next call. The runner must be one of this model, for as many tokens; its
  // logits and last rows are overwritten. Charges `connect`. Errors: those of DecoderRunner::Prefill.
  Result<ConstMatrixView> Encode(Stream& stream, DecoderRunner& runner, std::string_view question, Ledger& ledger);

 private:
  QueryEncoder(const VisionLanguageModel& model, std::unique_ptr<KvCache> cache, Buffer row, int64_t context_tokens);
  PromptPlan Plan(std::string_view question) const;

  const VisionLanguageModel& model_;
  std::unique_ptr<KvCache> cache_;
  BlockPool pool_;
  KvSequence sequence_;
  Buffer row_;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_QUERY_ENCODER_H_
