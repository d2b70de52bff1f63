// The reducers, each in a file of its name.
#ifndef EYESHOT_REDUCE_REDUCERS_H_
#define EYESHOT_REDUCE_REDUCERS_H_

#include "reduce/reducer.h"

namespace eyeshot {

extern const Reducer kStride;
extern const Reducer kRandom;
extern const Reducer kPool;
extern const Reducer kDivPrune;
extern const Reducer kVisionZip;
extern const Reducer kTome;
extern const Reducer kEvs;
extern const Reducer kFrameMean;
extern const Reducer kElastic;

// The means of areas that kPool keeps.
Reduced PoolTokens(const ReduceInput& input, ThreadPool& pool);

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_REDUCERS_H_
