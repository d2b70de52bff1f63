#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/limits.h"
#include "eval/base64.h"
#include "eval/prompts.h"
#include "eval/python_text.h"
#include "eval/question_set.h"
#include "eval/result_file.h"
#include "eval/statistics.h"
#include "eval/summary.h"
#include "eval/sweep.h"
#include "eval/text_distance.h"

namespace eyeshot::eval {
namespace {

void ExpectError(const Status& status, const std::vector<std::string>& parts) {
  EXPECT_FALSE(status.ok());
  for (const std::string& part : parts) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message() << "\nlacks: " << part;
  }
}

std::string TempPath(const std::string& name) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return testing::TempDir() + "/" + test->test_suite_name() + "." + test->name() + "." + name;
}

std::string Write(const std::string& name, const std::string& text) {
  const std::string path = TempPath(name);
  EXPECT_TRUE(WriteFile(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}).ok());
  return path;
}

TEST(TextDistanceTest, NormalizedCollapsesWhiteSpace) {
  EXPECT_EQ(Normalized("  a\t\nb  c \n"), U"a b c");
  EXPECT_EQ(Normalized(" \n"), U"");
  EXPECT_EQ(Normalized("\u00a0x\u3000y"), U"x y");
  EXPECT_EQ(Normalized("\xff"
                       "a"),
            U"\uFFFDa");
}

TEST(TextDistanceTest, EditDistanceCountsCodePoints) {
  EXPECT_EQ(EditDistance(U"kitten", U"sitting"), 3u);
  EXPECT_EQ(EditDistance(U"", U"abc"), 3u);
  EXPECT_EQ(EditDistance(U"abc", U""), 3u);
  EXPECT_EQ(EditDistance(U"same", U"same"), 0u);
  EXPECT_EQ(EditDistance(Normalized("€15"), Normalized("$15")), 1u);
}

TEST(PythonTextTest, ListsAsPythonPrintsThem) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(ListItems("['a', \"it's\", 3, -1.5e3, None]"), (Texts{"a", "it's", "3", "-1.5e3", "None"}));
  EXPECT_EQ(ListItems("['a\\'b\\n\\u00e9', ]"), (Texts{"a'b\né"}));
  EXPECT_EQ(ListItems("[]"), Texts{});
  for (const char* text : {"", "a", "[a]", "['a'", "['a] ", "['a' 'b']", "[1] 2", "['\\ud']", "['\\"}) {
    EXPECT_FALSE(ListItems(text).has_value()) << text;
  }
}

TEST(Base64Test, DecodesAndRefuses) {
  const auto text = [](std::string_view base64) {
    const Result<std::vector<uint8_t>> bytes = DecodeBase64(base64, "x");
    return bytes.ok() ? std::string(bytes->begin(), bytes->end()) : bytes.status().message();
  };
  EXPECT_EQ(text("TWFu"), "Man");
  EXPECT_EQ(text("TWE="), "Ma");
  EXPECT_EQ(text("TQ"), "M");
  EXPECT_EQ(text(" TW\nFu "), "Man");
  EXPECT_EQ(text("data:image/png;base64,TWFu"), "Man");
  EXPECT_EQ(text(""), "");
  ExpectError(DecodeBase64("TW*u", "x").status(), {"character 2"});
  ExpectError(DecodeBase64("TWFuT", "x").status(), {"character 5"});
  ExpectError(DecodeBase64("TQ==TQ", "x").status(), {"ends wrongly"});
}

TEST(JsonLinesTest, ReadsALineAQuestion) {
  const auto set = QuestionSet::Load(
      Write("a.jsonl",
            "{\"id\": 7, \"images\": [\"a.png\", \"/b.png\"], \"video\": true, \"question\": \"q\", \"answer\": "
            "\"x\", \"task\": \"t\"}\n\n{\"question\": \"hello\", \"answer\": 5}\r\n"));
  ASSERT_TRUE(set.ok()) << set.status().message();
  ASSERT_EQ(set->questions().size(), 2u);
  const Question& first = set->questions()[0];
  EXPECT_EQ(first.id, "7");
  EXPECT_EQ(first.pictures[0].path, testing::TempDir() + "/a.png");
  EXPECT_EQ(first.pictures[1].path, "/b.png");
  EXPECT_TRUE(first.video);
  EXPECT_EQ(set->questions()[1].id, "3");
  EXPECT_EQ(set->questions()[1].answers, std::vector<std::string>{"5"});
  EXPECT_FALSE(set->is_log());
}

