// The input is a GGUF file. Whatever it says, every tensor and string that comes out lies inside of it, and what a
// model is made of comes out whole or as an error; taken as text file and as vision tower at once.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "formats/gguf.h"
#include "formats/gguf_model.h"

namespace {

void CheckModel(std::span<const uint8_t> bytes, bool with_tower) {
  auto text = eyeshot::GgufFile::Parse(bytes, "fuzz.gguf");
  std::unique_ptr<eyeshot::GgufFile> tower;
  if (with_tower) tower = std::make_unique<eyeshot::GgufFile>(*eyeshot::GgufFile::Parse(bytes, "fuzz.gguf"));
  const auto model = eyeshot::GgufModel::Create(*std::move(text), std::move(tower), {});
  if (!model.ok()) {
    EYESHOT_CHECK(!model.status().message().empty());
    return;
  }
  const eyeshot::TextConfig& config = (*model)->config().text;
  EYESHOT_CHECK(config.hidden_size % config.num_heads == 0 && config.head_dim % 2 == 0);
  const auto tokenizer = (*model)->ReadTokenizer();
  if (tokenizer.ok()) EYESHOT_CHECK(!tokenizer->vocabulary.empty());
  for (const char* name : {"lm_head.weight", "model.text_model.layers.0.self_attn.q_proj.weight",
                           "model.vision_model.encoder.layers.0.mlp.fc1.weight"}) {
    const auto tensor = (*model)->Get(name);
    if (tensor.ok()) (*model)->Release(*tensor);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = eyeshot::GgufFile::Parse({data, size}, "fuzz.gguf");
  if (!file.ok()) {
    EYESHOT_CHECK(!file.status().message().empty());
    return 0;
  }
  for (const eyeshot::HostTensor& tensor : file->tensors()) {
    EYESHOT_CHECK(tensor.data >= data && tensor.data <= data + size);
    EYESHOT_CHECK(tensor.bytes() <= static_cast<size_t>(data + size - tensor.data));
    EYESHOT_CHECK(file->FindTensor(tensor.name) == &tensor);
  }
  for (const auto& [key, value] : file->metadata()) {
    EYESHOT_CHECK(!file->Describe(key).empty());
    static_cast<void>(file->Integer(key, 0, 100));
    static_cast<void>(file->NumberOr(key, 0, 1, 0));
    static_cast<void>(file->BoolOr(key, false));
    static_cast<void>(file->String(key));
    static_cast<void>(file->Numbers(key, 1 << 16));
    const auto strings = file->Strings(key, 1 << 16, eyeshot::limits::kMaxTokenBytes);
    if (!strings.ok()) continue;
    for (const std::string_view text : *strings) {
      const auto* begin = reinterpret_cast<const uint8_t*>(text.data());
      EYESHOT_CHECK(begin >= data && begin + text.size() <= data + size);
    }
  }
  CheckModel({data, size}, /*with_tower=*/false);
  CheckModel({data, size}, /*with_tower=*/true);
  return 0;
}
