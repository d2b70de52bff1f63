// Counts the allocations of a test program that links allocation_counter.cc.
#ifndef EYESHOT_TESTS_SUPPORT_ALLOCATION_COUNTER_H_
#define EYESHOT_TESTS_SUPPORT_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace eyeshot::testing {

// Calls of operator new since the start, by all threads.
uint64_t Allocations();

}  // namespace eyeshot::testing

#endif  // EYESHOT_TESTS_SUPPORT_ALLOCATION_COUNTER_H_
