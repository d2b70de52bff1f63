// A reference dump: what transformers made of pictures and questions, step by step (scripts/reference_dump.py).
//
// docs/doctor.md describes the folder field by field.
#ifndef EYESHOT_DOCTOR_REFERENCE_DUMP_H_
#define EYESHOT_DOCTOR_REFERENCE_DUMP_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "eyeshot/status.h"
#include "tensor/host_tensor.h"

namespace eyeshot {

// Some rows of an output.
struct SampledRows {
  std::vector<int64_t> rows;  // which ones
  int64_t columns = 0;
  std::vector<float> values;  // [rows.size(), columns]
};

// A picture, a question, and what became of them.
struct ReferenceCase {
  std::string picture;                // a file's name, in the dump's folder
  int width = 0, height = 0;          // of the decoded picture
  std::string rgb_sha256;             // of its pixels, 8-bit RGB, row by row
  std::string question;
  bool split = true;
  int tile_side = 0;
  std::vector<std::string> tiles_sha256;  // one a tile, in order, 8-bit RGB before normalization
  std::vector<uint8_t> tile_samples;      // [tiles, samples]: bytes of each tile, evenly spaced, the last among them
  std::string prompt;                     // a tile's visual slots written "<image>*"
  std::vector<int32_t> ids;
  SampledRows tower;                   // rows of all tiles' patches, after the final norm
  SampledRows connector;               // rows of all visual tokens
  SampledRows logits;                  // positions of the prompt; columns are those of logit_columns
  std::vector<int64_t> logit_columns;  // tokens
  std::vector<int32_t> greedy;         // tokens of the answer
  std::vector<float> greedy_gaps;      // logit of each less that of the second best
  std::string greedy_text;
};

struct ReferenceDump {
  std::map<std::string, std::string> packages;  // versions
  std::string image_processor;                  // the class
  std::string dtype;                            // "float32", "bfloat16"
  std::map<std::string, std::string> files;     // SHA-256 of the model's small files
  std::map<std::string, std::string> tensors;   // the first 16 digits of the SHA-256 of each tensor's bytes
  std::vector<ReferenceCase> cases;

  // Whether pictures were resized in the order of passes of Pillow 13 and later.
  bool pillow13_order() const;
};

// Reads `dir`/dump.json and `dir`/dump.safetensors. Errors: kNotFound, kCorrupt, kLimitExceeded, kUnsupported (another
// version of the format).
Result<ReferenceDump> LoadReferenceDump(const std::string& dir);

// The same for the contents; `file` names them in errors. `tensors` are those of dump.safetensors.
Result<ReferenceDump> ParseReferenceDump(const std::string& json, std::span<const HostTensor> tensors,
                                         const std::string& file);

}  // namespace eyeshot

#endif  // EYESHOT_DOCTOR_REFERENCE_DUMP_H_
