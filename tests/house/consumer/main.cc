#include <cstdio>
#include <vector>

#include "eyeshot/ledger.h"
#include "eyeshot/media.h"

int main() {
  eyeshot::Ledger ledger;
  ledger.Add(eyeshot::StageId::kEncode, {.wall_ns = 5, .runs = 1});
  const auto image = eyeshot::DecodeImage(std::vector<unsigned char>{1, 2, 3}, "three bytes");
  std::printf("%.*s\n", static_cast<int>(image.status().message().size()), image.status().message().data());
  return !image.ok() && ledger.total_wall_ns() == 5 ? 0 : 1;
}
