#include "energy/simulator/machine.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace eyeshot::simulator {
namespace {

const std::string kDir = EYESHOT_SOURCE_DIR "/data/machines";

std::string H100Text() {
  std::ifstream in(kDir + "/h100-sxm.json");
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

void ExpectMessage(const std::string& text, const std::vector<std::string>& parts) {
  const Result<Machine> machine = ParseMachine(text, "m.json");
  ASSERT_FALSE(machine.ok());
  for (const std::string& part : parts) {
    EXPECT_NE(machine.status().message().find(part), std::string::npos) << machine.status().message();
  }
}

TEST(MachineTest, ReadsAllDescribedMachines) {
  const std::vector<std::string> names = MachineNames(kDir);
  EXPECT_EQ(names.size(), 6u);
  for (const std::string& name : names) {
    const Result<Machine> machine = LoadMachine(name, kDir);
    EXPECT_TRUE(machine.ok()) << machine.status().message();
  }
  EXPECT_EQ(LoadMachine("h100-sxm", kDir)->tdp_w, 700);
  EXPECT_EQ(LoadMachine(kDir + "/h200.json", "")->bandwidth_gb_s, 4800);
}

TEST(MachineTest, ErrorsNameKeyValueAndMend) {
  const std::string good = H100Text();
  ExpectMessage(Replaced(good, "\"tdp_w\"", "\"tdp\""), {"m.json", "tdp_w"});
  ExpectMessage(Replaced(good, "\"value\": 700", "\"value\": -3"), {"m.json", "tdp_w.value", "-3"});
  ExpectMessage(Replaced(good, "\"value\": 700", "\"value\": \"much\""), {"tdp_w.value", "much"});
  ExpectMessage(Replaced(good, "\"value\": 700, \"source\": \"vendor data sheet\"", "\"value\": 700, \"source\": \"\""),
                {"tdp_w.source", "say where the figure is from"});
  ExpectMessage(Replaced(good, "\"value\": 1980", "\"value\": 100"), {"clock_max_mhz", "exchange"});
  ExpectMessage(Replaced(good, "\"value\": 700", "\"value\": 20"), {"tdp_w", "idle_w"});
  ExpectMessage("{", {"not valid JSON"});
}

TEST(MachineTest, UnknownNamesAreToldWhatThereIs) {
  const Status status = LoadMachine("h101", kDir).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_NE(status.message().find("h100-sxm"), std::string::npos);
  EXPECT_FALSE(LoadMachine("../secret", kDir).ok());
}

}  // namespace
}  // namespace eyeshot::simulator
