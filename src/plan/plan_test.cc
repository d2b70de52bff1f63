// The cost model's arithmetic, files of speeds, and what the planner decides for machines of known speed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/few_rows.h"
#include "plan/auto.h"
#include "plan/cost.h"
#include "plan/keep.h"
#include "plan/planner.h"
#include "plan/question.h"
#include "plan/scores.h"
#include "plan/speed.h"

namespace eyeshot::plan {
namespace {

const std::string kCheckpoints = EYESHOT_SOURCE_DIR "/tests/data/checkpoints/";

Backend& TheBackend() {
  static const std::unique_ptr<Backend> backend = std::move(CreateBackend({.threads = 1})).value();
  return *backend;
}

ModelAtHand Read(const std::string& name) {
  const std::string dir = kCheckpoints + name;
  auto config = LoadModelConfig(dir);
  auto processing = LoadProcessorConfig(dir);
  if (!config.ok() || !processing.ok()) throw std::runtime_error(name);
  return {.name = name, .path = dir, .config = *config, .processing = *processing};
}

const ModelAtHand& Model256M() {
  static const ModelAtHand model = Read("SmolVLM-256M-Instruct");
  return model;
}

// A machine that is slow in multiply-adds of products and in nothing else: time is arithmetic.
MachineSpeed ArithmeticSpeed(double picoseconds) {
  MachineSpeed speed{.cpu = "a CPU", .isa = "avx2", .threads = 2, .version = "eyeshot 1", .date = "2026-01-01"};
  for (const char* format : {"exact", "int8", "int4"}) {
    speed.picoseconds[std::string("linear.") + format] = {0, picoseconds};
    speed.picoseconds[std::string("few.") + format] = {0, 0, picoseconds};
  }
  return speed;
}

Place PlaceOf(const MachineSpeed& speed) { return {.backend = &TheBackend(), .speed = &speed}; }

TEST(CostTest, TilesAndTokensAreTheTilingCodes) {
  const auto tiles_of = [](int width, int height, PictureDetail detail, int64_t keep) {
    return CutRequestOf(Model256M(), {.pictures = {{width, height}}, .question_tokens = 10}, {detail, keep})->request;
  };
  const Request square = tiles_of(64, 64, {}, 0);  // the reference enlarges all pictures
  EXPECT_EQ(square.tiles, 17);
  EXPECT_EQ(square.visual_tokens, 1088);
  EXPECT_EQ(tiles_of(1024, 768, {}, 0).tiles, 13);
  const Request low = tiles_of(1024, 768, {PictureDetail::Kind::kLow, 0}, 16);
  EXPECT_EQ(low.tiles, 1);
  EXPECT_EQ(low.visual_tokens, 16);
  EXPECT_LT(low.prompt_tokens, 16 + 10 + 20);
  EXPECT_EQ(CutRequestOf(Model256M(), {.pictures = {{9, 9}}}, {.keep = 65}).status().code(),
            StatusCode::kInvalidArgument);
  const Workload many{.pictures = std::vector<std::pair<int, int>>(20, {500, 500})};
  EXPECT_EQ(CutRequestOf(Model256M(), many, {}).status().code(), StatusCode::kContextFull);
}

TEST(CostTest, ArithmeticIsThatOfThePapers) {
  const MachineSpeed speed = ArithmeticSpeed(1);
  const auto cost = EstimateCost(Model256M(), {.pictures = {{512, 512}}, .question_tokens = 30, .output_tokens = 1}, {},
                                 PlaceOf(speed));
  ASSERT_TRUE(cost.ok()) << cost.status().message();
  // 17 tiles of 212.6 GFLOP; norms and the like are below 1 %.
  EXPECT_NEAR(static_cast<double>(cost->ledger.cost(StageId::kEncode).flops), 17 * 212.6e9, 17 * 3e9);
  EXPECT_NEAR(DecoderParameters(Model256M().config), 135e6, 1e6);
  EXPECT_NEAR(VisionParameters(Model256M().config), 93e6, 2e6 + 7.1e6);  // and the connector
  EXPECT_EQ(CacheBytesPerToken(Model256M().config, TheBackend(), KvFormat::kHalf), 23040 + 64.0 / kKvBlockSize);
}

TEST(CostTest, CachedQuestionsAreNotReadAgain) {
  const MachineSpeed speed = ArithmeticSpeed(1);
  const Workload fresh{.pictures = {{512, 512}}, .question_tokens = 500, .output_tokens = 8};
  Workload cached = fresh;
  cached.cached_question = true;
  const Variant low{.detail = {PictureDetail::Kind::kLow, 0}};
  const CostEstimate before = *EstimateCost(Model256M(), fresh, low, PlaceOf(speed));
  const CostEstimate after = *EstimateCost(Model256M(), cached, low, PlaceOf(speed));
  EXPECT_EQ(after.request.cached_tokens, 500);
  EXPECT_EQ(after.request.prompt_tokens, before.request.prompt_tokens);
  EXPECT_LT(after.ledger.cost(StageId::kPrefill).wall_ns, before.ledger.cost(StageId::kPrefill).wall_ns / 5);
  EXPECT_EQ(after.ledger.cost(StageId::kDecode).wall_ns, before.ledger.cost(StageId::kDecode).wall_ns);
  EXPECT_EQ(after.joules().source, EnergySource::kNone);  // nobody said what the machine draws
  Place drawing = PlaceOf(speed);
  drawing.watts = 10;
  const Joules joules = EstimateCost(Model256M(), fresh, low, drawing)->joules();
  EXPECT_EQ(joules.source, EnergySource::kModel);
  EXPECT_NEAR(joules.value, 10 * before.seconds(), 1e-6);
}

TEST(CostTest, SimulatedMachinesSaySoAndTakeBatchesAndFewerBits) {
  const auto machine = *simulator::LoadMachine("h100-sxm", EYESHOT_SOURCE_DIR "/data/machines");
  const auto software = *simulator::FindSoftware("graph");
  const Place place{.backend = &TheBackend(), .machine = &machine, .software = &software};
  const Workload workload{.pictures = {{512, 512}}};
  const CostEstimate one = *EstimateCost(Model256M(), workload, {}, place);
  EXPECT_TRUE(one.simulated);
  EXPECT_EQ(one.joules().source, EnergySource::kModel);
  const CostEstimate many = *EstimateCost(Model256M(), workload, {.batch = 32}, place);
  EXPECT_GT(many.batch_s, one.batch_s);
  EXPECT_LT(many.joules().value, 0.6 * one.joules().value);
  const ModelPrecision int4{.tower = WeightFormat::kInt8, .decoder = WeightFormat::kInt4};
  EXPECT_LT(EstimateCost(Model256M(), workload, {.precision = int4}, place)->ledger.cost(StageId::kDecode).wall_ns,
            one.ledger.cost(StageId::kDecode).wall_ns);
  const MachineSpeed here = ArithmeticSpeed(1);
  EXPECT_FALSE(EstimateCost(Model256M(), workload, {.batch = 2}, PlaceOf(here)).ok());
}

TEST(SpeedTest, FitsFindTheFiguresThatMadeTheTimes) {
  std::vector<Features> rows;
  std::vector<double> seconds;
  for (const double m : {16.0, 64.0, 512.0}) {
    for (const double n : {256.0, 1024.0, 3072.0}) {
      rows.push_back({1, m * n * 500, m * n});
      seconds.push_back(1e-12 * (2e6 + 4 * m * n * 500 + 90 * m * n));
    }
  }
  const Features figures = FitPicoseconds(rows, seconds);
  EXPECT_NEAR(figures[0], 2e6, 2e4);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(1e-12 * (figures[0] + figures[1] * rows[i][1] + figures[2] * rows[i][2]) / seconds[i], 1, 0.01);
  }
}

TEST(SpeedTest, FilesComeBackAndOtherMachinesAreNoticed) {
  MachineSpeed speed = ArithmeticSpeed(3);
  speed.picoseconds["decode_attention.exact.f16"] = {10, 2, 3};
  const Result<MachineSpeed> read = ParseMachineSpeed(MachineSpeedJson(speed), "s.json");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->picoseconds, speed.picoseconds);
  EXPECT_EQ(read->cpu, "a CPU");
  EXPECT_TRUE(StaleReasons(*read, "a CPU", "avx2", 2, "eyeshot 1").empty());
  EXPECT_EQ(StaleReasons(*read, "another", "avx2", 1, "eyeshot 2").size(), 3u);

