// The parts of a download that need no network; tests/hub runs the whole against a hub on this machine.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/limits.h"
#include "hub/cache.h"
#include "hub/digest.h"
#include "hub/known_models.h"
#include "hub/listing.h"
#include "hub/pull.h"
#include "hub/repository.h"
#include "hub/settings.h"

namespace eyeshot {
namespace {

const std::string kCommit(40, 'a');
const std::string kBlob(40, 'b');
const std::string kSha256(64, 'c');

std::string ListingOf(const std::string& siblings) {
  return fmt::format(R"({{"sha": "{}", "siblings": [{}]}})", kCommit, siblings);
}
std::string Sibling(const std::string& path, uint64_t bytes = 1) {
  return fmt::format(R"({{"rfilename": "{}", "size": {}, "blobId": "{}"}})", path, bytes, kBlob);
}
HubListing Listing(const std::vector<std::string>& paths) {
  HubListing listing{.commit = kCommit, .files = {}};
  for (const std::string& path : paths) listing.files.push_back({path, 1, kBlob, ""});
  return listing;
}
std::vector<std::string> Paths(const std::vector<const HubFile*>& files) {
  std::vector<std::string> paths;
  paths.reserve(files.size());
  for (const HubFile* file : files) paths.push_back(file->path);
  return paths;
}

TEST(RepositoryTest, NamesAndRevisions) {
  const auto plain = ParseRepository("HuggingFaceTB/SmolVLM2-2.2B-Instruct");
  ASSERT_TRUE(plain.ok()) << plain.status().message();
  EXPECT_EQ(plain->id(), "HuggingFaceTB/SmolVLM2-2.2B-Instruct");
  EXPECT_EQ(plain->revision, "main");
  EXPECT_EQ(plain->folder(), "models--HuggingFaceTB--SmolVLM2-2.2B-Instruct");
  EXPECT_EQ(ParseRepository("a/b@refs/pr/3")->revision, "refs/pr/3");
  for (const char* text : {"", "a", "/a", "a/", "a/b/c", "./a", "../a", "a/.b", "a/b.", "a/b--c", "a/b..c", "-a/b",
                           "a/b@", "a/b@..", "a/b@x//y", "a/b c", "a/b\n", "a/\xc3\xa9"}) {
    EXPECT_FALSE(LooksLikeRepository(text)) << text;
  }
  EXPECT_TRUE(LooksLikeRepository(std::string("a/").append(limits::kMaxHubNameBytes, 'b')));
  EXPECT_FALSE(LooksLikeRepository(std::string("a/").append(limits::kMaxHubNameBytes + 1, 'b')));
}

TEST(ListingTest, SizesAndHashes) {
  const auto listing = ParseHubListing(
      ListingOf(Sibling("config.json", 12) + fmt::format(R"(, {{"rfilename": "a/b.safetensors", "size": 5000000000,
        "blobId": "{}", "lfs": {{"sha256": "{}", "size": 5000000000, "pointerSize": 135}}}})",
                                                         kBlob, kSha256)),
      "hub");
  ASSERT_TRUE(listing.ok()) << listing.status().message();
  EXPECT_EQ(listing->commit, kCommit);
  ASSERT_EQ(listing->files.size(), 2u);
  EXPECT_EQ(listing->files[0].etag(), kBlob);
  EXPECT_EQ(listing->files[0].bytes, 12u);
  EXPECT_EQ(listing->files[1].etag(), kSha256);
  EXPECT_EQ(listing->Find("a/b.safetensors")->bytes, 5000000000u);
  EXPECT_EQ(listing->Find("b.safetensors"), nullptr);
}

