// The JSON grammar (RFC 8259) as events: what nlohmann's parser accepts, several times faster.
#ifndef EYESHOT_FORMATS_JSON_READER_H_
#define EYESHOT_FORMATS_JSON_READER_H_

#include <string_view>

#include "formats/json.h"

namespace eyeshot {

enum class JsonOutcome {
  kRead,         // the whole text is one JSON value
  kStopped,      // the handler ended it
  kSyntaxError,  // not JSON; the handler was told nothing about it
};

// Feeds `text` to `handler`: the events of nlohmann's sax_parse in its order, but for parse_error. The strings that
// the handler gets are its own to move from.
JsonOutcome ReadJson(std::string_view text, JsonHandler& handler);

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_JSON_READER_H_
