// Scorers and prompts against VLMEvalKit's own (tests/golden/eval.py).
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "eval/choice_letter.h"
#include "eval/prompts.h"
#include "eval/python_text.h"
#include "eval/scorers.h"
#include "eval/text_distance.h"
#include "formats/json.h"

namespace eyeshot::eval {
namespace {

Json Rows(const std::string& name) {
  const std::string path = std::string(EYESHOT_SOURCE_DIR "/tests/data/golden/eval/") + name + ".json";
  const Result<std::string> text = ReadTextFile(path, uint64_t{1} << 24);
  if (!text.ok()) {
    ADD_FAILURE() << text.status().message();
    return Json::array();
  }
  return Json::parse(*text).at("rows");
}

Question QuestionOf(const Json& row) {
  Question question{
      .question = row.value("question", ""), .task = row.value("category", ""), .hint = row.value("hint", "")};
  if (row.contains("references")) question.answers = row.at("references").get<std::vector<std::string>>();
  if (!row.contains("choices")) return question;
  for (const auto& [letter, text] : row.at("choices").items()) question.choices.emplace_back(letter[0], text);
  return question;
}

class ScorerGoldens : public testing::TestWithParam<const char*> {};

TEST_P(ScorerGoldens, EqualsVlmEvalKit) {
  const Scorer& scorer = **FindScorer(GetParam());
  const Json rows = Rows(GetParam());
  EXPECT_GE(rows.size(), 50u);
  for (const Json& row : rows) {
    EXPECT_NEAR(scorer.score(QuestionOf(row), row.at("prediction").get<std::string>()), row.at("score").get<double>(),
                1e-9)
        << row.dump();
  }
}

INSTANTIATE_TEST_SUITE_P(All, ScorerGoldens,
                         testing::Values("accuracy", "anls", "substring", "letter", "letter-video", "relaxed", "vqa"),
                         [](const auto& test) { return Utf8(Replaced(CodePoints(test.param), U"-", U"_")); });

TEST(LetterGoldens, ChoosesWhatVlmEvalKitChooses) {
  for (const Json& row : Rows("letter")) {
    EXPECT_EQ(std::string(1, ChosenLetter(row.at("prediction").get<std::string>(), QuestionOf(row).choices)),
              row.at("chosen").get<std::string>())
        << row.dump();
  }
  for (const Json& row : Rows("letter-video")) {
    const std::string chosen(
        1, ChosenLetterOfVideo(row.at("prediction").get<std::string>(), row.at("question").get<std::string>()));
    EXPECT_EQ(chosen, row.at("chosen").get<std::string>()) << row.dump();
  }
}

TEST(CharacterGoldens, CountsEditsAsVlmEvalKit) {
  const Json rows = Rows("cer");
  EXPECT_GE(rows.size(), 50u);
  for (const Json& row : rows) {
    const std::u32string truth = Normalized(row.at("references").at(0).get<std::string>());
    EXPECT_EQ(truth.size(), row.at("characters").get<size_t>()) << row.dump();
    EXPECT_EQ(EditDistance(Normalized(row.at("prediction").get<std::string>()), truth), row.at("edits").get<size_t>())
        << row.dump();
  }
}

TEST(PromptGoldens, AreThoseOfSmolVlmsPublishedScores) {
  for (const Json& row : Rows("prompts")) {
    const Question question = QuestionOf(row);
    const SetKind kind = KindOf(row.at("dataset").get<std::string>(), {&question, 1});
    EXPECT_FALSE(kind.data_set.empty()) << row.at("dataset");
    const AskedText asked = (*FindPromptKind(kind.prompt))->build(question);
    const std::string start = asked.answer_start.empty() ? "" : " " + asked.answer_start;
    EXPECT_EQ("<|im_start|>User:<image>" + asked.text + "<end_of_utterance>\nAssistant:" + start,
              row.at("prompt").get<std::string>());
  }
}

}  // namespace
}  // namespace eyeshot::eval
