// Every checkpoint of the family at its true shape, with weights from a seed, against transformers 5.17 in float32
// (tests/golden/family.py; fields in tests/golden/README.md). bench/family_parity.sh makes the checkpoints, up to 4.5
// GB each, one after the other, and names the one to test in EYESHOT_FAMILY: "smolvlm-2.2b". EYESHOT_FAMILY_MODEL
// names other files with the same weights: bench/gguf_parity.sh has them as GGUF. EYESHOT_FAMILY_PRECISION is that of
// weights, exact without it.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "base/sha256.h"
#include "formats/testing.h"
#include "parity.h"

namespace eyeshot::testing {
namespace {

std::string Name() {
  const char* name = std::getenv("EYESHOT_FAMILY");
  return name == nullptr ? "" : name;
}
// Of weights.
std::string Precision() {
  const char* precision = std::getenv("EYESHOT_FAMILY_PRECISION");
  return precision == nullptr ? "exact" : precision;
}
std::string Golden(const std::string& file) {
  return EYESHOT_SOURCE_DIR "/tests/data/golden/family/" + Name() + "/" + file;
}

class Family : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Name().empty()) GTEST_SKIP() << "EYESHOT_FAMILY names no checkpoint: bench/family_parity.sh runs this";
    const char* model = std::getenv("EYESHOT_FAMILY_MODEL");
    if (!model_) model_.emplace(model != nullptr ? model : EYESHOT_SEEDED_CHECKPOINTS "/" + Name(), Precision());
  }
  static void TearDownTestSuite() { model_.reset(); }

  static std::vector<const float*> Rows(const std::vector<std::vector<float>>& rows, const nlohmann::json& positions) {
    std::vector<const float*> picked;
    for (const auto& position : positions) picked.push_back(rows.at(position.get<size_t>()).data());
    return picked;
  }

  static void ExpectLogits(const std::vector<std::vector<float>>& logits, const nlohmann::json& columns,
                           const std::string& file) {
    std::vector<std::vector<float>> restricted;
    for (const auto& row : logits) {
      restricted.emplace_back();
      for (const auto& column : columns) restricted.back().push_back(row.at(column.get<size_t>()));
    }
    ExpectAgrees("logits", EveryNth(restricted, 1), LoadNpy(Golden(file)), Precision());
  }

  static std::optional<ModelUnderTest> model_;
};

std::optional<ModelUnderTest> Family::model_;

TEST_F(Family, TowerConnectorAndLogitsOfATile) {
  const nlohmann::json golden = LoadJson(Golden("short.json"));
  const auto picture = LoadImage(EYESHOT_SOURCE_DIR "/tests/data/golden/smolvlm-256m/picture.png");
  ASSERT_TRUE(picture.ok()) << picture.status().message();
  const auto outputs = model_->RunIds(ExpandIds(golden.at("input_ids")), &*picture);
  EXPECT_EQ(Sha256Hex(outputs.pixels), golden.at("tile_rgb_sha256").get<std::string>());
  ExpectAgrees("tower", Rows(outputs.tower, golden.at("tower_rows")), LoadNpy(Golden("tower.npy")), Precision());
  ExpectAgrees("connector", Rows(outputs.connector, golden.at("connector_rows")), LoadNpy(Golden("connector.npy")),
               Precision());
  ExpectLogits(model_->Logits(Rows(outputs.hidden, golden.at("positions"))), golden.at("columns"), "logits.npy");
}

// The ids of text that golden scripts make by formula.
std::vector<int32_t> TextIds(size_t count, uint64_t seed, uint64_t least, uint64_t most) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i) {
    uint64_t x = seed + i + 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    ids.push_back(static_cast<int32_t>(least + x % (most - least)));
  }
  return ids;
}

// Minutes with the 2.2B model; the oracle would need hours.
TEST_F(Family, LogitsAtTheEndOfAFullContext) {
  if (kIsReference) GTEST_SKIP() << "too long for the oracle";
  if (!std::ifstream(Golden("long.json"))) GTEST_SKIP() << "no golden of a full context for " << Name();
  const nlohmann::json golden = LoadJson(Golden("long.json"));
  const auto length = golden.at("length").get<size_t>();
  EXPECT_EQ(static_cast<int64_t>(length), model_->model().config().text.max_positions);
  const auto outputs =
      model_->RunIds(TextIds(length, golden.at("ids_seed").get<uint64_t>(), golden.at("least_id").get<uint64_t>(),
                             golden.at("most_id").get<uint64_t>()),
                     nullptr);
  const auto logits = model_->Logits({outputs.hidden.back().data()});
  ExpectLogits(logits, golden.at("columns"), "long_logits.npy");
  const auto best = std::max_element(logits[0].begin(), logits[0].end()) - logits[0].begin();
  std::printf("position %zu: best token %td, the reference's %d (gap %.3f)\n", length - 1, best,
              golden.at("top1").get<int>(), golden.at("gap").get<double>());
}

}  // namespace
}  // namespace eyeshot::testing
