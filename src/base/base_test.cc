#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_handle.h"
#include "base/threads.h"

namespace eyeshot {
namespace {

TEST(StatusTest, MessageHoldsPlaceFindingAndMend) {
  const Status status = CorruptError("header is 99 bytes long", "download it again").At("a.safetensors");
  EXPECT_EQ(status.message(), "a.safetensors: header is 99 bytes long: download it again");
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_TRUE(Status::Ok().At("x").ok());
}

TEST(StatusTest, ResultCarriesValueOrError) {
  const auto half = [](int x) -> Result<int> {
    if (x % 2 != 0) return InvalidArgumentError(fmt::format("{} is odd", x), "use an even number");
    return x / 2;
  };
  const auto quarter = [&](int x) -> Result<int> {
    EYESHOT_ASSIGN_OR_RETURN(const int h, half(x));
    return half(h);
  };
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).status().message(), "3 is odd: use an even number");
}

TEST(FileTest, RoundTripMapAndErrors) {
  const std::string path = std::filesystem::temp_directory_path() / "eyeshot_file_test.bin";
  std::vector<uint8_t> bytes(100'000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31);
  ASSERT_TRUE(WriteFile(path, bytes).ok());
  EXPECT_EQ(*ReadFile(path, 1 << 20), bytes);

  auto map = MappedFile::Open(path);
  ASSERT_TRUE(map.ok());
  map->Release(0, bytes.size());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), map->bytes().begin(), map->bytes().end()));

  const auto too_large = ReadFile(path, 1000);
  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.status().code(), StatusCode::kLimitExceeded);
  EXPECT_NE(too_large.status().message().find("100000 bytes, the limit for this kind of file is 1000"),
            std::string::npos);
  std::filesystem::remove(path);
  EXPECT_EQ(MappedFile::Open(path).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadFile("/tmp", 10).status().code(), StatusCode::kInvalidArgument);
}

// The other end of the pipe hears that it was closed, and not before.
TEST(FileHandleTest, ClosesOnceWhereItWasMovedTo) {
  int ends[2] = {};
  ASSERT_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  const FileHandle reader(ends[0]);
  std::optional<FileHandle> writer;
  {
    FileHandle first(ends[1]);
    FileHandle second(std::move(first));
    FileHandle third;
    third = std::move(second);
    writer.emplace(std::move(third));
  }
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  writer.reset();
  EXPECT_EQ(read(reader.get(), &byte, 1), 0);
}

class ThreadPoolTest : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, RunsEveryTaskOnceAndWaits) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (size_t tasks : {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{1000}}) {
    std::vector<std::atomic<int>> runs(tasks);
    for (int round = 1; round <= 50; ++round) {
      pool.Run(tasks, [&](size_t task, size_t thread) {
        ASSERT_LT(thread, static_cast<size_t>(pool.threads()));
        runs[task].fetch_add(1, std::memory_order_relaxed);
      });
      for (const auto& count : runs) ASSERT_EQ(count.load(), round);
    }
  }
}

// With more threads than cores some come late, to a job that is done or to the next one.
TEST_P(ThreadPoolTest, LateThreadsTakeTheirTasksOnceAndOnlyOfTheJobThatRuns) {
  ThreadPool pool(GetParam());
  for (size_t job = 0; job < 4000; ++job) {
    const size_t tasks = 2 + job % 7;
    std::vector<std::atomic<size_t>> taken(tasks);
    pool.Run(tasks, [&](size_t task, size_t) { taken.at(task) += job + 1; });
    for (const auto& by : taken) ASSERT_EQ(by, job + 1) << "job " << job;
  }
}

TEST_P(ThreadPoolTest, FewerThreadsDoAllTasksUntilMoreAreWanted) {
  ThreadPool pool(GetParam());
  for (const int active : {1, 2, 0, 100, 2, 1, 0}) {
    pool.UseThreads(active);
    const size_t most = static_cast<size_t>(active <= 0 ? pool.threads() : std::min(active, pool.threads()));
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> runs(16);
      std::atomic<size_t> highest{0};
      pool.Run(runs.size(), [&](size_t task, size_t thread) {
        ++runs[task];
        for (size_t seen = highest; seen < thread && !highest.compare_exchange_weak(seen, thread);) continue;
      });
      for (const auto& count : runs) ASSERT_EQ(count.load(), 1);
      ASSERT_LT(highest.load(), most);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolTest, testing::Values(1, 2, 3, 8));

TEST(CpuTest, EnvironmentChoosesTheInstructionSet) {
  const Isa weakest = SupportedIsas().front();
  setenv("EYESHOT_ISA", std::string(IsaName(weakest)).c_str(), 1);
  EXPECT_EQ(*ChooseIsa(), weakest);
  setenv("EYESHOT_ISA", "mmx", 1);
  EXPECT_NE(ChooseIsa().status().message().find("'mmx' is no instruction set"), std::string::npos);
  unsetenv("EYESHOT_ISA");
  EXPECT_EQ(*ChooseIsa(), SupportedIsas().back());
}

}  // namespace
}  // namespace eyeshot
