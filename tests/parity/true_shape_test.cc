// SmolVLM-256M at its true shape, with weights from a seed, against transformers 5.17 in float32
// (tests/golden/true_shape.py; fields in tests/golden/README.md).
#include <algorithm>

#include "parity.h"

namespace eyeshot::testing {
namespace {

const std::string kGolden = EYESHOT_SOURCE_DIR "/tests/data/golden/smolvlm-256m/";

ModelUnderTest& Model() {
  static ModelUnderTest model(EYESHOT_SEEDED_CHECKPOINT);
  return model;
}

// The question between the template's strings.
std::string Question(const std::string& prompt) {
  const std::string before = "<image>";
  const size_t begin = prompt.find(before) + before.size();
  return prompt.substr(begin, prompt.find("<end_of_utterance>") - begin);
}

ModelUnderTest::Outputs RunCase(const nlohmann::json& test_case) {
  auto image = LoadImage(kGolden + "picture.png");
  if (!image.ok()) throw std::runtime_error(image.status().message());
  auto outputs = Model().Run(
      {std::make_shared<const Image>(*std::move(image)), Question(test_case.at("prompt").get<std::string>())}, false);
  EXPECT_EQ(outputs.plan.ids, ExpandIds(test_case.at("input_ids")));
  return outputs;
}

// Logits at the positions of a case, restricted to the golden's columns.
void ExpectLogitsAgree(const std::string& what, const std::vector<std::vector<float>>& logits,
                       const nlohmann::json& columns, const Array& want) {
  std::vector<std::vector<float>> restricted;
  for (const auto& row : logits) {
    restricted.emplace_back();
    for (const auto& column : columns) restricted.back().push_back(row[column.get<size_t>()]);
  }
  ExpectAgrees(what, EveryNth(restricted, 1), want);
}

std::vector<const float*> RowsAt(const std::vector<std::vector<float>>& rows, const nlohmann::json& positions) {
  std::vector<const float*> picked;
  for (const auto& position : positions) picked.push_back(rows.at(position.get<size_t>()).data());
  return picked;
}

TEST(TrueShape, TowerConnectorAndLogitsOfAShortPrompt) {
  const nlohmann::json golden = LoadJson(kGolden + "true_shape.json");
  const auto outputs = RunCase(golden.at("short"));
  ExpectAgrees("tower", EveryNth(outputs.tower, golden.at("tower_row_step").get<int64_t>()),
               LoadNpy(kGolden + "tower.npy"));
  ExpectAgrees("connector", EveryNth(outputs.connector, 1), LoadNpy(kGolden + "connector.npy"));
  const auto logits = Model().Logits(RowsAt(outputs.hidden, golden.at("short").at("positions")));
  ExpectLogitsAgree("logits", logits, golden.at("columns"), LoadNpy(kGolden + "short_logits.npy"));
}

#if EYESHOT_LONG_CASE
TEST(TrueShape, LogitsAndBestTokensOfALongPrompt) {
  const nlohmann::json golden = LoadJson(kGolden + "true_shape.json");
  const auto outputs = RunCase(golden.at("long"));
  const auto logits = Model().Logits(RowsAt(outputs.hidden, golden.at("long").at("positions")));
  ExpectLogitsAgree("logits", logits, golden.at("columns"), LoadNpy(kGolden + "logits.npy"));

  int sure = 0;
  int same = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto best = std::max_element(logits[i].begin(), logits[i].end()) - logits[i].begin();
    const bool is_sure = golden.at("sure")[i].get<int>() != 0;
    sure += is_sure ? 1 : 0;
    same += is_sure && best == golden.at("top1")[i].get<int64_t>() ? 1 : 0;
  }
  std::printf("same best token at %d of %d positions whose gap exceeds 4 times the bf16 RMS\n", same, sure);
  EXPECT_GE(sure, 100);
  EXPECT_GE(same, sure * 98 / 100.0);
}
#endif

}  // namespace
}  // namespace eyeshot::testing
