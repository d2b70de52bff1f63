// The doctor: checks a model's files, and compares each step with a reference dump.
//
// docs/doctor.md has the steps, the bounds and what a parting at each of them can mean.
#ifndef EYESHOT_DOCTOR_DOCTOR_H_
#define EYESHOT_DOCTOR_DOCTOR_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

struct DoctorOptions {
  std::string model;               // a folder, or a GGUF file
  std::string mmproj;              // as of EngineOptions
  bool hf_defaults = false;        // as of EngineOptions
  std::string dump;                // a folder; empty: checks the model alone
  std::string backend = "auto";
  std::string precision;           // as of EngineOptions
  int threads = 0;
  std::function<void(double)> on_progress;  // share; may be empty
};

enum class Finding {
  kOk,
  kWarning,  // worth knowing, but not wrong
  kParts,    // wrong, or another than the reference
  kSkipped,  // could not be looked at, because of an earlier finding
};
std::string_view FindingName(Finding finding);  // "ok", "warning", "parts", "skipped"

// One row of the report.
struct Examination {
  std::string step;     // "tiles"
  std::string what;     // what was looked at: "10 tiles of 2 pictures"
  std::string measure;  // the worst that was found: "cosine 0.999998, worst row 0.99997"
  std::string bound;    // what it must reach: "0.9999, 0.999"; may be empty
  Finding finding = Finding::kOk;
  std::string note;     // more about a finding that isn't ok
};

struct Diagnosis {
  std::vector<Examination> examinations;  // in the order of the data
  std::string precision;                  // that the model was run in; empty: it can't be loaded
  std::vector<std::string> likely;        // what the first parting may come from

  // The first step that is wrong or parts; nullptr: none.
  const Examination* first_parting() const;
};

// The steps "configuration", "pictures", "tokenizer", "template", "generation", "tensors", "memory" and "run" look at
// the model alone; with a dump "decoding", "tiles", "prompt", "tokens", "weights", "tower", "connector", "logits" and
// "answer" follow. What is wrong with the model becomes a finding. Errors: of the dump, the backend or the precision.
Result<Diagnosis> Diagnose(const DoctorOptions& options);

}  // namespace eyeshot

#endif  // EYESHOT_DOCTOR_DOCTOR_H_
