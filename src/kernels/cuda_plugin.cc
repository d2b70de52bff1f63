#include "kernels/cuda_plugin.h"

#include <dlfcn.h>

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace eyeshot {
namespace {

constexpr const char* kLibrary = "libeyeshot_cuda.so";
constexpr const char* kBuild = "build with nvcc on the PATH (cmake -DEYESHOT_CUDA=ON), or use --device cpu";

// Where this code is: the program, or libeyeshot.so.
std::string OwnFolder() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&OwnFolder), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

Result<std::string> FindLibrary() {
  if (const char* named = std::getenv("EYESHOT_CUDA_PLUGIN"); named != nullptr && *named != '\0') {
    if (FileExists(named)) return std::string(named);
    return NotFoundError(fmt::format("$EYESHOT_CUDA_PLUGIN: there is no file {}", named), "correct it, or unset it");
  }
  const std::string folder = OwnFolder();
  const std::vector<std::string> places = {folder + "/" + kLibrary, folder + "/eyeshot/" + kLibrary,
                                           folder + "/../" EYESHOT_LIBDIR "/eyeshot/" + kLibrary};
  for (const std::string& place : places) {
    if (FileExists(place)) return place;
  }
  return NotFoundError(fmt::format("{} is not in {}", kLibrary, fmt::join(places, " or ")), kBuild);
}

template <typename Function>
Function Symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

bool HasCudaDriver() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return false;
  dlclose(driver);
  return true;
}

Result<int> ParseCudaDevice(const std::string& device) {
  if (device == "cuda") return 0;
  constexpr std::string_view kPrefix = "cuda:";
  int index = 0;
  const char* end = device.data() + device.size();
  if (device.starts_with(kPrefix)) {
    const auto parsed = std::from_chars(device.data() + kPrefix.size(), end, index);
    if (parsed.ec == std::errc() && parsed.ptr == end && index >= 0) return index;
  }
  return InvalidArgumentError(fmt::format("'{}' is no device", device), "use auto, cpu, cuda, or cuda:1 and so on");
}

Result<std::unique_ptr<Backend>> LoadCudaBackend(const CudaOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string path, FindLibrary());
  // Stays loaded: what it made may live as long as the program.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return NotFoundError(fmt::format("{} can't be loaded: {}", path, dlerror()),
                         "install the CUDA libraries that it names (cuBLASLt), or use --device cpu");
  }
  const auto version = Symbol<CudaPluginVersion>(library, kCudaPluginVersionName);
  const auto create = Symbol<CudaPluginCreate>(library, kCudaPluginCreateName);
  const std::string found = version == nullptr ? "none" : version();
  if (create == nullptr || found != kCudaPluginVersion) {
    return UnsupportedError(fmt::format("{} is of version {}, this program of {}", path, found, kCudaPluginVersion),
                            "install both from one build");
  }
  std::unique_ptr<Backend> backend;
  Status status;
  create(&options, &backend, &status);
  if (!status.ok()) return status;
  return backend;
}

}  // namespace eyeshot
