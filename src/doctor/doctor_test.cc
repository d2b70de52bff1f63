// The built-in model and doctored copies of it, beside a dump that transformers made (tests/golden/README.md).
#include "doctor/doctor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "doctor/reference_dump.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace eyeshot {
namespace {

namespace fs = std::filesystem;

const std::string kModel = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";
const std::string kDump = EYESHOT_SOURCE_DIR "/tests/data/golden/doctor";

Json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

void WriteText(const std::string& path, const std::string& text) {
  fs::remove(path);  // it may be a link to the model's own
  ASSERT_TRUE(WriteFile(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}).ok());
}

class DoctorTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(model_);
    for (const auto& file : fs::directory_iterator(kModel)) {
      if (file.is_regular_file() && file.path().extension() != ".xz") {
        fs::create_symlink(file.path(), fs::path(model_) / file.path().filename());
      }
    }
    fs::create_directories(dump_);
    for (const auto& file : fs::directory_iterator(kDump)) {
      fs::create_symlink(file.path(), fs::path(dump_) / file.path().filename());
    }
  }
  void TearDown() override { fs::remove_all(folder_); }

  void EditJson(const std::string& path, const std::function<void(Json&)>& edit) {
    Json json = ReadJson(path);
    edit(json);
    WriteText(path, json.dump());
  }
  // Changes the bytes of a tensor of the model's copy.
  void EditTensor(const std::string& name, const std::function<void(uint8_t*, size_t)>& edit) {
    const std::string path = model_ + "/model.safetensors";
    auto bytes = ReadFile(path, 1 << 30);
    ASSERT_TRUE(bytes.ok());
    const auto tensors = ParseSafetensors(*bytes, path);
    ASSERT_TRUE(tensors.ok());
    for (const HostTensor& tensor : *tensors) {
      if (tensor.name == name) edit(bytes->data() + (tensor.data - bytes->data()), tensor.bytes());
    }
    fs::remove(path);
    ASSERT_TRUE(WriteFile(path, *bytes).ok());
  }

  Diagnosis Run(bool with_dump = true, const std::string& precision = "") {
    auto diagnosis =
        Diagnose({.model = model_, .dump = with_dump ? dump_ : "", .precision = precision, .on_progress = {}});
    EXPECT_TRUE(diagnosis.ok()) << diagnosis.status().message();
    return diagnosis.ok() ? *diagnosis : Diagnosis{};
  }
  // The step that the copy parts at; the whole report is shown where that is another.
  void ExpectPartsAt(const Diagnosis& diagnosis, const std::string& step, const std::string& note) {
    std::string report;
    for (const Examination& e : diagnosis.examinations) {
      report += e.step + " " + std::string(FindingName(e.finding)) + ": " + e.measure + "; " + e.note + "\n";
    }
    const Examination* first = diagnosis.first_parting();
    ASSERT_NE(first, nullptr) << report;
    EXPECT_EQ(first->step, step) << report;
    EXPECT_NE(first->note.find(note), std::string::npos) << first->note;
  }
  static const Examination& Step(const Diagnosis& diagnosis, const std::string& step) {
    static const Examination none;
    const auto found = std::find_if(diagnosis.examinations.begin(), diagnosis.examinations.end(),
                                    [&](const Examination& e) { return e.step == step; });
    EXPECT_NE(found, diagnosis.examinations.end()) << step;
    return found == diagnosis.examinations.end() ? none : *found;
  }
  static bool IsLikely(const Diagnosis& diagnosis, const std::string& part) {
    return std::any_of(diagnosis.likely.begin(), diagnosis.likely.end(),
                       [&](const std::string& reason) { return reason.find(part) != std::string::npos; });
  }

  std::string folder_ = fmt::format("{}/doctor_test_{}_{}", testing::TempDir(), getpid(),
                                    testing::UnitTest::GetInstance()->current_test_info()->name());
  std::string model_ = folder_ + "/model";
  std::string dump_ = folder_ + "/dump";
};

TEST_F(DoctorTest, TheModelGivesWhatTransformersGives) {
  const Diagnosis diagnosis = Run();
  EXPECT_EQ(diagnosis.first_parting(), nullptr) << diagnosis.first_parting()->step << diagnosis.first_parting()->note;
  std::vector<std::string> steps;
  steps.reserve(diagnosis.examinations.size());
  for (const Examination& e : diagnosis.examinations) steps.push_back(e.step);
  EXPECT_EQ(steps, (std::vector<std::string>{"configuration", "pictures", "tokenizer", "template", "generation",
                                             "tensors", "memory", "run", "decoding", "tiles", "prompt", "tokens",
                                             "weights", "tower", "connector", "logits", "answer"}));
  for (const char* step : {"decoding", "tiles", "weights"})
    EXPECT_EQ(Step(diagnosis, step).measure, "equal to the byte");
  for (const char* step : {"prompt", "tokens"}) EXPECT_EQ(Step(diagnosis, step).measure, "equal");
  for (const Examination& e : diagnosis.examinations) EXPECT_NE(e.finding, Finding::kSkipped) << e.step;
  EXPECT_TRUE(diagnosis.likely.empty());
}

