// The flags that say how an answer is generated.
#ifndef EYESHOT_CLI_GENERATION_FLAGS_H_
#define EYESHOT_CLI_GENERATION_FLAGS_H_

#include <string>

#include "eyeshot/engine.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

// --max-tokens, --temperature, --top-k, --top-p, --min-p, --repetition-penalty, --seed, --stop, --detail, --reduce,
// --question-first, into `options`, whose values are the defaults.
void AddGenerationFlags(CLI::App& command, AskOptions& options);

// --detail, --no-split
void AddDetailFlag(CLI::App& command, PictureDetail& detail);

// --phase-ms, into SchedulerOptions::phase_s.
void AddPhaseFlag(CLI::App& command, double& phase_s);

// --reduce, into what AskOptions::reduce takes.
void AddReduceFlag(CLI::App& command, std::string& reduce);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_GENERATION_FLAGS_H_
