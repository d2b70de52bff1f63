// Measured times and powers of stages, read from JSON (data/measured), to stand beside simulated ones.
#ifndef EYESHOT_ENERGY_SIMULATOR_MEASURED_H_
#define EYESHOT_ENERGY_SIMULATOR_MEASURED_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "energy/simulator/work.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot::simulator {

struct MeasuredStage {
  double seconds = 0;  // of all its steps
  double power_w = 0;
};

struct MeasuredRow {
  std::string model;  // of ModelShapes()
  double tiles = 0;
  double text_tokens = 0;
  double output_tokens = 0;
  std::array<MeasuredStage, kStages> stages;
  double text_only_joules = 0;  // of as long an answer to the text alone

  double joules() const;
};

// Rows of one machine and software.
struct MeasuredRows {
  std::string label;     // "measured, eager transformers, H100"
  std::string machine;   // by its file in data/machines
  std::string software;  // of Softwares()
  std::string source;
  double relative_error = 0;  // of joules, up and down
  std::vector<MeasuredRow> rows;

  // The row of just this request; nullptr where there is none. Its visual tokens may be some more than the shape's:
  // markers between rows of tiles are none of the shape.
  const MeasuredRow* Find(std::string_view model, const Request& request) const;
  Joules Measured(double joules) const;  // by an NVML counter
};

// Errors: kCorrupt, kNotFound (a key), kLimitExceeded; each names file, key, value and mend.
Result<MeasuredRows> ParseMeasured(std::string_view text, const std::string& file);
Result<MeasuredRows> ReadMeasured(const std::string& path);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_MEASURED_H_
