#include "runtime/visual_encoder.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "ledger/stage.h"
#include "reduce/reduce_tokens.h"

namespace eyeshot {

Status PreprocessVisual(const VisionLanguageModel& model, const Visual& visual, ThreadPool& pool, Tiles& tiles,
                        Ledger& ledger) {
  Stage stage(ledger, StageId::kPreprocess);
  const size_t bytes_before = tiles.rgb.size();
  const int64_t tiles_before = tiles.count();
  if (visual.image != nullptr) {
    EYESHOT_RETURN_IF_ERROR(model.image_processor().Append(*visual.image, visual.budget, pool, tiles));
    stage.AddBytes(visual.image->rgb.size());
  } else {
    for (const Image& frame : visual.frames->images) {
      EYESHOT_RETURN_IF_ERROR(visual.frames->tile_side > 0 ? model.image_processor().AppendFrameTile(frame, tiles)
                                                           : model.image_processor().AppendFrame(frame, pool, tiles));
      stage.AddBytes(frame.rgb.size());
    }
  }
  stage.AddBytes(tiles.rgb.size() - bytes_before);
  stage.AddTokens(static_cast<uint64_t>(tiles.count() - tiles_before));
  return Status::Ok();
}

bool EncodedTogether(const Visual& a, const Visual& b) {
  return a.reduce == b.reduce && (a.frames != nullptr) == (b.frames != nullptr) && a.question == b.question;
}

Result<std::unique_ptr<VisualEncoder>> VisualEncoder::Begin(VisionLanguageModel& model, ThreadPool& pool,
                                                            std::vector<Visual*> visuals, Tiles tiles,
                                                            ConstMatrixView query) {
  std::unique_ptr<VisualEncoder> encoder(new VisualEncoder(model, pool, std::move(visuals), std::move(tiles)));
  const int64_t rows = encoder->tiles_.count() * model.config().visual_tokens_per_tile();
  const int64_t width = model.config().text.hidden_size;
  const DType dtype = model.backend().info().activation;
  EYESHOT_ASSIGN_OR_RETURN(
      encoder->buffer_,
      model.backend().Allocate(static_cast<size_t>(rows * width) * DTypeBytes(dtype), "visual tokens"));
  const Visual& first = *encoder->visuals_.front();
  const Reducer* const reducer = first.reduce.reducer;
  if (reducer != nullptr && reducer->hook != nullptr) {
    HookContext context{.config = &model.config(), .keep = {}, .pool = &pool, .signals = &encoder->signals_};
    for (const Visual* visual : encoder->visuals_) {
      context.keep.insert(context.keep.end(), visual->keep.begin(), visual->keep.end());
    }
    encoder->hook_ = reducer->hook(context);
  }
  encoder->work_ = {.pixels = encoder->tiles_.rgb.data(),
                    .tiles = encoder->tiles_.count(),
                    .kind = first.frames != nullptr ? TileKind::kFrame : TileKind::kPicture,
                    .out = MatrixView(encoder->buffer_.data(), dtype, rows, width, width),
                    .hook = encoder->hook_.get(),
                    .query = query};
  return encoder;
}

Result<bool> VisualEncoder::Some(Stream& stream, int64_t parts, int64_t group, Ledger& ledger) {
  EYESHOT_ASSIGN_OR_RETURN(const bool done, model_.EncodeSome(stream, work_, place_, parts, group, ledger));
  if (!done) return false;
  // The connector may read what the hook holds.
  if (hook_ != nullptr) EYESHOT_RETURN_IF_ERROR(model_.backend().Sync(stream));
  EYESHOT_RETURN_IF_ERROR(Deliver(stream, ledger));
  return true;
}

// Each visual's rows in memory of its own, so that one can go before the others.
Status VisualEncoder::Deliver(Stream& stream, Ledger& ledger) {
  const int64_t per_tile = model_.config().visual_tokens_per_tile();
  int64_t first = 0;
  for (Visual* const visual : visuals_) {
    const int64_t count = visual->tiles * per_tile;
    const MatrixView own = work_.out.Rows(first, count);
    if (visuals_.size() == 1) {
      visual->buffer = std::make_shared<Buffer>(std::move(buffer_));
      visual->rows = own;
    } else {
      EYESHOT_ASSIGN_OR_RETURN(
          Buffer buffer,
          model_.backend().Allocate(static_cast<size_t>(count * own.cols) * DTypeBytes(own.dtype), "visual tokens"));
      visual->buffer = std::make_shared<Buffer>(std::move(buffer));
      visual->rows = MatrixView(visual->buffer->data(), own.dtype, count, own.cols, own.cols);
      model_.backend().CopyRows(stream, {.x = own, .count = count, .y = visual->rows});
    }
    EYESHOT_RETURN_IF_ERROR(Reduce(stream, *visual, first, ledger));
    first += count;
  }
  // What was copied from goes with this.
  return visuals_.size() > 1 ? model_.backend().Sync(stream) : Status::Ok();
}

// Makes the visual's tokens, which are all there, fewer. Those of its group begin at `first_token` of the signals.
Status VisualEncoder::Reduce(Stream& stream, Visual& visual, int64_t first_token, Ledger& ledger) {
  const Reducer* const reducer = visual.reduce.reducer;
  if (reducer == nullptr || reducer->in_tower || visual.tokens() == visual.rows.rows) return Status::Ok();
  Stage stage(ledger, StageId::kReduce, &stream);
  ReduceInput input{.tiles = visual.tiles,
                    .side = model_.config().visual_tokens_per_side(),
                    .keep = visual.keep,
                    .seed = visual.reduce.seed,
                    .key_width = signals_.key_width,
                    .scales = {model_.config().connector.reduced_tokens, model_.scale_embeddings()}};
  if (!signals_.attention.empty()) input.attention = signals_.attention.data() + first_token;
  if (!signals_.keys.empty()) input.keys = signals_.keys.data() + first_token * signals_.key_width;
  EYESHOT_ASSIGN_OR_RETURN(ReducedTokens reduced,
                           ReduceTokens(*reducer, model_.backend(), stream, visual.rows, input, pool_));
  stage.AddTokens(reduced.slots.size());
  EYESHOT_CHECK(!visual.counted || reduced.tile_tokens == visual.tile_tokens);
  visual.tile_tokens = std::move(reduced.tile_tokens);
  visual.buffer = std::make_shared<Buffer>(std::move(reduced.buffer));
  visual.rows = reduced.rows;
  visual.slots = std::move(reduced.slots);
  return Status::Ok();
}

}  // namespace eyeshot
