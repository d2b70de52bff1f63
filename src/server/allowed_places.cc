// Which addresses and files media may come from.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/file_handle.h"
#include "server/data_url.h"
#include "server/fetch.h"

namespace eyeshot::server {
namespace {

struct Range {
  uint32_t address;
  int bits;
};

constexpr uint32_t Ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return a << 24 | b << 16 | c << 8 | d; }

// https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast.
constexpr Range kSpecialIpv4[] = {
    {Ip(0, 0, 0, 0), 8},      {Ip(10, 0, 0, 0), 8},     {Ip(100, 64, 0, 0), 10}, {Ip(127, 0, 0, 0), 8},
    {Ip(169, 254, 0, 0), 16}, {Ip(172, 16, 0, 0), 12},  {Ip(192, 0, 0, 0), 24},  {Ip(192, 0, 2, 0), 24},
    {Ip(192, 88, 99, 0), 24}, {Ip(192, 168, 0, 0), 16}, {Ip(198, 18, 0, 0), 15}, {Ip(198, 51, 100, 0), 24},
    {Ip(203, 0, 113, 0), 24}, {Ip(224, 0, 0, 0), 4},    {Ip(240, 0, 0, 0), 4},
};

bool IsPublicIpv4(uint32_t address) {
  for (const Range& range : kSpecialIpv4) {
    if ((address ^ range.address) >> (32 - range.bits) == 0) return false;
  }
  return true;
}

// Of all of IPv6 only 2000::/3 is given out; in it, 2001::/23 (Teredo and other protocols), 2001:db8::/32, 2002::/16
// (6to4, which holds an IPv4 address) and 3fff::/20 are special.
bool IsPublicIpv6(const std::array<uint8_t, 16>& address) {
  if (address[0] >> 5 != 1) return false;
  const int first = address[0] << 8 | address[1];
  const int second = address[2] << 8 | address[3];
  if (first == 0x2001 && (second < 0x0200 || second == 0x0DB8)) return false;
  return first != 0x2002 && !(first == 0x3FFF && second < 0x1000);
}

bool IsRegular(const FileHandle& file) {
  struct stat info = {};
  return fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode);
}

bool IsBelow(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const auto relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

}  // namespace

bool IsPublicAddress(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in in = {};
    std::memcpy(&in, &address, sizeof(in));
    return IsPublicIpv4(ntohl(in.sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return false;
  sockaddr_in6 in = {};
  std::memcpy(&in, &address, sizeof(in));
  std::array<uint8_t, 16> bytes = {};
  std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
  return IsPublicIpv6(bytes);
}

Result<std::vector<uint8_t>> ReadFileUrl(std::string_view url, const std::string& folder, uint64_t max_bytes) {
  constexpr std::string_view kScheme = "file://";
  if (folder.empty()) {
    return InvalidArgumentError("a file:// URL, and this server reads no files",
                                "send the bytes as a data: URL, or start the server with --allow-files DIR");
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::string path, DecodePercent(url.substr(kScheme.size())));
  const Status outside = InvalidArgumentError("a file:// URL that leads out of the folder of --allow-files",
                                              "name a file below it by its whole path: file:///folder/picture.png");
  if (path.find('\0') != std::string::npos || path.empty() || path[0] != '/') return outside;
  std::error_code error;
  const std::filesystem::path root = std::filesystem::canonical(folder, error);
  if (error) return IoError(fmt::format("the folder of --allow-files can't be read: {}", error.message()), "check it");
  // By name first: nobody learns whether a file elsewhere exists.
  const std::filesystem::path named = std::filesystem::path(path).lexically_normal();
  if (!IsBelow(named, root) && !IsBelow(named, std::filesystem::path(folder).lexically_normal())) return outside;
  // Then the file that was opened: a link can't be changed between the check and the read.
  const FileHandle file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.ok()) return NotFoundError("a file:// URL of a file that isn't there, or can't be read", "check the path");
  const std::string proc_path = fmt::format("/proc/self/fd/{}", file.get());
  const std::filesystem::path opened = std::filesystem::read_symlink(proc_path, error);
  if (error || !IsBelow(opened, root) || !IsRegular(file)) return outside;
  Result<std::vector<uint8_t>> bytes = ReadFile(proc_path, max_bytes);
  if (!bytes.ok() && bytes.status().code() == StatusCode::kLimitExceeded) {
    return LimitError(fmt::format("a file:// URL of a file of more than {} bytes", max_bytes), "take a smaller file");
  }
  return bytes;
}

}  // namespace eyeshot::server