TEST_F(DoctorTest, FewerBitsHaveWiderBounds) {
  const Diagnosis exact = Run();
  const Diagnosis rounded = Run(true, "int8");
  EXPECT_EQ(rounded.first_parting(), nullptr) << rounded.first_parting()->step << rounded.first_parting()->measure;
  EXPECT_NE(Step(rounded, "tower").bound, Step(exact, "tower").bound);
  EXPECT_NE(Step(rounded, "tower").measure, Step(exact, "tower").measure);
}

TEST_F(DoctorTest, AnotherTokenizer) {
  const int32_t token = LoadReferenceDump(kDump)->cases[0].ids.back();  // the ':' of "Assistant:"
  EditJson(model_ + "/tokenizer.json", [&](Json& json) {
    Json& vocabulary = json["model"]["vocab"];
    for (auto& [text, id] : vocabulary.items()) {
      if (id == token) std::swap(vocabulary[text], vocabulary["z"]);
      if (id == token) break;
    }
  });
  const Diagnosis diagnosis = Run();
  ExpectPartsAt(diagnosis, "tokens", "in the dump");
  EXPECT_EQ(Step(diagnosis, "prompt").finding, Finding::kOk);
  EXPECT_EQ(Step(diagnosis, "logits").finding, Finding::kSkipped);
  EXPECT_TRUE(IsLikely(diagnosis, "tokenizer.json"));
}

TEST_F(DoctorTest, AnotherWeight) {
  const std::string name = "model.vision_model.encoder.layers.2.mlp.fc1.weight";
  const auto negate = [](uint8_t* data, size_t size) {
    for (size_t i = 1; i < size / 2; i += 2) data[i] ^= 0x80;  // signs of bfloat16
  };
  EditTensor(name, negate);
  ExpectPartsAt(Run(), "weights", name);
  // Without hashes of tensors, what they do is seen.
  EditJson(dump_ + "/dump.json", [](Json& json) { json["tensors"] = Json::object(); });
  const Diagnosis diagnosis = Run();
  ExpectPartsAt(diagnosis, "tower", "farther");
  EXPECT_EQ(Step(diagnosis, "weights").finding, Finding::kSkipped);
  EXPECT_EQ(Step(diagnosis, "tokens").finding, Finding::kOk);
}

TEST_F(DoctorTest, AWeightOfTheDecoder) {
  EditTensor("model.text_model.norm.weight", [](uint8_t* data, size_t size) { data[size / 2 + 1] ^= 0x80; });
  EditJson(dump_ + "/dump.json", [](Json& json) { json["tensors"] = Json::object(); });
  const Diagnosis diagnosis = Run();
  ExpectPartsAt(diagnosis, "logits", "");
  EXPECT_EQ(Step(diagnosis, "connector").finding, Finding::kOk);
}

TEST_F(DoctorTest, AnotherSizeOfPictures) {
  EditJson(model_ + "/preprocessor_config.json", [](Json& json) { json["size"]["longest_edge"] = 256; });
  const Diagnosis diagnosis = Run();
  ExpectPartsAt(diagnosis, "tiles", "in the dump 5 of 256");
  EXPECT_TRUE(IsLikely(diagnosis, "preprocessor_config.json"));
}

TEST_F(DoctorTest, AnotherNormalization) {
  EditJson(model_ + "/preprocessor_config.json", [](Json& json) { json["image_mean"] = {0.45, 0.45, 0.45}; });
  const Diagnosis diagnosis = Run();
  ExpectPartsAt(diagnosis, "tower", "");
  EXPECT_TRUE(IsLikely(diagnosis, "mean"));
  EXPECT_TRUE(IsLikely(diagnosis, "preprocessor_config.json"));
}

TEST_F(DoctorTest, AnotherFilter) {
  EditJson(model_ + "/preprocessor_config.json", [](Json& json) { json["resample"] = 3; });
  ExpectPartsAt(Run(), "tiles", "other pixels");
}

// A template that this build does not know is told as such; one that it can run writes another prompt.
TEST_F(DoctorTest, AnotherTemplate) {
  auto text = ReadTextFile(model_ + "/chat_template.jinja", 1 << 20);
  ASSERT_TRUE(text.ok());
  text->replace(text->find("Assistant:"), 10, "Bot:");
  WriteText(model_ + "/chat_template.jinja", *text);
  const Diagnosis diagnosis = Run();
  ASSERT_NE(diagnosis.first_parting(), nullptr);
  const std::string& step = diagnosis.first_parting()->step;
  EXPECT_TRUE(step == "template" || step == "prompt") << step;
  EXPECT_TRUE(IsLikely(diagnosis, "chat_template.jinja"));
  EXPECT_EQ(Step(diagnosis, "tiles").finding, Finding::kOk);
}

