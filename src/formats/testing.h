// What tests of formats, text and whole model folders share.
#ifndef EYESHOT_FORMATS_TESTING_H_
#define EYESHOT_FORMATS_TESTING_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::testing {

// A model folder of tests/data/checkpoints, complete but for the weights: "SmolVLM-256M-Instruct".
inline std::string CheckpointDir(std::string_view model) {
  return std::string(EYESHOT_UNPACKED_DIR "/tests/data/checkpoints/").append(model);
}

// The built-in model's folder, with weights.
inline std::string TinyModelDir() { return EYESHOT_SOURCE_DIR "/models/eyeshot-tiny"; }

// A packed file of tests/data (NAME.zst), unpacked: "golden/tokenizer/lines.txt".
inline std::string UnpackedPath(std::string_view name) {
  return std::string(EYESHOT_UNPACKED_DIR "/tests/data/").append(name);
}

inline std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::vector<std::string> ReadLines(const std::string& path) {
  std::istringstream in(ReadAll(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// A folder that is removed at the end of the test.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "eyeshot-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }
  // Writes a file and returns its path.
  std::string Write(std::string_view name, std::string_view content) const {
    std::ofstream(File(name), std::ios::binary) << content;
    return File(name);
  }

 private:
  std::string path_;
};

// Checks an error: its code, parts of its message, and that it says what to do.
inline void ExpectError(const Status& status, StatusCode code, const std::vector<std::string>& parts) {
  EXPECT_EQ(StatusCodeName(status.code()), StatusCodeName(code)) << status.message();
  for (const std::string& part : parts) {
    EXPECT_NE(status.message().find(part), std::string::npos)
        << "message: " << status.message() << "\n  lacks: " << part;
  }
  EXPECT_FALSE(status.mend().empty()) << status.message();
}

}  // namespace eyeshot::testing

#endif  // EYESHOT_FORMATS_TESTING_H_
