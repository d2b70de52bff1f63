#include "eyeshot/eyeshot.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int eyeshot_c99_test(const char* model, const char* picture);

namespace {

const std::string kModel = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";
const std::string kPicture = EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/images/dev_0021_0.png";

class CApiTest : public testing::Test {
 protected:
  ~CApiTest() override {
    eyeshot_chat_free(chat_);
    eyeshot_engine_free(engine_);
  }

  void Load() {
    char* error = nullptr;
    ASSERT_EQ(eyeshot_load(kModel.c_str(), nullptr, &engine_, &error), EYESHOT_OK) << error;
    ASSERT_EQ(error, nullptr);
    ASSERT_EQ(eyeshot_new_chat(engine_, nullptr, &chat_, &error), EYESHOT_OK) << error;
  }

  // Asks and returns the answer's text, or the error's code and message.
  std::string Ask(const std::vector<eyeshot_image>& images, const char* question,
                  const eyeshot_ask_options* options = nullptr) {
    eyeshot_answer* answer = nullptr;
    char* error = nullptr;
    const eyeshot_code code = eyeshot_ask(chat_, images.data(), images.size(), question, options, &answer, &error);
    const std::string result = code == EYESHOT_OK ? answer->text : std::string(eyeshot_code_name(code)) + ": " + error;
    eyeshot_answer_free(answer);
    eyeshot_string_free(error);
    return result;
  }

  eyeshot_engine* engine_ = nullptr;
  eyeshot_chat* chat_ = nullptr;
};

TEST_F(CApiTest, WorksFromC99) { EXPECT_EQ(eyeshot_c99_test(kModel.c_str(), kPicture.c_str()), 0); }

TEST_F(CApiTest, AFileAndItsBytesGiveOneAnswer) {
  Load();
  std::ifstream file(kPicture, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const char* question = "How many bars does the chart have?";
  EXPECT_EQ(Ask({{.path = kPicture.c_str()}}, question), "3");
  eyeshot_chat_reset(chat_);
  EXPECT_EQ(Ask({{.data = bytes.data(), .data_size = bytes.size()}}, question), "3");
}

TEST_F(CApiTest, PrecisionsAreChosenByName) {
  eyeshot_engine_options options;
  eyeshot_engine_options_init(&options);
  options.precision = "int8,q8_0";
  options.kv_cache = "int8";
  ASSERT_EQ(eyeshot_load(kModel.c_str(), &options, &engine_, nullptr), EYESHOT_OK);
  ASSERT_EQ(eyeshot_new_chat(engine_, nullptr, &chat_, nullptr), EYESHOT_OK);
  EXPECT_EQ(Ask({{.path = kPicture.c_str()}}, "How many bars does the chart have?"), "3");
  options.precision = "int3";
  eyeshot_engine* none = nullptr;
  char* error = nullptr;
  EXPECT_EQ(eyeshot_load(kModel.c_str(), &options, &none, &error), EYESHOT_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error).find("int3"), std::string::npos);
  eyeshot_string_free(error);
}

TEST_F(CApiTest, DevicesAreChosenByName) {
  eyeshot_engine_options options;
  eyeshot_engine_options_init(&options);
  options.device = "cpu";
  ASSERT_EQ(eyeshot_load(kModel.c_str(), &options, &engine_, nullptr), EYESHOT_OK);
  options.device = "gpu";
  eyeshot_engine* none = nullptr;
  char* error = nullptr;
  EXPECT_EQ(eyeshot_load(kModel.c_str(), &options, &none, &error), EYESHOT_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error).find("'gpu'"), std::string::npos);
  eyeshot_string_free(error);
}

TEST_F(CApiTest, ErrorsLeaveTheConversationUsable) {
  Load();
  EXPECT_NE(Ask({{.path = "/nowhere.png"}}, "What?").find("/nowhere.png"), std::string::npos);
  EXPECT_NE(Ask({{.path = nullptr}}, "What?").find("invalid argument"), std::string::npos);
  EXPECT_NE(Ask({}, std::string(20000, 'x').c_str()).find("context"), std::string::npos);
  EXPECT_EQ(Ask({{.path = kPicture.c_str()}}, "How many bars does the chart have?"), "3");
}

TEST_F(CApiTest, ChecksItsArguments) {
  char* error = nullptr;
  EXPECT_EQ(eyeshot_load("/no/such/model", nullptr, &engine_, &error), EYESHOT_NOT_FOUND);
  EXPECT_EQ(engine_, nullptr);
  ASSERT_NE(error, nullptr);
  EXPECT_NE(std::string(error).find("/no/such/model"), std::string::npos);
  eyeshot_string_free(error);
  EXPECT_EQ(eyeshot_load(nullptr, nullptr, &engine_, nullptr), EYESHOT_INVALID_ARGUMENT);
  EXPECT_EQ(eyeshot_new_chat(nullptr, nullptr, &chat_, nullptr), EYESHOT_INVALID_ARGUMENT);

  eyeshot_engine_options newer;
  eyeshot_engine_options_init(&newer);
  newer.size += 8;
  EXPECT_EQ(eyeshot_load(kModel.c_str(), &newer, &engine_, nullptr), EYESHOT_INVALID_ARGUMENT);
}

TEST_F(CApiTest, OlderStructsKeepTheDefaultsOfWhatTheyLack) {
  Load();
  eyeshot_ask_options older;
  eyeshot_ask_options_init(&older);
  older.size = offsetof(eyeshot_ask_options, temperature);
  older.max_tokens = 2;  // a space and the digit
  older.top_p = -1;  // beyond its size: not read
  EXPECT_EQ(Ask({{.path = kPicture.c_str()}}, "How many bars does the chart have?", &older), "3");
}

TEST_F(CApiTest, JpegScalingIsOffUnlessAskedFor) {
  Load();
  eyeshot_answer* answer = nullptr;
  const std::string photo = EYESHOT_SOURCE_DIR "/tests/data/media/exif/Portrait_8.jpg";
  eyeshot_ask_options options;
  eyeshot_ask_options_init(&options);
  EXPECT_EQ(options.jpeg_scaling, 0);
  options.max_tokens = 1;
  options.jpeg_scaling = 1;
  const eyeshot_image picture{.path = photo.c_str()};
  ASSERT_EQ(eyeshot_ask(chat_, &picture, 1, "What is this?", &options, &answer, nullptr), EYESHOT_OK);
  EXPECT_EQ(answer->tiles, 5);  // as without it
  eyeshot_answer_free(answer);
}

TEST_F(CApiTest, ACallbackCanStopTheAnswer) {
  Load();
  eyeshot_ask_options options;
  eyeshot_ask_options_init(&options);
  int calls = 0;
  options.user = &calls;
  options.on_text = [](const char*, size_t, void* user) { return ++*static_cast<int*>(user); };
  Ask({}, "What can you do?", &options);
  EXPECT_EQ(calls, 1);
}

TEST(CApiNamesTest, VersionAndCodes) {
  EXPECT_STREQ(eyeshot_version(), "0.1.0");
  EXPECT_STREQ(eyeshot_code_name(EYESHOT_CORRUPT), "corrupt");
  EXPECT_STREQ(eyeshot_code_name(EYESHOT_BUSY), "busy");
  EXPECT_STREQ(eyeshot_code_name(static_cast<eyeshot_code>(99)), "unknown");
}

}  // namespace
