# Warnings as errors and sanitizers, for every target of the project and for no one else's.
add_library(eyeshot_options INTERFACE)
target_compile_options(eyeshot_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  -Wcast-qual -Woverloaded-virtual -Wno-missing-field-initializers
  # Highway opens such a region for each target, functions or not; libstdc++ 12's stable_sort uses what it deprecates.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-pragma-clang-attribute> $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)

if(EYESHOT_SANITIZE)
  # Global: third-party static code linked in must be instrumented alike, and so must the tests.
  add_compile_options(-fsanitize=${EYESHOT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # After the build type's own -O2 -g: compiles in half the time, and reports keep their lines.
  add_compile_options(-O1 -g1)
  add_link_options(-fsanitize=${EYESHOT_SANITIZE})
endif()

if(EYESHOT_FUZZ)
  # libFuzzer steers by the coverage of everything that it links.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(EYESHOT_MOLD mold)
if(EYESHOT_MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_CROSSCOMPILING)
  add_link_options(-fuse-ld=mold)
endif()
find_program(EYESHOT_CCACHE ccache)
if(EYESHOT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${EYESHOT_CCACHE})
endif()