  for (const char* text :
       {"", "{}", R"({"eyeshot_speed": 9})", R"({"eyeshot_speed": 1, "cpu": "x", "isa": "y", "threads": 0})",
        R"({"eyeshot_speed": 1, "cpu": "x", "isa": "y", "threads": 1, "version": "v", "date": "d",
                               "picoseconds": {"norm": {"call": -1, "element": 2}}})"}) {
    const Status status = ParseMachineSpeed(text, "s.json").status();
    EXPECT_NE(status.message().find("s.json"), std::string::npos) << text;
  }
  const std::map<std::string, const char*> variables = {{"XDG_CACHE_HOME", "/cache"}};
  const auto get = [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second;
  };
  EXPECT_EQ(*MachineSpeedPath(get, "AMD EPYC/1", "avx512", 2), "/cache/eyeshot/speed-AMD_EPYC_1-avx512-2.json");
  EXPECT_FALSE(MachineSpeedPath([](const char*) -> const char* { return nullptr; }, "a", "b", 1).ok());
}

TEST(SpeedTest, EveryOperationOfAStageHasAClassThatFilesName) {
  const StageOperations stages =
      OperationsOf(Model256M().config, TheBackend(), {},
                   {.tiles = 3, .visual_tokens = 100, .prompt_tokens = 700, .cached_tokens = 0, .output_tokens = 3});
  for (const StageId id :
       {StageId::kEncode, StageId::kConnect, StageId::kReduce, StageId::kPrefill, StageId::kDecode}) {
    EXPECT_FALSE(stages[static_cast<size_t>(id)].empty()) << StageName(id);
    for (const Operation& op : stages[static_cast<size_t>(id)]) {
      const Features features = FeaturesOf(op);
      EXPECT_EQ(features[0], 1) << ClassOf(op);
      for (size_t i = FeatureNames(ClassOf(op)).size(); i < kMostFeatures; ++i) EXPECT_EQ(features[i], 0);
    }
  }
}