TEST_F(DoctorTest, ADumpOfAnotherPillow) {
  EditJson(dump_ + "/dump.json", [](Json& json) { json["packages"]["pillow"] = "12.0.0"; });
  const Diagnosis diagnosis = Run();
  ExpectPartsAt(diagnosis, "tiles", "other pixels");
  EXPECT_TRUE(IsLikely(diagnosis, "order of passes"));
  // The other picture's tiles are the same in both orders, so that the rest is compared by that one.
  EXPECT_EQ(Step(diagnosis, "tower").finding, Finding::kOk);
  EXPECT_NE(Step(diagnosis, "answer").what.find("1 greedy answer"), std::string::npos);
}

TEST_F(DoctorTest, AnotherPicture) {
  fs::remove(dump_ + "/picture_0.png");
  fs::create_symlink(kDump + "/picture_1.png", dump_ + "/picture_0.png");
  ExpectPartsAt(Run(), "decoding", "picture_0.png");
  fs::remove(dump_ + "/picture_0.png");
  ExpectPartsAt(Run(), "decoding", "picture_0.png");
}

TEST_F(DoctorTest, MissingFilesAreNamed) {
  const auto missing = [&](const std::string& file, const std::string& step) {
    fs::rename(model_ + "/" + file, folder_ + "/kept");
    for (const bool with_dump : {false, true}) ExpectPartsAt(Run(with_dump), step, file);
    fs::rename(folder_ + "/kept", model_ + "/" + file);
  };
  missing("config.json", "configuration");
  missing("tokenizer.json", "tokenizer");
  missing("model.safetensors", "tensors");
  fs::remove(model_ + "/preprocessor_config.json");
  fs::remove(model_ + "/processor_config.json");
  ExpectPartsAt(Run(), "pictures", "preprocessor_config.json");
  fs::remove_all(model_);
  fs::create_directories(model_);
  ExpectPartsAt(Run(), "configuration", "config.json");
}

TEST_F(DoctorTest, FilesThatContradictEachOther) {
  EditJson(model_ + "/config.json", [](Json& json) { json["image_token_id"] = 5; });
  ExpectPartsAt(Run(false), "tokenizer", "image_token_id of config.json 5");
}

TEST_F(DoctorTest, AMissingTensor) {
  EditJson(model_ + "/config.json", [](Json& json) { json["text_config"]["num_hidden_layers"] = 99; });
  ExpectPartsAt(Run(false), "tensors", "model.text_model.layers.");
}

TEST_F(DoctorTest, AWeightThatIsNoNumber) {
  EditTensor("model.text_model.layers.1.input_layernorm.weight", [](uint8_t* data, size_t) {
    data[0] = 0xc0;
    data[1] = 0x7f;
  });
  ExpectPartsAt(Run(false), "run", "the decoder gives values that are not finite");
}

TEST_F(DoctorTest, DumpsThatCanNotBe) {
  const auto refused = [&](const std::function<void(Json&)>& edit, const std::string& part) {
    EditJson(dump_ + "/dump.json", edit);
    const auto dump = LoadReferenceDump(dump_);
    ASSERT_FALSE(dump.ok()) << part;
    EXPECT_NE(dump.status().message().find(part), std::string::npos) << dump.status().message();
    fs::remove(dump_ + "/dump.json");
    fs::create_symlink(kDump + "/dump.json", dump_ + "/dump.json");
  };
  const auto in_case = [](const std::string& key, const Json& value) {
    return [=](Json& json) { json["cases"][0][key] = value; };
  };
  refused([](Json& json) { json["version"] = 2; }, "version 2");
  refused([](Json& json) { json["cases"] = Json::array(); }, "cases");
  refused([](Json& json) { json["tensors"] = 5; }, "tensors");
  refused(in_case("picture", "../secret.png"), "picture");
  refused(in_case("picture", "/etc/passwd"), "picture");
  refused(in_case("ids", {{1, 1u << 30}}), "ids");
  refused(in_case("ids", {{-1, 1}}), "ids");
  refused(in_case("tower_rows", {1, 2}), "0.tower");
  refused(in_case("tower_rows", {3, 2, 1, 0}), "order");
  refused(in_case("logit_positions", {1000000}), "logit_positions");
  refused(in_case("logit_columns", {1}), "logit_columns");
  refused(in_case("tiles_sha256", {"x"}), "0.tiles");
  refused(in_case("greedy", {{"ids", {1}}, {"gaps", Json::array()}}), "gaps");
  fs::remove(dump_ + "/dump.safetensors");
  EXPECT_EQ(LoadReferenceDump(dump_).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace eyeshot
