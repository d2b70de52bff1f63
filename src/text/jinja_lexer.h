// The tokens of a chat template.
#ifndef EYESHOT_TEXT_JINJA_LEXER_H_
#define EYESHOT_TEXT_JINJA_LEXER_H_

#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

struct JinjaToken {
  enum class Kind {
    kData,           // text outside of tags, after whitespace control
    kVariableBegin,  // {{
    kVariableEnd,    // }}
    kBlockBegin,     // {%
    kBlockEnd,       // %}
    kName,
    kString,  // text is without quotes and escapes
    kInteger,
    kFloat,
    kOperator,
    kEnd,  // always the last one
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int line = 1;
};

// Cuts a template up as jinja2 does with trim_blocks and lstrip_blocks, the settings of transformers: the line feed
// behind a block and the spaces before one that begins its line are no text. Comments are left out.
// Errors: kCorrupt (a tag without end, a character that means nothing, ...), kUnsupported ({% raw %}).
Result<std::vector<JinjaToken>> LexJinja(std::string_view text);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_JINJA_LEXER_H_
