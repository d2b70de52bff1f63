#include "runtime/conversation.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/splitmix64.h"
#include "reduce/reducer.h"
#include "reduce/reducers.h"

namespace eyeshot {
namespace {

// Keys of visual tokens have the top bit set, so that none equals a token id.
uint64_t VisualKey(uint64_t visual_key, int64_t row) {
  return (uint64_t{1} << 63) | (SplitMix64(visual_key) + static_cast<uint64_t>(row));
}

bool SamePixels(const Image& a, const Image& b) {
  return a.width == b.width && a.height == b.height && a.full_width == b.full_width && a.full_height == b.full_height &&
         a.rgb == b.rgb;
}

// Whether the model was trained with that many tokens a tile.
Status CheckElastic(const ModelConfig& config, std::span<const int64_t> keep) {
  const std::vector<int64_t>& known = config.connector.reduced_tokens;
  if (known.empty()) {
    return UnsupportedError("--reduce elastic for a model that was not trained for it",
                            "use a reducer for any model (stride), or a model whose config.json has connector_type "
                            "elastic (docs/training.md)");
  }
  for (const int64_t tokens : keep) {
    if (tokens == config.visual_tokens_per_tile()) continue;
    if (std::find(known.begin(), known.end(), tokens) != known.end()) continue;
    return InvalidArgumentError(
        fmt::format("--reduce elastic: {} tokens a tile", tokens),
        fmt::format("the model was trained with {} and {}", fmt::join(known, ", "), config.visual_tokens_per_tile()));
  }
  return Status::Ok();
}

// Of texts alone.
PromptPlan PlanOf(std::vector<int32_t> ids) {
  PromptPlan plan{.ids = std::move(ids), .keys = {}, .positions = {}, .runs = {}};
  plan.keys.reserve(plan.ids.size());
  for (const int32_t id : plan.ids) plan.keys.push_back(static_cast<uint32_t>(id));
  plan.position_end = static_cast<int64_t>(plan.ids.size());
  return plan;
}

// All of a message's texts, one after the other.
std::string TextOf(const Message& message) {
  std::string text;
  for (const ContentPart& part : message.parts) {
    if (const auto* const piece = std::get_if<std::string>(&part)) text += *piece;
  }
  return text;
}

bool SameContent(const Visual& a, const Visual& b) {
  if (a.question != b.question || a.reduce != b.reduce || a.keep != b.keep || a.keeps_positions != b.keeps_positions)
    return false;
  if (a.image != nullptr && b.image != nullptr) {
    return a.budget == b.budget && (a.image == b.image || SamePixels(*a.image, *b.image));
  }
  if (a.frames == nullptr || b.frames == nullptr) return false;
  return a.frames == b.frames || (a.frames->tile_side == b.frames->tile_side &&
                                  std::equal(a.frames->images.begin(), a.frames->images.end(), b.frames->images.begin(),
                                             b.frames->images.end(), SamePixels));
}

}  // namespace

// A picture that was shown before needs no second way through the tower, and at an equal place its keys and values hold
// as well.
void Conversation::FindSame(size_t index) {
  Visual& visual = visuals_[index];
  visual.same_as = -1;
  visual_keys_[index] = ++generation_;
  for (size_t i = 0; i < index; ++i) {
    if (!SameContent(visuals_[i], visual)) continue;
    visual.same_as = visuals_[i].same_as >= 0 ? visuals_[i].same_as : static_cast<int64_t>(i);
    visual_keys_[index] = visual_keys_[i];
    visual.tile_tokens = visuals_[i].tile_tokens;
    visual.counted = visuals_[i].counted;
    return;
  }
}

Status Conversation::SetBudget(Visual& visual, const PictureDetail& detail) const {
  EYESHOT_ASSIGN_OR_RETURN(visual.budget, model_.image_processor().Budget(*visual.image, detail));
  visual.grid = model_.image_processor().Plan(*visual.image, visual.budget);
  visual.tiles = visual.grid.tiles();
  return Status::Ok();
}

// How many visual tokens the visual will have.
Status Conversation::SetTokens(Visual& visual) const {
  const Reducer* const reducer = visual.reduce.reducer;
  const int64_t per_tile = model_.config().visual_tokens_per_tile();
  visual.keep.clear();
  visual.tile_tokens.assign(static_cast<size_t>(visual.tiles), per_tile);
  visual.counted = true;
  visual.keeps_positions = false;
  if (reducer == nullptr) return Status::Ok();
  const int64_t units = reducer->in_tower ? model_.config().vision.patches() : per_tile;
  const bool clip = visual.frames != nullptr;
  EYESHOT_ASSIGN_OR_RETURN(visual.keep, TokensOfTiles(visual.reduce, visual.tiles, clip, units));
  if (reducer->elastic) EYESHOT_RETURN_IF_ERROR(CheckElastic(model_.config(), visual.keep));
  if (reducer->in_tower) return Status::Ok();
  visual.tile_tokens = reducer->counts == nullptr ? visual.keep : reducer->counts(visual.keep, per_tile);
  visual.counted = !reducer->counts_by_content || visual.tokens() == 0;
  visual.keeps_positions =
      visual.reduce.positions != PositionPolicy::kRenumber && visual.tokens() < visual.tiles * per_tile;
  return Status::Ok();
}

Result<PromptVideo> Conversation::ClipOf(std::vector<double> timestamps_s, double duration_s,
                                         const ReduceSpec& reduce) const {
  Visual visual;
  visual.frames = std::make_shared<const Frames>();
  visual.tiles = static_cast<int64_t>(timestamps_s.size());
  visual.reduce = reduce;
  EYESHOT_RETURN_IF_ERROR(SetTokens(visual));
  return PromptVideo{std::move(timestamps_s), duration_s, std::move(visual.tile_tokens)};
}

Result<PromptPart> Conversation::AddPart(const ContentPart& part, const PictureDetail& detail, const ReduceSpec& reduce,
                                         const std::string& question) {
  if (const auto* text = std::get_if<std::string>(&part)) return PromptPart(*text);
  if (!model_.config().has_vision()) {
    return UnsupportedError("a picture for a model that reads text alone", "use a SmolVLM, or leave the picture out");
  }
  Visual visual;
  visual.question = question;
  visual.reduce = reduce;
  if (const auto* image = std::get_if<std::shared_ptr<const Image>>(&part)) {
    if (*image == nullptr || (*image)->width <= 0 || (*image)->height <= 0) {
      return InvalidArgumentError("a picture of the message is empty", "decode it first (LoadImage)");
    }
    if (reduce.reducer != nullptr && reduce.reducer->clips_only) {
      return InvalidArgumentError(
          fmt::format("{} compares the frames of a clip, and the message has a picture", reduce.reducer->name),
          "use another reducer (stride), or show a clip");
    }
    visual.image = *image;
    EYESHOT_RETURN_IF_ERROR(SetBudget(visual, detail));
    EYESHOT_RETURN_IF_ERROR(SetTokens(visual));
  } else {
    const auto& frames = std::get<std::shared_ptr<const Frames>>(part);
    if (frames == nullptr || frames->images.empty() || frames->images.size() != frames->timestamps_s.size()) {
      return InvalidArgumentError("a clip of the message has no frames, or not one timestamp for each",
                                  "make it with FramesFromImages");
    }
    visual.frames = frames;
    visual.tiles = static_cast<int64_t>(frames->images.size());
    EYESHOT_RETURN_IF_ERROR(SetTokens(visual));
  }
  visuals_.push_back(std::move(visual));
  visual_keys_.emplace_back();
  FindSame(visuals_.size() - 1);
  const Visual& added = visuals_.back();
  if (added.image != nullptr) return PromptPart(PromptImage{added.grid.rows, added.grid.cols, added.tile_tokens});
  return PromptPart(PromptVideo{added.frames->timestamps_s, added.frames->duration_s, added.tile_tokens});
}

Status Conversation::Add(Message message, const PictureDetail& detail, const ReduceSpec& reduce) {
  if (message.parts.empty()) {
    return InvalidArgumentError("the message is empty", "say something, or add a picture");
  }
  if (messages_.size() >= limits::kMaxTurns) {
    return LimitError(
        fmt::format("the conversation has {} messages, the limit is {}", messages_.size(), limits::kMaxTurns),
        "start a new one");
  }
  const size_t visuals_before = visuals_.size();
  const std::string question = model_.config().query_conditioned() ? TextOf(message) : std::string();
  PromptMessage prompt{.role = message.role, .parts = {}};
  for (const ContentPart& part : message.parts) {
    Result<PromptPart> prompt_part = AddPart(part, detail, reduce, question);
    if (!prompt_part.ok()) {
      visuals_.resize(visuals_before);
      visual_keys_.resize(visuals_before);
      return prompt_part.status();
    }
    prompt.parts.push_back(*std::move(prompt_part));
  }
  messages_.push_back(std::move(message));
  prompt_.push_back(std::move(prompt));
  visuals_before_.push_back(visuals_before);
  return Status::Ok();
}

Visual* Conversation::LargestThatShrinks() {
  Visual* largest = nullptr;
  for (size_t i = visuals_before_.back(); i < visuals_.size(); ++i) {
    Visual& visual = visuals_[i];
    // Frames that nobody asked to reduce.
    const bool may = visual.shrunk || visual.reduce.reducer == nullptr;
    const bool shrinks = visual.image != nullptr ? model_.image_processor().Smaller(visual.budget).has_value()
                                                 : may && visual.tile_tokens.front() > 1;
    if (shrinks && (largest == nullptr || visual.tokens() > largest->tokens())) largest = &visual;
  }
  return largest;
}

bool Conversation::Shrink() {
  Visual* const visual = LargestThatShrinks();
  if (visual == nullptr) return false;
  visual->shrunk = true;
  if (visual->image != nullptr) {
    visual->budget = *model_.image_processor().Smaller(visual->budget);
    visual->grid = model_.image_processor().Plan(*visual->image, visual->budget);
    visual->tiles = visual->grid.tiles();
  } else {
    // Sides of 8, 4, 2, 1 tokens, or 9, 5, 3, 2, 1. On eval-dev tokens that stand evenly apart answer more than
    // averages over squares do, which no model of the family was trained on.
    const auto side = static_cast<double>(std::lround(std::sqrt(static_cast<double>(visual->tile_tokens.front()))));
    const double half = std::ceil(side / 2);
    visual->reduce = {.reducer = &kStride,
                      .keep = {Keep::Kind::kTokens, half * half},
                      .global = std::nullopt,
                      .positions = PositionPolicy::kRenumber};
  }
  EYESHOT_CHECK(SetTokens(*visual).ok());  // it has been counted before
  for (size_t i = visuals_before_.back(); i < visuals_.size(); ++i) FindSame(i);
  UpdateParts();
  return true;
}

bool Conversation::Renumber() {
  bool changed = false;
  for (size_t i = visuals_before_.back(); i < visuals_.size(); ++i) {
    Visual& visual = visuals_[i];
    if (!visual.keeps_positions || visual.reduce.positions != PositionPolicy::kAuto) continue;
    visual.keeps_positions = false;
    changed = true;
  }
  for (size_t i = visuals_before_.back(); changed && i < visuals_.size(); ++i) FindSame(i);
  UpdateParts();
  return changed;
}

void Conversation::SetTileTokens(size_t visual, std::vector<int64_t> tokens) {
  visuals_[visual].tile_tokens = std::move(tokens);
  visuals_[visual].counted = true;
  UpdateParts();
}

// Tells the last message's parts what its visuals are: they are its parts other than texts, in order.
void Conversation::UpdateParts() {
  size_t index = visuals_before_.back();
  for (PromptPart& part : prompt_.back().parts) {
    if (std::holds_alternative<std::string>(part)) continue;
    const Visual& visual = visuals_[index++];
    if (auto* const clip = std::get_if<PromptVideo>(&part)) {
      clip->frame_tokens = visual.tile_tokens;
    } else {
      part = PromptImage{visual.grid.rows, visual.grid.cols, visual.tile_tokens};
    }
  }
}

void Conversation::SetKey(size_t visual, uint64_t hash) { visual_keys_[visual] = hash; }

void Conversation::RemoveLast() { Truncate(messages_.size() - 1); }

void Conversation::Truncate(size_t count) {
  if (count >= messages_.size()) return;
  visuals_.resize(visuals_before_[count]);
  visual_keys_.resize(visuals_before_[count]);
  messages_.resize(count);
  prompt_.resize(count);
  visuals_before_.resize(count);
}

Result<int> Conversation::FramesThatFit(size_t before, const PromptMessage& message, int64_t tokens) const {
  std::vector<PromptMessage> all(prompt_.begin(), prompt_.begin() + static_cast<std::ptrdiff_t>(before));
  all.push_back(message);
  return model_.prompt_format().FramesThatFit(std::move(all), tokens);
}

int Conversation::FramesThatWouldFit(int64_t tokens) const {
  if (prompt_.empty()) return 0;
  const Result<int> frames = FramesThatFit(prompt_.size() - 1, prompt_.back(), tokens);
  return frames.ok() ? *frames : 0;
}

// Tokenizers may have tokens for which the model has no embedding: granite-docling's knows one more.
Status Conversation::CheckVocabulary(std::span<const int32_t> ids) const {
  const int64_t vocabulary = model_.config().text.vocab_size;
  const auto beyond = std::find_if(ids.begin(), ids.end(), [=](int32_t id) { return id < 0 || id >= vocabulary; });
  if (beyond == ids.end()) return Status::Ok();
  if (model_.tokenizer().TokenBytes(*beyond).empty()) {
    return InvalidArgumentError(fmt::format("the prompt holds token {}; the model has {} tokens", *beyond, vocabulary),
                                fmt::format("use ids from 0 to {}, of this model's tokenizer", vocabulary - 1));
  }
  return InvalidArgumentError(fmt::format("the text holds '{}', which is token {}; the model has {} tokens",
                                          model_.tokenizer().TokenBytes(*beyond), *beyond, vocabulary),
                              "leave the word out");
}

Result<PromptPlan> Conversation::Plan(std::string_view answer_start) const {
  EYESHOT_ASSIGN_OR_RETURN(Prompt prompt, model_.prompt_format().Render(prompt_, true, answer_start));
  EYESHOT_RETURN_IF_ERROR(CheckVocabulary(prompt.ids));
  PromptPlan plan = PlanOf(std::move(prompt.ids));
  plan.visual_tokens = prompt.visual_tokens;
  const int64_t per_tile = model_.config().visual_tokens_per_tile();
  size_t visual = 0;
  VisualRun run;
  for (const PromptTile& tile : prompt.tiles) {
    EYESHOT_CHECK(visual < visuals_.size() &&
                  tile.tokens == visuals_[visual].tile_tokens[static_cast<size_t>(run.tile)]);
    run.position = tile.first;
    run.visual = static_cast<int64_t>(visual);
    run.count = tile.tokens;
    plan.runs.push_back(run);
    for (int64_t i = 0; i < tile.tokens; ++i) {
      plan.keys[static_cast<size_t>(tile.first + i)] = VisualKey(visual_keys_[visual], run.row + i);
    }
    if (visuals_[visual].keeps_positions) plan.position_end += per_tile - tile.tokens;
    run.row += tile.tokens;
    if (++run.tile < visuals_[visual].tiles) continue;
    plan.tiles += visuals_[visual++].tiles;
    run = {};
  }
  EYESHOT_CHECK(visual == visuals_.size());
  return plan;
}

Result<PromptPlan> Conversation::PlanRaw(const RawPrompt& prompt, int64_t context) const {
  const auto* const text = std::get_if<std::string>(&prompt);
  std::vector<int32_t> ids =
      text != nullptr ? model_.tokenizer().EncodePrompt(*text) : std::get<std::vector<int32_t>>(prompt);
  if (ids.empty()) return InvalidArgumentError("the prompt is empty", "say something");
  EYESHOT_RETURN_IF_ERROR(CheckVocabulary(ids));
  const int32_t image_token = model_.prompt_format().image_token_id();
  if (image_token >= 0 && std::find(ids.begin(), ids.end(), image_token) != ids.end()) {
    return InvalidArgumentError(fmt::format("the prompt holds token {} ('{}'), which stands for a picture", image_token,
                                            model_.tokenizer().TokenBytes(image_token)),
                                "leave it out, or send a chat, whose messages may have pictures");
  }
  PromptPlan plan = PlanOf(std::move(ids));
  EYESHOT_RETURN_IF_ERROR(CheckFits(plan, {}, context));
  return plan;
}

void Conversation::SetPositions(PromptPlan& plan) const {
  plan.positions.clear();
  if (plan.position_end == static_cast<int64_t>(plan.ids.size())) return;
  const int64_t per_tile = model_.config().visual_tokens_per_tile();
  std::vector<int32_t>& positions = plan.positions;
  int32_t next = 0;
  for (const VisualRun& run : plan.runs) {
    while (static_cast<int64_t>(positions.size()) < run.position) positions.push_back(next++);
    const Visual& visual = visuals_[static_cast<size_t>(run.visual)];
    if (!visual.keeps_positions) continue;  // they follow each other, as texts do
    EYESHOT_CHECK(static_cast<int64_t>(visual.slots.size()) >= run.row + run.count);
    for (int64_t i = 0; i < run.count; ++i) {
      const int64_t slot = visual.slots[static_cast<size_t>(run.row + i)] - run.tile * per_tile;
      positions.push_back(next + static_cast<int32_t>(slot));
    }
    next += static_cast<int32_t>(per_tile);
  }
  while (positions.size() < plan.ids.size()) positions.push_back(next++);
  EYESHOT_CHECK(next == plan.position_end);
}

Result<PromptPlan> Conversation::PlanToFit(const PictureDetail& detail, int64_t context,
                                           std::string_view answer_start) {
  EYESHOT_ASSIGN_OR_RETURN(PromptPlan plan, Plan(answer_start));
  while (detail.kind == PictureDetail::Kind::kAuto && static_cast<int64_t>(plan.ids.size()) >= context && Shrink()) {
    EYESHOT_ASSIGN_OR_RETURN(plan, Plan(answer_start));
  }
  if (plan.position_end + 1 > model_.config().text.max_positions && Renumber()) {
    EYESHOT_ASSIGN_OR_RETURN(plan, Plan(answer_start));
  }
  EYESHOT_RETURN_IF_ERROR(CheckFits(plan, detail, context));
  return plan;
}

int64_t Conversation::AnswerRoom(const PromptPlan& plan, int64_t context) const {
  return std::min(context - static_cast<int64_t>(plan.ids.size()),
                  model_.config().text.max_positions - plan.position_end);
}

Status Conversation::CheckFits(const PromptPlan& plan, const PictureDetail& detail, int64_t context) const {
  const int64_t needed = static_cast<int64_t>(plan.ids.size()) + 1;
  const int64_t positions = model_.config().text.max_positions;
  if (needed <= context && plan.position_end + 1 > positions) {
    return ContextFullError(fmt::format("with the positions of all visual tokens the prompt goes on to {}, and the "
                                        "model has {}",
                                        plan.position_end + 1, positions),
                            "leave positions=keep out of --reduce, so that they are numbered anew, or use fewer "
                            "pictures");
  }
  if (needed <= context) return Status::Ok();
  std::string mend = "ask a shorter question or start a new conversation";
  const int frames = FramesThatWouldFit(context - 1);
  if (frames > 0) {
    mend = fmt::format(
        "take at most {} frames of the clip{}, or {}", frames,
        detail.kind == PictureDetail::Kind::kAuto ? "" : ", or the detail auto, which gives frames fewer visual tokens",
        mend);
  } else if (plan.tiles > 1) {
    const int64_t per_tile = model_.config().visual_tokens_per_tile();
    mend = fmt::format("use fewer pictures{} (each tile costs {} tokens), or {}",
                       detail.kind == PictureDetail::Kind::kReference ? ", or the detail auto or low" : "", per_tile,
                       mend);
  }
  if (context < positions) {
    mend += fmt::format(", or enlarge the context (the model allows {})", positions);
  }
  return ContextFullError(fmt::format("the prompt needs {} tokens ({} of them visual, of {} tiles) and the context "
                                      "holds {}",
                                      needed, plan.visual_tokens, plan.tiles, context),
                          mend);
}

void Conversation::ShareSame() {
  for (size_t i = 0; i < visuals_.size(); ++i) {
    Visual& visual = visuals_[i];
    if (visual.same_as < 0 || visual.encoded()) continue;
    const Visual& first = visuals_[static_cast<size_t>(visual.same_as)];
    visual.buffer = first.buffer;
    visual.rows = first.rows;
    visual.slots = first.slots;
    if (!visual.counted) SetTileTokens(i, first.tile_tokens);
  }
}

void PutTextsFirst(std::vector<ContentPart>& parts) {
  std::stable_partition(parts.begin(), parts.end(),
                        [](const ContentPart& part) { return std::holds_alternative<std::string>(part); });
}

void AddPictureCosts(const VisionLanguageModel& model, std::span<const Visual> visuals, Ledger& ledger) {
  const ImageProcessor& processor = model.image_processor();
  const int64_t per_tile = model.config().visual_tokens_per_tile();
  for (const Visual& visual : visuals) {
    PictureCost cost{.visual_tokens = visual.tokens(), .shrunk = visual.shrunk, .reduction = {}};
    if (visual.reduce.reducer != nullptr) cost.reduction = ReduceSpecName(visual.reduce);
    if (visual.frames != nullptr) {
      cost.width = visual.frames->source.width;
      cost.height = visual.frames->source.height;
      cost.frames = static_cast<int>(visual.tiles);
      cost.reference_visual_tokens = visual.tiles * per_tile;
    } else {
      cost.width = visual.grid.width;
      cost.height = visual.grid.height;
      cost.rows = visual.grid.rows;
      cost.cols = visual.grid.cols;
      const TileGrid reference = processor.Plan(visual.grid.width, visual.grid.height, processor.splits());
      cost.reference_visual_tokens = reference.tiles() * per_tile;
    }
    ledger.AddPicture(cost);
  }
}

}  // namespace eyeshot
