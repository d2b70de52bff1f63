// ReduceTokens: a reducer at work on a backend's visual tokens.
#ifndef EYESHOT_REDUCE_REDUCE_TOKENS_H_
#define EYESHOT_REDUCE_REDUCE_TOKENS_H_

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "reduce/reducer.h"

namespace eyeshot {

// The visual tokens that are left of a picture or clip.
struct ReducedTokens {
  Buffer buffer;  // holds the rows
  MatrixView rows;
  std::vector<int32_t> slots;         // of each row: which token's place it takes
  std::vector<int64_t> tile_tokens;  // how many rows each tile has
};

// `rows`: the tokens, [tiles * per_tile, width]. input.rows and input.width needn't be set. What a reducer reads or
// changes of them the host does, on a GPU after a copy; a choice of tokens needs none. Errors: those of the backend.
// REQUIRES: reducer.reduce isn't null.
Result<ReducedTokens> ReduceTokens(const Reducer& reducer, Backend& backend, Stream& stream, ConstMatrixView rows,
                                   ReduceInput input, ThreadPool& pool);

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_REDUCE_TOKENS_H_
