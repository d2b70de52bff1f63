// Chat templates as trees.
#ifndef EYESHOT_TEXT_JINJA_PARSER_H_
#define EYESHOT_TEXT_JINJA_PARSER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eyeshot/status.h"
#include "text/jinja_value.h"

namespace eyeshot {

using JinjaNodeId = uint32_t;  // index into JinjaTree::nodes

struct JinjaNode {
  enum class Kind {
    // Expressions; `parts` are their operands.
    kLiteral,    // value
    kName,       // text
    kAttribute,  // parts[0].text
    kItem,       // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1]:parts[2]:parts[3]], each of the last three kLiteral none if left out
    kCall,       // parts[0](parts[1...], named)
    kFilter,     // parts[0] | text(parts[1...], named)
    kTest,       // parts[0] is text(parts[1...])
    kUnary,      // text: "not", "-", "+"
    kBinary,     // text: "and", "or", "in", "not in", "==", ..., "+", "~", ...
    kCompare,    // a < b < c: parts a, b, c and ops
    kChoice,     // parts[0] if parts[1] else parts[2], which may be left out
    kList,
    kDict,  // keys and values in turn
    // Statements.
    kText,      // text, as it is
    kPrint,     // {{ parts[0] }}
    kIf,        // parts: conditions; bodies: one each, and perhaps that of else
    kFor,       // for names in parts[0] (if parts[1]); bodies: the loop's, and perhaps that of else
    kSet,       // set names = parts[0]; or names[0] = what bodies[0] writes
    kSetField,  // set names[0].text = parts[0]
    kGroup,     // bodies[0]
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kLiteral;
  int line = 1;
  int depth = 1;  // of the tree below
  std::string text;
  JinjaValue value;
  std::vector<JinjaNodeId> parts;
  std::vector<std::pair<std::string, JinjaNodeId>> named;
  std::vector<std::string> names;
  std::vector<std::vector<JinjaNodeId>> bodies;
};

struct JinjaTree {
  std::vector<JinjaNode> nodes;
  std::vector<JinjaNodeId> body;
};

// Errors: kCorrupt (no Jinja), kUnsupported (a statement that this build lacks), kLimitExceeded (bytes, nodes, depth);
// all but the first name the line.
Result<JinjaTree> ParseJinja(std::string_view text);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_JINJA_PARSER_H_
