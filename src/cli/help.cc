#include "cli/help.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

namespace eyeshot::cli {
namespace {

constexpr size_t kColumnWidth = 34;  // of flags, before their meaning

class Formatter final : public CLI::Formatter {
 public:
  explicit Formatter(std::string usage) : usage_(std::move(usage)) { column_width(kColumnWidth); }
  std::string make_usage(const CLI::App*, std::string) const override { return "Usage: " + usage_ + "\n"; }

 private:
  std::string usage_;
};

}  // namespace

void SetUsage(CLI::App& command, std::string usage) {
  command.formatter(std::make_shared<Formatter>(std::move(usage)));
}

}  // namespace eyeshot::cli
