// A model in GGUF files, a text file and an mmproj file as published for llama.cpp, in the terms of a Hugging Face
// folder: configuration, processor, tokenizer, chat template, and tensors under their names there.
//
// Sources: llama.cpp, conversion/llama.py and conversion/smolvlm.py (what the converter writes), tools/mtmd/clip.cpp
// (what old files look like). docs/formats.md has the keys and what is done about the differences.
#ifndef EYESHOT_FORMATS_GGUF_MODEL_H_
#define EYESHOT_FORMATS_GGUF_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"
#include "formats/generation_config.h"
#include "formats/gguf.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "formats/tensor_source.h"
#include "formats/tokenizer_json.h"

namespace eyeshot {

// The files of a model.
struct GgufPaths {
  std::string text;
  std::string mmproj;  // empty: the decoder alone
};

// Whether a model's path means GGUF files: a file, or a folder with .gguf files and without config.json.
bool IsGgufModel(const std::string& path);

// path: a text file, or a folder that holds one. mmproj: a file, "none", or empty: the one beside the text file, if
// there is one. Errors: kNotFound (none, or several to choose from: named).
Result<GgufPaths> FindGgufFiles(const std::string& path, const std::string& mmproj);

struct GgufModelOptions {
  // Where the converter writes a guess because config.json lacks the key, take what the reference takes.
  bool reference_defaults = false;
};

// Not thread-safe.
class GgufModel final : public TensorSource {
 public:
  // Errors: those of GgufFile, kNotFound (a key), kCorrupt (keys or tensors that contradict each other), kUnsupported
  // (another architecture, projector or tokenizer), kLimitExceeded.
  static Result<std::unique_ptr<GgufModel>> Open(const GgufPaths& paths, const GgufModelOptions& options);
  // The same for files that were opened; `mmproj` may be null.
  static Result<std::unique_ptr<GgufModel>> Create(GgufFile text, std::unique_ptr<GgufFile> mmproj,
                                                   const GgufModelOptions& options);

  const ModelConfig& config() const { return config_; }
  const ImageProcessorConfig& processor() const { return processor_; }
  const GenerationConfig& generation() const { return generation_; }
  const std::string& chat_template() const { return chat_template_; }  // empty: the file has none
  // What the template may call its tokens; empty where the file doesn't say.
  const std::string& bos_token() const { return bos_token_; }
  const std::string& eos_token() const { return eos_token_; }
  // The tokenizer, without what it takes to keep it: read anew each time.
  Result<TokenizerFile> ReadTokenizer() const;
  // What is odd about the files and what was done about it, in words.
  const std::vector<std::string>& notes() const { return notes_; }
  const GgufFile& text() const { return text_; }
  const GgufFile* mmproj() const { return mmproj_.get(); }

  bool Has(std::string_view name) const override;
  Result<HostTensor> Get(std::string_view name) const override;
  void Release(const HostTensor& tensor) const override;
  uint64_t bytes() const override;

 private:
  GgufModel(GgufFile text, std::unique_ptr<GgufFile> mmproj) : text_(std::move(text)), mmproj_(std::move(mmproj)) {}
  Status Read(const GgufModelOptions& options);
  Status ReadText();
  Status ReadRope();
  Status ReadVision(const GgufModelOptions& options);
  Status ReadProcessor();
  Status ReadEpsilon(const GgufModelOptions& options);
  Status ReadScale();
  Status ReadVocabulary();
  Status CheckTogether() const;
  void NoteWeights();

  // Where a tensor of a Hugging Face checkpoint lies; tensor == nullptr: nowhere.
  struct Place {
    const GgufFile* file = nullptr;
    const HostTensor* tensor = nullptr;
    std::string name;  // in the file
    int64_t rotary_heads = 0;  // more than 0: rows are in the order of interleaved rotary embeddings
  };
  Place Find(std::string_view name) const;

  GgufFile text_;
  std::unique_ptr<GgufFile> mmproj_;
  ModelConfig config_;
  ImageProcessorConfig processor_;
  GenerationConfig generation_;
  std::string chat_template_;
  std::string bos_token_;
  std::string eos_token_;
  std::vector<std::string> notes_;
  bool swapped_mlp_ = false;  // ffn_up and ffn_down of the tower are each other's
  mutable std::map<std::string, std::vector<uint8_t>, std::less<>> reordered_;  // tensors with their rows put right
};

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_GGUF_MODEL_H_
