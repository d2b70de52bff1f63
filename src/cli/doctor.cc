// eyeshot doctor: whether a model's files are whole, and where it parts from the reference.
#include "doctor/doctor.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/report.h"

namespace eyeshot::cli {
namespace {

struct DoctorFlags {
  DoctorOptions options;
  bool json = false;
};

void PrintDiagnosisJson(const DoctorFlags& flags, const std::string& dir, const Diagnosis& diagnosis) {
  OrderedJson json = {{"model", dir}, {"precision", diagnosis.precision}};
  json["dump"] = flags.options.dump.empty() ? OrderedJson() : OrderedJson(flags.options.dump);
  json["steps"] = OrderedJson::array();
  for (const Examination& examination : diagnosis.examinations) {
    json["steps"].push_back({{"step", examination.step},
                             {"what", examination.what},
                             {"found", examination.measure},
                             {"bound", examination.bound},
                             {"finding", FindingName(examination.finding)},
                             {"note", examination.note}});
  }
  const Examination* first = diagnosis.first_parting();
  json["parts_at"] = first == nullptr ? OrderedJson() : OrderedJson(first->step);
  json["likely"] = diagnosis.likely;
  PrintJson(json);
}

void PrintDiagnosis(const DoctorFlags& flags, const std::string& dir, const Diagnosis& diagnosis) {
  const Examination* first = diagnosis.first_parting();
  fmt::print("{}{}\n\n", dir, diagnosis.precision.empty() ? "" : " in " + diagnosis.precision);
  for (const Examination& examination : diagnosis.examinations) {
    const std::string bound = examination.bound.empty() ? "" : fmt::format(" ({})", examination.bound);
    const bool note_inline = examination.what.empty() && examination.measure.empty();
    fmt::print("{:<14} {:<11} {}{}{}{}\n", examination.step,
               &examination == first ? "PARTS HERE" : FindingName(examination.finding),
               note_inline ? examination.note : examination.what,
               examination.measure.empty() || examination.what.empty() ? "" : ": ", examination.measure, bound);
    if (!examination.note.empty() && !note_inline) fmt::print("{:<26} {}\n", "", examination.note);
  }
  if (first == nullptr) {
    fmt::print("\n{}\n",
               flags.options.dump.empty()
                   ? "Nothing wrong was found. Whether it gives what the reference gives, a dump tells (--dump)."
                   : "Every step gives what the reference gives, within the bounds.");
    return;
  }
  fmt::print("\nThe first step that is wrong is \"{}\": {}\n", first->step, first->note);
  for (const std::string& reason : diagnosis.likely) fmt::print("- likely: {}\n", reason);
}

int RunDoctor(DoctorFlags& flags) {
  const Result<FoundModel> found = FindModel(flags.options.model);
  if (!found.ok()) return ReportError(found.status(), flags.json);
  flags.options.model = found->dir;
  Progress progress(!flags.json);
  flags.options.on_progress = [&](double share) { progress.Show("comparing", share); };
  const Result<Diagnosis> diagnosis = Diagnose(flags.options);
  progress.Clear();
  if (!diagnosis.ok()) return ReportError(diagnosis.status(), flags.json);
  if (flags.json) {
    PrintDiagnosisJson(flags, found->dir, *diagnosis);
  } else {
    PrintDiagnosis(flags, found->dir, *diagnosis);
  }
  return diagnosis->first_parting() == nullptr ? kExitOk : kExitFailed;
}

}  // namespace

void AddDoctorCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command = program.add_subcommand("doctor", "Check a model's files, or compare it with the reference");
  SetUsage(*command, "eyeshot doctor [OPTIONS] [MODEL]");
  command
      ->add_option("model,-m,--model", flags->options.model,
                   "A Hugging Face folder, a GGUF file, or a model that `eyeshot pull` has taken; without it "
                   "$EYESHOT_MODEL, else the "
                   "built-in model")
      ->type_name("DIR|ORG/NAME");
  command->add_option("--dump", flags->options.dump, "What transformers gave, as reference_dump.py wrote it")
      ->type_name("DIR");
  command->add_option("--mmproj", flags->options.mmproj, "The vision tower of a GGUF model, as for ask")
      ->type_name("FILE");
  command->add_flag("--hf-defaults", flags->options.hf_defaults, "As for ask, of a GGUF model");
  command->add_option("--backend", flags->options.backend, "auto, portable, or reference (slow float32)")
      ->check(CLI::IsMember({"auto", "portable", "reference"}))
      ->type_name("NAME");
  command->add_option("--precision", flags->options.precision, "As for ask; bounds are wider for fewer bits")
      ->type_name("P[,P]");
  command->add_option("-t,--threads", flags->options.threads, "Threads; 0 takes the cores that this process may use")
      ->check(CLI::Range(0, limits::kMaxThreads))
      ->type_name("N");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(R"(Examples:
  eyeshot doctor MODEL                               files, tensors, tokens, memory, a short run
  python3 reference_dump.py MODEL dump --picture photo.jpg --question "What is this?"
  eyeshot doctor MODEL --dump dump                   each step beside transformers'

reference_dump.py is in scripts/ and is installed beside the built-in model (PREFIX/share/eyeshot); it needs torch and
transformers. The exit code is 1 if something is wrong or parts.)");
  command->callback([flags, &exit_code] { exit_code = RunDoctor(*flags); });
}

}  // namespace eyeshot::cli
