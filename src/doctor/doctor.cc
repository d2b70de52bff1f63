#include "doctor/doctor.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "doctor/model_check.h"
#include "doctor/model_run.h"
#include "doctor/reference_dump.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace eyeshot {
namespace {

constexpr size_t kTensorDigits = 16;  // of the dump's hashes of tensors
// Differences of single pixels that a resizer's rounding explains.
constexpr int kResizerLevels = 40;

// Least cosines against the reference: over all rows that were kept, and in the worst one.
struct Bars {
  double cosine;
  double worst_row;
};
enum class Output { kTower, kConnector, kLogits };

Bars Lower(Bars a, Bars b) { return {std::min(a.cosine, b.cosine), std::min(a.worst_row, b.worst_row)}; }

// docs/doctor.md says where these come from.
Bars BarsOf(Output output, WeightFormat format) {
  const bool logits = output == Output::kLogits;
  switch (format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kExact: return {0.9999, 0.999};
    case WeightFormat::kBf16: return logits ? Bars{0.9995, 0.999} : Bars{0.9999, 0.999};
    case WeightFormat::kInt8:
    case WeightFormat::kQ8: return logits ? Bars{0.99, 0.98} : Bars{0.999, 0.99};
    case WeightFormat::kInt4:
    case WeightFormat::kQ4: return logits ? Bars{0.87, 0.8} : Bars{0.99, 0.98};
    case WeightFormat::kFp8: return logits ? Bars{0.91, 0.88} : Bars{0.994, 0.993};
  }
  return {1, 1};
}

// How coarse weights are that are used as a GGUF file stores them, by the names of their types.
WeightFormat FormatOf(WeightFormat format, const std::string& stored) {
  if (stored.empty()) return format;
  const auto has = [&](std::string_view type) { return stored.find(type) != std::string::npos; };
  if (has("Q4") || has("Q5") || has("Q6")) return WeightFormat::kInt4;
  return has("Q8") ? WeightFormat::kQ8 : WeightFormat::kExact;
}

// Gaps between the reference's two best logits below which another best token is no parting.
float TieGap(const ModelPrecision& precision) {
  const WeightFormat format = FormatOf(std::max(precision.tower, precision.decoder), precision.stored);
  if (format == WeightFormat::kExact) return 0.2f;
  if (format == WeightFormat::kBf16) return 0.5f;
  return format == WeightFormat::kInt8 || format == WeightFormat::kQ8 ? 1.5f : 4.0f;
}

// How rows agree with the reference's, summed over cases.
class Agreement {
 public:
  // Adds one row; false if it has values that are not finite.
  bool Add(const std::vector<float>& got, std::span<const float> want) {
    double dot = 0;
    double got_square = 0;
    double want_square = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      dot += double{got[i]} * want[i];
      got_square += double{got[i]} * got[i];
      want_square += double{want[i]} * want[i];
      error_ += (double{got[i]} - want[i]) * (double{got[i]} - want[i]);
    }
    dot_ += dot;
    got_ += got_square;
    want_ += want_square;
    worst_row_ = std::min(worst_row_, Cosine(dot, got_square, want_square));
    ++rows_;
    return std::isfinite(got_square);
  }
  double cosine() const { return Cosine(dot_, got_, want_); }
  double worst_row() const { return worst_row_; }
  double relative_error() const { return want_ > 0 ? std::sqrt(error_ / want_) : 0; }
  int64_t rows() const { return rows_; }

 private:
  static double Cosine(double dot, double a, double b) {
    if (a == 0 && b == 0) return 1;
    const double cosine = dot / std::sqrt(a * b);
    return std::isfinite(cosine) ? cosine : 0;
  }
  double dot_ = 0, got_ = 0, want_ = 0, error_ = 0;
  double worst_row_ = 1;
  int64_t rows_ = 0;
};