TEST(ListingTest, RefusesWhatCanNotBe) {
  const auto check = [](const std::string& json, StatusCode code) {
    const auto listing = ParseHubListing(json, "hub");
    ASSERT_FALSE(listing.ok()) << json;
    EXPECT_EQ(listing.status().code(), code) << listing.status().message();
  };
  check("nonsense", StatusCode::kCorrupt);
  check(R"({"sha": "main", "siblings": []})", StatusCode::kCorrupt);
  check(ListingOf(Sibling("../x")), StatusCode::kCorrupt);
  check(ListingOf(Sibling("a") + "," + Sibling("a")), StatusCode::kCorrupt);
  check(ListingOf(Sibling("a", limits::kMaxHubFileBytes + 1)), StatusCode::kLimitExceeded);
  check(ListingOf(R"({"rfilename": "a"})"), StatusCode::kUnsupported);
  check(std::string(limits::kMaxHubListBytes + 1, ' '), StatusCode::kLimitExceeded);
  std::string many = Sibling("f0");
  for (size_t i = 1; i <= limits::kMaxHubFiles; ++i) many.append(",").append(Sibling(fmt::format("f{}", i)));
  check(ListingOf(many), StatusCode::kLimitExceeded);
}

TEST(ListingTest, SafePaths) {
  for (const char* path : {"a", "a/b.c", ".gitattributes", "a/..b", "...", "\xc3\xa9"})
    EXPECT_TRUE(IsSafePath(path)) << path;
  for (const char* path : {"", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a\\b", "a\nb", "a\x7f", "a/./b"}) {
    EXPECT_FALSE(IsSafePath(path)) << path;
  }
  EXPECT_FALSE(IsSafePath(std::string(limits::kMaxHubFileNameBytes + 1, 'a')));
  std::string deep = "a";
  while (deep.size() <= limits::kMaxHubPathBytes) deep += "/a";
  EXPECT_FALSE(IsSafePath(deep));
}

TEST(SelectionTest, OneFileOfWeightsBeforeShards) {
  const HubListing listing = Listing({"config.json", "model.safetensors", "model-00001-of-00001.safetensors",
                                      "README.md", "onnx/model.onnx", "tokenizer.json", "sub/config.json"});
  EXPECT_EQ(Paths(SelectSmallFiles(listing)), (std::vector<std::string>{"config.json", "tokenizer.json"}));
  EXPECT_EQ(Paths(*SelectWeights(listing, {}, R"({"weight_map": {"t": "model-00001-of-00001.safetensors"}})")),
            (std::vector<std::string>{"model.safetensors"}));
}

TEST(SelectionTest, Patterns) {
  const HubListing listing = Listing({"a-Q8_0.gguf", "a-F16.gguf", "mmproj-a-Q8_0.gguf"});
  const std::vector<std::string> q8 = {"*Q8_0.gguf"};
  EXPECT_EQ(Paths(*SelectWeights(listing, q8, "")), (std::vector<std::string>{"a-Q8_0.gguf", "mmproj-a-Q8_0.gguf"}));
  const std::vector<std::string> two = {"a-F16*", "mmproj-*"};
  EXPECT_EQ(Paths(*SelectWeights(listing, two, "")), (std::vector<std::string>{"a-F16.gguf", "mmproj-a-Q8_0.gguf"}));
  const std::vector<std::string> none = {"*Q8_0.gguf", "*Q2*"};
  EXPECT_NE(SelectWeights(listing, none, "").status().message().find("Q2"), std::string::npos);
  EXPECT_EQ(SelectWeights(listing, {}, "").status().code(), StatusCode::kNotFound);
}

TEST(SelectionTest, IndexOfShards) {
  const HubListing listing = Listing({"m-1.safetensors", "m-2.safetensors", "m-3.safetensors"});
  EXPECT_EQ(Paths(*SelectWeights(listing, {}, R"({"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors",
            "c": "m-2.safetensors"}})")),
            (std::vector<std::string>{"m-1.safetensors", "m-2.safetensors"}));
  for (const char* index :
       {"[]", "{}", R"({"weight_map": {}})", R"({"weight_map": {"a": 5}})", R"({"weight_map": {"a": "../x"}})"}) {
    EXPECT_FALSE(SelectWeights(listing, {}, index).ok()) << index;
  }
}

