// preprocessor_config.json and processor_config.json: how pictures and clips become tiles.
#ifndef EYESHOT_FORMATS_PROCESSOR_CONFIG_H_
#define EYESHOT_FORMATS_PROCESSOR_CONFIG_H_

#include <array>
#include <string>

#include "eyeshot/status.h"

namespace eyeshot {

// The values below are those that transformers takes for missing keys (Idefics3ImageProcessor).
struct ImageProcessorConfig {
  int longest_edge = 4 * 364;  // pixels of the longer side after the first resize
  int max_image_edge = 364;    // pixels of a tile's side
  int resample = 1;            // Pillow's numbering: 1 Lanczos, 2 bilinear, 3 bicubic
  bool do_resize = true;
  bool do_image_splitting = true;
  bool do_rescale = true;
  bool do_normalize = true;
  double rescale_factor = 1.0 / 255.0;
  std::array<float, 3> mean = {0.5f, 0.5f, 0.5f};  // of red, green, blue after rescaling
  std::array<float, 3> std = {0.5f, 0.5f, 0.5f};
  int video_longest_edge = 0;  // pixels of a frame's longer side before it becomes a tile; 0: no video settings
  int video_max_frames = 0;    // 0: no video settings
  double video_fps = 0;        // frames taken a second; 0: no video settings
  int image_seq_len = 0;       // visual tokens a tile; 0: the files don't say
  std::string processor_class;
  // Not of a file: resize in the order of passes that Pillow has since version 13 (docs/deviations.md).
  bool pillow13_order = false;

  bool has_video() const { return video_max_frames > 0; }
};

// Reads `dir`/preprocessor_config.json or, where it is absent, `image_processor` of `dir`/processor_config.json
// (the layout that transformers 5 writes); image_seq_len comes from the latter. The video settings come from the first
// of these that is there, as in transformers: `video_processor` of processor_config.json,
// `dir`/video_preprocessor_config.json, preprocessor_config.json. `size` beside them has precedence over their
// video_size, as there: SmolVLM2's published folders say 512 and get 2048 (docs/deviations.md).
// Errors: kNotFound (neither file), kCorrupt (a wrong type), kLimitExceeded, kUnsupported (another filter).
Result<ImageProcessorConfig> LoadProcessorConfig(const std::string& dir);

// The same for the contents of the files; an empty text is an absent file.
Result<ImageProcessorConfig> ParseProcessorConfig(const std::string& preprocessor_config,
                                                  const std::string& processor_config, const std::string& dir,
                                                  const std::string& video_config = "");

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_PROCESSOR_CONFIG_H_