// Indices of `wanted` elements of `count`, evenly spaced from the last one down to the first, as numpy's linspace and
// round give them; ascending, each once.
std::vector<size_t> Evenly(size_t count, size_t wanted) {
  std::set<size_t> indices;
  const size_t n = std::min(count, wanted);
  for (size_t i = 0; i < n; ++i) {
    const double step = n == 1 ? 0 : -static_cast<double>(count - 1) / static_cast<double>(n - 1);
    indices.insert(static_cast<size_t>(std::nearbyint(static_cast<double>(count - 1) + static_cast<double>(i) * step)));
  }
  return {indices.begin(), indices.end()};
}

// Where two texts part, with what stands there.
std::string PartingOf(const std::string& got, const std::string& want) {
  constexpr size_t kBefore = 20;
  constexpr size_t kShown = 60;
  const auto at =
      static_cast<size_t>(std::mismatch(got.begin(), got.end(), want.begin(), want.end()).first - got.begin());
  const size_t begin = at < kBefore ? 0 : at - kBefore;
  const auto piece = [&](const std::string& text) {
    return begin < text.size() ? Json(text.substr(begin, kShown)).dump(-1, ' ', false, Json::error_handler_t::replace)
                               : std::string("its end");
  };
  return fmt::format("at byte {} there is {}, in the dump {}", at, piece(got), piece(want));
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// The comparison with a dump. Each member function examines one step over all cases.
class Comparison {
 public:
  Comparison(const DoctorOptions& options, const ReferenceDump& dump, ModelParts& parts,
             const ModelPrecision& precision, Diagnosis& diagnosis)
      : options_(options), dump_(dump), parts_(parts), precision_(precision), diagnosis_(diagnosis) {}

  void Run();

 private:
  using Pictures = std::vector<std::shared_ptr<const Image>>;

  void CompareDecoding();
  void CompareTiles();
  void ComparePrompts();
  void CompareWeights();
  void CompareOutputs();
  void ComparePrompt(size_t i, const ImageProcessor& processor, Examination& prompt, Examination& tokens);
  const SampledRows& Wanted(Output output, size_t i) const;
  Result<std::vector<std::vector<float>>> Got(Output output, size_t i) const;
  void CompareRows(Output output, std::string step, std::string_view what);
  void CompareAnswers(int64_t cases);
  bool TilesEqual(const ReferenceCase& one, const Tiles& tiles) const;
  std::string TileDifference(const ReferenceCase& one, const Tiles& tiles);
  void Explain();
  void ExplainTiles();
  std::vector<std::string> ChangedFiles() const;

  Examination& Add(std::string step, std::string what) {
    diagnosis_.examinations.push_back(
        {.step = std::move(step), .what = std::move(what), .measure = {}, .bound = {}, .note = {}});
    return diagnosis_.examinations.back();
  }
  // Only the first note is kept: what follows follows from it.
  static void Part(Examination& examination, std::string note) {
    if (examination.finding == Finding::kParts) return;
    examination.finding = Finding::kParts;
    examination.note = std::move(note);
  }
  static void Skip(Examination& examination, std::string note) {
    examination.finding = Finding::kSkipped;
    examination.note = std::move(note);
  }
  std::string CountText(std::string_view what) const {
    return fmt::format("{} {}{}", dump_.cases.size(), what, dump_.cases.size() == 1 ? "" : "s");
  }

  const DoctorOptions& options_;
  const ReferenceDump& dump_;
  ModelParts& parts_;
  const ModelPrecision& precision_;
  Diagnosis& diagnosis_;
  Pictures pictures_;              // null: can't be decoded
  std::vector<bool> same_input_;   // tiles and tokens of each case: only then are outputs comparable
  std::vector<std::optional<RunOutputs>> runs_;  // one a case
  bool other_order_ = false;       // tiles agree in the other order of passes
  int tile_levels_ = 0;            // largest difference of the bytes that the dump has
  std::vector<std::string> changed_tensors_;
};

void Comparison::CompareDecoding() {
  Examination& examination = Add("decoding", CountText("picture"));
  same_input_.assign(dump_.cases.size(), true);
  for (const ReferenceCase& one : dump_.cases) {
    const Result<Image> image = LoadImage(JoinPath(options_.dump, one.picture));
    if (!image.ok()) {
      pictures_.push_back(nullptr);
      Part(examination, image.status().message());
      continue;
    }
    pictures_.push_back(std::make_shared<const Image>(*image));
    if (Sha256Hex(image->rgb) == one.rgb_sha256) continue;
    Part(examination, fmt::format("{}: decodes to other pixels ({} x {}, in the dump {} x {})", one.picture,
                                  image->width, image->height, one.width, one.height));
  }
  if (examination.finding == Finding::kOk) examination.measure = "equal to the byte";
}

bool Comparison::TilesEqual(const ReferenceCase& one, const Tiles& tiles) const {
  if (tiles.count() != static_cast<int64_t>(one.tiles_sha256.size()) || tiles.side != one.tile_side) return false;
  const size_t bytes = tiles.rgb.size() / one.tiles_sha256.size();
  for (size_t i = 0; i < one.tiles_sha256.size(); ++i) {
    if (Sha256Hex({tiles.rgb.data() + i * bytes, bytes}) != one.tiles_sha256[i]) return false;
  }
  return true;
}

std::string Comparison::TileDifference(const ReferenceCase& one, const Tiles& tiles) {
  if (tiles.side != one.tile_side || tiles.count() != static_cast<int64_t>(one.tiles_sha256.size())) {
    return fmt::format("{}: {} tiles of {} pixels ({} x {} and the whole), in the dump {} of {}", one.picture,
                       tiles.count(), tiles.side, tiles.grids[0].rows, tiles.grids[0].cols, one.tiles_sha256.size(),
                       one.tile_side);
  }
  const size_t bytes = tiles.rgb.size() / one.tiles_sha256.size();
  const size_t samples = one.tile_samples.size() / one.tiles_sha256.size();
  const std::vector<size_t> places = Evenly(bytes, samples);
  size_t differing = 0;
  for (size_t i = 0; i < one.tile_samples.size() && places.size() == samples; ++i) {
    const int got = tiles.rgb[i / samples * bytes + places[i % samples]];
    const int levels = std::abs(got - one.tile_samples[i]);
    tile_levels_ = std::max(tile_levels_, levels);
    differing += levels > 0 ? 1 : 0;
  }
  return fmt::format("{}: other pixels; of {} that the dump has {} differ, by up to {} of 255", one.picture,
                     one.tile_samples.size(), differing, tile_levels_);
}

void Comparison::CompareTiles() {
  size_t count = 0;
  for (const ReferenceCase& one : dump_.cases) count += one.tiles_sha256.size();
  Examination& examination = Add("tiles", fmt::format("{} tiles of {}", count, CountText("picture")));
  if (!parts_.processing) {
    same_input_.assign(dump_.cases.size(), false);
    return Skip(examination, "there is no image processor");
  }
  ThreadPool pool(options_.threads);
  const auto tiles_of = [&](size_t i, bool pillow13_order) -> Result<Tiles> {
    ImageProcessorConfig config = *parts_.processing;
    config.pillow13_order = pillow13_order;
    EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(config));
    Tiles tiles;
    EYESHOT_RETURN_IF_ERROR(processor.Append(*pictures_[i], dump_.cases[i].split, pool, tiles));
    return tiles;
  };
  const bool order = parts_.processing->pillow13_order;
  bool other_agrees = true;
  for (size_t i = 0; i < dump_.cases.size(); ++i) {
    same_input_[i] = false;
    if (pictures_[i] == nullptr) continue;
    const Result<Tiles> tiles = tiles_of(i, order);
    if (!tiles.ok()) {
      Part(examination, tiles.status().message());
      continue;
    }
    same_input_[i] = TilesEqual(dump_.cases[i], *tiles);
    if (same_input_[i]) continue;
    Part(examination, TileDifference(dump_.cases[i], *tiles));
    const Result<Tiles> others = tiles_of(i, !order);
    other_agrees = other_agrees && others.ok() && TilesEqual(dump_.cases[i], *others);
  }
  const bool same = examination.finding == Finding::kOk;
  other_order_ = !same && other_agrees;
  if (same) examination.measure = "equal to the byte";
}