// `printf 'hello\n' | git hash-object --stdin`, and sha256sum of the same.
TEST(DigestTest, IsGitsAndLfss) {
  const std::string text = "hello\n";
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  HubDigest git(HubFile{"a", text.size(), kBlob, ""});
  git.Update(bytes);
  EXPECT_EQ(git.Finish(), "ce013625030ba8dba906f756967f9e9ca394464a");
  HubDigest lfs(HubFile{"a", text.size(), kBlob, kSha256});
  lfs.Update(bytes.first(2));
  lfs.Update(bytes.subspan(2));
  EXPECT_EQ(lfs.Finish(), "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
}

class SettingsTest : public testing::Test {
 protected:
  Result<HubSettings> Settings() {
    return HubSettingsFrom([&](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    });
  }
  std::map<std::string, std::string> variables = {{"HOME", "/nowhere"}};
};

TEST_F(SettingsTest, WhereTheCacheIs) {
  EXPECT_EQ(Settings()->cache, "/nowhere/.cache/huggingface/hub");
  variables["XDG_CACHE_HOME"] = "/x";
  EXPECT_EQ(Settings()->cache, "/x/huggingface/hub");
  variables["HF_HOME"] = "~/hf";
  EXPECT_EQ(Settings()->cache, "/nowhere/hf/hub");
  variables["HUGGINGFACE_HUB_CACHE"] = "/old";
  EXPECT_EQ(Settings()->cache, "/old");
  variables["HF_HUB_CACHE"] = "/new";
  EXPECT_EQ(Settings()->cache, "/new");
}

TEST_F(SettingsTest, TokensAndSwitches) {
  EXPECT_EQ(Settings()->token, "");
  EXPECT_FALSE(Settings()->offline);
  const std::string path = testing::TempDir() + "/hub_test_token";
  const std::string text = "hf_file\n";
  ASSERT_TRUE(WriteFile(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}).ok());
  variables["HF_TOKEN_PATH"] = path;
  EXPECT_EQ(Settings()->token, "hf_file");
  variables["HF_TOKEN"] = "hf_variable";
  EXPECT_EQ(Settings()->token, "hf_variable");
  variables["HF_TOKEN"] = "two words";
  EXPECT_FALSE(Settings().ok());
  EXPECT_EQ(Settings().status().message().find("two words"), std::string::npos) << "a token must not be printed";
  variables["HF_TOKEN"] = "";
  for (const char* yes : {"1", "true", "Yes", "on"}) {
    variables["HF_HUB_OFFLINE"] = yes;
    EXPECT_TRUE(Settings()->offline) << yes;
  }
  variables["HF_HUB_OFFLINE"] = "0";
  EXPECT_FALSE(Settings()->offline);
  variables["HF_ENDPOINT"] = "https://mirror.example/hf//";
  EXPECT_EQ(Settings()->endpoint, "https://mirror.example/hf");
  for (const char* bad : {"0", "x", "1e9", "99999"}) {
    variables["HF_HUB_DOWNLOAD_TIMEOUT"] = bad;
    EXPECT_FALSE(Settings().ok()) << bad;
  }
}

TEST(UrlTest, PlainHttpIsForThisMachine) {
  const HubSettings settings;
  HubSettings careless;
  careless.insecure_http = true;
  for (const char* url : {"https://huggingface.co", "http://localhost:80", "http://LOCALHOST/x",
                          "http://127.0.0.1:8000", "http://[::1]:8000/"}) {
    EXPECT_TRUE(CheckTransport(settings, *ParseHubUrl(url), "it").ok()) << url;
  }
  for (const char* url : {"http://huggingface.co", "http://127.example.com", "http://localhost.example.com",
                          "http://10.0.0.1", "http://127.0.0.1.example.com"}) {
    EXPECT_FALSE(CheckTransport(settings, *ParseHubUrl(url), "it").ok()) << url;
    EXPECT_TRUE(CheckTransport(careless, *ParseHubUrl(url), "it").ok()) << url;
  }
  for (const char* url : {"", "ftp://a", "file:///etc/passwd", "https://me@a", "https://me:pw@a", "huggingface.co"}) {
    EXPECT_FALSE(ParseHubUrl(url).ok()) << url;
  }
}

TEST(UrlTest, Origins) {
  const auto same = [](const char* a, const char* b) { return ParseHubUrl(a)->SameOrigin(*ParseHubUrl(b)); };
  EXPECT_TRUE(same("https://a.co/x", "https://A.co:443/y"));
  EXPECT_FALSE(same("https://a.co", "https://a.co:8443"));
  EXPECT_FALSE(same("https://a.co", "http://a.co"));
  EXPECT_FALSE(same("https://a.co", "https://cdn.a.co"));
}

class CacheTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(cache_); }
  void TearDown() override { std::filesystem::remove_all(cache_); }
  void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(MakeFolderOf(path).ok());
    ASSERT_TRUE(WriteFile(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}).ok());
  }
  std::string cache_ = fmt::format("{}/hub_test_{}_{}", testing::TempDir(), getpid(),
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
  Repository repository_{"Org", "Name", "main"};
  RepositoryCache paths_{cache_, repository_};
};

TEST_F(CacheTest, FindsSnapshotsByRefAndCommit) {
  EXPECT_EQ(FindSnapshot(cache_, repository_), std::nullopt);
  EXPECT_TRUE(ListCache(cache_).empty());
  Write(paths_.blob(kBlob), "12345");
  ASSERT_TRUE(LinkTo(paths_.blob(kBlob), paths_.snapshot(kCommit) + "/deep/config.json").ok());
  EXPECT_EQ(FindSnapshot(cache_, repository_), std::nullopt) << "no ref names it yet";
  EXPECT_EQ(FindSnapshot(cache_, {"Org", "Name", kCommit}), paths_.snapshot(kCommit));
  Write(paths_.ref("main"), kCommit + "\n");
  EXPECT_EQ(FindSnapshot(cache_, repository_), paths_.snapshot(kCommit));
  EXPECT_EQ(FindSnapshot(cache_, {"Org", "Name", "other"}), std::nullopt);

  std::filesystem::create_directories(cache_ + "/models--no-owner/snapshots/" + kCommit);
  std::filesystem::create_directories(cache_ + "/datasets--a--b/snapshots/" + kCommit);
  const std::vector<CachedModel> models = ListCache(cache_);
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].id, "Org/Name");
  EXPECT_EQ(models[0].revision, "main");
  EXPECT_EQ(models[0].commit, kCommit);
  EXPECT_EQ(models[0].bytes, 5u);
}

TEST_F(CacheTest, ARefThatIsNoCommitIsIgnored) {
  std::filesystem::create_directories(paths_.snapshot(kCommit));
  for (const std::string text : {"../../../etc", "", "main"}) {
    Write(paths_.ref("main"), text);
    EXPECT_EQ(FindSnapshot(cache_, repository_), std::nullopt) << text;
  }
}

TEST_F(CacheTest, LinksReplaceWhatWasThere) {
  Write(paths_.blob("x"), "new");
  const std::string link = paths_.snapshot(kCommit) + "/f";
  Write(link, "old");
  ASSERT_TRUE(LinkTo(paths_.blob("x"), link).ok());
  EXPECT_EQ(std::filesystem::read_symlink(link), "../../blobs/x");
  EXPECT_EQ(*ReadTextFile(link, 100), "new");
}

TEST_F(CacheTest, ALockIsTakenAgainAfterItsFileWasRemoved) {
  const std::string path = paths_.lock(kBlob);
  auto first = FileLock::Take(path, nullptr, {});
  ASSERT_TRUE(first.ok()) << first.status().message();
  const std::atomic<bool> cancel{true};
  bool waited = false;
  const auto second = FileLock::Take(path, &cancel, [&] { waited = true; });
  EXPECT_EQ(second.status().code(), StatusCode::kCancelled);
  EXPECT_FALSE(waited);
  std::filesystem::remove(path);
  EXPECT_TRUE(FileLock::Take(path, &cancel, {}).ok());
}

TEST(PullTest, DiskSpace) {
  EXPECT_TRUE(CheckSpace(100, 100, "/d").ok());
  const Status status = CheckSpace(101, 100, "/d");
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_NE(status.message().find("/d: 101 bytes"), std::string::npos) << status.message();
}

TEST(KnownModelsTest, HaveNamesThatCanBePulled) {
  for (const KnownModel& model : KnownModels()) {
    EXPECT_TRUE(LooksLikeRepository(model.id)) << model.id;
    EXPECT_GT(model.download_bytes(), 100'000'000u) << model.id;
  }
}

}  // namespace
}  // namespace eyeshot
