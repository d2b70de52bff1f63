#include "runtime/conversation.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

// Keys of visual tokens have the top bit set, so that none equals a token id.
uint64_t VisualKey(uint64_t visual_key, int64_t row) {
  return (uint64_t{1} << 63) | (visual_key << 32) | static_cast<uint64_t>(row);
}

}  // namespace

namespace {

bool SamePixels(const Image& a, const Image& b) {
  return a.width == b.width && a.height == b.height && a.full_width == b.full_width && a.full_height == b.full_height &&
         a.rgb == b.rgb;
}

bool SameContent(const Visual& a, const Visual& b) {
  if (a.image != nullptr && b.image != nullptr) {
    return a.budget == b.budget && (a.image == b.image || SamePixels(*a.image, *b.image));
  }
  if (a.frames == nullptr || b.frames == nullptr) return false;
  if (a.stride != b.stride) return false;
  return a.frames == b.frames || (a.frames->tile_side == b.frames->tile_side &&
                                  std::equal(a.frames->images.begin(), a.frames->images.end(), b.frames->images.begin(),
                                             b.frames->images.end(), SamePixels));
}

}  // namespace

std::vector<int32_t> RowsApart(int64_t tiles, int64_t side, int64_t stride) {
  std::vector<int32_t> rows;
  const int64_t first = (side - 1) % stride / 2;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    for (int64_t y = first; y < side; y += stride) {
      for (int64_t x = first; x < side; x += stride) {
        rows.push_back(static_cast<int32_t>((tile * side + y) * side + x));
      }
    }
  }
  return rows;
}

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
    return;
  }
}

Status Conversation::SetBudget(Visual& visual, const PictureDetail& detail) const {
  EYESHOT_ASSIGN_OR_RETURN(visual.budget, model_.image_processor().Budget(*visual.image, detail));
  visual.grid = model_.image_processor().Plan(*visual.image, visual.budget);
  visual.tiles = visual.grid.tiles();
  return Status::Ok();
}

Result<PromptPart> Conversation::AddPart(const ContentPart& part, const PictureDetail& detail) {
  if (const auto* text = std::get_if<std::string>(&part)) return PromptPart(*text);
  if (!model_.config().has_vision()) {
    return UnsupportedError("a picture for a model that reads text alone", "use a SmolVLM, or leave the picture out");
  }
  Visual visual;
  visual.tokens_per_tile = model_.config().visual_tokens_per_tile();
  PromptPart prompt_part;
  if (const auto* image = std::get_if<std::shared_ptr<const Image>>(&part)) {
    if (*image == nullptr || (*image)->width <= 0 || (*image)->height <= 0) {
      return InvalidArgumentError("a picture of the message is empty", "decode it first (LoadImage)");
    }
    visual.image = *image;
    EYESHOT_RETURN_IF_ERROR(SetBudget(visual, detail));
    prompt_part = PromptImage{visual.grid.rows, visual.grid.cols};
  } else {
    const auto& frames = std::get<std::shared_ptr<const Frames>>(part);
    if (frames == nullptr || frames->images.empty() || frames->images.size() != frames->timestamps_s.size()) {
      return InvalidArgumentError("a clip of the message has no frames, or not one timestamp for each",
                                  "make it with FramesFromImages");
    }
    visual.frames = frames;
    visual.tiles = static_cast<int64_t>(frames->images.size());
    prompt_part = PromptVideo{.timestamps_s = frames->timestamps_s, .duration_s = frames->duration_s};
  }
  visuals_.push_back(std::move(visual));
  visual_keys_.emplace_back();
  FindSame(visuals_.size() - 1);
  return prompt_part;
}