void Comparison::ComparePrompt(size_t i, const ImageProcessor& processor, Examination& prompt, Examination& tokens) {
  const ReferenceCase& one = dump_.cases[i];
  const TileGrid grid = processor.Plan(one.width, one.height, one.split);
  const std::vector<PromptMessage> messages = {
      {.role = Role::kUser, .parts = {PromptImage{grid.rows, grid.cols}, one.question}}};
  const Result<Prompt> rendered = parts_.format->Render(messages, true);
  if (!rendered.ok()) {
    same_input_[i] = false;
    return Part(prompt, rendered.status().message());
  }
  std::string slots;
  for (int64_t k = 0; k < parts_.config->visual_tokens_per_tile(); ++k) slots += "<image>";
  const std::string text = Replaced(rendered->text, slots, "<image>*");
  if (text != one.prompt) Part(prompt, fmt::format("case {}: {}", i, PartingOf(text, one.prompt)));
  if (rendered->ids == one.ids) return;
  same_input_[i] = false;
  const auto at = std::mismatch(rendered->ids.begin(), rendered->ids.end(), one.ids.begin(), one.ids.end());
  const auto shown = [&](auto here, auto end) {
    return here == end ? std::string("nothing") : fmt::format("{} '{}'", *here, parts_.tokenizer->TokenBytes(*here));
  };
  Part(tokens, fmt::format("case {}: token {} is {}, in the dump {}", i, at.first - rendered->ids.begin(),
                           shown(at.first, rendered->ids.end()), shown(at.second, one.ids.end())));
}

