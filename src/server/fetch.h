// Media from other servers and from files: only from allowed places.
#ifndef EYESHOT_SERVER_FETCH_H_
#define EYESHOT_SERVER_FETCH_H_

#include <sys/socket.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::server {

// Whether an address is one of the open internet: not of this machine, of a private network, of a link, of a group, or
// of a range for documents, tests or translation (IANA's special-purpose registries). IPv4 and IPv6.
bool IsPublicAddress(const sockaddr& address);

struct FetchRules {
  std::span<const std::string> hosts;  // exactly these, in any case
  uint64_t max_bytes = 0;
  bool allow_private_addresses = false;  // tests fetch from loopback
};

// The body behind an http:// or https:// URL. Each address that is connected to is checked when it is connected to, so
// that no second look-up can change it; redirects and proxies are not followed. Errors: kInvalidArgument (host or
// address not allowed), kUnsupported (a build without libcurl), kLimitExceeded, kIo.
Result<std::vector<uint8_t>> FetchUrl(const std::string& url, const FetchRules& rules);

// The file of a file:// URL. It has to lie below `folder` after all links were followed. Errors: kInvalidArgument,
// kNotFound, kIo, kLimitExceeded.
Result<std::vector<uint8_t>> ReadFileUrl(std::string_view url, const std::string& folder, uint64_t max_bytes);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_FETCH_H_
