// The two halves of `eyeshot inspect`.
#ifndef EYESHOT_CLI_INSPECT_H_
#define EYESHOT_CLI_INSPECT_H_

#include <string>

#include "cli/model_flags.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

struct InspectFlags {
  std::string target;    // a model's folder or a picture
  std::string question;  // for the prompt of a picture
  ModelFlags model;      // whose processor cuts the picture
  std::string tiles_out;
  bool split = true;
  bool jpeg_scaling = false;
  bool plan = false;  // the memory plan of a model in every precision, alone
  bool json = false;
};

// Shapes, parameters and memory plan of a model; reads headers only.
Status InspectModel(const InspectFlags& flags);
// What each part of a model takes in memory, in every precision; reads the configuration only.
Status InspectPlan(const InspectFlags& flags);
// Tiles, tokens and prompt of a picture.
Status InspectImage(const InspectFlags& flags);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_INSPECT_H_
