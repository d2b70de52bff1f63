// Other engines end with "EOF", "mtmd chunk failed" or "no image tokens produced by preprocessor" and leave it to the
// user to find out why. Every error says what was found, the limit, and what to do.
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(HomeOpsErrorsWithoutWords, WhatDoesNotFitIsCounted) {
  const auto engine = SmallGguf({.integers = {{"llama.context_length", 256}}}).Load();
  const auto chat = engine.value()->NewChat().value();
  const auto expect = [&](std::vector<ContentPart> parts, StatusCode code, const std::vector<std::string>& words) {
    ExpectError(chat->Ask(std::move(parts)).status(), code, words);
  };
  expect(std::vector<ContentPart>(30, Plain(64, 64)), StatusCode::kContextFull,
         {"600 of them visual", "150 tiles", "the context holds 256"});
  expect({std::string(300, 'a')}, StatusCode::kContextFull, {"the context holds 256"});
  expect({std::make_shared<Image>()}, StatusCode::kInvalidArgument, {"picture", "empty"});
  expect({}, StatusCode::kInvalidArgument, {"message"});
}

TEST(HomeOpsErrorsWithoutWords, FilesThatEndTooSoonAreNamedWithThePlace) {
  const std::string whole = SmallGguf().Text();
  for (const size_t size : {20u, 100u, 2000u}) {
    ExpectError(ParseGguf(whole.substr(0, size)), StatusCode::kCorrupt,
                {"m.gguf", "ends at byte " + std::to_string(size)});
  }
  ExpectError(ParseGguf(whole.substr(0, whole.size() - 1)), StatusCode::kCorrupt,
              {"ffn_down.weight needs 8192 bytes", "cut off"});
}

}  // namespace
}  // namespace eyeshot::testing
