// Where the hub is, who asks, and where its files are kept: the environment variables of huggingface_hub.
#ifndef EYESHOT_HUB_SETTINGS_H_
#define EYESHOT_HUB_SETTINGS_H_

#include <functional>
#include <string>
#include <string_view>

#include "eyeshot/status.h"

namespace eyeshot {

struct HubSettings {
  std::string endpoint = "https://huggingface.co";  // without a slash at the end
  std::string cache;                                // the folder with "models--ORG--NAME" folders
  std::string token;                                // empty: none
  std::string ca_file;                              // certificates to trust; empty: the system's
  bool offline = false;
  bool insecure_http = false;  // http:// to other hosts than this one
  int timeout_s = 30;          // to connect, and without a byte of an answer
};

// The value of an environment variable; nullptr if it is not set.
using GetVariable = std::function<const char*(const char*)>;

// HF_ENDPOINT; HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME; HF_TOKEN, HUGGING_FACE_HUB_TOKEN,
// HF_TOKEN_PATH; HF_HUB_OFFLINE; HF_HUB_DOWNLOAD_TIMEOUT; SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE.
// Errors: kInvalidArgument (a value that can't be), kIo and kLimitExceeded (the file of the token).
Result<HubSettings> HubSettingsFrom(const GetVariable& variable);
// The same of this process's environment.
Result<HubSettings> HubSettingsFromEnvironment();

// A URL's origin as far as trust goes. Errors: kInvalidArgument (no URL, with credentials in it, neither http nor
// https).
struct HubUrl {
  std::string scheme;
  std::string host;
  std::string port;
  bool loopback = false;  // this machine

  bool SameOrigin(const HubUrl& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};
Result<HubUrl> ParseHubUrl(const std::string& url);

// kInvalidArgument where files may not be taken from: http:// on other hosts without insecure_http. `what` names the
// URL's role in the error.
Status CheckTransport(const HubSettings& settings, const HubUrl& url, std::string_view what);

}  // namespace eyeshot

#endif  // EYESHOT_HUB_SETTINGS_H_
