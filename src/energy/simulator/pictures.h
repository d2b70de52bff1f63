// What pictures of a size become in each model: tiles and visual tokens, by the rules of transformers 5.17.
#ifndef EYESHOT_ENERGY_SIMULATOR_PICTURES_H_
#define EYESHOT_ENERGY_SIMULATOR_PICTURES_H_

#include "energy/simulator/work.h"

namespace eyeshot::simulator {

struct PictureWork {
  ModelShape model;  // its vision shape is that of these pictures
  Request request;
  bool fits = true;  // into the model's context
};

// `pictures` (0: text alone) square ones of `side` pixels.
PictureWork WorkOfPictures(const ModelShape& model, double side, int pictures, double text_tokens,
                           double output_tokens);

// The picture that `tiles` of ModelShape are of.
PictureWork WorkOfUsualPicture(const ModelShape& model, double text_tokens, double output_tokens);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_PICTURES_H_