TEST(SpeedTest, FewRowsAreThoseOfTheKernels) {
  for (const WeightFormat format : {WeightFormat::kExact, WeightFormat::kInt8, WeightFormat::kInt4}) {
    const int64_t few = FewRows(TheBackend(), format);
    EXPECT_GE(few, 4);
    const auto first = [&](int64_t tokens) {
      const StageOperations stages = OperationsOf(Model256M().config, TheBackend(), {.decoder = format},
                                                  {.prompt_tokens = tokens, .output_tokens = 1});
      for (const Operation& op : stages[static_cast<size_t>(StageId::kPrefill)]) {
        if (op.kind == OperationKind::kLinear) return ClassOf(op);
      }
      return std::string();
    };
    EXPECT_EQ(first(few), fmt::format("few.{}", WeightFormatName(format)));
    EXPECT_EQ(first(few + 1), fmt::format("linear.{}", WeightFormatName(format)));
  }
  // As kernels with more of them have it.
  EXPECT_EQ(ClassOf({.format = WeightFormat::kQ8, .rows = 20, .few_rows = 32}), "few.q8_0");
}

TEST(ScoresTest, PointsAreReadAsLinesOrAsAnArray) {
  const std::string line = R"({"model": "m", "precision": "int8", "detail": "low", "reduce": "stride:16",
      "score": 0.5, "ms": 10, "joules": null, "tokens": 16, "task": "reading", "more": 1})";
  std::string one_line = line;
  std::erase(one_line, '\n');
  for (const std::string& text : {fmt::format("{0}\n\n{0}\n", one_line), fmt::format("[{0},{0}]", line)}) {
    const auto points = ParsePoints(text, "p");
    ASSERT_TRUE(points.ok()) << points.status().message();
    ASSERT_EQ(points->size(), 2u);
    EXPECT_EQ(points->at(1).reduction, (Reduction{"stride", 16}));
    EXPECT_EQ(points->at(1).ms, 10);
    EXPECT_FALSE(points->at(1).joules);
    EXPECT_EQ(points->at(1).task, Task::kReading);
  }
  EXPECT_TRUE(ParsePoints(" \n", "p")->empty());
  for (const char* text : {"[1]", R"({"model": "m"})", R"({"model": "m", "score": 2})",
                           R"({"model": "m", "score": 1, "reduce": "stride"})", "[", "x"}) {
    EXPECT_NE(ParsePoints(text, "points.json").status().message().find("points.json"), std::string::npos) << text;
  }
}

PublishedScores Published() {
  std::ifstream in(EYESHOT_SOURCE_DIR "/data/plan/smolvlm_scores.json");
  return ParsePublishedScores(std::string{std::istreambuf_iterator<char>(in), {}}, "scores").value();
}

TEST(PlannerTest, MeasuredPointsComeBeforeTablesAndTablesBeforeTheLaw) {
  Knowledge knowledge{.task = Task::kReading, .law = LawOf(Task::kReading), .published = Published()};
  const auto accuracy = [&](const ModelAtHand& model, const Variant& variant, double tokens) {
    return AccuracyOf(model, "int8", variant, "stride", tokens, 832, knowledge);
  };
  const Accuracy table = accuracy(Model256M(), {}, 832);
  EXPECT_EQ(table.evidence, Evidence::kPublished);
  EXPECT_FALSE(table.carried);
  EXPECT_NEAR(table.value, (0.526 + 0.502 + 0.583 + 0.556) / 4, 1e-9);
  const Accuracy fewer = accuracy(Model256M(), {.detail = {PictureDetail::Kind::kLow, 0}}, 64);
  EXPECT_TRUE(fewer.carried);
  EXPECT_NEAR(1 - fewer.value, (1 - table.value) * std::pow(832.0 / 64, ReadingLaw().beta), 1e-9);

  ModelAtHand other = Model256M();
  other.name = "unheard-of";
  EXPECT_EQ(accuracy(other, {}, 832).evidence, Evidence::kLaw);

  knowledge.points = {
      {.model = "SmolVLM-256M-Instruct", .precision = "int8", .detail = "reference", .score = 0.7, .tokens = 832}};
  const Accuracy measured = accuracy(Model256M(), {}, 832);
  EXPECT_EQ(measured.evidence, Evidence::kMeasured);
  EXPECT_EQ(measured.value, 0.7);
  const Accuracy near = accuracy(Model256M(), {.keep = 4}, 52);
  EXPECT_EQ(near.evidence, Evidence::kMeasured);
  EXPECT_TRUE(near.carried);
  EXPECT_LT(near.value, 0.7);
}

