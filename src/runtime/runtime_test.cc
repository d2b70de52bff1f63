#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/answer_text.h"
#include "runtime/kv_sequence.h"

namespace eyeshot {
namespace {

KvCacheShape Shape(int64_t blocks) {
  return {.layer_group = {0}, .blocks = blocks, .block_size = 4, .kv_heads = 1, .head_dim = 2};
}

TEST(KvSequenceTest, SlotsFollowTheBlocksAndTruncationGivesThemBack) {
  BlockPool pool(8);
  KvSequence first(pool, Shape(8), 16);
  KvSequence second(pool, Shape(8), 16);
  EXPECT_EQ(first.Append(10), 0);
  EXPECT_EQ(second.Append(20), 4);  // the next block
  for (uint64_t key = 11; key < 14; ++key) first.Append(key);
  EXPECT_EQ(first.Append(14), 8);   // its second block is the pool's third
  EXPECT_EQ(pool.available(), 5);
  first.Truncate(4);
  EXPECT_EQ(pool.available(), 6);
  EXPECT_EQ(first.Append(15), 8);
  first.Truncate(0);
  EXPECT_EQ(pool.available(), 7);
}

TEST(KvSequenceTest, PrefixEndsAtTheFirstOtherKey) {
  BlockPool pool(4);
  KvSequence sequence(pool, Shape(4), 16);
  for (uint64_t key : {1, 2, 3, 4, 5}) sequence.Append(key);
  EXPECT_EQ(sequence.CommonPrefix(std::vector<uint64_t>{1, 2, 3, 9, 5}), 3);
  EXPECT_EQ(sequence.CommonPrefix(std::vector<uint64_t>{1, 2}), 2);
  EXPECT_EQ(sequence.CommonPrefix(std::vector<uint64_t>{1, 2, 3, 4, 5, 6}), 5);
  EXPECT_EQ(sequence.CommonPrefix({}), 0);
}

TEST(KvSequenceTest, ReturnsItsBlocksWhenItDies) {
  BlockPool pool(2);
  {
    KvSequence sequence(pool, Shape(2), 8);
    for (uint64_t key = 0; key < 8; ++key) sequence.Append(key);
    EXPECT_EQ(pool.available(), 0);
  }
  EXPECT_EQ(pool.available(), 2);
}

TEST(BlockPoolTest, EqualPrefixesShareBlocksUntilTheirRoomIsWanted) {
  BlockPool pool(4, 4);
  const std::vector<uint64_t> keys = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  {
    KvSequence first(pool, Shape(4), 16);
    EXPECT_EQ(first.Adopt(keys, {}), 0);
    for (const uint64_t key : keys) first.Append(key);
    first.Register();
    KvSequence second(pool, Shape(4), 16);
    EXPECT_EQ(second.Adopt(keys, {}), 8);
    EXPECT_EQ(second.block_table()[0], first.block_table()[0]);
    EXPECT_EQ(pool.available(), 1);  // two blocks are shared, and the first has one of its own
    EXPECT_EQ(second.Append(9) / 4, 3);
  }
  EXPECT_EQ(pool.available(), 4);
  // Nobody uses them now, and they are found all the same; the last token is never adopted: its logits are wanted.
  KvSequence again(pool, Shape(4), 16);
  EXPECT_EQ(again.Adopt(std::vector<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8}, {}), 4);
  again.Truncate(0);
  // The same keys behind others are something else.
  EXPECT_EQ(again.Adopt(std::vector<uint64_t>{5, 6, 7, 8, 9}, {}), 0);
  // Whoever needs all blocks gets them, and what they held is forgotten.
  for (uint64_t key = 100; key < 116; ++key) again.Append(key);
  EXPECT_EQ(pool.available(), 0);
  again.Truncate(0);
  EXPECT_EQ(again.Adopt(keys, {}), 0);
}

TEST(BlockPoolTest, ABlockThatIsWrittenAnewIsNotFound) {
  BlockPool pool(2, 4);
  KvSequence sequence(pool, Shape(2), 8);
  for (uint64_t key = 1; key < 6; ++key) sequence.Append(key);
  sequence.Register();
  sequence.Truncate(2);
  sequence.Append(30);
  sequence.Append(40);
  KvSequence other(pool, Shape(2), 8);
  EXPECT_EQ(other.Adopt(std::vector<uint64_t>{1, 2, 3, 4, 5}, {}), 0);
  sequence.Register();
  EXPECT_EQ(other.Adopt(std::vector<uint64_t>{1, 2, 30, 40, 5}, {}), 4);
}

// Pushes pieces and returns what came out after each, then the rest.
std::vector<std::string> Stream(const std::vector<std::string>& pieces, const std::vector<std::string>& stops = {}) {
  AnswerText text(stops, 64);
  std::vector<std::string> out;
  for (const std::string& piece : pieces) {
    const bool stopped = text.Push(piece);
    out.emplace_back(text.TakeNew());
    if (stopped) break;
  }
  text.Finish();
  out.emplace_back(text.TakeNew());
  return out;
}

TEST(AnswerTextTest, HoldsIncompleteCharactersBack) {
  EXPECT_EQ(Stream({" caf\xc3", "\xa9!"}), (std::vector<std::string>{"caf", "\xc3\xa9!", ""}));
  EXPECT_EQ(Stream({"\xf0\x9f", "\x98\x80"}), (std::vector<std::string>{"", "\xf0\x9f\x98\x80", ""}));
  EXPECT_EQ(Stream({"a\xe2\x82"}), (std::vector<std::string>{"a", "\xef\xbf\xbd"}));
}

TEST(AnswerTextTest, DropsWhiteSpaceBeforeTheFirstWordOnly) {
  EXPECT_EQ(Stream({" ", "\n a", " b "}), (std::vector<std::string>{"", "a", " b ", ""}));
}

TEST(AnswerTextTest, EndsBeforeAStopStringThatTokensSplit) {
  EXPECT_EQ(Stream({"one", " EN", "D two"}, {"END"}), (std::vector<std::string>{"one", " ", "", ""}));
  EXPECT_EQ(Stream({"one", " EN", "X"}, {"END"}), (std::vector<std::string>{"one", " ", "ENX", ""}));
  EXPECT_EQ(Stream({"aab"}, {"ab", "aab"}), (std::vector<std::string>{"", ""}));
  EXPECT_EQ(Stream({"a E"}, {"END"}), (std::vector<std::string>{"a ", "E"}));
}

}  // namespace
}  // namespace eyeshot
