# Cross-compiling for aarch64 with Debian's g++-aarch64-linux-gnu. EYESHOT_SYSROOT holds the third-party
# libraries (scripts/neon.sh fills it); the C and C++ libraries are the cross compiler's own. Tests run under qemu, as
# the CPU with all extensions that it knows.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES EYESHOT_SYSROOT)
set(CMAKE_FIND_ROOT_PATH ${EYESHOT_SYSROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# pkg-config drops -I/usr/include before it adds the sysroot, so the sysroot's headers are named here.
set(includes "-isystem ${EYESHOT_SYSROOT}/usr/include -isystem ${EYESHOT_SYSROOT}/usr/include/aarch64-linux-gnu")
set(CMAKE_C_FLAGS_INIT "${includes}")
set(CMAKE_CXX_FLAGS_INIT "${includes}")
set(CMAKE_BUILD_RPATH ${EYESHOT_SYSROOT}/usr/lib/aarch64-linux-gnu ${EYESHOT_SYSROOT}/lib/aarch64-linux-gnu)
# DT_RPATH instead of DT_RUNPATH: it also holds for the libraries of libraries (libspng's libz).
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--disable-new-dtags,-rpath-link,${EYESHOT_SYSROOT}/lib/aarch64-linux-gnu")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "${CMAKE_EXE_LINKER_FLAGS_INIT}")
