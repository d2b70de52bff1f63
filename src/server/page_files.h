// The files of web/ and the API's description, which the build puts into the program.
#ifndef EYESHOT_SERVER_PAGE_FILES_H_
#define EYESHOT_SERVER_PAGE_FILES_H_

#include <span>
#include <string_view>

namespace eyeshot::server {

struct PageFile {
  std::string_view name;  // "index.html"
  std::string_view content;
};
std::span<const PageFile> PageFiles();

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_PAGE_FILES_H_