// Documents of lmms-eval's tasks, and what `--log_samples` writes of them.
TEST(JsonLinesTest, ReadsDocumentsAndLoggedSamplesOfLmmsEval) {
  const auto parsed = ParseJsonLines(
      R"({"questionId": "9", "question": "q", "answers": ["a", "b"], "image": "p.png"}
{"question": "q", "options": ["x", "y"], "answer": "1", "category": "c", "l2_category": "g"}
{"question": "q", "A": "x", "B": "y", "answer": "B"}
{"doc_id": 4, "input": "Q?", "target": "['a', 'b']", "resps": [["<think>c"]], "filtered_resps": ["c"], "doc_hash": "0"}
{"doc_id": 5, "doc": {"question": "Q", "label": ["7"], "image_path": "/p.png"}, "filtered_resps": "c"})",
      "dir/s.jsonl");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const std::vector<Question>& q = *parsed;
  ASSERT_EQ(q.size(), 5u);
  EXPECT_EQ(q[0].answers, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(q[0].pictures, (std::vector<Picture>{{"dir/p.png", {}}}));
  EXPECT_EQ(q[1].answers[0], "B");
  EXPECT_EQ(q[1].choices[1], std::pair('B', std::string("y")));
  EXPECT_EQ(q[1].task + q[1].group, "cg");
  EXPECT_EQ(q[2].choices.size(), 2u);
  EXPECT_EQ(q[2].answers[0], "B");
  EXPECT_EQ(q[3].id, "4");
  EXPECT_EQ(q[3].answers, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(q[3].recorded, "c");
  EXPECT_EQ(q[4].question, "Q");
  EXPECT_EQ(q[4].answers[0], "7");
  EXPECT_EQ(q[4].recorded, "c");
}

TEST(JsonLinesTest, ErrorsNameTheLine) {
  const auto check = [&](const std::string& text, const std::vector<std::string>& parts) {
    ExpectError(QuestionSet::Load(Write("bad.jsonl", text)).status(), parts);
  };
  check("{\"question\": \"q\", \"answer\": \"a\"}\n{\"question\": \"q\"}\n", {"jsonl:2", "answer"});
  check("{\"question\": \"q\", \"answer\": {}}", {"jsonl:1", "answer"});
  check("{\"question\": \"q\", \"answer\": \"a\", \"images\": \"a.png\"}", {"images"});
  check("{\"question\": \"q\", \"answer\": \"a\", \"options\": {\"no\": \"a\"}}", {"options"});
  check("{\"id\": 1, \"question\": \"q\", \"answer\": \"a\"}\n{\"id\": 1, \"question\": \"q\", \"answer\": \"a\"}\n",
        {"'1' stands twice"});
  check("nonsense", {"jsonl:1"});
  check("\n\n", {"no question"});
}

TEST(TableTest, ReadsVlmEvalKitsColumns) {
  const std::string picture(80, 'A');
  const auto set = QuestionSet::Load(Write("MMStar.tsv",
                                           "index\timage\tquestion\tA\tB\tC\tanswer\tcategory\tl2-category\thint\n"
                                           "0\t" +
                                               picture +
                                               "\t\"What\n\"\"is\"\"\tit?\"\tcat\tNone\tdog\tC\tc\tl\tlook\r\n"
                                               "1\t0\tAnd now?\t1\t\t2\tA\tc\t\t\n"
                                               "2\t\"['" +
                                               picture + "', '" + picture + "']\"\tq\t\t\t\t\"['a', 'b']\"\t\t\t"));
  ASSERT_TRUE(set.ok()) << set.status().message();
  const std::vector<Question>& q = set->questions();
  ASSERT_EQ(q.size(), 3u);
  EXPECT_EQ(q[0].question, "What\n\"is\"\tit?");
  EXPECT_EQ(q[0].pictures[0].base64, picture);
  // pandas reads "None" as no value, and VLMEvalKit leaves the choice out.
  EXPECT_EQ(q[0].choices, (std::vector<std::pair<char, std::string>>{{'A', "cat"}, {'C', "dog"}}));
  EXPECT_EQ(q[0].task + q[0].group + q[0].hint, "cllook");
  EXPECT_EQ(q[1].pictures[0].base64, picture);
  EXPECT_EQ(q[2].pictures.size(), 2u);
  EXPECT_EQ(q[2].answers, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(KindOf(set->name(), q).scorer, "letter");
  EXPECT_EQ(KindOf("20260101_samples_docvqa_val", q).scorer, "anls");
}

TEST(TableTest, ErrorsNameTheLine) {
  const auto check = [&](const std::string& text, const std::vector<std::string>& parts) {
    ExpectError(QuestionSet::Load(Write("bad.tsv", text)).status(), parts);
  };
  check("index\tquestion\n", {"tsv:1", "'answer'"});
  check("index\tquestion\tanswer\n0\tq\ta\n1\tq\n", {"tsv:3", "2 fields", "names 3"});
  check("index\tquestion\tanswer\n0\t\"q\na\n", {"tsv:2", "never ends"});
  check("index\tquestion\tanswer\n0\t\"q\"x\ta\n", {"tsv:2", "closing"});
  check("index\tquestion\tanswer\timage\n0\tq\ta\t17\n", {"row 0", "'17'"});
  check("index\tquestion\tanswer\n", {"no question"});
}

// A table's pictures are decoded where they stand; what is not one is an error that names the question.
TEST(TableTest, PicturesComeFromBase64) {
  const Question question{.id = "5", .pictures = {{"", "TWFu"}}};
  Ledger ledger;
  ExpectError(ReadPictures(question, {}, {}, ledger).status(), {"picture of question 5"});
}

TEST(StatisticsTest, WilsonsIntervalIsTheTables) {
  // Newcombe, 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
  const auto check = [](uint64_t hits, uint64_t count, double low, double high) {
    const Interval interval = WilsonInterval(hits, count);
    EXPECT_NEAR(interval.low, low, 5e-5);
    EXPECT_NEAR(interval.high, high, 5e-5);
  };
  check(81, 263, 0.2553, 0.3662);
  check(15, 148, 0.0624, 0.1605);
  check(0, 20, 0.0000, 0.1611);
  check(1, 29, 0.0061, 0.1718);
}

TEST(StatisticsTest, BootstrapIsNearTheNormalIntervalAndRepeats) {
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(i % 5 * 0.25);  // mean 0.5, deviation 0.3536
  const Interval interval = BootstrapMean(values, 7);
  const double reach = 1.96 * 0.35355 / std::sqrt(400.0);
  EXPECT_NEAR(interval.value, 0.5, 1e-12);
  EXPECT_NEAR(interval.low, 0.5 - reach, 0.002);
  EXPECT_NEAR(interval.high, 0.5 + reach, 0.002);
  EXPECT_EQ(BootstrapMean(values, 7).low, interval.low);
  EXPECT_NE(BootstrapMean(values, 8).low, interval.low);
  EXPECT_EQ(BootstrapRatio({}, {}, 1).high, 0);
}

TEST(StatisticsTest, PairsSeeWhatSeparateIntervalsDoNot) {
  std::vector<double> a;
  std::vector<double> b;
  for (int i = 0; i < 200; ++i) {
    a.push_back(i % 2);
    b.push_back(i % 2 == 1 || i % 20 == 0 ? 1 : 0);
  }
  const Interval difference = PairedDifference(a, b, 1);
  EXPECT_NEAR(difference.value, 0.05, 1e-12);
  EXPECT_GT(difference.low, 0.01);
  EXPECT_GT(WilsonInterval(100, 200).high, WilsonInterval(110, 200).low);
}

TEST(SweepTest, EveryCombinationTheFirstAxisSlowest) {
  const std::vector<SweepAxis> axes = {*ParseSweepAxis("precision=int8,exact"), *ParseSweepAxis("detail=low,high,2")};
  const Result<std::vector<Point>> points = PointsOf(axes);
  ASSERT_TRUE(points.ok());
  ASSERT_EQ(points->size(), 6u);
  EXPECT_EQ(PointName((*points)[0]), "precision=int8 detail=low");
  EXPECT_EQ(PointName((*points)[4]), "precision=exact detail=high");
  EXPECT_EQ(PointsOf({})->size(), 1u);
  EXPECT_EQ(ParseSweepAxis("precision=int8+q8_0,exact")->values[0], "int8,q8_0");
  for (const char* text : {"detail", "=low", "detail=", "detail=low,,high", "detail=low,low"}) {
    ExpectError(ParseSweepAxis(text).status(), {std::string("'") + text + "'"});
  }
  ExpectError(PointsOf(std::vector{axes[0], axes[0]}).status(), {"'precision' twice"});
  SweepAxis many{.name = "x", .values = std::vector<std::string>(40, "v")};
  SweepAxis more{.name = "y", .values = many.values};
  ExpectError(PointsOf(std::vector{many, more}).status(), {"kMaxSweepPoints"});
}

TEST(SweepTest, TheFrontHasWhatNothingBeats) {
  const std::vector<double> costs = {1, 2, 3, 3, 2, 4};
  const std::vector<double> scores = {0.5, 0.7, 0.7, 0.9, 0.7, 0.9};
  EXPECT_EQ(ParetoFront(costs, scores), (std::vector<bool>{true, true, false, true, true, false}));
}

Record MakeRecord(const std::string& id, double score) {
  Record record{.point = {{"precision", "int8"}},
                .id = id,
                .task = "t",
                .question = "q?",
                .answer = "a\n\"b",
                .truths = {"a", "b"}};
  record.score = score;
  record.ms = 12.5;
  record.visual_tokens = 64;
  record.finish_reason = "stop";
  record.stages_ms = {{"encode", 10}};
  record.joules = {{.value = 2, .low = 1, .high = 3, .source = EnergySource::kRapl}};
  return record;
}

// Stages that are shorter than a meter can tell have estimates, which are shares of what it read.
TEST(RecordTest, EstimatedSharesAreFiledUnderTheMeter) {
  Ledger ledger;
  ledger.Add(StageId::kDecodeImage, {.wall_ns = 5'000'000, .runs = 1});
  ledger.SetJoules(StageId::kDecodeImage, {.value = 1, .low = 0.5, .high = 2, .source = EnergySource::kModel});
  ledger.Add(StageId::kEncode, {.wall_ns = 10'000'000, .runs = 1});
  ledger.SetJoules(StageId::kEncode, {.value = 4, .low = 3, .high = 5, .source = EnergySource::kRapl});
  Record record;
  AddCost(Answer(), ledger, 15, record);
  ASSERT_EQ(record.joules.size(), 1u);
  EXPECT_EQ(record.joules[0].source, EnergySource::kRapl);
  EXPECT_EQ(record.joules[0].value, 5);
  EXPECT_TRUE(RecordJson(record)["joules"].contains("rapl"));
}

TEST(ResultFileTest, GoesOnAfterAKill) {
  const std::string path = TempPath("r.jsonl");
  std::remove(path.c_str());
  const OrderedJson header = {{kHeaderKey, kHeaderVersion},
                              {"settings", {{"precision", "int8"}, {"temperature", 0.3f}}}};
  {
    Result<ResultFile> file = ResultFile::Open(path, header);
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_TRUE(file->records().empty());
    EXPECT_TRUE(file->Append(MakeRecord("1", 1)).ok());
    EXPECT_TRUE(file->Append(MakeRecord("2", 0.25)).ok());
    ExpectError(ResultFile::Open(path, header).status(), {"another run"});
  }
  // The third line was being written when the program was killed.
  Write("r.jsonl", *ReadTextFile(path, 1 << 20) + R"({"point":{"precision":"int8"},"id":"3","answ)");
  {
    Result<ResultFile> file = ResultFile::Open(path, header);
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_EQ(file->records().size(), 2u);
    EXPECT_EQ(RecordJson(file->records()[1]), RecordJson(MakeRecord("2", 0.25)));
    EXPECT_TRUE(file->Append(MakeRecord("3", 0)).ok());
  }
  EXPECT_EQ(LoadResults(path)->records.size(), 3u);
  OrderedJson other = header;
  other["settings"]["precision"] = "exact";
  ExpectError(ResultFile::Open(path, other).status(), {"settings.precision \"int8\"", "this run has \"exact\""});
  other["settings"].erase("precision");
  ExpectError(ResultFile::Open(path, other).status(), {"this run has nothing"});
}

TEST(ResultFileTest, RefusesWhatIsNoResults) {
  const OrderedJson header = {{kHeaderKey, kHeaderVersion}};
  const std::string head = header.dump() + "\n";
  const std::string line = RecordJson(MakeRecord("1", 1)).dump() + "\n";
  ExpectError(ResultFile::Open(Write("a", "my notes"), header).status(), {"no results"});
  ExpectError(ResultFile::Open(Write("b", "{\"id\": 1}\n"), header).status(), {"b:1"});
  ExpectError(LoadResults(Write("c", head + "{}\n")).status(), {"c:2", "id"});
  ExpectError(LoadResults(Write("d", head + line + line)).status(), {"question 1 stands twice"});
  ExpectError(LoadResults(Write("e", "")).status(), {"no results"});
  ExpectError(LoadResults(Write("f", "{\"eyeshot_eval\": 2}\n")).status(), {"eyeshot_eval"});
  ExpectError(LoadResults(Write("g", "{\"eyeshot_eval\": 1, \"scorer\": 7}\n")).status(), {"g:1", "scorer", "7"});
  EXPECT_EQ(LoadResults(Write("h", "{\"eyeshot_eval\": 1, \"scorer\": \"anls\"}\n"))->scorer, "anls");
  EXPECT_EQ(*ReadTextFile(TempPath("a"), 100), "my notes");
}

std::vector<const Record*> Pointers(const std::vector<Record>& records) {
  std::vector<const Record*> pointers;
  for (const Record& record : records) pointers.push_back(&record);
  return pointers;
}

TEST(SummaryTest, MeansAndSourcesOfJoulesStayApart) {
  std::vector<Record> records = {MakeRecord("1", 1), MakeRecord("2", 0)};
  records[1].joules.push_back({.value = 5, .low = 5, .high = 5, .source = EnergySource::kNvmlCounter});
  const Scorer& exact = **FindScorer("exact");
  const Score score = Summarize(Pointers(records), exact, 1);
  EXPECT_EQ(score.score.value, 0.5);
  EXPECT_NEAR(score.score.low, 0.0945, 1e-4);
  EXPECT_EQ(score.ms, 12.5);
  // Only one of the two questions has the GPU's.
  ASSERT_EQ(score.joules.size(), 1u);
  EXPECT_EQ(score.joules[0].source, EnergySource::kRapl);
  EXPECT_EQ(score.joules[0].value, 2);
}

TEST(SummaryTest, ComparesTheSameQuestions) {
  std::vector<Record> a;
  std::vector<Record> b;
  for (int i = 0; i < 40; ++i) {
    a.push_back(MakeRecord(std::to_string(i), i % 2));
    b.push_back(MakeRecord(std::to_string(i + 1), 1));
  }
  const Scorer& exact = **FindScorer("exact");
  const Comparison comparison = Compare(Pointers(a), Pointers(b), exact, 1);
  EXPECT_EQ(comparison.questions, 39u);
  EXPECT_EQ(comparison.only_a, 1u);
  EXPECT_EQ(comparison.only_b, 1u);
  EXPECT_EQ(comparison.Verdict(), 1);
  EXPECT_EQ(comparison.better, 19u);
  EXPECT_EQ(comparison.tasks.size(), 1u);
  EXPECT_TRUE(Compare(Pointers({a[0], a[1]}), Pointers({b[0], b[1]}), exact, 1).tasks.empty());
  EXPECT_EQ(Compare(Pointers(a), Pointers(a), exact, 1).Verdict(), 0);
  const Interval difference = Difference(Pointers(a), Pointers(b), 1);
  EXPECT_EQ(difference.value, comparison.difference.value);
  EXPECT_EQ(difference.low, comparison.difference.low);
  EXPECT_EQ(difference.high, comparison.difference.high);
  EXPECT_EQ(Compare({}, Pointers(a), exact, 1).questions, 0u);
}

}  // namespace
}  // namespace eyeshot::eval
