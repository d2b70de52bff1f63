// EYESHOT_CHECK(condition): aborts with file, line and condition. For our own bugs only: nothing that a
// file, a picture or a request can cause may reach it.
#ifndef EYESHOT_BASE_CHECK_H_
#define EYESHOT_BASE_CHECK_H_

namespace eyeshot {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace eyeshot

#define EYESHOT_CHECK(condition)                                              \
  do {                                                                        \
    if (!(condition)) ::eyeshot::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#endif  // EYESHOT_BASE_CHECK_H_
