// What the commands print: errors, answers as JSON, the line above the stage table.
#ifndef EYESHOT_CLI_REPORT_H_
#define EYESHOT_CLI_REPORT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

// Keeps the order in which keys were put in.
using OrderedJson = nlohmann::ordered_json;

// One line of JSON and a line break; what is not UTF-8 becomes U+FFFD.
std::string JsonLine(const OrderedJson& json);
// The same on standard output.
void PrintJson(const OrderedJson& json);

// "eyeshot: MESSAGE" on standard error and, with `json`, {"error": {"code", "message"}} on standard output.
// Returns the exit code that belongs to the error.
int ReportError(const Status& status, bool json);
int ExitCodeOf(const Status& status);

// The most memory that this process had resident; 0 where the system doesn't say.
uint64_t PeakResidentBytes();

// Null where there is no source.
OrderedJson JoulesJson(const Joules& joules);

// "stages" of JSON outputs.
OrderedJson StagesJson(const Ledger& ledger);

// The object that `ask --json` prints. `ledger` is the whole run's, loading and decoding of pictures included.
OrderedJson AnswerJson(const Answer& answer, const ModelInfo& info, const Ledger& ledger);

// "eyeshot-tiny on cpu (bf16, avx512, 2 threads): 350 prompt tokens, ..." for people.
std::string AnswerSummary(const Answer& answer, const ModelInfo& info);

// "12.3 MB", "59 kB": SI units, three digits.
std::string BytesText(uint64_t bytes);
// "1:05", "2:03:04"
std::string DurationText(double seconds);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_REPORT_H_
