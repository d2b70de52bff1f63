// For tests: counts the allocations of a program that links allocation_counter.cc (it is in no library).
#ifndef EYESHOT_BASE_ALLOCATION_COUNTER_H_
#define EYESHOT_BASE_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace eyeshot::testing {

// Calls of operator new since the start, by all threads.
uint64_t Allocations();

}  // namespace eyeshot::testing

#endif  // EYESHOT_BASE_ALLOCATION_COUNTER_H_