void Comparison::ComparePrompts() {
  Examination prompt{.step = "prompt", .what = CountText("prompt"), .measure = {}, .bound = {}, .note = {}};
  Examination tokens{.step = "tokens", .what = {}, .measure = {}, .bound = {}, .note = {}};
  size_t count = 0;
  for (const ReferenceCase& one : dump_.cases) count += one.ids.size();
  tokens.what = fmt::format("{} token ids", count);
  const Result<ImageProcessor> processor = ImageProcessor::Create(parts_.processing.value_or(ImageProcessorConfig{}));
  if (!parts_.format || !parts_.processing || !processor.ok()) {
    Skip(prompt, "there is no chat template or no image processor that could be used");
    Skip(tokens, "there is no prompt");
    same_input_.assign(dump_.cases.size(), false);
  } else {
    for (size_t i = 0; i < dump_.cases.size(); ++i) ComparePrompt(i, *processor, prompt, tokens);
  }
  for (Examination* examination : {&prompt, &tokens}) {
    if (examination->finding == Finding::kOk) examination->measure = "equal";
    diagnosis_.examinations.push_back(std::move(*examination));
  }
}

void Comparison::CompareWeights() {
  Examination& examination = Add("weights", fmt::format("{} tensors", dump_.tensors.size()));
  const Result<Checkpoint> checkpoint = Checkpoint::Open(options_.model);
  if (!checkpoint.ok() || dump_.tensors.empty()) {
    return Skip(examination, "the dump or the model has no safetensors, so bytes can't be compared");
  }
  std::vector<std::string> missing;
  for (const auto& [name, hash] : dump_.tensors) {
    const HostTensor* tensor = checkpoint->Find(name);
    if (tensor == nullptr) {
      missing.push_back(name);
    } else if (Sha256Hex({tensor->data, tensor->bytes()}).substr(0, kTensorDigits) != hash) {
      changed_tensors_.push_back(name);
    }
  }
  examination.measure = "equal to the byte";
  if (missing.empty() && changed_tensors_.empty()) return;
  examination.measure = fmt::format("{} differ, {} are missing", changed_tensors_.size(), missing.size());
  Part(examination, fmt::format("the first: {}", changed_tensors_.empty() ? missing[0] : changed_tensors_[0]));
}

