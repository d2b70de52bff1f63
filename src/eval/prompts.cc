#include "eval/prompts.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "eval/python_text.h"

namespace eyeshot::eval {
namespace {

constexpr char kAnswerStart[] = "Answer:";
constexpr char kShortPhrase[] = "\nAnswer the question using a single word or phrase.";
constexpr char kBrief[] = "\nGive a very brief answer.";

std::string Stripped(std::string_view text) {
  const std::u32string points = CodePoints(text);
  return Utf8(Strip(points));
}

std::string Replace(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// ImageMCQDataset.build_prompt
std::string McqMessage(const Question& question) {
  std::string text = question.hint.empty() ? "" : fmt::format("Hint: {}\n", question.hint);
  text += fmt::format("Question: {}\n", question.question);
  if (question.choices.empty()) return text;
  text += "Options:\n";
  for (const auto& [letter, choice] : question.choices) text += fmt::format("{}. {}\n", letter, choice);
  return text + "Please select the correct answer from the options above. \n";
}

std::string WithChoices(const Question& question, std::string_view instruction) {
  const std::string text = Replace(Stripped(McqMessage(question)), "\nOptions:", "\nChoices:");
  return Replace(text, "Please select the correct answer from the options above.", instruction);
}

AskedText Plain(const Question& question) { return {question.question, ""}; }
AskedText Mcq(const Question& question) { return {WithChoices(question, "Answer with the letter."), kAnswerStart}; }
AskedText McqDefault(const Question& question) { return {Stripped(McqMessage(question)), ""}; }
AskedText Brief(const Question& question) { return {Stripped(question.question) + kBrief, ""}; }
AskedText Vqa(const Question& question) { return {Stripped(question.question + kShortPhrase), ""}; }
AskedText VqaBrief(const Question& question) { return {Stripped(question.question + kShortPhrase) + kBrief, ""}; }

// The hint goes between question and choices.
AskedText MmBench(const Question& question) {
  std::string text = WithChoices(question, "Answer with a letter.");
  const size_t asked = text.find("\nQuestion:");
  const size_t choices = text.find("\nChoices:");
  if (text.starts_with("Hint:") && asked < choices && choices != std::string::npos) {
    text = fmt::format("{}\n{}{}", text.substr(asked + 1, choices - asked - 1), text.substr(0, asked),
                       text.substr(choices));
  }
  return {std::move(text), kAnswerStart};
}

AskedText ChartQa(const Question& question) {
  constexpr std::string_view kRules =
      "For the question below, follow the following instructions:\n"
      "-The answer should contain as few words as possible.\n"
      "-Don't paraphrase or reformat the text you see in the image.\n"
      "-Answer a binary question with Yes or No.\n"
      "-When asked to give a numerical value, provide a number like 2 instead of Two.\n"
      "-If the final answer has two or more items, provide it in the list format like [1, 2].\n"
      "-When asked to give a ratio, give out the decimal value like 0.25 instead of 1:4.\n"
      "-When asked to give a percentage, give out the whole value like 17 instead of decimal like 0.17%.\n"
      "-Don't include any units in the answer.\n"
      "-Do not include any full stops at the end of the answer.\n"
      "-Try to include the full label from the graph when asked about an entity.\n"
      "Question: ";
  return {std::string(kRules) + Vqa(question).text, ""};
}

AskedText DocVqa(const Question& question) {
  constexpr std::string_view kRules =
      "Give a short and terse answer to the following question. Do not paraphrase or reformat the text you see in the "
      "image. Do not include any full stops. Just give the answer without additional explanation. Question: ";
  return {std::string(kRules) + Vqa(question).text, ""};
}

AskedText TextVqa(const Question& question) {
  constexpr std::string_view kRules =
      "Answer the following question about the image using as few words as possible. Follow these additional "
      "instructions:\n"
      "-Always answer a binary question with Yes or No.\n"
      "-When asked what time it is, reply with the time seen in the image.\n"
      "-Do not put any full stops at the end of the answer.\n"
      "-Do not put quotation marks around the answer.\n"
      "-An answer with one or two words is favorable.\n"
      "-Do not apply common sense knowledge. The answer can be found in the image.\n"
      "Question: ";
  return {std::string(kRules) + Vqa(question).text, ""};
}

AskedText VideoMme(const Question& question) {
  std::string text =
      "These are the frames of a video. Select the best answer to the following multiple-choice question based on the "
      "video. Respond with only the letter (A, B, C, or D) of the correct option. Question: " +
      question.question;
  for (const auto& [letter, choice] : question.choices) text += "\n" + choice;
  return {text + "\nAnswer:", ""};
}

constexpr PromptKind kPromptKinds[] = {
    {"plain", Plain},        {"mcq", Mcq},       {"mmbench", MmBench},    {"mcq-default", McqDefault},
    {"chartqa", ChartQa},    {"docvqa", DocVqa}, {"textvqa", TextVqa},    {"vqa", Vqa},
    {"vqa-brief", VqaBrief}, {"brief", Brief},   {"video-mme", VideoMme},
};

constexpr SetKind kSetKinds[] = {
    {"MMStar", "mcq", "letter"},
    {"AI2D", "mcq", "letter"},
    {"ScienceQA", "mcq", "letter"},
    {"SEEDBench_IMG", "mcq", "letter"},
    {"MMBench", "mmbench", "letter"},
    {"RealWorldQA", "mcq-default", "letter"},
    {"ChartQA", "chartqa", "relaxed"},
    {"DocVQA", "docvqa", "anls"},
    {"InfoVQA", "vqa-brief", "anls"},
    {"TextVQA", "textvqa", "vqa"},
    {"OCRBench", "brief", "substring"},
    {"OCRVQA", "vqa-brief", "accuracy"},
    {"GQA", "vqa", "accuracy"},
    {"Video-MME", "video-mme", "letter-video"},
    {"VideoMME", "video-mme", "letter-video"},
};

std::string AsciiLower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

}  // namespace

std::span<const PromptKind> PromptKinds() { return kPromptKinds; }

Result<const PromptKind*> FindPromptKind(std::string_view name) {
  std::string names;
  for (const PromptKind& kind : kPromptKinds) {
    if (kind.name == name) return &kind;
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  }
  return InvalidArgumentError(fmt::format("there is no prompt '{}'", name), fmt::format("take one of {}", names));
}

SetKind KindOf(std::string_view set_name, std::span<const Question> questions) {
  const bool choices =
      std::any_of(questions.begin(), questions.end(), [](const Question& q) { return !q.choices.empty(); });
  SetKind kind{"", choices ? "mcq" : "plain", choices ? "letter" : "exact"};
  const std::string name = AsciiLower(set_name);
  for (const SetKind& known : kSetKinds) {
    // The longest name decides: "VideoMME" is no "MME", "OCRBench" no "Bench".
    if (name.find(AsciiLower(known.data_set)) == std::string::npos) continue;
    if (known.data_set.size() > kind.data_set.size()) kind = known;
  }
  const bool logged =
      std::any_of(questions.begin(), questions.end(), [](const Question& q) { return q.recorded.has_value(); });
  if (logged && !choices) kind.prompt = "plain";
  return kind;
}

}  // namespace eyeshot::eval
