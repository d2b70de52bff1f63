// Conversation: the messages of a chat as the model's prompt sees them: which token is text, and which is row i
// of which picture's visual tokens.
#ifndef EYESHOT_RUNTIME_CONVERSATION_H_
#define EYESHOT_RUNTIME_CONVERSATION_H_

#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/chat.h"
#include "eyeshot/scheduler.h"
#include "eyeshot/status.h"
#include "kernels/backend.h"
#include "models/model.h"
#include "reduce/reduce_spec.h"
#include "text/prompt.h"

namespace eyeshot {

// A picture or clip of the conversation, and its visual tokens once it was encoded.
struct Visual {
  std::shared_ptr<const Image> image;    // one of the two
  std::shared_ptr<const Frames> frames;
  TileBudget budget;                     // of a picture
  TileGrid grid;                         // of a picture
  bool shrunk = false;                   // below what its detail asks for
  int64_t tiles = 0;
  std::string question;               // its message's texts, where visual tokens depend on what is asked
  ReduceSpec reduce;                  // how its visual tokens are made fewer
  std::vector<int64_t> keep;          // [tiles] what each tile shall keep: visual tokens, or patches in the tower
  std::vector<int64_t> tile_tokens;   // [tiles] visual tokens of each in the prompt
  bool counted = true;                // these are known; else they will be when it is encoded, their sum is
  bool keeps_positions = false;       // see PositionPolicy
  int64_t same_as = -1;  // an earlier one with the same content, tile for tile; -1: none
  std::shared_ptr<Buffer> buffer;  // holds the rows below; shared with visuals encoded together
  MatrixView rows;  // [tokens(), hidden]; empty: not encoded yet
  std::vector<int32_t> slots;  // of each row: which of all tokens' places it takes; empty: nothing was reduced

  int64_t tokens() const { return std::accumulate(tile_tokens.begin(), tile_tokens.end(), int64_t{0}); }
  bool encoded() const { return !rows.empty(); }
};

// The visual tokens of a tile in a prompt.
struct VisualRun {
  int64_t position = 0;  // of its first token in the prompt
  int64_t visual = 0;  // index of the picture
  int64_t tile = 0;    // of the picture
  int64_t row = 0;  // of the picture's visual tokens
  int64_t count = 0;   // may be 0
};

// A rendered prompt.
struct PromptPlan {
  std::vector<int32_t> ids;
  std::vector<uint64_t> keys;  // of each position, for KvSequence
  std::vector<int32_t> positions;  // rotary ones; empty: 0, 1, 2, ...
  int64_t position_end = 0;        // one more than the last of them
  std::vector<VisualRun> runs;  // in order
  int64_t visual_tokens = 0;
  int64_t tiles = 0;
};

class Conversation {
 public:
  explicit Conversation(const VisionLanguageModel& model) : model_(model) {}

  // Checks and adds a message. Errors: kInvalidArgument (empty message, missing picture, a reducer of clips for a
  // picture), kLimitExceeded, those of TokensToKeep().
  Status Add(Message message, const PictureDetail& detail, const ReduceSpec& reduce = {});
  // Takes a tile a side off the picture of the last message that has most tiles, or keeps fewer visual tokens of its
  // clip's frames, unless they are reduced already. False: all pictures are one view, and frames one token.
  bool Shrink();
  // Gives up positions of the last message that nobody insists on. False: there are none.
  bool Renumber();
  // What a visual is known by in PromptPlan::keys, instead of a number of this conversation's own: a hash of what it
  // shows, so that conversations with equal prompts have equal keys.
  void SetKey(size_t visual, uint64_t hash);
  // What a visual's reducer left, when it has no `counted` tokens of tiles.
  void SetTileTokens(size_t visual, std::vector<int64_t> tokens);
  // Takes the last message back.
  void RemoveLast();
  // Keeps the first `count` messages.
  void Truncate(size_t count);

  const std::vector<Message>& messages() const { return messages_; }
  std::vector<Visual>& visuals() { return visuals_; }
  // Those of the last message.
  std::span<const Visual> last_visuals() const { return std::span(visuals_).subspan(visuals_before_.back()); }

  // Gives what was encoded to visuals of the same content.
  void ShareSame();

  // The prompt of all messages and "Assistant:" with the answer's first words, but for its positions.
  Result<PromptPlan> Plan(std::string_view answer_start = {}) const;
  // Plan() of what fits into `context` tokens with one of an answer: pictures of the last message with the detail
  // "auto" become smaller until they do, and positions that nobody insists on are given up. Errors: those of Plan(),
  // kContextFull (with what would fit).
  Result<PromptPlan> PlanToFit(const PictureDetail& detail, int64_t context, std::string_view answer_start = {});
  // The plan of a prompt as it is, of a conversation without messages. Errors: kInvalidArgument (it is empty, or an id
  // is none of the model's, or a picture's), kContextFull.
  Result<PromptPlan> PlanRaw(const RawPrompt& prompt, int64_t context) const;
  // Tokens that an answer to it may have.
  int64_t AnswerRoom(const PromptPlan& plan, int64_t context) const;
  // Those. REQUIRES: pictures that keep positions are encoded.
  void SetPositions(PromptPlan& plan) const;

  // The clip of `timestamps_s` as it is in a prompt. Errors: those of TokensToKeep().
  Result<PromptVideo> ClipOf(std::vector<double> timestamps_s, double duration_s, const ReduceSpec& reduce) const;

  // The most frames, as many as it has at most, that the first clip of `message` may have so that it, said after the
  // first `before` messages, makes a prompt of at most `tokens` tokens; 0: none. Errors: those of Plan().
  Result<int> FramesThatFit(size_t before, const PromptMessage& message, int64_t tokens) const;
  // The same for the last message as it was said; 0 also where it has no clip.
  int FramesThatWouldFit(int64_t tokens) const;

 private:
  Result<PromptPart> AddPart(const ContentPart& part, const PictureDetail& detail, const ReduceSpec& reduce,
                             const std::string& question);
  Status SetTokens(Visual& visual) const;
  void UpdateParts();
  Status CheckFits(const PromptPlan& plan, const PictureDetail& detail, int64_t context) const;
  Status SetBudget(Visual& visual, const PictureDetail& detail) const;
  Visual* LargestThatShrinks();
  void FindSame(size_t index);
  Status CheckVocabulary(std::span<const int32_t> ids) const;

  const VisionLanguageModel& model_;
  std::vector<Message> messages_;
  std::vector<PromptMessage> prompt_;  // parallel to messages_
  std::vector<size_t> visuals_before_;  // of each message
  std::vector<Visual> visuals_;
  uint64_t generation_ = 0;  // grows with RemoveLast and Truncate: keys of pictures are never reused
  std::vector<uint64_t> visual_keys_;  // parallel to visuals_
};

// For AskOptions::question_first.
void PutTextsFirst(std::vector<ContentPart>& parts);

// Notes in the ledger what pictures and clips became.
void AddPictureCosts(const VisionLanguageModel& model, std::span<const Visual> visuals, Ledger& ledger);

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_CONVERSATION_H_