const SampledRows& Comparison::Wanted(Output output, size_t i) const {
  const ReferenceCase& one = dump_.cases[i];
  switch (output) {
    case Output::kTower: return one.tower;
    case Output::kConnector: return one.connector;
    case Output::kLogits: return one.logits;
  }
  return one.logits;
}

// What the model gave, cut to what the dump has. Error: kCorrupt, the dump has what the model does not.
Result<std::vector<std::vector<float>>> Comparison::Got(Output output, size_t i) const {
  const RunOutputs& run = *runs_[i];
  const SampledRows& want = Wanted(output, i);
  std::vector<std::vector<float>> got = output == Output::kTower       ? run.tower
                                        : output == Output::kConnector ? run.connector
                                                                       : run.logits;
  if (output == Output::kLogits) {
    const std::vector<int64_t>& columns = dump_.cases[i].logit_columns;
    const int64_t vocabulary = parts_.model->config().text.vocab_size;
    if (std::any_of(columns.begin(), columns.end(), [&](int64_t column) { return column >= vocabulary; })) {
      return CorruptError(fmt::format("case {}: the dump has tokens beyond the model's {}", i, vocabulary), "");
    }
    for (std::vector<float>& row : got) {
      std::vector<float> picked;
      picked.reserve(columns.size());
      for (const int64_t column : columns) picked.push_back(row[static_cast<size_t>(column)]);
      row = std::move(picked);
    }
  }
  if (got.size() == want.rows.size() && (got.empty() || got[0].size() == static_cast<size_t>(want.columns))) return got;
  return CorruptError(fmt::format("case {}: {} rows of {} values were found, the dump has {} of {}", i, got.size(),
                                  got.empty() ? 0 : got[0].size(), want.rows.size(), want.columns),
                      "");
}

void Comparison::CompareRows(Output output, std::string step, std::string_view what) {
  Examination& examination = Add(std::move(step), {});
  Bars bars = BarsOf(output, FormatOf(precision_.tower, precision_.stored));
  if (output == Output::kLogits) {
    bars = Lower(bars, BarsOf(output, FormatOf(precision_.decoder, precision_.stored)));
  }
  if (dump_.dtype != "float32") {  // transformers itself is so far from its float32 then
    bars = Lower(bars, output == Output::kLogits ? Bars{0.995, 0.99} : Bars{0.9995, 0.995});
  }
  examination.bound = fmt::format("at least {}, {}", bars.cosine, bars.worst_row);
  Agreement agreement;
  for (size_t i = 0; i < runs_.size(); ++i) {
    if (!runs_[i]) continue;
    const SampledRows& want = Wanted(output, i);
    const Result<std::vector<std::vector<float>>> got = Got(output, i);
    if (!got.ok()) {
      Part(examination, got.status().found());
      continue;
    }
    for (size_t row = 0; row < got->size(); ++row) {
      const auto width = static_cast<size_t>(want.columns);
      if (agreement.Add((*got)[row], {want.values.data() + row * width, width})) continue;
      Part(examination, fmt::format("case {}: row {} has values that are not finite", i, want.rows[row]));
    }
  }
  examination.what = fmt::format("{} rows of the {}", agreement.rows(), what);
  examination.measure = fmt::format("relative error {:.1e}, cosine {:.7f}, worst row {:.6f}",
                                    agreement.relative_error(), agreement.cosine(), agreement.worst_row());
  if (agreement.cosine() < bars.cosine || agreement.worst_row() < bars.worst_row) {
    Part(examination, "farther from the reference than this precision explains");
  }
}

