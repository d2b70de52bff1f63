// Names of model repositories on a Hugging Face hub: "ORG/NAME", "ORG/NAME@REVISION".
#ifndef EYESHOT_HUB_REPOSITORY_H_
#define EYESHOT_HUB_REPOSITORY_H_

#include <string>
#include <string_view>

#include "eyeshot/status.h"

namespace eyeshot {

struct Repository {
  std::string owner;
  std::string name;
  std::string revision = "main";  // a branch, a tag, or a commit

  // "ORG/NAME"
  std::string id() const { return owner + "/" + name; }
  // "models--ORG--NAME": its folder in the cache of huggingface_hub.
  std::string folder() const { return "models--" + owner + "--" + name; }
};

// Whether a text has the form of an id, "ORG/NAME" or "ORG/NAME@REVISION"; the relative path of a folder may as well.
bool LooksLikeRepository(std::string_view text);

// Errors: kInvalidArgument, saying which rule of the hub the text breaks.
Result<Repository> ParseRepository(std::string_view text);

// Whether a revision is a full commit: 40 lower-case hexadecimal digits.
bool IsCommit(std::string_view revision);
// Whether a text is so many lower-case hexadecimal digits.
bool IsHex(std::string_view text, size_t digits);

}  // namespace eyeshot

#endif  // EYESHOT_HUB_REPOSITORY_H_
