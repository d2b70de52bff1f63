// Whether AMX, the tile instructions of x86 CPUs, can be used.
#ifndef EYESHOT_BASE_AMX_PERMISSION_H_
#define EYESHOT_BASE_AMX_PERMISSION_H_

namespace eyeshot {

// Whether the CPU has the instructions for 8-bit integers (bfloat16) and Linux lets this process use them. The first
// call asks for that permission.
bool AmxInt8Available();
bool AmxBf16Available();

}  // namespace eyeshot

#endif  // EYESHOT_BASE_AMX_PERMISSION_H_