void Comparison::CompareAnswers(int64_t cases) {
  Examination& examination = Add("answer", {});
  const float tie_gap = TieGap(precision_);
  int64_t count = 0;
  int64_t same = 0;
  int64_t ties = 0;
  for (size_t i = 0; i < runs_.size(); ++i) {
    if (!runs_[i]) continue;
    const ReferenceCase& one = dump_.cases[i];
    for (size_t k = 0; k < one.greedy.size(); ++k) {
      const std::vector<float>& logits = runs_[i]->answer[k];
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      ++count;
      if (best == one.greedy[k]) {
        ++same;
      } else if (one.greedy_gaps[k] <= tie_gap) {
        ++ties;
      } else {
        Part(examination,
             fmt::format("case {}: token {} is '{}', in the dump '{}', whose logit is {:.2f} above the next", i, k,
                         parts_.tokenizer->TokenBytes(static_cast<int32_t>(best)),
                         parts_.tokenizer->TokenBytes(one.greedy[k]), one.greedy_gaps[k]));
      }
    }
  }
  examination.what = fmt::format("{} tokens of {} greedy answer{}", count, cases, cases == 1 ? "" : "s");
  examination.measure = fmt::format("{} the same, {} others where the two best are near", same, ties);
  examination.bound = fmt::format("less than {} apart", tie_gap);
}

void Comparison::CompareOutputs() {
  std::string why;
  if (parts_.model == nullptr) why = "the model can't be loaded";
  const auto comparable = std::count(same_input_.begin(), same_input_.end(), true);
  if (why.empty() && comparable == 0) why = "the tiles or tokens that go in are others already";
  for (size_t i = 0; i < dump_.cases.size() && why.empty(); ++i) {
    runs_.emplace_back();
    if (!same_input_[i]) continue;
    const ReferenceCase& one = dump_.cases[i];
    Result<RunOutputs> outputs = RunModel(*parts_.model, pictures_[i], one.question, one.split,
                                          {one.tower.rows, one.connector.rows, one.logits.rows}, one.greedy);
    if (outputs.ok()) {
      runs_.back() = *std::move(outputs);
    } else {
      why = outputs.status().message();
    }
    if (options_.on_progress) {
      options_.on_progress(static_cast<double>(i + 1) / static_cast<double>(dump_.cases.size()));
    }
  }
  if (!why.empty()) {
    for (const char* step : {"tower", "connector", "logits", "answer"}) Skip(Add(step, ""), why);
    return;
  }
  CompareRows(Output::kTower, "tower", "vision tower's output");
  CompareRows(Output::kConnector, "connector", "connector's output");
  CompareRows(Output::kLogits, "logits", "logits");
  CompareAnswers(comparable);
}

// Of the model's small files, those that are not the dump's. GGUF models have none.
std::vector<std::string> Comparison::ChangedFiles() const {
  std::vector<std::string> changed;
  if (!FileExists(JoinPath(options_.model, "config.json"))) return changed;
  for (const auto& [name, hash] : dump_.files) {
    const Result<std::vector<uint8_t>> bytes = ReadFile(JoinPath(options_.model, name), limits::kMaxTokenizerBytes);
    if (!bytes.ok() || Sha256Hex(*bytes) != hash) changed.push_back(name);
  }
  return changed;
}

void Comparison::ExplainTiles() {
  std::vector<std::string>& likely = diagnosis_.likely;
  if (other_order_) {
    likely.push_back(
        fmt::format("the order of passes of the resize: the tiles agree {} the order of Pillow 13, though "
                    "the dump says that it was made with Pillow {}",
                    parts_.processing->pillow13_order ? "without" : "with",
                    dump_.packages.contains("pillow") ? dump_.packages.at("pillow") : "unknown"));
  } else if (tile_levels_ > 0 && tile_levels_ <= kResizerLevels) {
    likely.push_back(
        fmt::format("another resizer: differences are small, and the dump was made by {}; torch's processors "
                    "take a bicubic filter where the model asks for Lanczos",
                    dump_.image_processor));
  } else {
    likely.emplace_back("other sizes in preprocessor_config.json, or the picture was decoded to other pixels");
  }
}

