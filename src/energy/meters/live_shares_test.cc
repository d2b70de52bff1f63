#include "energy/meters/live_shares.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace eyeshot {
namespace {

// Says what it is told to.
class ToldMeter final : public Meter {
 public:
  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    if (!failure.ok()) return failure;
    return EnergySample{begin_ns_ + static_cast<uint64_t>(1e9 * seconds), joules};
  }
  double seconds = 0;
  double joules = 0;
  Status failure;

 private:
  MeterInfo info_{.name = "told", .source = EnergySource::kRapl, .resolution_s = 1e-3};
  uint64_t begin_ns_ = SteadyNowNs();
};

class LiveSharesTest : public testing::Test {
 protected:
  LiveSharesTest() { meters_.push_back(std::make_unique<ToldMeter>()); }
  ToldMeter& meter() { return static_cast<ToldMeter&>(*meters_[0]); }
  void Pass(double seconds, double joules) {
    meter().seconds += seconds;
    meter().joules += joules;
  }
  static Joules Of(const LiveShares& shares, const EnergyAccount& account, StageId id) {
    Ledger ledger;
    shares.Finish(account, ledger);
    return ledger.cost(id).joules;
  }

  std::vector<std::unique_ptr<Meter>> meters_;
};

TEST_F(LiveSharesTest, WorkDividesWhatWasCountedAndNothingIsLost) {
  LiveShares shares(meters_);
  ASSERT_TRUE(shares.on());
  EnergyAccount a;
  EnergyAccount b;
  std::vector<EnergyAccount*> both = {&a, &b};
  Pass(1, 5);  // nobody came
  shares.AddWaiting(1e9);
  shares.Read({});
  a.AddWork(StageId::kEncode, 3e8);
  a.AddWork(StageId::kDecode, 1e8);
  b.AddWork(StageId::kDecode, 1e8);
  Pass(0.5, 10);
  shares.Read(both);
  b.AddWork(StageId::kDecode, 1e8);
  Pass(0.1, 2);
  shares.Read(both);
  EXPECT_NEAR(shares.nobody().value, 5, 1e-9);
  const Joules encode = Of(shares, a, StageId::kEncode);
  EXPECT_NEAR(encode.value, 6, 1e-9);
  EXPECT_NEAR(Of(shares, a, StageId::kDecode).value, 2, 1e-9);
  EXPECT_NEAR(Of(shares, b, StageId::kDecode).value, 4, 1e-9);
  EXPECT_NEAR(shares.counted_j(), 17, 1e-9);
  // 0.3 of 0.5 s at no more than twice 20 W; and the counter may be 1 ms late at each end.
  EXPECT_NEAR(encode.high, 10 + 0.04 * 6 / 8, 1e-9);
  EXPECT_NEAR(encode.low, 10 - 2 * 20 * 0.2 - 0.04 * 6 / 8, 1e-9);
  EXPECT_EQ(encode.source, EnergySource::kRapl);
}

TEST_F(LiveSharesTest, ACounterThatFailsIsNotAZero) {
  LiveShares shares(meters_);
  EnergyAccount account;
  std::vector<EnergyAccount*> accounts = {&account};
  account.AddWork(StageId::kDecode, 1e8);
  Pass(0.1, 2);
  meter().failure = IoError("busy", "read again");
  shares.Read(accounts);
  EXPECT_TRUE(shares.on());
  EXPECT_EQ(Of(shares, account, StageId::kDecode).source, EnergySource::kNone) << "not read yet";
  meter().failure = Status::Ok();
  shares.Read(accounts);
  EXPECT_NEAR(Of(shares, account, StageId::kDecode).value, 2, 1e-9);

  account.AddWork(StageId::kDecode, 1e8);
  meter().failure = CorruptError("reset", "begin again");
  shares.Read(accounts);
  EXPECT_FALSE(shares.on());
  EXPECT_EQ(Of(shares, account, StageId::kDecode).source, EnergySource::kNone);
  EXPECT_FALSE(LiveShares({}).on());
}

}  // namespace
}  // namespace eyeshot