TEST(PlannerTest, PricesAreOfMeasuredCostsWhereThereAreSome) {
  const MachineSpeed speed = ArithmeticSpeed(4);
  const PictureDetail low{PictureDetail::Kind::kLow, 0};
  const Choices choices{.details = {low}, .keeps = {0}, .precisions = {{"exact", {}}, {"int8", {}}}};
  Knowledge knowledge{.law = LawOf(Task::kReasoning)};
  knowledge.points = {{.model = "SmolVLM-256M-Instruct",
                       .precision = "exact",
                       .detail = "low",
                       .score = 0.7,
                       .ms = 1000,
                       .joules = 3600,
                       .tokens = 64}};
  const auto candidates = [&](const Prices& prices) {
    return *CandidatesOf({&Model256M(), 1}, {.pictures = {{512, 512}}}, choices, PlaceOf(speed), prices, knowledge);
  };
  const auto both = candidates({.hour = 3.6, .kwh = 2});
  ASSERT_EQ(both.size(), 2u);
  EXPECT_TRUE(both[0].ms_measured);
  EXPECT_NEAR(*both[0].price, 1000 * (1.0 / 1000 + 2.0 / 1000), 1e-9);
  EXPECT_FALSE(both[1].ms_measured);
  EXPECT_FALSE(both[1].price) << "nobody knows its joules";
  const auto time_alone = candidates({.hour = 3.6});
  EXPECT_NEAR(*time_alone[1].price, 1000 * time_alone[1].cost.seconds() / 1000, 1e-9);
}

// What is chosen on a machine whose time is arithmetic.
struct Decision {
  Candidate chosen;
  std::string words;
};
Result<Decision> Decide(const std::vector<ModelAtHand>& models, const Workload& workload, const Aim& aim, Task task) {
  const MachineSpeed speed = ArithmeticSpeed(4);
  const Knowledge knowledge{.task = task, .law = LawOf(task), .published = Published()};
  const Choices choices{.precisions = {{"exact", {}}}};
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<Candidate> candidates,
                           CandidatesOf(models, workload, choices, PlaceOf(speed), {}, knowledge));
  EYESHOT_ASSIGN_OR_RETURN(const size_t chosen, Choose(candidates, aim));
  Decision decision{candidates[chosen], ""};
  for (const std::string& sentence : Explain(models, candidates, chosen, aim, workload, knowledge)) {
    decision.words += sentence + " ";
  }
  return decision;
}

TEST(PlannerTest, ReadingKeepsEveryTokenAndABudgetTakesTilesAway) {
  const std::vector<ModelAtHand> models = {Model256M()};
  const Workload workload{.pictures = {{1024, 768}}, .output_tokens = 4};
  const Decision rich = *Decide(models, workload, {.goal = Goal::kAccuracy}, Task::kReading);
  EXPECT_EQ(rich.chosen.cost.request.tiles, 13);
  EXPECT_EQ(rich.chosen.variant.keep, 0);
  EXPECT_NE(rich.words.find("encode is"), std::string::npos) << rich.words;
  EXPECT_NE(rich.words.find("keeps all of them"), std::string::npos) << rich.words;

  const Decision poor =
      *Decide(models, workload, {.goal = Goal::kAccuracy, .most_ms = rich.chosen.ms / 6}, Task::kReading);
  EXPECT_EQ(poor.chosen.cost.request.tiles, 1);
  EXPECT_EQ(poor.chosen.cost.request.visual_tokens, 64);
  EXPECT_NE(poor.words.find("more text"), std::string::npos) << poor.words;
  EXPECT_NE(poor.words.find("beyond the limits"), std::string::npos);

  const Result<Decision> none = Decide(models, workload, {.goal = Goal::kAccuracy, .most_ms = 1e-3}, Task::kReading);
  EXPECT_EQ(none.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Decide(models, workload, {.goal = Goal::kJoules}, Task::kReading).status().code(),
            StatusCode::kInvalidArgument);
}

// What four reducers made of one tile, and what no reducer did.
std::vector<MeasuredPoint> Sweep() {
  std::vector<MeasuredPoint> points;
  const auto add = [&](const char* reduce, double score, double tokens) {
    points.push_back({.model = "SmolVLM-256M-Instruct",
                      .precision = "exact",
                      .detail = "low",
                      .reduction = *ParseReduction(reduce),
                      .score = score,
                      .tokens = tokens});
  };
  add("none", 0.5, 64);
  add("stride:20", 0.40, 20);
  add("divprune:20", 0.45, 20);
  add("pool:20", 0.30, 20);
  add("merge:512", 0.48, 64);
  return points;
}

// A reducer "merge" works in the tower.
std::vector<int64_t> MergeInTower(std::string_view name, const ModelConfig& config, int64_t keep) {
  return name == "merge" ? std::vector<int64_t>(static_cast<size_t>(config.vision.num_layers), keep)
                         : std::vector<int64_t>();
}