void Comparison::Explain() {
  const Examination* first = diagnosis_.first_parting();
  if (first == nullptr) return;
  std::vector<std::string>& likely = diagnosis_.likely;
  const std::vector<std::string> changed = ChangedFiles();
  if (!changed.empty()) {
    likely.push_back(fmt::format("files that are not those that the dump was made from: {}", fmt::join(changed, ", ")));
  }
  const std::string& step = first->step;
  if (step == "decoding") likely.emplace_back("another version of the picture decoder, or another file in the dump");
  if (step == "tiles") ExplainTiles();
  if (step == "prompt") likely.emplace_back("another chat template");
  if (step == "tokens") likely.emplace_back("another tokenizer: the text is the same, its ids are not");
  if (step == "weights") likely.emplace_back("other weights: another revision, a fine-tuned or damaged file");
  if (step == "tower") {
    likely.emplace_back("mean, std or rescale_factor in preprocessor_config.json, or layer_norm_eps in config.json");
  }
  if (step == "connector") likely.emplace_back("scale_factor in config.json");
  if (step == "logits" || step == "answer")
    likely.emplace_back("rope_theta, rms_norm_eps or tied embeddings in config.json");
  const bool arithmetic = step == "tower" || step == "connector" || step == "logits" || step == "answer";
  if (arithmetic && changed.empty() && changed_tensors_.empty()) {
    likely.emplace_back(
        "our arithmetic, since all files are the dump's: run it again with --backend reference --precision "
        "exact, and if that parts as well, please report it with the dump");
  }
}

void Comparison::Run() {
  CompareDecoding();
  CompareTiles();
  ComparePrompts();
  CompareWeights();
  CompareOutputs();
  Explain();
}

}  // namespace

std::string_view FindingName(Finding finding) {
  switch (finding) {
    case Finding::kOk: return "ok";
    case Finding::kWarning: return "warning";
    case Finding::kParts: return "parts";
    case Finding::kSkipped: return "skipped";
  }
  return "";
}

const Examination* Diagnosis::first_parting() const {
  const auto found = std::find_if(examinations.begin(), examinations.end(),
                                  [](const Examination& e) { return e.finding == Finding::kParts; });
  return found == examinations.end() ? nullptr : &*found;
}

Result<Diagnosis> Diagnose(const DoctorOptions& options) {
  std::optional<ReferenceDump> dump;
  if (!options.dump.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(dump, LoadReferenceDump(options.dump));
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                           CreateBackend({.name = options.backend, .threads = options.threads}));
  const ModelLocation location{.path = options.model, .mmproj = options.mmproj, .hf_defaults = options.hf_defaults};
  const Result<ModelSource> source = ModelSource::Open(location);
  const std::string asked = options.precision.empty() && !source.ok() ? "exact" : options.precision;
  EYESHOT_ASSIGN_OR_RETURN(const ModelPrecision precision,
                           source.ok() ? ChoosePrecision(*source, asked, *backend) : ParsePrecision(asked, *backend));
  Diagnosis diagnosis;
  ModelParts parts =
      CheckModel(location, source, precision, dump && dump->pillow13_order(), *backend, diagnosis.examinations);
  if (parts.model != nullptr) {
    diagnosis.precision = PrecisionName(precision, *backend);
    if (options.on_progress) options.on_progress(0);
    diagnosis.examinations.push_back(CheckRun(*parts.model));
  }
  if (dump) Comparison(options, *dump, parts, precision, diagnosis).Run();
  return diagnosis;
}

}  // namespace eyeshot
