#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace eyeshot {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "eyeshot: internal error at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace eyeshot