TEST(PlannerTest, MeasuredReducersAreWaysAndTheBestOneIsTaken) {
  const MachineSpeed speed = ArithmeticSpeed(4);
  Knowledge knowledge{.law = LawOf(Task::kReasoning), .points = Sweep(), .tower_patches = MergeInTower};
  // Another model's winner says nothing here.
  knowledge.points.push_back(
      {.model = "another", .precision = "exact", .detail = "low", .reduction = {"random", 20}, .score = 0.9});
  const Workload workload{.pictures = {{512, 512}}, .output_tokens = 4};
  const std::vector<ModelAtHand> models = {Model256M()};
  const auto candidates =
      *CandidatesOf(models, workload, {.precisions = {{"exact", {}}}}, PlaceOf(speed), {}, knowledge);
  std::map<std::string, size_t> low;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].cost.request.tiles == 1) low[candidates[i].reduce()] = i;
  }
  ASSERT_TRUE(low.contains("divprune:20")) << "20 isn't among the numbers that are tried without points";
  EXPECT_FALSE(low.contains("random:20"));
  EXPECT_TRUE(low.contains("stride:16")) << "the control, where nothing was measured";
  EXPECT_EQ(candidates[low["divprune:20"]].accuracy.value, 0.45);
  EXPECT_LT(candidates[low["merge:512"]].cost.ledger.cost(StageId::kEncode).wall_ns,
            0.7 * candidates[low["none"]].cost.ledger.cost(StageId::kEncode).wall_ns);
  // What wasn't measured is carried over from other ways that drop tokens.
  EXPECT_LT(candidates[low["stride:16"]].accuracy.value, 0.45);

  std::string words;
  for (const auto& sentence : Explain(models, candidates, low["divprune:20"], {}, workload, knowledge))
    words += sentence;
  for (const char* part :
       {"20 visual tokens of a tile (divprune)", "Of 3 reducers", "divprune answers most right: 45.0 %",
        "stride 40.0 %, pool 30.0 %", "With 1 tile (64 visual tokens) it answers 11.1 % more right"}) {
    EXPECT_NE(words.find(part), std::string::npos) << part << " in " << words;
  }
}

TEST(AutoTest, MeasuredPointsDecideWithinABudget) {
  const MachineSpeed speed = ArithmeticSpeed(4);
  const Workload workload{.pictures = {{512, 512}}, .output_tokens = 4};
  const auto plan = [&](double ms, const Knowledge& knowledge) {
    return *PlanFor(Model256M(), workload, {"exact", {}}, PlaceOf(speed), {.ms = ms}, {}, knowledge, {});
  };
  const auto ms_of = [&](const Variant& variant) {
    return 1e3 * EstimateCost(Model256M(), workload, variant, PlaceOf(speed))->seconds();
  };
  const PictureDetail low{PictureDetail::Kind::kLow, 0};
  const double all_ms = ms_of({.detail = low});
  const double some_ms = 1.001 * ms_of({.detail = low, .keep = 20});
  const Knowledge measured{.law = LawOf(Task::kReasoning), .points = Sweep(), .tower_patches = MergeInTower};
  EXPECT_EQ(plan(1.001 * all_ms, measured).reduce, "none");
  EXPECT_EQ(plan(some_ms, measured).reduce, "merge:512");  // right more often than divprune, and faster
  Knowledge before = measured;
  before.points.pop_back();
  const PicturePlan pruned = plan(some_ms, before);
  EXPECT_EQ(pruned.reduce, "divprune:20");
  EXPECT_NE(pruned.why.find("45.0 % right (measured)"), std::string::npos) << pruned.why;
  // Nobody measured: tiles first, and tokens where one tile is too much.
  EXPECT_EQ(plan(1.001 * all_ms, {}).reduce, "none");
  EXPECT_EQ(plan(some_ms, {}).reduce, "stride:16");
  EXPECT_EQ(plan(1e-3, {}).reduce, "none");
  EXPECT_FALSE(plan(1e-3, {}).within);
}

TEST(PlannerTest, LongAnswersAreTheDecodersBusiness) {
  const Decision decision = *Decide({Model256M()}, {.pictures = {{512, 512}}, .output_tokens = 8000},
                                    {.goal = Goal::kTime}, Task::kReasoning);
  EXPECT_NE(decision.words.find("decode is"), std::string::npos) << decision.words;
}

TEST(PlannerTest, TheFrontRisesWithTime) {
  const MachineSpeed speed = ArithmeticSpeed(4);
  const std::vector<ModelAtHand> models = {Model256M(), Read("SmolVLM2-2.2B-Instruct")};
  const Knowledge knowledge{.law = LawOf(Task::kReasoning), .published = Published()};
  const auto candidates =
      *CandidatesOf(models, {.pictures = {{512, 512}}}, {.precisions = {{"exact", {}}}}, PlaceOf(speed), {}, knowledge);
  const std::vector<size_t> front = ParetoFront(candidates);
  ASSERT_GT(front.size(), 3u);
  for (size_t i = 1; i < front.size(); ++i) {
    EXPECT_GT(candidates[front[i]].ms, candidates[front[i - 1]].ms);
    EXPECT_GT(candidates[front[i]].accuracy.value, candidates[front[i - 1]].accuracy.value);
  }
}

