// The input is a text that may be JSON: ours and nlohmann's parser must read the same tree, or both none.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "formats/json.h"
#include "formats/json_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  eyeshot::JsonTreeBuilder ours, theirs;
  const eyeshot::JsonOutcome outcome = eyeshot::ReadJson(text, ours);
  const bool read = eyeshot::Json::sax_parse(text.begin(), text.end(), &theirs);
  EYESHOT_CHECK((outcome == eyeshot::JsonOutcome::kRead) == read);
  EYESHOT_CHECK((outcome == eyeshot::JsonOutcome::kStopped) == !ours.status().ok());
  EYESHOT_CHECK(!read || ours.root() == theirs.root());
  return 0;
}
