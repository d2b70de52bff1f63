#include "hub/settings.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "hub/listing.h"

namespace eyeshot {
namespace {

constexpr int kMaxTimeoutSeconds = 3600;

// The first of these variables that is set and not empty.
std::string FirstOf(const GetVariable& variable, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = variable(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

bool IsTrue(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

// "~/x" below the home folder.
std::string Expanded(const std::string& path, const std::string& home) {
  return path.starts_with("~/") && !home.empty() ? JoinPath(home, path.substr(2)) : path;
}

Result<std::string> CheckedToken(std::string token, const std::string& where) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!token.empty() && is_space(token.back())) token.pop_back();
  const bool plain = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!plain || token.size() > limits::kMaxHubTokenBytes) {
    return InvalidArgumentError(fmt::format("{} holds no token (spaces, control characters, or more than {} bytes)",
                                            where, limits::kMaxHubTokenBytes),
                                "copy the token again from https://huggingface.co/settings/tokens");
  }
  return token;
}

Result<std::string> FindToken(const GetVariable& variable, const std::string& hf_home, const std::string& home) {
  const std::string token = FirstOf(variable, {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"});
  if (!token.empty()) return CheckedToken(token, "HF_TOKEN");
  std::string path = Expanded(FirstOf(variable, {"HF_TOKEN_PATH"}), home);
  if (path.empty()) path = JoinPath(hf_home, "token");
  if (!FileExists(path)) return std::string();
  EYESHOT_ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, limits::kMaxHubTokenBytes));
  return CheckedToken(std::move(text), path);
}

Result<int> Timeout(const std::string& text, int fallback) {
  if (text.empty()) return fallback;
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 1 || seconds > kMaxTimeoutSeconds) {
    return InvalidArgumentError(fmt::format("HF_HUB_DOWNLOAD_TIMEOUT is '{}'", PrintableText(text)),
                                fmt::format("set seconds, 1 to {}", kMaxTimeoutSeconds));
  }
  return seconds;
}

}  // namespace

Result<HubSettings> HubSettingsFrom(const GetVariable& variable) {
  HubSettings settings;
  const std::string home = FirstOf(variable, {"HOME"});
  std::string hf_home = Expanded(FirstOf(variable, {"HF_HOME"}), home);
  if (hf_home.empty()) {
    std::string caches = Expanded(FirstOf(variable, {"XDG_CACHE_HOME"}), home);
    if (caches.empty()) caches = JoinPath(home.empty() ? "/tmp" : home, ".cache");
    hf_home = JoinPath(caches, "huggingface");
  }
  settings.cache = Expanded(FirstOf(variable, {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}), home);
  if (settings.cache.empty()) settings.cache = JoinPath(hf_home, "hub");
  if (std::string endpoint = FirstOf(variable, {"HF_ENDPOINT"}); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    settings.endpoint = std::move(endpoint);
  }
  const Result<HubUrl> url = ParseHubUrl(settings.endpoint);
  if (!url.ok()) return url.status().At("HF_ENDPOINT");
  EYESHOT_ASSIGN_OR_RETURN(settings.token, FindToken(variable, hf_home, home));
  settings.offline = IsTrue(FirstOf(variable, {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}));
  settings.ca_file = FirstOf(variable, {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"});
  EYESHOT_ASSIGN_OR_RETURN(settings.timeout_s,
                           Timeout(FirstOf(variable, {"HF_HUB_DOWNLOAD_TIMEOUT"}), settings.timeout_s));
  return settings;
}

Result<HubSettings> HubSettingsFromEnvironment() {
  return HubSettingsFrom([](const char* name) { return std::getenv(name); });
}

Status CheckTransport(const HubSettings& settings, const HubUrl& url, std::string_view what) {
  if (url.scheme == "https" || url.loopback || settings.insecure_http) return Status::Ok();
  return InvalidArgumentError(
      fmt::format("{} is http://{}, which anyone on the way can read and change", what, url.host),
      "use https://, or --insecure-http if you trust the network");
}

}  // namespace eyeshot