Status Conversation::Add(Message message, const PictureDetail& detail) {
  if (message.parts.empty()) {
    return InvalidArgumentError("the message is empty", "say something, or add a picture");
  }
  if (messages_.size() >= limits::kMaxTurns) {
    return LimitError(
        fmt::format("the conversation has {} messages, the limit is {}", messages_.size(), limits::kMaxTurns),
        "start a new one");
  }
  const size_t visuals_before = visuals_.size();
  PromptMessage prompt{.role = message.role, .parts = {}};
  for (const ContentPart& part : message.parts) {
    Result<PromptPart> prompt_part = AddPart(part, detail);
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
    const bool shrinks = visual.image != nullptr ? model_.image_processor().Smaller(visual.budget).has_value()
                                                 : visual.tokens_per_tile > 1;
    if (shrinks && (largest == nullptr || visual.tokens() > largest->tokens())) largest = &visual;
  }
  return largest;
}

bool Conversation::Shrink() {
  Visual* const visual = LargestThatShrinks();
  if (visual == nullptr) return false;
  visual->shrunk = true;
  const int64_t side = model_.config().visual_tokens_per_side();
  if (visual->image != nullptr) {
    visual->budget = *model_.image_processor().Smaller(visual->budget);
    visual->grid = model_.image_processor().Plan(*visual->image, visual->budget);
    visual->tiles = visual->grid.tiles();
  } else {
    // Sides of 8, 4, 2, 1 tokens, or 9, 5, 3, 2, 1.
    visual->stride = std::min(visual->stride * 2, side);
    const int64_t kept = (side + visual->stride - 1) / visual->stride;
    visual->tokens_per_tile = kept * kept;
  }
  const size_t first = visuals_before_.back();
  for (size_t i = first; i < visuals_.size(); ++i) FindSame(i);
  // The visuals of a message are its parts other than texts, in order.
  size_t index = first;
  for (PromptPart& part : prompt_.back().parts) {
    if (std::holds_alternative<std::string>(part) || &visuals_[index++] != visual) continue;
    if (auto* const clip = std::get_if<PromptVideo>(&part)) {
      clip->tokens_per_frame = visual->tokens_per_tile;
    } else {
      part = PromptImage{visual->grid.rows, visual->grid.cols};
    }
  }
  return true;
}

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
  const auto beyond = std::find_if(ids.begin(), ids.end(), [=](int32_t id) { return id >= vocabulary; });
  if (beyond == ids.end()) return Status::Ok();
  return InvalidArgumentError(fmt::format("the text holds '{}', which is token {}; the model has {} tokens",
                                          model_.tokenizer().TokenBytes(*beyond), *beyond, vocabulary),
                              "leave the word out");
}

Result<PromptPlan> Conversation::Plan(std::string_view answer_start) const {
  EYESHOT_ASSIGN_OR_RETURN(Prompt prompt, model_.prompt_format().Render(prompt_, true, answer_start));
  EYESHOT_RETURN_IF_ERROR(CheckVocabulary(prompt.ids));
  PromptPlan plan;
  plan.visual_tokens = prompt.visual_tokens;
  plan.ids = std::move(prompt.ids);
  plan.keys.reserve(plan.ids.size());
  const int32_t image_token = model_.config().image_token_id;
  size_t visual = 0;
  int64_t row = 0;
  for (size_t i = 0; i < plan.ids.size(); ++i) {
    if (plan.ids[i] != image_token) {
      plan.keys.push_back(static_cast<uint32_t>(plan.ids[i]));
      continue;
    }
    EYESHOT_CHECK(visual < visuals_.size());
    const bool follows = !plan.runs.empty() && plan.runs.back().visual == static_cast<int64_t>(visual) &&
                         plan.runs.back().position + plan.runs.back().count == static_cast<int64_t>(i);
    if (!follows) plan.runs.push_back({static_cast<int64_t>(i), static_cast<int64_t>(visual), row, 0});
    ++plan.runs.back().count;
    plan.keys.push_back(VisualKey(visual_keys_[visual], row));
    if (++row == visuals_[visual].tokens()) {
      plan.tiles += visuals_[visual].tiles;
      ++visual;
      row = 0;
    }
  }
  EYESHOT_CHECK(visual == visuals_.size() && row == 0);
  return plan;
}

}  // namespace eyeshot
