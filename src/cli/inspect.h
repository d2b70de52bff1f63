// The two halves of `eyeshot inspect`.
#ifndef EYESHOT_CLI_INSPECT_H_
#define EYESHOT_CLI_INSPECT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cli/clips.h"
#include "cli/model_flags.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

struct InspectFlags {
  std::string target;    // a model's folder, a picture or a video; with clip.frames a folder or list of frames too
  std::string question;  // for the prompt of a picture or clip
  ModelFlags model;      // whose processor cuts the picture
  std::string tiles_out;
  PictureDetail detail;
  bool jpeg_scaling = false;
  ClipFlags clip;
  bool plan = false;  // the memory plan of a model in every precision, alone
  bool json = false;
};

// Shapes, parameters and memory plan of a model; reads headers only.
Status InspectModel(const InspectFlags& flags);
// What each part of a model takes in memory, in every precision; reads the configuration only.
Status InspectPlan(const InspectFlags& flags);
// Tiles, tokens and prompt of a picture.
Status InspectImage(const InspectFlags& flags);
// Which frames of a clip are taken, their tokens and prompt.
Status InspectClip(const InspectFlags& flags);

// The prompt with each run of image tokens written once, and ids with each run of one id: "<image>*64", "4094*64".
std::string ShortPrompt(const std::string& text);
std::string ShortIds(const std::vector<int32_t>& ids);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_INSPECT_H_
