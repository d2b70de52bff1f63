// Trees of sysfs that tests write and change.
#ifndef EYESHOT_ENERGY_METERS_TESTING_H_
#define EYESHOT_ENERGY_METERS_TESTING_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace eyeshot {

class SysfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "eyeshot_sysfs_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    // Also readable by the user that a test of permissions becomes.
    using std::filesystem::perms;
    std::filesystem::permissions(
        root_, perms::owner_all | perms::group_read | perms::group_exec | perms::others_read | perms::others_exec);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // In place: who has the file open sees the new text, as of a file of sysfs.
  void Write(const std::string& path, std::string_view text) const {
    const std::filesystem::path full = std::filesystem::path(root_) / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }

  std::string root_;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_TESTING_H_