TEST(AutoTest, BudgetsAreKeptAndSlowMachinesPlannedAgain) {
  EXPECT_EQ(ParseBudget("1.5s")->ms, 1500);
  EXPECT_EQ(ParseBudget("500ms,20J")->joules, 20);
  for (const char* text : {"", "500", "-1ms", "1ms,", "nanms"}) EXPECT_FALSE(ParseBudget(text).ok()) << text;

  const MachineSpeed speed = ArithmeticSpeed(4);
  const Workload workload{.pictures = {{1024, 768}}, .output_tokens = 8};
  StageWatch watch;
  const auto plan = [&](double ms) {
    return *PlanFor(Model256M(), workload, {}, PlaceOf(speed), {.ms = ms}, {}, {}, watch);
  };
  const PicturePlan whole = plan(1e9);
  EXPECT_EQ(whole.detail, PictureDetail());
  EXPECT_EQ(whole.reduce, "none");
  const double all_ms = whole.cost.seconds() * 1e3;
  const PicturePlan half = plan(all_ms / 2);
  EXPECT_TRUE(half.within);
  EXPECT_LE(half.cost.seconds() * 1e3, all_ms / 2);
  EXPECT_LT(half.cost.request.visual_tokens, whole.cost.request.visual_tokens);
  EXPECT_FALSE(plan(1e-3).within);
  EXPECT_EQ(plan(1e-3).cost.request.tiles, 1);

  // The machine turns out half as fast in the tower.
  Ledger measured;
  for (const StageId id : {StageId::kEncode, StageId::kConnect, StageId::kPrefill, StageId::kDecode}) {
    measured.Add(id, {.wall_ns = half.cost.ledger.cost(id).wall_ns * (id == StageId::kEncode ? 2 : 1)});
  }
  std::string log;
  EXPECT_TRUE(watch.Observe(half.cost.ledger, measured, &log));
  EXPECT_NE(log.find("encode took"), std::string::npos) << log;
  EXPECT_NEAR(watch.factor(StageId::kEncode), 2, 1e-6);
  EXPECT_EQ(watch.factor(StageId::kPrefill), 1);
  EXPECT_LT(plan(all_ms / 2).cost.request.tiles, half.cost.request.tiles);
  EXPECT_FALSE(watch.Observe(plan(all_ms / 2).cost.ledger, plan(all_ms / 2).cost.ledger, nullptr));
  EXPECT_FALSE(PlanFor(Model256M(), workload, {}, PlaceOf(speed), {.joules = 5}, {}, {}, watch).ok());
}

// Prompts cost something here as well, so that tokens do.
class KeepTest : public testing::Test {
 protected:
  Result<KeepPlan> Keep(const Budget& budget, const KeepRange& range, const StageWatch& watch = {}) const {
    const Variant one_tile{.detail = {PictureDetail::Kind::kLow, 0}};
    return KeepWithin(Model256M(), kQuestion, one_tile, place_, budget, range, watch);
  }
  double Ms(int64_t keep) const {
    const Variant kept{.detail = {PictureDetail::Kind::kLow, 0}, .keep = keep};
    return 1e3 * EstimateCost(Model256M(), kQuestion, kept, place_)->seconds();
  }

  const Workload kQuestion{.pictures = {{1024, 768}}, .output_tokens = 8};
  const MachineSpeed speed_ = ArithmeticSpeed(4);
  Place place_ = PlaceOf(speed_);
};

TEST_F(KeepTest, TheMostTokensThatFit) {
  ASSERT_LT(Ms(23), Ms(24));
  const KeepPlan plan = *Keep({.ms = (Ms(23) + Ms(24)) / 2}, {.most = 64});
  EXPECT_EQ(plan.keep, 23);
  EXPECT_EQ(plan.cost.request.visual_tokens, 23);
  EXPECT_NE(plan.why.find("23 of 64 tokens a tile"), std::string::npos) << plan.why;
  EXPECT_EQ(Keep({.ms = 1e9}, {.most = 64})->keep, 64);
  EXPECT_EQ(Keep({.ms = 1.0001 * Ms(1)}, {.most = 64})->keep, 1);
  // The view of the whole picture, here the only one, may have a number of its own.
  EXPECT_EQ(Keep({.ms = 1e9}, {.most = 64, .global = 9})->cost.request.visual_tokens, 9);

  place_.watts = 10;
  EXPECT_EQ(Keep({.joules = 10 * (Ms(23) + Ms(24)) / 2e3}, {.most = 64})->keep, 23);
}

