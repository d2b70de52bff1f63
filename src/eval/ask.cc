#include "eval/ask.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "eval/question_set.h"

namespace eyeshot::eval {

Result<Answer> AskQuestion(const Engine& engine, Chat& chat, const Question& question, const AskSettings& settings,
                           Ledger& ledger) {
  chat.Reset();
  // Frames are one view each.
  const PictureDetail detail = question.video ? PictureDetail{PictureDetail::Kind::kLow, 0} : settings.options.detail;
  const DecodeOptions decoding = settings.jpeg_scaling ? engine.ScaledDecoding(detail) : DecodeOptions();
  EYESHOT_ASSIGN_OR_RETURN(
      std::vector<ContentPart> parts,
      ReadPictures(question, decoding, question.clip.empty() ? VideoOptions() : engine.VideoDefaults(), ledger));
  AskedText asked = settings.prompt->build(question);
  parts.emplace_back(std::move(asked.text));
  AskOptions options = settings.options;
  options.answer_start = std::move(asked.answer_start);
  if (settings.prepare) EYESHOT_RETURN_IF_ERROR(settings.prepare(parts, options));
  EYESHOT_ASSIGN_OR_RETURN(Answer answer, chat.Ask(std::move(parts), options));
  ledger.Add(answer.ledger);
  if (answer.ledger.gpu()) ledger.SetGpu(*answer.ledger.gpu());
  return answer;
}

}  // namespace eyeshot::eval
