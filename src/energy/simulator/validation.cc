#include "energy/simulator/validation.h"

#include <fmt/format.h>

#include "base/error.h"
#include "energy/simulator/governor.h"
#include "energy/simulator/power.h"
#include "energy/simulator/work.h"

namespace eyeshot::simulator {
namespace {

Result<Point> RunStage(const Machine& machine, const std::string& model, const std::string& software, Stage stage,
                       const Request& request, double batch) {
  EYESHOT_ASSIGN_OR_RETURN(const ModelShape shape, FindModelShape(model));
  EYESHOT_ASSIGN_OR_RETURN(const Software engine, FindSoftware(software));
  return RunAt(machine, StageWork(stage, shape, engine, request, batch), machine.clock_max_mhz);
}

// arXiv 2512.22695: prefill of 3,715 tokens on an A100; the model by its arithmetic.
Status AddA100(const Machine& machine, std::vector<Check>& checks) {
  EYESHOT_ASSIGN_OR_RETURN(
      const Point point, RunStage(machine, "LLaVA-OneVision-7B", "transformers", Stage::kPrefill, {0, 3715, 0, 0}, 1));
  const std::string group = "A100, prefill of 3,715 tokens (arXiv 2512.22695)";
  checks.push_back({group, "energy", "J", point.joules(), 95.78, 0.25});
  checks.push_back({group, "time", "ms", point.seconds * 1e3, 278.26, 0.25});
  return Status::Ok();
}

// arXiv 2605.11999: clock locks for decoding on an H200, at less than 1 % of the throughput; 780 MHz of 1,980.
Status AddH200(const Machine& machine, std::vector<Check>& checks) {
  EYESHOT_ASSIGN_OR_RETURN(const ModelShape model, FindModelShape("Qwen2.5-VL-7B"));
  EYESHOT_ASSIGN_OR_RETURN(const Software software, FindSoftware("graph"));
  const BatchWork batch = BatchWorkFor(model, software, {0, 0, 1024, 256}, 1);
  const double clock = PoolClock(machine, batch, {false, false, true}, 0.01);
  const Work& step = batch.work[static_cast<int>(Stage::kDecode)];
  const Point highest = RunAt(machine, step, machine.clock_max_mhz);
  const double saving = 1 - RunAt(machine, step, clock).joules() / highest.joules();
  const std::string group = "H200, decode of a 7B model under clock locks (arXiv 2605.11999)";
  checks.push_back({group, "best clock", "MHz", clock, 780, 150, true});
  checks.push_back({group, "saving there (published: at most)", "points", saving * 100, 32, 8, true});
  checks.push_back({group, "power at 1,980 MHz (published: 137 to 300)", "W", highest.power_w, 300});
  return Status::Ok();
}

struct ServedRow {
  const char* model;
  double batch;
  double image_output;  // tokens, mean
  double text_output;
  double image_joules_per_token;
  double text_joules_per_token;
};
// ML.ENERGY leaderboard (arXiv 2505.06371): vLLM on one H100, image-chat and lm-arena-chat at the same batch.
constexpr ServedRow kServedRows[] = {
    {"gemma-3-12b", 8, 523, 728, .803, .702},   {"gemma-3-12b", 16, 526, 724, .470, .418},
    {"gemma-3-12b", 32, 533, 725, .323, .271},  {"gemma-3-12b", 64, 538, 718, .245, .201},
    {"gemma-3-12b", 96, 532, 729, .218, .178},  {"gemma-3-12b", 128, 531, 723, .202, .166},
    {"gemma-3-27b", 8, 512, 719, 1.545, 1.511}, {"gemma-3-27b", 16, 525, 726, .898, .863},
    {"gemma-3-27b", 32, 518, 714, .593, .525},
};
// Prompt lengths are not published: assumed.
constexpr double kChatPrompt = 100;
constexpr double kImagePrompt = 60;

// In a steady state, where encode and prefill of one request stand between decoding steps of the others.
Result<double> ServedJoulesPerToken(const Machine& machine, const ServedRow& row, bool image) {
  const Request request =
      image ? Request{1, 256, kImagePrompt, row.image_output} : Request{0, 0, kChatPrompt, row.text_output};
  double joules = 0;
  for (const Stage stage : {Stage::kEncode, Stage::kPrefill, Stage::kDecode}) {
    const double batch = stage == Stage::kDecode ? row.batch : 1;
    EYESHOT_ASSIGN_OR_RETURN(const Point point, RunStage(machine, row.model, "vllm", stage, request, batch));
    joules += StageSteps(stage, request) * point.joules() / batch;
  }
  return joules / request.output_tokens;
}

Status AddServed(const Machine& machine, std::vector<Check>& checks) {
  const std::string group = "H100, vLLM, with an image (ML.ENERGY, arXiv 2505.06371)";
  std::vector<Check> overheads;
  for (const ServedRow& row : kServedRows) {
    EYESHOT_ASSIGN_OR_RETURN(const double image, ServedJoulesPerToken(machine, row, true));
    EYESHOT_ASSIGN_OR_RETURN(const double text, ServedJoulesPerToken(machine, row, false));
    const std::string what = fmt::format("{}, batch {}", row.model, row.batch);
    checks.push_back({group, what, "J/token", image, row.image_joules_per_token, 0.3});
    overheads.push_back({"the same, overhead over text alone", what, "%", (image / text - 1) * 100,
                         (row.image_joules_per_token / row.text_joules_per_token - 1) * 100, 0.3});
  }
  checks.insert(checks.end(), overheads.begin(), overheads.end());
  return Status::Ok();
}

struct StageRow {
  const char* model;
  Stage stage;
  Request request;
  double ms;
  double watts;
};
// Eager transformers 5.17 in bf16 on an H100, batch 1: all stages that drew 600 W or more (docs/energy.md).
constexpr StageRow kStageRows[] = {
    {"SmolVLM-256M", Stage::kEncode, {17, 1088, 128, 0}, 16.5, 606},
    {"SmolVLM-500M", Stage::kEncode, {17, 1088, 128, 0}, 16.3, 619},
    {"SmolVLM-2.2B", Stage::kEncode, {17, 1377, 128, 0}, 39.1, 667},
    {"Qwen2.5-VL-7B", Stage::kPrefill, {1, 1369, 128, 0}, 45.5, 634},
    {"LLaVA-OneVision-7B", Stage::kEncode, {10, 7371, 128, 0}, 24.4, 628},
    {"LLaVA-OneVision-7B", Stage::kPrefill, {10, 7371, 128, 0}, 214.5, 651},
    {"InternVL3-8B", Stage::kEncode, {10, 2560, 128, 0}, 20.5, 656},
    {"InternVL3-8B", Stage::kPrefill, {10, 2560, 128, 0}, 76.3, 674},
};

Status AddStageRows(const Machine& machine, std::vector<Check>& checks) {
  const std::string group = "H100, eager transformers, stages of 600 W or more";
  for (const StageRow& row : kStageRows) {
    EYESHOT_ASSIGN_OR_RETURN(const Point point,
                             RunStage(machine, row.model, "transformers", row.stage, row.request, 1));
    const std::string what = fmt::format("{}, {}", row.model, StageLabel(row.stage));
    checks.push_back({group, what, "J", point.joules(), row.ms * 1e-3 * row.watts, 0.2});
    checks.push_back({group, what, "ms", point.seconds * 1e3, row.ms});
    checks.push_back({group, what, "W", point.power_w, row.watts});
  }
  return Status::Ok();
}

}  // namespace

Result<std::vector<Check>> ValidationChecks(const std::string& dir) {
  EYESHOT_ASSIGN_OR_RETURN(const Machine a100, LoadMachine("a100-sxm", dir));
  EYESHOT_ASSIGN_OR_RETURN(const Machine h100, LoadMachine("h100-sxm", dir));
  EYESHOT_ASSIGN_OR_RETURN(const Machine h200, LoadMachine("h200", dir));
  std::vector<Check> checks;
  EYESHOT_RETURN_IF_ERROR(AddA100(a100, checks));
  EYESHOT_RETURN_IF_ERROR(AddH200(h200, checks));
  EYESHOT_RETURN_IF_ERROR(AddServed(h100, checks));
  EYESHOT_RETURN_IF_ERROR(AddStageRows(h100, checks));
  return checks;
}

}  // namespace eyeshot::simulator