TEST_F(KeepTest, WhatNothingFitsIntoSaysWhatItTakes) {
  const Status status = Keep({.ms = 1}, {.most = 64}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  for (const std::string& part : {fmt::format("predicted to take {:.0f} ms", Ms(1)), std::string("encode, and 1 ms")}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  }
  const Status joules = Keep({.joules = 5}, {.most = 64}).status();
  EXPECT_NE(joules.message().find("--watts"), std::string::npos) << joules.message();
}

TEST_F(KeepTest, ReducersInTheTowerMakeTheTowerFaster) {
  // Half of the patches after the first layer, down to `keep` in the last one.
  const auto patches = [](int64_t keep) {
    std::vector<int64_t> left(12, std::max<int64_t>(keep, 512));
    left.back() = keep;
    return left;
  };
  const KeepRange range{.most = 1024, .patches = patches};
  const double all = Keep({.ms = 1e9}, range)->cost.seconds() * 1e3;
  EXPECT_NEAR(all, Ms(0), 1e-3);
  const KeepPlan plan = *Keep({.ms = 0.8 * all}, range);
  EXPECT_GT(plan.keep, 1);
  EXPECT_LT(plan.keep, 1024);
  EXPECT_EQ(plan.cost.request.visual_tokens, 64) << "the decoder sees as many as ever";
  EXPECT_NEAR(plan.cost.seconds() * 1e3, 0.8 * all, 0.01 * all);
}

TEST_F(KeepTest, FramesOfClipsAreTiles) {
  const Workload clip{.clips = {20}, .output_tokens = 8};
  const auto ms = [&](int64_t keep) {
    return 1e3 * EstimateCost(Model256M(), clip, {.keep = keep}, place_)->seconds();
  };
  const auto keep = [&](double most_ms, const KeepRange& range) {
    return *KeepWithin(Model256M(), clip, {}, place_, {.ms = most_ms}, range, {});
  };
  const KeepPlan plan = keep((ms(9) + ms(10)) / 2, {.most = 64});
  EXPECT_EQ(plan.keep, 9);
  EXPECT_EQ(plan.cost.request.tiles, 20);
  EXPECT_EQ(plan.cost.request.visual_tokens, 180);
  EXPECT_NE(plan.why.find("9 of 64 tokens a frame"), std::string::npos) << plan.why;
  // A reducer that always keeps the first frame.
  const auto first = [](int64_t kept) { return std::max<int64_t>(64, 20 * kept); };
  EXPECT_EQ(keep(1.0001 * ms(1), {.most = 64}).keep, 1);
  EXPECT_FALSE(
      KeepWithin(Model256M(), clip, {}, place_, {.ms = 1.0001 * ms(1)}, {.most = 64, .clip_tokens = first}, {}).ok());
}

TEST_F(KeepTest, EarlierTurnsAreLookedAtAndNotRunAgain) {
  Workload later = kQuestion;
  later.history_tokens = 700;
  const Variant low{.detail = {PictureDetail::Kind::kLow, 0}};
  const CostEstimate first = *EstimateCost(Model256M(), kQuestion, low, place_);
  const CostEstimate second = *EstimateCost(Model256M(), later, low, place_);
  EXPECT_EQ(second.request.prompt_tokens, first.request.prompt_tokens + 700);
  EXPECT_EQ(second.request.cached_tokens, 700);
  EXPECT_EQ(second.ledger.cost(StageId::kPrefill).tokens, first.ledger.cost(StageId::kPrefill).tokens);
}

TEST(QuestionTest, LimitsAreOfTheBudgetOrOfKeep) {
  EXPECT_FALSE(*LimitOf("", "stride:16"));
  const QuestionLimit whole = **LimitOf("1.5s", "stride:16,global=all");
  EXPECT_EQ(whole.budget.ms, 1500);
  EXPECT_FALSE(whole.of_keep);
  const QuestionLimit keep = **LimitOf("", "pool:20J");
  EXPECT_EQ(keep.budget.joules, 20);
  EXPECT_TRUE(keep.of_keep);
  for (const auto& [budget, reduce] : std::vector<std::pair<const char*, const char*>>{
           {"500", "none"}, {"1s", "stripe:1"}, {"1s", "pool:5ms"}, {"", "pool:16,global=5ms"}}) {
    EXPECT_EQ(LimitOf(budget, reduce).status().code(), StatusCode::kInvalidArgument) << budget << ", " << reduce;
  }
}

// Questions of SmolVLM-256M on a machine whose time is arithmetic.
class QuestionPlannerTest : public testing::Test {
 protected:
  QuestionPlan Plan(const std::string& budget, const std::string& reduce, const Workload& workload) {
    options_ = {.reduce = reduce};
    auto plan = planner_.Plan(**LimitOf(budget, reduce), workload, options_);
    EXPECT_TRUE(plan.ok()) << plan.status().message();
    return plan.ok() ? *plan : QuestionPlan();
  }
  // What an answer that took as planned has, but for `slower` times in the tower.
  static Answer AnswerTo(const QuestionPlan& plan, double slower) {
    Answer answer{.cached_tokens = plan.cost.request.cached_tokens,
                  .completion_tokens = plan.cost.request.output_tokens};
    answer.ledger = plan.cost.ledger;
    const StageCost& encode = plan.cost.ledger.cost(StageId::kEncode);
    answer.ledger.Add(StageId::kEncode,
                      {.wall_ns = static_cast<uint64_t>((slower - 1) * static_cast<double>(encode.wall_ns))});
    return answer;
  }

  const Workload kPicture{.pictures = {{512, 512}}, .output_tokens = 4};
  const Workload kClip{.clips = {8}, .output_tokens = 4};
  AskOptions options_;
  QuestionPlanner planner_{TheBackend(), {.model = Model256M(), .loaded = {"exact", {}}, .speed = ArithmeticSpeed(4)}};
};

TEST_F(QuestionPlannerTest, ClipsKeepToBudgets) {
  const QuestionPlan all = Plan("1000s", "none", kClip);
  EXPECT_EQ(all.cost.request.tiles, 8);
  EXPECT_EQ(all.cost.request.visual_tokens, 512);
  EXPECT_EQ(all.reduce, "none");
  EXPECT_NE(all.why.find("8 frames, 512 visual tokens"), std::string::npos) << all.why;
  const QuestionPlan some = Plan(fmt::format("{}ms", 999 * all.cost.seconds()), "none", kClip);
  EXPECT_TRUE(some.within);
  EXPECT_LT(some.cost.request.visual_tokens, 512);
  EXPECT_EQ(options_.reduce, some.reduce);
  const QuestionPlan least = Plan("1ms", "none", kClip);
  EXPECT_FALSE(least.within);
  EXPECT_EQ(least.cost.request.visual_tokens, 512);
  EXPECT_NE(least.why.find("of so many frames"), std::string::npos) << least.why;
  // A reducer that was asked for is reckoned with as it counts frames, and stays.
  const QuestionPlan evs = Plan("1000s", "evs:16", kClip);
  EXPECT_EQ(evs.cost.request.visual_tokens, 128);
  EXPECT_EQ(options_.reduce, "evs:16");
  EXPECT_EQ(Plan("", "stride:1e9ms", kClip).reduce, "stride:64");
  EXPECT_EQ(planner_.Plan(**LimitOf("1s", "evs:16"), kPicture, options_).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(QuestionPlannerTest, NothingShownIsNothingToPlan) {
  options_.reduce = "pool:5ms";
  EXPECT_FALSE(NeedsPlan(**LimitOf("", "pool:5ms"), {}, options_));
  EXPECT_EQ(options_.reduce, "none");
  EXPECT_TRUE(NeedsPlan(**LimitOf("1s", "none"), kClip, options_));
  Workload workload = EmptyWorkload({.max_tokens = 4});
  Image image;
  image.width = 30;
  image.height = 20;
  AddParts(std::vector<ContentPart>{std::make_shared<const Image>(image), std::string("What is it?")}, workload);
  EXPECT_EQ(workload.pictures, (std::vector<std::pair<int, int>>{{30, 20}}));
  EXPECT_EQ(workload.question_tokens, 3);
  EXPECT_EQ(workload.output_tokens, 4);
}

TEST_F(QuestionPlannerTest, AnswersCorrectLaterPlans) {
  const QuestionPlan first = Plan("1000s", "none", kPicture);
  EXPECT_EQ(planner_.Observe(first, AnswerTo(first, 1)), "");
  EXPECT_NE(planner_.Observe(first, AnswerTo(first, 2)).find("encode took"), std::string::npos);
  EXPECT_EQ(planner_.Observe(first, AnswerTo(first, 2)), "") << "it was planned before that was learned";
  const QuestionPlan second = Plan("1000s", "none", kPicture);
  const auto encode = [](const Ledger& ledger) { return static_cast<double>(ledger.cost(StageId::kEncode).wall_ns); };
  EXPECT_NEAR(encode(second.cost.ledger), 2 * encode(first.cost.ledger), 1e-3 * encode(first.cost.ledger));
  EXPECT_NEAR(encode(planner_.Corrected(first.cost.ledger)), 2 * encode(first.cost.ledger), 10);
}

TEST_F(QuestionPlannerTest, WorkThatWasNotDoneSaysNothing) {
  const QuestionPlan plan = Plan("1000s", "none", kPicture);
  Answer answer = AnswerTo(plan, 1);
  // All from caches, but for a step that others had a share in.
  answer.ledger = {};
  answer.ledger.Add(StageId::kPrefill, {.wall_ns = 1000, .tokens = 1, .runs = 1});
  answer.ledger.Add(StageId::kDecode, {.wall_ns = plan.cost.ledger.cost(StageId::kDecode).wall_ns / 3, .runs = 1});
  answer.cached_tokens = plan.cost.request.prompt_tokens - 1;
  EXPECT_EQ(planner_.Observe(plan, answer, /*alone=*/false), "");
  EXPECT_NE(planner_.Observe(plan, answer, /*alone=*/true).find("decode took"), std::string::npos);
}

}  // namespace
}  // namespace eyeshot::plan
