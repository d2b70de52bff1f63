#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "ledger/stage.h"

namespace eyeshot {
namespace {

TEST(LedgerTest, StageChargesTimeAndTheGrowthOfTheCounters) {
  Ledger ledger;
  StageQueue queue;
  queue.counters = {100, 1000};
  {
    Stage stage(ledger, StageId::kEncode, &queue);
    queue.counters.flops += 7;
    queue.counters.bytes += 11;
    stage.AddTokens(5);
    stage.AddBytes(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const StageCost& cost = ledger.cost(StageId::kEncode);
  EXPECT_EQ(cost.flops, 7u);
  EXPECT_EQ(cost.bytes, 12u);
  EXPECT_EQ(cost.tokens, 5u);
  EXPECT_EQ(cost.runs, 1u);
  EXPECT_GE(cost.wall_ns, 2'000'000u);
  EXPECT_EQ(ledger.cost(StageId::kDecode).runs, 0u);
  EXPECT_EQ(ledger.total_wall_ns(), cost.wall_ns);
}

TEST(LedgerTest, FinishEndsTheStageOnce) {
  Ledger ledger;
  Stage stage(ledger, StageId::kPrefill);
  stage.Finish();
  stage.Finish();
  EXPECT_EQ(ledger.cost(StageId::kPrefill).runs, 1u);
}

TEST(LedgerTest, TableAndJsonSayThatNoMeterWasRead) {
  Ledger ledger;
  ledger.Add(StageId::kEncode, {.wall_ns = 2'000'000, .bytes = 5, .flops = 4'000'000'000, .tokens = 256, .runs = 1});
  const std::string table = ledger.Table();
  EXPECT_NE(table.find("encode"), std::string::npos);
  EXPECT_NE(table.find("4.00 G"), std::string::npos);
  EXPECT_NE(table.find("2.00 T"), std::string::npos);  // 4 GFLOP in 2 ms
  EXPECT_EQ(table.find("decode "), std::string::npos);
  EXPECT_NE(table.find("source: none"), std::string::npos);
  const std::string json = ledger.Json();
  EXPECT_NE(
      json.find(R"("name":"encode","wall_ms":2.000000,"device_ms":null,"flops":4000000000,"bytes":5,"tokens":256)"),
      std::string::npos);
  EXPECT_NE(json.find(R"("joules":{"value":null,"low":null,"high":null,"source":"none"})"), std::string::npos);
}

// The host enqueues in 1 ms what takes the device 10, and waits for it in the next stage.
TEST(LedgerTest, WaitingIsChargedToTheStageThatIsWaitedFor) {
  std::vector<KeptStage> stages = {{StageId::kEncode, {.wall_ns = 1'000'000, .device_ns = 10'000'000}},
                                   {StageId::kConnect, {.wall_ns = 3'000'000, .device_ns = 2'000'000}},
                                   {StageId::kPrefill, {.wall_ns = 14'000'000, .device_ns = 4'000'000}}};
  ShareWaiting(stages);
  EXPECT_EQ(stages[0].cost.wall_ns, 10'000'000u);
  EXPECT_EQ(stages[1].cost.wall_ns, 3'000'000u);
  EXPECT_EQ(stages[2].cost.wall_ns, 5'000'000u);
  // Nothing to share: the last one was at work all its time.
  std::vector<KeptStage> busy = {{StageId::kEncode, {.wall_ns = 1, .device_ns = 10}},
                                 {StageId::kPrefill, {.wall_ns = 5, .device_ns = 5}}};
  ShareWaiting(busy);
  EXPECT_EQ(busy[0].cost.wall_ns, 1u);
  EXPECT_EQ(busy[1].cost.wall_ns, 5u);
}

TEST(LedgerTest, TimeOfADeviceHasAColumnAndIsWhatRatesReferTo) {
  Ledger ledger;
  ledger.Add(StageId::kEncode, {.wall_ns = 4'000'000, .device_ns = 2'000'000, .flops = 4'000'000'000, .runs = 1});
  const std::string table = ledger.Table();
  EXPECT_NE(table.find("GPU ms"), std::string::npos);
  EXPECT_NE(table.find("2.00 T"), std::string::npos) << table;
  EXPECT_NE(ledger.Json().find(R"("wall_ms":4.000000,"device_ms":2.000000,)"), std::string::npos);
}

TEST(LedgerTest, MeasuredAndEstimatedJoulesAddUpToAnEstimate) {
  Ledger ledger;
  ledger.Add(StageId::kDecode, {.runs = 1, .joules = {2, 1, 3, EnergySource::kRapl}});
  ledger.Add(StageId::kDecode, {.runs = 1, .joules = {1, 0.5, 2, EnergySource::kModel}});
  const Joules sum = ledger.cost(StageId::kDecode).joules;
  EXPECT_DOUBLE_EQ(sum.value, 3);
  EXPECT_DOUBLE_EQ(sum.low, 1.5);
  EXPECT_DOUBLE_EQ(sum.high, 5);
  EXPECT_EQ(sum.source, EnergySource::kModel);
}

}  // namespace
}  // namespace eyeshot
