# cmake -DOUT=FILE -DFILES=A;B -P EmbedFiles.cmake: a source that holds the files as arrays of bytes, as
# src/server/page_files.h has them. GCC 12 has no #embed.
set(arrays "")
set(entries "")
set(number 0)
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR bytes "${digits} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," hex "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" hex "${hex}")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {\n${hex}};\n")
  string(APPEND entries "    {\"${name}\", Text(kFile${number}, ${bytes})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "// Made by cmake/EmbedFiles.cmake.
#include \"server/page_files.h\"

namespace eyeshot::server {
namespace {

std::string_view Text(const unsigned char* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }
${arrays}
}  // namespace

std::span<const PageFile> PageFiles() {
  static const PageFile files[] = {
${entries}  };
  return files;
}

}  // namespace eyeshot::server
")
