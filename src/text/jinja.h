// Chat templates: a bounded subset of Jinja, as transformers sets it up.
//
// docs/prompts.md lists what is in. Whatever a template does, it ends: text, nodes, nesting, steps and output have
// limits (src/base/limits.h), and nothing of the machine can be reached from it.
#ifndef EYESHOT_TEXT_JINJA_H_
#define EYESHOT_TEXT_JINJA_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "eyeshot/status.h"
#include "text/jinja_value.h"

namespace eyeshot {

struct JinjaTree;

// Immutable and shared: copies are cheap and may be used from several threads.
class JinjaTemplate {
 public:
  // `where` names the template in all errors. Errors: kCorrupt (no Jinja), kUnsupported (a statement that this build
  // lacks), kLimitExceeded. The line is named.
  static Result<JinjaTemplate> Parse(std::string_view text, std::string where);

  // What the template writes with these variables. Errors: kInvalidArgument (the template's raise_exception, with its
  // words, or what Python refuses: "something undefined" + a text), kUnsupported (a filter, test, method or function
  // that this build lacks), kLimitExceeded.
  Result<std::string> Render(const JinjaValue::Dict& variables) const;

 private:
  JinjaTemplate(std::shared_ptr<const JinjaTree> tree, std::string where)
      : tree_(std::move(tree)), where_(std::move(where)) {}

  std::shared_ptr<const JinjaTree> tree_;
  std::string where_;
};

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_JINJA_H_
